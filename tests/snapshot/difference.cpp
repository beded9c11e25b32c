// Differences between two snapshots.
#include "snapshots.hpp"
#include "../support/records.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/maps.hpp>
#include <procmap/snapshot.hpp>

using namespace support;
using procmap::change;
using procmap::change_kind;
using procmap::mapping;
using procmap::maps;
using procmap::name_state;
using procmap::perm;
using procmap::result;
using procmap::snapshot;

namespace {

/// Also of temporaries, for the length of an expression.
std::vector<change> changes_between(const snapshot& before, const snapshot& after) {
    return procmap::difference(before, after);
}

/// The only change from one to the other.
void check_one(const snapshot& before, const snapshot& after, change_kind kind, const mapping& now) {
    const auto changes = procmap::difference(before, after);
    CAPTURE(kind);
    REQUIRE(changes.size() == 1);
    CHECK(changes[0].kind == kind);
    CHECK(changes[0].start == now.start);
    CHECK(changes[0].end == now.end);
    CHECK(record{changes[0].now} == record{now});
}

TEST_CASE("each kind of change is reported with its range and the new record") {
    const snapshot none;
    const snapshot anonymous = snapshot_of({pages(10, 4)});
    check_one(none, anonymous, change_kind::mapped, pages(10, 4));
    check_one(anonymous, none, change_kind::unmapped, pages(10, 4));
    check_one(anonymous, snapshot_of({pages(10, 2)}), change_kind::unmapped, pages(12, 2));
    check_one(anonymous, snapshot_of({pages(8, 6)}), change_kind::mapped, pages(8, 2));
    check_one(anonymous, snapshot_of({pages(10, 1), pages(11, 1, perm::write), pages(12, 2)}), change_kind::permissions,
              pages(11, 1, perm::write));
    check_one(anonymous, snapshot_of({file_pages(10, 4)}), change_kind::backing, file_pages(10, 4));
    check_one(snapshot_of({file_pages(10, 4)}), anonymous, change_kind::backing, pages(10, 4));
    const snapshot file = snapshot_of({file_pages(10, 4)});
    check_one(file, snapshot_of({file_pages(10, 2), file_pages(12, 2, 4)}), change_kind::backing, file_pages(12, 2, 4));
    check_one(file, snapshot_of({file_pages(10, 4, 0, "/renamed")}), change_kind::name, file_pages(10, 4, 0, "/renamed"));
    check_one(file, none, change_kind::unmapped, file_pages(10, 4));
    check_one(file, snapshot_of({file_pages(10, 1), file_pages(13, 1)}), change_kind::unmapped, file_pages(11, 2));
    mapping other = file_pages(10, 4);
    for (const auto field : {0, 1, 2}) {
        mapping m = other;
        field == 0 ? void(m.inode = 8) : field == 1 ? void(m.device.major = 9) : void(m.device.minor = 9);
        check_one(file, snapshot_of({m}), change_kind::backing, m);
    }
    mapping shared = other;
    shared.permissions |= perm::shared;
    check_one(file, snapshot_of({shared}), change_kind::permissions, shared);
    // Several at once: the first that holds.
    mapping both = file_pages(10, 4, 0, "/renamed");
    both.permissions = perm::write;
    check_one(file, snapshot_of({both}), change_kind::permissions, both);
    both.inode = 9;
    check_one(file, snapshot_of({both}), change_kind::backing, both);
}

TEST_CASE("a split or a merge alone is no change, and a change over a split is one") {
    const snapshot whole = snapshot_of({pages(1, 4), file_pages(5, 6)});
    const snapshot split = snapshot_of({pages(1, 1), pages(2, 3), file_pages(5, 1), file_pages(6, 3), file_pages(9, 2)});
    CHECK(changes_between(whole, split).empty());
    CHECK(changes_between(split, whole).empty());
    CHECK(changes_between(whole, whole).empty());
    check_one(snapshot_of({pages(1, 4)}), split, change_kind::mapped, file_pages(5, 6));
    check_one(split, snapshot_of({pages(1, 4)}), change_kind::unmapped, file_pages(5, 6));
}

TEST_CASE("page sizes and build IDs are a change where both are known, and only there") {
    constexpr std::array one{std::byte{1}};
    constexpr std::array two{std::byte{2}};
    mapping unknown = file_pages(10, 4);
    mapping small = unknown, large = unknown, first = unknown, second = unknown, without = unknown;
    small.page_size = 4096, large.page_size = 2 << 20;
    first.build_id = procmap::build_id_view{one}, second.build_id = procmap::build_id_view{two};
    first.build_id_known = second.build_id_known = without.build_id_known = true;
    for (const mapping& m : {small, large, first, second, without}) {
        CHECK(changes_between(snapshot_of({unknown}), snapshot_of({m})).empty());
        CHECK(changes_between(snapshot_of({m}), snapshot_of({unknown})).empty());
    }
    check_one(snapshot_of({small}), snapshot_of({large}), change_kind::backing, large);
    check_one(snapshot_of({first}), snapshot_of({second}), change_kind::backing, second);
    check_one(snapshot_of({first}), snapshot_of({without}), change_kind::backing, without);
}

TEST_CASE("a name that is not known is no other name, nor is one that only text made ambiguous") {
    const snapshot exact = snapshot_of({file_pages(10, 4, 0, "/a\\012b\nc")});
    for (const name_state unknown : {name_state::not_asked, name_state::too_long, name_state::no_memory}) {
        mapping m = file_pages(10, 4, 0, "");
        m.name_status = unknown;
        CHECK(changes_between(exact, snapshot_of({m})).empty());
        CHECK(changes_between(snapshot_of({m}), exact).empty());
    }
    mapping m = file_pages(10, 4, 0, "/a\nb\nc");
    check_one(exact, snapshot_of({m}), change_kind::name, m);
    m.name_status = name_state::ambiguous;
    CHECK(changes_between(exact, snapshot_of({m})).empty());
    CHECK(changes_between(snapshot_of({m}), exact).empty());
    for (const char* const other : {"/a\nb\nd", "/a\nb", "/a\nb\nc\n"}) {
        m.name = other;
        check_one(exact, snapshot_of({m}), change_kind::name, m);
    }
}

TEST_CASE("changes that follow one another in different mappings stay apart") {
    CHECK(changes_between(snapshot{}, snapshot_of({file_pages(1, 1), file_pages(2, 1, 5), pages(3, 1), pages(4, 1, perm::write),
                                           file_pages(5, 1, 0, "/b")}))
              .size() == 5);
}

TEST_CASE("a hundred thousand mappings are compared with as many others") {
    snapshot::builder even, odd, other;
    for (std::uint64_t i = 0; i < 100'000; ++i) {
        CHECK(even.add(pages(4 * i + 1, 1)).has_value());
        CHECK(odd.add(pages(4 * i + 3, 1)).has_value());
        CHECK(other.add(pages(4 * i + 1, 1, perm::write)).has_value());
    }
    const snapshot a = even.build(), b = odd.build(), c = other.build();
    CHECK(procmap::difference(a, b).size() == 200'000);
    CHECK(procmap::difference(a, c).size() == 100'000);
    CHECK(procmap::difference(a, a).empty());
    CHECK(changes_between(a, snapshot{}).size() == 100'000);
}

template <class A, class B>
concept comparable = requires(A&& a, B&& b) { procmap::difference(std::forward<A>(a), std::forward<B>(b)); };
static_assert(comparable<snapshot&, const snapshot&>);
static_assert(!comparable<snapshot, const snapshot&>);
static_assert(!comparable<const snapshot&, snapshot>);
static_assert(!comparable<snapshot, snapshot>);
static_assert(!comparable<const snapshot, const snapshot>);
static_assert(!comparable<decltype(*std::declval<result<snapshot>>()), const snapshot&>);
static_assert(std::is_constructible_v<procmap::watcher, const maps&> && !std::is_constructible_v<procmap::watcher, maps>);

TEST_CASE("a change prints as its kind and the record's line") {
    const snapshot before = snapshot_of({pages(1, 2)});
    const snapshot after = snapshot_of({file_pages(2, 2)});
    std::ostringstream out;
    for (const change& c : procmap::difference(before, after)) out << c << '\n';
    const std::string name = std::string(33, ' ') + "/file\n";
    CHECK(out.str() == "unmapped    00001000-00002000 r--p 00000000 00:00 0 \n"
                       "backing     00002000-00003000 r--p 00002000 08:01 7 " + name +
                       "mapped      00003000-00004000 r--p 00003000 08:01 7 " + name);
    constexpr std::array names{"mapped", "unmapped", "backing", "permissions", "name"};
    for (std::size_t i = 0; i < names.size(); ++i) CHECK(to_string(static_cast<change_kind>(i)) == names[i]);
}

}  // namespace
