// Walks as ranges: begin, end, completeness and buffer size.
#include "asking.hpp"
#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"
#include "../support/records.hpp"

#include <concepts>
#include <cstddef>
#include <iterator>
#include <ranges>
#include <span>
#include <utility>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>
#include <procmap/result.hpp>

using namespace support;
using procmap::backend;
using procmap::errc;
using procmap::mapping;
using procmap::mapping_walk;
using procmap::maps;

namespace {

static_assert(std::input_iterator<mapping_walk::iterator>);
static_assert(!std::forward_iterator<mapping_walk::iterator>);
static_assert(std::sentinel_for<mapping_walk::sentinel, mapping_walk::iterator>);
static_assert(std::ranges::input_range<mapping_walk>);
static_assert(std::ranges::viewable_range<mapping_walk&>);
#if !defined(_GLIBCXX_RELEASE) || _GLIBCXX_RELEASE >= 12  // older: no adaptor takes a temporary that is no view
static_assert(std::ranges::viewable_range<mapping_walk>);
#endif
static_assert(!std::ranges::view<mapping_walk>);
static_assert(std::movable<mapping_walk> && !std::copyable<mapping_walk>);
static_assert(std::movable<maps> && !std::copyable<maps>);

template <class Handle>
concept walkable = requires(Handle&& handle) { std::forward<Handle>(handle).walk(); };
static_assert(walkable<maps&> && walkable<const maps&>);
static_assert(!walkable<maps> && !walkable<const maps>);

std::size_t count_mappings(mapping_walk& walk) {
    std::size_t n = 0;
    for (auto it = walk.begin(); it != walk.end(); ++it) ++n;
    return n;
}

TEST_CASE("a walk begins again at each begin, and anew when it was moved") {
    child paused{wait_forever};
    paused->await();
    const auto raw = raw_lines(slurp(maps_path(paused.pid())).value());
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps opened = need(maps::open(paused.pid(), {.use = use}));
        auto walk = opened.walk();
        CHECK_FALSE(walk.complete());
        auto it = walk.begin();
        ++it;
        it++;
        CHECK(it->start == raw[2].start);
        CHECK(walk.begin()->start == raw[0].start);
        CHECK(count_mappings(walk) == raw.size());
        CHECK(walk.complete());
        CHECK(count_mappings(walk) == raw.size());
        mapping_walk moved = std::move(walk);
        CHECK_FALSE(moved.complete());
        CHECK(count_mappings(moved) == raw.size());
        auto filtered = opened.walk({.only = procmap::executable});
        static_cast<void>(filtered.begin());
        moved = std::move(filtered);
        CHECK_FALSE(moved.complete());
        CHECK(count_mappings(moved) < raw.size());
        CHECK(moved.complete());
        auto past = moved.begin();
        while (past != moved.end()) ++past;
        ++past;  // stays at the end
        CHECK(moved.complete());
    }
}

TEST_CASE("a walk that the caller stopped is not complete, and has no error") {
    for (const backend use : backends()) {
        const maps self = need(maps::open_self({.use = use}));
        auto walk = self.walk();
        for (const mapping& m : walk)
            if (m.end != 0) break;
        CHECK_FALSE(walk.complete());
        CHECK(walk.error() == errc::none);
    }
}

TEST_CASE("a walk buffer below 256 bytes is invalid, names or not") {
    for (const backend use : backends()) {
        const maps self = need(maps::open_self({.use = use}));
        for (const std::size_t size : {std::size_t{1}, std::size_t{255}}) {
            const walked all = walk_all(self, {.names = size == 1, .buffer = std::span{big_buffer}.first(size)});
            CHECK(all.error == errc::invalid);
            CHECK_FALSE(all.complete);
            CHECK(all.records.empty());
        }
        CHECK(walk_all(self, {.names = true, .buffer = std::span{big_buffer}.first(256)}).complete);
    }
}

}  // namespace
