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
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <procmap/build_id.hpp>
#include <procmap/detail/file_system.hpp>
#include <procmap/detail/task.hpp>
#include <procmap/elf.hpp>
#include <procmap/kind.hpp>

namespace procmap::inline PROCMAP_ABI {

/// Where the path that maps shows for a mapping leads. It is looked up below the process's root when it is asked for, in the same way
/// for every caller: a caller without rights gets the same state, or `unreadable`. It says nothing of other names of the file.
enum class file_state : unsigned char {
    unknown,     ///< not asked for; or not provable: device and inode do not name a file there (btrfs, overlayfs, NFS, ...), or the process
                 ///< that the handle was opened through has another address space by now
    linked,      ///< to the mapped file
    deleted,     ///< nowhere, and the kernel marks it: the file was unlinked, or never had a path (memfd_create, shmget)
    replaced,    ///< to another file, whether or not the mapped one still has another name
    unreadable,  ///< it could not be looked at: permission, FUSE, a path outside of the process's root; or one that the kernel does not mark
                 ///< and that leads nowhere, since its mount is gone or hidden
};

namespace detail {

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
    return unique_fd{::openat(AT_FDCWD, own_fd_path{fd, "fd"}.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_LARGEFILE)};
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

/// pread with an offset of 64 bits, whatever off_t is here.
inline ssize_t read_once(borrowed_fd fd, std::span<std::byte> to, std::uint64_t offset) noexcept {
#if defined(__GLIBC__)
    return ::pread64(fd.get(), to.data(), to.size(), static_cast<off64_t>(offset));
#else
    static_assert(sizeof(off_t) == 8);
    return ::pread(fd.get(), to.data(), to.size(), static_cast<off_t>(offset));
#endif
}

/// Reads all that is asked for, or up to the end of the file; how many bytes. `failed`: set where a read failed.
inline std::size_t read_at(borrowed_fd fd, std::span<std::byte> to, std::uint64_t offset, bool& failed) noexcept {
    std::size_t done = 0;
    for (int tries = 0; done != to.size() && offset + done <= INT64_MAX;) {
        const ssize_t n = read_once(fd, to.subspan(done), offset + done);
        if (n == 0) break;
        if (n > 0) {
            done += static_cast<std::size_t>(n);
        } else if (errno != EINTR || ++tries > interrupted_tries) {
            failed = true;
            break;
        }
    }
    return done;
}

/// The bytes of a file, of which the first page is read once.
class file_source {
public:
    explicit file_source(borrowed_fd fd) noexcept : fd_(fd), size_(read_at(fd, first_, 0, failed_)) {}
    bool operator()(std::uint64_t offset, std::span<std::byte> to) const noexcept {
        if (bytes_source{std::span{first_}.first(size_)}(offset, to)) return true;
        return read_at(fd_, to, offset, failed_) == to.size();
    }
    /// Whether a read failed: what was not found may be there all the same.
    [[nodiscard]] bool failed() const noexcept { return failed_; }

private:
    using bytes_source = elf::bytes_source;
    borrowed_fd fd_;
    mutable bool failed_ = false;
    std::byte first_[4096];
    std::size_t size_ = 0;
};

/// The bytes of another process's memory from an address on, up to the end of the mapping.
class memory_source {
public:
    /// `mem`: see task_files::memory.
    memory_source(borrowed_fd mem, const mapping& m) noexcept : mem_(mem), base_(m.start), size_(m.end - m.start) {}
    bool operator()(std::uint64_t offset, std::span<std::byte> to) const noexcept {
        const bool inside = offset <= size_ && to.size() <= size_ - offset;  // nothing ends before what it says of itself
        failed_ |= !inside || read_at(mem_, to, base_ + offset, failed_) != to.size();
        return !failed_;
    }
    [[nodiscard]] bool failed() const noexcept { return failed_; }

private:
    borrowed_fd mem_;
    std::uint64_t base_;
    std::uint64_t size_;
    mutable bool failed_ = false;
};

/// The ELF headers and the build ID of an image, by file or memory.
struct image_facts {
    build_id id{};
    bool id_known = false;  // also when it is known that there is none
    std::vector<elf::segment> loads{};  // the PT_LOADs that have bytes in the file
};

/// Reads them. False, and nothing known, where a read failed. What a bound cut off is not known.
template <class Source>
bool read_image(const Source& source, build_id_source way, image_facts& facts) {
    facts.loads.clear();
    facts.id = {};
    facts.id_known = false;
    const elf::image<Source> image{source};
    elf::segment s;
    for (std::uint32_t i = 0; !image.cut_off() && i < image.segments() && image.segment_at(i, s); ++i)
        if (s.type == elf::segment::load && s.file_size != 0) facts.loads.push_back(s);
    std::byte note[build_id::capacity];
    bool bounded = false;
    std::size_t size = image.build_id(note, bounded);
    // Where no segment has a note, a section may. Section headers are not loaded: by memory that is not known.
    if (size == 0 && !bounded && way != build_id_source::memory) size = image.section_build_id(note, bounded);
    if (size == 0 && way == build_id_source::memory) bounded |= image.has_sections();
    if (source.failed()) {
        facts.loads.clear();
        return false;
    }
    // Before a bound, one of at most 20 bytes is the preferred one; a longer one may not be.
    constexpr std::size_t kernels_most = 20;
    facts.id_known = !bounded || (size != 0 && size <= kernels_most);
    if (facts.id_known) facts.id = build_id{std::span{note}.first(size), way};
    return true;
}

}  // namespace detail
}  // namespace procmap::inline PROCMAP_ABI
