// The text of /proc/PID/maps, read without the library, and compared with what the library reports.
#pragma once

#include "machine.hpp"
#include "records.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace support {

inline std::string maps_path(pid_t pid) { return "/proc/" + std::to_string(pid) + "/maps"; }

/// One line of raw text. `[vsyscall]`, and a 32-bit ARM kernel's `[vectors]`, are no mappings, and left out of lists of them.
struct raw_line {
    std::string line;
    unsigned long long start = 0, end = 0;
    char permissions[5] = {};
    std::string name;
};

inline std::vector<raw_line> raw_lines(const std::string& text) {
    std::vector<raw_line> lines;
    for (std::size_t at = 0, newline; (newline = text.find('\n', at)) != std::string::npos; at = newline + 1) {
        raw_line raw{.line = text.substr(at, newline - at), .name = {}};
        int head = 0;
        std::sscanf(raw.line.c_str(), "%llx-%llx %4s %*x %*x:%*x %*u%n", &raw.start, &raw.end, raw.permissions, &head);
        const auto column = std::max<std::size_t>(static_cast<std::size_t>(head) + 1, kernel_is_64_bit() ? 72 : 48) + 1;
        if (raw.line.size() > column) raw.name = raw.line.substr(column);
        if (raw.name != "[vsyscall]" && (raw.name != "[vectors]" || kernel_is_64_bit())) lines.push_back(std::move(raw));
    }
    return lines;
}

/// Whether a record is what a raw line says. A name that did not fit may be missing, if it is a long one.
inline bool agrees(const record& r, const raw_line& raw) {
    const std::string line = line_of(r);
    if (r.name_status != procmap::name_state::too_long) return line == raw.line;
    return r.name.empty() && raw.line.starts_with(line) && raw.name.size() >= 4096;
}

/// The first difference in words; empty where there is none.
inline std::string difference(const std::vector<record>& records, const std::vector<raw_line>& raw) {
    for (std::size_t i = 0; i < std::min(records.size(), raw.size()); ++i)
        if (!agrees(records[i], raw[i])) return "got \"" + line_of(records[i]) + "\", the text says \"" + raw[i].line + '"';
    if (records.size() == raw.size()) return {};
    return "got " + std::to_string(records.size()) + " mappings of " + std::to_string(raw.size());
}

}  // namespace support
