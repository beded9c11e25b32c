// The little of ELF that an address map needs: the build ID, and from file offsets to ELF addresses. Pure, constexpr, no
// allocation; 32 and 64 bit, both byte orders; bounded whatever the input claims.
//
// Source: elf(5), the gABI; lib/buildid.c in the kernel, which looks for the same note in the same place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <procmap/mapping.hpp>

/// The little of ELF that an address map needs.
namespace procmap::inline PROCMAP_ABI::elf {

/// Bounds on what is looked at, so that a file that lies costs little: real files have a dozen of each.
///@{
inline constexpr std::uint32_t most_segments = 1024;
inline constexpr std::uint32_t most_notes = 1024;
///@}

/// A source of bytes: a callable `bool(std::uint64_t offset, std::span<std::byte> to)` that fills all of `to` or says no.
/// This is the one for bytes in memory.
struct bytes_source {
    std::span<const std::byte> bytes;  ///< the file, from its first byte
    /// Copies from `offset` on; false where they are not all there.
    constexpr bool operator()(std::uint64_t offset, std::span<std::byte> to) const noexcept {
        if (offset > bytes.size() || to.size() > bytes.size() - offset) return false;
        for (std::size_t i = 0; i < to.size(); ++i) to[i] = bytes[static_cast<std::size_t>(offset) + i];
        return true;
    }
};

/// One program header, in the terms of its file.
struct segment {
    static constexpr std::uint32_t load = 1;        ///< PT_LOAD
    static constexpr std::uint32_t note = 4;        ///< PT_NOTE
    static constexpr std::uint32_t executable = 1;  ///< PF_X, in `flags`

    std::uint32_t type = 0;       ///< p_type: `load`, `note`, or any other
    std::uint32_t flags = 0;      ///< p_flags
    std::uint64_t offset = 0;     ///< in the file, in bytes
    std::uint64_t address = 0;    ///< ELF address
    std::uint64_t file_size = 0;  ///< in bytes
    std::uint64_t alignment = 0;  ///< in bytes
};

/// An ELF file, by its header. `Read` is a source as above.
template <class Read>
class image {
public:
    /// Reads the header; borrows `read`.
    constexpr explicit image(const Read& read) noexcept : read_(&read) { read_header(); }

    /// Whether the source is an ELF file with program headers that can be read.
    [[nodiscard]] constexpr bool valid() const noexcept { return count_ != 0; }
    /// How many program headers it has, up to most_segments.
    [[nodiscard]] constexpr std::uint32_t segments() const noexcept { return count_; }

    /// The program header of that number; false where it lies outside of the file.
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

    /// Copies the build ID (the first NT_GNU_BUILD_ID note of a PT_NOTE segment) to `to`; its size, or 0 where there is none
    /// or it does not fit.
    [[nodiscard]] constexpr std::size_t build_id(std::span<std::byte> to) const noexcept {
        std::uint32_t notes = 0;
        segment s;
        for (std::uint32_t i = 0; i < count_ && segment_at(i, s); ++i) {
            if (s.type != segment::note) continue;
            const std::uint64_t align = s.alignment == 8 ? 8 : 4;
            std::uint64_t at = 0;  // in the segment
            while (s.file_size >= 12 && at <= s.file_size - 12 && notes++ < most_notes) {
                std::byte head[16] = {};
                if (s.offset + at < at || !(*read_)(s.offset + at, std::span{head}.first(12))) break;
                const std::uint64_t name = u32(head);
                const std::uint64_t content = u32(head + 4);
                const std::uint64_t begin = up(at + 12 + name, align);
                if (begin > s.file_size || content > s.file_size - begin) break;
                constexpr std::uint32_t nt_gnu_build_id = 3;
                if (u32(head + 8) == nt_gnu_build_id && name == 4 && content != 0 && content <= to.size() &&
                    (*read_)(s.offset + at + 12, std::span{head}.last(4)) && is_gnu(head + 12) &&
                    (*read_)(s.offset + begin, to.first(static_cast<std::size_t>(content))))
                    return static_cast<std::size_t>(content);
                at = up(begin + content, align);
            }
        }
        return 0;
    }

private:
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
        std::uint32_t count = u16(raw + (wide_ ? 56 : 44));
        if (entry_ < (wide_ ? 56 : 32)) return;
        constexpr std::uint32_t pn_xnum = 0xffff;
        if (count == pn_xnum) {  // the true count is in the first section header
            const std::uint64_t sections = wide_ ? u64(raw + 40) : u32(raw + 32);
            const std::uint64_t at = sections + (wide_ ? 44 : 28);
            if (at < sections || !(*read_)(at, std::span{raw}.first(4))) return;
            count = u32(raw);
        }
        if (table_ > UINT64_MAX - std::uint64_t{most_segments} * 0xffff) return;
        count_ = count < most_segments ? count : most_segments;
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
    std::uint64_t table_ = 0;  // the program headers' offset in the file
    std::uint32_t entry_ = 0;  // the size of each, in bytes
    std::uint32_t count_ = 0;
    bool wide_ = false;  // ELFCLASS64
    bool big_ = false;   // ELFDATA2MSB
};

/// The ELF address of a file offset that was reached through a mapping, from the PT_LOAD segments in `segments`; false where
/// none covers it. Where several share the page, the one that holds the offset and is executable as the mapping is comes first.
[[nodiscard]] constexpr bool address_of(std::span<const segment> segments, std::uint64_t offset, bool executable,
                                        std::uint64_t page_size, std::uint64_t& address) noexcept {
    int best = 0;
    for (const segment& s : segments) {
        if (s.type != segment::load || s.file_size == 0) continue;
        const std::uint64_t first = s.offset / page_size * page_size;  // what mapping the segment maps
        const std::uint64_t last = s.offset + s.file_size - 1;
        if (last < s.offset || offset < first || offset / page_size > last / page_size) continue;
        const bool holds = s.offset <= offset && offset <= last;
        const bool same = ((s.flags & segment::executable) != 0) == executable;
        const int quality = 1 + (holds ? 1 : 0) + (same ? 2 : 0);
        if (quality <= best) continue;
        best = quality;
        address = s.address + (offset - s.offset);  // modulo 2^64: the offset may lie before the segment's in their page
    }
    return best != 0;
}

}  // namespace procmap::inline PROCMAP_ABI::elf
