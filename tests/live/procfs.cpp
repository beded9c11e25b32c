// procfs mounted elsewhere, and directories that are not a procfs.
#include "asking.hpp"
#include "recorded_proc.hpp"
#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/mounts.hpp"
#include "../support/processes.hpp"
#include "../support/skipping.hpp"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>
#include <procmap/probe.hpp>
#include <procmap/result.hpp>

using namespace support;
using procmap::backend;
using procmap::errc;
using procmap::maps;

namespace {

TEST_CASE("a procfs that is mounted elsewhere answers for its own pids") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs root, to mount");
    const temporary_directory directory;
    const auto usable = backends();
    child elsewhere{[&](channel& parent) {
        const char* const proc = directory.path().c_str();
        const bool mounted = own_namespace() &&
                             ::mount("proc", proc, "proc", 0, nullptr) == 0 && ::umount2("/proc", MNT_DETACH) == 0;
        parent.send(mounted);
        if (!mounted) return;
        const auto here = address_of(reinterpret_cast<const void*>(&check_answers));
        for (const backend use : usable) {
            const auto other = maps::open(::getpid(), {.use = use, .proc = proc});
            const auto self = maps::open_self({.use = use, .proc = proc});
            parent.send(other ? other->find(here).error() : other.error());
            parent.send(self ? self->find(here).error() : self.error());
            parent.send(maps::open(no_process, {.use = use, .proc = proc}).error());
            parent.send(maps::open_self({.use = use}).error());
        }
        parent.send(procmap::probe(proc).live && !procmap::probe().text);
    }};
    if (!elsewhere->receive<bool>()) SKIP("may not mount");
    for (std::size_t i = 0; i < usable.size(); ++i)
        for (const errc expected : {errc::none, errc::none, errc::gone, errc::unsupported})
            CHECK(elsewhere->receive<procmap::error>() == expected);
    CHECK(elsewhere->receive<bool>());
}

TEST_CASE("a proc directory that is none says what is wrong with it") {
    const temporary_directory directory;
    const auto open = [](const std::string& proc, backend use = backend::automatic) {
        return maps::open_self({.use = use, .proc = proc.c_str()});
    };
    CHECK(open(directory / "nothing").error() == errc::unsupported);
    CHECK(open("").error() == errc::unsupported);
    CHECK(open(directory.path()).error() == errc::unsupported);
    CHECK(open(std::string(5000, 'p')).error() == errc::invalid);
    CHECK(open(std::string(5000, 'p')).error().errno_value == ENAMETOOLONG);
    CHECK(open('/' + std::string(4084, 'p')).error().errno_value == ENAMETOOLONG);
    directory.write("file", "");
    CHECK(open(directory / "file").error() == errc::unsupported);
    directory.write("directory/self/maps/x", "");
    CHECK(open(directory / "directory").error() == errc::not_maps);
    std::filesystem::create_directories(directory / "fifo/self");
    REQUIRE(::mkfifo((directory / "fifo/self/maps").c_str(), 0600) == 0);
    for (const backend use : {backend::automatic, backend::ioctl, backend::text}) {  // and does not wait for a writer
        CHECK(open(directory / "fifo", use).error() == errc::not_maps);
    }
    directory.write("missing/self/x", "");
    CHECK(open(directory / "missing").error() == errc::gone);
    directory.write("empty/self/maps", "");
    CHECK(open(directory / "empty").error() == errc::gone);
    directory.write("text/self/maps", good_line(1));
    CHECK(open(directory / "text", backend::ioctl).error() == errc::unsupported);
    CHECK(need(open(directory / "text")).backend() == backend::text);
    CHECK_FALSE(procmap::probe((directory / "text").c_str()).live);
    CHECK(procmap::probe((directory / "nothing").c_str()).error == errc::unsupported);
}

}  // namespace
