// Processes opened in every way.
#pragma once

#include "../support/files.hpp"
#include "../support/raw_maps.hpp"
#include "../support/records.hpp"

#include <sys/syscall.h>

#include <procmap/maps.hpp>

namespace support {

using procmap::maps;

inline bool answers_as(const maps& of, pid_t pid) {
    const walked all = walk_all(of, {.names = true});
    return all.complete && difference(all.records, raw_lines(slurp(maps_path(pid)).value())).empty();
}

inline int open_pidfd(pid_t pid) {
#if !defined(SYS_pidfd_open)
    constexpr long SYS_pidfd_open = 434;
#endif
    return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

}  // namespace support
