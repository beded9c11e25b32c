/// \file
/// The version, and what the library requires of the compiler. Every header includes this one first, so that a requirement that is not met
/// is the first error. CMake, Meson and Conan read the version from here; vcpkg cannot, so cmake/release.sh compares it.
///
///     #if PROCMAP_VERSION >= 200  // 0.2.0 or newer
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

/// The version as three numbers (semver.org).
///@{
#define PROCMAP_VERSION_MAJOR 0
#define PROCMAP_VERSION_MINOR 1
#define PROCMAP_VERSION_PATCH 0
///@}

/// The version as one number, for comparisons: 10203 is 1.2.3.
#define PROCMAP_VERSION (PROCMAP_VERSION_MAJOR * 10000 + PROCMAP_VERSION_MINOR * 100 + PROCMAP_VERSION_PATCH)

/// The inline namespace: version and exception mode. Two versions of the library, or code with and without exceptions, can be linked into
/// one program; each keeps its own functions.
#if defined(__cpp_exceptions)
#define PROCMAP_ABI v0_1
#else
#define PROCMAP_ABI v0_1_noexcept
#endif
