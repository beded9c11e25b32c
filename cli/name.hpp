// The names of mappings: as text, and which of them --name selects.
#pragma once

#include "output.hpp"

namespace cli {

/// Returns a name on one line: newlines as \012, like the kernel's text.
inline std::string one_line(std::string_view name) {
    std::string out;
    for (const char c : name) c == '\n' ? out += procmap::escaped_newline : out += c;
    return out;
}

/// True if a pattern matches the whole text: * is any text, ? is any character, and all others are themselves, unlike fnmatch(3),
/// because names such as [heap] have brackets. Takes at most the time of the product of both sizes.
inline bool matches(std::string_view text, std::string_view pattern) {
    bool has_star = false;
    std::string_view after_star, uncovered;  // what follows the last *, and the text that it has not covered yet
    while (!text.empty() || !pattern.empty()) {
        if (pattern.starts_with('*')) {
            pattern.remove_prefix(1);
            has_star = true;
            after_star = pattern;
            uncovered = text;
        } else if (!text.empty() && pattern.starts_with('?')) {
            text.remove_prefix(std::max<std::size_t>(first_character(text).size, 1));
            pattern.remove_prefix(1);
        } else if (!text.empty() && pattern.starts_with(text[0])) {
            text.remove_prefix(1);
            pattern.remove_prefix(1);
        } else if (has_star && !uncovered.empty()) {  // the * covers one byte more
            uncovered.remove_prefix(1);
            text = uncovered;
            pattern = after_star;
        } else {
            return false;
        }
    }
    return true;
}

/// True if `--name wanted` selects a name: the name contains `wanted`. If `wanted` has a * or ?, it must match the whole name, with or
/// without the kernel's " (deleted)". A newline in the name is one, and also the \012 that is printed for it.
inline bool is_selected(std::string_view name, std::string_view wanted) {
    constexpr std::string_view deleted = " (deleted)";
    const bool is_pattern = wanted.find_first_of("*?") != wanted.npos;
    if (name.empty()) return false;
    const auto fits = [&](std::string_view text) {
        if (!is_pattern) return text.find(wanted) != text.npos;
        const bool has_suffix = text.ends_with(deleted);
        return matches(text, wanted) || (has_suffix && matches(text.substr(0, text.size() - deleted.size()), wanted));
    };
    return fits(name) || fits(one_line(name));
}

}  // namespace cli
