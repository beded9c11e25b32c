// The ELF address of a byte of a file.
#include "../support/check_twice.hpp"

#include <cstdint>
#include <span>

#include <doctest/doctest.h>

#include <procmap/load_bias.hpp>

namespace elf = procmap::elf;

namespace {

constexpr elf::segment load_at(std::uint64_t offset, std::uint64_t address, std::uint64_t size) {
    return {.type = elf::segment::load, .flags = 4, .offset = offset, .address = address, .file_size = size, .alignment = 4096};
}

constexpr std::uint64_t no_address = 0x0dead;

constexpr std::uint64_t address_in(std::span<const elf::segment> segments, std::uint64_t offset) {
    std::uint64_t address = no_address;
    return elf::address_in_file(segments, offset, address) ? address : no_address;
}

// What load_bias() makes of segments that share a page: tests/segments.cpp.
TEST_CASE("a byte of a file has the address of the segment that holds it, and none beside or between segments") {
    CHECK_TWICE([] {
        constexpr elf::segment segments[] = {load_at(0x10, 0x10, 0x10f0), load_at(0x1100, 0x2100, 0x1200), load_at(0x2400, 0x4400, 0x100)};
        return address_in(segments, 0x0f) == no_address && address_in(segments, 0x10) == 0x10 && address_in(segments, 0x10ff) == 0x10ff &&
               address_in(segments, 0x1100) == 0x2100 && address_in(segments, 0x22ff) == 0x32ff && address_in(segments, 0x2300) == no_address &&
               address_in(segments, 0x24ff) == 0x44ff && address_in(segments, 0x2500) == no_address && address_in({}, 0x1100) == no_address;
    });
}

TEST_CASE("a byte that two segments hold has no address, and a page that only one touches no more than its bytes") {
    CHECK_TWICE([] {
        constexpr elf::segment overlapping[] = {load_at(0, 0, 0x1100), load_at(0x1000, 0x3000, 0x1000)};
        return address_in(overlapping, 0xfff) == 0xfff && address_in(overlapping, 0x1000) == no_address &&
               address_in(overlapping, 0x10ff) == no_address && address_in(overlapping, 0x1100) == 0x3100;
    });
}

TEST_CASE("segments that lie, or load nothing, hold no address") {
    CHECK_TWICE([] {
        elf::segment note = load_at(0, 0, 0x1000);
        note.type = elf::segment::note;
        const elf::segment lies[] = {note, load_at(0x1000, 0, 0), load_at(UINT64_MAX - 10, 0, 100), load_at(0x2000, 0, UINT64_MAX)};
        return address_in(lies, 0x10) == no_address && address_in(lies, 0x1000) == no_address &&
               address_in(lies, UINT64_MAX) == no_address && address_in(lies, 0x2000) == no_address &&
               address_in(lies, 5) == no_address;
    });
}

}  // namespace
