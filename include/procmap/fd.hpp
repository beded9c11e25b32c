// Descriptors that know who owns them, and the one place where a maps file is opened.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string_view>

#include <procmap/result.hpp>

namespace procmap::inline PROCMAP_ABI {

/// A descriptor that belongs to somebody else.
class borrowed_fd {
public:
    constexpr explicit borrowed_fd(int fd) noexcept : fd_(fd) {}
    [[nodiscard]] constexpr int get() const noexcept { return fd_; }

private:
    int fd_;
};

/// A descriptor that is closed when this goes. Closing keeps errno and is never retried: after EINTR Linux has closed it
/// (close(2)), and the number may already be somebody else's.
class unique_fd {
public:
    constexpr unique_fd() noexcept = default;
    constexpr explicit unique_fd(int fd) noexcept : fd_(fd) {}
    constexpr unique_fd(unique_fd&& other) noexcept : fd_(other.release()) {}
    constexpr unique_fd& operator=(unique_fd&& other) noexcept {
        reset(other.release());
        return *this;
    }
    constexpr ~unique_fd() { reset(); }

    [[nodiscard]] constexpr int get() const noexcept { return fd_; }
    [[nodiscard]] constexpr borrowed_fd borrow() const noexcept { return borrowed_fd{fd_}; }
    [[nodiscard]] constexpr explicit operator bool() const noexcept { return fd_ >= 0; }

    /// Gives the descriptor away; the caller closes it.
    [[nodiscard]] constexpr int release() noexcept {
        const int fd = fd_;
        fd_ = -1;
        return fd;
    }
    constexpr void reset(int fd = -1) noexcept {
        if (fd_ >= 0 && fd_ != fd) {
            const int saved = errno;
            ::close(fd_);
            errno = saved;
        }
        fd_ = fd;
    }

private:
    int fd_ = -1;
};

/// How a handle asks the kernel.
enum class backend : unsigned char {
    automatic,  ///< the ioctl where it answers, otherwise the text
    ioctl,      ///< PROCMAP_QUERY, Linux 6.11+
    text,       ///< reading the file; no ioctl is sent, but for one that tells gone from task_gone
};

namespace detail {

/// Which maps file: of this process (pid 0), of a process, or of one thread of it.
struct target {
    const char* proc = "/proc";
    std::int32_t pid = error::this_process;
    std::int32_t tid = 0;
};

/// A path of procfs, put together without allocation; empty where it would be longer than PATH_MAX.
class proc_path {
public:
    proc_path(const target& t, std::string_view file) noexcept {
        put(t.proc);
        put("/");
        t.pid == error::this_process ? put("self") : put(t.pid);
        if (t.tid != 0) put("/task/"), put(t.tid);
        put(file);
    }
    [[nodiscard]] bool fits() const noexcept { return fits_; }
    [[nodiscard]] const char* c_str() const noexcept { return text_; }

private:
    void put(std::string_view part) noexcept {
        if (part.size() >= sizeof text_ - size_) fits_ = false;
        if (!fits_) return;
        for (const char c : part) text_[size_++] = c;
        text_[size_] = '\0';
    }
    void put(std::int32_t number) noexcept {
        char_line<20> digits;
        digits.put(static_cast<std::uint64_t>(number), 10);
        put(digits.view());
    }

    char text_[4096];  // PATH_MAX
    std::size_t size_ = 0;
    bool fits_ = true;
};

/// Why a maps file could not be opened. ENOENT is "gone", unless the process is there but hidden (hidepid), or procfs is not.
inline errc open_failure(const target& t, int code) noexcept {
    if (code == EACCES || code == EPERM) return errc::denied;
    if (code == ESRCH) return errc::gone;
    if (code != ENOENT && code != ENOTDIR) return errc::failed;
    if (::faccessat(AT_FDCWD, proc_path({t.proc}, "").c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0) return errc::unsupported;
    if (t.pid == error::this_process || std::string_view{t.proc} != "/proc") return errc::gone;  // another namespace's pids
    const bool there = t.tid != 0 ? ::syscall(SYS_tgkill, t.pid, t.tid, 0) == 0 : ::kill(t.pid, 0) == 0;
    return there || errno == EPERM ? errc::denied : errc::gone;
}

/// Opens a maps file, close-on-exec. One system call; up to two more to tell why it failed. errno is left as it was.
[[nodiscard]] inline result<unique_fd> open_maps(const target& t) noexcept {
    error failure{.code = errc::invalid, .at = step::open, .pid = t.pid, .tid = t.tid};
    const proc_path path{t, "/maps"};
    if ((t.pid <= 0 && t.pid != error::this_process) || t.tid < 0) return failure;
    if (!path.fits()) {
        failure.errno_value = ENAMETOOLONG;
        return failure;
    }
    const int saved = errno;
    int fd = ::openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC);
    for (int tries = 0; fd < 0 && errno == EINTR && tries < 100; ++tries)
        fd = ::openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        errno = saved;
        return unique_fd{fd};
    }
    failure.errno_value = errno;
    failure.code = errno == EINTR ? errc::interrupted : open_failure(t, failure.errno_value);
    errno = saved;
    return failure;
}

/// An open maps file and what is known about it.
struct handle {
    unique_fd fd;
    procmap::backend backend = procmap::backend::text;
    bool kernel_build_ids = false;   // the kernel may be asked for build IDs
    std::int32_t pid = error::unknown;
    std::int32_t tid = 0;
    mutable std::uint32_t reads = 0;  // of the text, by anybody through this handle: see text_reader

    [[nodiscard]] error failure(errc code, step at, int errno_value = 0) const noexcept {
        return {.code = code, .at = at, .errno_value = errno_value, .pid = pid, .tid = tid};
    }
};

}  // namespace detail
}  // namespace procmap::inline PROCMAP_ABI
