// Whether a build ID is known, known to be absent, or unknown.
#include "made_files.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/detail/image_facts.hpp>
#include <procmap/load_bias.hpp>

using namespace support;
using procmap::build_id_source;
using procmap::build_id_view;
namespace elf = procmap::elf;

namespace {

struct known {
    bool id_known = false;
    std::size_t size = 0;
    int first = 0;
    std::size_t loads = 0;
    friend bool operator==(const known&, const known&) = default;
};

template <class Source>
known known_of(const Source& source, build_id_source way = build_id_source::map_files) {
    procmap::detail::image_facts facts;
    if (!procmap::detail::read_image(source, way, facts)) return {};
    const auto bytes = build_id_view{facts.id}.bytes();
    return {facts.id_known, facts.id.size(), bytes.empty() ? 0 : std::to_integer<int>(bytes[0]), facts.loads.size()};
}

TEST_CASE("where no segment has a build ID, those of sections count; a segment's comes first") {
    for (const form f : forms) {
        CHECK(known_of(whole_file{object(f).bytes()}) == known{true, 20, 1, 0});
        CHECK(known_of(whole_file{object(f, 32).bytes()}) == known{true, 32, 1, 0});
        file both{f};
        both.note(gnu, nt_gnu_build_id, 32, 50);
        const std::uint64_t second = file::notes + both.notes_size();
        both.note(gnu, nt_gnu_build_id, 20, 101);
        both.segment(1, 0, file::size).segment(4, file::notes, second - file::notes);
        both.section(7, second, file::notes + both.notes_size() - second);
        CHECK(known_of(whole_file{both.bytes()}) == known{true, 32, 50, 1});
        // Memory has no section headers: what its segments do not have is not known, unless there are none.
        CHECK(known_of(whole_file{both.bytes()}, build_id_source::memory) == known{true, 32, 50, 1});
        CHECK(known_of(whole_file{object(f).bytes()}, build_id_source::memory) == known{false, 0, 0, 0});
        file none{f};
        none.segment(1, 0, file::size);
        CHECK(known_of(whole_file{none.bytes()}, build_id_source::memory) == known{true, 0, 0, 1});
        CHECK(known_of(whole_file{none.bytes()}) == known{true, 0, 0, 1});
    }
}

TEST_CASE("where a bound was reached, the build ID is not known, rather than none or the wrong one of two") {
    for (const form f : forms) {
        file segments = good(f, 0);
        CHECK(known_of(whole_file{segments.bytes()}) == known{true, 0, 0, 1});
        segments.segments(elf::most_segments);
        CHECK(known_of(whole_file{segments.bytes()}).id_known);
        segments.segments(elf::most_segments + 1);
        CHECK(known_of(whole_file{segments.bytes()}) == known{});
        file numbered = good(f, 0);  // PN_XNUM
        numbered.segments(0xffff).word(40, 32, 800).put(f.wide ? 800 + 44 : 800 + 28, 0x10000, 4);
        CHECK(known_of(whole_file{numbered.bytes()}) == known{});
        numbered.put(f.wide ? 800 + 44 : 800 + 28, 2, 4);
        CHECK(known_of(whole_file{numbered.bytes()}) == known{true, 0, 0, 1});
        numbered.word(40, 32, file::size);  // how many there are cannot be read
        CHECK(known_of(whole_file{numbered.bytes()}) == known{});
        file before_the_bound = good(f);
        before_the_bound.segments(elf::most_segments + 1);
        CHECK(known_of(whole_file{before_the_bound.bytes()}) == known{true, 20, 1, 0});
        file longer = good(f, 32);  // behind the bound there can be one that the kernel returns
        longer.segments(elf::most_segments + 1);
        CHECK(known_of(whole_file{longer.bytes()}) == known{});

        for (const bool by_section : {false, true})
            for (const std::uint64_t count : {std::uint64_t{elf::most_notes}, std::uint64_t{elf::most_notes} + 1}) {
                file notes{f};  // zeros are notes of no name and no content
                if (by_section)
                    notes.section(7, file::size, 12 * count);
                else
                    notes.segment(4, file::size, 12 * count);
                struct zeros {
                    file* of;
                    bool operator()(std::uint64_t offset, std::span<std::byte> to) const {
                        if (offset < file::size) return elf::bytes_source{of->bytes()}(offset, to);
                        std::fill(to.begin(), to.end(), std::byte{0});
                        return true;
                    }
                    static bool failed() noexcept { return false; }
                };
                CHECK(known_of(zeros{&notes}).id_known == (count == elf::most_notes));
            }
        CHECK(known_of(whole_file{good(f, 64).bytes()}) == known{true, 64, 1, 1});
        CHECK(known_of(whole_file{good(f, 65).bytes()}) == known{false, 0, 0, 1});  // more than a build_id can hold
        file too_long{f};
        too_long.note(gnu, nt_gnu_build_id, 65).note(gnu, nt_gnu_build_id, 32, 90);
        too_long.segment(4, file::notes, too_long.notes_size());
        CHECK(known_of(whole_file{too_long.bytes()}) == known{});
        file then_brief{f};
        then_brief.note(gnu, nt_gnu_build_id, 65).note(gnu, nt_gnu_build_id, 20, 90);
        then_brief.segment(4, file::notes, then_brief.notes_size());
        CHECK(known_of(whole_file{then_brief.bytes()}) == known{true, 20, 90, 0});

        file sections = object(f, 0);
        CHECK(known_of(whole_file{sections.bytes()}) == known{true, 0, 0, 0});
        sections.put(f.wide ? 60 : 48, elf::most_sections + 1, 2);
        CHECK(known_of(whole_file{sections.bytes()}) == known{});
        CHECK(known_of(whole_file{object(f, 65).bytes()}) == known{});
    }
    std::vector<elf::segment> loads(elf::most_loads + 1);
    for (std::size_t i = 0; i < loads.size(); ++i)
        loads[i] = {.type = elf::segment::load, .offset = i * 4096, .address = i * 4096, .file_size = 4096, .alignment = 4096};
    CHECK(!elf::loadable(loads, 4096));
    loads.pop_back();
    CHECK(elf::loadable(loads, 4096));
}

}  // namespace
