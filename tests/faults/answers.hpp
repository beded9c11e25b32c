// Answers of the library, in pieces that can be compared.
#pragma once

#include "interposed.hpp"
#include "../support/printed.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <procmap/build_id.hpp>
#include <procmap/location.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>
#include <procmap/result.hpp>
#include <procmap/snapshot.hpp>
#include <procmap/text.hpp>

namespace support {

using procmap::errc;
using procmap::mapping;
using procmap::maps;
using procmap::name_state;

/// An answer in pieces, each of which may be "?": what the answer itself says that it does not know.
struct answer {
    std::vector<std::string> pieces{};
    procmap::error error{};

    void add(std::string piece) { pieces.push_back(std::move(piece)); }
    void add_unless(bool unknown, std::string piece) { pieces.push_back(unknown ? "?" : std::move(piece)); }
};

inline void add(answer& to, const mapping& m) {
    char text[200];
    std::snprintf(text, sizeof text, "%llx-%llx %x %llx %x:%x %llu", static_cast<unsigned long long>(m.start),
                  static_cast<unsigned long long>(m.end), m.permissions.bits(), static_cast<unsigned long long>(m.offset),
                  m.device.major, m.device.minor, static_cast<unsigned long long>(m.inode));
    to.add(text);
    to.add_unless(m.name_status == name_state::too_long || m.name_status == name_state::no_memory, std::string{m.name});
    to.add_unless(m.page_size == 0, std::to_string(m.page_size));
    to.add_unless(!m.build_id_known, hex_of(m.build_id));
}

inline answer of(const procmap::result<mapping>& m) {
    answer a;
    a.error = m.error();
    if (m) add(a, *m);
    return a;
}

inline answer of(procmap::mapping_walk& walk) {
    answer a;
    for (const mapping& m : walk) add(a, m);
    a.error = walk.error();
    if (walk.complete() != (walk.error() == errc::none)) a.add("neither complete nor broken off");
    return a;
}

inline answer of(const procmap::result<procmap::snapshot>& s) {
    answer a;
    a.error = s.error();
    for (const mapping& m : *s) add(a, m);
    return a;
}

/// A handle that was opened: what it answers is asked undisturbed.
inline answer of(const procmap::result<maps>& opened) {
    faults.armed = false;
    answer a;
    if (opened) {
        auto walk = opened->walk();
        for (const mapping& m : walk) add(a, m);
        if (!walk.complete()) a.add("a handle that does not work");
        for (std::size_t i = 2; i < a.pieces.size(); i += 4) a.pieces[i] = "";  // either back-end is right
    }
    a.error = opened.error();
    return a;
}

inline answer of(const procmap::result<procmap::normalized>& n) {
    answer a;
    a.error = n.error();
    if (!n) return a;
    using procmap::reason;
    for (const procmap::location& l : n->locations) {
        const bool not_looked_up = l.reason == reason::gone || l.reason == reason::denied || l.reason == reason::failed;
        if (not_looked_up != (n->error.code != errc::none) && not_looked_up) a.add("not looked up, and no error");
        const bool no_name = l.reason == reason::name_unknown;
        a.add_unless(not_looked_up || (no_name && !l), std::to_string(l.offset) + (l ? " in a file" :
                     " reason " + std::to_string(static_cast<int>(l.reason))));
        a.add_unless(!l.elf_address_known, std::to_string(l.elf_address));
        const procmap::mapped_file none{};
        const procmap::mapped_file& f = l ? n->files[l.file] : none;
        a.add_unless(not_looked_up || no_name, std::string{f.path});
        a.add_unless(not_looked_up, std::to_string(f.inode) + ' ' + std::to_string(f.device.minor));
        a.add_unless(!f.build_id_known, hex_of(f.build_id));
        // That nothing is at a path is an answer like any other, also where it was made up.
        const bool made_up = faults.hit && (faults.way == ENOENT || faults.way == ENOTDIR) && f.state == procmap::file_state::deleted;
        a.add_unless(f.state == procmap::file_state::unknown || f.state == procmap::file_state::unreadable || made_up,
                     std::to_string(static_cast<int>(f.state)));
    }
    // What the error concerns was seen above to be marked; the rest of the answer is whole.
    return a;
}

inline answer of(const procmap::capabilities& c) {
    answer a;
    a.add_unless(!c.ioctl && (c.ioctl_errno != 0 || c.error.code != errc::none), c.ioctl ? "ioctl" : "no ioctl");
    a.add_unless(!c.text, "text");
    a.add_unless(!c.live, "live");
    a.add_unless(c.struct_size == 0, std::to_string(c.struct_size));
    a.add_unless(c.release.major == 0, std::to_string(c.release.major) + '.' + std::to_string(c.release.minor));
    a.add_unless(c.release.major == 0 || !c.ioctl, std::to_string(c.build_id_hazards.bits()));
    a.error = c.error;
    return a;
}

inline answer of(const std::vector<procmap::change>& changes) {
    answer a;
    for (const procmap::change& c : changes) {
        a.add(std::to_string(static_cast<int>(c.kind)));
        add(a, c.now);
    }
    return a;
}

}  // namespace support
