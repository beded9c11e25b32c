// A mapping as `procmap list` and `procmap find` print it.
#pragma once

#include "arguments.hpp"
#include "json.hpp"

#include <fstream>

namespace cli {

/// A mapping and the recorded line that it was read from; the line is empty for a live process.
struct record {
    procmap::mapping mapping;
    std::string_view line{};
};

/// True if the mapping may have a name that is unknown.
inline bool name_is_missing(const procmap::mapping& m) {
    using enum procmap::name_state;
    return m.name_status == too_long || m.name_status == no_memory || m.name_status == not_asked;
}

inline void add_members(json_object& o, const procmap::mapping& m) {
    o.add("start", json_hex(m.start)).add("end", json_hex(m.end)).add("permissions", json_string(printed(m.permissions)));
    o.add("offset", json_hex(m.offset)).add("device", json_string(printed(m.device))).add("inode", m.inode);
    o.add("page_size", json_number_or_null(m.page_size));
    name_is_missing(m) ? o.add("name", "null") : o.add_text("name", m.name);
    o.add("build_id", json_string_or_null(printed(m.build_id)));
    if (m.name_status == procmap::name_state::ambiguous) o.add("name_ambiguous", "true");
}

/// The column in which the kernel writes names. A 32-bit program can run on a 64-bit kernel, so it is taken from the text.
inline std::size_t name_column(const char* proc) {
    if (sizeof(void*) != 4) return procmap::name_column_64;
    static const std::size_t column = [proc] {
        std::ifstream maps(std::string(proc) + "/self/maps");
        for (std::string line; std::getline(maps, line);)
            if (const auto m = procmap::parse_line(line); m && !m->name.empty())
                return m->name.data() < line.data() + procmap::name_column_64 ? procmap::name_column_32
                                                                              : procmap::name_column_64;
        return procmap::name_column_64;
    }();
    return column;
}

/// Reports that a live process has a name here that could not be read.
inline void report_name_omitted(const procmap::mapping& m) {
    const bool too_long = m.name_status == procmap::name_state::too_long;
    report(hex(m.start, 8) + '-' + hex(m.end, 8) + ": name omitted: " + (too_long ? "too long" : "the kernel had no memory for it") +
           "; use --backend text for names of up to 256 KiB");
}

inline char name_storage[256 * 1024];  // for lines of text too, which can be longer than PATH_MAX

/// Writes a mapping; JSON begins with the address that was looked up, if any.
inline void show(const arguments& a, const record& r, std::optional<std::uint64_t> asked = {}) {
    const procmap::mapping& m = r.mapping;
    if (a.json) {
        json_object o;
        if (asked) o.add("address", json_hex(*asked));
        add_members(o, m);
        o.put();
    } else {
        r.line.empty() ? procmap::print(put, m, name_column(a.how.proc)) : put(r.line);
        put("\n");
        if (a.build_ids && m.build_id_known) put("BuildID:           " + printed(m.build_id) + '\n');
    }
    if (name_is_missing(m) && r.line.empty()) report_name_omitted(m);
}

}  // namespace cli
