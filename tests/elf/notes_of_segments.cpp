// Build IDs in the notes of a file's segments.
#include "made_files.hpp"
#include "../support/check_twice.hpp"
#include "../support/guarded.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/elf.hpp>

using namespace support;
using procmap::build_id;
using namespace std::string_view_literals;
namespace elf = procmap::elf;

namespace {

TEST_CASE("a build ID is found in files of both word sizes and both byte orders, whatever its size") {
    CHECK_TWICE([] {
        for (const form f : forms)
            for (const std::size_t size : {1u, 8u, 16u, 20u, 32u, 64u})
                if (!has_id(good(f, size), size)) return false;
        return true;
    });
}

TEST_CASE("a build ID that does not fit is not taken") {
    CHECK_TWICE([] {
        std::byte small[19] = {};
        for (const form f : forms)
            if (!has_id(good(f, 65), 0) || !has_id(good(f, 0), 0) || read_id(good(f).bytes(), small) != 0) return false;
        return true;
    });
}

TEST_CASE("the build ID is found among other notes and segments, with either alignment") {
    CHECK_TWICE([] {
        for (const form f : forms)
            for (const std::uint64_t align : {0u, 1u, 4u, 8u}) {
                const std::uint64_t used = align == 8 ? 8 : 4;
                file made{f};
                made.note(gnu, 1, 16, 100, used)
                    .note("stapsdt\0"sv, 3, 21, 110, used)
                    .note("GN", 3, 7, 120, used)
                    .note("GNX\0"sv, 3, 20, 130, used)
                    .note("", 3, 20, 140, used)
                    .note(gnu, 5, 3, 150, used)
                    .note(gnu, 3, 20, 1, used)
                    .note(gnu, 3, 20, 160, used);
                made.segment(1, 0, 100)
                    .segment(4, 0, 0, align)
                    .segment(2, file::notes, 400)
                    .segment(4, file::notes, made.notes_size(), align);
                if (!has_id(made, 20)) return false;
            }
        return true;
    });
}

TEST_CASE("of several build IDs, the first that the kernel can return counts, and a longer one only without it") {
    CHECK_TWICE([] {
        for (const form f : forms) {
            file longer_first{f};
            longer_first.note(gnu, nt_gnu_build_id, 32, 1).note(gnu, nt_gnu_build_id, 20, 101).note(gnu, nt_gnu_build_id, 8, 1);
            longer_first.segment(4, file::notes, longer_first.notes_size());
            std::byte id[build_id::capacity] = {};
            if (read_id(longer_first.bytes(), id) != 20 || id[0] != std::byte{101}) return false;
            file only_longer{f};
            only_longer.note(gnu, nt_gnu_build_id, 32, 7).note(gnu, nt_gnu_build_id, 24, 50);
            only_longer.segment(4, file::notes, only_longer.notes_size());
            if (read_id(only_longer.bytes(), id) != 32 || id[0] != std::byte{7}) return false;
            // One whose bytes are not there leaves the longer as it is.
            file cut{f};
            cut.note(gnu, nt_gnu_build_id, 32, 7).note(gnu, nt_gnu_build_id, 20, 50);
            cut.segment(4, file::notes, cut.notes_size());
            const auto there = static_cast<std::size_t>(file::notes + cut.notes_size() - 1);
            if (read_id(cut.bytes().first(there), id) != 32 || id[0] != std::byte{7} || id[19] != std::byte{26}) return false;
        }
        return true;
    });
}

TEST_CASE("a bound that is reached is said") {
    CHECK_TWICE([] {
        for (const form f : forms) {
            file made = good(f);
            bool bounded = true;
            std::byte id[build_id::capacity] = {};
            const elf::bytes_source source{made.bytes()};
            if (elf::image{source}.build_id(id, bounded) != 20 || bounded) return false;
            made.segments(elf::most_segments);
            if (elf::image{source}.cut_off()) return false;
            made.segments(elf::most_segments + 1);
            if (!elf::image{source}.cut_off()) return false;
        }
        return true;
    });
    for (const form f : forms) {
        file empty_notes{f};  // zeros are notes of no name and no content
        empty_notes.segment(4, file::notes, UINT32_MAX);
        const auto source = [&](std::uint64_t offset, std::span<std::byte> to) {
            if (offset < file::notes) return elf::bytes_source{empty_notes.bytes()}(offset, to);
            std::fill(to.begin(), to.end(), std::byte{0});
            return true;
        };
        std::byte id[build_id::capacity];
        bool bounded = false;
        CHECK(elf::image{source}.build_id(id, bounded) == 0);
        CHECK(bounded);
    }
}

TEST_CASE("a note of the wrong name or type is none") {
    CHECK_TWICE([] {
        for (const form f : forms)
            for (const std::string_view name : {"GNU"sv, "GNX\0"sv, "XNU\0"sv, "GNU\1"sv, "GNU\0\0\0\0\0"sv, "gnu\0"sv}) {
                file made{f};
                made.note(name, nt_gnu_build_id, 20);
                made.segment(4, file::notes, made.notes_size());
                if (!has_id(made, 0)) return false;
            }
        return true;
    });
}

TEST_CASE("with PN_XNUM the first section header has the count") {
    CHECK_TWICE([] {
        for (const form f : forms) {
            file made = good(f);
            made.segments(0xffff).word(40, 32, 800);
            made.put(f.wide ? 800 + 44 : 800 + 28, 2, 4);
            if (!has_id(made, 20)) return false;
            made.put(f.wide ? 800 + 44 : 800 + 28, 0xffffffff, 4);
            if (!has_id(made, 20)) return false;
            made.word(40, 32, f.wide ? UINT64_MAX : UINT32_MAX);
            if (!has_id(made, 0)) return false;
        }
        return true;
    });
}

TEST_CASE("what is no ELF file is not valid, and has no build ID") {
    CHECK_TWICE([] {
        for (const form f : forms)
            for (const std::size_t at : {0u, 1u, 2u, 3u, 4u, 5u}) {
                file made = good(f);
                made.put(at, 9, 1);
                const elf::bytes_source source{made.bytes()};
                if (elf::image{source}.valid() || !has_id(made, 0)) return false;
            }
        const elf::bytes_source nothing{};
        return !elf::image{nothing}.valid();
    });
}

TEST_CASE("program headers that are too small are not read") {
    CHECK_TWICE([] {
        for (const form f : forms)
            for (const std::uint64_t size : {0u, 1u, f.wide ? 55u : 31u}) {
                file made = good(f);
                made.put(f.wide ? 54 : 42, size, 2);
                const elf::bytes_source source{made.bytes()};
                if (elf::image{source}.valid() || !has_id(made, 0)) return false;
            }
        return true;
    });
}

TEST_CASE("a file that is cut short anywhere has its build ID or none, and nothing behind it is read") {
    guarded memory{file::size};
    for (const form f : forms) {
        const file made = good(f);
        const auto whole = static_cast<std::size_t>(file::notes + made.notes_size());
        for (std::size_t size = 0; size <= file::size; ++size) {
            std::byte id[build_id::capacity];
            const std::size_t found = read_id(memory.at_the_end(made.bytes().first(size)), id);
            CHECK(found == (size >= whole ? 20 : 0));
            if (found == 20) CHECK(std::equal(id, id + 20, made.bytes().begin() + file::notes + 16));
        }
    }
}

/// A source that counts how often it is read.
struct counted {
    std::span<const std::byte> bytes;
    int* reads;
    bool endless = false;  // gives the bytes at 512 again and again behind the end
    bool operator()(std::uint64_t offset, std::span<std::byte> to) const noexcept {
        ++*reads;
        if (endless && offset >= file::size) offset = file::notes + (offset - file::notes) % 16;
        return elf::bytes_source{bytes}(offset, to);
    }
};

int reads_of(const file& f, bool endless = false) {
    int reads = 0;
    const counted source{f.bytes(), &reads, endless};
    std::byte id[build_id::capacity];
    CHECK(elf::image{source}.build_id(id) == 0);
    return reads;
}

TEST_CASE("what a hostile file costs is bounded") {
    constexpr int bound = 10 + static_cast<int>(elf::most_segments) + 2 * static_cast<int>(elf::most_notes);
    for (const form f : forms) {
        const std::uint64_t largest = f.wide ? UINT64_MAX : UINT32_MAX;
        for (const std::uint64_t size :
             {std::uint64_t{0}, std::uint64_t{12}, file::size - file::notes, largest / 2, largest - file::notes, largest}) {
            file empty_notes{f};  // zeros are notes of no name and no content
            CHECK(reads_of(empty_notes.segment(4, file::notes, size)) <= bound);
            CHECK(reads_of(empty_notes, true) <= bound);
            file many{f};
            many.segment(4, file::notes, size);
            many.put(f.wide ? 54 : 42, f.wide ? 56 : 32, 2).segments(0xfffe);
            CHECK(reads_of(many, true) <= bound);
        }
        file same{f};  // every header is the first one
        same.note(gnu, 1, 4);
        CHECK(reads_of(same.segment(4, file::notes, file::size - file::notes).segments(0xfffe)) <= bound);
    }
}

TEST_CASE("offsets and sizes that lie give no build ID") {
    CHECK_TWICE([] {
        for (const form f : forms) {
            const std::uint64_t largest = f.wide ? UINT64_MAX : UINT32_MAX;
            for (const std::uint64_t back : {0u, 3u, 4u, 11u, 12u, 15u, 16u, 36u, 63u}) {
                file elsewhere{f};
                elsewhere.note(gnu, nt_gnu_build_id, 20);
                if (!has_id(elsewhere.segment(4, largest - back, 36), 0)) return false;
                if (!has_id(elsewhere.segment(4, largest - back, largest), 0)) return false;
                file table = good(f);
                if (!has_id(table.word(32, 28, largest - back), 0)) return false;
                file content{f};
                content.note(gnu, nt_gnu_build_id, 20).put(file::notes + 4, UINT32_MAX - back, 4);
                if (!has_id(content.segment(4, file::notes, largest), 0)) return false;
                file name{f};
                name.note(gnu, nt_gnu_build_id, 20).put(file::notes, UINT32_MAX - back, 4);
                if (!has_id(name.segment(4, file::notes, largest), 0)) return false;
            }
            file cut{f};
            cut.note(gnu, nt_gnu_build_id, 20);
            if (!has_id(cut.segment(4, file::notes, cut.notes_size() - 1), 0)) return false;
        }
        return true;
    });
}

TEST_CASE("segments that overlap each give what they hold") {
    CHECK_TWICE([] {
        for (const form f : forms) {
            file made{f};
            made.note(gnu, 1, 4).note(gnu, nt_gnu_build_id, 20);
            made.segment(4, file::notes + 4, made.notes_size() - 4)
                .segment(4, 0, file::size)
                .segment(4, file::notes, made.notes_size());
            if (!has_id(made, 20)) return false;
        }
        return true;
    });
}

}  // namespace
