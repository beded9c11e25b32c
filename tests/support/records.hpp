// Copies of what the library reports.
#pragma once

#include "machine.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include <procmap/build_id.hpp>
#include <procmap/maps.hpp>
#include <procmap/result.hpp>
#include <procmap/text.hpp>

namespace support {

/// A mapping that owns its name.
struct record {
    std::uint64_t start, end, offset, page_size, inode;
    procmap::permission_set permissions;
    procmap::device_number device;
    procmap::name_state name_status;
    bool build_id_known;
    std::string name;
    std::string build_id;

    record(const procmap::mapping& m)
        : start(m.start), end(m.end), offset(m.offset), page_size(m.page_size), inode(m.inode), permissions(m.permissions),
          device(m.device), name_status(m.name_status), build_id_known(m.build_id_known), name(m.name) {
        procmap::print([this](std::string_view digits) { build_id += digits; }, m.build_id);
    }
    bool operator==(const record&) const = default;
};

/// The line that the kernel prints for it, put together the kernel's way: padded to a column that depends on its word size.
inline std::string line_of(const record& r) {
    char head[128];
    const auto letter = [&r](procmap::perm p, char yes, char no) { return r.permissions.has(p) ? yes : no; };
    std::snprintf(head, sizeof head, "%08llx-%08llx %c%c%c%c %08llx %02x:%02x %llu ", static_cast<unsigned long long>(r.start),
                  static_cast<unsigned long long>(r.end), letter(procmap::perm::read, 'r', '-'),
                  letter(procmap::perm::write, 'w', '-'), letter(procmap::perm::execute, 'x', '-'),
                  letter(procmap::perm::shared, 's', 'p'), static_cast<unsigned long long>(r.offset), r.device.major,
                  r.device.minor, static_cast<unsigned long long>(r.inode));
    std::string line = head;
    if (r.name.empty()) return line;
    line.resize(std::max<std::size_t>(line.size(), kernel_is_64_bit() ? 72 : 48), ' ');
    line += ' ';
    for (const char c : r.name) c == '\n' ? line += "\\012" : line += c;
    return line;
}

inline std::ostream& operator<<(std::ostream& out, const record& r) {
    return out << line_of(r) << " page size " << r.page_size << " name state " << static_cast<int>(r.name_status)
               << " build ID " << r.build_id_known << ' ' << r.build_id;
}

/// What the text back-end makes of what the ioctl reported.
inline record as_text(record r) {
    r.page_size = 0;
    r.build_id_known = false;
    r.build_id.clear();
    bool escaped = r.name.find('\n') != std::string::npos;
    for (std::size_t at = 0; (at = r.name.find("\\012", at)) != std::string::npos; escaped = true) r.name.replace(at, 4, "\n");
    if (escaped) r.name_status = procmap::name_state::ambiguous;
    return r;
}

struct walked {
    std::vector<record> records;
    bool complete;
    procmap::error error;
};

inline walked walk_all(const procmap::maps& of, const procmap::walk_options& options = {}) {
    walked all{};
    auto walk = of.walk(options);
    for (const procmap::mapping& m : walk) all.records.emplace_back(m);
    all.complete = walk.complete();
    all.error = walk.error();
    return all;
}

}  // namespace support
