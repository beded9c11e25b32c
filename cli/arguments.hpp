// The arguments of a command.
#pragma once

#include "output.hpp"

#include <charconv>
#include <vector>

namespace cli {

/// The arguments of a command, which borrow from argv.
struct arguments {
    std::vector<std::string_view> positional;
    procmap::open_options how;
    procmap::filters only;
    const char* from = nullptr;
    const char* name = nullptr;
    double interval = 1;
    std::optional<std::uint64_t> count;
    bool next = false;
    bool build_ids = false;
    bool page_sizes = false;
    bool long_form = false;
    bool summary = false;
    bool all = false;
    bool json = false;
};

/// Parses the whole text as a number.
template <class Number>
std::optional<Number> number(std::string_view text, int base) {
    Number value{};
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (code != std::errc{} || end != text.data() + text.size()) return {};
    return value;
}

inline bool is_decimal(std::string_view text) {
    return text.find_first_not_of("0123456789") == text.npos;
}

}  // namespace cli
