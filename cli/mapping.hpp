// A mapping, as `procmap list` and `procmap find` write it.
#pragma once

#include "arguments.hpp"
#include "json.hpp"
#include "output.hpp"

#include <procmap/maps.hpp>
#include <procmap/kind.hpp>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

namespace cli {

/// A mapping, and the line that it was read from: empty for a live process's.
struct record {
    procmap::mapping mapping;
    std::string_view line{};
};

/// Whether the mapping may have a name that is not known.
inline bool name_is_missing(const procmap::mapping& m) {
    using procmap::name_state;
    return m.name_status == name_state::too_long || m.name_status == name_state::no_memory ||
           m.name_status == name_state::not_asked;
}

/// The members of a mapping's object.
inline std::string json_members(const procmap::mapping& m) {
    return "\"start\":" + json_hex(m.start) + ",\"end\":" + json_hex(m.end) + ",\"permissions\":\"" + printed(m.permissions) +
           "\",\"offset\":" + json_hex(m.offset) + ",\"device\":\"" + printed(m.device) +
           "\",\"inode\":" + std::to_string(m.inode) + ",\"page_size\":" + json_number(m.page_size) + ',' +
           (name_is_missing(m) ? "\"name\":null" : json_text_or_bytes("name", m.name)) +
           ",\"build_id\":" + json_build_id(m.build_id) +
           (m.name_status == procmap::name_state::ambiguous ? ",\"name_ambiguous\":true" : "");
}

/// The column in which the kernel writes names. A 32-bit program may run on a 64-bit kernel: only the text tells.
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

inline char name_storage[256 * 1024];  // also for lines of text, which the kernel may make longer than PATH_MAX

/// Writes a mapping, with the address that was asked for where it is the answer to one.
inline void show(const arguments& a, const record& r, std::optional<std::uint64_t> asked = {}) {
    const procmap::mapping& m = r.mapping;
    if (a.json) {
        put('{' + (asked ? "\"address\":" + json_hex(*asked) + ',' : std::string{}) + json_members(m) + '}');
    } else if (!r.line.empty()) {
        put(r.line);
    } else {
        procmap::print(put, m, name_column(a.how.proc));
    }
    put("\n");
    if (a.build_ids && !a.json && m.build_id_known) put("BuildID:           " + printed(m.build_id) + '\n');
    if (!name_is_missing(m) || !r.line.empty()) return;
    complain(hex(m.start, 8) + '-' + hex(m.end, 8) + ": shown without its name, " +
             (m.name_status == procmap::name_state::too_long ? "which is too long" : "for which the kernel had no memory") +
             "; --backend text has names of up to 256 KiB");
}

}  // namespace cli
