// The little of ELF that an address map needs: the build ID, and from file offsets to ELF addresses. Pure, constexpr, no
// allocation; 32 and 64 bit, both byte orders; bounded whatever the input claims.
//
// Source: elf(5), the gABI; lib/buildid.c in the kernel, which looks for the same note in the same place.
#pragma once

#include <procmap/version.hpp>

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
inline constexpr std::uint32_t most_sections = 4096;  ///< relocatable objects with a section for each function have hundreds
///@}

/// A source of bytes: a callable `bool(std::uint64_t offset, std::span<std::byte> to)` that fills all of `to` or says no.
/// This is the one for bytes in memory.
struct bytes_source {
    std::span<const std::byte> bytes;  ///< the file, from its first byte
    /// Copies from `offset` on; false where they are not all there.
    constexpr bool operator()(std::uint64_t offset, std::span<std::byte> to) const noexcept {
        if (offset > bytes.size() || to.size() > bytes.size() - offset) return false;
        const auto from = bytes.subspan(offset & SIZE_MAX, to.size());
        for (std::size_t i = 0; i < to.size(); ++i) to[i] = from[i];
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
    /// How many program headers it has, up to most_segments; see cut_off().
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

    /// Whether it has more program headers than most_segments, or a number of them that cannot be read: what was not found may be in the
    /// others.
    [[nodiscard]] constexpr bool cut_off() const noexcept { return cut_off_; }

    /// Copies the build ID (an NT_GNU_BUILD_ID note of a PT_NOTE segment) to `to`; its size, or 0 where there is none or it does not
    /// fit. Of several, the first that the kernel can return (at most 20 bytes), otherwise the first.
    [[nodiscard]] constexpr std::size_t build_id(std::span<std::byte> to) const noexcept {
        bool ignored = false;
        return build_id(to, ignored);
    }
    /// The same; `bounded` is set where a bound was reached (most_segments, most_notes, the room in `to`). Then an answer of 0 does not mean
    /// "none", and one of more than 20 bytes need not be the preferred one.
    [[nodiscard]] constexpr std::size_t build_id(std::span<std::byte> to, bool& bounded) const noexcept {
        note_search search{.to = to, .bounded = cut_off_};
        segment s;
        for (std::uint32_t i = 0; i < count_ && !search.over && segment_at(i, s); ++i)
            if (s.type == segment::note) look_through(s.offset, s.file_size, s.alignment, search);
        bounded = search.bounded;
        return search.size;
    }

    /// Copies the build ID that the notes of sections (SHT_NOTE, whatever their names) have, by the same preference. The kernel does not look
    /// there. Relocatable objects have notes only there, and so may files that objcopy(1) has made. A process's memory has no section
    /// headers. `bounded` as above, for most_sections.
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
    /// Whether its header says that it has section headers.
    [[nodiscard]] constexpr bool has_sections() const noexcept { return sections_ != 0; }

private:
    /// A search through notes, and the build ID that was found so far.
    struct note_search {
        std::span<std::byte> to;
        std::uint32_t notes = 0;
        std::size_t size = 0;
        bool bounded = false;
        bool over = false;  // it is one that the kernel can return, or a bound was reached
    };

    constexpr void look_through(std::uint64_t offset, std::uint64_t length, std::uint64_t alignment, note_search& search) const noexcept {
        constexpr std::size_t kernels_most = 20;  // BUILD_ID_SIZE_MAX, include/linux/buildid.h
        constexpr std::uint32_t nt_gnu_build_id = 3;
        const std::uint64_t align = alignment == 8 ? 8 : 4;
        std::uint64_t at = 0;  // from `offset` on
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
                std::byte brief[kernels_most] = {};  // so that a failure leaves a longer one as it is
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
            cut_off_ = true;  // where that cannot be read
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
    std::uint64_t table_ = 0;  // the program headers' offset in the file
    std::uint32_t entry_ = 0;  // the size of each, in bytes
    std::uint32_t count_ = 0;
    std::uint64_t sections_ = 0;  // the section headers' offset in the file
    std::uint32_t section_size_ = 0;
    std::uint32_t section_count_ = 0;  // 0: none, or too many for the ELF header
    bool cut_off_ = false;
    bool wide_ = false;  // ELFCLASS64
    bool big_ = false;   // ELFDATA2MSB
};

/// What lies at an address, as far as load_bias() needs to know: a mapping, and whether it is of the same file.
struct neighbour {
    std::uint64_t start = 0;   ///< first address
    std::uint64_t end = 0;     ///< end address (exclusive)
    std::uint64_t offset = 0;  ///< in the file, in bytes
    bool same_file = false;    ///< it is a mapping of the file whose segments these are
};

/// How the bytes of a mapping relate to the segments of its file.
enum class placing : unsigned char {
    unknown,   ///< several load biases are possible and not just one is confirmed, or the segments cannot be used
    possible,  ///< one load bias is possible: it holds for the bytes that the segment has in the file, whether loaded or mapped as data
    loaded,    ///< the mapping is part of a loaded image, whose neighbours confirm the load bias
    data,      ///< no segment holds the whole mapping: the file was mapped as data, or parts of it as a loader would not
};

/// The place of a mapping in its file's image.
struct placement {
    placing how = placing::unknown;  ///< whether there is a load bias
    std::uint64_t bias = 0;          ///< what is added to an ELF address to get an address in memory, modulo 2^64
};

/// Bounds of load_bias(). Where one is exceeded the answer is `placing::unknown`.
///@{
inline constexpr std::size_t most_loads = 128;      ///< segments with bytes in the file; linkers make four to ten
inline constexpr std::size_t most_biases = 16;     ///< load biases that one mapping leaves possible; linkers leave two or three
///@}

namespace detail {

/// Where a segment's pages begin: the kernel and the dynamic linker map whole pages of the system, whatever p_align says.
[[nodiscard]] constexpr std::uint64_t page_of(std::uint64_t value, std::uint64_t page_size) noexcept { return value - value % page_size; }

/// The end of a segment's pages in the file, as a file offset (exclusive).
[[nodiscard]] constexpr std::uint64_t end_of(const segment& s, std::uint64_t page_size) noexcept {
    return page_of(s.offset + s.file_size - 1, page_size) + page_size;
}

/// The load biases at which segments can have put a mapping there.
class biases {
public:
    /// `loads`: ascending by address. Segments of one distance between address and offset leave one bias; together they must hold
    /// the whole mapping. A segment that is followed by a hole in memory counts up to the next segment: loaders that map the whole
    /// image at first (musl, glibc) leave more of the file mapped there.
    constexpr biases(std::span<const segment> loads, std::uint64_t start, std::uint64_t end, std::uint64_t offset, std::uint64_t page_size) noexcept {
        for (std::size_t k = 0; k < loads.size(); ++k) {
            const segment& s = loads[k];
            const std::uint64_t first = page_of(s.offset, page_size);
            const std::uint64_t own_end = end_of(s, page_size);
            std::uint64_t last = own_end;
            if (k + 1 < loads.size()) {
                const std::uint64_t reach = page_of(loads[k + 1].address, page_size) - page_of(s.address, page_size);
                if (reach > last - first) last = reach > UINT64_MAX - first ? UINT64_MAX : first + reach;
            }
            const std::uint64_t bias = start - offset - (s.address - s.offset);
            std::size_t i = 0;
            while (i < count_ && all_[i] != bias) ++i;
            const bool known = i < count_;
            if (first > (known ? held_[i] : offset) || last <= (known ? held_[i] : offset)) continue;
            if (!known && count_ == most_biases) {
                overflow_ = true;
                return;
            }
            if (!known) {
                all_[count_] = bias;
                own_[count_++] = offset;
            }
            if (first <= own_[i] && own_end > own_[i]) own_[i] = own_end;
            held_[i] = last;
        }
        std::size_t kept = 0;
        for (std::size_t i = 0; i < count_; ++i) {
            if (held_[i] - offset < end - start) continue;
            by_pages_ |= own_[i] - offset >= end - start;
            all_[kept++] = all_[i];
        }
        count_ = kept;
    }

    [[nodiscard]] constexpr std::span<const std::uint64_t> all() const noexcept { return {all_, count_}; }  ///< none: mapped as data
    [[nodiscard]] constexpr bool by_pages() const noexcept { return by_pages_; }  ///< the pages of one's segments hold the mapping
    [[nodiscard]] constexpr bool overflow() const noexcept { return overflow_; }  ///< there are more

private:
    std::uint64_t all_[most_biases] = {};
    std::uint64_t held_[most_biases] = {};  // file offset up to which the segments of that bias hold the mapping
    std::uint64_t own_[most_biases] = {};   // the same, by their own pages alone
    std::size_t count_ = 0;
    bool by_pages_ = false;
    bool overflow_ = false;
};

/// Whether a segment's first and last page are mapped where a bias puts them, and a mapping begins there: a page that two segments share
/// is also the last one of the segment below. Only segments that follow one another in the file and in memory can have become one mapping,
/// and those as far from their offsets as the first one with what a loader left of it in the hole below them.
template <class Next>
[[nodiscard]] constexpr bool is_at(std::span<const segment> loads, std::size_t k, std::uint64_t bias, std::uint64_t page_size, Next& next) {
    const segment& s = loads[k];
    const std::uint64_t address = bias + page_of(s.address, page_size);
    neighbour n;
    if (!next(address, n) || !n.same_file || n.start > address || n.offset + (address - n.start) != page_of(s.offset, page_size)) return false;
    const std::uint64_t distance = s.address - s.offset;
    const bool follows = k != 0 && loads[k - 1].address - loads[k - 1].offset == distance &&
                         end_of(loads[k - 1], page_size) == page_of(s.offset, page_size);
    const bool in_first = k != 0 && loads[0].address - loads[0].offset == distance;  // a loader mapped the whole image at first
    if (n.start != address && !follows && !in_first) return false;
    const std::uint64_t last_offset = end_of(s, page_size) - page_size;
    const std::uint64_t last = address + (last_offset - page_of(s.offset, page_size));
    if (n.end > last) return true;
    return next(last, n) && n.same_file && n.start <= last && n.offset + (last - n.start) == last_offset;
}

}  // namespace detail

/// Whether segments can be used for load_bias(): PT_LOADs with bytes in the file, ascending by address, congruent to their offsets
/// modulo the page size, none reaching past 2^64, at most most_loads.
[[nodiscard]] constexpr bool loadable(std::span<const segment> loads, std::uint64_t page_size) noexcept {
    for (std::size_t i = 0; i < loads.size(); ++i) {
        const segment& s = loads[i];
        if (s.type != segment::load || s.file_size == 0 || s.offset % page_size != s.address % page_size) return false;
        if (s.offset + s.file_size < s.offset || s.offset + s.file_size > UINT64_MAX - page_size) return false;
        if (i != 0 && s.address < loads[i - 1].address) return false;
    }
    return !loads.empty() && loads.size() <= most_loads;
}

/// Whether every segment is mapped where a load bias puts it. One call of `next` a segment, two where it is several mappings; see
/// load_bias().
template <class Next>
[[nodiscard]] constexpr bool agrees(std::span<const segment> loads, std::uint64_t bias, std::uint64_t page_size, Next next) {
    for (std::size_t k = 0; k < loads.size(); ++k)
        if (!detail::is_at(loads, k, bias, page_size, next)) return false;
    return !loads.empty();
}

/// The load bias of the image that a mapping is part of.
///
/// Linkers that pack segments (lld, mold) let two segments share a page of the file. That page is then mapped twice, and the file
/// offset alone does not say which segment a mapping belongs to. Where several biases are possible, the one is taken at which each segment
/// begins where it should; where that is so of two, neither. Another mapping of the file's first page, such as a symbolizer's, may lie
/// directly below an image. Permissions are not looked at.
///
/// `loads`: the file's PT_LOADs that have bytes in the file; `image_at(bias)`: whether an image is there, as agrees() says. It is called
/// for each possible bias, and only where there are several or `confirm` asks for more than `placing::possible`.
template <class ImageAt>
[[nodiscard]] constexpr placement choose_bias(std::span<const segment> loads, std::uint64_t start, std::uint64_t end, std::uint64_t offset,
                                              std::uint64_t page_size, ImageAt image_at, bool confirm = false) {
    if (start >= end || !loadable(loads, page_size)) return {};
    const detail::biases possible{loads, start, end, offset, page_size};
    const auto all = possible.all();
    if (possible.overflow()) return {};
    if (all.empty()) return {.how = placing::data};
    placement found = !possible.by_pages() ? placement{.how = placing::data}
                      : all.size() == 1    ? placement{.how = placing::possible, .bias = all[0]}
                                           : placement{};
    if (found.how == placing::possible && !confirm) return found;
    for (const std::uint64_t bias : all) {
        if (!image_at(bias)) continue;
        if (found.how == placing::loaded) return {};  // two images, each of which the mapping could be of
        found = {.how = placing::loaded, .bias = bias};
    }
    return found;
}

/// The same, by the mappings around: `next(address, neighbour&)` gives the mapping that holds the address, or else the next above it;
/// false where there is none. It is called once or twice for each segment of an image, and once for each other possible bias.
template <class Next>
[[nodiscard]] constexpr placement load_bias(std::span<const segment> loads, std::uint64_t start, std::uint64_t end, std::uint64_t offset,
                                            std::uint64_t page_size, Next next, bool confirm = false) {
    const auto image_at = [&](std::uint64_t bias) { return agrees(loads, bias, page_size, next); };
    return choose_bias(loads, start, end, offset, page_size, image_at, confirm);
}

/// Whether an ELF address lies in the pages of a segment: not in a hole between two, nor past the last.
[[nodiscard]] constexpr bool in_image(std::span<const segment> loads, std::uint64_t address, std::uint64_t page_size) noexcept {
    for (const segment& s : loads) {
        const std::uint64_t first = detail::page_of(s.address, page_size);
        if (address >= first && address - first < detail::page_of(s.address - first + s.file_size - 1, page_size) + page_size) return true;
    }
    return false;
}

/// The ELF address of a byte of a file that is mapped as data: that of the one segment whose bytes in the file include `offset`.
/// False where none does, or several do.
[[nodiscard]] constexpr bool address_in_file(std::span<const segment> loads, std::uint64_t offset, std::uint64_t& address) noexcept {
    bool found = false;
    for (const segment& s : loads) {
        const bool lies = s.offset + s.file_size < s.offset;
        if (s.type != segment::load || lies || offset < s.offset || offset - s.offset >= s.file_size) continue;
        if (found) return false;
        found = true;
        address = s.address + (offset - s.offset);
    }
    return found;
}

/// The ELF address of a byte at `address`, which is at `offset` in the file, by where its mapping is placed. False where it is not known;
/// of a mapping whose place is `possible`, load_bias() may know more when it is told to confirm.
[[nodiscard]] constexpr bool address_of(std::span<const segment> loads, const placement& at, std::uint64_t address, std::uint64_t offset,
                                        std::uint64_t page_size, std::uint64_t& elf_address) noexcept {
    if (at.how == placing::data) return address_in_file(loads, offset, elf_address);
    if (at.how == placing::possible) {  // what a segment has in the file has one address, however the file is mapped
        std::uint64_t in_file = 0;
        if (!address_in_file(loads, offset, in_file) || in_file != address - at.bias) return false;
    } else if (at.how != placing::loaded || !in_image(loads, address - at.bias, page_size)) {
        return false;
    }
    elf_address = address - at.bias;
    return true;
}

}  // namespace procmap::inline PROCMAP_ABI::elf
