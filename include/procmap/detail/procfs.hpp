// Access to procfs: paths, opening files, the meaning of errors, and whether a file is on procfs and answers the ioctl.
#pragma once

#include <procmap/version.hpp>

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <type_traits>

#include <procmap/options.hpp>
#include <procmap/query.hpp>
#include <procmap/result.hpp>
#include <procmap/text.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// Identifies a maps file: of this process, of a process, or of one thread.
struct target {
    const char* proc = "/proc";
    std::int32_t pid = error::this_process;
    std::int32_t tid = 0;
};

/// A buffer for a NUL-terminated path, which is empty if it does not fit.
template <std::size_t Room>
class path_text {
public:
    constexpr path_text& put(std::string_view part) noexcept {
        if (part.size() >= Room - size_ || part.find('\0') != std::string_view::npos) fits_ = false;
        if (fits_)
            for (const char c : part) text_[size_++] = c;
        text_[size_] = '\0';
        return *this;
    }
    constexpr path_text& put(std::uint64_t number, unsigned base = 10) noexcept {
        char_line<20> digits;
        digits.put(number, base);
        return put(digits.view());
    }
    [[nodiscard]] constexpr bool fits() const noexcept { return fits_; }
    [[nodiscard]] constexpr const char* c_str() const noexcept { return fits_ ? text_ : ""; }
    [[nodiscard]] constexpr std::string_view view() const noexcept { return {c_str(), fits_ ? size_ : 0}; }

private:
    std::size_t size_ = 0;
    bool fits_ = true;
    char text_[Room];
};
using path_buffer = path_text<4096>;  // PATH_MAX
using proc_path_buffer = path_text<1024>;  // of a file of procfs: small, because handles are opened in signal handlers

/// Returns the path of a file in a task's procfs directory.
[[nodiscard]] inline proc_path_buffer proc_path(const target& t, std::string_view file, std::string_view name = {}) noexcept {
    proc_path_buffer text;
    text.put(t.proc).put("/");
    t.pid == error::this_process ? text.put("self") : text.put(static_cast<std::uint64_t>(t.pid));
    if (t.tid != 0) text.put("/task/").put(static_cast<std::uint64_t>(t.tid));
    text.put(file).put(name);
    return text;
}

/// Returns the procfs path of an open descriptor, in the directory `fd` or `fdinfo` of this thread.
[[nodiscard]] inline path_text<48> own_fd_path(borrowed_fd fd, std::string_view directory) noexcept {
    path_text<48> text;
    text.put("/proc/thread-self/").put(directory).put("/").put(static_cast<std::uint64_t>(fd.get() < 0 ? 0 : fd.get()));
    return text;
}

/// Returns the target of a symbolic link, in `room` and not NUL-terminated. Returns an empty view on failure or if it does not fit.
[[nodiscard]] inline std::string_view read_link(int at, const char* path, std::span<char> room) noexcept {
    const ssize_t n = ::readlinkat(at, path, room.data(), room.size());
    return n <= 0 || static_cast<std::size_t>(n) == room.size() ? std::string_view{} : std::string_view{room.data(), static_cast<std::size_t>(n)};
}

/// Returns the error code for a failed open of maps. ENOENT means errc::gone, unless the process is hidden (hidepid) or procfs is missing.
inline errc open_failure(const target& t, int code) noexcept {
    if (code == EBADF) return errc::failed;
    if (code != ENOENT && code != ENOTDIR) return failure_of(code);
    const bool no_procfs = ::faccessat(AT_FDCWD, proc_path({t.proc}, "").c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0;
    if (no_procfs && (errno == ENOENT || errno == ENOTDIR)) return errc::unsupported;
    if (t.pid == error::this_process || std::string_view{t.proc} != "/proc") return errc::gone;  // its pids may be of another namespace
    // tgkill(2) has no wrapper before glibc 2.30.
    const bool there = t.tid != 0 ? ::syscall(SYS_tgkill, t.pid, t.tid, 0) == 0 : ::syscall(SYS_kill, t.pid, 0) == 0;
    return there || errno == EPERM ? errc::denied : errc::gone;
}

/// Opens a maps file, close-on-exec, by its full path, by which emulators recognize it. One system call, and up to two more to classify a
/// failure. Does not block, whatever is mounted in place of procfs. Preserves errno.
[[nodiscard]] inline result<unique_fd> open_maps(const target& t) noexcept {
    error failure{.code = errc::invalid, .at = step::open, .pid = t.pid, .tid = t.tid};
    const auto path = proc_path(t, "/maps");
    if ((t.pid <= 0 && t.pid != error::this_process) || t.tid < 0) return failure;
    if (!path.fits()) {
        failure.errno_value = ENAMETOOLONG;
        return failure;
    }
    const uncancelled whole;
    const errno_kept keep;
    constexpr int how = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    const int fd = uninterrupted([&] { return ::openat(AT_FDCWD, path.c_str(), how); });
    if (fd >= 0) return unique_fd{fd};
    failure.errno_value = errno;
    failure.code = open_failure(t, failure.errno_value);
    return failure;
}

/// Returns the offset of the next blank-separated field.
[[nodiscard]] constexpr std::size_t next_field(std::string_view fields) noexcept {
    const std::size_t blank = fields.find(' ');
    return blank == std::string_view::npos ? fields.size() : blank + 1;
}

/// Returns why a task has no address space, from /proc/PID/stat (proc_pid_stat(5)).
[[nodiscard]] inline errc why_empty(const target& t) noexcept {
    const uncancelled whole;
    const unique_fd stat{::openat(AT_FDCWD, proc_path(t, "/stat").c_str(), O_RDONLY | O_CLOEXEC)};
    char text[1024];
    const ssize_t n = ::pread(stat.get(), text, sizeof text, 0);
    std::string_view fields{text, n < 0 ? 0 : static_cast<std::size_t>(n)};
    const std::size_t name_end = fields.rfind(')');
    if (name_end == std::string_view::npos || fields.size() < name_end + 3) return errc::gone;
    fields.remove_prefix(name_end + 2);  // to the state; the flags are the sixth field after it
    if (fields[0] == 'Z' || fields[0] == 'X') return errc::zombie;
    for (int i = 0; i < 6; ++i) fields.remove_prefix(next_field(fields));
    line_scanner<> number{fields.data(), fields.data() + fields.size()};
    std::uint64_t flags = 0;
    constexpr std::uint64_t pf_kthread = 0x00200000;
    return number.decimal(flags) && (flags & pf_kthread) != 0 ? errc::kernel_thread : errc::gone;
}

/// Calls `visit(tid)` for each thread in the directory `task`, relative to `at`, until it returns true. Returns 0, or the errno if the
/// threads could not be listed. No allocation.
template <class Visit>
int any_thread(int at, const char* task, Visit visit) noexcept {
    const uncancelled whole;
    const unique_fd directory{::openat(at, task, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    alignas(8) char entries[1024];  // struct linux_dirent64: inode, offset, record length, type, name
    constexpr std::size_t name_offset = 19;
    if (!directory) return errno;
    for (;;) {
        const long n = ::syscall(SYS_getdents64, directory.get(), entries, sizeof entries);
        if (n <= 0) return n == 0 ? 0 : errno;
        for (long done = 0; done < n;) {
            const char* const entry = entries + done;
            std::uint16_t size = 0;
            __builtin_memcpy(&size, entry + 16, sizeof size);
            line_scanner<> name{entry + name_offset, entry + size};
            std::uint64_t tid = 0;
            if (name.decimal(tid) && tid <= INT32_MAX && visit(static_cast<std::int32_t>(tid))) return 0;
            done += size;
        }
    }
}

/// Sends the cheapest query. Returns 0 or its errno; ENOTTY if the program leaves the ioctl out.
[[nodiscard]] inline int any_query(borrowed_fd fd) noexcept {
    if (!has_ioctl) return ENOTTY;
    uapi::query<uapi::layout::lookup> any{0, {}};
    return uapi::send(fd, any).error;
}

/// True if the result of any_query() means that the ioctl is not available. Besides ENOTTY, these were seen: ENOSYS (emulators), EPERM and
/// EACCES (sandboxes), EOPNOTSUPP (Android modules), ENODEV, EINVAL and EIO.
[[nodiscard]] constexpr bool says_absent(int answer) noexcept { return answer != 0 && answer != ENOENT && answer != ESRCH; }

// FIGETBSZ (include/uapi/linux/fs.h) in the type of the C library's ioctl.
inline constexpr std::remove_const_t<decltype(ioctl_request)> block_size_request = _IO(0x00, 2);
inline constexpr int procfs_block_size = 1024;  // proc_fill_super(). FUSE, sockets and pipes have PAGE_SIZE

/// True if a file is on procfs. `failure`: 0, or the errno if that cannot be determined.
[[nodiscard]] inline bool on_procfs(borrowed_fd fd, int& failure) noexcept {
    struct statfs fs;
    constexpr decltype(fs.f_type) proc_super_magic = 0x9fa0;  // include/uapi/linux/magic.h
    const errno_kept keep;
    failure = ::fstatfs(fd.get(), &fs) == 0 ? 0 : errno;
    return failure == 0 && fs.f_type == proc_super_magic;
}

}  // namespace procmap::inline PROCMAP_ABI::detail
