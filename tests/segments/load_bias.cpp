// load_bias() in invented address spaces.
#include "comparison.hpp"
#include "spaces.hpp"
#include "../support/check_twice.hpp"
#include "../support/memory.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <doctest/doctest.h>

#include <procmap/load_bias.hpp>

using namespace support;
namespace elf = procmap::elf;
using namespace spaces;
using enum elf::placing;

namespace {

TEST_CASE("of two segments that share a page, each mapping of it has the bias of its own") {
    CHECK_TWICE([] {
        const space s = space{}.load(packed, base);
        return is(placed(packed, s, base + 0x5000), loaded, base)           // the page alone: segment 2, or the head of 3
               && is(placed(packed, s, base + 0x6000, true), loaded, base)  // two pages: segment 3
               && is(placed(packed, s, base + 0x6000, 1, 0x3000), loaded, base) &&
               is(placed(packed, s, base + 0x1000, 1, 0x1000), loaded, base)      // the tail of 0
               && is(placed(packed, s, base + 0x2000, 1, 0x1000), loaded, base);  // the head of 1
    });
}

TEST_CASE("where one bias is possible nothing is asked, unless it is to be confirmed") {
    CHECK_TWICE([] {
        const space s = space{}.load(packed, base);
        int asked = 0;
        const bool unasked = is(placed(packed, s, base, 2, 0, false, &asked), possible, base) &&
                             is(placed(packed, s, base + 0x7000, 1, 0x4000, false, &asked), possible, base) &&
                             is(placed(packed, s, base, 100, 0, false, &asked), data) && asked == 0;
        return unasked && is(placed(packed, s, base, 2, 0, true, &asked), loaded, base) && asked != 0 && asked <= 10 &&
               is(placed(packed, space{}, base, 2, 0, true), possible, base);
    });
}

TEST_CASE("several distances between address and offset: each segment of one page is told from the others") {
    CHECK_TWICE([] {
        const space s = space{}.load(in_one_page, base);
        for (std::uint64_t k = 0; k < 4; ++k)
            if (!is(placed(in_one_page, s, base + k * kb4), loaded, base)) return false;
        return true;
    });
}

TEST_CASE("the file's first page directly below an image does not move it, nor does it above") {
    CHECK_TWICE([] {
        for (const std::uint64_t at : {base - kb4, base - 2 * kb4, base + 8 * kb4}) {
            const space s = space{}.load(packed, base).add(at, 1, 0);
            for (const std::uint64_t k : {5u, 2u, 1u, 6u})
                if (!is(placed(packed, s, base + k * kb4, 1, k == 1 || k == 2 ? 0x1000 : 0x3000), loaded, base)) return false;
        }
        return true;
    });
}

TEST_CASE("the first page below, and each page of the image a mapping of its own: never another bias") {
    CHECK_TWICE([] {
        for (std::size_t without = 0; without <= 4; ++without) {
            space s = space{}.add(base - kb4, 1, 0);
            for (std::size_t k = 0; k < 4; ++k)
                for (std::uint64_t p = packed[k].offset / kb4; k != without && p * kb4 < packed[k].offset + packed[k].file_size;
                     ++p)
                    s.add(base + (packed[k].address - packed[k].offset) + p * kb4, 1, p * kb4);
            for (std::size_t i = 1; i < s.count; ++i)
                if (const auto p = placed(packed, s, s.mapped[i].start); p.how == loaded && p.bias != base) return false;
            if (without == 4 && !is(placed(packed, s, base + 0x5000), loaded, base)) return false;
        }
        return true;
    });
}

TEST_CASE("two images without a gap: where both biases could be, none is given") {
    CHECK_TWICE([] {
        const space s = space{}.load(in_one_page, base).load(in_one_page, base + 4 * kb4);
        for (std::uint64_t k = 0; k < 8; ++k) {
            const auto p = placed(in_one_page, s, base + k * kb4);
            if (p.how == loaded && p.bias != base + k / 4 * 4 * kb4) return false;
        }
        const space other = space{}.load(packed, base).load(packed, base + 8 * kb4).load(packed, base - 8 * kb4);
        for (const std::uint64_t bias : {base - 8 * kb4, base, base + 8 * kb4})
            if (!is(placed(packed, other, bias + 0x5000), loaded, bias)) return false;
        return true;
    });
}

TEST_CASE("without the first segment, or with any other unmapped, an ambiguous mapping is not known") {
    CHECK_TWICE([] {
        for (std::size_t without = 0; without < 4; ++without) {
            space s;
            for (std::size_t k = 0; k < 4; ++k)
                if (k != without) s.load(packed, base, k, k);
            if (!is(placed(packed, s, base + 0x5000, 1, 0x3000), unknown)) return false;
        }
        return true;
    });
}

TEST_CASE("a mapping of another file confirms nothing") {
    CHECK_TWICE([] {
        for (std::size_t other = 0; other < 4; ++other) {
            space s = space{}.load(packed, base);
            s.mapped[other].same_file = false;
            if (!is(placed(packed, s, base + 0x5000), unknown)) return false;
        }
        return true;
    });
}

TEST_CASE("a segment with other contents confirms nothing") {
    CHECK_TWICE([] {
        for (std::size_t other = 0; other < 4; ++other) {
            space s = space{}.load(packed, base);
            s.mapped[other].offset += kb4;
            if (!is(placed(packed, s, base + 0x5000, 1, 0x3000), unknown)) return false;
        }
        return true;
    });
}

TEST_CASE("a last page of a segment that is elsewhere, or gone, confirms nothing") {
    CHECK_TWICE([] {
        for (const std::size_t k : {std::size_t{0}, std::size_t{1}, std::size_t{3}}) {
            space s = space{}.load(packed, base);
            s.mapped[k].end -= kb4;
            if (!is(placed(packed, s, base + 0x5000), unknown)) return false;
            s.add(s.mapped[k].end, 1, 0x9000);
            if (!is(placed(packed, s, base + 0x5000), unknown)) return false;
        }
        return true;
    });
}

TEST_CASE("no more biases than the bound are weighed") {
    CHECK_TWICE([] {
        std::array<elf::segment, elf::most_biases + 1> many{};
        for (std::size_t i = 0; i < many.size(); ++i) many[i] = segment_of(i * 16, i * kb4 + i * 16, 16);
        const auto fewer = std::span{many}.first(elf::most_biases);
        const space s = space{}.load(many, base), t = space{}.load(fewer, base);
        for (std::size_t i = 0; i < many.size(); ++i) {
            if (!is(placed(many, s, base + i * kb4), unknown)) return false;
            if (i < fewer.size() && !is(placed(fewer, t, base + i * kb4), loaded, base)) return false;
        }
        return true;
    });
}

TEST_CASE("segments that cannot be used leave everything unknown") {
    CHECK_TWICE([] {
        const auto bad = [](auto change) {
            auto loads = packed;
            change(loads);
            const space s = space{}.load(packed, base);
            return !elf::loadable(loads, kb4) && is(placed(loads, s, base + 0x6000, 2, 0x3000), unknown) &&
                   is(placed(loads, s, base, 2, 0), unknown) && is(placed(loads, s, base, 100, 0), unknown);
        };
        const space s = space{}.load(packed, base);
        return elf::loadable(packed, kb4) && bad([](auto& l) { std::swap(l[0], l[1]); })  // not ascending
               && bad([](auto& l) { l[2].address += 16; })                                // not congruent
               && bad([](auto& l) { l[1].file_size = 0; }) && bad([](auto& l) { l[3].type = elf::segment::note; }) &&
               bad([](auto& l) { l[3].file_size = UINT64_MAX - 100; }) &&
               bad([](auto& l) { l[3].file_size = UINT64_MAX - 0x3900 - kb4 + 1; }) && is(placed({}, s, base, 2, 0), unknown) &&
               is(placed(packed, s, base, 0, 0), unknown) && !elf::loadable({}, kb4) &&
               !elf::loadable(packed, 0x10000);  // linked for smaller pages
    });
}

TEST_CASE("a load bias is modulo 2^64: addresses in the file above those in memory, and the highest addresses") {
    CHECK_TWICE([] {
        auto high = packed;
        for (auto& s : high) s.address += 0x7fff'fff0'0000;
        auto top = packed;
        for (auto& s : top) s.address += UINT64_MAX - 0x7fff;  // the last byte of the last page is the last address
        std::uint64_t found = 0;
        for (const auto& loads : {high, top}) {
            const std::uint64_t bias = base - loads[0].address;
            const space s = space{}.load(loads, bias);
            if (!is(placed(loads, s, base + 0x5000), loaded, bias) || !is(placed(loads, s, base, true), loaded, bias))
                return false;
            const auto p = placed(loads, s, base + 0x5000);
            if (!elf::address_of(loads, p, base + 0x5010, 0x3010, kb4, found) || found != loads[2].address + 0x10) return false;
            if (!elf::in_image(loads, loads[3].address + 0x16ff, kb4) || elf::in_image(loads, loads[0].address - 1, kb4))
                return false;
        }
        // An image at the end of the address space, and one at its beginning: a possible image would wrap.
        const space last = space{}.load(packed, UINT64_MAX - 0x7fff), first = space{}.load(packed, 0);
        return is(placed(packed, last, UINT64_MAX - 0x2fff, 1, 0x3000), loaded, UINT64_MAX - 0x7fff) &&
               is(placed(packed, first, 0x1000, 1, 0x1000).how == loaded ? placed(packed, first, 0x1000, 1, 0x1000)
                                                                         : elf::placement{loaded, 0},
                  loaded, 0);
    });
}

TEST_CASE("more of the file in the hole after the first segment belongs to the image, where its segments confirm that") {
    CHECK_TWICE([] {
        space s = space{}.load(wide_apart, base, 1);
        s.add(base, 16, 0);  // segment 0, and more of the file up to segment 1
        const bool image = is(placed(wide_apart, s, base), loaded, base);
        space alone;
        alone.add(base, 16, 0);
        std::uint64_t found = 0;
        const auto nowhere = placed(wide_apart, alone, base);
        return image && is(nowhere, data)  // a whole file that is mapped as data
               && elf::address_of(wide_apart, nowhere, base + 0x1900, 0x1900, kb4, found) && found == 0x11900 &&
               !elf::address_of(wide_apart, nowhere, base + 0x5000, 0x5000, kb4, found) &&
               is(placed(wide_apart, s, base, 17, 0), loaded, base) &&
               is(placed(wide_apart, s, base, 18, 0), data);  // over the next segment
    });
}

TEST_CASE("data where another image would begin, below one that has more of the file in its hole: that image is not found") {
    CHECK_TWICE([] {
        // One hole lower, the first segment's hole has all of segment 1, and the pages of 2 and 3 are the last of 1 and 2.
        constexpr std::array loads{segment_of(0, 0, 0x1800), segment_of(0x1800, 0x11800, 0x1900),
                                   segment_of(0x3100, 0x23100, 0x500), segment_of(0x3600, 0x33600, 0x900)};
        space s = space{}.load(loads, base, 1).add(base, 17, 0).add(base - 0x10000, 2, 0);
        bool good = true;
        for (const std::uint64_t at : {0x23000u, 0x33000u}) good = good && is(placed(loads, s, base + at), loaded, base);
        s.count -= 1;  // without the last segment
        return good && is(placed(loads, s, base + 0x23000), unknown);
    });
}

TEST_CASE("segments of one distance are one mapping with what lies between them") {
    CHECK_TWICE([] {
        // As bfd links for pages of 64 kB: the first three segments lie in the file as in memory.
        constexpr std::array loads{segment_of(0, 0, 0x500), segment_of(0x10000, 0x10000, 0x100),
                                   segment_of(0x20000, 0x20000, 0x100), segment_of(0x2fe00, 0x3fe00, 0x400)};
        const space apart = space{}.load(loads, base);
        const space whole = space{}.add(base, 47, 0).load(loads, base, 3);  // one mapping from 0 to 2, and the rest of its hole
        space some = space{}.load(loads, base, 1, 1).load(loads, base, 3);
        some.add(base, 16, 0).add(base + 0x11000, 0x1e, 0x11000);  // 2 begins in the middle of a mapping
        for (const space& s : {apart, whole, some})
            if (!is(placed(loads, s, base + 0x3f000), loaded, base)) return false;
        return is(placed(loads, whole, base), loaded, base) && is(placed(loads, some, base + 0x11000), loaded, base);
    });
}

}  // namespace
