/// \file
/// The version, and what the library needs of the compiler. CMake, Meson and Conan read the version from here; vcpkg cannot, so
/// cmake/release.sh compares. Every header includes this one first: where a need is not met, the first error says so.
#pragma once

// The second line of each branch ends the compilation, so that no other errors follow.
#if !defined(__linux__)
#error "procmap needs Linux: it reads /proc/PID/maps, which no other system has"
#include "stop: see the error above"
#elif __cplusplus < 202002L
#error "procmap needs C++20: compile with -std=c++20 or newer; GCC 11, Clang 13 and newer have it"
#include "stop: see the error above"
#elif defined(PROCMAP_SINGLE_HEADER)
#error "procmap is included already, as a single header: include either that or the headers under procmap/, not both"
#include "stop: see the error above"
#endif

/// The version, as three numbers: semver.org.
///@{
#define PROCMAP_VERSION_MAJOR 0
#define PROCMAP_VERSION_MINOR 1
#define PROCMAP_VERSION_PATCH 0
///@}

/// The version as one number, to compare: 10203 is 1.2.3. `#if PROCMAP_VERSION >= 200` is true for 0.2.0 and newer.
#define PROCMAP_VERSION (PROCMAP_VERSION_MAJOR * 10000 + PROCMAP_VERSION_MINOR * 100 + PROCMAP_VERSION_PATCH)

/// The inline namespace names the version and the exception mode, so that two versions of the library, or code built
/// with and without exceptions, can be linked into one program and each keeps its own functions.
#if defined(__cpp_exceptions)
#define PROCMAP_ABI v0_1
#else
#define PROCMAP_ABI v0_1_noexcept
#endif
