// The file that is mapped: found, opened and proven to be it, with its path treated as hostile.
//
// A path in another process's maps is whatever that process made it, and it may be read by root. It is resolved below that process's
// root, never through magic links, first without opening (O_PATH). It is opened for reading only where build IDs or ELF addresses were
// asked for, only if it is a regular file of a file system that neither asks a server of users (FUSE, autofs) nor has effects, and only
// for its ELF headers and notes. What is read of a file that is not proven to be the mapped one is not given out unless its build ID
// then proves it. A lookup on FUSE or NFS can still block: nothing here is async-signal-safe.
#pragma once

#include <procmap/version.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string_view>
#include <utility>

#include <procmap/build_id.hpp>
#include <procmap/detail/file_system.hpp>
#include <procmap/detail/task.hpp>
#include <procmap/kind.hpp>
#include <procmap/location.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// What tells whether a file changed: its inode is the same as long as somebody holds it.
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

/// One system call, or two. False: the errno is left for the caller to see.
inline bool read_version(borrowed_fd fd, file_version& v) noexcept {
#ifdef STATX_TYPE  // musl from 1.2.5 on. fstat has 64 bits on every machine only with musl
    struct statx x;
    if (::statx(fd.get(), "", AT_EMPTY_PATH, STATX_TYPE | STATX_NLINK | STATX_INO | STATX_SIZE | STATX_CTIME, &x) == 0) {
        v = {.inode = x.stx_ino,
             .device = {x.stx_dev_major, x.stx_dev_minor},
             .ctime_seconds = x.stx_ctime.tv_sec,
             .ctime_nanoseconds = x.stx_ctime.tv_nsec,
             .size = x.stx_size,
             .links = x.stx_nlink,
             .regular = S_ISREG(x.stx_mode),
             .device_node = S_ISCHR(x.stx_mode) || S_ISBLK(x.stx_mode)};
        return true;
    }
#endif
    struct stat s;  // also where a sandbox refuses statx
    if (::fstat(fd.get(), &s) != 0) return false;
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

/// Opens for reading what an O_PATH descriptor stands for.
[[nodiscard]] inline unique_fd reopen(borrowed_fd fd) noexcept {
    return unique_fd{::openat(AT_FDCWD, own_fd_path(fd, "fd").c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_LARGEFILE)};
}

/// What proves that a file is the mapped one.
enum class proof : unsigned char {
    none,        ///< nothing: it is a candidate, which only its build ID can prove
    number,      ///< device and inode, on a file system where they name one file
    descriptor,  ///< it is from map_files
};

/// A file that may be the one behind a mapping. The mapping must be looked at again, after this was found, before it is believed.
struct found_file {
    unique_fd path_fd{};  // O_PATH; none where there is no candidate that may be read
    build_id_source way = build_id_source::none;
    proof by = proof::none;
    bool remembered = false;   // its change time may be relied on
    bool never_read = false;   // it is, or may be, no regular file, or one of FUSE: nobody may be asked to read it
    file_version version{};
};

inline constexpr std::string_view deleted_mark = " (deleted)";  // what the kernel adds to the path of an unlinked file

/// The root of a mapping's process, and the path that maps shows for the mapping below it. False where it has none, or that may not be
/// looked at. The kernel prints a path as this process sees it: below the other's root, if that is not this one's.
[[nodiscard]] inline bool path_below_root(task_files& task, const mapping& m, borrowed_fd& root, std::string_view& path) noexcept {
    path = m.name;
    if (!path.starts_with('/')) return false;
    std::string_view root_path;
    root = task.root(root_path);
    if (root.get() < 0 || !path.starts_with(root_path)) return false;
    path.remove_prefix(root_path.size());
    return path.starts_with('/');
}

/// Looks up the path of a mapping, whose name is known: two to eight system calls, and some fifty once for each task. Whether a file of the
/// mapping's number is the mapped one is left to the caller, who can tell whether the number was held. errno is left as it was.
[[nodiscard]] inline file_state state_of_path(task_files& task, const mapping& m) noexcept {
    const int saved = errno;
    const auto leads_to = [&m](borrowed_fd root, std::string_view path) {
        path_buffer text;
        text.put(path);
        if (text.view().empty()) return file_state::unreadable;  // it is too long
        const unique_fd fd = open_path(root, text.c_str(), resolve_no_magiclinks | resolve_in_root);
        if (!fd) return errno == ENOENT || errno == ENOTDIR ? file_state::deleted : file_state::unreadable;
        const std::uint32_t type = file_system_of(fd.borrow());
        const trust level = type == 0 ? trust::untouchable : trust_of(type);
        file_version v;
        if (level == trust::untouchable || !read_version(fd.borrow(), v)) return file_state::unreadable;
        if (level == trust::number) return v.inode == m.inode && v.device == m.device ? file_state::linked : file_state::replaced;
        return v.regular || v.device_node ? file_state::unknown : file_state::replaced;
    };
    const auto look = [&] {
        borrowed_fd root{-1};
        std::string_view path;
        // "/dev/zero (deleted)" of shared anonymous memory is no path.
        if (!m.name.starts_with('/') || kind_of(m) == mapping_kind::shared_memory || !task.proven()) return file_state::unknown;
        const bool below = path_below_root(task, m, root, path);
        if (root.get() < 0) return file_state::unreadable;
        if (!task.root_is_the_handles(m)) return file_state::unknown;
        if (!below) return file_state::unreadable;
        const file_state whole = leads_to(root, path);
        if (!path.ends_with(deleted_mark)) return whole == file_state::deleted ? file_state::unreadable : whole;
        if (whole == file_state::linked) return whole;
        // Unlinked: another file may be there by now, or the same again. Or a file is really called so.
        const file_state unmarked = leads_to(root, path.substr(0, path.size() - deleted_mark.size()));
        const bool uncertain = whole == file_state::unknown || whole == file_state::unreadable;
        return uncertain && unmarked != file_state::linked ? whole : unmarked;
    };
    file_state state = look();
    // Text of older kernels does not tell a newline from "\012": the path may be another one.
    if (m.name_status == name_state::ambiguous && state != file_state::linked) state = file_state::unknown;
    errno = saved;
    return state;
}

/// Looks for the file behind a mapping, in map_files and at its path. `m` needs its name, unless map_files is permitted.
class file_search {
public:
    file_search(task_files& task, const mapping& m) noexcept : task_(&task), m_(&m) {}

    /// Some ten system calls. errno is left as it was.
    [[nodiscard]] found_file run() noexcept {
        const int saved = errno;
        if (judge(task_->open_map_file(*m_), build_id_source::map_files) != verdict::found) by_path();
        errno = saved;
        return std::move(found_);
    }

private:
    enum class verdict : unsigned char { found, candidate, another, nothing };

    /// What a descriptor is to the mapping; it is taken if it is better than what was found before.
    verdict judge(unique_fd fd, build_id_source way) noexcept {
        if (!fd) return verdict::nothing;
        // First of all the file system: of FUSE that can be said without its server, and to another user than its own nothing else can.
        const std::uint32_t type = file_system_of(fd.borrow());
        const trust level = type == 0 ? trust::untouchable : trust_of(type);
        file_version v;
        if (!read_version(fd.borrow(), v)) {
            found_.never_read = true;
            return verdict::nothing;
        }
        const bool same_number = v.inode == m_->inode && v.device == m_->device;
        if (level == trust::number && !same_number) return verdict::another;
        const bool from_map_files = way == build_id_source::map_files;
        if (!v.regular && !v.device_node) return verdict::another;  // a directory, FIFO, socket or link is never mapped by its path
        if (level == trust::untouchable || !v.regular) {  // the mapped one, for all that can be known
            found_.never_read = true;
            return from_map_files || same_number ? verdict::found : verdict::nothing;
        }
        const proof by = level == trust::number ? proof::number : level == trust::descriptor && from_map_files ? proof::descriptor : proof::none;
        if (found_.path_fd && by == proof::none) return verdict::candidate;
        const bool never_read = found_.never_read;
        found_ = {.path_fd = std::move(fd), .way = way, .by = by, .remembered = keeps_times(type), .never_read = never_read, .version = v};
        return by == proof::none ? verdict::candidate : verdict::found;
    }

    void by_path() noexcept {
        borrowed_fd root{-1};
        std::string_view path;
        if (!path_below_root(*task_, *m_, root, path)) return;
        const auto try_path = [&](std::string_view name) {
            path_buffer text;
            unique_fd fd = open_path(root, text.put(name).c_str(), resolve_no_magiclinks | resolve_in_root);
            // What may not be looked at, or whose server does not answer, may be of FUSE too.
            if (!fd && (errno == EACCES || errno == EIO || errno == ENOTCONN || errno == ETIMEDOUT || errno == ESTALE)) found_.never_read = true;
            return judge(std::move(fd), build_id_source::root_path);
        };
        if (try_path(path) != verdict::found && path.ends_with(deleted_mark))  // unlinked once, and linked there again
            (void)try_path(path.substr(0, path.size() - deleted_mark.size()));
    }

    task_files* task_;
    const mapping* m_;
    found_file found_{};
};

}  // namespace procmap::inline PROCMAP_ABI::detail
