// breakpad's list of modules, compared with one that is made of what sscanf reads.
#include "linux_dumper.hpp"
#include "../support/calls.hpp"
#include "truth.hpp"

#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace support;

namespace {

using google_breakpad::EnumerateMappings;
using google_breakpad::MappingInfo;
using modules = std::vector<MappingInfo>;

/// The same list, of the text: what each line is called, and then which lines belong together.
modules modules_of(const std::vector<scanned>& lines) {
    modules made;
    bool open = false;  // the last one can grow
    for (const scanned& line : lines) {
        if (line.name == "[vsyscall]") continue;
        std::string name = line.name == "[vdso]"                                   ? "linux-gate.so"
                           : line.name.starts_with('/') && line.name.size() < 4096 ? line.decoded_name()
                                                                                   : "";
        const bool touches = open && made.back().start_addr + made.back().size == line.start;
        if (touches && line.name.empty() && std::string{line.permissions} == "---p" && made.back().exec && made.back().name[0] == '/')
            name = made.back().name;
        else if (!touches || name.empty() || name != made.back().name || line.has(2, 'x') != made.back().exec)
            made.push_back({line.start, 0, line.offset, line.has(2, 'x'), name});
        made.back().size = line.end - made.back().start_addr;
        open = true;
    }
    return made;
}

void check_modules(const modules& found, const modules& truth) {
    REQUIRE(found.size() == truth.size());
    for (std::size_t i = 0; i < truth.size(); ++i) {
        CAPTURE(i);
        CHECK(found[i].start_addr == truth[i].start_addr);
        CHECK(found[i].size == truth[i].size);
        CHECK(found[i].offset == truth[i].offset);
        CHECK(found[i].exec == truth[i].exec);
        CHECK(found[i].name == truth[i].name);
    }
}

procmap::maps recorded(const temporary_directory& procfs, const std::string& text) {
    procfs.write("self/maps", text);
    return need(procmap::maps::open_self({.proc = procfs.path().c_str()}));
}

TEST_CASE("breakpad: the modules of a process are those that its text shows") {
    NEEDS_LIVE_MAPS();
    child paused{map_and_wait};
    paused->await();
    modules found;
    CHECK(EnumerateMappings(need(procmap::maps::open(paused.pid())), found));
    check_modules(found, modules_of(scan(slurp(maps_file(paused.pid())).value())));
    CHECK(modules_of(scan(slurp(maps_file(paused.pid())).value())).size() < scan(slurp(maps_file(paused.pid())).value()).size());

    bool whole = false;
    const auto own = own_text([&] {
        found.clear();
        whole = EnumerateMappings(need(procmap::maps::open_self()), found);
    });
    if (!own) return;
    CHECK(whole);
    check_modules(found, modules_of(scan(*own)));
}

TEST_CASE("breakpad: recorded text has the modules that it shows") {
    const temporary_directory procfs;
    modules found;
    CHECK(EnumerateMappings(recorded(procfs, strange_text()), found));
    check_modules(found, modules_of(scan(strange_text())));
}

TEST_CASE("breakpad: parts of a file are one module if they touch and are both code or both data, with memory reserved after code") {
    const temporary_directory procfs;
    modules found;
    CHECK(EnumerateMappings(recorded(procfs,
                                     "00010000-00011000 r--p 00000000 fe:00 7 /lib/a.so\n"
                                     "00011000-00012000 rw-p 00001000 fe:00 7 /lib/a.so\n"
                                     "00012000-00013000 r-xp 00002000 fe:00 7 /lib/a.so\n"
                                     "00013000-00020000 ---p 00000000 00:00 0 \n"
                                     "00020000-00021000 r--p 00003000 fe:00 7 /lib/a.so\n"
                                     "00021000-00022000 ---p 00000000 00:00 0 \n"
                                     "00030000-00031000 r--p 00000000 fe:00 7 /lib/a.so\n"
                                     "00031000-00032000 r--p 00000000 fe:00 8 /lib/b.so\n"
                                     "00033000-00034000 r--p 00000000 fe:00 8 /lib/b.so\n"
                                     "00040000-00041000 rw-p 00000000 00:00 0 [heap]\n"
                                     "00041000-00042000 r-xp 00000000 00:00 0 [vdso]\n"),
                            found));
    check_modules(found, {{0x10000, 0x2000, 0, false, "/lib/a.so"},
                          {0x12000, 0xe000, 0x2000, true, "/lib/a.so"},
                          {0x20000, 0x1000, 0x3000, false, "/lib/a.so"},
                          {0x21000, 0x1000, 0, false, ""},
                          {0x30000, 0x1000, 0, false, "/lib/a.so"},
                          {0x31000, 0x1000, 0, false, "/lib/b.so"},
                          {0x33000, 0x1000, 0, false, "/lib/b.so"},
                          {0x40000, 0x1000, 0, false, ""},
                          {0x41000, 0x1000, 0, true, "linux-gate.so"}});
}

TEST_CASE("breakpad: after a malformed line, and of a process that is gone, it fails") {
    const temporary_directory procfs;
    modules found;
    CHECK_FALSE(EnumerateMappings(recorded(procfs, malformed_text), found));
    check_modules(found, modules_of(scan(good_text)));
    found.clear();
    CHECK_FALSE(EnumerateMappings(procmap::maps{}, found));
    CHECK(found.empty());
}

}  // namespace
