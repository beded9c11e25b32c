// Refuses system calls, as a sandbox does.
#pragma once

#include "processes.hpp"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace support {

/// In a child: from now on a system call ends like that. `request`: of an ioctl, the only one that does; 0: whatever its arguments.
inline void refuse(long number, std::uint32_t request, std::uint32_t action) {
    constexpr std::uint32_t low_half = std::endian::native == std::endian::little ? 0 : 4;
    const auto nr = static_cast<std::uint32_t>(number);
    const std::uint8_t unless_ours = request != 0 ? 0 : 1;  // then the comparison is jumped over
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1]) + low_half),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, request, 1, unless_ours),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog filter{static_cast<unsigned short>(std::size(program)), program};
    ensure(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "PR_SET_NO_NEW_PRIVS");
    ensure(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0, "PR_SET_SECCOMP");
}

inline std::uint32_t error_action(int code) { return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(code); }

}  // namespace support
