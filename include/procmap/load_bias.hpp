// Finds the segment of an ELF file that a mapping belongs to, the load bias of the image, and the ELF address of each byte.
//
//   const auto place = procmap::elf::load_bias(loads, m->start, m->end, m->offset, page_size, next);  // next: see below
//   if (procmap::elf::address_of(loads, place, address, file_offset, page_size, elf_address)) use(elf_address);
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

#include <procmap/elf.hpp>

namespace procmap::inline PROCMAP_ABI::elf {

/// A mapping near the one in question, for load_bias().
struct neighbour {
    std::uint64_t start = 0;   ///< first address
    std::uint64_t end = 0;     ///< end address (exclusive)
    std::uint64_t offset = 0;  ///< file offset in bytes
    bool same_file = false;    ///< a mapping of the file that has the segments
};

/// How the bytes of a mapping relate to the segments of its file.
enum class placing : unsigned char {
    unknown,   ///< not exactly one of several possible load biases is confirmed, the segments cannot be used, or a limit is exceeded
    possible,  ///< one load bias is possible; it holds for the bytes that the segment has in the file, whether loaded or mapped as data
    loaded,    ///< part of a loaded image; the mappings around it confirm the load bias
    data,      ///< no segment contains the whole mapping: the file is mapped as data, or parts of it as no loader would
};

/// The place of a mapping in its file's image.
struct placement {
    placing how = placing::unknown;  ///< tells whether there is a load bias
    std::uint64_t bias = 0;          ///< memory address minus ELF address, modulo 2^64
};

inline constexpr std::size_t most_loads = 128;      ///< limit on segments with bytes in the file; linkers create four to ten
inline constexpr std::size_t most_biases = 16;     ///< limit on possible load biases of a mapping; linkers leave two or three

namespace detail {

/// Returns the start of a value's page. The kernel and the dynamic linker map whole pages of the system, whatever p_align says.
[[nodiscard]] constexpr std::uint64_t page_of(std::uint64_t value, std::uint64_t page_size) noexcept { return value - value % page_size; }

/// Returns the end of a segment's pages in the file, as a file offset (exclusive).
[[nodiscard]] constexpr std::uint64_t end_of(const segment& s, std::uint64_t page_size) noexcept {
    return page_of(s.offset + s.file_size - 1, page_size) + page_size;
}

/// The load biases at which segments can have placed a mapping.
class biases {
public:
    /// `loads` must ascend by address. Segments with the same distance between address and offset have one bias; together they must contain
    /// the whole mapping. If a hole follows a segment in memory, the segment counts up to the next one, because loaders that first map the
    /// whole image (musl, glibc) leave more of the file mapped there.
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

    [[nodiscard]] constexpr std::span<const std::uint64_t> all() const noexcept { return {all_, count_}; }  ///< empty: mapped as data
    [[nodiscard]] constexpr bool by_pages() const noexcept { return by_pages_; }  ///< the pages of one bias's segments contain the mapping
    [[nodiscard]] constexpr bool overflow() const noexcept { return overflow_; }  ///< there are more than most_biases

private:
    std::uint64_t all_[most_biases] = {};
    std::uint64_t held_[most_biases] = {};  // file offset up to which the segments of that bias contain the mapping
    std::uint64_t own_[most_biases] = {};   // the same, with their own pages only
    std::size_t count_ = 0;
    bool by_pages_ = false;
    bool overflow_ = false;
};

/// True if a segment's first and last page are mapped where a bias places them, and a mapping begins there: a page that two segments share
/// is also the last page of the segment below. The mapping may begin earlier only if the segment directly follows another one in the file
/// and in memory, or has the first one's distance between address and offset: a loader may have left a part of the image below it.
template <class Next>
[[nodiscard]] constexpr bool is_at(std::span<const segment> loads, std::size_t k, std::uint64_t bias, std::uint64_t page_size, Next& next) {
    const segment& s = loads[k];
    const std::uint64_t address = bias + page_of(s.address, page_size);
    neighbour n;
    if (!next(address, n) || !n.same_file || n.start > address || n.offset + (address - n.start) != page_of(s.offset, page_size)) return false;
    const std::uint64_t distance = s.address - s.offset;
    const bool follows = k != 0 && loads[k - 1].address - loads[k - 1].offset == distance &&
                         end_of(loads[k - 1], page_size) == page_of(s.offset, page_size);
    const bool in_first = k != 0 && loads[0].address - loads[0].offset == distance;  // a loader first mapped the whole image
    if (n.start != address && !follows && !in_first) return false;
    const std::uint64_t last_offset = end_of(s, page_size) - page_size;
    const std::uint64_t last = address + (last_offset - page_of(s.offset, page_size));
    if (n.end > last) return true;
    return next(last, n) && n.same_file && n.start <= last && n.offset + (last - n.start) == last_offset;
}

}  // namespace detail

/// True if load_bias() can use these segments: at most most_loads PT_LOADs with bytes in the file, ascending by address, congruent to their
/// offsets modulo the page size, none reaching past 2^64.
[[nodiscard]] constexpr bool loadable(std::span<const segment> loads, std::uint64_t page_size) noexcept {
    for (std::size_t i = 0; i < loads.size(); ++i) {
        const segment& s = loads[i];
        if (s.type != segment::load || s.file_size == 0 || s.offset % page_size != s.address % page_size) return false;
        if (s.offset + s.file_size < s.offset || s.offset + s.file_size > UINT64_MAX - page_size) return false;
        if (i != 0 && s.address < loads[i - 1].address) return false;
    }
    return !loads.empty() && loads.size() <= most_loads;
}

/// True if every segment is mapped where a load bias places it. Calls `next` (see load_bias()) once for each segment, twice for a segment
/// in two mappings.
template <class Next>
[[nodiscard]] constexpr bool agrees(std::span<const segment> loads, std::uint64_t bias, std::uint64_t page_size, Next next) {
    for (std::size_t k = 0; k < loads.size(); ++k)
        if (!detail::is_at(loads, k, bias, page_size, next)) return false;
    return !loads.empty();
}

/// Returns the place of a mapping in its image, with the load bias.
///
/// Linkers that pack segments (lld, mold) let two segments share a page of the file. That page is mapped twice, and the file offset alone
/// does not tell which segment a mapping belongs to. Of several possible biases, the result is the one at which each segment begins where
/// it should; if there are two of these, it is unknown. Another mapping of the file's first page, such as a symbolizer's, may lie directly
/// below an image. Permissions are not considered.
///
/// `loads`: the PT_LOADs that have bytes in the file. `image_at(bias)`: true if an image is there, as agrees() tells. It is called for each
/// possible bias, and only if there are several or `confirm` requires more than `placing::possible`.
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
        if (found.how == placing::loaded) return {};  // the mapping could be of either image
        found = {.how = placing::loaded, .bias = bias};
    }
    return found;
}

/// The same, from the mappings around it. `next(address, neighbour&)` gets the mapping that contains the address, or else the next one
/// above it; false if there is none. It is called once or twice for each segment of an image, and once for each other possible bias.
template <class Next>
[[nodiscard]] constexpr placement load_bias(std::span<const segment> loads, std::uint64_t start, std::uint64_t end, std::uint64_t offset,
                                            std::uint64_t page_size, Next next, bool confirm = false) {
    const auto image_at = [&](std::uint64_t bias) { return agrees(loads, bias, page_size, next); };
    return choose_bias(loads, start, end, offset, page_size, image_at, confirm);
}

/// True if an ELF address lies in the pages of a segment, not in a hole between two segments or past the last one.
[[nodiscard]] constexpr bool in_image(std::span<const segment> loads, std::uint64_t address, std::uint64_t page_size) noexcept {
    for (const segment& s : loads) {
        const std::uint64_t first = detail::page_of(s.address, page_size);
        if (address >= first && address - first < detail::page_of(s.address - first + s.file_size - 1, page_size) + page_size) return true;
    }
    return false;
}

/// Gets the ELF address of a byte of a file that is mapped as data, which is that of the only segment that contains `offset` in the file.
/// Returns false if no segment contains it, or several do.
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

/// Gets the ELF address of the byte at `address`, which is at `offset` in the file, from the place of its mapping. Returns false if it is
/// not known; for `placing::possible`, load_bias() with `confirm` may tell more.
[[nodiscard]] constexpr bool address_of(std::span<const segment> loads, const placement& at, std::uint64_t address, std::uint64_t offset,
                                        std::uint64_t page_size, std::uint64_t& elf_address) noexcept {
    if (at.how == placing::data) return address_in_file(loads, offset, elf_address);
    if (at.how == placing::possible) {  // a byte that only one segment has in the file has one ELF address
        std::uint64_t in_file = 0;
        if (!address_in_file(loads, offset, in_file) || in_file != address - at.bias) return false;
    } else if (at.how != placing::loaded || !in_image(loads, address - at.bias, page_size)) {
        return false;
    }
    elf_address = address - at.bias;
    return true;
}

}  // namespace procmap::inline PROCMAP_ABI::elf
