// Build IDs as values: printed, parsed, compared, hashed.
#include "../support/check_twice.hpp"
#include "../support/printed.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <span>
#include <sstream>
#include <string>
#include <unordered_set>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/result.hpp>

using namespace support;
using procmap::build_id;
using procmap::build_id_source;
using procmap::build_id_view;
using procmap::errc;

namespace {

constexpr build_id counting(std::size_t size, build_id_source from = build_id_source::given) {
    std::byte bytes[100] = {};
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(7 * i + 1);
    return build_id{std::span{bytes}.first(size), from};
}

TEST_CASE("a build ID holds up to 64 bytes, and says who gave it") {
    CHECK_TWICE([] {
        const build_id none, full = counting(64, build_id_source::map_files), over = counting(65);
        return none.empty() && none.source() == build_id_source::none && full.size() == 64 &&
               full.bytes()[63] == std::byte{186} && full.source() == build_id_source::map_files && over.empty() &&
               over.source() == build_id_source::none && counting(0, build_id_source::kernel).source() == build_id_source::none;
    });
}

TEST_CASE("equality is of the bytes, whoever said them") {
    CHECK_TWICE([] {
        const build_id a = counting(20, build_id_source::kernel), b = counting(20, build_id_source::memory),
                       shorter = counting(19);
        return a == b && a != shorter && a == build_id_view{b.bytes()} && shorter != build_id_view{b.bytes()} &&
               build_id{} == build_id{};
    });
}

TEST_CASE("what is printed is read back") {
    for (std::size_t size = 1; size <= build_id::capacity; ++size) {
        const build_id id = counting(size);
        std::string hex = printed(id);
        CHECK(hex.size() == 2 * size);
        CHECK(build_id::parse(hex).value() == id);
        std::transform(hex.begin(), hex.end(), hex.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
        CHECK(build_id::parse(hex).value() == id);
        CHECK(build_id::parse(hex).value().source() == build_id_source::given);
        std::ostringstream stream;
        stream << id;
        CHECK(stream.str() == printed(id));
    }
    CHECK(printed(build_id{}).empty());
    CHECK_TWICE(
        [] { return build_id::parse("00fFA9")->bytes()[1] == std::byte{0xff} && build_id::parse("00fFA9")->size() == 3; });
}

TEST_CASE("what is no build ID is malformed, and the error says where") {
    struct wrong {
        std::string hex;
        std::uint64_t offset;
    };
    for (const wrong& w : std::initializer_list<wrong>{{"", 0},
                                                       {"a", 1},
                                                       {"abc", 3},
                                                       {"0x12", 1},
                                                       {"12 34", 2},
                                                       {"12g4", 2},
                                                       {"12/4", 2},
                                                       {"12:4", 2},
                                                       {"@1", 0},
                                                       {"`1", 0},
                                                       {"G1", 0},
                                                       {"a\x80", 1},
                                                       {std::string(1, '\0') + "1", 0},
                                                       {std::string(129, 'a'), 128},
                                                       {std::string(130, 'a'), 128}}) {
        INFO(w.hex);
        const auto parsed = build_id::parse(w.hex);
        CHECK(parsed.error() == errc::malformed);
        CHECK(parsed.error().at == procmap::step::parse);
        CHECK(parsed.error().offset == w.offset);
    }
    for (int c = 0; c < 256; ++c) {
        const std::string hex{static_cast<char>(c), '0'};
        CHECK(build_id::parse(hex).has_value() == (std::strchr("0123456789abcdefABCDEF", c) != nullptr && c != 0));
    }
}

TEST_CASE("build IDs are hashed by their bytes") {
    const std::hash<build_id> hash;
    CHECK(hash(counting(20, build_id_source::kernel)) == hash(counting(20, build_id_source::memory)));
    std::unordered_set<build_id> all;
    for (std::size_t size = 0; size <= build_id::capacity; ++size)
        all.insert(counting(size)), all.insert(counting(size, build_id_source::kernel));
    CHECK(all.size() == 65);
}

}  // namespace
