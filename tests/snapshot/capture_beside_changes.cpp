// Captures of processes that exit or change meanwhile, and concurrent captures.
#include "snapshots.hpp"
#include "../support/calls.hpp"
#include "../support/churn.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"
#include "../support/records.hpp"
#include "../support/skipping.hpp"

#include <sys/mman.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <random>
#include <string>
#include <thread>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>
#include <procmap/handover.hpp>
#include <procmap/maps.hpp>
#include <procmap/result.hpp>
#include <procmap/snapshot.hpp>

using namespace support;
using procmap::backend;
using procmap::errc;
using procmap::mapping;
using procmap::maps;
using procmap::snapshot;
using procmap::unique_fd;

namespace {

/// 30,000 mappings, which each child forked meanwhile has too.
struct many_mappings {
    static constexpr std::size_t count = 30'000;
    char* memory = map_alternating(count);
    many_mappings() { REQUIRE(memory != nullptr); }
    many_mappings(const many_mappings&) = delete;
    many_mappings& operator=(const many_mappings&) = delete;
    ~many_mappings() { ::munmap(memory, count * page); }
};

TEST_CASE("a process that ends during its capture: whole, or gone and a beginning of it; never short and well") {
    const many_mappings inherited;
    std::mt19937 random{2};
#if defined(PROCMAP_TEST_SANITIZED)
    const int most = rounds(12);
#else
    const int most = rounds(40);
#endif
    for (const backend use : backends()) {
        CAPTURE(use);
        int whole = 0, begun = 0, nothing = 0;
        for (int round = 0; round < most; ++round) {
            child victim{[](channel& parent) {
                parent.signal();
                parent.await();
            }};
            victim->await();
            const maps opened = need(maps::open(victim.pid(), {.use = use}));
            const auto started = std::chrono::steady_clock::now();
            const snapshot at_rest = need(snapshot::capture(opened));
            const auto took = std::chrono::steady_clock::now() - started;
            if (round == 0) CHECK(difference(records_of(at_rest), raw_lines(slurp(maps_path(victim.pid())).value())) == "");
            REQUIRE(at_rest.size() > many_mappings::count);
            const auto when = std::chrono::steady_clock::now() + took * static_cast<int>(random() % 130) / 100;
            std::thread killer{[&, exits = round % 2 == 0, reap = round % 4 < 2] {
                while (std::chrono::steady_clock::now() < when) {}
                exits ? victim->signal() : victim.kill();
                if (reap) victim.reap();
            }};
            const auto taken = snapshot::capture(opened);
            killer.join();
            const bool all = taken->size() == at_rest.size();
            taken ? ++whole : taken->empty() ? ++nothing : ++begun;
            if (taken ? !all : taken.error() != errc::gone) FAIL_CHECK("short, or another error: ", taken.error());
            const auto same = [](const mapping& a, const mapping& b) {
                return a.start == b.start && a.end == b.end && a.permissions == b.permissions && a.name == b.name &&
                       a.inode == b.inode && a.offset == b.offset;
            };
            REQUIRE(taken->size() <= at_rest.size());
            for (std::size_t i = 0; i < taken->size(); ++i)
                if (!same((*taken)[i], at_rest[i])) FAIL("not a beginning of what there was: ", record{(*taken)[i]});
            victim.kill();
            victim.reap();
            CHECK(snapshot::capture(opened).error() == errc::gone);
            CHECK((*snapshot::capture(opened)).empty());
        }
        MESSAGE(std::string{use == backend::ioctl ? "ioctl" : "text"}, ": ", whole, " whole, ", begun, " broken off, ",
                nothing, " too late");
        CHECK(begun + nothing > 0);
    }
}

TEST_CASE("captures of a process that remaps have what is stable, in ascending order") {
    arena memory{200};
    child changing = changing_child(memory);
    changing->await();
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps opened = need(maps::open(changing.pid(), {.use = use}));
        tally all;
        for (int i = 0; i < rounds(400); ++i) capture_once(opened, memory, all);
        all.check();
        CHECK(all.right == rounds(400));
    }
}

TEST_CASE("captures by several processes and threads that share one description do not disturb each other") {
    if (!kernel_has_ioctl()) SKIP("promised for the ioctl only");
    arena memory{600};
    child changing = changing_child(memory);
    changing->await();
    const maps opened = need(maps::open(changing.pid()));
    int ends[2] = {-1, -1};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const unique_fd from{ends[0]};
    const unique_fd to{ends[1]};
    REQUIRE(procmap::send_maps(from.get(), opened).has_value());
    const maps received = need(procmap::receive_maps(to.get()));
    const auto check = [&](const maps& of) {
        tally all;
        for (int i = 0; i < rounds(150); ++i) capture_once(of, memory, all);
        all.check();
        CHECK(all.right == rounds(150));
    };
    child inherits{[&](channel& parent) {
        parent.signal();
        for (;;) static_cast<void>(snapshot::capture(opened));
    }};
    inherits->await();
    check(opened);
    inherits.kill();
    std::atomic<bool> stop = false;
    std::thread other{[&] {
        while (!stop) static_cast<void>(snapshot::capture(received));
    }};
    check(opened);
    stop = true;
    other.join();
}

}  // namespace
