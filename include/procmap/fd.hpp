// Descriptors that know who owns them.
#pragma once

#include <unistd.h>

#include <cerrno>

#include <procmap/version.hpp>

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

}  // namespace procmap::inline PROCMAP_ABI
