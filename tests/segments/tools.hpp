// Other programs that are run, and what they print.
#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <doctest/doctest.h>

namespace support {

inline std::string output_of(const std::string& command) {
    FILE* const pipe = ::popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string text;
    char piece[65536];
    for (std::size_t n; (n = std::fread(piece, 1, sizeof piece, pipe)) > 0;) text.append(piece, n);
    ::pclose(pipe);
    return text;
}

inline bool succeeds(const std::string& command) {
    return ::system(("{ " + command + "; } >/dev/null 2>&1").c_str()) == 0;
}

}  // namespace support
