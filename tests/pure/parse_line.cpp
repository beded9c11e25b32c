// Parsing one line: its fields, and where it is refused.
#include "lines.hpp"
#include "../support/check_twice.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <doctest/doctest.h>

#include <procmap/text.hpp>

using namespace support;
using namespace procmap;
using namespace std::string_view_literals;

namespace {

TEST_SUITE("a line") {
    TEST_CASE("gives every field") {
        CHECK_TWICE([] {
            const auto m = parse_line("7febc5346000-7febc5348000 r-xs 7fffffff000 fe:01 10978557                /huge offset");
            return m && m->start == 0x7febc5346000 && m->end == 0x7febc5348000 && m->permissions.bits() == 0x0d &&
                   m->offset == 0x7fffffff000 && m->device == device_number{0xfe, 1} && m->inode == 10978557 &&
                   m->name == "/huge offset" && m->name_status == name_state::exact && m->page_size == 0 &&
                   !m->build_id_known && m->build_id.empty() && m.error() == error{};
        });
        CHECK_TWICE([] {
            constexpr std::string_view set = "rwxs", clear = "---p";
            for (std::uint32_t bits = 0; bits < 16; ++bits) {
                char line[] = "1000-2000 ???? 0 0:0 0";
                for (unsigned i = 0; i < 4; ++i) line[10 + i] = (bits >> i & 1) != 0 ? set[i] : clear[i];
                if (parse_line(line)->permissions.bits() != bits) return false;
            }
            return true;
        });
    }

    TEST_CASE("may end behind the inode, with or without a blank") {
        CHECK_TWICE([] { return accepted("00001000-00002000 r--p 00000000 00:00 0"); });
        CHECK_TWICE([] { return names("00001000-00002000 r--p 00000000 00:00 0 ", ""); });
        CHECK_TWICE([] { return name_of("00001000-00002000 r--p 00000000 00:00 0     ").empty(); });
        CHECK_TWICE([] { return accepted("1-2 r--p 0 0:0 0 x") && name_of("1-2 r--p 0 0:0 0 x") == "x"; });
    }

    TEST_CASE("that ends too early is refused at its end") {
        CHECK_TWICE([] {
            constexpr std::string_view line = "00001000-00002000 r--p 00000000 00:00 0";
            for (std::size_t n = 0; n < line.size(); ++n)
                if (!refused_at(line.substr(0, n), n)) return false;
            return true;
        });
    }

    TEST_CASE("that is not even there is refused") {
        CHECK_TWICE([] { return refused_at("", 0) && refused_at(std::string_view{}, 0); });
    }

    TEST_CASE("holds numbers of up to 64 bits, 32 for each half of the device") {
        CHECK_TWICE([] {
            const auto m = parse_line(
                "ffffffffffff0000-ffffffffffffffff r--p ffffffffffffffff ffffffff:ffffffff 18446744073709551615");
            return m && m->start == 0xffffffffffff0000 && m->end == UINT64_MAX && m->offset == UINT64_MAX &&
                   m->device == device_number{UINT32_MAX, UINT32_MAX} && m->inode == UINT64_MAX;
        });
        CHECK_TWICE([] { return accepted("0000000000000001-0000000000000002 r--p 0000000000000003 00000000:00000001 0"); });
        CHECK_TWICE([] { return refused_at("10000000000000000-20000000000000000 r--p 0 0:0 0", 16); });
        CHECK_TWICE([] { return refused_at("00000000000000001-2 r--p 0 0:0 0", 16); });
        CHECK_TWICE([] { return refused_at("1-10000000000000000 r--p 0 0:0 0", 18); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 10000000000000000 0:0 0", 25); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 100000000:0 0", 19); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 000000001:0 0", 19); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 0:100000000 0", 21); });
    }

    TEST_CASE("is refused at the digit with which its inode overflows") {
        CHECK_TWICE([] { return parse_line("1-2 r--p 0 0:0 18446744073709551609")->inode == 18446744073709551609u; });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 0:0 18446744073709551616", 34); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 0:0 18446744073709551620", 34); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 0:0 99999999999999999999", 34); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 0:0 36893488147419103232", 34); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 0:0 184467440737095516150", 35); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 0:0 000000000000000000000", 35); });  // zeros are digits
    }

    TEST_CASE("in upper case is refused") {
        CHECK_TWICE([] { return refused_at("A-b r--p 0 0:0 0", 0) && refused_at("a-B r--p 0 0:0 0", 2); });
        CHECK_TWICE([] { return refused_at("a-b R--p 0 0:0 0", 4) && refused_at("a-b r--P 0 0:0 0", 7); });
        CHECK_TWICE([] { return refused_at("a-b r--p F 0:0 0", 9) && refused_at("a-b r--p 0F 0:0 0", 10); });
        CHECK_TWICE([] { return refused_at("a-b r--p 0 F:0 0", 11) && refused_at("a-b r--p 0 0:F 0", 13); });
        CHECK_TWICE([] { return refused_at("a-b r--p 0 0:0 a", 15) && refused_at("a-b r--p 0 0:0 0a", 16); });
    }

    TEST_CASE("with characters next to the digits in ASCII is refused") {
        CHECK_TWICE([] {
            for (const char c : "/:`g@G \t\n\0\x7f\x80\xff+-x"sv) {
                char line[] = "1?-2000 r--p 0 0:0 0";
                line[1] = c;
                if (accepted(line)) return false;
            }
            return true;
        });
    }

    TEST_CASE("of a mapping of zero length is given as it stands: old 32-bit kernels and Android list guards so") {
        CHECK_TWICE([] {
            const auto m = parse_line("1000-1000 ---p 0 0:0 0 [page size compat]");
            return m && m->start == 0x1000 && m->end == 0x1000 && m->size() == 0 && !m->contains(0x1000) && m->name == "[page size compat]";
        });
        CHECK_TWICE([] { return accepted("0-0 r--p 0 0:0 0"); });
    }

    TEST_CASE("may write shared as S (kernels without MMU) and private as - (WSL1), and nothing else as these") {
        CHECK_TWICE([] { return parse_line("1-2 rw-S 0 0:0 0")->permissions == (perm::read | perm::write | perm::shared); });
        CHECK_TWICE([] { return parse_line("1-2 r-x- 0 0:0 0")->permissions == (perm::read | perm::execute); });
        CHECK_TWICE([] { return parse_line("1-2 ---- 0 0:0 0")->permissions.empty(); });
        CHECK_TWICE([] { return refused_at("1-2 S--p 0 0:0 0", 4) && refused_at("1-2 -S-p 0 0:0 0", 5) && refused_at("1-2 --Sp 0 0:0 0", 6); });
        CHECK_TWICE([] { return refused_at("1-2 ---P 0 0:0 0", 7) && refused_at("1-2 ---r 0 0:0 0", 7) && refused_at("1-2 --- 0 0:0 0", 7); });
    }

    TEST_CASE("of an inverted mapping is refused") {
        CHECK_TWICE([] { return refused_at("2000-1fff r--p 0 0:0 0", 0) && accepted("1fff-2000 r--p 0 0:0 0"); });
        CHECK_TWICE([] { return refused_at("ffffffffffffffff-0 r--p 0 0:0 0", 0) && accepted("0-1 r--p 0 0:0 0"); });
    }

    TEST_CASE("with blanks where there are none is refused") {
        CHECK_TWICE([] { return refused_at(" 1-2 r--p 0 0:0 0", 0) && refused_at("\t1-2 r--p 0 0:0 0", 0); });
        CHECK_TWICE([] { return refused_at("1-2  r--p 0 0:0 0", 4) && refused_at("1-2 r--p  0 0:0 0", 9); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0  0:0 0", 11) && refused_at("1-2 r--p 0 0:0  0", 15); });
        CHECK_TWICE([] { return refused_at("1 -2 r--p 0 0:0 0", 1) && refused_at("1-2\tr--p 0 0:0 0", 3); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 0:0 0\t/x", 16) && refused_at("1-2 r--p 0 0:0 0/x", 16); });
    }

    TEST_CASE("borrows, so a temporary string is refused by the compiler") {
        struct other_string {
            operator std::string_view() const { return "text"; }
        };
        struct derived_string : std::string {};
        constexpr auto line = []<class T>(std::type_identity<T>) {
            return requires(T&& t) { parse_line(std::forward<T>(t)); };
        };
        constexpr auto text = []<class T>(std::type_identity<T>) {
            return requires(T&& t) { parse(std::forward<T>(t)); };
        };
        constexpr auto both = [=]<class T>(std::type_identity<T> t) { return line(t) && text(t); };
        constexpr auto neither = [=]<class T>(std::type_identity<T> t) { return !line(t) && !text(t); };
        static_assert(neither(std::type_identity<std::string>{}) && neither(std::type_identity<const std::string>{}));
        static_assert(neither(std::type_identity<derived_string>{}) && neither(std::type_identity<other_string>{}));
        static_assert(both(std::type_identity<std::string&>{}) && both(std::type_identity<const std::string&>{}));
        static_assert(both(std::type_identity<const char (&)[5]>{}) && both(std::type_identity<const char*>{}));
        static_assert(both(std::type_identity<std::string_view>{}) && both(std::type_identity<const std::string_view>{}));
        static_assert(both(std::type_identity<std::string_view&>{}) && both(std::type_identity<other_string&>{}));
        const std::string lvalue = "1-2 r--p 0 0:0 0 name";
        CHECK(parse_line(lvalue)->name.data() == lvalue.data() + 17);
    }
}

}  // namespace
