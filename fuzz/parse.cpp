// Fuzzes the line parser. Compares verdict and fields of each line with the slow reference parser, checks that a printed line reads back
// the same, and checks the line numbers of parse().
#include "fuzz.hpp"

#include "../tests/support/reference_parser.hpp"

#include <string>

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
    return 0;
}
