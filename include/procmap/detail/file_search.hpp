// Finds and opens the file of a mapping and determines what proves that it is the mapped one.
//
// The paths in another process's maps are untrusted input, often processed by root. A path is resolved below that process's root,
// never through magic links, and first without opening the file (O_PATH). The file is opened for reading only if build IDs or ELF
// addresses were asked for, only if it is a regular file on a file system that neither asks a user's server (FUSE, autofs) nor has side
// effects on reading, and only to read its ELF headers and notes. Data of a file that is not proven to be the mapped one is returned only
// if its build ID then proves it. A path lookup on FUSE or NFS can still block. Nothing here is async-signal-safe.
#pragma once

#include <procmap/version.hpp>

#include <procmap/build_id.hpp>
#include <procmap/detail/file_system.hpp>
#include <procmap/detail/task.hpp>
#include <procmap/kind.hpp>
#include <procmap/location.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// Opens the file of an O_PATH descriptor for reading.
[[nodiscard]] inline unique_fd reopen(borrowed_fd fd) noexcept {
    return unique_fd{::openat(AT_FDCWD, own_fd_path(fd, "fd").c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_LARGEFILE)};
}

/// What proves that a file is the mapped one.
enum class proof : unsigned char {
    none,        ///< nothing; only its build ID can prove it
    inode,       ///< device and inode, on a file system where they are unique
    descriptor,  ///< it comes from map_files
};

/// A file that may be the mapped one. The caller must query the mapping again after this was found.
struct found_file {
    unique_fd path_fd{};  // O_PATH; empty if there is no file that may be read
    build_id_source source = build_id_source::none;
    proof by = proof::none;
    bool remembered = false;   // it may be cached: its change time is reliable
    bool never_read = false;   // it may be on FUSE or not regular: neither the library nor the kernel may read it
    file_version version{};
};

inline constexpr std::string_view deleted_mark = " (deleted)";  // what the kernel adds to the path of an unlinked file

/// Gets the root directory of a mapping's process and the mapping's path below it. Returns false if there is no path or the root is not
/// accessible. The kernel prints paths as this process sees them, with the path of the other process's root in front.
[[nodiscard]] inline bool path_below_root(task_files& task, const mapping& m, borrowed_fd& root, std::string_view& path) noexcept {
    path = m.name;
    if (!path.starts_with('/')) return false;
    std::string_view root_path;
    root = task.root(root_path);
    if (root.get() < 0 || !path.starts_with(root_path)) return false;
    path.remove_prefix(root_path.size());
    return path.starts_with('/');
}

/// Looks up the path of a mapping, which must have its name. For `linked`, the caller must verify that the inode was not reused. Two to
/// eight system calls, and about fifty once for each task. Preserves errno.
[[nodiscard]] inline file_state state_of_path(task_files& task, const mapping& m) noexcept {
    const errno_kept keep;
    const auto leads_to = [&m](borrowed_fd root, std::string_view path) {
        path_buffer text;
        text.put(path);
        if (text.view().empty()) return file_state::unreadable;  // too long
        const unique_fd fd = open_path(root, text.c_str(), resolve_no_magiclinks | resolve_in_root);
        if (!fd) return errno == ENOENT || errno == ENOTDIR ? file_state::deleted : file_state::unreadable;
        const std::uint32_t type = file_system_of(fd.borrow());
        const trust level = type == 0 ? trust::untouchable : trust_of(type);
        file_version v;
        if (level == trust::untouchable || !look_at(fd.borrow(), v)) return file_state::unreadable;
        if (level == trust::inode) return v.inode == m.inode && v.device == m.device ? file_state::linked : file_state::replaced;
        return v.regular || v.device_node ? file_state::unknown : file_state::replaced;
    };
    const auto look = [&] {
        borrowed_fd root{-1};
        std::string_view path;
        // "/dev/zero (deleted)" of shared anonymous memory is not a path.
        if (!m.name.starts_with('/') || kind_of(m) == mapping_kind::shared_memory || !task.proven()) return file_state::unknown;
        const bool below = path_below_root(task, m, root, path);
        if (root.get() < 0) return file_state::unreadable;
        if (!task.root_has_same_address_space(m)) return file_state::unknown;
        if (!below) return file_state::unreadable;
        const file_state whole = leads_to(root, path);
        if (!path.ends_with(deleted_mark)) return whole == file_state::deleted ? file_state::unreadable : whole;
        if (whole == file_state::linked) return whole;
        // The file was unlinked, and the path may lead to another file or to the same one again. Or its name ends with " (deleted)".
        const file_state unmarked = leads_to(root, path.substr(0, path.size() - deleted_mark.size()));
        const bool uncertain = whole == file_state::unknown || whole == file_state::unreadable;
        return uncertain && unmarked != file_state::linked ? whole : unmarked;
    };
    file_state state = look();
    // The text has "\012" for a newline and for these four characters, so this may be another path.
    if (m.name_status == name_state::ambiguous && state != file_state::linked) state = file_state::unknown;
    return state;
}

/// Searches the file of a mapping, in map_files and at its path. `m` must have its name, unless map_files is accessible.
class file_search {
public:
    file_search(task_files& task, const mapping& m) noexcept : task_(&task), m_(&m) {}

    /// Returns what was found. About ten system calls. Preserves errno.
    [[nodiscard]] found_file run() noexcept {
        const errno_kept keep;
        if (judge(task_->open_map_file(*m_), build_id_source::map_files) != verdict::found) by_path();
        return std::move(found_);
    }

private:
    enum class verdict : unsigned char { found, candidate, another, nothing };

    /// Compares the file of a descriptor with the mapping. Keeps the descriptor if it proves more than the one found before.
    verdict judge(unique_fd fd, build_id_source way) noexcept {
        if (!fd) return verdict::nothing;
        // Before stat: for another user's FUSE file, fstatfs is the only call that succeeds, and the kernel does not ask the server.
        const std::uint32_t type = file_system_of(fd.borrow());
        const trust level = type == 0 ? trust::untouchable : trust_of(type);
        file_version v;
        if (!look_at(fd.borrow(), v)) {
            found_.never_read = true;
            return verdict::nothing;
        }
        const bool same_inode = v.inode == m_->inode && v.device == m_->device;
        if (level == trust::inode && !same_inode) return verdict::another;
        const bool from_map_files = way == build_id_source::map_files;
        if (!v.regular && !v.device_node) return verdict::another;  // a directory, FIFO, socket or link is never mapped by path
        if (level == trust::untouchable || !v.regular) {  // may be the mapped file, but must not be read
            found_.never_read = true;
            return from_map_files || same_inode ? verdict::found : verdict::nothing;
        }
        const proof by = level == trust::inode ? proof::inode : level == trust::descriptor && from_map_files ? proof::descriptor : proof::none;
        if (found_.path_fd && by == proof::none) return verdict::candidate;
        const bool never_read = found_.never_read;
        found_ = {.path_fd = std::move(fd), .source = way, .by = by, .remembered = keeps_times(type), .never_read = never_read, .version = v};
        return by == proof::none ? verdict::candidate : verdict::found;
    }

    void by_path() noexcept {
        borrowed_fd root{-1};
        std::string_view path;
        if (!path_below_root(*task_, *m_, root, path)) return;
        const auto try_path = [&](std::string_view name) {
            path_buffer text;
            unique_fd fd = open_path(root, text.put(name).c_str(), resolve_no_magiclinks | resolve_in_root);
            // A file that is not accessible, or whose server does not answer, may be on FUSE.
            if (!fd && (errno == EACCES || errno == EIO || errno == ENOTCONN || errno == ETIMEDOUT || errno == ESTALE)) found_.never_read = true;
            return judge(std::move(fd), build_id_source::root_path);
        };
        if (try_path(path) != verdict::found && path.ends_with(deleted_mark))  // unlinked, and linked there again
            (void)try_path(path.substr(0, path.size() - deleted_mark.size()));
    }

    task_files* task_;
    const mapping* m_;
    found_file found_{};
};

}  // namespace procmap::inline PROCMAP_ABI::detail
