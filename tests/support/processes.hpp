// Child processes, which never outlive their test.
#pragma once

#include <grp.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

namespace support {

/// A process that is killed and reaped when this goes.
class process {
public:
    explicit process(pid_t pid) : pid_(pid) {}
    process(const process&) = delete;
    process& operator=(const process&) = delete;
    ~process() {
        kill();
        reap();
    }
    pid_t pid() const { return pid_; }
    void kill() const {
        if (!reaped_) ::kill(pid_, SIGKILL);
    }
    /// Waits until it is a zombie, and leaves it one.
    void await_zombie() const {
        siginfo_t info{};
        while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT | __WALL) != 0 && errno == EINTR) {}
    }
    void reap() {
        while (!reaped_ && ::waitpid(pid_, nullptr, __WALL) < 0 && errno == EINTR) {}
        reaped_ = true;
    }

private:
    pid_t pid_;
    bool reaped_ = false;
};

/// One end of the line between a child and its parent. When the other end is gone a child exits, and a parent's test fails.
class channel {
public:
    channel(int fd, bool in_child) : fd_(fd), in_child_(in_child) {}
    channel(const channel&) = delete;
    channel& operator=(const channel&) = delete;
    ~channel() { ::close(fd_); }

    template <class T>
    void send(const T& value) {
        static_assert(std::is_trivially_copyable_v<T>);
        if (::send(fd_, &value, sizeof value, MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof value)) lost();
    }
    template <class T>
    T receive() {
        T value{};
        ssize_t n = 0;
        while ((n = ::recv(fd_, &value, sizeof value, MSG_WAITALL)) < 0 && errno == EINTR) {}
        if (n != static_cast<ssize_t>(sizeof value)) lost();
        return value;
    }
    void signal() { send('!'); }
    void await() { receive<char>(); }
    /// In a child: stays until the parent ends it.
    [[noreturn]] void pause() {
        for (;;) await();
    }
    /// Whether the other end has been closed; waits for that.
    bool closed() {
        char none = 0;
        return ::recv(fd_, &none, 1, 0) == 0;
    }

private:
    void lost() const {
        if (in_child_) ::_exit(0);
        FAIL("the child is gone, or does not answer");
    }
    int fd_;
    bool in_child_;
};

struct channel_ends {
    int parent = -1, child = -1;
    channel_ends() {
        int ends[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        const timeval patience{.tv_sec = 60, .tv_usec = 0};
        ::setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        parent = ends[0];
        child = ends[1];
    }
};

/// In a child: ends when its parent does, or at once where that has ended already. `parent`: its number, 0 in a new pid namespace.
inline void end_with(pid_t parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
}

/// A forked child that runs `body(channel&)` and exits. No test assertions in it: it reports through the channel.
class child : public process {
public:
    template <class Body>
    explicit child(Body body, channel_ends ends = {}) : process(start(body, ends)), parent_end_(ends.parent, false) {
        ::close(ends.child);
    }
    channel* operator->() { return &parent_end_; }

private:
    template <class Body>
    static pid_t start(Body& body, const channel_ends& ends) {
        std::fflush(nullptr);  // or a child that flushes prints it again
        const pid_t parent = ::getpid(), pid = ::fork();
        REQUIRE(pid >= 0);
        if (pid != 0) return pid;
        end_with(parent);
        ::close(ends.parent);
        channel to_parent{ends.child, true};
        body(to_parent);
        ::_exit(0);
    }
    channel parent_end_;
};

[[noreturn]] inline void pause_forever() {
    for (;;) ::pause();
}

/// What a child does that only waits.
inline void wait_forever(channel& parent) {
    parent.signal();
    parent.pause();
}

/// Starts a process of that pid, as clone3 does, and runs `body` in it; -1 where that is not permitted.
template <class Body>
pid_t start_as(pid_t pid, Body body) {
    pid_t wanted[1] = {pid};
    clone_args how{};
    how.exit_signal = SIGCHLD;
    how.set_tid = reinterpret_cast<std::uintptr_t>(wanted);
    how.set_tid_size = 1;
    const pid_t parent = ::getpid();
    const auto made = static_cast<pid_t>(::syscall(SYS_clone3, &how, sizeof how));
    if (made == 0) {
        end_with(parent);
        body();
        ::_exit(0);
    }
    return made;
}

inline int open_pidfd(pid_t pid) {
#if !defined(SYS_pidfd_open)
    constexpr long SYS_pidfd_open = 434;
#endif
    return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

inline pid_t thread_id() { return static_cast<pid_t>(::syscall(SYS_gettid)); }

/// The processes that can be seen from here.
inline std::vector<pid_t> all_pids() {
    std::vector<pid_t> pids;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc", ignored})
        if (const int pid = std::atoi(entry.path().filename().c_str()); pid > 0) pids.push_back(pid);
    return pids;
}

/// In a child: what must hold for the test to make sense.
inline void ensure(bool holds, const char* what) {
    if (holds) return;
    std::perror(what);
    ::_exit(1);
}

/// In a child: becomes a user without rights.
inline void drop_privileges() {
    const pid_t parent = ::getppid();
    ensure(::setgroups(0, nullptr) == 0 && ::setgid(65534) == 0 && ::setuid(65534) == 0, "drop privileges");
    end_with(parent);  // which the kernel forgets where rights change
}

}  // namespace support
