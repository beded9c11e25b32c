// Passes an open maps file to another process: an application opens its own, without privileges, and an unprivileged agent queries it.
//
//   auto sent = procmap::send_maps(socket, *self);        // in the application
//   auto application = procmap::receive_maps(socket);     // in the agent
#pragma once

#include <procmap/version.hpp>

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstddef>
#include <span>
#include <utility>

#include <procmap/detail/close_elsewhere.hpp>
#include <procmap/maps.hpp>

namespace procmap::inline PROCMAP_ABI {

/// Sends a handle's descriptor over a Unix socket, with one byte of data. The receiver's handle is bound to the same address space; the
/// sender's stays open. One system call; 0.5 kB of stack; async-signal-safe; never SIGPIPE. Fails with errc::failed and the errno of
/// sendmsg(2), with errc::interrupted, or with errc::invalid if the handle is empty.
[[nodiscard]] inline result<void> send_maps(int socket, const maps& from) noexcept {
    char byte = 'm';
    iovec data{&byte, 1};
    const int fd = from.fd().get();
    if (fd < 0) return error{.code = errc::invalid, .at = step::send, .errno_value = EBADF};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    __builtin_memcpy(CMSG_DATA(header), &fd, sizeof fd);
    const detail::uncancelled whole;
    const detail::errno_kept keep;
    const ssize_t n = detail::uninterrupted([&] { return ::sendmsg(socket, &message, MSG_NOSIGNAL); });
    const int failure = n < 0 ? errno : 0;
    if (n == 1) return {};
    return error{.code = failure == EINTR ? errc::interrupted : errc::failed, .at = step::send, .errno_value = failure};
}

/// Receives what send_maps sent, close-on-exec, and verifies that it is a maps file. Blocks as long as the socket does; the sender cannot
/// block it for longer (see maps::adopt). Up to 6.5 kB of stack; async-signal-safe; not a cancellation point. Fails with errc::malformed if
/// no descriptor or several came, or the message was truncated (they are closed), with errc::gone and no errno if the peer closed the
/// connection, with errc::failed or errc::interrupted if recvmsg(2) failed, and otherwise as maps::adopt.
[[nodiscard]] inline result<maps> receive_maps(int socket, const open_options& how = {}) noexcept {
    char byte = 0;
    iovec data{&byte, 1};
    // Room for all that a message can carry, because the kernel closes the rest in this call: 253 descriptors (SCM_MAX_FD), and what the
    // socket may be set to pass: credentials, a security label, a pidfd (unix(7)).
    constexpr std::size_t most_fds = 253;
    alignas(cmsghdr) char control[CMSG_SPACE(most_fds * sizeof(int)) + 512] = {};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const detail::uncancelled whole;
    const detail::errno_kept keep;
    const ssize_t n = detail::uninterrupted([&] { return ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC); });
    const int failure = n < 0 ? errno : 0;
    if (n < 0) return error{.code = failure == EINTR ? errc::interrupted : errc::failed, .at = step::receive, .errno_value = failure};

    int came[most_fds];
    std::size_t count = 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-compare"  // in musl's CMSG_NXTHDR
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
#pragma GCC diagnostic pop
        constexpr int scm_pidfd = 4;  // SCM_PIDFD, Linux 6.5
        const bool rights = header->cmsg_type == SCM_RIGHTS;
        if (header->cmsg_level != SOL_SOCKET || (!rights && header->cmsg_type != scm_pidfd)) continue;
        const std::size_t fds = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < fds; ++i) {
            int fd = -1;
            __builtin_memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
            if (rights && count < most_fds)
                came[count++] = fd;
            else
                unique_fd{fd}.reset();  // a pidfd that was not requested
        }
    }
    if (n == 0 && count == 0) return error{.code = errc::gone, .at = step::receive};
    if (count == 1 && (message.msg_flags & MSG_CTRUNC) == 0) return maps::adopt(unique_fd{came[0]}, how);
    detail::close_elsewhere(std::span{came}.first(count));
    return error{.code = errc::malformed, .at = step::receive};
}

}  // namespace procmap::inline PROCMAP_ABI
