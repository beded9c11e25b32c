// Reads the ELF headers and the build ID of an image, from its file or from a process's memory.
#pragma once

#include <procmap/version.hpp>

#include <vector>

#include <procmap/build_id.hpp>
#include <procmap/elf.hpp>
#include <procmap/detail/task.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// pread(2) with a 64-bit offset, whatever the size of off_t.
inline ssize_t read_once(borrowed_fd fd, std::span<std::byte> to, std::uint64_t offset) noexcept {
#if defined(__GLIBC__)
    return ::pread64(fd.get(), to.data(), to.size(), static_cast<off64_t>(offset));
#else
    static_assert(sizeof(off_t) == 8);
    return ::pread(fd.get(), to.data(), to.size(), static_cast<off_t>(offset));
#endif
}

/// Fills `to`, or reads up to the end of the file. Returns the number of bytes read. Sets `failed` if a read failed.
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

/// The bytes of a file. Caches the first 4096.
class file_source {
public:
    explicit file_source(borrowed_fd fd) noexcept : fd_(fd), size_(read_at(fd, first_, 0, failed_)) {}
    bool operator()(std::uint64_t offset, std::span<std::byte> to) const noexcept {
        if (bytes_source{std::span{first_}.first(size_)}(offset, to)) return true;
        return read_at(fd_, to, offset, failed_) == to.size();
    }
    /// Returns true if a read failed. What was not found may then exist.
    [[nodiscard]] bool failed() const noexcept { return failed_; }

private:
    using bytes_source = elf::bytes_source;
    borrowed_fd fd_;
    mutable bool failed_ = false;
    std::byte first_[4096];
    std::size_t size_ = 0;
};

struct image_facts {
    build_id id{};
    bool id_known = false;  // true also if it is known that there is none
    std::vector<elf::segment> loads{};  // the PT_LOADs that have bytes in the file
};

/// Reads an image. Returns false, with nothing known, if a read failed. What a limit cuts off is not known.
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
    // If no segment has the note, a section may. Section headers are not loaded, so memory cannot tell.
    if (size == 0 && !bounded && way != build_id_source::memory) size = image.section_build_id(note, bounded);
    if (size == 0 && way == build_id_source::memory) bounded |= image.has_sections();
    if (source.failed()) {
        facts.loads.clear();
        return false;
    }
    // An ID of at most 20 bytes is the preferred one even if a limit was reached; a longer one may not be.
    constexpr std::size_t kernels_most = 20;
    facts.id_known = !bounded || (size != 0 && size <= kernels_most);
    if (facts.id_known) facts.id = build_id{std::span{note}.first(size), way};
    return true;
}

}  // namespace procmap::inline PROCMAP_ABI::detail
