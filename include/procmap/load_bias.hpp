// Which segment of an ELF file a mapping is of, and so the load bias of its image and the ELF address of each byte.
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

#include <procmap/elf.hpp>

namespace procmap::inline PROCMAP_ABI::elf {

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
