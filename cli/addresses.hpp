// The addresses that a command looks up: from its arguments or from standard input.
#pragma once

#include "arguments.hpp"

namespace cli {

/// Parses the whole text as an ADDRESS.
inline std::optional<std::uint64_t> parse_address(std::string_view text) {
    const bool prefixed = text.starts_with("0x") || text.starts_with("0X");
    return number<std::uint64_t>(text.substr(prefixed ? 2 : 0), 16);
}

inline std::string invalid_address(std::string_view text, const char* more = "") {
    return "invalid address '" + std::string(text) + more + "': expected a hexadecimal number of at most 64 bits";
}

/// The TARGET and the ADDRESSes among the arguments.
struct address_arguments {
    /// Decimal digits are a TARGET if there are at least `least_with_pid` arguments.
    address_arguments(const arguments& a, std::size_t least_with_pid) {
        const auto is_target = [&](std::string_view text) {
            return text == "self" || text.find('/') != text.npos || (is_decimal(text) && a.positional.size() >= least_with_pid);
        };
        for (const std::string_view& text : a.positional) {
            if (!a.from && &text == &a.positional.front() && is_target(text)) {
                target = text;
            } else if (const auto address = parse_address(text)) {
                addresses.push_back(*address);
            } else {
                usage_error(invalid_address(text));
            }
        }
    }

    std::string_view target = "self";
    std::vector<std::uint64_t> addresses;
};

/// Reads addresses from standard input and passes them to `resolve` as they arrive, up to 4096 at a time. Reports and skips
/// invalid addresses. Returns the exit status.
int read_addresses(const auto& resolve) {
    constexpr std::size_t longest = 40;  // an address has 18 characters, and may have more leading zeros
    int status = done;
    std::vector<std::uint64_t> addresses;
    std::uint64_t resolved = 0;
    const auto resolve_all = [&] {
        if (!addresses.empty()) resolve(addresses);
        resolved += addresses.size();
        addresses.clear();
        if (!is_terminal(STDOUT_FILENO)) progress::show(resolved, "addresses");  // a terminal shows the results
        flush();
    };
    std::string word;  // the current word, up to `longest` + 1 characters
    const auto take_word = [&] {
        if (const auto address = parse_address(word); address && word.size() <= longest) {
            addresses.push_back(*address);
        } else {
            resolve_all();
            report("standard input: " + invalid_address(word.substr(0, longest), word.size() > longest ? "..." : ""));
            status = failed;
        }
        word.clear();
        if (addresses.size() == 4096) resolve_all();
    };
    for (ssize_t n = 1; n != 0;) {
        char chunk[1 << 16];
        n = ::read(STDIN_FILENO, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail(std::string("cannot read standard input: ") + std::strerror(errno));
        for (const char c : n == 0 ? "\n" : std::string_view(chunk, static_cast<std::size_t>(n))) {
            const bool blank = std::string_view(" \t\n\v\f\r").find(c) != std::string_view::npos;
            if (blank && !word.empty()) take_word();
            if (!blank && word.size() <= longest) word += c;
        }
        resolve_all();
    }
    progress::clear();
    return status;
}

}  // namespace cli
