// Parsing recorded maps and smaps text.
#include "snapshots.hpp"
#include "strange_child.hpp"
#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/raw_maps.hpp"
#include "../support/records.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ranges>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>
#include <procmap/result.hpp>
#include <procmap/snapshot.hpp>
#include <procmap/text.hpp>

using namespace support;
using procmap::backend;
using procmap::errc;
using procmap::mapping;
using procmap::name_state;
using procmap::snapshot;

namespace {

TEST_CASE("recorded maps text is read as it stands, without [vsyscall]") {
    for (const char* const name : {"/strange_process.maps", "/realistic_10k.maps"}) {
        CAPTURE(name);
        const std::string text = slurp(std::string{PROCMAP_TEST_DATA} + name).value();
        const snapshot s = need(snapshot::parse(text));
        auto raw = raw_lines(text);
        std::erase_if(raw, [](const raw_line& line) { return line.start >= line.end; });
        CHECK(difference(records_of(s), raw) == "");
        for (const mapping& m : s) {
            const bool newline = m.name.find('\n') != std::string_view::npos;
            CHECK(m.name_status == (newline ? name_state::ambiguous : name_state::exact));
        }
        check_written_and_read(s);
        check_lookups(s);
        CHECK(s.memory() <= 64 * s.size() + distinct_bytes(s));
    }
    CHECK(strange_text.find("[vsyscall]") != std::string::npos);
    const snapshot strange = need(snapshot::parse(strange_text));
    CHECK(strange.find(0xffffffffff600000).error() == errc::not_mapped);
}

TEST_CASE("recorded text of a 32-bit ARM kernel is read without [vectors], which arm64 maps into 32-bit processes") {
    const std::string head = "ffff0000-ffff1000 r-xp 00000000 00:00 0 ";
    CHECK(need(snapshot::parse(head + "         [vectors]\n")).empty());
    const snapshot of_arm64 = need(snapshot::parse(head + "                                 [vectors]\n"));
    REQUIRE(of_arm64.size() == 1);
    CHECK(of_arm64[0].name == "[vectors]");
    check_written_and_read(of_arm64);
}

TEST_CASE("what is said of [vsyscall] is not said of the mapping before it") {
    const std::string vsyscall = "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";
    const snapshot s = need(snapshot::parse("1000-2000 r--p 0 00:00 0\n" + vsyscall + "KernelPageSize: 2048 kB\n"));
    REQUIRE(s.size() == 1);
    CHECK(s[0].page_size == 0);
    CHECK(need(snapshot::parse(vsyscall + "KernelPageSize: 4 kB\n")).empty());
}

TEST_CASE("a real smaps text is a snapshot, with the page sizes that are in it") {
    const strange_child strange;
    const std::string path = "/proc/" + std::to_string(strange.held.pid()) + "/smaps";
    const snapshot s = need(snapshot::parse(slurp(path).value()));
    CHECK(difference(records_of(s), raw_lines(slurp(maps_path(strange.held.pid())).value())) == "");
    for (const mapping& m : s) {
        CHECK(m.page_size >= page);
        CHECK_FALSE(m.build_id_known);
    }
    const std::string own = slurp("/proc/self/smaps").value();
    CHECK(need(snapshot::parse(own)).size() > 5);
    if (!kernel_has_ioctl()) return not_included("page sizes of the ioctl");
    const snapshot captured = need(snapshot::capture(strange.open(backend::ioctl), {.page_sizes = true}));
    REQUIRE(captured.size() == s.size());
    for (std::size_t i = 0; i < s.size(); ++i) CHECK(s[i].page_size == captured[i].page_size);
}

const std::string two_lines = "00001000-00002000 r--p 00000000 00:00 0 \n00003000-00004000 rw-p 00000000 00:00 0 \n";

/// Reading `two_lines` and `wrong` and more breaks off in `wrong`, at that byte of it, and keeps the two.
void check_malformed(const std::string& wrong, std::size_t byte = 0, const std::string& before = two_lines) {
    CAPTURE(wrong);
    const auto read = snapshot::parse(before + wrong + "\n00005000-00006000 r--p 00000000 00:00 0 \n");
    CHECK(read.error() == procmap::error{.code = errc::malformed,
                                         .at = procmap::step::parse,
                                         .line = 1 + static_cast<std::uint64_t>(std::ranges::count(before, '\n')),
                                         .offset = before.size() + byte});
    CHECK(differs(records_of(*read), records_of(need(snapshot::parse(before)))) == "");
}

TEST_CASE("a malformed line is an error with its line and byte, and what stood before it is kept") {
    check_malformed("");
    check_malformed("nonsense", 0);
    check_malformed("00005000-0000500g r--p 00000000 00:00 0 ", 16);
    check_malformed("00006000-00005000 r--p 00000000 00:00 0 ", 0);
    check_malformed("00005000-00006000 r-?p 00000000 00:00 0 ", 20);
    check_malformed("00005000-00006000 r--p 00000000 00:00 18446744073709551616 ", 57);
    check_malformed("key: value");
    check_malformed("Two words: 4 kB");
    check_malformed(two_lines.substr(0, 20), 20, "");
}

TEST_CASE("what a line says of a mapping must follow one, and make sense; what stood before it is kept unchanged") {
    for (const char* const line : {"KernelPageSize:        4 kB", "Rss:   0 kB", "BuildID: ab"}) check_malformed(line, 0, "");
    for (const char* const value : {"", "0 kB", "3 kB", "4", "4 KB", "4 kB ", "4  kB", "x kB", "-4 kB", "4 kB\r",
                                    "18446744073709551616 kB", "18014398509481984 kB"})
        check_malformed(std::string{"KernelPageSize: "} + value);
    for (const char* const value : {"a", "abc", "xy", "ab cd"}) check_malformed(std::string{"BuildID: "} + value);
    check_malformed("BuildID: " + std::string(130, 'a'));
    for (const char* const value : {"a", "abc", "xy", "4", "41 42", "AB"}) check_malformed(std::string{"NameBytes: "} + value);
    for (const char* const value : {"", "unheard_of", "escaped", "exact "}) check_malformed(std::string{"NameState: "} + value);
    // Good ones first: they stay.
    const std::string full = two_lines + "KernelPageSize: 4 kB\nBuildID: abcd\nNameBytes: 41\nNameState: ambiguous\n";
    for (const char* const line : {"KernelPageSize: 5 kB", "BuildID: q", "NameBytes: 4", "NameState: q"})
        check_malformed(line, 0, full);
}

TEST_CASE("a range of zero length is read as it stands, and is in no snapshot, nor is what is said of it") {
    const std::string empty = "00002000-00002000 ---p 00000000 00:00 0                                  [stack guard]\n";
    const auto m = need(procmap::parse_line(std::string_view{empty}.substr(0, empty.size() - 1)));
    CHECK(m.start == 0x2000);
    CHECK(m.end == 0x2000);
    CHECK(m.name == "[stack guard]");
    const std::string said = "KernelPageSize: 4 kB\nBuildID: abcd\nNameBytes: 41\nMapping: yes\n";
    CHECK(std::ranges::distance(procmap::parse(empty)) == 1);
    const snapshot s = need(snapshot::parse("00001000-00002000 r--p 00000000 00:00 0 \n" + empty + said + "00002000-00003000 rw-p 00000000 00:00 0 \n"));
    REQUIRE(s.size() == 2);
    for (const mapping& kept : s) {
        CHECK(kept.page_size == 0);
        CHECK_FALSE(kept.build_id_known);
        CHECK(kept.name.empty());
    }
    snapshot::builder b;
    CHECK(b.add(m).error() == errc::invalid);
    CHECK(procmap::parse_line("00002001-00002000 ---p 00000000 00:00 0").error() == errc::malformed);
}

TEST_CASE("the text of smaps_rollup is refused as what it is") {
    const std::string head = "00400000-7ffde1000000 ---p 00000000 00:00 0                              [rollup]";
    CHECK(procmap::parse_line(head).error() ==
          procmap::error{.code = errc::not_maps, .at = procmap::step::parse, .line = 1, .offset = 73});
    CHECK((*procmap::parse(head).begin()).error() == errc::not_maps);
    const auto read = snapshot::parse(two_lines + head + "\nRss:                1234 kB\n");
    CHECK(read.error() == procmap::error{.code = errc::not_maps, .at = procmap::step::parse, .line = 3, .offset = two_lines.size() + 73});
    CHECK(read->size() == 2);
    if (const auto own = slurp("/proc/self/smaps_rollup")) CHECK(snapshot::parse(*own).error() == errc::not_maps);
    // A file may have the name.
    CHECK(procmap::parse_line("00400000-00401000 r--p 00000000 08:01 7 [rollup]").has_value());
    CHECK(procmap::parse_line("00400000-00401000 r--p 00000000 00:00 0 [rollup] ").has_value());
    CHECK(std::string_view{procmap::describe(errc::not_maps)}.find("smaps_rollup") != std::string_view::npos);
}

TEST_CASE("a reader of recorded text gives each line's mapping, says what is malformed, and goes on where it is told to") {
    const std::string text =
        "Rss: 1 kB\n"                                               // 1: of no mapping; said once
        "Pss: 1 kB\n"
        "1000-2000 r--p 0 00:00 0 /new\\012line\n"                   // 3
        "KernelPageSize: 5 kB\n"                                    // 4: malformed
        "BuildID: abcd\n"
        "2000-2000 r--p 0 00:00 0\n"                                // 6: no mapping
        "nonsense\n"                                                // 7: malformed, and what follows is of it
        "BuildID: q\n"
        "3000-4000 r--p 0 00:00 0 /a\\012\n"                         // 9
        "NameBytes: 2f610a\n"
        "ffffffffff600000-ffffffffff601000 --xp 0 00:00 0 [vsyscall]";  // 11
    std::vector<std::uint64_t> wrong;
    std::vector<std::string> lines;
    std::vector<record> records;
    std::vector<bool> mappings;
    procmap::recorded_reader reader{text};
    while (reader.next([&](const procmap::error& e) { return wrong.push_back(e.line), true; })) {
        lines.emplace_back(reader.line());
        records.emplace_back(reader.current());
        mappings.push_back(reader.is_mapping());
        CHECK(text.compare(reader.offset(), reader.line().size(), reader.line()) == 0);
    }
    CHECK(wrong == std::vector<std::uint64_t>{1, 4, 7});
    CHECK(mappings == std::vector<bool>{true, false, true, false});
    REQUIRE(records.size() == 4);
    CHECK(records[0].name == "/new\nline");
    CHECK(records[0].name_status == name_state::ambiguous);
    CHECK(records[0].build_id == "abcd");
    CHECK(records[2].name == "/a\n");
    CHECK(records[2].name_status == name_state::exact);
    CHECK(lines[3] == "ffffffffff600000-ffffffffff601000 --xp 0 00:00 0 [vsyscall]");

    // Told to stop: the mapping that came before is given, and nothing after it.
    procmap::recorded_reader stops{std::string_view{text}.substr(text.find("1000-"))};
    CHECK(stops.next([](const procmap::error&) { return false; }));
    CHECK_FALSE(stops.current().build_id_known);
    CHECK_FALSE(stops.next([](const procmap::error&) { return true; }));
}

TEST_CASE("other lines of smaps are passed over") {
    const std::string others = "Rss:   nonsense\nVmFlags: rd wr mr\nKernelPageSizes: 1\nTHPeligible:    0\n";
    const snapshot s = need(snapshot::parse(two_lines + others));
    CHECK(differs(records_of(s), records_of(need(snapshot::parse(two_lines)))) == "");
}

TEST_CASE("a carriage return belongs to the name of a file; after any other name it says that lines end with CR LF: malformed") {
    const snapshot s = need(snapshot::parse("1000-2000 r--p 0 08:01 8 /a\r\n2000-3000 r--p 0 08:01 9 /b\r\n"));
    REQUIRE(s.size() == 2);
    CHECK(s[0].name == "/a\r");
    CHECK(s[1].name == "/b\r");
    check_written_and_read(s);
    const auto text = snapshot::parse("1000-2000 r--p 0 08:01 8 /a\r\n2000-3000 rw-p 0 00:00 0 [heap]\r\n");
    CHECK(text.error() == procmap::error{.code = errc::malformed, .at = procmap::step::parse, .line = 2, .offset = 60});
    snapshot::builder b;  // which may have any name
    REQUIRE(b.add({.start = 0x1000, .end = 0x2000, .name_status = procmap::name_state::exact, .name = "odd\r"}).has_value());
    check_written_and_read(b.build());
}

}  // namespace
