// Text that no kernel here writes: malformed, truncated, overlong and overlapping lines.
#include "asking.hpp"
#include "recorded_proc.hpp"
#include "../support/calls.hpp"
#include "../support/raw_maps.hpp"
#include "../support/records.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>
#include <procmap/result.hpp>

using namespace support;
using procmap::errc;
using procmap::maps;
using procmap::name_state;

namespace {

/// Good lines, then `text` in place of the next, then more good lines: that `text` is where the walk breaks off.
void check_malformed(unsigned lines_before, const std::string& text, std::size_t wrong_byte, const std::string& after) {
    std::string good;
    for (unsigned n = 1; n <= lines_before; ++n) good += good_line(n);
    const recorded_proc proc{good + text + after};
    const walked all = walk_with_names(proc.open(), {});
    CAPTURE(lines_before);
    CAPTURE(text);
    CHECK(difference(all.records, raw_lines(good)) == "");
    CHECK_FALSE(all.complete);
    CHECK(all.error == errc::malformed);
    CHECK(all.error.at == procmap::step::parse);
    CHECK(all.error.line == lines_before + 1);
    CHECK(all.error.offset == good.size() + wrong_byte);
    CHECK(proc.open().find(UINT64_MAX).error() == all.error);
}

TEST_CASE("a malformed line ends the walk after the good ones, and the error says where it is") {
    for (const unsigned lines_before : {0u, 1u, 3u, 500u}) {
        check_malformed(lines_before, "no maps line\n", 0, good_line(1000));
        check_malformed(lines_before, "\n", 0, good_line(1000));
        check_malformed(lines_before, "7f000000-7f001000 rwxq 00000000 00:00 0 \n", 21, good_line(1000));
        check_malformed(lines_before, "7f000000-7f001000 rwxp 00000000 00:00 z \n", 38, good_line(1000));
    }
}

TEST_CASE("a last line without its end is malformed, and not the end") {
    for (const unsigned lines_before : {0u, 1u, 3u, 500u})
        for (const std::string torn : {"7f000000-7f001000 rwxp 00000000 00:00 0", "7f0"})
            check_malformed(lines_before, torn, torn.size(), "");
}

TEST_CASE("a line longer than any buffer loses its name, and the lines behind it are still read") {
    for (const std::size_t size : {std::size_t{4096}, std::size_t{5000}, std::size_t{70000}, std::size_t{300000}}) {
        CAPTURE(size);
        const std::string long_line = good_line(2, '/' + std::string(size, 'l'));
        const std::string text = good_line(1, "/first") + long_line + good_line(3) + good_line(4, "/last");
        const recorded_proc proc{text};
        const walked all = walk_with_names(proc.open(), {});
        CHECK(all.complete);
        CHECK(difference(all.records, raw_lines(text)) == "");
        REQUIRE(all.records.size() == 4);
        CHECK(all.records[1].name_status == name_state::too_long);
        CHECK(all.records[3].name == "/last");
        procmap::name_buffer name;
        CHECK(need(proc.open().find(2 * 0x2000, {.name = name})).name_status == name_state::too_long);
        CHECK(need(proc.open().find(4 * 0x2000, {.name = name})).name == "/last");
    }
    const recorded_proc cut{good_line(1) + good_line(2, std::string(9000, 'l')).substr(0, 8000)};
    const walked all = walk_with_names(cut.open(), {});
    CHECK(all.records.size() == 2);
    CHECK(all.error == errc::malformed);
    CHECK(all.error.line == 2);
}

TEST_CASE("what reaches back over the mapping before it is clipped, its offset too") {
    const recorded_proc proc{
        "00001000-00003000 r--p 00000000 fe:00 7 \n"
        "00001000-00003000 r--p 00000000 fe:00 7 \n"    // again
        "00002000-00005000 r--p 00001000 fe:00 7 \n"    // grown
        "00004000-00006000 rw-p 00000000 00:00 0 \n"    // no file: an offset of 0 stays
        "00001000-00006000 rw-p 00000000 00:00 0 \n"    // nothing new
        "00007000-00008000 r--p 00009000 fe:00 7 \n"
        "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n"};
    const walked all = walk_all(proc.open());
    CHECK(all.complete);
    std::vector<std::string> lines;
    for (const record& r : all.records) lines.push_back(line_of(r));
    const std::vector<std::string> expected{
        "00001000-00003000 r--p 00000000 fe:00 7 ", "00003000-00005000 r--p 00002000 fe:00 7 ",
        "00005000-00006000 rw-p 00000000 00:00 0 ", "00007000-00008000 r--p 00009000 fe:00 7 "};
    CHECK(lines == expected);
    CHECK(proc.open().find(0xffffffffff600000).error() == errc::not_mapped);
    CHECK(proc.open().find_from(0x8000).error() == errc::not_mapped);
}

TEST_CASE("a 32-bit ARM kernel's [vectors] is no mapping, and the one that arm64 maps into a 32-bit process is") {
    const std::string heap = "00021000-00043000 rw-p 00000000 00:00 0 ";
    const std::string vectors = "ffff0000-ffff1000 r-xp 00000000 00:00 0 ";
    const recorded_proc arm{heap + "         [heap]\n" + vectors + "         [vectors]\n"};
    CHECK(walk_with_names(arm.open(), {}).records.size() == 1);
    CHECK(arm.open().find(0xffff0000).error() == errc::not_mapped);
    CHECK(arm.open().find_from(0x43000).error() == errc::not_mapped);
    const std::string more(24, ' ');
    const recorded_proc arm64{heap + more + "         [heap]\n" + vectors + more + "         [vectors]\n"};
    CHECK(walk_with_names(arm64.open(), {}).records.size() == 2);
    CHECK(arm64.open().find(0xffff0000).has_value());
}

TEST_CASE("a file may have an inode of 0, but then it has a device") {
    const recorded_proc proc{
        "00001000-00002000 rw-s 00000000 00:01 0                                  /SYSV00000000 (deleted)\n"
        "00002000-00003000 rw-p 00000000 00:00 0 \n"};
    const maps opened = proc.open();
    CHECK(walk_all(opened, {.only = procmap::file_backed}).records.size() == 1);
    CHECK(opened.find(0x1000, {.only = procmap::file_backed}).has_value());
    CHECK(opened.find_from(0x2000, {.only = procmap::file_backed}).error() == errc::not_mapped);
}

}  // namespace
