// libprocinfo's functions, compared with what sscanf reads.
#include "procinfo.hpp"
#include "truth.hpp"

#include <climits>
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace support;

namespace {

using android::procinfo::MapInfo;
using map_infos = std::vector<MapInfo>;
using map_info_callback = std::function<void(const MapInfo&)>;  // as its users pass it

map_info_callback into(map_infos& found) {
    found.clear();
    return [&found](const MapInfo& m) { found.push_back(m); };
}

void check_map_infos(const map_infos& found, const std::vector<scanned>& truth) {
    REQUIRE(found.size() == truth.size());
    for (std::size_t i = 0; i < truth.size(); ++i) {
        CAPTURE(i);
        CHECK(found[i].start == truth[i].start);
        CHECK(found[i].end == truth[i].end);
        CHECK(found[i].flags == truth[i].protection());
        CHECK(found[i].shared == truth[i].has(3, 's'));
        CHECK(found[i].pgoff == truth[i].offset);
        CHECK(found[i].inode == truth[i].inode);
        CHECK(found[i].name == truth[i].decoded_name());
    }
}

TEST_CASE("libprocinfo: a process is listed as its text says") {
    NEEDS_LIVE_MAPS();
    child paused{map_and_wait};
    paused->await();
    map_infos found;
    CHECK(android::procinfo::ReadProcessMaps(paused.pid(), into(found)));
    check_map_infos(found, scan(slurp(maps_file(paused.pid())).value()));
    CHECK(android::procinfo::ReadMapFile(maps_file(paused.pid()), into(found)));
    check_map_infos(found, scan(slurp(maps_file(paused.pid())).value()));

    bool whole = false;
    const auto own = own_text([&] { whole = android::procinfo::ReadProcessMaps(::getpid(), into(found)); });
    if (!own) return;
    CHECK(whole);
    check_map_infos(found, scan(*own));
}

TEST_CASE("libprocinfo: recorded text is listed as it says, from a file and from memory") {
    map_infos found;
    CHECK(android::procinfo::ReadMapFile(strange_file, into(found)));
    check_map_infos(found, scan(strange_text()));
    std::string content = strange_text();
    CHECK(android::procinfo::ReadMapFileContent(content.data(), into(found)));
    check_map_infos(found, scan(strange_text()));
    content = "  00400000-00401000   r-xp 00001000 fe:00 1311 /opt/app";  // more blanks, and no newline at the end
    CHECK(android::procinfo::ReadMapFileContent(content.data(), into(found)));
    check_map_infos(found, {{0x400000, 0x401000, 0x1000, 1311, "r-xp", "/opt/app"}});
    content.clear();
    CHECK(android::procinfo::ReadMapFileContent(content.data(), into(found)));
    CHECK(found.empty());
}

TEST_CASE("libprocinfo: after a malformed line it fails, and has called back for the lines before it") {
    map_infos found;
    std::string content = malformed_text;
    CHECK_FALSE(android::procinfo::ReadMapFileContent(content.data(), into(found)));
    check_map_infos(found, scan(good_text));
}

TEST_CASE("libprocinfo: what is not there is a failure") {
    map_infos found;
    CHECK_FALSE(android::procinfo::ReadMapFile("/nonexistent", into(found)));
    CHECK_FALSE(android::procinfo::ReadMapFile("/proc", into(found)));
    CHECK_FALSE(android::procinfo::ReadProcessMaps(INT_MAX, into(found)));
    CHECK(found.empty());
}

}  // namespace
