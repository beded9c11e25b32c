// What parse_options tolerate, and nothing else.
#include "../support/check_twice.hpp"

#include <cstddef>
#include <ostream>  // doctest prints errors
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/snapshot.hpp>
#include <procmap/text.hpp>
#include <procmap/text_walk.hpp>

using namespace procmap;

namespace {

constexpr std::string_view line = "00400000-0040b000 r-xp 00001000 fd:01 1311                               /opt/my app";

constexpr bool is_it(const result<mapping>& m, std::string_view name = "/opt/my app") {
    return m && m->start == 0x400000 && m->end == 0x40b000 && m->permissions == (perm::read | perm::execute) && m->offset == 0x1000 &&
           m->device == device_number{0xfd, 1} && m->inode == 1311 && m->name == name && m->name_status == name_state::exact;
}
constexpr bool malformed_at(const result<mapping>& m, std::size_t byte) { return m.error() == errc::malformed && m.error().offset == byte; }

constexpr parse_options tolerant{.blanks = true, .carriage_return = true, .prefix = true};

std::size_t walk_size(const std::string& text) {
    char buffer[text_walk_room];
    text_walk walk{[rest = std::string_view{text}](std::span<char> to) mutable {
        const std::size_t n = rest.copy(to.data(), to.size());
        rest.remove_prefix(n);
        return static_cast<std::ptrdiff_t>(n);
    }, buffer, tolerant};
    std::size_t size = 0;
    for ([[maybe_unused]] const mapping& m : walk) ++size;
    return size;
}

TEST_SUITE("parse_options") {
    TEST_CASE("change nothing in lines that Linux writes") {
        CHECK_TWICE([] {
            return is_it(parse_line(line)) && is_it(parse_line(line, tolerant)) && is_it(parse_line(line, {.blanks = true})) &&
                   is_it(parse_line(line, {.carriage_return = true})) && is_it(parse_line(line, {.prefix = true}));
        });
    }

    TEST_CASE("blanks: any number of blanks and tabs where the kernel writes one, and before the line") {
        static constexpr std::string_view loose = " \t 00400000-0040b000  r-xp\t00001000 \t fd:01   1311\t/opt/my app";
        CHECK_TWICE([] { return is_it(parse_line(loose, {.blanks = true})) && malformed_at(parse_line(loose), 0); });
        CHECK_TWICE([] {
            return malformed_at(parse_line("00400000-0040b000  r-xp 0 0:0 0"), 18) && malformed_at(parse_line("00400000-0040b000 r-xp  0 0:0 0"), 23) &&
                   malformed_at(parse_line("00400000-0040b000\tr-xp 0 0:0 0"), 17) && malformed_at(parse_line("00400000-0040b000 r-xp 0 0:0 0\t"), 30);
        });
        CHECK_TWICE([] {
            // Not inside of a field, and not without one.
            return !parse_line("00400000 -0040b000 r-xp 0 0:0 0", {.blanks = true}) && !parse_line("00400000-0040b000 r- xp 0 0:0 0", {.blanks = true}) &&
                   !parse_line("00400000-0040b000r-xp 0 0:0 0", {.blanks = true}) && !parse_line("   ", {.blanks = true}) && !parse_line("", {.blanks = true});
        });
        CHECK_TWICE([] { return parse_line("00400000-0040b000 r-xp 0 0:0 0 \t ", {.blanks = true})->name.empty(); });
        CHECK_TWICE([] {  // a tab is a byte of a name that follows other bytes
            return parse_line("00400000-0040b000 r-xp 0 0:0 1 \t/a\t", {.blanks = true})->name == "/a\t" && parse_line("00400000-0040b000 r-xp 0 0:0 1 \t/a")->name == "\t/a";
        });
    }

    TEST_CASE("blanks: the byte of an error is that of the line as it stands") {
        CHECK_TWICE([] {
            return malformed_at(parse_line(" \t 1000-2000 r-xq 0 0:0 0", {.blanks = true}), 16) && malformed_at(parse_line("  ", {.blanks = true}), 2) &&
                   malformed_at(parse_line(" \t 1000-2000 r-xq 0 0:0 0 x", tolerant), 16);
        });
    }

    TEST_CASE("carriage_return: one CR at the end") {
        static constexpr std::string_view with_cr = "00400000-0040b000 r-xp 00001000 fd:01 1311                               /opt/my app\r";
        CHECK_TWICE([] { return is_it(parse_line(with_cr, {.carriage_return = true})) && is_it(parse_line(with_cr), "/opt/my app\r"); });
        CHECK_TWICE([] {
            return parse_line("1000-2000 r-xp 0 0:0 0\r", {.carriage_return = true}) && malformed_at(parse_line("1000-2000 r-xp 0 0:0 0\r"), 22) &&
                   parse_line("1000-2000 r-xp 0 0:0 0 [heap]\r", {.carriage_return = true})->name == "[heap]" &&
                   malformed_at(parse_line("1000-2000 r-xp 0 0:0 0 [heap]\r\r", {.carriage_return = true}), 30) &&
                   malformed_at(parse_line("\r", {.carriage_return = true}), 0);
        });
    }

    TEST_CASE("prefix: what a log put before the line") {
        for (const char* const before : {"[  12.345678] ", "2026-01-02 03:04:05.678 I/proc(42): ", "| ", "pid-", "maps:", "7f00-8f00 ", "\t", "<6>"}) {
            const std::string text = before + std::string{line};
            CAPTURE(before);
            CHECK(is_it(parse_line(std::string_view{text}, {.prefix = true})));
            CHECK(parse_line(std::string_view{text}).error() == errc::malformed);
        }
        CHECK_TWICE([] {  // the line does not begin inside of a number or a word
            return !parse_line("x1000-2000 r-xp 0 0:0 0", {.prefix = true}) && !parse_line("0x1000-2000 r-xp 0 0:0 0", {.prefix = true}) &&
                   !parse_line("Z1000-2000 r-xp 0 0:0 0", {.prefix = true}) && !parse_line("12345678901234567890-2 r-xp 0 0:0 0", {.prefix = true});
        });
        CHECK_TWICE([] {  // the error is that of the line as it stands
            return malformed_at(parse_line("1000-2000 r-xq 0 0:0 0 /a b c", {.prefix = true}), 13) && malformed_at(parse_line("note", {.prefix = true}), 0);
        });
        CHECK_TWICE([] {  // flags of what looked like a line do not stay
            return parse_line("1-2 rwxs 0 0: 1000-2000 r--p 0 0:0 0", {.prefix = true})->permissions == permission_set{perm::read};
        });
        CHECK(is_it(parse_line("12:34  00400000-0040b000   r-xp 00001000 fd:01 1311 /opt/my app\r", tolerant)));
    }

    TEST_CASE("are used by parse, recordings and snapshots, and a line that is malformed can be had") {
        static constexpr std::string_view text = "log: 1000-2000 r--p 0 0:0 0 [heap]\r\nBuildID: 00ff\r\nlog: what\r\n";
        std::vector<std::string> seen;
        const parsed_lines lines = parse(text, tolerant);
        for (auto i = lines.begin(); i != lines.end(); ++i) seen.push_back((*i ? "+" : "-") + std::string{i.line()});
        CHECK(seen == std::vector<std::string>{"+log: 1000-2000 r--p 0 0:0 0 [heap]\r", "-BuildID: 00ff\r", "-log: what\r"});
        seen.clear();
        recorded_reader reader{text, tolerant};
        const auto wrong = [&seen](const error& e, std::string_view malformed) {
            seen.push_back(std::to_string(e.line) + std::string{malformed});
            return true;
        };
        REQUIRE(reader.next(wrong));
        CHECK((reader.current().name == "[heap]" && to_string(build_id{reader.current().build_id.bytes()}) == "00ff"));
        CHECK_FALSE(reader.next(wrong));
        CHECK(seen == std::vector<std::string>{"3log: what"});
        CHECK((*snapshot::parse(text, tolerant)).size() == 1);
        CHECK((*snapshot::parse(text)).empty());
    }

    TEST_CASE("prefix: [vectors] of a 32-bit ARM kernel is told by its column in the line, not in the log") {
        const std::string head = "log: ffff0000-ffff1000 r-xp 00000000 00:00 0 ";
        CHECK((*snapshot::parse(head + "         [vectors]\n", tolerant)).empty());
        CHECK((*snapshot::parse(head + "    [vectors]\n", tolerant)).size() == 1);
        CHECK(walk_size(head + "         [vectors]\n") == 0);
        CHECK(walk_size(head + "    [vectors]\n") == 1);
    }

    TEST_CASE("prefix: one that looks like a key of smaps is none, also after a mapping") {
        const std::string text = "1000-2000 r--p 0 0:0 0 /a\nINFO:3000-4000 r--p 0 0:0 0 /b\nE: 5000-6000 r--p 0 0:0 0 /c\nRss:  4 kB\n";
        const snapshot s = snapshot::parse(std::string_view{text}, {.prefix = true}).value();
        REQUIRE(s.size() == 3);
        CHECK((s[1].name == "/b" && s[2].name == "/c"));
        CHECK((*snapshot::parse(std::string_view{text}.substr(text.find("INFO")), {.prefix = true})).size() == 2);
    }

    TEST_CASE("a line whose digits the buffer cuts off is malformed, not another number") {
        for (std::size_t size = 0; size < 400; ++size) {
            const std::string text = std::string(size, '#') + "1000-2000 r--p 00000000 fe:00 1234567 /name\n";
            char buffer[256];
            text_walk walk{[rest = std::string_view{text}](std::span<char> to) mutable {
                const std::size_t n = rest.copy(to.data(), to.size());
                rest.remove_prefix(n);
                return static_cast<std::ptrdiff_t>(n);
            }, buffer, {.prefix = true}};
            const auto at = walk.begin();
            CAPTURE(size);
            if (at == walk.end())
                CHECK((walk.error() == errc::malformed && size > 200));
            else
                CHECK((at->inode == 1234567 && (at->name == "/name" || at->name_status == name_state::too_long)));
        }
    }

    TEST_CASE("what print writes in place of a name is read back as that") {
        for (const name_state state : {name_state::not_asked, name_state::too_long, name_state::no_memory}) {
            std::string text;
            print([&text](std::string_view more) { text += more; }, mapping{.start = 0x1000, .end = 0x2000, .name_status = state});
            const snapshot s = snapshot::parse(std::string_view{text}).value();
            CHECK((s[0].name.empty() && s[0].name_status == state));
            std::string saved;
            print([&saved](std::string_view more) { saved += more; }, s);
            CHECK(saved.find('(') == std::string::npos);  // a saved snapshot says it in a line of its own
            CHECK((*snapshot::parse(std::string_view{saved}))[0].name_status == state);
        }
    }

    TEST_CASE("gate: a recording has [vsyscall] as a mapping, also once it was written and read") {
        constexpr std::string_view text = "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";
        CHECK((*snapshot::parse(text)).empty());
        const auto with = snapshot::parse(text, {.gate = true});
        REQUIRE((with && with->size() == 1));
        CHECK(with->find(0xffffffffff600123)->name == "[vsyscall]");
        std::string written;
        print([&written](std::string_view more) { written += more; }, *with);
        CHECK((*snapshot::parse(std::string_view{written})).size() == 1);
    }
}

}  // namespace
