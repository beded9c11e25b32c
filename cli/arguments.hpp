// A command's arguments, and the numbers, addresses and targets among them.
#pragma once

#include "output.hpp"

#include <procmap/maps.hpp>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace cli {

/// A command's arguments. All text is argv's.
struct arguments {
    std::vector<std::string_view> positional;
    procmap::open_options how;
    procmap::filters only;
    const char* from = nullptr;
    double interval = 1;
    std::optional<std::uint64_t> count;
    bool next = false;
    bool build_ids = false;
    bool page_sizes = false;
    bool summary = false;
    bool all = false;
    bool json = false;
};

/// All of `text` as a number.
template <class Number>
std::optional<Number> number(std::string_view text, int base) {
    Number value{};
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (code != std::errc{} || end != text.data() + text.size()) return {};
    return value;
}

/// All of `text` as an ADDRESS.
inline std::optional<std::uint64_t> parse_address(std::string_view text) {
    const bool prefixed = text.starts_with("0x") || text.starts_with("0X");
    return number<std::uint64_t>(text.substr(prefixed ? 2 : 0), 16);
}

inline constexpr char no_address[] = "no ADDRESS (hexadecimal, 64 bits): ";

inline bool is_decimal(std::string_view text) {
    return text.find_first_not_of("0123456789") == text.npos;
}

/// Which addresses are asked about, and of whom.
struct question {
    /// Decimal digits are a TARGET where at least so many arguments are given.
    question(const arguments& a, const char* command, std::size_t least_with_pid) {
        const auto is_target = [&](std::string_view text) {
            return text == "self" || text.find('/') != text.npos || (is_decimal(text) && a.positional.size() >= least_with_pid);
        };
        const bool named = !a.from && !a.positional.empty() && is_target(a.positional.front());
        if (named) target = a.positional.front();
        for (std::size_t i = named ? 1 : 0; i < a.positional.size(); ++i) {
            const auto address = parse_address(a.positional[i]);
            if (!address) usage_error(no_address + std::string(a.positional[i]), command);
            addresses.push_back(*address);
        }
    }

    std::string_view target = "self";
    std::vector<std::uint64_t> addresses;
};

/// The one TARGET that a command takes, if any.
inline std::string_view only_target(const arguments& a, const char* command) {
    if (a.from && (a.build_ids || a.page_sizes))
        usage_error("what is recorded is in the recording: no such option with --from", command);
    if (a.positional.size() > (a.from ? 0 : 1))
        usage_error(a.from ? "no TARGET goes with --from" : "more than one TARGET", command);
    return a.positional.empty() ? "self" : a.positional.front();
}

}  // namespace cli
