// Fuzzes the line parser. Compares verdict and fields of each line with the slow reference parser, checks that a printed line reads back
// the same, and checks the line numbers of parse(). What options tolerate gives the same fields. text_walk, which gets the text in pieces,
// gives what the lines give.
#include "fuzz.hpp"

#include "../tests/support/reference_parser.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include <procmap/text_walk.hpp>

namespace {

bool same(const procmap::mapping& a, const procmap::mapping& b) {
    return a.start == b.start && a.end == b.end && a.offset == b.offset && a.inode == b.inode && a.device == b.device && a.permissions == b.permissions;
}

/// A line that is read strictly is read with each option, and says the same, except that a name loses the CR at its end.
void check_options(std::string_view line, const procmap::result<procmap::mapping>& strict) {
    for (unsigned bits = 1; bits < 8; ++bits) {
        const auto read = procmap::parse_line(line, {.blanks = (bits & 1) != 0, .carriage_return = (bits & 2) != 0, .prefix = (bits & 4) != 0});
        if (!read) fuzz::require(!strict && read.error().offset <= line.size(), "an option takes nothing away");
        if (!read || !strict) continue;
        std::string_view name = strict->name;
        if ((bits & 2) != 0 && name.ends_with('\r')) name.remove_suffix(1);
        if ((bits & 1) != 0) name.remove_prefix(std::min(name.find_first_not_of(" \t"), name.size()));
        fuzz::require(same(*read, *strict) && read->name == name, "an option changes nothing that was right");
    }
}

void check_walk(std::string_view text, std::size_t piece) {
    char buffer[procmap::text_walk_room];
    procmap::text_walk walk{[rest = text, piece](std::span<char> to) mutable {
        const std::size_t n = rest.copy(to.data(), std::min(to.size(), piece));
        rest.remove_prefix(n);
        return static_cast<std::ptrdiff_t>(n);
    }, buffer};
    auto at = walk.begin();
    std::uint64_t above = 0;
    std::size_t end = 0;
    for (const auto& line : procmap::parse(text)) {
        end = std::min(text.find('\n', end), text.size()) + 1;
        if (end > text.size()) break;  // the text ends inside this line
        if (!line) {
            fuzz::require(at == walk.end() && walk.error() == line.error(), "the walk ends at the line that parse rejects");
            return;
        }
        procmap::mapping m = *line;
        const bool gate = !m.file_backed() && (m.name == "[vsyscall]" || m.name == "[vectors]");
        if (m.end <= above || m.start == m.end) continue;
        if (gate && !(at != walk.end() && at->end == m.end)) continue;  // its column tells: tests/pure
        if (m.start < above && m.file_backed()) m.offset += above - m.start;
        m.start = std::max(m.start, above);
        above = m.end;
        fuzz::require(at != walk.end() && same(*at, m), "the walk has the mapping of the line");
        fuzz::require(at->name.data()[at->name.size()] == '\0', "with a NUL after its name");
        ++at;
    }
    fuzz::require(at == walk.end(), "and no others");
    fuzz::require(walk.complete() == (!text.empty() && text.ends_with('\n')), "it is complete if the last line is");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text = fuzz::text(data, size);
    std::size_t at = 0;
    std::uint64_t number = 0;
    for (const auto& parsed : procmap::parse(text)) {
        const std::string_view line = text.substr(at, text.find('\n', at) - at);
        at += line.size() + 1;
        ++number;
        fuzz::require(reference_parser::agree(line), "parser and reference agree");
        fuzz::require(parsed.has_value() == procmap::parse_line(line).has_value(), "parse and parse_line agree");
        check_options(line, parsed);
        if (!parsed) {
            fuzz::require(parsed.error().line == number, "the line's number");
            fuzz::require(parsed.error().offset + line.size() + 1 >= at && parsed.error().offset < at, "the byte lies in the line");
            continue;
        }
        std::string printed;
        procmap::print([&printed](std::string_view part) { printed += part; }, *parsed);
        const auto again = procmap::parse_line(printed);
        fuzz::require(again.has_value(), "what is printed can be read");
        fuzz::require(again->start == parsed->start && again->end == parsed->end && again->offset == parsed->offset &&
                          again->inode == parsed->inode && again->device == parsed->device &&
                          again->permissions == parsed->permissions && again->name == parsed->name,
                      "and is the same");
    }
    fuzz::require(at >= size, "all of the text was read");
    check_walk(text, 1 + size % 97);
    return 0;
}
