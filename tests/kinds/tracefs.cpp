// Mapped trace buffers.
#include "kind.hpp"
#include "asking.hpp"
#include "own_mounts.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>

using namespace support;
using procmap::unique_fd;

namespace {

/// Writes into a file that is there; false where that fails.
bool put(const std::string& path, std::string_view text) {
    const unique_fd file{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
    return file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

void ask_trace(const std::string& name, named by_name, const std::string& tracing) {
    kind k{name, by_name};
    const std::string instance = tracing + "/instances/" + own_name();
    if (::mkdir(instance.c_str(), 0700) != 0) return cannot_make(name, why());
    {
        cpu_set_t before, first;
        CPU_ZERO(&first);
        CPU_SET(0, &first);
        ::sched_getaffinity(0, sizeof before, &before);
        ::sched_setaffinity(0, sizeof first, &first);
        bool written = true;
        for (int i = 0; i < 10; ++i) written &= put(instance + "/trace_marker", "event " + std::to_string(i) + '\n');
        ::sched_setaffinity(0, sizeof before, &before);
        const std::string of_first = instance + "/per_cpu/cpu0/";
        const unique_fd pipe{::open((of_first + "trace_pipe_raw").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
        if (!written || !pipe || !k.map(pipe.get(), page)) {
            cannot_make(name, why());
        } else {
            const auto state = [&] {
                std::string all;
                const std::string stats = slurp(of_first + "stats").value_or("");
                for (const char* const line : {"entries: ", "overrun: ", "bytes: ", "read events: "})
                    if (const auto at = stats.find(line); at != std::string::npos)
                        all += stats.substr(at, stats.find('\n', at) + 1 - at);
                return all + slurp(instance + "/trace").value_or("");
            };
            const std::string at_first = state();
            CHECK(at_first.find("event 9") != std::string::npos);
            CHECK(at_first.find("read events: 0") != std::string::npos);
            k.disturbed = [=]() -> std::string { return state() == at_first ? "" : "events were taken"; };
            k.watch_fd(pipe.get());
            ask_everyhow(k);
        }
        k.undo.clear();
        ::munmap(reinterpret_cast<void*>(static_cast<std::uintptr_t>(k.at)), k.at != 0 ? page : 0);
    }
    ::rmdir(instance.c_str());
}

TEST_CASE("a mapped trace buffer is not read; outside /sys it is asked about only where a name alone decides") {
    NEEDS_LIVE_MAPS();
    const mounted outside{"tracefs", ""};
    if (!outside) return cannot_make("trace_pipe_raw", own_mounts ? why() : "no mounts of its own");
    ask_trace("trace_pipe_raw outside /sys", named::file, outside.path());
    const std::string usual = "/sys/kernel/tracing";
    if (::mount("tracefs", usual.c_str(), "tracefs", 0, nullptr) != 0) return cannot_make("trace_pipe_raw in /sys", why());
    ask_trace("trace_pipe_raw in /sys", named::unsure, usual);
    ::umount2(usual.c_str(), MNT_DETACH);
}

}  // namespace
