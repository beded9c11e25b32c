// Guards for the scope of a system call: errno, cancellation, signal handlers, EINTR.
#pragma once

#include <procmap/version.hpp>

#include <pthread.h>
#include <signal.h>

#include <cerrno>

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
        constexpr int caused[] = {SIGSYS, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
        for (const int signal : caused) ::sigdelset(&all, signal);
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

}  // namespace procmap::inline PROCMAP_ABI::detail
