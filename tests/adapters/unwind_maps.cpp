// libunwindstack's maps, compared with what sscanf reads.
#include "unwind_maps.hpp"
#include "truth.hpp"

#include <climits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace support;

namespace {

void check_info(const unwindstack::MapInfo* info, const scanned& truth) {
    REQUIRE(info != nullptr);
    CHECK(info->start == truth.start);
    CHECK(info->end == truth.end);
    CHECK(info->offset == truth.offset);
    CHECK(info->flags == truth.protection());
    CHECK(info->name == truth.decoded_name());
}

void check_maps(const unwindstack::Maps& maps, const std::vector<scanned>& truth) {
    REQUIRE(maps.Total() == truth.size());
    CHECK(maps.Get(truth.size()) == nullptr);
    for (std::size_t i = 0; i < truth.size(); ++i) {
        check_info(maps.Get(i).get(), truth[i]);
        check_info(maps.Find(truth[i].start).get(), truth[i]);
        check_info(maps.Find(truth[i].end - 1).get(), truth[i]);
        const bool hole = i + 1 == truth.size() || truth[i].end < truth[i + 1].start;
        if (hole) CHECK(maps.Find(truth[i].end) == nullptr);
    }
    CHECK(maps.Find(truth[0].start - 1) == nullptr);
}

TEST_CASE("libunwindstack: a process has the maps that its text says") {
    NEEDS_LIVE_MAPS();
    child paused{map_and_wait};
    paused->await();
    unwindstack::RemoteMaps maps{paused.pid()};
    CHECK(maps.Total() == 0);
    CHECK(maps.Parse());
    check_maps(maps, scan(slurp(maps_file(paused.pid())).value()));

    unwindstack::RemoteMaps local{::getpid()};
    bool whole = false;
    const auto own = own_text([&] { whole = local.Parse(); });
    if (!own) return;
    CHECK(whole);
    check_maps(local, scan(*own));
}

TEST_CASE("libunwindstack: recorded text has the maps that it says") {
    const std::string text = strange_text();
    unwindstack::BufferMaps maps{text.c_str()};
    CHECK(maps.Parse());
    check_maps(maps, scan(text));
    unwindstack::BufferMaps loose{"  00400000-00401000   r-xp 00001000 fe:00 1311 /opt/app"};  // more blanks, and no newline at the end
    CHECK(loose.Parse());
    check_maps(loose, {{0x400000, 0x401000, 0x1000, 1311, "r-xp", "/opt/app"}});
}

TEST_CASE("libunwindstack: after a malformed line, and of no process, it fails, and has the maps before it") {
    unwindstack::BufferMaps maps{malformed_text.c_str()};
    CHECK_FALSE(maps.Parse());
    check_maps(maps, scan(good_text));
    unwindstack::RemoteMaps none{INT_MAX};
    CHECK_FALSE(none.Parse());
    CHECK(none.Total() == 0);
    CHECK(none.Find(0) == nullptr);
}

}  // namespace
