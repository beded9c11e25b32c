// Parsing a text of several lines.
#include "test_data.hpp"
#include "../support/check_twice.hpp"
#include "../support/guarded.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ranges>
#include <string_view>

#include <doctest/doctest.h>

#include <procmap/text.hpp>

using namespace support;
using namespace procmap;
using namespace std::string_view_literals;

namespace {

TEST_SUITE("parse") {
    constexpr std::string_view three_lines =
        "00001000-00002000 r--p 00000000 00:00 0 \n"
        "00002000-00003000 rw-p 00000000 08:01 7                                  /b\n"
        "00003000-00004000 r-xp 00000000 08:01 8                                  /c\n";

    constexpr int count_good(std::string_view text) {
        int n = 0;
        for (const result<mapping>& m : parse(text)) n += m ? 1 : 0;
        return n;
    }
    constexpr int count(std::string_view text) {
        int n = 0;
        for (auto line = parse(text).begin(); line != parsed_lines::sentinel{}; ++line) ++n;
        return n;
    }

    TEST_CASE("is an input range of results") {
        static_assert(std::ranges::input_range<parsed_lines> && std::ranges::input_range<const parsed_lines>);
        static_assert(std::same_as<std::ranges::range_value_t<parsed_lines>, result<mapping>>);
        static_assert(std::ranges::viewable_range<parsed_lines&>);
#if !defined(_GLIBCXX_RELEASE) || _GLIBCXX_RELEASE >= 12  // older: no adaptor takes a temporary that is no view
        static_assert(std::ranges::viewable_range<parsed_lines>);
#endif
        CHECK(std::ranges::count_if(parse(three_lines), [](const auto& m) { return m.has_value(); }) == 3);
    }

    TEST_CASE("gives the lines in their order, each with its own fields") {
        CHECK_TWICE([] {
            std::uint64_t start = 0x1000;
            std::uint64_t inode = 0;
            for (const auto& m : parse(three_lines)) {
                const auto name = inode == 0 ? "" : inode == 7 ? "/b" : "/c";
                if (!m || m->start != start || m->inode != inode || m->name != name) return false;
                start += 0x1000;
                inode = inode == 0 ? 7 : 8;
            }
            return start == 0x4000;
        });
    }

    TEST_CASE("can be started again") {
        CHECK_TWICE([] {
            const auto lines = parse(three_lines);
            auto first = lines.begin();
            ++first;
            first++;
            return first->value().name == "/c" && (*lines.begin())->start == 0x1000 && ++first == lines.end();
        });
    }

    TEST_CASE("takes no line from an empty text, and an empty line from a newline alone") {
        CHECK_TWICE([] { return count("") == 0 && count(std::string_view{}) == 0; });
        CHECK_TWICE([] { return count("\n") == 1 && count_good("\n") == 0 && count("\n\n") == 2; });
    }

    TEST_CASE("does not need a newline at the end") {
        CHECK_TWICE([] {
            constexpr auto text = three_lines.substr(0, three_lines.size() - 1);
            std::string_view last;
            for (const auto& m : parse(text)) last = m->name;
            return count_good(text) == 3 && count(text) == 3 && last == "/c";
        });
        CHECK_TWICE([] { return count("1-2 r--p 0 0:0 0") == 1 && count_good("1-2 r--p 0 0:0 0") == 1; });
    }

    TEST_CASE("reports a bad line by number and byte, and goes on") {
        CHECK_TWICE([] {
            constexpr std::string_view text =
                "1000-2000 r--p 0 0:0 0\n"  // 23 bytes
                "\n"
                "2000-3000 r--p 0 0:0 0\n"
                "3000-4000 r--p ? 0:0 0\n"
                "4000-5000 r--p 0 0:0 0";
            constexpr error none{};
            const error expected[] = {none,
                                      {.code = errc::malformed, .at = step::parse, .line = 2, .offset = 23},
                                      none,
                                      {.code = errc::malformed, .at = step::parse, .line = 4, .offset = 23 + 1 + 23 + 15},
                                      none};
            std::size_t i = 0;
            for (const auto& m : parse(text)) {
                if (m.error() != expected[i]) return false;
                if (m && m->start != 0x1000 * (i / 2 + 1) + (i == 4 ? 0x1000 : 0)) return false;
                ++i;
            }
            return i == 5;
        });
        CHECK_TWICE([] {
            constexpr std::string_view text = "1000-2000 r--p 0 0:0 0\nrubbish";
            for (const auto& m : parse(text))
                if (!m) return m.error().line == 2 && m.error().offset == 23;
            return false;
        });
    }

    TEST_CASE("takes a carriage return for what it is: a byte of the name, or a bad one behind the inode") {
        CHECK_TWICE([] {
            constexpr std::string_view text =
                "1000-2000 r--p 0 0:0 7 /a\r\n2000-3000 r--p 0 0:0 0\r\n3000-4000 r--p 0 0:0 7 /c\r\n";
            int i = 0;
            for (const auto& m : parse(text)) {
                if (i == 0 && m->name != "/a\r") return false;
                if (i == 1 && (m || m.error().line != 2 || m.error().offset != 27 + 22)) return false;
                if (i == 2 && m->name != "/c\r") return false;
                ++i;
            }
            return i == 3;
        });
    }

    TEST_CASE("is not stopped by a NUL") {
        CHECK_TWICE([] {
            constexpr auto text = "1000-2000 r--p 0 0:0 0 /a\0b\n2000\0-3000 r--p 0 0:0 0\n\0\n3000-4000 r--p 0 0:0 0\n"sv;
            const auto lines = parse(text);
            return count(text) == 4 && count_good(text) == 2 && (*lines.begin())->name == "/a\0b"sv;
        });
    }

    TEST_CASE("reads nothing behind its text") {
        guarded memory{32 << 10};
        for (std::size_t size = 0; size <= three_lines.size(); ++size) {
            const auto text = memory.at_the_end(three_lines.substr(0, size));
            CHECK(count(text) == static_cast<int>(split(text, '\n').size()));
        }
    }
}

}  // namespace
