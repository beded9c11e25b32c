// An open /proc/PID/maps: which mapping holds an address, and what is mapped at all.
#pragma once

#include <procmap/version.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include <procmap/options.hpp>
#include <procmap/probe.hpp>
#include <procmap/walk.hpp>

namespace procmap::inline PROCMAP_ABI {

template <class Allocator>
class basic_snapshot;

namespace detail {
struct handle_of;
enum class file_name : unsigned char { maps, other, unknown };
[[nodiscard]] inline file_name name_of_file(borrowed_fd fd) noexcept;
}  // namespace detail

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
        return open_target({.proc = how.proc}, how);
    }
    /// Opens the maps of a process, or of a thread by its thread ID. Where its main thread has exited
    /// and others live, it is opened through one of those. errc::gone: no such process, or it just exited; errc::zombie,
    /// errc::kernel_thread: it has no address space; errc::denied: see maps; errc::unsupported: the back-end that `how` insists on, or
    /// procfs, is not there; errc::failed: no descriptor left, say. Cost as for open_self; more system calls where it cannot be opened.
    [[nodiscard]] static result<maps> open(pid_t pid, const open_options& how = {}) noexcept {
        return open_target({.proc = how.proc, .pid = pid < 0 ? 0 : pid}, how);
    }
    /// Opens them through one thread, /proc/PID/task/TID/maps. Errors and cost as for open(pid).
    [[nodiscard]] static result<maps> open(pid_t pid, pid_t tid, const open_options& how = {}) noexcept {
        return open_target({.proc = how.proc, .pid = pid < 0 ? 0 : pid, .tid = tid == 0 ? -1 : tid}, how);
    }
    /// Opens the maps of the process that a pidfd names, and of no other: the pid could be another's by the time it is used, so the
    /// pidfd is polled afterwards; it is readable once its process has exited (pidfd_open(2)). Errors as for open(pid);
    /// errc::denied where it cannot be polled (a sandbox). Five more system calls; up to 16.5 kB of stack.
    [[nodiscard]] static result<maps> open(borrowed_fd pidfd, const open_options& how = {}) noexcept;
    /// Takes ownership of a descriptor that was opened elsewhere, after making sure that it is a readable maps file of procfs:
    /// errc::not_maps where it is not (smaps, pagemap, a regular file, a directory, O_PATH, …), errc::gone where its address space is
    /// gone, errc::invalid where it is not open. `how.proc` is not used. Six system calls, by text some twenty; up to 10 kB of stack.
    ///
    /// On failure the descriptor is closed. Whoever sent it cannot make this wait: a file that is not of procfs is recognized without
    /// asking its file system (by ioctl FIGETBSZ; a sandbox that refuses it lets the server of a FUSE file be asked), and is closed
    /// by short-lived child processes, since close(2) can wait for a FUSE server or for a socket that lingers: see
    /// detail::close_elsewhere. What does not answer PROCMAP_QUERY is read only if it is called maps, by its link in /proc/self/fd
    /// (errc::unsupported where that cannot be read), and if this process's own maps do not answer either.
    [[nodiscard]] static result<maps> adopt(unique_fd fd, const open_options& how = {}) noexcept;

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
    [[nodiscard]] mapping_walk walk(const walk_options& options = {}) const& noexcept { return {handle_, options, handle_.backend}; }
    mapping_walk walk(const walk_options& options = {}) const&& = delete;  // it would borrow from a temporary

    /// The back-end in use: ioctl or text, never automatic.
    [[nodiscard]] procmap::backend backend() const noexcept { return handle_.backend; }
    [[nodiscard]] borrowed_fd fd() const noexcept { return handle_.fd.borrow(); }  ///< -1: no handle

private:
    template <class Allocator>
    friend class basic_snapshot;  // captures by either back-end
    friend struct detail::handle_of;

    explicit maps(detail::handle&& handle) noexcept : handle_(std::move(handle)) {}

    static result<maps> open_target(const detail::target& t, const open_options& how) noexcept {
        auto opened = open_task(t, how);
        // The main thread may have exited while others live: its maps are empty then, theirs are not.
        if (!opened && opened.error() == errc::gone && opened.error().errno_value == 0) {
            error empty = opened.error();
            const int saved = errno;
            const auto through = [&](std::int32_t tid) {
                auto one = open_task({.proc = t.proc, .pid = t.pid, .tid = tid}, how);
                if (one || one.error() != errc::gone) opened = std::move(one);
                return opened.has_value();
            };
            empty.errno_value = t.tid == 0 ? detail::any_thread(AT_FDCWD, detail::proc_path{t, "/task"}.c_str(), through) : 0;
            empty.code = empty.errno_value == 0 ? detail::why_empty(t) : detail::open_failure(t, empty.errno_value);
            errno = saved;
            if (!opened && opened.error() == errc::gone) return empty;
        }
        return opened;
    }

    /// Opens the file of one task; errc::gone without an errno where it has no address space.
    static result<maps> open_task(const detail::target& t, const open_options& how) noexcept {
        auto file = detail::open_maps(t);
        if (!file) return file.error();
        detail::handle h{.fd = std::move(*file), .pid = t.pid, .tid = t.tid};
        const first_answer first = choose(h, how);
        if (first.other_file) return h.failure(errc::not_maps, step::open);
        if (first.absent != 0 && how.use == procmap::backend::ioctl) return h.failure(refusal(first.absent), step::open, first.absent);
        if (first.empty) return h.failure(errc::gone, step::open);
        if (first.failure == 0) return maps{std::move(h)};
        return h.failure(detail::text_reader::meaning(h, first.failure), step::read, first.failure);
    }

    /// What it means for a caller who insists on the ioctl that it gave no answer.
    [[nodiscard]] static constexpr errc refusal(int code) noexcept {
        return code == EINTR ? errc::interrupted : code == EBADF ? errc::invalid : code == ENOMEM ? errc::failed : errc::unsupported;
    }

    struct first_answer {
        int absent = 0;      // the errno that says that there is no such ioctl
        bool other_file = false;  // it is a FIFO, a device, ...: no file of text; of those that were adopted, none that is called maps
        bool unsure = false;      // whether one that was adopted is
        bool empty = false;  // there is no address space
        int failure = 0;     // the errno of a read that failed
    };

    /// Settles the back-end, by one ioctl unless text was asked for, and by a read of one byte for text.
    static first_answer choose(detail::handle& h, const open_options& how, bool adopted = false) noexcept {
        first_answer first;
        if (how.use != procmap::backend::text) {
            const int answer = detail::any_query(h.fd.borrow());
            if (!detail::says_absent(answer)) {
                h.backend = procmap::backend::ioctl;
                h.kernel_build_ids = how.trust_kernel_build_ids || safe_to_ask(known_hazards(running_kernel()));
                first.empty = answer == ESRCH;
                return first;
            }
            first.absent = answer;
        }
        struct stat file;
        const int saved = errno;
        first.other_file = ::fstat(h.fd.get(), &file) == 0 && !S_ISREG(file.st_mode);
        errno = saved;
        if (adopted && !first.other_file) {  // before it is read: that could take data out of it, or block; and text can be forged
            const auto name = detail::name_of_file(h.fd.borrow());
            first.unsure = name == detail::file_name::unknown;
            first.other_file = name == detail::file_name::other || (first.absent == ENOTTY && answers_ioctl());
        }
        if (first.other_file || first.unsure) return first;
        char byte = 0;
        const ssize_t n = detail::text_reader::read(h, {&byte, 1}, 0);
        first.empty = n == 0;
        first.failure = n < 0 ? static_cast<int>(-n) : 0;
        return first;
    }

    /// Whether maps files here answer the ioctl: then what does not is none.
    static bool answers_ioctl() noexcept {
        const auto own = detail::open_maps({});
        return own && !detail::says_absent(detail::any_query(own->borrow()));
    }

    detail::handle handle_{};
};

namespace detail {

/// Whether an open file of procfs is called maps, by its link.
[[nodiscard]] inline file_name name_of_file(borrowed_fd fd) noexcept {
    char target[4096];
    const int saved = errno;
    std::string_view name = read_link(AT_FDCWD, own_fd_path{fd, "fd"}.c_str(), target);
    errno = saved;
    constexpr std::string_view gone = " (deleted)";  // the task was reaped
    if (name.ends_with(gone)) name.remove_suffix(gone.size());
    return name.empty() ? file_name::unknown : name.ends_with("/maps") ? file_name::maps : file_name::other;
}

}  // namespace detail

inline result<maps> maps::adopt(unique_fd fd, const open_options& how) noexcept {
    detail::handle h{.fd = std::move(fd)};
    const int saved = errno;
    const int mode = ::fcntl(h.fd.get(), F_GETFL);
    if (mode < 0) {
        const int failure = errno;
        errno = saved;
        return h.failure(errc::invalid, step::adopt, failure);
    }
    if ((mode & O_PATH) != 0) return h.failure(errc::not_maps, step::adopt);
    // The size of a block is known without asking the file system, whose server may not answer: no FUSE file has procfs's.
    int block = 0;
    const bool knows = ::ioctl(h.fd.get(), detail::block_size_request, &block) == 0;
    errno = saved;
    int unclear = 0;
    if ((knows && block != detail::procfs_block_size) || !detail::on_procfs(h.fd.borrow(), unclear)) {
        const int other[] = {h.fd.release()};
        detail::close_elsewhere(other);
        return h.failure(unclear == 0 ? errc::not_maps : detail::failure_of(unclear), step::adopt, unclear);
    }
    if ((mode & O_ACCMODE) == O_WRONLY) return h.failure(errc::not_maps, step::adopt);
    // What answers the ioctl is a maps file: no other file of procfs does. What does not may be smaps, or an older kernel's
    // maps: in smaps and its like the second line is none of maps.
    const auto first = choose(h, how, true);
    if (first.other_file) return h.failure(errc::not_maps, step::adopt);
    if (first.unsure) return h.failure(errc::unsupported, step::adopt);
    if (h.backend == procmap::backend::ioctl) {
        const auto any = detail::lookup_ioctl(h, 0, {}, true);
        if (any || any.error() == errc::not_mapped) return maps{std::move(h)};
        return h.failure(any.error().code, step::adopt, any.error().errno_value);
    }
    char buffer[detail::text_buffer_size];
    detail::text_reader reader;
    mapping m;
    for (int line = 0; line < 2 && reader.next(h, buffer, 0, 0, m); ++line) {}
    const procmap::error& failure = reader.error();
    if (failure == errc::gone || failure == errc::task_gone || failure == errc::denied || failure == errc::interrupted)
        return h.failure(failure.code, step::adopt, failure.errno_value);
    if (failure.code != errc::none) return h.failure(errc::not_maps, step::adopt, failure.errno_value);
    if (how.use == procmap::backend::ioctl) return h.failure(refusal(first.absent), step::adopt, first.absent);
    return maps{std::move(h)};
}

inline result<maps> maps::open(borrowed_fd pidfd, const open_options& how) noexcept {
    const detail::uncancelled whole;
    error failure{.code = errc::invalid, .at = step::open};
    detail::char_line<20> number;
    number.put(static_cast<std::uint64_t>(pidfd.get() < 0 ? 0 : pidfd.get()), 10);
    const int saved = errno;
    const detail::target self{.proc = how.proc};
    const detail::proc_path path{self, std::string_view{"/fdinfo/"}, number.view()};
    if (!path.fits()) {
        failure.errno_value = ENAMETOOLONG;
        return failure;
    }
    const unique_fd info{::openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!info) {
        const int why = errno;
        const errc code = detail::open_failure(self, why);
        errno = saved;
        if (why == ENOENT && code == errc::gone) return failure;  // no such descriptor
        failure.code = code;
        failure.errno_value = why;
        return failure;
    }
    // True for the text; false, and `failure` set, where it cannot be read.
    const auto read = [&](std::span<char> to, std::string_view& fields) {
        ssize_t n = 1;
        for (std::size_t done = 0; n > 0 && done != to.size(); fields = {to.data(), done}) {
            n = ::pread(info.get(), to.data() + done, to.size() - done, static_cast<off_t>(done));
            if (n > 0) done += static_cast<std::size_t>(n);
        }
        if (n < 0) {
            failure.code = detail::failure_of(errno);
            failure.errno_value = errno;
        }
        errno = saved;
        return n >= 0;
    };
    char text[512];
    std::string_view fields;
    if (!read(text, fields)) return failure;
    constexpr std::string_view key = "Pid:\t";
    const std::size_t at = fields.find(key);
    if (at == std::string_view::npos) return failure;  // not a pidfd
    detail::line_scanner scanner{fields.data() + at + key.size(), fields.data() + fields.size()};
    std::uint64_t pid = 0;
    failure.code = scanner.at != scanner.end && *scanner.at == '-' ? errc::gone : errc::unsupported;  // -1: reaped; 0: of another namespace
    if (!scanner.decimal(pid) || pid == 0 || pid > INT32_MAX) return failure;
    auto opened = open(static_cast<pid_t>(pid), how);
    // A pidfd is readable once its process has exited, and until then the number is its own. Nothing in between could refuse to say so:
    // a sandbox that forbids signals answers as a process of another user does.
    pollfd exited{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    int answer = -1;
    for (int tries = 0; tries <= detail::interrupted_tries && answer < 0; ++tries) {
        answer = ::poll(&exited, 1, 0);
        if (answer < 0 && errno != EINTR) break;
    }
    const int why = answer < 0 ? errno : 0;
    errno = saved;
    if (answer == 0) return opened;
    failure.pid = static_cast<std::int32_t>(pid);
    failure.code = why == 0 ? errc::gone : why == EINTR ? errc::interrupted : errc::denied;
    failure.errno_value = why;
    if (why != 0) return failure;
    char again[512];  // not yet reaped, it still has its number
    std::string_view same;
    if (!opened && opened.error() == errc::zombie && read(again, same) && same == fields) return opened;
    failure = {.code = errc::gone, .at = step::open, .pid = static_cast<std::int32_t>(pid)};
    return failure;
}

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
