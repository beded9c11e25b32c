// The names of mappings as text.
#pragma once

#include "output.hpp"

namespace cli {

/// Returns a name on one line: newlines as \012, like the kernel's text.
inline std::string one_line(std::string_view name) {
    std::string out;
    for (const char c : name) c == '\n' ? out += procmap::escaped_newline : out += c;
    return out;
}

}  // namespace cli
