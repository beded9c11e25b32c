// A directory that looks like a procfs with one process, whose maps text a test gives.
#pragma once

#include "../support/calls.hpp"
#include "../support/files.hpp"

#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include <procmap/maps.hpp>

namespace support {

using procmap::backend;
using procmap::maps;

/// A directory that looks like a procfs with one process, whose maps a test writes.
struct recorded_proc {
    temporary_directory directory;

    explicit recorded_proc(std::string_view text) { directory.write("self/maps", text); }
    maps open(backend use = backend::automatic) const {
        return need(maps::open_self({.use = use, .proc = directory.path().c_str()}));
    }
};

inline std::string good_line(unsigned n, const std::string& name = {}) {
    char head[80];
    std::snprintf(head, sizeof head, "%08x-%08x r--p 00000000 00:00 0 ", n * 0x2000, n * 0x2000 + 0x1000);
    return name.empty() ? std::string{head} + '\n' : std::string{head} + std::string(73 - std::strlen(head), ' ') + name + '\n';
}

}  // namespace support
