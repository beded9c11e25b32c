// Whether a line is accepted, and its name.
#pragma once

#include "printed.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <procmap/text.hpp>

namespace support {

using procmap::errc;
using procmap::error;
using procmap::name_column_64;
using procmap::name_state;
using procmap::parse_line;
using procmap::step;

// Whether the line is refused, and at that byte.
constexpr bool refused_at(std::string_view line, std::uint64_t offset) {
    const error expected{.code = errc::malformed, .at = step::parse, .line = 1, .offset = offset};
    return parse_line(line).error() == expected;
}
constexpr bool accepted(std::string_view line) { return parse_line(line).has_value(); }
constexpr std::string_view name_of(std::string_view line) { return parse_line(line)->name; }

// Whether the line has that name, exact, and is printed as it was read.
constexpr bool names(std::string_view line, std::string_view name, std::size_t column = name_column_64) {
    const auto m = parse_line(line);
    return m && m->name == name && m->name_status == name_state::exact && print_short(*m, column).view() == line;
}

}  // namespace support
