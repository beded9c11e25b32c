// Properties of a handle: it keeps errno, allocates nothing, is close-on-exec, and can be moved.
#include "../support/allocations.hpp"
#include "asking.hpp"
#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"
#include "../support/skipping.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>
#include <procmap/maps.hpp>
#include <procmap/probe.hpp>
#include <procmap/result.hpp>
#include <procmap/text.hpp>

using namespace support;
using procmap::backend;
using procmap::errc;
using procmap::mapping;
using procmap::mapping_walk;
using procmap::maps;

namespace {

TEST_CASE("errno is left as it was, whatever the outcome") {
    const auto here = address_of(reinterpret_cast<const void*>(&check_answers));
    keeping_errno([] { return procmap::probe(); });
    keeping_errno([] { return procmap::probe("/nowhere"); });
    keeping_errno([] { return procmap::running_kernel(); });
    keeping_errno([] { return maps::open(no_process).has_value(); });
    keeping_errno([] { return maps::open(-1).has_value(); });
    keeping_errno([] { return maps::open(::getpid(), no_process).has_value(); });
    keeping_errno([] { return maps::open_self({.proc = "/nowhere"}).has_value(); });
    keeping_errno([] { return maps::adopt(procmap::unique_fd{}).has_value(); });
    const temporary_directory directory;
    directory.write("self/maps", "");
    keeping_errno([&] { return maps::open_self({.proc = directory.path().c_str()}).has_value(); });
    const child zombie{[](channel&) {}};
    zombie.await_zombie();
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(keeping_errno([&] { return maps::open_self({.use = use}); }));
        CHECK(keeping_errno([&] { return self.find(here, {.name = big_buffer}).has_value(); }));
        CHECK(keeping_errno([&] { return self.find(here, {.name = std::span{big_buffer}.first(1)}).has_value(); }));
        CHECK_FALSE(keeping_errno([&] { return self.find(0).has_value(); }));
        CHECK_FALSE(keeping_errno([&] { return self.find_from(UINT64_MAX).has_value(); }));
        CHECK(keeping_errno([&] {
            auto walk = self.walk({.names = true});
            for ([[maybe_unused]] const mapping& m : walk) {}
            return walk.complete();
        }));
        CHECK_FALSE(keeping_errno([&] { return maps::open(zombie.pid(), {.use = use}).has_value(); }));
        child dying{wait_forever};
        const maps dead = need(maps::open(dying.pid(), {.use = use}));
        dying.kill();
        dying.await_zombie();
        CHECK_FALSE(keeping_errno([&] { return dead.find(here).has_value(); }));
        dying.reap();
        CHECK_FALSE(keeping_errno([&] { return dead.find(here).has_value(); }));
        const maps none;
        CHECK_FALSE(keeping_errno([&] { return none.find(here).has_value(); }));
        CHECK(keeping_errno([&] { return maps::open_self({.use = use}).value().fd().get() >= 0; }));  // closed again, too
    }
}

TEST_CASE("handles are close-on-exec") {
    NEEDS_LIVE_MAPS();
    for (const backend use : backends()) {
        CHECK(::fcntl(need(maps::open_self({.use = use})).fd().get(), F_GETFD) == FD_CLOEXEC);
        CHECK(::fcntl(need(maps::open(::getpid(), ::getpid(), {.use = use})).fd().get(), F_GETFD) == FD_CLOEXEC);
    }
}

TEST_CASE("a handle that holds nothing answers invalid") {
    const maps none;
    check_all_answer(none, errc::invalid);
    CHECK(none.fd().get() == -1);
    for (const backend use : backends()) {
        CAPTURE(use);
        maps from = need(maps::open_self({.use = use}));
        const int fd = from.fd().get();
        maps to = std::move(from);
        check_all_answer(from, errc::invalid);  // NOLINT: moved from, on purpose
        CHECK(to.fd().get() == fd);
        check_answers(to);
        from = std::move(to);
        check_answers(from);
        from = maps{};
        CHECK_FALSE(is_open(fd));
    }
}

#if !defined(PROCMAP_TEST_SANITIZED)
TEST_CASE("find, find_from, walk, parse and probe allocate nothing") {
    static mapping_walk* under_way;
    const std::string text = slurp(PROCMAP_TEST_DATA "/realistic_10k.maps").value();
    const auto here = address_of(reinterpret_cast<const void*>(&check_answers));
    const auto counted = [](auto call) {
        const long before = allocations;
        call();
        return allocations - before;
    };
    CHECK_MESSAGE(counted([] {
                      static void* volatile memory;  // not optimized away
                      memory = ::operator new(100);
                      ::operator delete(memory);
                  }) == 1,
                  "the count counts");
    CHECK(counted([] { static_cast<void>(procmap::probe()); }) == 0);
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(maps::open_self({.use = use}));
        bool found = false;
        CHECK(counted([&] { found = maps::open_self({.use = use}).has_value(); }) == 0);
        CHECK(found);
        CHECK(counted([&] { found = self.find(here, {.name = big_buffer}).has_value(); }) == 0);
        CHECK(found);
        CHECK(counted([&] { found = self.find_from(0, {.only = procmap::writable}).has_value(); }) == 0);
        CHECK(found);
        CHECK(counted([&] { found = self.find(0).has_value(); }) == 0);
        CHECK_FALSE(found);
        CHECK(counted([&] {
                  auto walk = self.walk({.names = true});
                  under_way = &walk;
                  for ([[maybe_unused]] const mapping& m : *under_way) {}
                  found = walk.complete();
              }) == 0);
        CHECK(found);
    }
    std::size_t lines = 0;
    CHECK(counted([&] {
              for (const auto& line : procmap::parse(text)) lines += line.has_value() ? 1 : 0;
          }) == 0);
    CHECK(lines == static_cast<std::size_t>(std::ranges::count(text, '\n')));
}
#else
TEST_CASE("allocations are not counted under a sanitizer, which has its own allocator") { not_included("the whole count"); }
#endif

}  // namespace
