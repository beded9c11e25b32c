// Build IDs in the notes of a file's sections.
#include "made_files.hpp"
#include "../support/check_twice.hpp"
#include "../support/guarded.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/elf.hpp>

using namespace support;
using procmap::build_id;
namespace elf = procmap::elf;

namespace {

/// Whether the build ID of the file's sections is first, first + 1, ... of that size.
constexpr bool has_section_id(std::span<const std::byte> bytes, std::size_t size, unsigned first = 1, bool bound = false) {
    const elf::bytes_source source{bytes};
    std::byte id[build_id::capacity] = {};
    bool bounded = !bound;
    if (elf::image{source}.section_build_id(id, bounded) != size || bounded != bound) return false;
    for (std::size_t i = 0; i < size; ++i)
        if (id[i] != static_cast<std::byte>(first + i)) return false;
    return true;
}

TEST_CASE("a build ID is found in a section of notes, of whatever word size, byte order and alignment") {
    CHECK_TWICE([] {
        for (const form f : forms)
            for (const std::uint64_t align : {4u, 8u})
                for (const std::size_t size : {1u, 8u, 20u, 32u, 64u}) {
                    const file made = object(f, size, align);
                    if (!has_section_id(made.bytes(), size)) return false;
                    const elf::bytes_source source{made.bytes()};
                    const elf::image image{source};
                    if (image.valid() || !image.has_sections() || !has_id(made, 0)) return false;
                }
        return true;
    });
}

TEST_CASE("of several sections' build IDs, the first that the kernel could return counts, and a longer one only without it") {
    CHECK_TWICE([] {
        for (const form f : forms) {
            file made{f};
            made.note(gnu, nt_gnu_build_id, 32, 7);
            const std::uint64_t second = file::notes + made.notes_size();
            made.note(gnu, nt_gnu_build_id, 20, 101);
            made.section(7, file::notes, second - file::notes);
            if (!has_section_id(made.bytes(), 32, 7)) return false;
            made.section(7, second, file::notes + made.notes_size() - second).section(7, file::notes, second - file::notes);
            if (!has_section_id(made.bytes(), 20, 101)) return false;
        }
        return true;
    });
}

TEST_CASE("with more sections than the header can say, the first section header has the count") {
    CHECK_TWICE([] {
        for (const form f : forms) {
            const auto counted_in_first = [&](std::uint64_t count) {
                file made = object(f);
                made.put(f.wide ? 60 : 48, 0, 2);
                return made.word(file::sections + 32, file::sections + 20, count);
            };
            if (!has_section_id(counted_in_first(3).bytes(), 20) || !has_section_id(counted_in_first(2).bytes(), 0)) return false;
            if (!has_section_id(counted_in_first(0).bytes(), 0)) return false;
            // What was found before the bound is the answer; that there is more is said.
            for (const std::uint64_t many : {std::uint64_t{elf::most_sections} + 1, f.wide ? UINT64_MAX : UINT32_MAX})
                if (!has_section_id(counted_in_first(many).bytes(), 20, 1, true)) return false;
        }
        return true;
    });
}

TEST_CASE("section headers and notes of sections that lie give no build ID") {
    CHECK_TWICE([] {
        for (const form f : forms) {
            const std::uint64_t largest = f.wide ? UINT64_MAX : UINT32_MAX;
            file none = object(f);
            if (!has_section_id(none.word(40, 32, 0).bytes(), 0)) return false;
            for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, none.section_size() - 1}) {
                file small = object(f);
                if (!has_section_id(small.put(f.wide ? 58 : 46, size, 2).bytes(), 0)) return false;
            }
            for (const std::uint64_t back : {0u, 3u, 11u, 12u, 39u, 40u, 63u, 64u, 200u}) {
                file table = object(f);
                if (!has_section_id(table.word(40, 32, largest - back).bytes(), 0)) return false;
                if (!has_section_id(table.put(f.wide ? 60 : 48, 0, 2).bytes(), 0)) return false;
                file elsewhere{f};
                elsewhere.note(gnu, nt_gnu_build_id, 20).section(7, largest - back, 36).section(7, largest - back, largest);
                if (!has_section_id(elsewhere.bytes(), 0)) return false;
                file content{f};
                content.note(gnu, nt_gnu_build_id, 20).put(file::notes + 4, UINT32_MAX - back, 4).section(7, file::notes, 1024 - 512);
                if (!has_section_id(content.bytes(), 0)) return false;
            }
            file cut{f};
            cut.note(gnu, nt_gnu_build_id, 20).section(7, file::notes, cut.notes_size() - 1);
            if (!has_section_id(cut.bytes(), 0)) return false;
            file wrong = object(f);
            if (!has_section_id(wrong.put(1, 'e', 1).bytes(), 0)) return false;
        }
        return true;
    });
    guarded memory{file::size};
    for (const form f : forms) {
        const file made = object(f);
        const auto whole = static_cast<std::size_t>(file::sections + 3 * made.section_size());
        for (std::size_t size = 0; size <= file::size; ++size)
            CHECK(has_section_id(memory.at_the_end(made.bytes().first(size)), size >= whole ? 20 : 0));
    }
}

TEST_CASE("what hostile section headers cost is bounded") {
    constexpr int bound = 10 + static_cast<int>(elf::most_sections) + 3 * static_cast<int>(elf::most_notes);
    for (const form f : forms)
        for (const std::uint64_t length : {std::uint64_t{0}, std::uint64_t{12}, file::size - file::notes, f.wide ? UINT64_MAX : UINT32_MAX})
            for (const unsigned count : {0u, 3u, 0xffffu}) {
                file made{f};
                made.section(7, file::notes, length).put(f.wide ? 60 : 48, count, 2);
                for (const std::size_t id_size : {0u, 65u}) {
                    made.note(gnu, nt_gnu_build_id, id_size);
                    int reads = 0;
                    const auto source = [&](std::uint64_t offset, std::span<std::byte> to) {  // every header is the first one
                        ++reads;
                        if (offset >= file::size) offset = file::notes + (offset - file::notes) % 16;
                        else if (offset >= file::sections) offset = file::sections;
                        return elf::bytes_source{made.bytes()}(offset, to);
                    };
                    std::byte id[build_id::capacity];
                    bool bounded = false;
                    CHECK(elf::image{source}.section_build_id(id, bounded) == 0);
                    CHECK(reads <= bound);
                }
            }
}

}  // namespace
