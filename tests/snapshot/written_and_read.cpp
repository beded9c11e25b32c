// Snapshots written to a file and read back.
#include "snapshots.hpp"
#include "strange_child.hpp"
#include "../support/calls.hpp"
#include "../support/machine.hpp"
#include "../support/skipping.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/maps.hpp>
#include <procmap/result.hpp>
#include <procmap/snapshot.hpp>
#include <procmap/text.hpp>

using namespace support;
using procmap::backend;
using procmap::errc;
using procmap::mapping;
using procmap::name_state;
using procmap::perm;
using procmap::snapshot;

namespace {

TEST_CASE("mappings whose printed line alone would be read as something else come back from a file") {
    // A core file lists [vsyscall] among its mappings, and a builder takes any name.
    std::vector<mapping> mappings;
    std::uint64_t at = 1;
    for (const char* const name : {"[vsyscall]", "[vectors]", "[rollup]", " [vsyscall]", " [rollup]", "  [vectors]", "  ", "\n[rollup]"})
        for (const bool file : {false, true})
            for (const name_state status : {name_state::exact, name_state::ambiguous, name_state::too_long}) {
                mapping m = file ? file_pages(at, 1) : pages(at, 1);
                m.name = name;
                m.name_status = status;
                m.page_size = at % 2 == 0 ? 0 : 4096;
                mappings.push_back(m);
                ++at;
            }
    const snapshot s = snapshot::from(mappings);
    REQUIRE(s.size() == mappings.size());
    check_written_and_read(s);
    const snapshot again = need(snapshot::parse(text_of(s)));
    for (std::size_t i = 0; i < mappings.size(); ++i) CHECK(again[i].name == mappings[i].name);
    // The kernel's own line, as a core has it: shown as that, and kept.
    mapping vsyscall = pages(0xffffffffff600, 1, perm::execute);
    vsyscall.name = "[vsyscall]";
    const std::string text = text_of(snapshot_of({vsyscall}));
    CHECK(text == "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\nMapping:           yes\n");
    CHECK(need(snapshot::parse(text)).size() == 1);
    CHECK(need(snapshot::parse(text.substr(0, text.find('\n')))).empty());
    CHECK(text_of(snapshot_of({pages(1, 1)})).find("Mapping:") == std::string::npos);
}

TEST_CASE("whatever a builder is given comes back from a file") {
    constexpr std::array ids{std::byte{0xab}, std::byte{0}, std::byte{0x0c}};
    const std::vector<std::byte> longest(procmap::build_id::capacity, std::byte{7});
    std::vector<mapping> mappings;
    std::uint64_t at = 1;
    for (const char* name : {"", "/a", "/new\nline", "/literal\\012", "/both\n\\012", "   ", " [x] ", "\xff\xfe\r"})
        for (const name_state status : {name_state::not_asked, name_state::exact, name_state::ambiguous, name_state::too_long,
                                        name_state::no_memory})
            for (const auto& id : {std::span<const std::byte>{}, std::span<const std::byte>{ids}, {longest}})
                for (const bool known : {false, true}) {
                    mapping m = at % 2 == 0 ? pages(at, 1) : file_pages(at, 1);
                    m.permissions = procmap::permission_set::from_bits(static_cast<std::uint32_t>(at % 16));
                    m.name = name;
                    m.name_status = status;
                    m.build_id = procmap::build_id_view{id};
                    m.build_id_known = known;
                    m.page_size = at % 5 == 0 ? 0 : std::uint64_t{1} << (at % 5 * 12);
                    mappings.push_back(m);
                    ++at;
                }
    mapping last = file_pages(at, 1);
    last.start = UINT64_MAX - 1, last.end = UINT64_MAX, last.offset = UINT64_MAX, last.inode = UINT64_MAX;
    last.device = {UINT32_MAX, UINT32_MAX};
    mappings.push_back(last);
    for (const std::uint64_t odd : {std::uint64_t{512}, std::uint64_t{4097}, UINT64_MAX}) {  // no page has such a size
        mappings.push_back(pages(++at, 1));
        mappings.back().page_size = odd;
    }
    const snapshot s = snapshot::from(mappings);
    CHECK(s.size() == mappings.size());
    check_written_and_read(s);
    for (std::size_t i = 0; i + 4 < mappings.size(); ++i) {
        const mapping m = s[i];
        CHECK(m.name == mappings[i].name);
        CHECK(m.name_status == mappings[i].name_status);
        CHECK(m.build_id == mappings[i].build_id);
        CHECK(m.build_id_known == (mappings[i].build_id_known || !mappings[i].build_id.empty()));
        CHECK(m.page_size == mappings[i].page_size);
    }
    std::ostringstream out;
    out << s;
    CHECK(out.str() == text_of(s));
}

TEST_CASE("a written snapshot that is cut off is an error or a good snapshot") {
    const strange_child strange;
    for (const backend use : backends()) {
        const snapshot whole = need(snapshot::capture(strange.open(use), {.build_ids = true, .page_sizes = true}));
        const auto expected = records_of(whole);
        const std::string text = text_of(whole);
        for (std::size_t size = 0; size < text.size(); size += 1 + size / 400) {
            const auto read = snapshot::parse(std::string_view{text}.substr(0, size));
            if (!read) CHECK(read.error() == errc::malformed);
            const auto got = records_of(*read);
            REQUIRE(got.size() <= expected.size());
            for (std::size_t i = 0; i + 1 < got.size(); ++i) REQUIRE(got[i] == expected[i]);
            if (read) check_written_and_read(*read);
        }
    }
}

TEST_CASE("names that a maps line cannot hold come back from a file as they were") {
    if (!kernel_has_ioctl()) SKIP("only the ioctl has them");
    const strange_child strange;
    const snapshot s = need(snapshot::capture(strange.open(backend::ioctl)));
    const std::string text = text_of(s);
    CHECK(text.find("NameBytes: ") != std::string::npos);
    CHECK(text.find("NameState:         too_long\n") != std::string::npos);
    const snapshot read = need(snapshot::parse(text));
    for (const char* const name : strange_child::names) {
        const std::string path = strange.directory / name;
        const auto same = std::ranges::find_if(read, [&](const mapping& m) { return m.name == path; });
        REQUIRE(same != read.end());
        CHECK((*same).name_status == name_state::exact);
    }
    // Read by others, it is maps text and more.
    CHECK(need(procmap::parse_line(std::string_view{text}.substr(0, text.find('\n')))).start == s[0].start);
}

}  // namespace
