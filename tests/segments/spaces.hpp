// Invented segments and address spaces.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <procmap/load_bias.hpp>

namespace spaces {

namespace elf = procmap::elf;

inline constexpr std::uint64_t kb4 = 0x1000;
inline constexpr std::uint64_t base = 0x7f00'0000'0000;

constexpr elf::segment segment_of(std::uint64_t offset, std::uint64_t address, std::uint64_t size) {
    return {.type = elf::segment::load, .offset = offset, .address = address, .file_size = size};
}

/// Segments as lld packs them: each begins in the file's page that the one before it ends in, or in the next.
/// Pages of the file: 0 and 1, 1 and 2, 3, 3 and 4. In memory: from 0, 2, 5 and 6 pages on.
inline constexpr std::array packed{segment_of(0, 0, 0x1800), segment_of(0x1800, 0x2800, 0x1800), segment_of(0x3000, 0x5000, 0x900),
                            segment_of(0x3900, 0x6900, 0x1000)};
/// All segments in the file's first page.
inline constexpr std::array in_one_page{segment_of(0, 0, 0x300), segment_of(0x300, 0x1300, 0x300), segment_of(0x600, 0x2600, 0x300),
                                 segment_of(0x900, 0x3900, 0x300)};
/// The same with pages of 64 kB, the last segment longer.
inline constexpr std::array wide_apart{segment_of(0, 0, 0x1800), segment_of(0x1800, 0x11800, 0x1900),
                                segment_of(0x3100, 0x23100, 0x900), segment_of(0x3a00, 0x33a00, 0x1000)};

/// Mappings, ascending.
struct space {
    static constexpr std::size_t most = 200;
    elf::neighbour mapped[most] = {};
    std::size_t count = 0;

    constexpr space& add(std::uint64_t start, std::uint64_t pages, std::uint64_t offset, bool same_file = true) {
        std::size_t i = count++;
        for (; i > 0 && mapped[i - 1].start > start; --i) mapped[i] = mapped[i - 1];
        mapped[i] = {.start = start, .end = start + pages * kb4, .offset = offset, .same_file = same_file};
        return *this;
    }
    constexpr space& load(std::span<const elf::segment> loads, std::uint64_t bias, std::size_t first = 0,
                          std::size_t last = SIZE_MAX) {
        for (std::size_t k = first; k < loads.size() && k <= last; ++k) {
            const auto& s = loads[k];
            const std::uint64_t begin = s.offset / kb4 * kb4;
            add(bias + s.address / kb4 * kb4, (s.offset + s.file_size - 1 - begin) / kb4 + 1, begin);
        }
        return *this;
    }
    constexpr bool next(std::uint64_t address, elf::neighbour& n) const {
        for (std::size_t i = 0; i < count; ++i)
            if (mapped[i].end - 1 >= address) return n = mapped[i], true;
        return false;
    }
};

/// What is found of a mapping at `start`, which has `pages` and begins at `offset` in the file.
constexpr elf::placement placed(std::span<const elf::segment> loads, const space& s, std::uint64_t start, std::uint64_t pages,
                                std::uint64_t offset, bool confirm = false, int* asked = nullptr) {
    return elf::load_bias(
        loads, start, start + pages * kb4, offset, kb4,
        [&](std::uint64_t address, elf::neighbour& n) {
            if (asked != nullptr) ++*asked;
            return s.next(address, n);
        },
        confirm);
}
/// The same of a mapping of the space, which must be there.
constexpr elf::placement placed(std::span<const elf::segment> loads, const space& s, std::uint64_t start,
                                bool confirm = false) {
    for (std::size_t i = 0; i < s.count; ++i)
        if (s.mapped[i].start == start)
            return placed(loads, s, start, (s.mapped[i].end - start) / kb4, s.mapped[i].offset, confirm);
    return {.how = elf::placing::data, .bias = 1};
}

constexpr bool is(const elf::placement& p, elf::placing how, std::uint64_t bias = 0) {
    return p.how == how && p.bias == bias;
}

}  // namespace spaces
