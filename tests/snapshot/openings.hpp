// Processes opened in every way.
#pragma once

#include "../support/files.hpp"
#include "../support/raw_maps.hpp"
#include "../support/records.hpp"

#include <procmap/maps.hpp>

namespace support {

using procmap::maps;

inline bool answers_as(const maps& of, pid_t pid) {
    const walked all = walk_all(of, {.names = true});
    return all.complete && difference(all.records, raw_lines(slurp(maps_path(pid)).value())).empty();
}

}  // namespace support
