// Finds the procfs directory of the task that a handle was opened through, and proves that it is.
//
// A pid, or the path in the descriptor's link, can belong to another process: in another pid namespace, in another procfs, or after reuse.
// The directory is accepted only if its `maps` is the handle's own file. That proves the task, not its address space: after vfork or
// clone(CLONE_VM) and exec the task has a new one, while the handle still answers for the old one. task_files::has_same_address_space()
// therefore compares the task's mappings with those of the handle.
#pragma once

#include <procmap/version.hpp>

#include <sys/stat.h>

#include <procmap/detail/handle.hpp>
#include <procmap/detail/procfs.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// openat2(2) (Linux 5.6), with O_PATH and O_CLOEXEC.
[[nodiscard]] inline unique_fd open_path(borrowed_fd at, const char* path, std::uint64_t resolve, std::uint64_t flags = 0) noexcept {
    struct {  // struct open_how, include/uapi/linux/openat2.h
        std::uint64_t flags;
        std::uint64_t mode = 0;
        std::uint64_t resolve;
    } how{.flags = O_PATH | O_CLOEXEC | flags, .resolve = resolve};
    constexpr long openat2 = 437;  // on every supported architecture
    long fd = -1;
    for (int tries = 0; tries < 16; ++tries) {  // EAGAIN: a concurrent rename made ".." unsafe to follow
        fd = ::syscall(openat2, at.get(), path, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
    }
    return unique_fd{static_cast<int>(fd)};
}
inline constexpr std::uint64_t resolve_no_magiclinks = 0x02;
inline constexpr std::uint64_t resolve_in_root = 0x10;
inline constexpr std::uint64_t resolve_cached = 0x20;  // Linux 5.12: fails instead of waiting

/// Splits a device number of stat(2) into major and minor.
[[nodiscard]] constexpr device_number device_of(std::uint64_t device) noexcept {
    return {static_cast<std::uint32_t>((device >> 32 & 0xfffff000) | (device >> 8 & 0xfff)),
            static_cast<std::uint32_t>((device >> 12 & 0xffffff00) | (device & 0xff))};
}

/// What changes when a file does. The inode number is not reused while a descriptor or a mapping holds the file. A procfs file is
/// different: its inode number comes from a 32-bit counter and can be reused, but its change time is when it was created.
struct file_version {
    std::uint64_t inode = 0;
    device_number device{};
    std::int64_t ctime_seconds = 0;
    std::uint32_t ctime_nanoseconds = 0;
    std::uint64_t size = 0;
    std::uint32_t links = 0;
    bool regular = false;
    bool device_node = false;
    [[nodiscard]] friend bool operator==(const file_version&, const file_version&) noexcept = default;
};

/// Reads the version of a file below a descriptor, or of the descriptor's file if `name` is empty. Sets `mount` to the ID of its mount, or
/// to 0 before Linux 5.8. One system call, two if statx fails. On failure returns false and sets errno.
[[nodiscard]] inline bool look_at(int at, const char* name, file_version& v, std::uint64_t& mount) noexcept {
    mount = 0;
#ifdef STATX_TYPE  // glibc, musl since 1.2.5. stat has 64-bit fields on every architecture only with musl
    constexpr unsigned statx_mnt_id = 0x1000;    // STATX_MNT_ID; older headers have neither the name nor the member
    constexpr std::size_t mnt_id_offset = 0x90;  // stx_mnt_id, include/uapi/linux/stat.h
    const int how = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name == '\0' ? AT_EMPTY_PATH : 0);
    struct statx x;
    if (::statx(at, name, how, STATX_TYPE | STATX_NLINK | STATX_INO | STATX_SIZE | STATX_CTIME | statx_mnt_id, &x) == 0) {
        v = {.inode = x.stx_ino,
             .device = {x.stx_dev_major, x.stx_dev_minor},
             .ctime_seconds = x.stx_ctime.tv_sec,
             .ctime_nanoseconds = x.stx_ctime.tv_nsec,
             .size = x.stx_size,
             .links = x.stx_nlink,
             .regular = S_ISREG(x.stx_mode),
             .device_node = S_ISCHR(x.stx_mode) || S_ISBLK(x.stx_mode)};
        if ((x.stx_mask & statx_mnt_id) != 0) __builtin_memcpy(&mount, reinterpret_cast<const char*>(&x) + mnt_id_offset, sizeof mount);
        return true;
    }
#endif
    struct stat s;  // without statx, or if a sandbox refuses it
    if ((*name == '\0' ? ::fstat(at, &s) : ::fstatat(at, name, &s, AT_SYMLINK_NOFOLLOW)) != 0) return false;
    v = {.inode = s.st_ino,
         .device = device_of(s.st_dev),
         .ctime_seconds = s.st_ctim.tv_sec,
         .ctime_nanoseconds = static_cast<std::uint32_t>(s.st_ctim.tv_nsec),
         .size = static_cast<std::uint64_t>(s.st_size),
         .links = static_cast<std::uint32_t>(s.st_nlink),
         .regular = S_ISREG(s.st_mode),
         .device_node = S_ISCHR(s.st_mode) || S_ISBLK(s.st_mode)};
    return true;
}
[[nodiscard]] inline bool look_at(borrowed_fd fd, file_version& v) noexcept {
    std::uint64_t mount = 0;
    return look_at(fd.get(), "", v, mount);
}

/// Returns the ID of the mount that a descriptor was opened through (proc_pid_fdinfo(5), Linux 3.15), or 0 on failure.
[[nodiscard]] inline std::uint64_t mount_of(borrowed_fd fd) noexcept {
    const unique_fd info{::openat(AT_FDCWD, own_fd_path(fd, "fdinfo").c_str(), O_RDONLY | O_CLOEXEC)};
    char text[256];
    const ssize_t n = ::pread(info.get(), text, sizeof text, 0);
    const std::string_view fields{text, n < 0 ? 0 : static_cast<std::size_t>(n)};
    constexpr std::string_view key = "mnt_id:\t";
    const std::size_t at = fields.find(key);
    if (at == std::string_view::npos) return 0;
    line_scanner<> number{fields.data() + at + key.size(), fields.data() + fields.size()};
    std::uint64_t id = 0;
    return number.decimal(id) && number.literal('\n') ? id : 0;
}

/// Returns true if `maps` below a directory is the open file `maps`, the directory is on procfs, and its `maps` is not a mount point.
[[nodiscard]] inline bool is_directory_of(borrowed_fd directory, borrowed_fd maps) noexcept {
    int unclear = 0;
    file_version itself, below, opened;
    std::uint64_t mount = 0, mount_below = 0;
    if (!on_procfs(directory, unclear) || !look_at(directory.get(), "", itself, mount) || !look_at(directory.get(), "maps", below, mount_below) ||
        !look_at(maps, opened) || below != opened)
        return false;
    if (mount == 0 || mount_below == 0) {
        const unique_fd entry{::openat(directory.get(), "maps", O_PATH | O_NOFOLLOW | O_CLOEXEC)};
        mount = mount_of(directory);
        mount_below = mount_of(entry.borrow());
    }
    return mount != 0 && mount == mount_below;
}

/// Returns the O_PATH directory of the task that a handle was opened through, if it is proven. Six system calls; more before Linux 5.8.
[[nodiscard]] inline unique_fd find_task(const handle& h) noexcept {
    char target[4096];
    std::string_view path = read_link(AT_FDCWD, own_fd_path(h.fd.borrow(), "fd").c_str(), target);
    constexpr std::string_view file = "/maps";
    if (!path.ends_with(file)) return {};
    path.remove_suffix(file.size());
    path_buffer directory;
    directory.put(path);
    // The sender chose the path of an adopted descriptor; looking it up must not block. The right one is cached while `h` is open.
    const bool own = h.pid != error::unknown || path.starts_with("/proc/");
    unique_fd found = own ? unique_fd{::openat(AT_FDCWD, directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)}
                          : open_path(borrowed_fd{AT_FDCWD}, directory.c_str(), resolve_cached, O_DIRECTORY);
    if (!found || !is_directory_of(found.borrow(), h.fd.borrow())) return {};
    return found;
}

}  // namespace procmap::inline PROCMAP_ABI::detail
