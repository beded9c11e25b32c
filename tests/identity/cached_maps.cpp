// The mapping cache: hits, misses, evictions, and a second thread.
#include "../support/calls.hpp"
#include "../support/elf_files.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"

#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>
#include <type_traits>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/cached_maps.hpp>
#include <procmap/maps.hpp>
#include <procmap/result.hpp>

using namespace support;
using procmap::backend;
using procmap::build_id;
using procmap::cached_maps;
using procmap::errc;
using procmap::mapping;
using procmap::maps;

namespace {

static_assert(std::is_constructible_v<cached_maps, const maps&>);
static_assert(!std::is_constructible_v<cached_maps, maps>);
static_assert(!std::is_constructible_v<cached_maps, maps, procmap::cached_maps_options>);

TEST_CASE("hits, misses and evictions are counted, and the capacity holds") {
    char* const memory = map_alternating(20);
    REQUIRE(memory != nullptr);
    const auto at = [&](std::size_t i) { return support::address_of(memory) + i * page; };
    const maps self = need(maps::open_self());
    const bool confirms = self.backend() == backend::ioctl;
    cached_maps cache{self, {.most_mappings = 8}};
    for (std::size_t i = 1; i < 9; ++i) REQUIRE(cache.find(at(i)).has_value());
    CHECK(cache.statistics().misses == 8);
    CHECK(cache.statistics().hits == 0);
    CHECK(cache.statistics().evictions == 0);
    for (std::size_t i = 1; i < 9; ++i) REQUIRE(cache.find(at(i)).has_value());
    CHECK(cache.statistics().hits == (confirms ? 8 : 0));
    CHECK(cache.statistics().evictions == 0);
    REQUIRE(cache.find(at(10)).has_value());  // the one that was not used for longest goes
    CHECK(cache.statistics().evictions == 1);
    const auto before = cache.statistics();
    REQUIRE(cache.find(at(2)).has_value());
    CHECK(cache.statistics().hits == before.hits + (confirms ? 1 : 0));
    REQUIRE(cache.find(at(1)).has_value());
    CHECK(cache.statistics().misses == before.misses + (confirms ? 1 : 2));
    CHECK(cache.find(8).error() == errc::not_mapped);
    for (std::size_t i = 1; i < 19; ++i) REQUIRE(cache.find(at(i)).has_value());
    CHECK(cache.statistics().evictions <= cache.statistics().misses - 8);
    ::munmap(memory, 20 * page);
}

TEST_CASE("a cache on the text back-end has no hits, and sees what changes") {
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("a", small_elf(twenty('a')));
    dir.write("b", small_elf(twenty('b')));
    const maps self = need(maps::open_self({.use = backend::text}));
    cached_maps cache{self, {.build_ids = true}};
    char* const at = map_file(dir / "a");
    for (int i = 0; i < 20; ++i) {
        const std::string name = i % 2 == 0 ? "a" : "b";
        map_file(dir / name, at);
        for (int again = 0; again < 2; ++again) {
            const mapping m = need(cache.find(support::address_of(at)));
            CHECK(m.name == dir / name);
            CHECK(id_of(twenty(name[0])) == m.build_id);
        }
    }
    CHECK(cache.statistics().hits == 0);
    ::munmap(at, file_pages * page);
}

TEST_CASE("a second thread in the cache is answered contended") {
    const maps self = need(maps::open_self());
    cached_maps cache{self, {.build_ids = true}};
    std::atomic<long> good = 0, contended = 0, other = 0;
    const auto hammer = [&] {
        const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds{700};
        const std::uint64_t address = support::address_of(reinterpret_cast<const void*>(&::getpid));
        while (std::chrono::steady_clock::now() < end) {
            const auto m = cache.find(address);
            ++(m ? good : m.error() == errc::contended ? contended : other);
        }
    };
    std::thread one{hammer}, two{hammer};
    one.join();
    two.join();
    std::printf("%ld answers, %ld contended\n", good.load(), contended.load());
    CHECK(good > 0);
    CHECK(contended > 0);
    CHECK(other == 0);
}

}  // namespace
