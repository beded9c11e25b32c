// What can be said in words: the names of enumerators, and build IDs.
#include "printed.hpp"
#include "../support/check_twice.hpp"

#include <array>
#include <string_view>

#include <doctest/doctest.h>

#include <procmap/procmap.hpp>

using namespace support;
using namespace procmap;

namespace {

// True if these are the names of the enumerators 0, 1, 2, ..., also as print() writes them, and no other value has one of them.
template <class Enum, std::size_t N>
constexpr bool named(const std::array<std::string_view, N>& names) {
    for (std::size_t i = 0; i < N; ++i)
        if (to_string(static_cast<Enum>(i)) != names[i] || print_short(static_cast<Enum>(i)).view() != names[i]) return false;
    return to_string(static_cast<Enum>(N)) == "unknown" && to_string(static_cast<Enum>(255)) == "unknown";
}

TEST_CASE("an enumerator is said by its name, and a value that is none as unknown") {
    CHECK_TWICE([] {
        return named<errc>(std::array<std::string_view, 14>{"none", "not_mapped", "gone", "zombie", "kernel_thread", "task_gone", "denied",
                                                            "unsupported", "malformed", "interrupted", "contended", "invalid", "not_maps", "failed"});
    });
    CHECK_TWICE([] { return named<step>(std::array<std::string_view, 8>{"none", "open", "adopt", "query", "read", "parse", "send", "receive"}); });
    CHECK_TWICE([] {
        return named<reason>(std::array<std::string_view, 8>{"none", "not_mapped", "not_file_backed", "special", "gone", "denied", "failed", "name_unknown"});
    });
    CHECK_TWICE([] { return named<file_state>(std::array<std::string_view, 5>{"unknown", "linked", "deleted", "replaced", "unreadable"}); });
    CHECK_TWICE([] {
        return named<name_state>(std::array<std::string_view, 6>{"not_asked", "exact", "escaped", "ambiguous", "too_long", "no_memory"});
    });
    CHECK_TWICE([] { return named<build_id_source>(std::array<std::string_view, 6>{"none", "kernel", "map_files", "root_path", "memory", "given"}); });
    CHECK_TWICE([] { return named<backend>(std::array<std::string_view, 3>{"automatic", "ioctl", "text"}); });
    CHECK_TWICE([] { return named<change_kind>(std::array<std::string_view, 5>{"mapped", "unmapped", "backing", "permissions", "name"}); });
    // The last enumerators: a new one needs a name here and in to_string().
    static_assert(static_cast<int>(errc::failed) == 13 && static_cast<int>(step::receive) == 7 && static_cast<int>(reason::name_unknown) == 7 &&
                  static_cast<int>(file_state::unreadable) == 4 && static_cast<int>(name_state::no_memory) == 5 &&
                  static_cast<int>(build_id_source::given) == 5);
    CHECK(streamed(reason::special) == "special");
    CHECK(streamed(errc::denied) == "denied");
    CHECK(streamed(step::open) == "open");
    CHECK(streamed(mapping_kind::vdso) == "vdso");
}

TEST_CASE("a build ID is said in hexadecimal") {
    const auto id = build_id::parse("00AbfF");
    REQUIRE(id);
    CHECK(to_string(*id) == "00abff");
    CHECK(to_string(build_id_view{id->bytes()}) == "00abff");
    CHECK(to_string(build_id{}).empty());
}

TEST_CASE("a location leads to its file, and one without a file to nothing known") {
    const mapped_file files[] = {{.path = "/a"}, {.path = "/b", .inode = 7}};
    const location locations[] = {{.file = 1}, {.reason = reason::not_mapped}, {.file = 0}};
    const normalized out{.locations = locations, .files = files};
    CHECK(&out.file(locations[0]) == &files[1]);
    CHECK(&out.file(locations[2]) == &files[0]);
    CHECK(out.file(locations[1]).path.empty());
    CHECK((!out.file(locations[1]).build_id_known && out.file(locations[1]).inode == 0 && out.file(locations[1]).state == file_state::unknown));
}

TEST_CASE("nothing is mapped at the address that the error names") {
    const snapshot two = snapshot::from(std::array{mapping{.start = 0x1000, .end = 0x2000}});
    CHECK(two.find(0x2abc).error().address() == 0x2abc);
    CHECK(streamed(two.find(0x2abc).error()) == "maps: no such mapping at address 0x2abc");
    CHECK(two.find_from(UINT64_MAX).error().address() == UINT64_MAX);
    CHECK(error{.code = errc::malformed, .offset = 9}.address() == 0);
}

}  // namespace
