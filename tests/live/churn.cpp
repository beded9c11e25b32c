// Walks and lookups while the address space changes, from one or several threads.
#include "../support/calls.hpp"
#include "../support/churn.hpp"
#include "../support/machine.hpp"
#include "../support/processes.hpp"
#include "../support/records.hpp"
#include "../support/skipping.hpp"

#include <chrono>
#include <cstddef>
#include <cstdlib>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>

using namespace support;
using procmap::backend;
using procmap::maps;

namespace {

/// How many walks to make under churn: fewer where each instruction costs more.
std::size_t churn_walks() {
    if (const char* const asked = std::getenv("PROCMAP_CHURN_WALKS"); asked != nullptr) return std::strtoul(asked, nullptr, 10);
#if defined(PROCMAP_TEST_SANITIZED)
    return 500;
#else
    return 2000;
#endif
}

TEST_CASE("walks beside a thread that changes the address space: ascending, and nothing stable is missed") {
    for (const backend use : backends()) {
        CAPTURE(use);
        arena stable;
        const maps self = need(maps::open_self({.use = use}));
        crew threads;
        threads.add_change(stable);
        threads.add(churn_walks(), [&](std::size_t, tally& count) { walk_once(self, stable, count); });
        const tally all = threads.run();
        all.check();
        CHECK(all.contended == 0);
        CHECK(static_cast<std::size_t>(all.right) == churn_walks());
    }
}

TEST_CASE("walks of a process that changes its address space: ascending, and nothing stable is missed") {
    arena stable;
    child changing = changing_child(stable);
    changing->await();
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps opened = need(maps::open(changing.pid(), {.use = use}));
        tally all;
        for (std::size_t i = 0; i < churn_walks(); ++i) {
            walk_once(opened, stable, all);
            find_once(opened, stable, i, all);
        }
        all.check();
        CHECK(all.contended == 0);
        CHECK(static_cast<std::size_t>(all.right) == 2 * churn_walks());
    }
}

TEST_CASE("threads that share one text handle notice each other: no torn record, nothing missed") {
    arena stable;
    const maps self = need(maps::open_self({.use = backend::text}));
    crew threads;
    threads.add_change(stable);
    const auto enough = std::chrono::steady_clock::now() + std::chrono::seconds{4};  // those that collide can wait for long
    const auto in_time = [enough] { return std::chrono::steady_clock::now() < enough; };
    for (int i = 0; i < 3; ++i) {  // more than there may be processors: some are interrupted in the middle of a read
        threads.add(churn_walks() / 2, [&](std::size_t, tally& count) {
            if (in_time()) walk_once(self, stable, count);
        });
        threads.add(churn_walks() / 2, [&](std::size_t n, tally& count) {
            if (in_time()) find_once(self, stable, n, count);
        });
    }
    const tally all = threads.run();
    all.check();
    MESSAGE(all.right, " right, ", all.contended, " contended");
    CHECK(walk_all(self).complete);  // nobody else reads now: none has left it locked
    CHECK(all.right > 0);  // how many are contended depends on how busy the machine is; tests/kernel/readers.cpp has each case of it
}

TEST_CASE("threads that share one ioctl handle each get the right answers") {
    if (!kernel_has_ioctl()) SKIP("no ioctl");
    arena stable;
    const maps self = need(maps::open_self({.use = backend::ioctl}));
    crew threads;
    threads.add_change(stable);
    for (int i = 0; i < 2; ++i)
        threads.add(churn_walks(), [&](std::size_t n, tally& count) {
            walk_once(self, stable, count);
            find_once(self, stable, n, count);
        });
    const tally all = threads.run();
    all.check();
    CHECK(all.contended == 0);
}

}  // namespace
