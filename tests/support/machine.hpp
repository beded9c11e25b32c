// What this kernel can do, and what this process may do.
#pragma once

#include "skipping.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <procmap/maps.hpp>
#include <procmap/probe.hpp>

/// For a test case about mappings, descriptors or files that an emulator's copy of /proc does not show as they are.
#define NEEDS_LIVE_MAPS()                                                                                       \
    do {                                                                                                        \
        if (!support::live_procfs()) return support::skip("/proc/self/maps is an emulator's frozen copy");      \
    } while (false)

namespace support {

/// Whether this process has the rights of root that the tests use: to open map_files, to mount, to become another user. Root of a
/// container or of a user namespace need not have them.
inline bool is_root() {
    static const bool all = [] {
        if (::geteuid() != 0) return false;
        unsigned long long effective = 0;
        std::ifstream status{"/proc/self/status"};
        for (std::string line; std::getline(status, line);)
            if (line.starts_with("CapEff:")) effective = std::strtoull(line.c_str() + 7, nullptr, 16);
        for (const int needed : {1 /* CAP_DAC_OVERRIDE */, 6 /* CAP_SETGID */, 7 /* CAP_SETUID */, 19 /* CAP_SYS_PTRACE */, 21 /* CAP_SYS_ADMIN */})
            if ((effective >> needed & 1) == 0) return false;
        // An identity map of all users is that of the initial user namespace.
        std::ifstream users{"/proc/self/uid_map"};
        unsigned long long inside = 0, outside = 0, count = 0;
        return !(users >> inside >> outside >> count) || (inside == 0 && outside == 0 && count == 0xffffffff);
    }();
    return all;
}

/// Whether this process may become a user without rights.
inline bool may_drop_privileges() {
    static const bool may = [] {
        const pid_t pid = ::fork();
        if (pid == 0) ::_exit(::setgroups(0, nullptr) == 0 && ::setgid(65534) == 0 && ::setuid(65534) == 0 ? 0 : 1);
        int status = 1;
        return pid > 0 && ::waitpid(pid, &status, 0) == pid && status == 0;
    }();
    return may;
}

/// Whether the running kernel calls itself that release or a later one.
inline bool kernel_at_least(int major, int minor) {
    utsname names{};
    int has_major = 0;
    int has_minor = 0;
    ::uname(&names);
    return std::sscanf(names.release, "%d.%d", &has_major, &has_minor) == 2 &&
           std::pair{has_major, has_minor} >= std::pair{major, minor};
}

/// By where it writes names: an emulator's uname may tell of another machine than whose maps are read.
inline bool kernel_is_64_bit() {
    static const bool wide = [] {
        std::ifstream maps{"/proc/self/maps"};
        for (std::string line; std::getline(maps, line);)
            if (line.ends_with("[stack]")) return line.find('[') == 73;
        return true;
    }();
    return wide;
}

/// Whether /proc is a procfs, and not an emulator's frozen copy of one.
inline bool live_procfs() {
    struct statfs fs {};
    const int fd = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    const bool live = fd >= 0 && ::fstatfs(fd, &fs) == 0 && static_cast<long>(fs.f_type) == 0x9fa0;
    ::close(fd);
    return live;
}

/// Whether PROCMAP_QUERY answers, asked in plain C.
inline bool kernel_has_ioctl() {
    struct {
        std::uint64_t size, flags, address;
        char rest[80];
    } query{sizeof query, 0x10, 0, {}};
    const int fd = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    using request = std::remove_const_t<decltype(procmap::detail::ioctl_request)>;  // as the C library's ioctl takes it
    const bool answers = ::ioctl(fd, static_cast<request>(_IOWR('f', 17, char[104])), &query) == 0;
    ::close(fd);
    return answers;
}

/// The back-ends that this kernel has.
inline std::vector<procmap::backend> backends() {
    if (kernel_has_ioctl()) return {procmap::backend::ioctl, procmap::backend::text};
    return {procmap::backend::text};
}

/// Whether this kernel is asked for build IDs by default: it has the ioctl, and no hazard of asking is known of its release.
inline bool kernel_ids() { return kernel_has_ioctl() && procmap::safe_to_ask(procmap::known_hazards(procmap::running_kernel())); }

}  // namespace support
