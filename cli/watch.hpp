// procmap watch
#pragma once

#include "arguments.hpp"
#include "diff.hpp"
#include "output.hpp"
#include "target.hpp"
#include "terminal.hpp"

#include <procmap/snapshot.hpp>

#include <time.h>

#include <cmath>
#include <cstdint>

namespace cli {

inline constexpr char watch_help[] = R"(usage: procmap watch [TARGET] [OPTION...]

What changes in an address space, as `procmap diff` writes it, as it happens: it is looked at again and again, and what comes
and goes between two looks is not seen. Exit status 0: --count was reached, or the process exited or called exec, as standard
error then says. 3: it broke off for any other reason.

  --interval S     seconds between two looks, such as 0.1; 1 by default
  --count N        how often to look, not counting the first look; by default until the process is gone
  --json           one JSON object a line: the kind of change, and the mapping
)";

inline int watch(const arguments& a) {
    const procmap::maps process = open_target(a, "watch", only_target(a, "watch"));
    const bool coloured = wants_colours();
    procmap::watcher watcher(process);
    for (std::uint64_t looks = 0;; ++looks) {
        const auto changes = watcher.look();
        if (!changes) {
            complain(changes.error());
            return changes.error() == procmap::errc::gone ? done : failed;
        }
        if (looks != 0)  // at first everything is new
            for (const procmap::change& c : *changes) show(a, c, coloured);
        flush();
        if (a.count && looks >= *a.count) return done;
        timespec pause{};
        pause.tv_sec = static_cast<time_t>(a.interval);
        pause.tv_nsec = static_cast<long>((a.interval - std::floor(a.interval)) * 1e9);
        ::nanosleep(&pause, nullptr);
    }
}

}  // namespace cli
