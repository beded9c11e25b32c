// Queries the memory mappings of a process.
//
//   auto self = procmap::maps::open_self();
//   procmap::name_buffer name;
//   if (auto m = self->find(address, {.name = name})) use(m->start, m->name);
#pragma once

#include <procmap/version.hpp>

#include <unistd.h>

#include <cstdint>
#include <utility>

#include <procmap/detail/extent.hpp>
#include <procmap/detail/lookup.hpp>
#include <procmap/detail/open.hpp>
#include <procmap/fd.hpp>
#include <procmap/options.hpp>
#include <procmap/walk.hpp>

namespace procmap::inline PROCMAP_ABI {

class maps;

namespace detail {
template <>
inline constexpr bool lent<maps> = true;
const handle& handle_of(const maps& m) noexcept;
}

/// A handle on an address space, not on a pid. After the last user of the address space has exited or called exec, the handle fails with
/// errc::gone; it never answers for another process that reuses the pid. The kernel checks permission when it is opened (ptrace access mode
/// READ_FSCREDS, proc_pid_maps(5); since Linux 6.15 CAP_PERFMON in the initial user namespace suffices). The handle keeps working after
/// privileges are dropped.
///
/// ioctl: several threads may call const members at once, and fork or SCM_RIGHTS may share the handle. Text: an open file description has
/// one position in the text. Readers in several threads are detected and handled, but slower; readers in several processes are not
/// supported. A signal handler that keeps interrupting a walk of its thread on the same handle can starve it: give the handler its own
/// handle.
///
/// In a child of fork, the parent's handle reports the parent's mappings: open a new one. A default-constructed or moved-from handle fails
/// with errc::invalid (EBADF). Movable, not copyable; moving a handle invalidates its walks.
class maps {
public:
    maps() noexcept = default;  ///< empty

    /// Opens the maps of this process. Three system calls: open, a query that tests the ioctl, and uname; by text four: open, that query,
    /// fstat and a read. The first handle of a process takes three more, and maps a page that stays mapped (docs/safety.md). Up to 5 kB of
    /// stack. Async-signal-safe, as are the other members.
    [[nodiscard]] static result<maps> open_self(const open_options& how = {}) noexcept {
        return made(detail::open_target({.proc = how.proc}, how));
    }
    /// Opens the maps of a process, or of a thread by its thread ID; if the main thread has exited, through another thread. Cost as for
    /// open_self; more system calls on failure. Fails with errc::gone (no such process, or it just exited), errc::zombie or
    /// errc::kernel_thread (it has no address space), errc::denied (see maps), errc::unsupported (the back-end that `how` requires, or
    /// procfs, is not available), or errc::failed (no descriptors left, for example).
    [[nodiscard]] static result<maps> open(pid_t pid, const open_options& how = {}) noexcept {
        return made(detail::open_target({.proc = how.proc, .pid = pid < 0 ? 0 : pid}, how));
    }
    /// Opens the maps through one thread, /proc/PID/task/TID/maps. Cost and errors as for open(pid).
    [[nodiscard]] static result<maps> open(pid_t pid, pid_t tid, const open_options& how = {}) noexcept {
        return made(detail::open_target({.proc = how.proc, .pid = pid < 0 ? 0 : pid, .tid = tid == 0 ? -1 : tid}, how));
    }
    /// Opens the maps of the process that a pidfd refers to (`open(borrowed_fd{pidfd})`: a plain int is a pid), and of no other: the pid
    /// could be reused in between, so the pidfd is polled afterwards; it is readable once its process has exited (pidfd_open(2)). Five more
    /// system calls; up to 7 kB of stack. Errors as for open(pid); errc::denied also if a sandbox refuses to poll it.
    [[nodiscard]] static result<maps> open(borrowed_fd pidfd, const open_options& how = {}) noexcept {
        return made(detail::open_pidfd(pidfd, how));
    }
    /// Takes ownership of a descriptor that was opened elsewhere, and verifies that it is a readable maps file on procfs. `how.proc` is not
    /// used. Six system calls, with text about twenty; up to 3.5 kB of stack. Fails with errc::not_maps (smaps, pagemap, a regular file, a
    /// directory, O_PATH, ...), errc::gone (its address space is gone) or errc::invalid (it is not open), and closes the descriptor.
    ///
    /// The sender of the descriptor cannot block this call. A file that is not on procfs is recognized without asking its file system (by
    /// ioctl FIGETBSZ; if a sandbox refuses that, the server of a FUSE file is asked). Short-lived child processes close it, because
    /// close(2) can wait for a FUSE server or a lingering socket (docs/safety.md). A file that does not answer PROCMAP_QUERY is read only
    /// if its link in /proc/thread-self/fd shows the name maps (if that cannot be read: errc::unsupported) and this process's own maps do
    /// not answer.
    [[nodiscard]] static result<maps> adopt(unique_fd fd, const open_options& how = {}) noexcept {
        return made(detail::adopt(std::move(fd), how));
    }

    /// Returns the mapping that contains `address`. Fails with errc::not_mapped if it does not exist or lacks some of `options.only`.
    ///
    /// ioctl: one system call; a second one, without the name, if that is too long.
    /// Up to 0.9 kB of stack. Text: reads half of the file on average, with two rt_sigprocmask for each pread; 6.5 kB of stack,
    /// 2 kB with a name buffer of 4096 bytes.
    ///
    /// With a build ID: two system calls, and stack as by text. The kernel reads whatever is mapped, and a read takes data out of a socket or
    /// blocks. The name is therefore requested first, into the caller's buffer if it has 4096 bytes, and a build ID only of regular files:
    /// paths, but not below /dev (except shm and hugepages), /proc and /sys, and not the kernel's own /SYSV..., /[aio], /dmabuf:,
    /// /secretmem, /anon_hugepage and /drm mm object. Memory without a file (except the vDSO), sockets and anonymous inodes are known to
    /// have none. For the rest it is not known, nor for a file in which the kernel finds none (it returns 20 bytes at most). Remaining
    /// risks: the process maps something else between the two calls, a device node outside of /dev, a file on FUSE.
    ///
    /// No allocation, no waiting for locks, errno preserved, async-signal-safe. Other errors: errc::gone, task_gone and contended (text),
    /// denied (a sandbox), interrupted, malformed (not a kernel's answer), invalid (empty handle, or a build-ID buffer below 20 bytes).
    /// Throws nothing. With text, find and find_from are cancellation points (pthreads(7)), the only ones here; glibc cancels a thread by
    /// unwinding, so they are not noexcept. Source: do_procmap_query() in fs/proc/task_mmu.c.
    [[nodiscard]] result<mapping> find(any_address address, const find_options& options) const {
        return detail::lookup_cancellably(handle_, address.value(), options, false);
    }
    /// The same without a name, build ID or filter.
    [[nodiscard, gnu::always_inline]] result<mapping> find(any_address address) const {
        return detail::lookup_cancellably(handle_, address.value(), detail::nothing_asked, false);
    }
    /// Returns the mapping that contains `address`, or else the lowest one above it, of those that have all of `options.only`. Fails with
    /// errc::not_mapped if there is none. Cost and other errors as for find.
    [[nodiscard]] result<mapping> find_from(any_address address, const find_options& options) const {
        return detail::lookup_cancellably(handle_, address.value(), options, true);
    }
    /// The same without a name, build ID or filter.
    [[nodiscard, gnu::always_inline]] result<mapping> find_from(any_address address) const {
        return detail::lookup_cancellably(handle_, address.value(), detail::nothing_asked, true);
    }
    /// Returns how many bytes from `address` on, at most `size`, are mapped without a hole and have all of `only`; 0 if `address` is not. This
    /// is what the mappings permit. An access can still fault: at a guard page (MADV_GUARD_INSTALL), past the end of a file, by a protection
    /// key. To read without faulting, copy with process_vm_readv(2).
    ///
    /// ioctl: one query for each mapping, which is right at its time; 0.9 kB of stack. Text: the text up to the end of the range, 6.5 kB of
    /// stack. async-signal-safe; errno is preserved. Errors as for find, but not errc::not_mapped; a `size` of 0 asks nothing.
    [[nodiscard]] result<std::uint64_t> extent(any_address address, std::uint64_t size, filters only = {}) const noexcept {
        return detail::extent(handle_, address.value(), size, only);
    }
    /// Returns a range of all mappings that have all of `options.only`, ascending: see mapping_walk. It borrows this handle.
    [[nodiscard]] mapping_walk walk(const walk_options& options = {}) const& noexcept PROCMAP_LIFETIMEBOUND {
        return detail::walk_over(handle_, options);
    }
    mapping_walk walk(const walk_options& options = {}) const&& = delete;  // it would borrow from a temporary
    /// The same in the caller's buffer, `options.buffer`, which must have at least 256 bytes. The walk has none of its own, and so takes 4.2 kB
    /// less of stack.
    [[nodiscard]] basic_mapping_walk<0> walk_in_buffer(const walk_options& options) const& noexcept PROCMAP_LIFETIMEBOUND {
        return detail::walk_over<0>(handle_, options);
    }
    basic_mapping_walk<0> walk_in_buffer(const walk_options& options) const&& = delete;  // it would borrow from a temporary

    /// Returns ioctl or text, never automatic.
    [[nodiscard]] procmap::backend backend() const noexcept { return handle_.by_ioctl() ? backend::ioctl : backend::text; }
    [[nodiscard]] borrowed_fd fd() const noexcept PROCMAP_LIFETIMEBOUND { return handle_.fd.borrow(); }  ///< -1 if empty

private:
    friend const detail::handle& detail::handle_of(const maps&) noexcept;

    explicit maps(detail::handle&& handle) noexcept : handle_(std::move(handle)) {}

    static result<maps> made(result<detail::handle> opened) noexcept {
        if (!opened) return opened.error();
        return maps{*std::move(opened)};
    }

    detail::handle handle_{};
};

namespace detail {

/// The inside of a handle, for file lookups.
[[nodiscard]] inline const handle& handle_of(const maps& m) noexcept { return m.handle_; }

}  // namespace detail
}  // namespace procmap::inline PROCMAP_ABI
