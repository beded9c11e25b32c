// Names in a line: where they begin, which bytes they keep, and how they are printed.
#include "printed.hpp"
#include "lines.hpp"
#include "../support/check_twice.hpp"

#include <cstddef>
#include <iterator>
#include <string_view>

#include <doctest/doctest.h>

#include <procmap/text.hpp>

using namespace support;
using namespace procmap;
using namespace std::string_view_literals;

namespace {

TEST_SUITE("a name") {
// Heads as a 64-bit kernel pads them: 73 bytes.
#define HEAD_64 "7febc5344000-7febc5346000 r-xp 00000000 00:28 2                          "
#define LOW_64 "00010000-00011000 r--p 00000000 00:00 0                                  "
    static_assert(std::size(HEAD_64) == 73 + 1 && std::size(LOW_64) == 73 + 1);

    TEST_CASE("starts at byte 73 where a 64-bit kernel wrote it") {
        CHECK_TWICE([] { return names(HEAD_64 "/inmnt.so", "/inmnt.so"); });
        CHECK_TWICE([] { return names(LOW_64 "[low]", "[low]"); });
    }

    TEST_CASE("starts at byte 49 where a 32-bit kernel wrote it") {
        CHECK_TWICE([] { return names("08056000-08077000 rw-p 00000000 00:00 0          [heap]", "[heap]", name_column_32); });
        CHECK_TWICE([] {
            return names("08056000-08077000 rw-p 00000000 08:01 60662705   /lib/a b", "/lib/a b", name_column_32);
        });
    }

    TEST_CASE("starts after the padding, whatever its width: no kernel writes a name that begins with a blank") {
        CHECK_TWICE([] { return name_of("100000000-100001000 rw-p 00000000 00:00 0          a") == "a"; });
        CHECK_TWICE([] { return name_of("00400000-0047b000 r-xp 00000000 00:00 1234567     /bin/app") == "/bin/app"; });  // FreeBSD
        CHECK_TWICE([] { return name_of("ffffd000-ffffe000 r-xp 00000000 00:00 0           [vdso]") == "[vdso]"; });
        CHECK_TWICE([] { return name_of("08056000-08077000 rw-p 00000000 00:00 0            two more") == "two more"; });
        CHECK_TWICE([] { return name_of("fffff000-100000000 rw-p 00000000 00:00 0          one more") == "one more"; });
        CHECK_TWICE([] { return name_of("08056000-08077000 rw-p 00000000 00:00 0 /one blank") == "/one blank"; });
        CHECK_TWICE([] {
            char line[200] = HEAD_64;
            for (std::size_t at = std::size(HEAD_64) - 1; at < 190; ++at) {
                line[at] = 'x';
                if (name_of({line, at + 1}) != "x") return false;
                line[at] = ' ';
                if (!name_of({line, at + 1}).empty() || !name_of({line, at}).empty()) return false;
            }
            return true;
        });
    }

    TEST_CASE("starts two blanks after the inode where the head is long") {
        CHECK_TWICE([] {  // the head ends one byte short of the column, at it, and beyond it
            return names("7febc5344000-7febc5346000 r-xp 00000000 12345678:12345678 1234567890123  /x", "/x") &&
                   names("7febc5344000-7febc5346000 r-xp 00000000 12345678:12345678 12345678901234  /x", "/x") &&
                   names("7febc5344000-7febc5346000 r-xp 00000000 12345678:12345678 123456789012345  /x", "/x") &&
                   names("7febc5344000-7febc5346000 r-xp 00000000 12345678:12345678 1234567890123456  /x", "/x");
        });
        CHECK_TWICE([] {
            return names("ffffffff81000000-ffffffff82000000 r-xp 123456789abcdef0 12345678:12345678 18446744073709551615  x", "x");
        });
        CHECK_TWICE([] {  // the same around the 32-bit column
            return names("08056000-08077000 rw-p 00000000 08:01 12345678   /x", "/x", name_column_32) &&
                   names("08056000-08077000 rw-p 00000000 08:01 123456789  /x", "/x", name_column_32) &&
                   names("08056000-08077000 rw-p 00000000 08:01 1234567890  /x", "/x", name_column_32);
        });
    }

    TEST_CASE("keeps blanks of its own: after and between") {
        CHECK_TWICE([] { return names(HEAD_64 "behind   ", "behind   "); });
        CHECK_TWICE([] { return names(HEAD_64 "a  b   c", "a  b   c"); });
        CHECK_TWICE([] { return names(LOW_64 "low ", "low "); });
    }

    TEST_CASE("of a mapping without a file that ends with CR is refused: the text has CR LF") {
        CHECK_TWICE([] { return refused_at(LOW_64 "[heap]\r", 79) && refused_at("1-2 r--p 0 0:0 0 \r", 17); });
        CHECK_TWICE([] { return names(HEAD_64 "/cr\r", "/cr\r") && names(LOW_64 "[a\rb]", "[a\rb]"); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 0:0 0\r", 16); });
    }

    TEST_CASE("keeps every byte that is not a newline") {
        CHECK_TWICE([] {
            return names(HEAD_64 "/cr\r tab\t esc\x1b[31m bell\x07", "/cr\r tab\t esc\x1b[31m bell\x07");
        });
        CHECK_TWICE([] { return names(HEAD_64 "/\xff\xfe\x80\xc0\xe6\x97", "/\xff\xfe\x80\xc0\xe6\x97"); });
        CHECK_TWICE([] { return names(HEAD_64 "/nul\0in it"sv, "/nul\0in it"sv); });
        CHECK_TWICE([] {  // other escapes mean nothing
            return names(HEAD_64 "/\\n\\011\\01 2\\", "/\\n\\011\\01 2\\");
        });
        CHECK_TWICE([] { return names(HEAD_64 "/gone (deleted) (deleted)", "/gone (deleted) (deleted)"); });
    }

    TEST_CASE("in which a newline is escaped is marked, and not escaped again") {
        CHECK_TWICE([] {
            constexpr std::string_view line = HEAD_64 "/new\\012line\\012";
            const auto m = parse_line(line);
            return m && m->name == "/new\\012line\\012" && m->name_status == name_state::escaped &&
                   print_short(*m).view() == line;
        });
    }

    TEST_CASE("with a newline in it is printed with the escape for it") {
        constexpr auto ends_with = [](std::string_view name, std::string_view expected) {
            const mapping m{.start = 0x10000, .end = 0x11000, .permissions = perm::read, .name = name};
            const text_buffer out = print_short(m);
            return out.view().substr(0, 73) == LOW_64 && out.view().substr(73) == expected;
        };
        CHECK_TWICE([=] { return ends_with("/new\nline", "/new\\012line") && ends_with("\n", "\\012"); });
        CHECK_TWICE([=] { return ends_with("\na\n\nb\n", "\\012a\\012\\012b\\012"); });
        CHECK_TWICE([=] { return ends_with("/both\n\\012", "/both\\012\\012"); });
    }
}

}  // namespace
