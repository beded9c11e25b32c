// What a watcher reports from one look to the next.
#include "snapshots.hpp"
#include "../support/calls.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"

#include <sys/mman.h>

#include <cstdint>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>
#include <procmap/result.hpp>
#include <procmap/snapshot.hpp>

using namespace support;
using procmap::change;
using procmap::change_kind;
using procmap::errc;
using procmap::mapping;
using procmap::maps;
using procmap::perm;

namespace {

TEST_CASE("a watcher gives everything at first, then what changed, and keeps its last look when one fails") {
    child watched{[](channel& parent) {
        char* const memory = map_pages(4);
        parent.send(address_of(memory));
        for (int protection : {PROT_READ, PROT_NONE}) {
            parent.await();
            ensure(::mprotect(memory, page, protection) == 0, "mprotect");
            parent.signal();
        }
        parent.pause();
    }};
    const auto address = watched->receive<std::uint64_t>();
    const maps opened = need(maps::open(watched.pid()));
    procmap::watcher watch{opened};
    const auto first = watch.look();
    REQUIRE(first.has_value());
    std::uint64_t total = 0;
    for (const mapping& m : watch.last()) total += m.size();
    for (const change& c : *first) {
        CHECK(c.kind == change_kind::mapped);
        total -= c.end - c.start;
    }
    CHECK(total == 0);
    CHECK(need(watch.look()).empty());
    for (const auto& expected : {procmap::permission_set{perm::read}, procmap::permission_set{}}) {
        watched->signal();
        watched->await();
        const auto changes = need(watch.look());
        REQUIRE(changes.size() == 1);
        CHECK(changes[0].kind == change_kind::permissions);
        CHECK(changes[0].start == address);
        CHECK(changes[0].end == address + page);
        CHECK(changes[0].now.permissions == expected);
    }
    const auto kept = records_of(watch.last());
    watched.kill();
    watched.reap();
    CHECK(watch.look().error() == errc::gone);
    CHECK(differs(kept, records_of(watch.last())) == "");
}

}  // namespace
