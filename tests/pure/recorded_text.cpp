// Recorded text, compared line by line with a second parser.
#include "printed.hpp"
#include "test_data.hpp"
#include "../support/guarded.hpp"
#include "../support/reference_parser.hpp"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/text.hpp>

using namespace support;
using namespace procmap;
using namespace std::string_view_literals;
using reference_parser::agree;
using reference_parser::read_slowly;
using reference_parser::reference;
using reference_parser::same_fields;

namespace {

TEST_SUITE("recorded text") {
    TEST_CASE("edge cases are read, refused or left alone as each line's verdict says") {
        const std::string text = contents("edge_cases.tsv");
        const auto cases = edge_cases(text);
        REQUIRE(cases.size() >= 91);
        REQUIRE(cases.size() == static_cast<std::size_t>(std::ranges::count(text, '\n')) - 1);
        std::size_t ok = 0, bad = 0, lenient = 0;
        for (const edge_case& each : cases) {
            CAPTURE(each.line);
            const auto m = parse_line(each.line);
            CHECK(agree(each.line));
            if (each.verdict == "ok") {
                ++ok;
                REQUIRE(m);
                CHECK(decode(m->name) == each.name);
                CHECK((m->name_status == name_state::escaped) == (m->name != each.name));
            } else if (each.verdict == "bad") {
                ++bad;
                REQUIRE(!m);
                CHECK(m.error() == errc::malformed);
                CHECK(m.error().at == step::parse);
                CHECK(m.error().offset <= each.line.size());
            } else {
                ++lenient;
                REQUIRE(each.verdict == "lenient");
                if (m) CHECK(m->name == each.name);  // as it stands: text alone cannot tell whether `\012` was a newline
                if (m && m->name.find("\\012") != std::string_view::npos) CHECK(m->name_status == name_state::escaped);
            }
        }
        CHECK(ok + bad + lenient == cases.size());
        CHECK((ok >= 46 && bad >= 40 && lenient >= 5));
    }

    TEST_CASE("a strange process reads the same in text as through the ioctl") {
        const std::string maps = contents("strange_process.maps");
        const std::string queries = contents("strange_process.ioctl.txt");
        const auto lines = split(maps, '\n');
        auto answers = split(queries, '\n');
        REQUIRE(answers.back() == "END ENOENT");
        answers.pop_back();
        REQUIRE(lines.size() == answers.size() + 1);
        REQUIRE(parse_line(lines.back())->name == "[vsyscall]");  // only text lists it

        int too_long = 0, ambiguous = 0;
        for (std::size_t i = 0; i < answers.size(); ++i) {
            const std::string_view answer = answers[i];
            CAPTURE(std::string{answer.substr(0, 100)});
            const auto m = parse_line(lines[i]);
            REQUIRE(m);
            if (answer.find(" ENAMETOOLONG") == 25) {  // no fields then, but for the addresses
                ++too_long;
                CHECK(lines[i].starts_with(answer.substr(0, 26)));
                CHECK(m->name.size() > 4096);
                continue;
            }
            const reference fields = read_slowly(answer.substr(0, answer.find(" ps=")));
            REQUIRE(fields.good);
            CHECK(same_fields(*m, fields));
            const std::size_t begin = answer.find(" name=\"") + 7;
            const std::string name = unescape(answer.substr(begin, answer.size() - 1 - begin));
            const std::string size = " namesz=" + std::to_string(name.empty() ? 0 : name.size() + 1) + ' ';
            REQUIRE(answer.find(size) != std::string_view::npos);
            const bool literal = name.find("\\012") != std::string::npos;  // which text cannot tell from a newline
            ambiguous += literal ? 1 : 0;
            CHECK((literal ? std::string{m->name} : decode(m->name)) == name);
            const bool decoded = m->name.find("\\012") != std::string_view::npos;
            CHECK(m->name_status == (decoded ? name_state::escaped : name_state::exact));
        }
        CHECK(too_long == 1);
        CHECK(ambiguous == 1);
    }

    TEST_CASE("what a kernel wrote is printed again byte for byte") {
        std::size_t count = 0;
        for (const char* name : {"strange_process.maps", "realistic_10k.maps"}) {
            const std::string text = contents(name);
            for (const std::string_view line : split(text, '\n')) {
                const auto m = parse_line(line);
                if (!m || printed(*m) != line || streamed(*m) != line) FAIL("not printed as it was read: ", std::string{line});
                ++count;
            }
        }
        CHECK(count == 10077);
    }

    TEST_CASE("parser and reference agree on every line and on every truncation of it, and nothing behind it is read") {
        const std::string strange = contents("strange_process.maps");
        const std::string realistic = contents("realistic_10k.maps");
        const std::string edges = contents("edge_cases.tsv");
        const auto cases = edge_cases(edges);
        auto lines = split(realistic, '\n');
        REQUIRE(lines.size() == 10000);
        for (const std::string_view line : lines) require_agreement(line);
        lines.resize(500);
        std::ranges::copy(split(strange, '\n'), std::back_inserter(lines));
        for (const edge_case& each : cases)
            if (each.verdict == "ok") lines.push_back(each.line);
        REQUIRE(lines.size() >= 500 + 77 + 46);

        guarded memory{32 << 10};
        std::size_t good = 0, bad = 0;
        for (const std::string_view line : lines) {
            REQUIRE(read_slowly(line).good);
            for (std::size_t size = 0; size <= line.size(); ++size) {
                const auto text = memory.at_the_end(line.substr(0, size));
                require_agreement(text);
                ++(parse_line(text) ? good : bad);
            }
        }
        CHECK(good > lines.size());
        CHECK(bad > 20 * lines.size());
    }

    TEST_CASE("parser and reference agree whichever byte of a line is replaced") {
        const std::string edges = contents("edge_cases.tsv");
        const auto cases = edge_cases(edges);
        std::vector<std::string> lines = {
            "7febc5344000-7febc5346000 r-xp 1234567890abcdef 12345678:9abcdef0 18446744073709551615  /behind a long head",
            "fffffffffffff000-ffffffffffffffff ---s ffffffffffffffff ffffffff:ffffffff 18446744073709551610 ",
            "7febc5344000-7febc5346000 r-xp 00000000 12345678:12345678 1234567890123   a blank of its own",
            "b7c79000-b7e02000 r--p 00000000 08:01 60662705   /lib/a\\012b"};
        for (std::size_t i = 0; i < cases.size(); ++i)
            if (cases[i].verdict == "ok" && cases[i].line.size() < 160 && i % 2 == 0) lines.push_back(cases[i].line);
        REQUIRE(lines.size() >= 20);

        guarded memory{32 << 10};
        std::size_t good = 0, bad = 0;
        for (const std::string& line : lines) {
            for (std::size_t i = 0; i < line.size(); ++i) {
                for (const char c : " 09afgAF-:prwxs/\\\t\n\0\x80\xff"sv) {
                    std::string changed = line;
                    changed[i] = c;
                    const auto text = memory.at_the_end(changed);
                    require_agreement(text);
                    ++(parse_line(text) ? good : bad);
                }
            }
        }
        CHECK(good > 1000);
        CHECK(bad > 1000);
    }
}

}  // namespace
