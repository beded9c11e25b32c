// Runs other programs.
#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace support {

/// What a shell command prints to its standard output.
inline std::string output_of(const std::string& command) {
    FILE* const pipe = ::popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string text;
    char piece[65536];
    for (std::size_t n; (n = std::fread(piece, 1, sizeof piece, pipe)) > 0;) text.append(piece, n);
    ::pclose(pipe);
    return text;
}

/// Runs a shell command without its output; true if it exits with status 0.
inline bool succeeds(const std::string& command) { return ::system(("{ " + command + "; } >/dev/null 2>&1").c_str()) == 0; }

/// The word, quoted for the shell.
inline std::string quoted(const std::string& word) {
    std::string text = "'";
    for (const char c : word) c == '\'' ? text += "'\\''" : text += c;
    return text + '\'';
}

inline std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    for (std::size_t at = 0, newline; (newline = text.find('\n', at)) != std::string::npos; at = newline + 1)
        lines.push_back(text.substr(at, newline - at));
    return lines;
}

}  // namespace support
