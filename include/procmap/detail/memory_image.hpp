// Finds the ELF image that contains a mapping and reads it from the memory of its process.
#pragma once

#include <procmap/version.hpp>

#include <procmap/detail/image_facts.hpp>
#include <procmap/detail/task.hpp>
#include <procmap/load_bias.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// The bytes of a mapping in another process's memory.
class memory_source {
public:
    /// `mem`: see task_files::memory.
    memory_source(borrowed_fd mem, const mapping& m) noexcept : mem_(mem), base_(m.start), size_(m.end - m.start) {}
    bool operator()(std::uint64_t offset, std::span<std::byte> to) const noexcept {
        const bool inside = offset <= size_ && to.size() <= size_ - offset;  // headers that point outside are a failed read
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

/// Finds the mapping of the first page of the image that may contain `m` (see belongs()). This is `m` itself, one that is adjacent to it
/// through mappings of the same file, or the nearest one of that file and name below it. Returns false if there is none.
[[nodiscard]] inline bool find_header(const handle& from, task_files& task, const mapping& m, name_buffer& name, mapping& header) {
    constexpr int most_steps = 8;
    const auto same_file = [&m](const mapping& other) { return other.inode == m.inode && other.device == m.device && other.name == m.name; };
    header = m;
    bool gap = false;
    for (int steps = 0; header.offset != 0 && steps < most_steps && !gap; ++steps) {
        const auto below = header.start == 0 ? result<mapping>{mapping{}} : lookup(from, header.start - 1, {.name = name}, false);
        gap = !below || !same_file(*below);
        if (!gap) header = *below;
    }
    if (!gap) return header.offset == 0;
    if (!task.may_walk()) return false;
    for (const mapping& below : walk_over(from, {.only = file_backed, .names = true})) {
        if (below.start >= m.start) break;
        if (below.offset == 0 && same_file(below)) header = below;
    }
    header.name = m.name;  // the walk's name is no longer valid
    return header.offset == 0;
}

/// Reads the image whose first page is mapped by `header`, from the process's memory.
[[nodiscard]] inline bool read_from_memory(task_files& task, const mapping& header, image_facts& facts) {
    if (!header.permissions.has(perm::read)) return false;
    const borrowed_fd mem = task.memory(header);
    if (mem.get() < 0) return false;
    const memory_source source{mem, header};
    return read_image(source, build_id_source::memory, facts) && !facts.loads.empty();
}

/// Returns true if a mapping is where a segment of the image that begins with `header` puts it.
[[nodiscard]] inline bool belongs(const mapping& header, const mapping& m, std::span<const elf::segment> loads) noexcept {
    const auto page_size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    if (!elf::loadable(loads, page_size) || loads.front().offset >= page_size) return false;
    const std::uint64_t bias = header.start - (loads.front().address - loads.front().offset);
    for (const elf::segment& s : loads) {
        const std::uint64_t first = s.offset - s.offset % page_size;
        if (m.offset >= first && m.offset < s.offset + s.file_size && m.start - m.offset == bias + (s.address - s.offset)) return true;
    }
    return false;
}

}  // namespace procmap::inline PROCMAP_ABI::detail
