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

/// Leaves a back-end out, where the whole program defines one of these before the first header: a program whose sandbox kills it for an
/// unknown ioctl, or one that needs no other. A handle that would need the other back-end fails to open with errc::unsupported.
///
///     #define PROCMAP_ONLY_TEXT   // handles send no PROCMAP_QUERY, nor does probe()
///     #define PROCMAP_ONLY_IOCTL  // the text of an open file is never read
#if defined(PROCMAP_ONLY_TEXT) && defined(PROCMAP_ONLY_IOCTL)
#error "PROCMAP_ONLY_TEXT and PROCMAP_ONLY_IOCTL leave no back-end: define at most one of them"
#include "stop: see the error above"
#endif

/// The inline namespace: version, exception mode, and the back-end that was left out. Two versions of the library, or code with and without
/// exceptions, can be linked into one program; each keeps its own functions.
#if defined(__cpp_exceptions) && defined(PROCMAP_ONLY_TEXT)
#define PROCMAP_ABI v0_1_text
#elif defined(__cpp_exceptions) && defined(PROCMAP_ONLY_IOCTL)
#define PROCMAP_ABI v0_1_ioctl
#elif defined(__cpp_exceptions)
#define PROCMAP_ABI v0_1
#elif defined(PROCMAP_ONLY_TEXT)
#define PROCMAP_ABI v0_1_noexcept_text
#elif defined(PROCMAP_ONLY_IOCTL)
#define PROCMAP_ABI v0_1_noexcept_ioctl
#else
#define PROCMAP_ABI v0_1_noexcept
#endif

/// Tells Clang that the result borrows from the object or the parameter before it, so that it warns of a temporary there. GCC warns of the
/// attribute itself.
#if defined(__clang__)
#define PROCMAP_LIFETIMEBOUND [[clang::lifetimebound]]
#else
#define PROCMAP_LIFETIMEBOUND
#endif
