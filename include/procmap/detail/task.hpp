// The procfs directory of the task that a handle was opened through, found and proven; and what is below it.
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
#include <span>
#include <string_view>
#include <utility>

#include <procmap/walk.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// A path in place, NUL-terminated; empty where it does not fit.
class path_buffer {
public:
    path_buffer& put(std::string_view part) noexcept {
        if (part.size() >= sizeof text_ - size_ || part.find('\0') != std::string_view::npos) broken_ = true;
        if (!broken_)
            for (const char c : part) text_[size_++] = c;
        text_[size_] = '\0';
        return *this;
    }
    path_buffer& put(std::uint64_t number, unsigned base = 10) noexcept {
        char_line<20> digits;
        digits.put(number, base);
        return put(digits.view());
    }
    [[nodiscard]] const char* c_str() const noexcept { return broken_ ? "" : text_; }
    [[nodiscard]] std::string_view view() const noexcept { return broken_ ? std::string_view{} : std::string_view{text_, size_}; }

private:
    std::size_t size_ = 0;
    bool broken_ = false;
    char text_[4096 + 128];
};

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
    const unique_fd info{::openat(AT_FDCWD, own_fd_path{fd, "fdinfo"}.c_str(), O_RDONLY | O_CLOEXEC)};
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
    std::string_view path = read_link(AT_FDCWD, own_fd_path{h.fd.borrow(), "fd"}.c_str(), target);
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

/// The files below a handle's task, for the time of one call. Nothing is opened before it is asked for.
class task_files {
public:
    explicit task_files(const handle& h) noexcept : handle_(&h) {}

    /// Whether the task's directory was found and proven.
    [[nodiscard]] bool proven() noexcept { return find(); }

    /// Whether one more walk through all mappings may be made for this call: many mappings of one file must not cost one each.
    [[nodiscard]] bool may_walk() noexcept { return walks_-- > 0; }

    /// Opens the entry of map_files for a mapping (CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN): what the task has mapped there.
    [[nodiscard]] unique_fd open_map_file(const mapping& m) noexcept {
        if (!find()) return {};
        for (const char* const where : {"map_files/", "../../map_files/"}) {  // a thread's directory has none
            path_buffer entry;
            entry.put(where).put(m.start, 16).put("-").put(m.end, 16);
            unique_fd fd{::openat(directory_.get(), entry.c_str(), O_PATH | O_CLOEXEC)};
            if (fd || errno != ENOENT) return fd;
        }
        return {};
    }

    /// The task's root directory, O_PATH, and its path as this process sees it, or empty.
    [[nodiscard]] borrowed_fd root(std::string_view& path) noexcept {
        if (!root_ && find()) {
            open_root(directory_.borrow());
            // A main thread that has exited has no root any more; its other threads do.
            if (!root_ && errno != EACCES && errno != EPERM)
                (void)any_thread(directory_.get(), "task", [this](std::int32_t tid) {
                    path_buffer name;
                    name.put("task/").put(static_cast<std::uint64_t>(tid));
                    const unique_fd thread{::openat(directory_.get(), name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
                    open_root(thread.borrow());
                    if (root_) root_thread_ = tid;
                    return static_cast<bool>(root_);
                });
        }
        path = {root_path_, root_path_size_};
        return root_.borrow();
    }

    /// Whether the root, once it is open, is that of a task in the handle's address space: see address_space(). Once a call.
    [[nodiscard]] bool root_is_the_handles(const mapping& m) noexcept {
        if (!root_ || root_proven_) return root_proven_;
        path_buffer maps;
        if (root_thread_ != 0) maps.put("task/").put(static_cast<std::uint64_t>(root_thread_)).put("/");
        root_proven_ = shows(maps.put("maps").c_str(), m);
        return root_proven_;
    }

    /// Whether the task still shows a mapping as the handle does, in an address space that is the handle's: the lowest mappings agree,
    /// which the randomization of addresses makes different in another program. What was opened before the call is then of it.
    [[nodiscard]] bool address_space(const mapping& m) noexcept {
        return find() && shows("maps", m);
    }

    /// Reads from the memory of the address space in which `m` is; nothing is read where that is not the handle's. `mem` needs ptrace
    /// access mode ATTACH.
    [[nodiscard]] borrowed_fd memory(const mapping& m) noexcept {
        if (!mem_ && find()) mem_.reset(::openat(directory_.get(), "mem", O_RDONLY | O_CLOEXEC | O_LARGEFILE));
        // It is of the address space that the task had when it was opened, which may be another by now: looked at afterwards each time.
        if (!mem_ || !address_space(m)) return borrowed_fd{-1};
        return mem_.borrow();
    }

private:
    bool find() noexcept {
        if (!sought_) directory_ = find_task(*handle_);
        sought_ = true;
        return static_cast<bool>(directory_);
    }

    void open_root(borrowed_fd task) noexcept {
        root_.reset(::openat(task.get(), "root", O_PATH | O_DIRECTORY | O_CLOEXEC));
        root_path_size_ = root_ ? read_link(task.get(), "root", root_path_).size() : 0;
        if (root_path_size_ == 1) root_path_size_ = 0;  // "/"
    }

    /// Whether a maps file below the directory shows a mapping as the handle does, and the lowest ones.
    bool shows(const char* maps, const mapping& m) const noexcept {
        handle now{.fd = unique_fd{::openat(directory_.get(), maps, O_RDONLY | O_CLOEXEC)}, .backend = handle_->backend};
        return now.fd && agree(*handle_, now, m);
    }

    /// Whether two handles show one mapping, and agree on the lowest ones.
    static bool agree(const handle& a, const handle& b, const mapping& m) noexcept {
        constexpr int enough = 16;  // the program, its heap, and libraries or threads: each at a random place
        name_buffer name;
        const auto there = lookup(b, m.start, {.name = m.name_status == name_state::not_asked ? std::span<char>{} : std::span<char>{name}}, false);
        if (!there || !same_mapping(*there, m) || there->permissions != m.permissions) return false;
        for (int tries = 0; tries < 3; ++tries) {  // what changes meanwhile is looked at again
            mapping_walk one{a, {}, a.backend}, other{b, {}, b.backend};
            auto i = one.begin();
            auto j = other.begin();
            int same = 0;
            for (; same < enough && i != one.end() && j != other.end(); ++same, ++i, ++j)
                if (!same_mapping(*i, *j) || i->permissions != j->permissions) break;
            if (same == enough || (same != 0 && one.complete() && other.complete())) return true;
        }
        return false;
    }

    const handle* handle_;
    bool sought_ = false;
    bool root_proven_ = false;
    std::int32_t root_thread_ = 0;  // through which the root was opened; 0: the task itself
    int walks_ = 16;
    unique_fd directory_{};
    unique_fd root_{};
    unique_fd mem_{};
    std::size_t root_path_size_ = 0;
    char root_path_[4096];
};

}  // namespace procmap::inline PROCMAP_ABI::detail
