// An open /proc/PID/maps: which mapping holds an address, and what is mapped at all.
#pragma once

#include <fcntl.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include <procmap/probe.hpp>
#include <procmap/walk.hpp>

namespace procmap::inline PROCMAP_ABI {

template <class Allocator>
class basic_snapshot;

/// How a handle is opened.
struct open_options {
    backend use = backend::automatic;
    const char* proc = "/proc";  ///< where procfs is mounted: "/host/proc" in a container, say; pids are that procfs's own
    /// Ask the kernel for build IDs also where its release is not known to be safe to ask (known_hazards: it can crash the
    /// caller or the machine). Without it such a kernel is not asked, and mapping::build_id_known says so.
    bool trust_kernel_build_ids = false;
};

/// A handle on one address space. It is bound to that, not to the pid: once the address space has no user left (exit, exec) it
/// answers errc::gone, and never for somebody else, whatever became of the pid. Permission is checked when it is opened
/// (ptrace access mode READ_FSCREDS, proc_pid_maps(5)); a handle keeps working after privileges are dropped.
///
/// ioctl: all const members may be called from several threads at once, and the handle may be shared by fork or SCM_RIGHTS.
/// Text: one open description has one position in the text. Several threads are noticed and survived, at a cost; a handle that
/// another process reads too is not promised to work.
///
/// A child made by fork that uses its parent's handle asks about the parent: open again in the child.
/// A default-constructed or moved-from handle answers errc::invalid (EBADF). Movable, not copyable; a move ends its walks.
class maps {
public:
    maps() noexcept = default;

    /// Opens the maps of this process. Two system calls with the ioctl (open, one query to see that it answers) and a uname.
    /// Async-signal-safe.
    [[nodiscard]] static result<maps> open_self(const open_options& how = {}) noexcept {
        return open_target({.proc = how.proc}, how);
    }
    /// Opens the maps of a process, or of a thread by its thread ID. errc::gone: no such process (its address space may
    /// already be gone when open succeeds: the first question says so); errc::denied: see maps; errc::unsupported: the back-end
    /// that `how` insists on is not there.
    [[nodiscard]] static result<maps> open(pid_t pid, const open_options& how = {}) noexcept {
        return open_target({.proc = how.proc, .pid = pid < 0 ? 0 : pid}, how);
    }
    /// Opens them through one thread, /proc/PID/task/TID/maps: the only way once the main thread has exited and others live.
    [[nodiscard]] static result<maps> open(pid_t pid, pid_t tid, const open_options& how = {}) noexcept {
        return open_target({.proc = how.proc, .pid = pid < 0 ? 0 : pid, .tid = tid == 0 ? -1 : tid}, how);
    }
    /// Takes over a descriptor that somebody else opened, after making sure that it is a readable maps file of procfs:
    /// errc::not_maps where it is not (smaps, a regular file, a directory, O_PATH, …), errc::gone where its address space is
    /// gone, errc::invalid where it is not open. On failure the descriptor is closed. `how.proc` is not used.
    [[nodiscard]] static result<maps> adopt(unique_fd fd, const open_options& how = {}) noexcept;

    /// The mapping that holds `address`; errc::not_mapped where none does, or where that one has not all of `options.only`.
    ///
    /// ioctl: one system call (a second one when the name is too long: it then comes without), about 0.4 µs, and 0.15 to 0.3
    /// more with the name, 2 to 4 with the build ID; 250 bytes of stack. Text: reads on average half the file; 4.5 kB of stack.
    /// No allocation, no lock, errno left as it was, async-signal-safe.
    [[nodiscard]] result<mapping> find(std::uint64_t address, const find_options& options) const noexcept {
        return detail::lookup(handle_, address, options, false);
    }
    [[nodiscard, gnu::always_inline]] result<mapping> find(std::uint64_t address) const noexcept {
        return detail::lookup(handle_, address, detail::nothing_asked, false);
    }
    /// The mapping that holds `address`, or else the lowest above it, of those that have all of `options.only`;
    /// errc::not_mapped where there is none. Cost as for find.
    [[nodiscard]] result<mapping> find_from(std::uint64_t address, const find_options& options = {}) const noexcept {
        return detail::lookup(handle_, address, options, true);
    }
    /// All mappings that have all of `options.only`, ascending: see mapping_walk. It borrows this handle.
    [[nodiscard]] mapping_walk walk(const walk_options& options = {}) const& noexcept { return {handle_, options, handle_.backend}; }
    mapping_walk walk(const walk_options& options = {}) const&& = delete;  // it would borrow from a temporary

    /// The back-end in use: ioctl or text, never automatic.
    [[nodiscard]] procmap::backend backend() const noexcept { return handle_.backend; }
    [[nodiscard]] borrowed_fd fd() const noexcept { return handle_.fd.borrow(); }

private:
    template <class Allocator>
    friend class basic_snapshot;  // captures by either back-end

    explicit maps(detail::handle&& handle) noexcept : handle_(std::move(handle)) {}

    static result<maps> open_target(const detail::target& t, const open_options& how) noexcept {
        auto file = detail::open_maps(t);
        if (!file) return file.error();
        detail::handle h{.fd = std::move(*file), .pid = t.pid, .tid = t.tid};
        const int absent = choose(h, how);
        if (absent != 0 && how.use == procmap::backend::ioctl) return h.failure(errc::unsupported, step::open, absent);
        return maps{std::move(h)};
    }

    /// Settles the back-end, by one ioctl unless text was asked for; the errno where that says that there is no such ioctl.
    static int choose(detail::handle& h, const open_options& how) noexcept {
        if (how.use == procmap::backend::text) return 0;
        if (const int absent = detail::ioctl_absent(h.fd.borrow()); absent != 0) return absent;
        h.backend = procmap::backend::ioctl;
        h.kernel_build_ids = how.trust_kernel_build_ids || known_hazards(running_kernel()).empty();
        return 0;
    }

    detail::handle handle_;
};

inline result<maps> maps::adopt(unique_fd fd, const open_options& how) noexcept {
    detail::handle h{.fd = std::move(fd)};
    const int saved = errno;
    const int mode = ::fcntl(h.fd.get(), F_GETFL);
    if (mode < 0) {
        const int failure = errno;
        errno = saved;
        return h.failure(errc::invalid, step::adopt, failure);
    }
    if ((mode & O_PATH) != 0 || (mode & O_ACCMODE) == O_WRONLY || !detail::on_procfs(h.fd.borrow()))
        return h.failure(errc::not_maps, step::adopt);
    // What answers the ioctl is a maps file: no other file of procfs does. What does not may be smaps, or an older kernel's
    // maps: in smaps and its like the second line is none of maps.
    const int absent = choose(h, how);
    if (h.backend == procmap::backend::ioctl) {
        const auto any = detail::lookup_ioctl(h, 0, {}, true);
        if (any || any.error() == errc::not_mapped) return maps{std::move(h)};
        return h.failure(any.error().code, step::adopt, any.error().errno_value);
    }
    char buffer[detail::text_buffer_size];
    detail::text_reader reader;
    mapping m;
    for (int line = 0; line < 2 && reader.next(h, buffer, 0, false, m); ++line) {}
    const procmap::error& failure = reader.error();
    if (failure == errc::gone || failure == errc::task_gone || failure == errc::denied || failure == errc::interrupted)
        return h.failure(failure.code, step::adopt, failure.errno_value);
    if (failure.code != errc::none) return h.failure(errc::not_maps, step::adopt, failure.errno_value);
    if (how.use == procmap::backend::ioctl) return h.failure(errc::unsupported, step::adopt, absent);
    return maps{std::move(h)};
}

}  // namespace procmap::inline PROCMAP_ABI
