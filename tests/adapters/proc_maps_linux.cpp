// Chromium's functions, compared with what sscanf reads.
#include "proc_maps_linux.hpp"
#include "truth.hpp"

#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace support;

namespace {

using base::debug::MappedMemoryRegion;
using regions = std::vector<MappedMemoryRegion>;

void check_regions(const regions& found, const std::vector<scanned>& truth) {
    REQUIRE(found.size() == truth.size());
    for (std::size_t i = 0; i < truth.size(); ++i) {
        CAPTURE(i);
        CHECK(found[i].start == truth[i].start);
        CHECK(found[i].end == truth[i].end);
        CHECK(found[i].offset == truth[i].offset);
        CHECK(((found[i].permissions & MappedMemoryRegion::READ) != 0) == truth[i].has(0, 'r'));
        CHECK(((found[i].permissions & MappedMemoryRegion::WRITE) != 0) == truth[i].has(1, 'w'));
        CHECK(((found[i].permissions & MappedMemoryRegion::EXECUTE) != 0) == truth[i].has(2, 'x'));
        CHECK(((found[i].permissions & MappedMemoryRegion::PRIVATE) != 0) == truth[i].has(3, 'p'));
        CHECK(found[i].path == truth[i].name);
    }
}

TEST_CASE("Chromium: the text of this process is what the kernel writes") {
    NEEDS_LIVE_MAPS();
    std::string text;
    bool whole = false;
    const auto own = own_text([&] { whole = base::debug::ReadProcMaps(&text); });
    if (!own) return;
    CHECK(whole);
    if (kernel_is_64_bit()) CHECK(text == *own);  // a 32-bit kernel pads less
    regions found;
    CHECK(base::debug::ParseProcMaps(text, &found));
    check_regions(found, scan(*own));
}

TEST_CASE("Chromium: recorded text is parsed as it says") {
    regions found;
    CHECK(base::debug::ParseProcMaps(strange_text(), &found));
    check_regions(found, scan(strange_text()));
    CHECK(base::debug::ParseProcMaps("", &found));
    CHECK(found.empty());
}

TEST_CASE("Chromium: carriage returns and blanks at the beginning of a line are tolerated") {
    std::string loose = good_text;
    for (std::size_t at = 0; (at = loose.find('\n', at)) != std::string::npos; at += 4) loose.replace(at, 1, "\r\n  ");
    loose.resize(loose.size() - 2);
    regions found;
    CHECK(base::debug::ParseProcMaps(loose, &found));
    check_regions(found, scan(good_text));
}

TEST_CASE("Chromium: a malformed or unfinished line is a failure, and leaves the regions as they were") {
    regions found;
    REQUIRE(base::debug::ParseProcMaps(good_text, &found));
    for (const std::string& wrong : {malformed_text, good_text + "00400000-00401000 r-xp 0", good_text + "\n", std::string{"\n"},
                                     std::string{"00400000-00401000 r-xq 00001000 fe:00 1311 /opt/app\n"},
                                     std::string{"00400000-00401000 r-xp 00001000 fe:00 1311 /opt/app"}}) {
        CAPTURE(wrong);
        CHECK_FALSE(base::debug::ParseProcMaps(wrong, &found));
        check_regions(found, scan(good_text));
    }
}

}  // namespace
