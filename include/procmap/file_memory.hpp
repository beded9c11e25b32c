// What was read from mapped files, kept only while it is certain to be true: by change time and size, which every write shows
// but one through a shared writable mapping (mmap(2): its time may come as late as msync).
#pragma once

#include <sys/statfs.h>
#include <time.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <procmap/mapped_file.hpp>
#include <procmap/maps.hpp>

namespace procmap::inline PROCMAP_ABI {

/// Where build IDs may come from. An ID of more than 20 bytes comes from the file: the kernel does not return it.
enum class build_id_choice : unsigned char {
    automatic,  ///< the kernel where it may be asked (open_options::trust_kernel_build_ids), and otherwise the file
    kernel,     ///< the kernel only: no file is opened for its build ID, and none is remembered
    file,       ///< the ELF note of the file only; on overlayfs its present contents, also where older ones are still mapped
};

namespace detail {

/// A file that is remembered. Its descriptor (O_PATH) holds the inode, so that its number cannot become another file's: a
/// mapping that is seen, afterwards, to have this device and inode is of this file.
struct known_file {
    device_number device{};
    std::uint64_t inode = 0;
    std::string name{};  // compared where the file system's inode numbers are not enough: see by_name
    bool by_name = false;
    bool overlay = false;  // once written to, its old and its new contents can both be mapped, as one inode
    unique_fd pin{};
    file_version version{};
    file_state state = file_state::unknown;
    build_id_source way = build_id_source::none;  // how it was found
    build_id id{};
    bool id_known = false;  // also when it is known that there is none
    std::vector<elf::segment> segments{};  // PT_LOAD
    bool settled = false;  // a change after `version` was read must show in it
    bool read = false;  // `segments`, and the ID unless the kernel said it, are those of `version`
    std::uint64_t used = 0;
};

/// The files that are remembered, at most `capacity` of them (and one at the least), each with one descriptor.
class file_memory {
public:
    explicit file_memory(std::size_t capacity) noexcept : capacity_(capacity) {}

    /// The file of a mapping, if it is remembered; brought up to date by one system call. Valid until the next call.
    [[nodiscard]] known_file* recall(const mapping& m) {
        for (known_file& f : files_) {
            if (f.inode != m.inode || f.device != m.device || (f.by_name && f.name != m.name)) continue;
            f.used = ++clock_;
            const int saved = errno;
            file_version now;
            const bool seen = read_version(f.pin.borrow(), now);
            const bool is_settled = seen && settled(now);
            errno = saved;
            if (!seen || now != f.version || !f.settled) {  // written to, renamed, linked or unlinked: everything is asked again
                f.version = seen ? now : file_version{};
                f.settled = is_settled;
                f.state = !seen ? file_state::unknown : now.links == 0 ? file_state::deleted : file_state::linked;
                f.id_known = f.read = false;
            }
            return &f;
        }
        return nullptr;
    }

    /// Finds the file of a mapping whose name is known, and remembers it. Null where it cannot be had; `state` then says why.
    /// The mapping must be looked at again: only then is it certain that the file that was found is the one that is mapped.
    [[nodiscard]] known_file* learn(borrowed_fd maps, const mapping& m, file_state& state) {
        found_file found = find_file(maps, m);
        state = found.state;
        if (!found.path_fd) return nullptr;
        const int saved = errno;
        const bool overlay = on_overlayfs(found.path_fd.borrow());
        const bool is_settled = settled(found.version);
        errno = saved;
        if (files_.size() >= capacity_ && !files_.empty()) {  // the one that was not used for longest makes room
            known_file* oldest = &files_.front();
            for (known_file& f : files_)
                if (f.used < oldest->used) oldest = &f;
            std::swap(*oldest, files_.back());
            files_.pop_back();
        }
        files_.push_back({.device = m.device,
                          .inode = m.inode,
                          .name = std::string{m.name},
                          .by_name = found.version.inode != m.inode || found.version.device != m.device,
                          .overlay = overlay,
                          .pin = std::move(found.path_fd),
                          .version = found.version,
                          .state = found.state,
                          .way = found.way,
                          .id = {},
                          .segments = {},
                          .settled = is_settled,
                          .used = ++clock_});
        return &files_.back();
    }

    /// Reads the file's ELF headers and note, once for each version of it.
    void read(known_file& f) {
        if (f.read) return;
        const int saved = errno;
        const unique_fd file = reopen(f.pin.borrow());
        errno = saved;
        if (!file) return;  // not permitted, or no descriptor free: nothing is known, and it is tried again the next time
        f.segments.clear();
        ++reads_;
        std::byte note[build_id::capacity];
        const file_source source{file.borrow()};
        const elf::image image{source};
        elf::segment s;
        for (std::uint32_t i = 0; i < image.segments() && image.segment_at(i, s); ++i)
            if (s.type == elf::segment::load) f.segments.push_back(s);
        const std::size_t size = image.build_id(note);
        errno = saved;
        if (source.failed()) {  // nor is anything known where not all could be read
            f.segments.clear();
            return;
        }
        f.read = true;
        if (f.id_known && !f.id.empty()) return;  // the kernel's own word stands
        f.id = build_id{std::span{note}.first(size), f.way};
        f.id_known = true;
    }

    [[nodiscard]] std::uint64_t reads() const noexcept { return reads_; }

private:
    [[nodiscard]] static bool on_overlayfs(borrowed_fd fd) noexcept {
        struct statfs fs {};
        constexpr long magic = 0x794c7630;  // OVERLAYFS_SUPER_MAGIC, include/uapi/linux/magic.h
        return ::fstatfs(fd.get(), &fs) == 0 && static_cast<long>(fs.f_type) == magic;
    }

    /// Change times have the granularity of the kernel's tick (10 ms at most; finer since 6.13): a change so soon after the last
    /// one may not show.
    [[nodiscard]] static bool settled(const file_version& v) noexcept {
        timespec now{};
        ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
        const std::int64_t age = (std::int64_t{now.tv_sec} - v.ctime_seconds) * 1'000 + (now.tv_nsec - std::int64_t{v.ctime_nanoseconds}) / 1'000'000;
        return age > 20;
    }

    std::vector<known_file> files_;
    std::size_t capacity_;
    std::uint64_t clock_ = 0;
    std::uint64_t reads_ = 0;
};

}  // namespace detail
}  // namespace procmap::inline PROCMAP_ABI
