// procmap diff: the changes between two snapshots.
#pragma once

#include "mapping.hpp"
#include "target.hpp"

namespace cli {

inline constexpr char diff_help[] = R"(usage: procmap diff A B [OPTION...]

Prints the changes from A to B, one per line: the kind of change (mapped, unmapped, backing, permissions or name) and the
mapping in B (unmapped: in A), clipped to the range that changed. Split and merged mappings are not changes, nor is data that
only one of A and B has. The exit status is 0 whether or not there are changes.

A and B are each a file (snapshot, maps or smaps text; - is standard input) or a TARGET: self, PID or PID/TID. A decimal number
is always a PID; any other name that exists as a file is that file.

)";

/// Reads A or B.
inline procmap::snapshot operand(const arguments& a, std::string_view text) {
    struct stat s;
    const bool is_file = ::stat(text.data(), &s) == 0 && !S_ISDIR(s.st_mode);
    const bool like_target = text == "self" || (text.find_first_not_of("0123456789/") == text.npos && !text.starts_with('/'));
    if (!is_decimal(text) && (!like_target || is_file)) return load(text.data());
    return value_or_exit(procmap::snapshot::capture(open_target(a, text)));
}

/// Writes a change, coloured by its kind if standard output supports that.
inline void show(const arguments& a, const procmap::change& c) {
    if (a.json) {
        json_object o;
        o.add("kind", json_string(procmap::to_string(c.kind)));
        add_members(o, c.now);
        return o.put();
    }
    static const bool coloured = wants_colours();
    constexpr const char* colours[] = {"\033[32m", "\033[31m", "\033[35m", "\033[33m", "\033[36m"};  // in the order of the kinds
    if (coloured) put_raw(colours[static_cast<std::size_t>(c.kind)]);
    procmap::print(put, c);
    put_raw(coloured ? "\033[m\n" : "\n");
}

inline int diff(const arguments& a) {
    if (a.positional.size() != 2) usage_error("expected two arguments, A and B");
    if (a.positional[0] == "-" && a.positional[1] == "-") usage_error("only one of A and B can be standard input");
    const procmap::snapshot before = operand(a, a.positional[0]);
    const procmap::snapshot after = operand(a, a.positional[1]);
    for (const procmap::change& c : procmap::difference(before, after)) show(a, c);
    return done;
}

}  // namespace cli
