// Reads the files of tests/data.
#pragma once

#include "../support/reference_parser.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

namespace support {

using namespace std::string_view_literals;
using reference_parser::agree;

inline std::string contents(const char* name) {
    std::ifstream in{PROCMAP_TEST_DATA "/" + std::string{name}, std::ios::binary};
    std::string text{std::istreambuf_iterator<char>{in}, {}};
    REQUIRE_MESSAGE(!text.empty(), "no such test data, or an empty file: ", name);
    return text;
}

inline std::vector<std::string_view> split(std::string_view text, char mark) {
    std::vector<std::string_view> parts;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t next = std::min(text.find(mark, at), text.size());
        parts.push_back(text.substr(at, next - at));
        at = next + 1;
    }
    return parts;
}

// Undoes C's escapes, as far as the test data use them.
inline std::string unescape(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\') {
            out += text[i];
            continue;
        }
        REQUIRE(++i < text.size());
        const std::size_t known = "nrt\\\""sv.find(text[i]);
        if (known != std::string_view::npos) {
            out += "\n\r\t\\\""[known];
            continue;
        }
        unsigned value = 0;
        REQUIRE(text[i] == 'x');
        REQUIRE(i + 2 < text.size());
        REQUIRE(std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16).ptr == text.data() + i + 3);
        out += static_cast<char>(value);
        i += 2;
    }
    return out;
}

// The kernel's escape for a newline, undone.
inline std::string decode(std::string_view name) {
    std::string out{name};
    for (std::size_t at = 0; (at = out.find("\\012", at)) != std::string::npos; ++at) out.replace(at, 4, "\n");
    return out;
}

// One row of edge_cases.tsv.
struct edge_case {
    std::string line;
    std::string_view verdict;
    std::string name;
};

inline std::vector<edge_case> edge_cases(std::string_view text) {
    std::vector<edge_case> cases;
    for (const std::string_view row : split(text, '\n')) {
        if (row.starts_with('#')) continue;
        auto columns = split(row, '\t');
        columns.resize(4);
        cases.push_back({unescape(columns[0]), columns[1], unescape(columns[2])});
    }
    return cases;
}

inline void require_agreement(std::string_view line) {
    if (!agree(line)) FAIL("parser and reference differ on: '", std::string{line}, "'");
}

}  // namespace support
