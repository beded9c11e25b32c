// An open /proc/PID/maps: which mapping holds an address, and what is mapped at all.
#pragma once

#include <procmap/version.hpp>

#include <unistd.h>

#include <cstdint>
#include <utility>

#include <procmap/detail/lookup.hpp>
#include <procmap/detail/open.hpp>
#include <procmap/fd.hpp>
#include <procmap/options.hpp>
#include <procmap/walk.hpp>

namespace procmap::inline PROCMAP_ABI {

namespace detail {
struct handle_of;
}

/// A handle on one address space. It is bound to that, not to the pid: once the address space has no user left (exit, exec) it
/// answers errc::gone, and never for somebody else, whatever became of the pid. Permission is checked when it is opened
/// (ptrace access mode READ_FSCREDS, proc_pid_maps(5); since Linux 6.15 CAP_PERFMON in the initial user namespace is enough); a handle
/// keeps working after privileges are dropped.
///
/// ioctl: all const members may be called from several threads at once, and the handle may be shared by fork or SCM_RIGHTS.
/// Text: one open description has one position in the text. Several threads are noticed and survived, at a cost; a handle that
/// another process reads too is not promised to work, and a handler that keeps interrupting a walk of its own thread on the same
/// handle can starve it: give a sampling handler its own.
///
/// A child made by fork that uses its parent's handle asks about the parent: open again in the child.
/// A default-constructed or moved-from handle answers errc::invalid (EBADF). Movable, not copyable; a move ends its walks.
class maps {
public:
    maps() noexcept = default;  ///< no handle

    /// Opens the maps of this process. Three system calls: an open, one query to see that it answers, and uname; text: fstat and a read
    /// in place of uname. The first handle of a process takes three more, and a page of memory that stays (detail::page_of_process).
    /// Up to 14 kB of stack. Async-signal-safe, and so are the others.
    [[nodiscard]] static result<maps> open_self(const open_options& how = {}) noexcept {
        return made(detail::open_target({.proc = how.proc}, how));
    }
    /// Opens the maps of a process, or of a thread by its thread ID. Where its main thread has exited
    /// and others live, it is opened through one of those. errc::gone: no such process, or it just exited; errc::zombie,
    /// errc::kernel_thread: it has no address space; errc::denied: see maps; errc::unsupported: the back-end that `how` insists on, or
    /// procfs, is not there; errc::failed: no descriptor left, say. Cost as for open_self; more system calls where it cannot be opened.
    [[nodiscard]] static result<maps> open(pid_t pid, const open_options& how = {}) noexcept {
        return made(detail::open_target({.proc = how.proc, .pid = pid < 0 ? 0 : pid}, how));
    }
    /// Opens them through one thread, /proc/PID/task/TID/maps. Errors and cost as for open(pid).
    [[nodiscard]] static result<maps> open(pid_t pid, pid_t tid, const open_options& how = {}) noexcept {
        return made(detail::open_target({.proc = how.proc, .pid = pid < 0 ? 0 : pid, .tid = tid == 0 ? -1 : tid}, how));
    }
    /// Opens the maps of the process that a pidfd names, and of no other: the pid could be another's by the time it is used, so the
    /// pidfd is polled afterwards; it is readable once its process has exited (pidfd_open(2)). Errors as for open(pid);
    /// errc::denied where it cannot be polled (a sandbox). Five more system calls; up to 16.5 kB of stack.
    [[nodiscard]] static result<maps> open(borrowed_fd pidfd, const open_options& how = {}) noexcept {
        return made(detail::open_pidfd(pidfd, how));
    }
    /// Takes ownership of a descriptor that was opened elsewhere, after making sure that it is a readable maps file of procfs:
    /// errc::not_maps where it is not (smaps, pagemap, a regular file, a directory, O_PATH, …), errc::gone where its address space is
    /// gone, errc::invalid where it is not open. `how.proc` is not used. Six system calls, by text some twenty; up to 10 kB of stack.
    ///
    /// On failure the descriptor is closed. Whoever sent it cannot make this wait: a file that is not of procfs is recognized without
    /// asking its file system (by ioctl FIGETBSZ; a sandbox that refuses it lets the server of a FUSE file be asked), and is closed
    /// by short-lived child processes, since close(2) can wait for a FUSE server or for a socket that lingers: see
    /// detail::close_elsewhere. What does not answer PROCMAP_QUERY is read only if it is called maps, by its link in /proc/self/fd
    /// (errc::unsupported where that cannot be read), and if this process's own maps do not answer either.
    [[nodiscard]] static result<maps> adopt(unique_fd fd, const open_options& how = {}) noexcept {
        return made(detail::adopt(std::move(fd), how));
    }

    /// The mapping that holds `address`; errc::not_mapped where none does, or where that one has not all of `options.only`.
    ///
    /// ioctl: one system call (a second one when the name is too long: it then comes without), about 0.4 µs, and 0.15 to 0.3
    /// more with the name; up to 0.9 kB of stack. Text: reads on average half the file, with two rt_sigprocmask a pread; 6.5 kB of stack.
    ///
    /// With a build ID: two system calls. The kernel reads whatever is mapped, and a read takes data out of a socket or blocks; so the
    /// name is asked for first, into the caller's buffer if it has 4096 bytes, else onto the stack (6 kB in all), and the kernel is asked only
    /// about regular files: a path, but not below /dev (except shm and hugepages), /proc or /sys, nor the kernel's own /SYSV...,
    /// /[aio], /dmabuf:, /secretmem, /anon_hugepage and /drm mm object. Memory without a file, sockets and anonymous inodes are known to
    /// have none; the rest is not known, nor is a file in which the kernel finds none (it returns 20 bytes at most). What remains
    /// possible: a process that maps something else between the two calls, a device node outside /dev, a file of FUSE.
    /// No allocation, no lock, errno left as it was, async-signal-safe. Other errors: errc::gone, task_gone and contended (text),
    /// denied (a sandbox), interrupted, malformed (no kernel's answer), invalid (no handle, or a build-ID buffer below 20 bytes).
    /// It throws nothing. By text it is a cancellation point (pthreads(7)), the only one here besides find_from; glibc cancels a
    /// thread by unwinding, so these two are not noexcept.
    /// Source: do_procmap_query() in fs/proc/task_mmu.c.
    [[nodiscard]] result<mapping> find(std::uint64_t address, const find_options& options) const {
        return detail::lookup_cancellably(handle_, address, options, false);
    }
    /// The same, with no name, build ID or filter asked for.
    [[nodiscard, gnu::always_inline]] result<mapping> find(std::uint64_t address) const {
        return detail::lookup_cancellably(handle_, address, detail::nothing_asked, false);
    }
    /// The mapping that holds `address`, or else the lowest above it, of those that have all of `options.only`;
    /// errc::not_mapped where there is none. Cost as for find.
    [[nodiscard]] result<mapping> find_from(std::uint64_t address, const find_options& options) const {
        return detail::lookup_cancellably(handle_, address, options, true);
    }
    /// The same, with no name, build ID or filter asked for.
    [[nodiscard, gnu::always_inline]] result<mapping> find_from(std::uint64_t address) const {
        return detail::lookup_cancellably(handle_, address, detail::nothing_asked, true);
    }
    /// All mappings that have all of `options.only`, ascending: see mapping_walk. It borrows this handle.
    [[nodiscard]] mapping_walk walk(const walk_options& options = {}) const& noexcept {
        return detail::walk_over(handle_, options, handle_.backend);
    }
    mapping_walk walk(const walk_options& options = {}) const&& = delete;  // it would borrow from a temporary

    /// The back-end in use: ioctl or text, never automatic.
    [[nodiscard]] procmap::backend backend() const noexcept { return handle_.backend; }
    [[nodiscard]] borrowed_fd fd() const noexcept { return handle_.fd.borrow(); }  ///< -1: no handle

private:
    friend struct detail::handle_of;

    explicit maps(detail::handle&& handle) noexcept : handle_(std::move(handle)) {}

    /// The handle that was opened, or the error.
    static result<maps> made(result<detail::handle> opened) noexcept {
        if (!opened) return opened.error();
        return maps{*std::move(opened)};
    }

    detail::handle handle_{};
};

namespace detail {

/// The inside of a handle, for what looks files up.
struct handle_of {
    [[nodiscard]] static const handle& get(const maps& m) noexcept { return m.handle_; }
    /// As the members of that name, but no cancellation point.
    ///@{
    [[nodiscard]] static result<mapping> find(const maps& m, std::uint64_t address, const find_options& options) noexcept {
        return lookup(m.handle_, address, options, false);
    }
    [[nodiscard]] static result<mapping> find_from(const maps& m, std::uint64_t address, const find_options& options) noexcept {
        return lookup(m.handle_, address, options, true);
    }
    ///@}
};

}  // namespace detail
}  // namespace procmap::inline PROCMAP_ABI
