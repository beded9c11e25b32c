// The very file that is mapped: found, opened and identified, with its path treated as hostile.
//
// A path in another process's maps is whatever that process made it: reading it may be done by root. It is resolved below that
// process's root, never through magic links, first without opening (O_PATH), and opened for reading only once it is known to be
// a regular file and the one that is mapped. A file of FUSE or NFS can still block: nothing here is async-signal-safe.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include <procmap/build_id.hpp>
#include <procmap/elf.hpp>
#include <procmap/lookup.hpp>

namespace procmap::inline PROCMAP_ABI {

/// What is known about the file behind a mapping.
enum class file_state : unsigned char {
    unknown,     ///< it was not looked at, or nothing can be known
    linked,      ///< found: the file that is mapped, and it still has a name
    deleted,     ///< it has no name any more: by its link count, or (where it cannot be opened) by what the kernel says of it
    replaced,    ///< its path now leads to another file
    unreadable,  ///< it could not be looked at: permission, its kind, or a path that leads nowhere
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
    [[nodiscard]] friend bool operator==(const file_version&, const file_version&) noexcept = default;
};

/// One system call. False: the errno is left for the caller to see.
inline bool read_version(borrowed_fd fd, file_version& v) noexcept {
#ifdef STATX_TYPE
    struct statx s;
    if (::statx(fd.get(), "", AT_EMPTY_PATH, STATX_TYPE | STATX_NLINK | STATX_INO | STATX_SIZE | STATX_CTIME, &s) != 0) return false;
    v = {.inode = s.stx_ino,
         .device = {s.stx_dev_major, s.stx_dev_minor},
         .ctime_seconds = s.stx_ctime.tv_sec,
         .ctime_nanoseconds = s.stx_ctime.tv_nsec,
         .size = s.stx_size,
         .links = s.stx_nlink,
         .regular = S_ISREG(s.stx_mode)};
#else  // musl before 1.2.5; its fstat has 64 bits everywhere
    struct stat s;
    if (::fstat(fd.get(), &s) != 0) return false;
    v = {.inode = s.st_ino,
         .device = {static_cast<std::uint32_t>((s.st_dev >> 32 & 0xfffff000) | (s.st_dev >> 8 & 0xfff)),
                    static_cast<std::uint32_t>((s.st_dev >> 12 & 0xffffff00) | (s.st_dev & 0xff))},
         .ctime_seconds = s.st_ctim.tv_sec,
         .ctime_nanoseconds = static_cast<std::uint32_t>(s.st_ctim.tv_nsec),
         .size = static_cast<std::uint64_t>(s.st_size),
         .links = static_cast<std::uint32_t>(s.st_nlink),
         .regular = S_ISREG(s.st_mode)};
#endif
    return true;
}

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
    [[nodiscard]] const char* c_str() const noexcept { return broken_ ? "" : text_; }
    [[nodiscard]] std::string_view view() const noexcept { return broken_ ? std::string_view{} : std::string_view{text_, size_}; }

private:
    std::size_t size_ = 0;
    bool broken_ = false;
    char text_[4096 + 128];
};

/// Where procfs shows an open descriptor of this process.
inline void own_fd_path(borrowed_fd fd, path_buffer& path) noexcept {
    char_line<20> digits;
    digits.put(static_cast<std::uint64_t>(fd.get() < 0 ? 0 : fd.get()), 10);
    path.put("/proc/self/fd/").put(digits.view());
}

/// Opens for reading what an O_PATH descriptor stands for.
[[nodiscard]] inline unique_fd reopen(borrowed_fd fd) noexcept {
    path_buffer path;
    own_fd_path(fd, path);
    return unique_fd{::openat(AT_FDCWD, path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_LARGEFILE)};
}

/// The directory of the process that a maps descriptor belongs to ("/proc/123"), as the descriptor's own link names it.
inline bool process_directory(borrowed_fd maps, path_buffer& directory) noexcept {
    path_buffer link;
    own_fd_path(maps, link);
    char target[4096];
    const ssize_t n = ::readlinkat(AT_FDCWD, link.c_str(), target, sizeof target);
    if (n <= 0 || static_cast<std::size_t>(n) == sizeof target) return false;
    std::string_view path{target, static_cast<std::size_t>(n)};
    if (!path.ends_with("/maps")) return false;
    path.remove_suffix(5);
    if (const std::size_t task = path.rfind("/task/"); task != std::string_view::npos) path = path.substr(0, task);
    directory.put(path);
    return true;
}

/// Opens a path below a root directory, without opening what it names: O_PATH, no way out of the root, no magic links.
[[nodiscard]] inline unique_fd open_below(borrowed_fd root, const char* path) noexcept {
    struct {  // struct open_how, include/uapi/linux/openat2.h, Linux 5.6+
        std::uint64_t flags = O_PATH | O_CLOEXEC;
        std::uint64_t mode = 0;
        std::uint64_t resolve = 0x02 | 0x10;  // RESOLVE_NO_MAGICLINKS | RESOLVE_IN_ROOT
    } how;
    constexpr long openat2 = 437;  // on every architecture here
    long fd = -1;
    for (int tries = 0; tries < 16; ++tries) {  // EAGAIN: a rename on the way made ".." unsafe to follow
        fd = ::syscall(openat2, root.get(), path, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
    }
    return unique_fd{static_cast<int>(fd)};
}

/// What is known of whether a file is the mapped one.
enum class identity : unsigned char { same, another, unknown };

/// Whether a regular file is the one that a mapping shows. Most file systems: inode and device say so. btrfs and overlayfs show
/// another device (and inode) in maps than in stat: there one page of the file is mapped, and one's own maps asked about it.
[[nodiscard]] inline identity is_mapped(borrowed_fd path_fd, const file_version& v, const mapping& m) noexcept {
    if (v.inode == m.inode && v.device == m.device) return identity::same;
    const unique_fd file = reopen(path_fd);
    if (!file) return identity::unknown;
    constexpr std::size_t one_byte = 1;  // the kernel makes it a page
    void* const page = ::mmap(nullptr, one_byte, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (page == MAP_FAILED) return identity::unknown;
    auto found = identity::unknown;
    if (auto opened = open_maps({}); opened) {
        handle own{.fd = std::move(*opened), .pid = error::this_process};
        if (!says_absent(any_query(own.fd.borrow()))) own.backend = backend::ioctl;
        const auto shown = lookup(own, reinterpret_cast<std::uintptr_t>(page), nothing_asked, false);
        if (shown) found = shown->inode == m.inode && shown->device == m.device ? identity::same : identity::another;
    }
    ::munmap(page, one_byte);
    return found;
}

/// The file behind a mapping.
struct found_file {
    unique_fd path_fd{};  // O_PATH; none where the file was not found
    build_id_source way = build_id_source::none;
    file_state state = file_state::unknown;
    file_version version{};
};

/// Takes `fd` if it is the mapped file.
inline identity take(found_file& found, unique_fd fd, build_id_source way, const mapping& m) noexcept {
    file_version v;
    if (!fd || !read_version(fd.borrow(), v)) return identity::unknown;
    const identity is = v.regular ? is_mapped(fd.borrow(), v, m) : identity::another;
    if (is != identity::same) return is;
    found = {.path_fd = std::move(fd), .way = way, .state = v.links == 0 ? file_state::deleted : file_state::linked, .version = v};
    return identity::same;
}

/// Finds the file behind a mapping of the process that `maps` belongs to. `m` needs its name, unless map_files is permitted.
/// Some ten system calls. errno is left as it was.
[[nodiscard]] inline found_file find_file(borrowed_fd maps, const mapping& m) noexcept {
    const int saved = errno;
    found_file found{.state = file_state::unreadable};
    const auto search = [&] {
        path_buffer process;
        if (!process_directory(maps, process)) return;

        path_buffer entry;  // the mapped file itself, for those who may (CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN)
        char_line<40> range;
        range.put(m.start, 16);
        range.put('-');
        range.put(m.end, 16);
        entry.put(process.view()).put("/map_files/").put(range.view());
        if (take(found, unique_fd{::openat(AT_FDCWD, entry.c_str(), O_PATH | O_CLOEXEC)}, build_id_source::map_files, m) == identity::same) return;

        constexpr std::string_view deleted = " (deleted)";
        const bool marked = m.name.ends_with(deleted);
        if (marked) found.state = file_state::deleted;
        if (!m.name.starts_with('/')) return;
        path_buffer process_root;
        process_root.put(process.view()).put("/root");
        bool another = false;  // the path leads to a file that is not the mapped one
        bool unsure = false;   // or to one that could not be looked at
        const auto try_path = [&](borrowed_fd root, std::string_view name) {
            path_buffer path;
            unique_fd fd = open_below(root, path.put(name).c_str());
            const bool nowhere = !fd && (errno == ENOENT || errno == ENOTDIR);
            const identity is = take(found, std::move(fd), build_id_source::root_path, m);
            unsure |= is == identity::unknown && !nowhere;
            return is;
        };
        // A path is printed as this process would reach it, or as the other would where this one cannot.
        for (const char* root : {process_root.c_str(), "/"}) {
            const unique_fd at{::openat(AT_FDCWD, root, O_PATH | O_DIRECTORY | O_CLOEXEC)};
            if (!at) {
                unsure = true;
                continue;
            }
            identity is = try_path(at.borrow(), m.name);
            if (is == identity::same) return;
            if (marked) is = try_path(at.borrow(), m.name.substr(0, m.name.size() - deleted.size()));
            if (is == identity::same) return;  // unlinked once, and linked there again
            another |= is == identity::another;
        }
        if (another && !unsure) found.state = file_state::replaced;
    };
    search();
    errno = saved;
    return found;
}

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

/// The bytes of another process's memory from an address on, as /proc/PID/mem gives them (ptrace access mode ATTACH).
class memory_source {
public:
    memory_source(borrowed_fd maps, std::uint64_t base) noexcept : base_(base) {
        path_buffer path;
        if (process_directory(maps, path)) mem_.reset(::openat(AT_FDCWD, path.put("/mem").c_str(), O_RDONLY | O_CLOEXEC));
    }
    bool operator()(std::uint64_t offset, std::span<std::byte> to) const noexcept {
        const std::uint64_t at = base_ + offset;
        failed_ |= at < base_ || read_at(mem_.borrow(), to, at, failed_) != to.size();  // nothing ends before what it says of itself
        return !failed_;
    }
    [[nodiscard]] bool failed() const noexcept { return failed_; }

private:
    unique_fd mem_;
    std::uint64_t base_;
    mutable bool failed_ = false;
};

}  // namespace detail
}  // namespace procmap::inline PROCMAP_ABI
