// Snapshots built from given mappings: order, overlaps, iteration, allocators.
#include "snapshots.hpp"
#include "../support/calls.hpp"
#include "../support/records.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <ranges>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/maps.hpp>
#include <procmap/result.hpp>
#include <procmap/snapshot.hpp>

using namespace support;
using procmap::errc;
using procmap::mapping;
using procmap::maps;
using procmap::name_state;
using procmap::snapshot;

namespace {

static_assert(std::ranges::forward_range<snapshot>);
static_assert(std::ranges::forward_range<const snapshot>);

TEST_CASE("a snapshot of a range is ascending, whatever the range's order") {
    const snapshot whole = need(snapshot::capture(need(maps::open_self())));
    std::vector<mapping> mappings(whole.begin(), whole.end());
    std::mt19937 random{1};
    for (int i = 0; i < 10; ++i) {
        std::shuffle(mappings.begin(), mappings.end(), random);
        CHECK(differs(records_of(whole), records_of(snapshot::from(mappings))) == "");
    }
    check_lookups(whole);
}

TEST_CASE("iterating gives what indexing gives, twice") {
    const snapshot s = snapshot_of({pages(1, 1), file_pages(2, 2), pages(9, 1)});
    std::size_t i = 0;
    for (auto at = s.begin(); at != s.end(); ++i) {
        const auto old = at++;
        CHECK(record{*old} == record{s[i]});
    }
    CHECK(i == s.size());
    CHECK(std::ranges::distance(s) == 3);
    CHECK(snapshot::iterator{} == snapshot::iterator{});
}

TEST_CASE("where records overlap the later one is clipped, its offset too if it has a file") {
    const snapshot s = snapshot_of({file_pages(10, 4, 4), file_pages(10, 6, 4), pages(15, 3), pages(12, 1), pages(16, 1)});
    REQUIRE(s.size() == 3);
    CHECK(record{s[0]} == record{file_pages(10, 4, 4)});
    CHECK(record{s[1]} == record{file_pages(14, 2, 4)});
    CHECK(record{s[2]} == record{pages(16, 2)});
    check_lookups(s);
}

TEST_CASE("an empty snapshot holds nothing") {
    for (const snapshot& s : {snapshot{}, snapshot_of({}), need(snapshot::parse("")), snapshot::builder{}.build()}) {
        CHECK(s.empty());
        CHECK(s.size() == 0);
        CHECK(s.memory() == 0);
        CHECK(s.begin() == s.end());
        CHECK(text_of(s).empty());
        check_lookups(s);
    }
}

TEST_CASE("a builder refuses what is no range, decodes what is escaped and can be used again") {
    snapshot::builder b;
    for (const mapping& m : {mapping{.start = 5, .end = 5}, mapping{.start = 6, .end = 5}, mapping{}})
        CHECK(b.add(m).error() == errc::invalid);
    mapping escaped = pages(1, 1);
    escaped.name = "a\\012b\\0\\01212";
    escaped.name_status = name_state::escaped;
    CHECK(b.add(escaped).has_value());
    CHECK(b.add(pages(3, 1)).has_value());
    const snapshot first = b.build();
    REQUIRE(first.size() == 2);
    CHECK(first[0].name == "a\nb\\0\n12");
    CHECK(first[0].name_status == name_state::ambiguous);
    CHECK(b.build().empty());
    CHECK(b.add(escaped).has_value());
    CHECK(differs(records_of(snapshot::from(std::vector{first[0]})), records_of(b.build())) == "");
}

TEST_CASE("names and build IDs are kept once each, whichever order they come in") {
    snapshot::builder b;
    for (std::uint64_t i = 0; i < 3000; ++i) {
        const std::array id{std::byte{1}, static_cast<std::byte>(i % 7)};
        const std::string name = "/lib/" + std::to_string(i % 11);
        mapping m = file_pages(1 + i, 1, 0, name.c_str());
        m.build_id = procmap::build_id_view{id};
        CHECK(b.add(m).has_value());
    }
    const snapshot s = b.build();
    CHECK(s.memory() <= 64 * s.size() + distinct_bytes(s) + 11 * sizeof(std::size_t));
    for (std::uint64_t i = 0; i < 3000; ++i) {
        REQUIRE(s[i].name == "/lib/" + std::to_string(i % 11));
        REQUIRE(s[i].build_id.bytes()[1] == static_cast<std::byte>(i % 7));
    }
}

/// Counts the bytes that are in use.
template <class T>
struct counting_allocator {
    using value_type = T;
    std::size_t* used;
    explicit counting_allocator(std::size_t& count) : used(&count) {}
    template <class U>
    counting_allocator(const counting_allocator<U>& other) : used(other.used) {}
    T* allocate(std::size_t n) {
        *used += n * sizeof(T);
        return std::allocator<T>{}.allocate(n);
    }
    void deallocate(T* memory, std::size_t n) {
        *used -= n * sizeof(T);
        std::allocator<T>{}.deallocate(memory, n);
    }
    bool operator==(const counting_allocator&) const = default;
};

TEST_CASE("all that a snapshot keeps is the allocator's, and as much as memory() says") {
    using counted = procmap::basic_snapshot<counting_allocator<std::byte>>;
    std::size_t used = 0;
    const counting_allocator<std::byte> allocator{used};
    const maps self = need(maps::open_self());
    {
        const auto taken = counted::capture(self, {.build_ids = true}, allocator);
        REQUIRE(taken.has_value());
        CHECK(taken->size() > 5);
        CHECK(used == taken->memory());
        const auto read = counted::parse(text_of(*taken), allocator);
        REQUIRE(read.has_value());
        CHECK(used == taken->memory() + read->memory());
        const counted copy = counted::from(std::vector<mapping>(taken->begin(), taken->end()), allocator);
        CHECK(copy.memory() == taken->memory());
        CHECK(used == taken->memory() + read->memory() + copy.memory());
        CHECK(procmap::difference(*taken, copy).empty());
    }
    CHECK(used == 0);
}

}  // namespace
