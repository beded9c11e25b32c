/// \file
/// The one place where the version stands: CMake, Meson and Conan read it from here. vcpkg cannot; cmake/release.sh compares.
#pragma once

/// The version, as three numbers: semver.org.
///@{
#define PROCMAP_VERSION_MAJOR 0
#define PROCMAP_VERSION_MINOR 1
#define PROCMAP_VERSION_PATCH 0
///@}

/// The inline namespace names the version and the exception mode, so that two versions of the library, or code built
/// with and without exceptions, can be linked into one program and each keeps its own functions.
#if defined(__cpp_exceptions)
#define PROCMAP_ABI v0_1
#else
#define PROCMAP_ABI v0_1_noexcept
#endif
