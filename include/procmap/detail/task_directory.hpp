// The procfs directory of the task that a handle was opened through, found and proven.
//
// A pid, and the path that the descriptor's link shows, are numbers: they may be another process's in another pid namespace, another
// procfs, or by now. The directory is taken only where its `maps` is the very file of the handle. That proves the task, not its address
// space: after vfork or clone(CLONE_VM) and exec the task has another one, while the handle goes on answering for the first. So what is
// found below the directory is a candidate, and address_space() compares it with what the handle says.
#pragma once

#include <procmap/version.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <procmap/detail/procfs.hpp>
#include <procmap/probe.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// openat2(2), Linux 5.6+, O_PATH and close-on-exec.
[[nodiscard]] inline unique_fd open_path(borrowed_fd at, const char* path, std::uint64_t resolve, std::uint64_t flags = 0) noexcept {
    struct {  // struct open_how, include/uapi/linux/openat2.h
        std::uint64_t flags;
        std::uint64_t mode = 0;
        std::uint64_t resolve;
    } how{.flags = O_PATH | O_CLOEXEC | flags, .resolve = resolve};
    constexpr long openat2 = 437;  // on every architecture here
    long fd = -1;
    for (int tries = 0; tries < 16; ++tries) {  // EAGAIN: a rename on the way made ".." unsafe to follow
        fd = ::syscall(openat2, at.get(), path, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
    }
    return unique_fd{static_cast<int>(fd)};
}
inline constexpr std::uint64_t resolve_no_magiclinks = 0x02;
inline constexpr std::uint64_t resolve_in_root = 0x10;
inline constexpr std::uint64_t resolve_cached = 0x20;  // Linux 5.12+: fails where it would have to wait

/// A device number as stat has it, in its parts.
[[nodiscard]] constexpr device_number device_of(std::uint64_t device) noexcept {
    return {static_cast<std::uint32_t>((device >> 32 & 0xfffff000) | (device >> 8 & 0xfff)),
            static_cast<std::uint32_t>((device >> 12 & 0xffffff00) | (device & 0xff))};
}

/// What tells files of procfs apart. An inode number comes from a counter of 32 bits and can come again, but not with the change
/// time of the first: that is when the inode was made.
struct proc_file {
    device_number device{};
    std::uint64_t inode = 0;
    std::int64_t ctime_seconds = 0;
    std::int64_t ctime_nanoseconds = 0;
    [[nodiscard]] friend bool operator==(const proc_file&, const proc_file&) noexcept = default;
};

/// Looks at a file below a descriptor, or at the descriptor itself where `name` is empty. `mount`: the number of its mount, or 0 where
/// the kernel does not say (before Linux 5.8). One system call.
[[nodiscard]] inline bool look_at(int at, const char* name, proc_file& file, std::uint64_t& mount) noexcept {
    const int how = AT_SYMLINK_NOFOLLOW | (*name == '\0' ? AT_EMPTY_PATH : 0);
    mount = 0;
#ifdef STATX_TYPE  // musl from 1.2.5 on
    constexpr unsigned statx_mnt_id = 0x1000;    // STATX_MNT_ID; older headers have neither the name nor the member
    constexpr std::size_t mnt_id_offset = 0x90;  // stx_mnt_id, include/uapi/linux/stat.h
    struct statx x;
    if (::statx(at, name, how | AT_NO_AUTOMOUNT, STATX_INO | STATX_CTIME | statx_mnt_id, &x) == 0) {
        file = {.device = {x.stx_dev_major, x.stx_dev_minor},
                .inode = x.stx_ino,
                .ctime_seconds = x.stx_ctime.tv_sec,
                .ctime_nanoseconds = x.stx_ctime.tv_nsec};
        if ((x.stx_mask & statx_mnt_id) != 0) __builtin_memcpy(&mount, reinterpret_cast<const char*>(&x) + mnt_id_offset, sizeof mount);
        return true;
    }
#endif
    struct stat s;
    if (::fstatat(at, name, &s, how) != 0) return false;
    file = {.device = device_of(s.st_dev),
            .inode = s.st_ino,
            .ctime_seconds = s.st_ctim.tv_sec,
            .ctime_nanoseconds = s.st_ctim.tv_nsec};
    return true;
}

/// The number of the mount that a descriptor was opened through (proc_pid_fdinfo(5), Linux 3.15+); 0 where it cannot be had.
[[nodiscard]] inline std::uint64_t mount_of(borrowed_fd fd) noexcept {
    const unique_fd info{::openat(AT_FDCWD, own_fd_path(fd, "fdinfo").c_str(), O_RDONLY | O_CLOEXEC)};
    char text[256];
    const ssize_t n = ::pread(info.get(), text, sizeof text, 0);
    const std::string_view fields{text, n < 0 ? 0 : static_cast<std::size_t>(n)};
    constexpr std::string_view key = "mnt_id:\t";
    const std::size_t at = fields.find(key);
    if (at == std::string_view::npos) return 0;
    line_scanner number{fields.data() + at + key.size(), fields.data() + fields.size()};
    std::uint64_t id = 0;
    return number.decimal(id) && number.literal('\n') ? id : 0;
}

/// Whether `maps` below a directory is the file that a handle has open: the directory is a task's in procfs, and nothing is mounted
/// on its `maps`.
[[nodiscard]] inline bool holds_maps(borrowed_fd directory, borrowed_fd maps) noexcept {
    int unclear = 0;
    proc_file itself, below, opened;
    std::uint64_t mount = 0, mount_below = 0, any = 0;
    if (!on_procfs(directory, unclear) || !look_at(directory.get(), "", itself, mount) || !look_at(directory.get(), "maps", below, mount_below) ||
        !look_at(maps.get(), "", opened, any) || below != opened)
        return false;
    if (mount == 0 || mount_below == 0) {
        const unique_fd entry{::openat(directory.get(), "maps", O_PATH | O_NOFOLLOW | O_CLOEXEC)};
        mount = mount_of(directory);
        mount_below = mount_of(entry.borrow());
    }
    return mount != 0 && mount == mount_below;
}

/// The directory of the task that a handle was opened through, O_PATH; none where that cannot be proven. Seven system calls.
[[nodiscard]] inline unique_fd find_task(const handle& h) noexcept {
    char target[4096];
    std::string_view path = read_link(AT_FDCWD, own_fd_path(h.fd.borrow(), "fd").c_str(), target);
    constexpr std::string_view file = "/maps";
    if (!path.ends_with(file)) return {};
    path.remove_suffix(file.size());
    path_buffer directory;
    directory.put(path);
    // The path of a descriptor that was sent here is its sender's choice: it must not lead anywhere that could make this wait. As long
    // as the descriptor is open, the right one is cached.
    const bool own = h.pid != error::unknown || path.starts_with("/proc/");
    unique_fd found = own ? unique_fd{::openat(AT_FDCWD, directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)}
                          : open_path(borrowed_fd{AT_FDCWD}, directory.c_str(), resolve_cached, O_DIRECTORY);
    if (!found || !holds_maps(found.borrow(), h.fd.borrow())) return {};
    return found;
}

}  // namespace procmap::inline PROCMAP_ABI::detail
