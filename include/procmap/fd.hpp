// Descriptors that know who owns them.
#pragma once

#include <procmap/version.hpp>

#include <unistd.h>

#include <cerrno>

#include <procmap/detail/system.hpp>

namespace procmap::inline PROCMAP_ABI {

/// A descriptor that belongs to somebody else.
class borrowed_fd {
public:
    constexpr explicit borrowed_fd(int fd) noexcept : fd_(fd) {}  ///< owns nothing
    [[nodiscard]] constexpr int get() const noexcept { return fd_; }  ///< its number

private:
    int fd_;
};

/// A descriptor that is closed when this goes. Closing keeps errno and is never retried: after EINTR Linux has closed it
/// (close(2)), and the number may already be somebody else's.
class unique_fd {
public:
    constexpr unique_fd() noexcept = default;                                  ///< holds none
    constexpr explicit unique_fd(int fd) noexcept : fd_(fd) {}                 ///< takes `fd` over; negative: holds none
    constexpr unique_fd(unique_fd&& other) noexcept : fd_(other.release()) {}  ///< `other` then holds none
    /// Closes what it held; `other` then holds none.
    constexpr unique_fd& operator=(unique_fd&& other) noexcept {
        reset(other.release());
        return *this;
    }
    constexpr ~unique_fd() { reset(); }

    [[nodiscard]] constexpr int get() const noexcept { return fd_; }                        ///< its number; -1: it holds none
    [[nodiscard]] constexpr borrowed_fd borrow() const noexcept { return borrowed_fd{fd_}; }  ///< valid as long as this holds it
    [[nodiscard]] constexpr explicit operator bool() const noexcept { return fd_ >= 0; }    ///< whether it holds one

    /// Gives the descriptor away; the caller closes it.
    [[nodiscard]] constexpr int release() noexcept {
        const int fd = fd_;
        fd_ = -1;
        return fd;
    }
    /// Closes what it holds, and takes `fd` over. One system call, or none.
    constexpr void reset(int fd = -1) noexcept {
        if (fd_ >= 0 && fd_ != fd) close();
        fd_ = fd;
    }

private:
    void close() const noexcept {
        const detail::uncancelled whole;
        const int saved = errno;
        ::close(fd_);
        errno = saved;
    }

    int fd_ = -1;
};

}  // namespace procmap::inline PROCMAP_ABI
