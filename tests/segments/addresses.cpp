// ELF addresses by a load bias, and of files mapped as data.
#include "spaces.hpp"
#include "../support/check_twice.hpp"
#include "../support/memory.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

#include <doctest/doctest.h>

#include <procmap/load_bias.hpp>

using namespace support;
namespace elf = procmap::elf;
using namespace spaces;
using enum elf::placing;

namespace {

TEST_CASE("an address is in the image where a page of a segment is, and not in a hole") {
    CHECK_TWICE([] {
        for (const auto [address, inside] : {std::pair{0x0u, true},
                                             {0x1fffu, true},
                                             {0x2000u, true},
                                             {0x3fffu, true},
                                             {0x4000u, false},
                                             {0x4fffu, false},
                                             {0x5000u, true},
                                             {0x7fffu, true},
                                             {0x8000u, false}})
            if (elf::in_image(packed, address, kb4) != inside) return false;
        return !elf::in_image({}, 0, kb4) && elf::in_image(packed, 0xffff, 0x10000);
    });
}

TEST_CASE("a byte of a file that is mapped as data has the address of the one segment that has it") {
    CHECK_TWICE([] {
        std::uint64_t a = 0;
        const auto at = [&a](std::uint64_t offset, std::uint64_t address) {
            return a = 0, elf::address_in_file(packed, offset, a) && a == address;
        };
        auto two = packed;
        two[2].offset = 0x2fff, two[2].address = 0x4fff;  // its first byte is also the last of segment 1
        auto other = packed;
        for (auto& s : other) s.type = elf::segment::note;
        return at(0, 0) && at(0x17ff, 0x17ff) && at(0x1800, 0x2800) && at(0x2fff, 0x3fff) && at(0x3000, 0x5000) &&
               at(0x38ff, 0x58ff) && at(0x3900, 0x6900) && at(0x48ff, 0x78ff) && !elf::address_in_file(packed, 0x4900, a) &&
               !elf::address_in_file(two, 0x2fff, a) && elf::address_in_file(two, 0x2ffe, a) &&
               !elf::address_in_file(other, 0, a) && !elf::address_in_file({}, 0, a);
    });
}

TEST_CASE("a mapping that is only possibly an image gives the addresses that it has as data too") {
    CHECK_TWICE([] {
        const elf::placement maybe{possible, base}, certain{loaded, base}, file{data, 0}, none{};
        std::uint64_t a = 0;
        const auto knows = [&](const elf::placement& p, std::uint64_t value, std::uint64_t offset) {
            return elf::address_of(packed, p, base + value, offset, kb4, a) && a == value;
        };
        // In the page that segments 0 and 1 share, mapped with 0: the last byte of 0 and the first of 1.
        return knows(maybe, 0x17ff, 0x17ff) && !elf::address_of(packed, maybe, base + 0x1800, 0x1800, kb4, a) &&
               knows(certain, 0x1800, 0x1800) && knows(certain, 0x17ff, 0x17ff) && !knows(maybe, 0x7900, 0x4900) &&
               knows(certain, 0x7900, 0x4900) &&  // padding of the last page
               !knows(certain, 0x4000, 0x4000) && !knows(none, 0, 0) && elf::address_of(packed, file, 0, 0x1800, kb4, a) &&
               a == 0x2800;
    });
}

TEST_CASE("all segments agree with a bias, or it is none") {
    CHECK_TWICE([] {
        const auto agree = [](const space& s, std::uint64_t bias) {
            return elf::agrees(packed, bias, kb4, [&](std::uint64_t address, elf::neighbour& n) { return s.next(address, n); });
        };
        const space s = space{}.load(packed, base);
        bool good = agree(s, base) && !agree(s, base + kb4) && !agree(s, base - kb4) && !agree(space{}, base);
        for (std::size_t without = 0; without < 4; ++without) {
            space t;
            for (std::size_t k = 0; k < 4; ++k)
                if (k != without) t.load(packed, base, k, k);
            good = good && !agree(t, base);
        }
        return good && !elf::agrees({}, base, kb4, [](std::uint64_t, elf::neighbour&) { return true; });
    });
}

}  // namespace
