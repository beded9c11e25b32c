// Closes descriptors that another process chose, in child processes: close(2) can block.
#pragma once

#include <procmap/version.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <span>

#include <procmap/detail/guards.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

#if defined(__SANITIZE_THREAD__)
inline constexpr bool watched_by_tsan = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
inline constexpr bool watched_by_tsan = true;
#else
inline constexpr bool watched_by_tsan = false;
#endif
#else
inline constexpr bool watched_by_tsan = false;
#endif
inline constexpr unsigned wait_for_clones = 0x80000000;  // __WCLONE, include/uapi/linux/wait.h

/// As fork(2), but shares the descriptor table, and the child sends no signal when it exits.
[[nodiscard]] inline long fork_sharing_descriptors() noexcept {
    constexpr unsigned long clone_files = 0x400;  // CLONE_FILES, include/uapi/linux/sched.h; the low byte 0: no signal
#if defined(__s390__) || defined(__CRIS__)
    return ::syscall(SYS_clone, 0UL, clone_files, 0UL, 0UL, 0UL);
#else
    return ::syscall(SYS_clone, clone_files, 0UL, 0UL, 0UL, 0UL);
#endif
}

/// Runs in the child of close_elsewhere(). Closes each descriptor in a process of its own, in parallel. Async-signal-safe.
inline void close_by_children(std::span<const int> fds) noexcept {
    constexpr std::size_t stack_size = 16384;
    const auto close_one = [](void* of) -> int {
        ::syscall(SYS_close, *static_cast<const int*>(of));
        for (;;) ::syscall(SYS_exit, 0);
    };
    void* const memory = ::mmap(nullptr, fds.size() * stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const auto pid_at = [memory](std::size_t i) -> long& { return *static_cast<long*>(static_cast<void*>(static_cast<char*>(memory) + i * stack_size)); };
    std::size_t closing = 0;  // number of children; the pid of one that has ended is set to 0
    for (std::size_t i = 0; i < fds.size(); ++i) {
        long pid = -1;
        int* const fd = const_cast<int*>(&fds[i]);
        if constexpr (watched_by_tsan) {  // TSan treats every clone(2) as a fork
            pid = fork_sharing_descriptors();
            if (pid == 0) close_one(fd);
        } else if (memory != MAP_FAILED) {  // CLONE_VM | CLONE_FILES; this memory is a copy already
            pid = ::clone(close_one, static_cast<char*>(memory) + (i + 1) * stack_size, 0x500, fd);
        }
        if (pid > 0 && memory != MAP_FAILED)
            pid_at(closing++) = pid;
        else
            ::syscall(SYS_close, fds[i]);
    }
    const auto wait = [&](int ms, auto done) {
        for (int tries = -100; tries < ms && !done(); ++tries) (void)::poll(nullptr, 0, tries < 0 ? 0 : 1);
    };
    const auto all_ended = [&] {
        bool ended = true;
        for (std::size_t i = 0; i < closing; ++i)
            if (pid_at(i) != 0 && ::syscall(SYS_wait4, pid_at(i), nullptr, wait_for_clones | WNOHANG, nullptr) == pid_at(i))
                pid_at(i) = 0;
            else
                ended = ended && pid_at(i) == 0;
        return ended;
    };
    wait(1000, [&] {
        if (all_ended()) return true;  // another thread may have reused a number
        for (const int fd : fds)
            if (::fcntl(fd, F_GETFD) >= 0) return false;
        return true;
    });
    wait(20, all_ended);
    for (std::size_t i = 0; i < closing; ++i)
        if (pid_at(i) != 0) ::syscall(SYS_kill, pid_at(i), SIGKILL);
    wait(100, all_ended);
}

/// Closes descriptors that another process chose, without waiting for that process as close(2) can (a FUSE server, a lingering socket).
/// A child process that shares this descriptor table starts one process for each descriptor. It waits up to 1 s until all close(2) calls
/// have begun, which frees the descriptor numbers, and another 20 ms until they have ended, so files that close immediately are closed on
/// return. It then kills the remaining processes and waits for them for up to 100 ms. Only one that waits for a FUSE server survives that.
///
/// No SIGCHLD is sent, and no child has to be waited for, except that survivors are reparented to this process if it is init or a
/// subreaper. If clone(2) fails, the descriptors are closed here. Costs a fork, which takes longer the more memory is in use.
inline void close_elsewhere(std::span<const int> fds) noexcept {
    if (fds.empty()) return;
    const uncancelled safe;
    const signals_blocked no_handlers;  // in the children
    const errno_kept keep;
    const long child = fork_sharing_descriptors();
    if (child == 0) {
        close_by_children(fds);
        for (;;) ::syscall(SYS_exit_group, 0);
    }
    if (child < 0) {
        for (const int fd : fds) ::close(fd);
    } else {
        while (::syscall(SYS_wait4, child, nullptr, wait_for_clones, nullptr) < 0 && errno == EINTR) {}
    }
}

}  // namespace procmap::inline PROCMAP_ABI::detail
