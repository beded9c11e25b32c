// Opens a handle by pid, thread or pidfd, or adopts a descriptor, and selects the back-end.
#pragma once

#include <procmap/version.hpp>

#include <sys/stat.h>

#include <procmap/detail/close_elsewhere.hpp>
#include <procmap/detail/lookup.hpp>
#include <procmap/detail/procfs.hpp>
#include <procmap/detail/text_reader.hpp>
#include <procmap/options.hpp>
#include <procmap/probe.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// The name of an open procfs file, from its link in /proc/thread-self/fd.
enum class file_name : unsigned char { maps, other, unknown };

[[nodiscard]] inline file_name name_of_file(borrowed_fd fd) noexcept {
    char target[1024];  // as proc_path_buffer
    const errno_kept keep;
    std::string_view name = read_link(AT_FDCWD, own_fd_path(fd, "fd").c_str(), target);
    constexpr std::string_view gone = " (deleted)";  // the task was reaped
    if (name.ends_with(gone)) name.remove_suffix(gone.size());
    return name.empty() ? file_name::unknown : name.ends_with("/maps") ? file_name::maps : file_name::other;
}

/// Returns the error code for an errno of the ioctl if the caller requires the ioctl.
[[nodiscard]] constexpr errc refusal(int code) noexcept {
    return code == EINTR ? errc::interrupted : code == EBADF ? errc::invalid : code == ENOMEM ? errc::failed : errc::unsupported;
}

/// Returns true if this process's own maps file answers the ioctl. A file that does not is then not a maps file.
[[nodiscard]] inline bool own_maps_answer() noexcept {
    const auto own = open_maps({});
    return own && !says_absent(any_query(own->borrow()));
}

/// What choose() found out about a file, apart from the back-end.
struct first_answer {
    int absent = 0;           // the errno by which the ioctl is not available
    bool other_file = false;  // not a text file (a FIFO, a device, ...), or adopted and not a maps file
    bool unsure = false;      // adopted, and its name is not known
    bool empty = false;       // there is no address space
    int failure = 0;          // the errno of a failed read
};

/// Selects the back-end of a handle: by one ioctl, unless text was requested, and for text by reading one byte.
[[nodiscard]] inline first_answer choose(handle& h, const open_options& how, bool adopted = false) noexcept {
    first_answer first;
    if (how.use != backend::text) {
        const int answer = any_query(h.fd.borrow());
        if (!says_absent(answer)) {
            h.backend = backend::ioctl;
            h.kernel_build_ids = how.trust_kernel_build_ids || safe_to_ask(known_hazards(running_kernel()));
            first.empty = answer == ESRCH;
            return first;
        }
        first.absent = answer;
    }
    if (!has_text) return first;
    const errno_kept keep;
    struct stat file;
    first.other_file = ::fstat(h.fd.get(), &file) == 0 && !S_ISREG(file.st_mode);
    if (adopted && !first.other_file) {  // before reading, which could consume data or block, and because text can be forged
        const auto name = name_of_file(h.fd.borrow());
        first.unsure = name == file_name::unknown;
        first.other_file = name == file_name::other || (first.absent == ENOTTY && own_maps_answer());
    }
    if (first.other_file || first.unsure) return first;
    char byte = 0;
    const ssize_t n = text_reader::read(h, {&byte, 1}, 0);
    first.empty = n == 0;
    first.failure = n < 0 ? static_cast<int>(-n) : 0;
    return first;
}

/// Opens the maps of one task. Fails with errc::gone without an errno if it has no address space.
[[nodiscard]] inline result<handle> open_task(const target& t, const open_options& how) noexcept {
    auto file = open_maps(t);
    if (!file) return file.error();
    handle h{.fd = std::move(*file), .pid = t.pid, .tid = t.tid, .opener = this_process()};
    if (left_out(how.use)) return h.failure(errc::unsupported, step::open);
    const first_answer first = choose(h, how);
    if (first.other_file) return h.failure(errc::not_maps, step::open);
    if (first.absent != 0 && (how.use == backend::ioctl || !has_text)) return h.failure(refusal(first.absent), step::open, first.absent);
    if (first.empty) return h.failure(errc::gone, step::open);
    if (first.failure == 0 || !has_text) return h;
    return h.failure(text_reader::meaning(h, first.failure), step::read, first.failure);
}

/// Opens the maps of a process or a thread. If the main thread has exited, its maps are empty, and those of another thread are opened.
[[nodiscard]] inline result<handle> open_target(const target& t, const open_options& how) noexcept {
    auto opened = open_task(t, how);
    if (opened || opened.error() != errc::gone || opened.error().errno_value != 0) return opened;
    const errno_kept keep;
    error empty = opened.error();
    const auto through = [&](std::int32_t tid) {
        auto one = open_task({.proc = t.proc, .pid = t.pid, .tid = tid}, how);
        if (one || one.error() != errc::gone) opened = std::move(one);
        return opened.has_value();
    };
    empty.errno_value = t.tid == 0 ? any_thread(AT_FDCWD, proc_path(t, "/task").c_str(), through) : 0;
    empty.code = empty.errno_value == 0 ? why_empty(t) : open_failure(t, empty.errno_value);
    if (!opened && opened.error() == errc::gone) return empty;
    return opened;
}

/// See maps::adopt.
[[nodiscard]] inline result<handle> adopt(unique_fd fd, const open_options& how) noexcept {
    handle h{.fd = std::move(fd)};
    const errno_kept keep;
    const int mode = ::fcntl(h.fd.get(), F_GETFL);
    if (mode < 0) return h.failure(errc::invalid, step::adopt, errno);
    if ((mode & O_PATH) != 0) return h.failure(errc::not_maps, step::adopt);
    // The kernel answers FIGETBSZ without asking the file system's server, and no FUSE file has the block size of procfs.
    int block = 0;
    const bool knows = ::ioctl(h.fd.get(), block_size_request, &block) == 0;
    int unclear = 0;
    if ((knows && block != procfs_block_size) || !on_procfs(h.fd.borrow(), unclear)) {
        const int other[] = {h.fd.release()};
        close_elsewhere(other);
        return h.failure(unclear == 0 ? errc::not_maps : failure_of(unclear), step::adopt, unclear);
    }
    if ((mode & O_ACCMODE) == O_WRONLY) return h.failure(errc::not_maps, step::adopt);
    // Only a maps file answers the ioctl. Without it, a file like smaps is recognized by its second line, which is not a maps line.
    if (left_out(how.use)) return h.failure(errc::unsupported, step::adopt);
    const auto first = choose(h, how, true);
    if (first.other_file) return h.failure(errc::not_maps, step::adopt);
    if (first.unsure) return h.failure(errc::unsupported, step::adopt);
    if (h.by_ioctl()) {
        if (first.absent != 0) return h.failure(refusal(first.absent), step::adopt, first.absent);  // text is left out
        const auto any = lookup_ioctl(h, 0, {}, true);
        if (any || any.error() == errc::not_mapped) return h;
        return h.failure(any.error().code, step::adopt, any.error().errno_value);
    }
    char buffer[4 * text_head_room];
    text_reader reader;
    mapping m;
    for (int line = 0; line < 2 && reader.next(h, buffer, {}, m); ++line) {}
    const error& failure = reader.error();
    if (failure == errc::gone || failure == errc::task_gone || failure == errc::denied || failure == errc::interrupted)
        return h.failure(failure.code, step::adopt, failure.errno_value);
    if (failure.code != errc::none) return h.failure(errc::not_maps, step::adopt, failure.errno_value);
    if (how.use == backend::ioctl) return h.failure(refusal(first.absent), step::adopt, first.absent);
    return h;
}

/// Reads a small file from its beginning, up to the size of `room`. Returns 0, or the errno of a failed read.
inline int read_fields(borrowed_fd file, std::span<char> room, std::string_view& fields) noexcept {
    std::size_t done = 0;
    for (ssize_t n = 1; n > 0 && done != room.size(); done += static_cast<std::size_t>(n)) {
        n = ::pread(file.get(), room.data() + done, room.size() - done, static_cast<off_t>(done));
        if (n < 0) return errno;
    }
    fields = {room.data(), done};
    return 0;
}

/// Returns the pid in the fdinfo of a pidfd (pidfd_open(2)). Fails with errc::invalid if it is not a pidfd, errc::gone if the process was
/// reaped, errc::unsupported if its pid is not visible in the pid namespace of this procfs.
[[nodiscard]] constexpr result<std::int32_t> pid_in(std::string_view fdinfo) noexcept {
    constexpr std::string_view key = "Pid:\t";
    const std::size_t at = fdinfo.find(key);
    if (at == std::string_view::npos) return error{.code = errc::invalid, .at = step::open};
    line_scanner<> scanner{fdinfo.data() + at + key.size(), fdinfo.data() + fdinfo.size()};
    std::uint64_t pid = 0;
    if (scanner.at != scanner.end && *scanner.at == '-') return error{.code = errc::gone, .at = step::open};
    if (!scanner.decimal(pid) || pid == 0 || pid > INT32_MAX) return error{.code = errc::unsupported, .at = step::open};
    return static_cast<std::int32_t>(pid);
}

/// Polls a pidfd. Returns 1 if its process has exited, 0 if not, or a negative errno.
[[nodiscard]] inline int poll_exited(borrowed_fd pidfd) noexcept {
    pollfd exited{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    const int count = uninterrupted([&] { return ::poll(&exited, 1, 0); });
    return count < 0 ? -errno : count;
}

/// See maps::open.
[[nodiscard]] inline result<handle> open_pidfd(borrowed_fd pidfd, const open_options& how) noexcept {
    const uncancelled whole;
    const errno_kept keep;
    const target self{.proc = how.proc};
    char_line<20> number;
    number.put(static_cast<std::uint64_t>(pidfd.get() < 0 ? 0 : pidfd.get()), 10);
    const auto path = proc_path(self, "/fdinfo/", number.view());
    if (!path.fits()) return error{.code = errc::invalid, .at = step::open, .errno_value = ENAMETOOLONG};
    const unique_fd info{::openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!info) {
        const int why = errno;
        const errc code = open_failure(self, why);
        if (why == ENOENT && code == errc::gone) return error{.code = errc::invalid, .at = step::open};  // not an open descriptor
        return error{.code = code, .at = step::open, .errno_value = why};
    }
    char text[512];
    std::string_view fields;
    int why = read_fields(info.borrow(), text, fields);
    if (why != 0) return error{.code = failure_of(why), .at = step::open, .errno_value = why};
    const auto pid = pid_in(fields);
    if (!pid) return pid.error();
    auto opened = open_target({.proc = how.proc, .pid = *pid}, how);
    // The pid is that process's until it has exited. A signal would not tell: its EPERM can also come from a sandbox.
    const int exited = poll_exited(pidfd);
    if (exited == 0) return opened;
    error failure{.code = errc::gone, .at = step::open, .pid = *pid};
    if (exited < 0) {
        failure.errno_value = -exited;
        failure.code = failure.errno_value == EINTR ? errc::interrupted : errc::denied;
        return failure;
    }
    char again[512];  // a zombie still has its pid
    std::string_view same;
    why = opened || opened.error() != errc::zombie ? ESRCH : read_fields(info.borrow(), again, same);
    if (why == 0 && same == fields) return opened;
    return failure;
}

}  // namespace procmap::inline PROCMAP_ABI::detail
