// procmap watch: changes of the mappings of a process as they happen.
#pragma once

#include "diff.hpp"
#include "target.hpp"

#include <thread>

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
    const procmap::maps process = open_target(a, only_target(a));
    procmap::watcher watcher(process);
    for (std::uint64_t looks = 0;; ++looks) {
        const auto changes = watcher.look();
        if (!changes) {
            complain(changes.error());
            return changes.error() == procmap::errc::gone ? done : failed;
        }
        if (looks != 0)  // in the first look, every mapping is new
            for (const procmap::change& c : *changes) show(a, c);
        flush();
        if (a.count && looks >= *a.count) return done;
        std::this_thread::sleep_for(std::chrono::duration<double>(a.interval));
    }
}

}  // namespace cli
