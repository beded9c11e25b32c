// gperftools' iterator, compared with what sscanf reads.
#include "proc_maps_iterator.hpp"
#include "truth.hpp"

#include <climits>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace support;

namespace {

using tcmalloc::ProcMapsIterator;

std::vector<scanned> iterated(pid_t pid) {
    ProcMapsIterator it{pid};
    REQUIRE(it.Valid());
    std::vector<scanned> all;
    std::uint64_t start = 0, end = 0, offset = 0;
    std::int64_t inode = 0;
    char *flags = nullptr, *filename = nullptr;
    while (it.Next(&start, &end, &flags, &offset, &inode, &filename)) {
        scanned& s = all.emplace_back();
        s.start = start, s.end = end, s.offset = offset, s.inode = static_cast<unsigned long long>(inode);
        s.name = filename;
        REQUIRE(std::string{flags}.copy(s.permissions, 4) == 4);
    }
    CHECK_FALSE(it.Next(&start, &end, &flags, &offset, &inode, &filename));
    return all;
}

void check_iterated(const std::vector<scanned>& found, const std::vector<scanned>& truth) {
    REQUIRE(found.size() == truth.size());
    for (std::size_t i = 0; i < truth.size(); ++i) {
        CAPTURE(i);
        CHECK(found[i].start == truth[i].start);
        CHECK(found[i].end == truth[i].end);
        CHECK(found[i].offset == truth[i].offset);
        CHECK(found[i].inode == truth[i].inode);
        CHECK(std::string{found[i].permissions} == truth[i].permissions);
        CHECK(found[i].name == truth[i].decoded_name());
    }
}

TEST_CASE("gperftools: a process is iterated as its text says, and pid 0 is this process") {
    NEEDS_LIVE_MAPS();
    child paused{map_and_wait};
    paused->await();
    check_iterated(iterated(paused.pid()), scan(slurp(maps_file(paused.pid())).value()));
    std::vector<scanned> found;
    const auto own = own_text([&] { found = iterated(0); });
    if (!own) return;
    check_iterated(found, scan(*own));
}

TEST_CASE("gperftools: what is not asked for may be null") {
    NEEDS_LIVE_MAPS();
    child paused{map_and_wait};
    paused->await();
    ProcMapsIterator it{paused.pid()};
    std::size_t n = 0;
    while (it.Next(nullptr, nullptr, nullptr, nullptr, nullptr, nullptr)) ++n;
    CHECK(n == scan(slurp(maps_file(paused.pid())).value()).size());
}

TEST_CASE("gperftools: an iterator of no process is not valid, and has no mapping") {
    ProcMapsIterator it{INT_MAX};
    CHECK_FALSE(it.Valid());
    CHECK_FALSE(it.Next(nullptr, nullptr, nullptr, nullptr, nullptr, nullptr));
}

}  // namespace
