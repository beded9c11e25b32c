// Images with file data in their holes, and images with missing parts.
#include "described.hpp"
#include "program_builder.hpp"
#include "agent.hpp"
#include "comparison.hpp"
#include "images.hpp"
#include "../support/memory.hpp"

#include <sys/mman.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

using namespace support;
using namespace std::string_literals;

namespace {

TEST_CASE("loaders that map the whole image at first, and leave more of the file in its holes") {
    NEEDS_TOOLS();
    const auto all = libraries(std::array{tiny, sizes[0], sizes[3], sizes[1], large}, layouts, "", false);
    tally sum = compare_changed(all, expect::known, nothing);
    sum += compare_changed(all, expect::known, nothing, holes::readable);
    sum += compare_changed(all, expect::known, nothing, holes::protected_pages);
    report(sum);
}

TEST_CASE("in the holes of an image, no byte has an address that is not its own") {
    NEEDS_TOOLS();
    agent a{agent_program()};
    std::vector<sample> samples;
    const auto all = libraries(std::array{sizes[0], sizes[3], large}, layouts, "", false);
    for (const library& l : all) {
        const image i = load_at(a, l, a.anonymous(0, span_of(l) + 2 * room) + room, holes::readable);
        const auto& loads = loads_of(l.file);
        for (std::size_t k = 0; k + 1 < loads.size(); ++k)
            for (std::uint64_t at = loads[k].memory_end(); at < loads[k + 1].first();
                 at += std::max<std::uint64_t>(page, (loads[k + 1].first() - loads[k].memory_end()) / 16 / page * page)) {
                const std::uint64_t offset = at - loads[0].first() + loads[0].first_offset() + 99;
                sample s{i.bias + at + 99, UINT64_MAX, false, &l.what, &l.what};
                for (const load& o : loads)
                    if (o.has_byte_at(offset)) s.elf_address = offset - o.offset + o.address;
                samples.push_back(s);
            }
    }
    report(ask_about(a.pid(), samples, expect::right_if_any));
}

TEST_CASE("an image whose first, last or other segment is unmapped, as a whole or in part") {
    NEEDS_TOOLS();
    const auto all = some_libraries();
    tally sum;
    for (const bool anonymous : {false, true})
        for (std::size_t k = 0; k < 4; ++k)
            for (const char* part : {"all", "first page", "last page", "middle"}) {
                if (anonymous && part != "all"s) continue;
                sum += compare_changed(all, expect::right_if_any, [&](agent& a, const library& l, const image& i) {
                    const auto& loads = loads_of(l.file);
                    if (k < 3 && k + 1 >= loads.size()) return;  // 3: the last
                    const load& s = k == 3 ? loads.back() : loads[k];
                    std::uint64_t at = s.first(), length = s.end() - s.first();
                    if (part == "first page"s) length = page;
                    if (part == "last page"s) at = s.end() - page, length = page;
                    if (part == "middle"s) at += length / page / 2 * page, length = page;
                    anonymous ? (void)a.anonymous(i.bias + at, length, PROT_READ) : a.unmap(i.bias + at, length);
                });
            }
    report(sum);
}

TEST_CASE("pages in the middle of segments that are unmapped or replaced leave the others known") {
    NEEDS_TOOLS();
    const auto all = libraries(std::array{large, sizes[0]}, layouts, "", false);
    tally sum;
    for (const bool anonymous : {false, true})
        sum += compare_changed(all, expect::known, [&](agent& a, const library& l, const image& i) {
            for (const load& s : loads_of(l.file)) {
                if (s.end() - s.first() < 3 * page) continue;
                const std::uint64_t at = i.bias + s.first() + (s.end() - s.first()) / page / 2 * page;
                anonymous ? (void)a.anonymous(at, page, PROT_READ) : a.unmap(at, page);
            }
        });
    report(sum);
}

}  // namespace
