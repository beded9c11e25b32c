// procmap watch: changes of the mappings of a process as they happen.
#pragma once

#include "diff.hpp"
#include "target.hpp"

#include <fstream>
#include <sstream>
#include <thread>

namespace cli {

inline constexpr char watch_help[] = R"(usage: procmap watch [TARGET] [OPTION...]

Prints changes of the mappings of a process as they happen, in the format of `procmap diff`. The process is polled, so a mapping
that exists only between two polls is missed. The end of the process, or of its mappings by exec, is reported on standard error;
with --json also as an object of the kind "exited" or "executed". Exit status 0: that, or --count was reached. 3: an error.

  --interval S     seconds between polls, such as 0.1 (default: 1)
  --count N        number of polls after the first one (default: until the process exits)
)";

/// True if a process has an address space: vsize, the 21st field after its name in parentheses (proc_pid_stat(5)), is not 0. It is 0 as
/// soon as the process is exiting.
inline bool has_memory(std::istream& stat) {
    std::string text;
    std::getline(stat, text, '\0');  // the name can contain blanks, parentheses and newlines
    std::istringstream fields(text.substr(text.rfind(')') + 1));
    std::string field;
    for (int i = 0; i < 21; ++i) fields >> field;
    return fields && field != "0";
}

/// Reports why the address space of a process is gone: the process exited, or has another one since an exec.
inline void report_end(const arguments& a, std::string_view pid, std::istream& stat) {
    const bool executed = has_memory(stat);
    if (a.json) json_object().add("kind", json_string(executed ? "executed" : "exited")).put();
    report("process " + std::string(pid) + (executed ? " executed another program; watch it again for its new mappings" : " exited"));
}

inline int watch(const arguments& a) {
    const std::string_view target = only_target(a);
    const std::string_view pid = target.substr(0, target.find('/'));
    const procmap::maps process = open_target(a, target);
    std::ifstream stat(std::string(a.how.proc) + '/' + std::string(pid) + "/stat");  // opened now, it is not that of a reused pid later
    procmap::watcher watcher(process);
    for (std::uint64_t polls = 0;; ++polls) {
        const auto changes = watcher.look();
        if (!changes) {
            if (changes.error() != procmap::errc::gone) fail(changes.error());
            return report_end(a, pid, stat), done;
        }
        if (polls != 0)  // in the first poll, every mapping is new
            for (const procmap::change& c : *changes) show(a, c);
        flush();
        if (a.count && polls >= *a.count) return done;
        std::this_thread::sleep_for(std::chrono::duration<double>(a.interval));
    }
}

}  // namespace cli
