// Owning and non-owning file descriptors.
//
//   auto child = procmap::maps::open(procmap::borrowed_fd{pidfd});      // pidfd stays open
//   auto other = procmap::maps::adopt(procmap::unique_fd{descriptor});  // takes ownership
#pragma once

#include <procmap/version.hpp>

#include <unistd.h>

#include <cerrno>

#include <procmap/detail/guards.hpp>

namespace procmap::inline PROCMAP_ABI {

/// A non-owning file descriptor.
class borrowed_fd {
public:
    constexpr explicit borrowed_fd(int fd) noexcept : fd_(fd) {}  ///< does not take ownership
    [[nodiscard]] constexpr int get() const noexcept { return fd_; }  ///< the descriptor's number

private:
    int fd_;
};

/// An owning file descriptor, closed by the destructor. close() preserves errno and is not retried on EINTR: Linux has already closed the
/// descriptor (close(2)), and the number may have been reused.
class unique_fd {
public:
    constexpr unique_fd() noexcept = default;                                  ///< empty
    constexpr explicit unique_fd(int fd) noexcept : fd_(fd) {}                 ///< takes ownership of `fd`; empty if it is negative
    constexpr unique_fd(unique_fd&& other) noexcept : fd_(other.release()) {}  ///< takes ownership; `other` becomes empty
    /// Closes the descriptor that it owns and takes ownership of the other one; `other` becomes empty.
    constexpr unique_fd& operator=(unique_fd&& other) noexcept {
        reset(other.release());
        return *this;
    }
    constexpr ~unique_fd() { reset(); }

    [[nodiscard]] constexpr int get() const noexcept { return fd_; }                        ///< the number; negative if empty
    [[nodiscard]] constexpr borrowed_fd borrow() const noexcept { return borrowed_fd{fd_}; }  ///< valid while this owns it
    [[nodiscard]] constexpr explicit operator bool() const noexcept { return fd_ >= 0; }    ///< true unless empty

    /// Releases ownership; the caller must close the descriptor.
    [[nodiscard]] constexpr int release() noexcept {
        const int fd = fd_;
        fd_ = -1;
        return fd;
    }
    /// Closes the descriptor that it owns and takes ownership of `fd`. At most one system call.
    constexpr void reset(int fd = -1) noexcept {
        if (fd_ >= 0 && fd_ != fd) close();
        fd_ = fd;
    }

private:
    void close() const noexcept {
        const detail::uncancelled whole;
        const detail::errno_kept keep;
        ::close(fd_);
    }

    int fd_ = -1;
};

}  // namespace procmap::inline PROCMAP_ABI
