// The process that a command looks at.
#pragma once

#include "arguments.hpp"
#include "output.hpp"

#include <procmap/maps.hpp>
#include <procmap/snapshot.hpp>

#include <sys/types.h>

#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

namespace cli {

/// Opens a TARGET, or ends the program where that is not possible.
inline procmap::maps open_target(const arguments& a, const char* command, std::string_view target) {
    const std::size_t slash = target.find('/');
    const auto pid = number<pid_t>(target.substr(0, slash), 10);
    const auto tid = slash == target.npos ? pid : number<pid_t>(target.substr(slash + 1), 10);
    if (target != "self" && (pid.value_or(0) <= 0 || tid.value_or(0) <= 0))
        usage_error("no TARGET (self, PID or PID/TID): " + std::string(target), command);
    auto opened = target == "self"       ? procmap::maps::open_self(a.how)
                  : slash == target.npos ? procmap::maps::open(*pid, a.how)
                                         : procmap::maps::open(*pid, *tid, a.how);
    if (!opened) {
        complain(opened.error());
        std::exit(failed);
    }
    return std::move(*opened);
}

/// A copy of a process's mappings, or the end of the program where that cannot be whole.
inline procmap::snapshot capture(const procmap::maps& process, const procmap::capture_options& options = {}) {
    auto captured = procmap::snapshot::capture(process, options);
    if (captured) return std::move(*captured);
    complain(captured.error());
    std::exit(failed);
}

}  // namespace cli
