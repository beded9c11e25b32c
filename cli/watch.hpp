// procmap watch: changes of the mappings of a process as they happen.
#pragma once

#include "diff.hpp"
#include "target.hpp"

#include <thread>

namespace cli {

inline constexpr char watch_help[] = R"(usage: procmap watch [TARGET] [OPTION...]

Prints changes of the mappings of a process as they happen, in the format of `procmap diff`. The process is polled, so a mapping
that exists only between two polls is missed. Exit status 0: --count was reached, or the process exited or called exec, which is
reported on standard error. 3: any other error.

  --interval S     seconds between polls, such as 0.1 (default: 1)
  --count N        number of polls after the first one (default: until the process exits)
)";

inline int watch(const arguments& a) {
    const procmap::maps process = open_target(a, only_target(a));
    procmap::watcher watcher(process);
    for (std::uint64_t polls = 0;; ++polls) {
        const auto changes = watcher.look();
        if (!changes) {
            report(changes.error());
            return changes.error() == procmap::errc::gone ? done : failed;
        }
        if (polls != 0)  // in the first poll, every mapping is new
            for (const procmap::change& c : *changes) show(a, c);
        flush();
        if (a.count && polls >= *a.count) return done;
        std::this_thread::sleep_for(std::chrono::duration<double>(a.interval));
    }
}

}  // namespace cli
