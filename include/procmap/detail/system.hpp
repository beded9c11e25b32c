// Protection against cancellation, signal handlers, fork, and close(2) calls that block.
#pragma once

#include <procmap/version.hpp>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>

namespace procmap::inline PROCMAP_ABI::detail {

/// Disables cancellation of the calling thread (pthreads(7)) for its lifetime. glibc cancels a thread by unwinding, which would terminate
/// the program in a noexcept function. No system call.
class uncancelled {
public:
    uncancelled() noexcept { swap_state(); }
    ~uncancelled() { swap_state(); }
    uncancelled(const uncancelled&) = delete;
    uncancelled& operator=(const uncancelled&) = delete;

private:
#ifdef PTHREAD_CANCEL_DISABLE  // Android cannot cancel threads
    void swap_state() noexcept { ::pthread_setcancelstate(state_, &state_); }
    int state_ = PTHREAD_CANCEL_DISABLE;
#else
    void swap_state() noexcept {}
#endif
};

/// Restores errno at the end of a scope.
class errno_kept {
public:
    errno_kept() noexcept = default;
    ~errno_kept() { errno = saved_; }
    errno_kept(const errno_kept&) = delete;
    errno_kept& operator=(const errno_kept&) = delete;

private:
    int saved_ = errno;
};

inline constexpr int interrupted_tries = 100;  // EINTR is retried, but not for ever

/// Repeats a system call that is interrupted (EINTR). Returns what the last call returned.
template <class Call>
[[nodiscard]] auto uninterrupted(Call call) noexcept {
    for (int tries = 0;; ++tries)
        if (const auto n = call(); n >= 0 || errno != EINTR || tries == interrupted_tries) return n;
}

/// Blocks the signals of the calling thread for its lifetime, so that no handler can leave a critical section by siglongjmp. Signals that
/// a thread raises itself are not blocked: while blocked they kill the process, and a sandbox may emulate system calls in a SIGSYS handler.
/// Two system calls. If a sandbox refuses them, no signals are blocked.
class signals_blocked {
public:
    signals_blocked() noexcept {
        sigset_t all;
        ::sigfillset(&all);
        for (const int caused : {SIGSYS, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP}) ::sigdelset(&all, caused);
        const errno_kept keep;
        blocked_ = ::sigprocmask(SIG_SETMASK, &all, &before_) == 0;  // on Linux, the thread's mask; needs no libpthread
    }
    ~signals_blocked() {
        const errno_kept keep;
        if (blocked_) ::sigprocmask(SIG_SETMASK, &before_, nullptr);
    }
    signals_blocked(const signals_blocked&) = delete;
    signals_blocked& operator=(const signals_blocked&) = delete;

private:
    sigset_t before_;
    bool blocked_ = false;
};

/// A page that distinguishes a process from its forked children: the kernel clears it in the child (MADV_WIPEONFORK, Linux 4.14). A pid
/// does not, because two processes in different pid namespaces can have the same one.
struct process_page {
    std::uint32_t generation;  // how often the page was found cleared, by this process and its ancestors; 0: cleared
    std::int32_t pid;          // of the process that set `generation`
};
inline process_page* this_process_page = nullptr;   // mapped on first use, never unmapped
inline std::uint32_t last_generation = 0;           // in ordinary memory, so a child inherits it
inline bool no_process_page = false;                // the page could not be mapped
inline constexpr std::size_t process_page_size = 4096;
inline constexpr std::uint32_t most_generations = process_page_size - 1;

/// Returns the page, or null if the kernel cannot clear it on fork. Three system calls on first use, one in a child, none later.
[[nodiscard]] inline process_page* page_of_process() noexcept {
    process_page* page = __atomic_load_n(&this_process_page, __ATOMIC_ACQUIRE);
    if (page == nullptr && !__atomic_load_n(&no_process_page, __ATOMIC_RELAXED)) {
        constexpr int wipe_on_fork = 18;  // MADV_WIPEONFORK
        const errno_kept keep;
        void* const memory = ::mmap(nullptr, process_page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        const bool mapped = memory != MAP_FAILED;
        if (mapped && ::madvise(memory, process_page_size, wipe_on_fork) == 0) {
            page = static_cast<process_page*>(memory);
            process_page* none = nullptr;
            if (!__atomic_compare_exchange_n(&this_process_page, &none, page, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
                (void)::munmap(memory, process_page_size);  // another thread was first
                page = none;
            }
        } else {
            if (mapped) (void)::munmap(memory, process_page_size);
            __atomic_store_n(&no_process_page, true, __ATOMIC_RELAXED);
        }
    }
    if (page != nullptr && __atomic_load_n(&page->generation, __ATOMIC_ACQUIRE) == 0) {
        const std::uint32_t next = __atomic_add_fetch(&last_generation, 1, __ATOMIC_RELAXED);
        std::uint32_t cleared = 0;
        __atomic_store_n(&page->pid, ::getpid(), __ATOMIC_RELAXED);
        (void)__atomic_compare_exchange_n(&page->generation, &cleared, next, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    return page;
}

/// Returns a nonzero number that differs between this process and its ancestors, up to `most_generations` of them. System calls as for
/// page_of_process(); one on each call before Linux 4.14.
[[nodiscard]] inline std::uintptr_t this_process() noexcept {
    const process_page* const page = page_of_process();
    // The address is added because several shared objects of a program can have a page each.
    if (page == nullptr) return static_cast<std::uintptr_t>(::getpid());
    const std::uint32_t generation = __atomic_load_n(&page->generation, __ATOMIC_ACQUIRE);
    return reinterpret_cast<std::uintptr_t>(page) + (generation < most_generations ? generation : most_generations);
}

/// Returns true if `number` is proven to be that of an ancestor of this process, whose own number is `own`.
[[nodiscard]] inline bool is_ancestor(std::uintptr_t number, std::uintptr_t own) noexcept {
    return number != own && number / process_page_size == own / process_page_size && page_of_process() != nullptr;
}

/// Returns true if `number` is proven to be that of this process. One system call.
[[nodiscard]] inline bool is_this_process(std::uintptr_t number) noexcept {
    const process_page* const page = page_of_process();
    // The pid is compared too: another process may share this memory (CLONE_VM), and an emulator may not clear pages.
    return page != nullptr && number == this_process() && __atomic_load_n(&page->generation, __ATOMIC_ACQUIRE) < most_generations &&
           __atomic_load_n(&page->pid, __ATOMIC_RELAXED) == ::getpid();
}

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
