// What a thread or a process can do to another in the middle of a call, kept away.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>

#include <procmap/version.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// Disables cancellation of the calling thread (pthreads(7)) for its lifetime: glibc cancels a thread by unwinding, which ends the
/// program in a noexcept function. No system call.
class uncancelled {
public:
#ifdef PTHREAD_CANCEL_DISABLE  // Android cannot cancel threads
    uncancelled() noexcept { ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
    ~uncancelled() { ::pthread_setcancelstate(before_, &before_); }

private:
    int before_ = 0;

public:
#else
    uncancelled() noexcept {}
    ~uncancelled() {}
#endif
    uncancelled(const uncancelled&) = delete;
    uncancelled& operator=(const uncancelled&) = delete;
};

/// Blocks all signals of the calling thread for its lifetime, so that no handler can leave the code below it by siglongjmp. Two
/// system calls. Where a sandbox refuses them, nothing is blocked.
class signals_blocked {
public:
    signals_blocked() noexcept {
        sigset_t all;
        ::sigfillset(&all);
        const int saved = errno;
        blocked_ = ::sigprocmask(SIG_SETMASK, &all, &before_) == 0;  // on Linux the thread's, and in the C library since ever
        errno = saved;
    }
    ~signals_blocked() {
        const int saved = errno;
        if (blocked_) ::sigprocmask(SIG_SETMASK, &before_, nullptr);
        errno = saved;
    }
    signals_blocked(const signals_blocked&) = delete;
    signals_blocked& operator=(const signals_blocked&) = delete;

private:
    sigset_t before_;
    bool blocked_ = false;
};

/// What tells a process from those that fork makes of it: a page that the kernel clears in the child (MADV_WIPEONFORK, Linux 4.14+).
/// A pid does not tell: two processes in different pid namespaces can have the same one.
struct process_page {
    std::uint32_t generation;  // how many times the page was found cleared, by this process or the ones that it was forked from
    std::int32_t pid;          // of the process that found it so
};
inline process_page* this_process_page = nullptr;   // mapped when it is first asked for, and never unmapped
inline std::uint32_t last_generation = 0;           // in ordinary memory: a child starts with its parent's
inline constexpr std::size_t process_page_size = 4096;

/// The page; null where the kernel cannot clear it on fork. Three system calls the first time in a process, none later.
[[nodiscard]] inline process_page* page_of_process() noexcept {
    process_page* page = __atomic_load_n(&this_process_page, __ATOMIC_ACQUIRE);
    if (page == nullptr) {
        constexpr int wipe_on_fork = 18;  // MADV_WIPEONFORK
        const int saved = errno;
        void* const memory = ::mmap(nullptr, process_page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        const bool mapped = memory != MAP_FAILED;
        if (mapped && ::madvise(memory, process_page_size, wipe_on_fork) == 0) {
            page = static_cast<process_page*>(memory);
            process_page* none = nullptr;
            if (!__atomic_compare_exchange_n(&this_process_page, &none, page, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
                (void)::munmap(memory, process_page_size);  // another thread was faster
                page = none;
            }
        } else if (mapped) {
            (void)::munmap(memory, process_page_size);
        }
        errno = saved;
    }
    if (page != nullptr && __atomic_load_n(&page->generation, __ATOMIC_ACQUIRE) == 0) {
        const std::uint32_t next = __atomic_add_fetch(&last_generation, 1, __ATOMIC_RELAXED);
        std::uint32_t cleared = 0;
        __atomic_store_n(&page->pid, ::getpid(), __ATOMIC_RELAXED);
        (void)__atomic_compare_exchange_n(&page->generation, &cleared, next, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    return page;
}

/// A number that this process has, and no process that it was forked from; not 0. No system call but for the first time, or (before
/// Linux 4.14) one.
[[nodiscard]] inline std::uintptr_t this_process() noexcept {
    const process_page* const page = page_of_process();
    // Its address is added for programs in which several shared objects have a page each.
    if (page != nullptr) return reinterpret_cast<std::uintptr_t>(page) + __atomic_load_n(&page->generation, __ATOMIC_ACQUIRE) % process_page_size;
    return static_cast<std::uintptr_t>(::getpid());
}

/// Whether a number is of a process that this one, whose number is `own`, was forked from. False where that cannot be proven.
[[nodiscard]] inline bool is_ancestor(std::uintptr_t number, std::uintptr_t own) noexcept {
    return number != own && number / process_page_size == own / process_page_size && page_of_process() != nullptr;
}

/// Whether this process is the one that had that number. False where that cannot be proven. One system call.
[[nodiscard]] inline bool is_this_process(std::uintptr_t number) noexcept {
    const process_page* const page = page_of_process();
    // The pid as well: memory may be shared with another process (CLONE_VM), and an emulator may not clear pages.
    return page != nullptr && number == this_process() && __atomic_load_n(&page->pid, __ATOMIC_RELAXED) == ::getpid();
}

/// Closes descriptors that another process chose, from a child process: close(2) can wait for that other process (the server of a
/// FUSE file, a socket that lingers). The child shares this process's table of descriptors: a number is free from the moment at which
/// closing it begins. That is awaited for the first one, for up to a second, and for the others, which the first can hold up, for 20 ms.
///
/// It is a grandchild, so nobody has to wait for it. Where none can be made, the descriptors are closed here. Some 100 µs.
inline void close_elsewhere(std::span<const int> fds) noexcept {
    if (fds.empty()) return;
    const uncancelled safe;
    const signals_blocked no_handlers;  // in the children
    const int saved = errno;
    constexpr unsigned long clone_files = 0x400;  // CLONE_FILES, include/uapi/linux/sched.h; and no signal when it exits
    const auto clone = []() noexcept {
#if defined(__s390__) || defined(__CRIS__)
        return ::syscall(SYS_clone, 0UL, clone_files, 0UL, 0UL, 0UL);
#else
        return ::syscall(SYS_clone, clone_files, 0UL, 0UL, 0UL, 0UL);
#endif
    };
    const long child = clone();
    if (child == 0) {
        if (clone() <= 0)
            for (const int fd : fds) ::syscall(SYS_close, fd);
        for (;;) ::syscall(SYS_exit_group, 0);
    }
    if (child < 0) {
        for (const int fd : fds) ::close(fd);
    } else {
        constexpr unsigned wait_for_clones = 0x80000000;  // __WCLONE
        while (::syscall(SYS_wait4, child, nullptr, wait_for_clones, nullptr) < 0 && errno == EINTR) {}
        const auto await = [](int fd, int ms) noexcept {
            for (int tries = -100; tries < ms && ::fcntl(fd, F_GETFD) >= 0; ++tries) (void)::poll(nullptr, 0, tries < 0 ? 0 : 1);
        };
        await(fds.front(), 1000);
        await(fds.back(), 20);
    }
    errno = saved;
}

}  // namespace procmap::inline PROCMAP_ABI::detail
