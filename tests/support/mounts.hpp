// Mount namespaces, and where temporary files lie.
#pragma once

#include "skipping.hpp"

#include <sched.h>
#include <sys/mount.h>
#include <sys/statfs.h>

#include <cstdlib>
#include <string>

/// For a test case about files that the library must be able to prove.
#define NEEDS_PROVABLE_FILES()                                                                                    \
    do {                                                                                                          \
        if (support::on_overlayfs(support::temporary_base())) SKIP("the temporary directory is on overlayfs");    \
    } while (false)

namespace support {

/// In a mount namespace of its own: mount points of others stay as they are.
inline bool own_namespace() {
    return ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

inline bool on_overlayfs(const std::string& path) {
    struct statfs fs {};
    return ::statfs(path.c_str(), &fs) == 0 && static_cast<unsigned long>(fs.f_type) == 0x794c7630;
}

inline std::string temporary_base() {
    const char* const base = std::getenv("TMPDIR");
    return base != nullptr ? base : "/tmp";
}

}  // namespace support
