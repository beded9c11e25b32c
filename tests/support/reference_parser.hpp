// A second parser of maps lines: slow, written from the format's description alone, and with nothing in common with the one
// under test. The tests and the fuzzers compare the two.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

#include <procmap/text.hpp>

namespace reference_parser {

using procmap::errc;
using procmap::error;
using procmap::mapping;
using procmap::name_state;
using procmap::parse_line;
using procmap::perm;
using procmap::permission_set;
using procmap::step;
using namespace std::string_view_literals;

struct reference {
    bool good = false;
    std::uint64_t start = 0, end = 0, offset = 0, major = 0, minor = 0, inode = 0;
    std::string letters;
    std::string_view name;
};

inline bool read_number(std::string_view text, int base, std::size_t most, std::uint64_t& value) {
    const auto digits = "0123456789abcdef"sv.substr(0, static_cast<std::size_t>(base));
    if (text.empty() || text.size() > most || text.find_first_not_of(digits) != std::string_view::npos) return false;
    return std::from_chars(text.data(), text.data() + text.size(), value, base).ec == std::errc{};
}

// "a-b" as two numbers, with any mark for the '-'.
inline bool read_pair(std::string_view text, char mark, std::size_t most, std::uint64_t& a, std::uint64_t& b) {
    const std::size_t at = text.find(mark);
    return at != std::string_view::npos && read_number(text.substr(0, at), 16, most, a) &&
           read_number(text.substr(at + 1), 16, most, b);
}

inline reference read_slowly(std::string_view line) {
    reference r;
    std::string_view columns[5];
    std::size_t at = 0;
    for (auto& column : columns) {
        if (at > line.size()) return r;
        const std::size_t blank = std::min(line.find(' ', at), line.size());
        column = line.substr(at, blank - at);
        at = blank + 1;
    }
    r.letters = columns[1];
    if (r.letters.size() != 4) return r;
    for (std::size_t i = 0; i < 4; ++i)
        if (r.letters[i] != "rwxs"[i] && r.letters[i] != "---p"[i] && (i != 3 || (r.letters[i] != 'S' && r.letters[i] != '-'))) return r;
    if (r.letters[3] == 'S') r.letters[3] = 's';  // without MMU
    if (r.letters[3] == '-') r.letters[3] = 'p';  // WSL1
    if (!read_pair(columns[0], '-', 16, r.start, r.end) || r.start > r.end) return r;
    if (!read_number(columns[2], 16, 16, r.offset) || !read_pair(columns[3], ':', 8, r.major, r.minor)) return r;
    if (!read_number(columns[4], 10, 20, r.inode)) return r;
    r.good = true;

    // The name: at the first byte that is no blank.
    const std::size_t after_inode = std::min(at - 1, line.size());
    const std::size_t text = line.find_first_not_of(' ', after_inode);
    if (text != std::string_view::npos) r.name = line.substr(text);
    return r;
}

inline std::string letters(permission_set p) {
    std::string out = "---p";
    if (p.has(perm::read)) out[0] = 'r';
    if (p.has(perm::write)) out[1] = 'w';
    if (p.has(perm::execute)) out[2] = 'x';
    if (p.has(perm::shared)) out[3] = 's';
    return out;
}

inline bool same_fields(const mapping& m, const reference& r) {
    return m.start == r.start && m.end == r.end && letters(m.permissions) == r.letters && m.offset == r.offset &&
           m.device.major == r.major && m.device.minor == r.minor && m.inode == r.inode;
}

// Whether parser and reference say the same about a line: the verdict, and every field.
inline bool agree(std::string_view line) {
    const auto m = parse_line(line);
    const reference r = read_slowly(line);
    if (r.good && r.name.ends_with('\r') && r.major == 0 && r.minor == 0 && r.inode == 0)
        return m.error() == error{.code = errc::malformed, .at = step::parse, .line = 1, .offset = line.size() - 1};
    if (r.good && r.name == "[rollup]" && r.major == 0 && r.minor == 0 && r.inode == 0)
        return m.error() == error{.code = errc::not_maps, .at = step::parse, .line = 1, .offset = line.size() - r.name.size()};
    if (!m) {
        const error& e = m.error();
        return !r.good && e == errc::malformed && e.at == step::parse && e.line == 1 && e.offset <= line.size();
    }
    const auto status = r.name.find("\\012") == std::string_view::npos ? name_state::exact : name_state::escaped;
    return r.good && same_fields(*m, r) && m->permissions.bits() < 16 && m->name == r.name && m->name_status == status &&
           m->page_size == 0 && !m->build_id_known && m->build_id.empty();
}

}  // namespace reference_parser
