// Reads what an address map needs from an ELF file: program headers and build ID.
//
//   const procmap::elf::bytes_source source{bytes};
//   const procmap::elf::image file{source};
//   if (file.valid()) id_size = file.build_id(id_bytes);
//
// Pure, constexpr, no allocation; 32 and 64 bit, both byte orders; limited, so that malformed files cost little. Source: elf(5), the gABI;
// lib/buildid.c in the kernel, which reads the same note.
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

#include <procmap/mapping.hpp>

/// ELF program headers, build IDs and load biases.
namespace procmap::inline PROCMAP_ABI::elf {

inline constexpr std::uint32_t most_segments = 1024;  ///< limit on program headers; files have about a dozen
inline constexpr std::uint32_t most_notes = 1024;     ///< limit on notes; files have a few
inline constexpr std::uint32_t most_sections = 4096;  ///< limit on sections; objects with a section for each function have hundreds

/// Reads bytes from memory. A byte source is a callable `bool(std::uint64_t offset, std::span<std::byte> to)` that fills all of `to` or
/// returns false.
struct bytes_source {
    std::span<const std::byte> bytes;  ///< the file, from its first byte
    /// Copies bytes from `offset` on. Returns false if some of them do not exist.
    constexpr bool operator()(std::uint64_t offset, std::span<std::byte> to) const noexcept {
        if (offset > bytes.size() || to.size() > bytes.size() - offset) return false;
        const auto from = bytes.subspan(offset & SIZE_MAX, to.size());
        for (std::size_t i = 0; i < to.size(); ++i) to[i] = from[i];
        return true;
    }
};

/// A program header.
struct segment {
    static constexpr std::uint32_t load = 1;        ///< PT_LOAD
    static constexpr std::uint32_t note = 4;        ///< PT_NOTE
    static constexpr std::uint32_t executable = 1;  ///< PF_X, in `flags`

    std::uint32_t type = 0;       ///< p_type: `load`, `note`, or any other
    std::uint32_t flags = 0;      ///< p_flags
    std::uint64_t offset = 0;     ///< file offset in bytes
    std::uint64_t address = 0;    ///< ELF address
    std::uint64_t file_size = 0;  ///< size in the file, in bytes
    std::uint64_t alignment = 0;  ///< in bytes
};

/// The headers of an ELF file. `Read` is a byte source (see bytes_source).
template <class Read>
class image {
public:
    constexpr explicit image(const Read& read) noexcept : read_(&read) { read_header(); }  ///< reads the ELF header; borrows `read`

    [[nodiscard]] constexpr bool valid() const noexcept { return count_ != 0; }  ///< an ELF file with readable program headers
    [[nodiscard]] constexpr std::uint32_t segments() const noexcept { return count_; }  ///< at most most_segments: see cut_off()

    /// Reads the program header of that number. Returns false if it lies outside of the file.
    [[nodiscard]] constexpr bool segment_at(std::uint32_t number, segment& s) const noexcept {
        std::byte raw[56] = {};
        const std::size_t size = wide_ ? 56 : 32;
        if (!(*read_)(table_ + std::uint64_t{number} * entry_, std::span{raw}.first(size))) return false;
        if (wide_)
            s = {u32(raw), u32(raw + 4), u64(raw + 8), u64(raw + 16), u64(raw + 32), u64(raw + 48)};
        else
            s = {u32(raw), u32(raw + 24), u32(raw + 4), u32(raw + 8), u32(raw + 16), u32(raw + 28)};
        return true;
    }

    /// True if there are more than most_segments program headers, or their number cannot be read. What was not found may be in the others.
    [[nodiscard]] constexpr bool cut_off() const noexcept { return cut_off_; }

    /// Copies the build ID (the NT_GNU_BUILD_ID note of a PT_NOTE segment) to `to` and returns its size, or 0 if there is none or it does
    /// not fit. Of several IDs it takes the first that the kernel can return (at most 20 bytes), otherwise the first.
    [[nodiscard]] constexpr std::size_t build_id(std::span<std::byte> to) const noexcept {
        bool ignored = false;
        return build_id(to, ignored);
    }
    /// The same. Sets `bounded` if a limit was reached (most_segments, most_notes, the size of `to`). Then 0 does not mean that there is no
    /// build ID, and an ID of more than 20 bytes may not be the preferred one.
    [[nodiscard]] constexpr std::size_t build_id(std::span<std::byte> to, bool& bounded) const noexcept {
        note_search search{.to = to, .bounded = cut_off_};
        segment s;
        for (std::uint32_t i = 0; i < count_ && !search.over && segment_at(i, s); ++i)
            if (s.type == segment::note) look_through(s.offset, s.file_size, s.alignment, search);
        bounded = search.bounded;
        return search.size;
    }

    /// The same from the notes of sections (SHT_NOTE of any name), limited by most_sections. The kernel does not read them. Relocatable
    /// objects and some output of objcopy(1) have notes only there; a process's memory has no section headers.
    [[nodiscard]] constexpr std::size_t section_build_id(std::span<std::byte> to, bool& bounded) const noexcept {
        constexpr std::uint32_t sht_note = 7;
        std::byte raw[64] = {};
        const std::size_t size = wide_ ? 64 : 40;
        const auto read_section = [&](std::uint64_t i) { return (*read_)(sections_ + i * section_size_, std::span{raw}.first(size)); };
        note_search search{.to = to};
        bounded = false;
        if (!has_sections() || section_size_ < size || sections_ > UINT64_MAX - std::uint64_t{most_sections} * 0xffff) return 0;
        std::uint64_t count = section_count_;
        if (count == 0) {  // SHN_LORESERVE or more: the true count is in the first section header
            if (!read_section(0)) return 0;
            count = wide_ ? u64(raw + 32) : u32(raw + 20);
        }
        search.bounded = count > most_sections;
        for (std::uint64_t i = 0; i < count && i < most_sections && !search.over && read_section(i); ++i) {
            if (u32(raw + 4) != sht_note) continue;
            if (wide_)
                look_through(u64(raw + 24), u64(raw + 32), u64(raw + 48), search);
            else
                look_through(u32(raw + 16), u32(raw + 20), u32(raw + 32), search);
        }
        bounded = search.bounded;
        return search.size;
    }
    [[nodiscard]] constexpr bool has_sections() const noexcept { return sections_ != 0; }  ///< according to the ELF header

private:
    struct note_search {
        std::span<std::byte> to;
        std::uint32_t notes = 0;
        std::size_t size = 0;
        bool bounded = false;
        bool over = false;  // found one that the kernel can return, or reached a limit
    };

    constexpr void look_through(std::uint64_t offset, std::uint64_t length, std::uint64_t alignment, note_search& search) const noexcept {
        constexpr std::size_t kernels_most = 20;  // BUILD_ID_SIZE_MAX, include/linux/buildid.h
        constexpr std::uint32_t nt_gnu_build_id = 3;
        const std::uint64_t align = alignment == 8 ? 8 : 4;
        std::uint64_t at = 0;  // relative to `offset`
        while (length >= 12 && at <= length - 12) {
            if (search.notes++ >= most_notes) {
                search.bounded = search.over = true;
                return;
            }
            std::byte head[16] = {};
            if (offset + at < at || !(*read_)(offset + at, std::span{head}.first(12))) return;
            const std::uint64_t name = u32(head);
            const std::uint64_t content = u32(head + 4);
            const std::uint64_t begin = up(at + 12 + name, align);
            if (begin > length || content > length - begin) return;
            const bool wanted = content <= kernels_most || search.size == 0;
            if (u32(head + 8) == nt_gnu_build_id && name == 4 && content != 0 && wanted &&
                (*read_)(offset + at + 12, std::span{head}.last(4)) && is_gnu(head + 12)) {
                std::byte brief[kernels_most] = {};  // a failed read keeps the longer ID found before
                const auto size = static_cast<std::size_t>(content);
                const bool fits = size <= search.to.size();
                if (!fits) search.bounded = true;
                const bool is_brief = size <= kernels_most;
                if (fits && (*read_)(offset + begin, is_brief ? std::span{brief}.first(size) : search.to.first(size))) {
                    search.size = size;
                    search.over = is_brief;
                    for (std::size_t k = 0; is_brief && k < size; ++k) search.to[k] = brief[k];
                    if (is_brief) return;
                }
            }
            at = up(begin + content, align);
        }
    }

    constexpr void read_header() noexcept {
        std::byte raw[64] = {};
        if (!(*read_)(0, std::span{raw}.first(52))) return;
        const auto is = [&raw](std::size_t i, unsigned char c) { return raw[i] == std::byte{c}; };
        if (!is(0, 0x7f) || !is(1, 'E') || !is(2, 'L') || !is(3, 'F')) return;
        wide_ = is(4, 2);
        big_ = is(5, 2);
        if ((!wide_ && !is(4, 1)) || (!big_ && !is(5, 1))) return;
        if (wide_ && !(*read_)(0, raw)) return;
        table_ = wide_ ? u64(raw + 32) : u32(raw + 28);
        entry_ = u16(raw + (wide_ ? 54 : 42));
        sections_ = wide_ ? u64(raw + 40) : u32(raw + 32);
        section_size_ = u16(raw + (wide_ ? 58 : 46));
        section_count_ = u16(raw + (wide_ ? 60 : 48));
        std::uint32_t count = u16(raw + (wide_ ? 56 : 44));
        if (entry_ < (wide_ ? 56 : 32)) return;
        constexpr std::uint32_t pn_xnum = 0xffff;
        if (count == pn_xnum) {  // the true count is in the first section header
            const std::uint64_t at = sections_ + (wide_ ? 44 : 28);
            cut_off_ = true;  // if it cannot be read
            if (at < sections_ || !(*read_)(at, std::span{raw}.first(4))) return;
            count = u32(raw);
        }
        if (table_ > UINT64_MAX - std::uint64_t{most_segments} * 0xffff) return;
        count_ = count < most_segments ? count : most_segments;
        cut_off_ = count > most_segments;
    }

    static constexpr bool is_gnu(const std::byte* name) noexcept {
        return name[0] == std::byte{'G'} && name[1] == std::byte{'N'} && name[2] == std::byte{'U'} && name[3] == std::byte{0};
    }
    static constexpr std::uint64_t up(std::uint64_t value, std::uint64_t align) noexcept {
        return (value + align - 1) / align * align;
    }

    [[nodiscard]] constexpr std::uint64_t number(const std::byte* raw, int size) const noexcept {
        std::uint64_t value = 0;
        for (int i = 0; i < size; ++i) value = value << 8 | std::to_integer<std::uint64_t>(raw[big_ ? i : size - 1 - i]);
        return value;
    }
    [[nodiscard]] constexpr std::uint16_t u16(const std::byte* raw) const noexcept {
        return static_cast<std::uint16_t>(number(raw, 2));
    }
    [[nodiscard]] constexpr std::uint32_t u32(const std::byte* raw) const noexcept {
        return static_cast<std::uint32_t>(number(raw, 4));
    }
    [[nodiscard]] constexpr std::uint64_t u64(const std::byte* raw) const noexcept { return number(raw, 8); }

    const Read* read_;
    std::uint64_t table_ = 0;  // file offset of the program headers
    std::uint32_t entry_ = 0;  // size of each, in bytes
    std::uint32_t count_ = 0;
    std::uint64_t sections_ = 0;  // file offset of the section headers
    std::uint32_t section_size_ = 0;
    std::uint32_t section_count_ = 0;  // 0: none, or too many for the ELF header
    bool cut_off_ = false;
    bool wide_ = false;  // ELFCLASS64
    bool big_ = false;   // ELFDATA2MSB
};

}  // namespace procmap::inline PROCMAP_ABI::elf

#include <procmap/load_bias.hpp>  // kept until 0.2: load_bias() was declared here
