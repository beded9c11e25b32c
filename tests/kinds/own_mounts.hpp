// A mount and network namespace of its own.
#pragma once

#include "../support/files.hpp"
#include "../support/mounts.hpp"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include <procmap/fd.hpp>

namespace support {

using procmap::unique_fd;

/// Mounts and sockets of its own, where that is permitted: what the test mounts vanishes with it, and nobody else's packets are
/// seen.
inline bool own_mounts = false;

inline void set_up_lo() {
    const unique_fd socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    ifreq interface {};
    std::strcpy(interface.ifr_name, "lo");
    if (::ioctl(socket.get(), SIOCGIFFLAGS, &interface) != 0 || (interface.ifr_flags & IFF_UP) != 0) return;
    interface.ifr_flags |= IFF_UP;
    ::ioctl(socket.get(), SIOCSIFFLAGS, &interface);
}

inline void isolate() {
    own_mounts = own_namespace();
    ::unshare(CLONE_NEWNET);
    set_up_lo();
}

inline std::string why() {
    return std::strerror(errno);
}

/// A file system mounted on a directory of its own.
class mounted {
public:
    mounted(const char* type, const char* options)
        : mounted_(own_mounts && ::mount(type, path().c_str(), type, 0, options) == 0) {}
    mounted(const mounted&) = delete;
    mounted& operator=(const mounted&) = delete;
    ~mounted() {
        if (mounted_) ::umount2(path().c_str(), MNT_DETACH);
    }
    explicit operator bool() const { return mounted_; }
    const std::string& path() const { return directory_.path(); }
    std::string operator/(const std::string& name) const { return directory_ / name; }

private:
    temporary_directory directory_;
    bool mounted_;
};

inline std::string own_name() {
    return "procmap-kinds." + std::to_string(::getpid());
}

}  // namespace support
