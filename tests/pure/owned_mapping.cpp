// A mapping that owns its name and build ID.
#include "printed.hpp"

#include <algorithm>
#include <concepts>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/owned_mapping.hpp>

using namespace support;
using namespace procmap;

namespace {

const std::string long_name = "/" + std::string(5000, 'n');
const build_id known_id = build_id::parse("0123456789abcdef").value();

// Made from storage that is gone when this returns.
owned_mapping made(std::uint64_t start, std::string name) {
    const build_id own = known_id;
    return owned_mapping{mapping{.start = start, .end = start + 0x1000, .permissions = perm::read, .name_status = name_state::exact,
                                 .build_id_known = true, .offset = 5, .page_size = 4096, .inode = 3, .device = {1, 2}, .name = name, .build_id = own}};
}

bool is(const mapping& m, std::uint64_t start, std::string_view name) {
    return m.start == start && m.end == start + 0x1000 && m.permissions == perm::read && m.name_status == name_state::exact && m.build_id_known &&
           m.offset == 5 && m.page_size == 4096 && m.inode == 3 && m.device == device_number{1, 2} && m.name == name && known_id == m.build_id;
}

TEST_SUITE("an owned mapping") {
    TEST_CASE("has all of the mapping, after that is gone") {
        const owned_mapping with_short = made(0x1000, "/a");  // short enough to lie in the object itself
        const owned_mapping with_long = made(0x1000, long_name);
        CHECK((is(with_short, 0x1000, "/a") && is(with_long, 0x1000, long_name)));
        CHECK(made(0x1000, "/a")->name == "/a");
        const owned_mapping none;
        const mapping& empty = none;
        CHECK((empty.size() == 0 && empty.name.empty() && empty.build_id.empty()));
        static_assert(!std::convertible_to<owned_mapping, const mapping&>);  // that would borrow from a temporary
        static_assert(std::convertible_to<owned_mapping&, const mapping&> && std::is_nothrow_move_constructible_v<owned_mapping>);
    }

    TEST_CASE("is copied, moved and assigned with its own name, and the other keeps or loses its") {
        for (const std::string& name : {std::string{"/a"}, long_name}) {
            owned_mapping a = made(0x1000, name);
            owned_mapping b = a;
            CHECK((is(a, 0x1000, name) && is(b, 0x1000, name) && a->name.data() != b->name.data()));
            owned_mapping c = std::move(a);
            CHECK(is(c, 0x1000, name));
            a = made(0x5000, "/other");
            CHECK((is(a, 0x5000, "/other") && is(b, 0x1000, name) && is(c, 0x1000, name)));
            b = std::move(a);
            CHECK((is(b, 0x5000, "/other") && is(c, 0x1000, name)));
            owned_mapping& same = c;
            c = same;
            CHECK(is(c, 0x1000, name));
            c = std::move(same);
            CHECK(is(c, 0x1000, name));
            b.swap(c);
            CHECK((is(c, 0x5000, "/other") && is(b, 0x1000, name)));
        }
    }

    TEST_CASE("is an element of containers, and is sorted and found as a mapping") {
        std::vector<owned_mapping> kept;
        for (std::uint64_t i = 100; i != 0; --i) kept.push_back(made(i * 0x1000, "/" + std::to_string(i)));  // short names, moved on growth
        std::sort(kept.begin(), kept.end(), [](const mapping& a, const mapping& b) { return a.start < b.start; });
        kept.erase(kept.begin());
        for (std::uint64_t i = 0; i < kept.size(); ++i) CHECK(is(kept[i], (i + 2) * 0x1000, "/" + std::to_string(i + 2)));
        const auto hit = std::find_if(kept.begin(), kept.end(), [](const mapping& m) { return m.contains(0x42000); });
        REQUIRE(hit != kept.end());
        CHECK(streamed(*hit) == "00042000-00043000 r--p 00000005 01:02 3                                  /66");
    }

    TEST_CASE("does not know a build ID that is too long to be kept") {
        const std::vector<std::byte> bytes(build_id::capacity + 1);
        const owned_mapping m{mapping{.build_id_known = true, .build_id = build_id_view{bytes}}};
        CHECK((m->build_id.empty() && !m->build_id_known));
    }
}

}  // namespace
