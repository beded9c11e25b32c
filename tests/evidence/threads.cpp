// Processes whose main thread has exited, handles of threads, and threads with a descriptor table of their own.
#include "locating.hpp"
#include "../support/calls.hpp"
#include "../support/elf_files.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/mounts.hpp"
#include "../support/printed.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/fd.hpp>
#include <procmap/location.hpp>
#include <procmap/maps.hpp>

using namespace support;
using procmap::backend;
using procmap::build_id_source;
using procmap::file_state;
using procmap::maps;

namespace {

TEST_CASE("where the main thread has exited, files are found through the others, also by a handle that is older") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    child headless{[&](channel& parent) {
        parent.send(address_of(map_file(dir / "lib.so")));
        parent.await();
        std::thread{[&parent] {
            parent.signal();
            parent.pause();
        }}.detach();
        ::syscall(SYS_exit, 0);
    }};
    const auto address = headless->receive<std::uint64_t>();
    std::vector<maps> older;
    for (const backend use : backends()) older.push_back(need(maps::open(headless.pid(), {.use = use})));
    headless->signal();
    headless->await();
    while (!slurp(maps_path(headless.pid())).value_or("").empty()) ::usleep(1000);
    const auto check = [&](const maps& of) {
        const located l = locate(of, address);
        CHECK(l.id == hex_of(id_of(twenty('a'))));
        CHECK(l.state == file_state::linked);
        CHECK(l.elf_known);
    };
    for (const maps& of : older)
        if (of.backend() == backend::ioctl) check(of);  // the text ends with the task that it was opened through
    for (const backend use : backends()) check(need(maps::open(headless.pid(), {.use = use})));
}

TEST_CASE("a handle by a thread, and one that was adopted, find the files of the process") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    struct where {
        std::uint64_t address;
        pid_t thread;
    };
    child threaded{[&](channel& parent) {
        char* const at = map_file(dir / "lib.so");
        std::thread{[&] {
            parent.send(where{address_of(at), static_cast<pid_t>(::syscall(SYS_gettid))});
            parent.pause();
        }}.join();
    }};
    const auto [address, thread] = threaded->receive<where>();
    for (const backend use : backends()) {
        const std::string path = "/proc/" + std::to_string(threaded.pid()) + "/task/" + std::to_string(thread) + "/maps";
        for (const maps& of : {need(maps::open(threaded.pid(), thread, {.use = use})),
                               need(maps::adopt(procmap::unique_fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)}, {.use = use})),
                               need(maps::adopt(procmap::unique_fd{::open(maps_path(threaded.pid()).c_str(), O_RDONLY | O_CLOEXEC)}, {.use = use}))}) {
            const located l = locate(of, address);
            CHECK(has_directory(of));
            CHECK(l.id == hex_of(id_of(twenty('a'))));
            CHECK(l.state == file_state::linked);
            if (is_root() && use == backend::text) CHECK(l.source == build_id_source::map_files);
        }
    }
}

TEST_CASE("in a thread with descriptors of its own, no file is read that is not the handle's") {
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    dir.write("other.so", small_elf(twenty('b')));
    child several{[&](channel& parent) {
        char* const at = map_file(dir / "lib.so");
        // What has the number of the thread's descriptors in the others' table: the wrong file, and another process's maps.
        int wrong = 0;
        std::thread{[&] {
            if (::unshare(CLONE_FILES) != 0) return;
            for (const backend use : {backend::automatic, backend::text}) {
                const auto self = maps::open_self({.use = use});
                const located l = locate(*self, address_of(at));
                wrong += !l.id_known || l.id != hex_of(id_of(twenty('a')));
            }
        }}.join();
        parent.send(wrong);
    }};
    CHECK(several->receive<int>() == 0);
}

TEST_CASE("the file of a task keeps what it is told by, whatever the caches drop") {
    NEEDS_LIVE_MAPS();
    child target{[](channel& parent) { parent.pause(); }};
    const maps of = need(maps::open(target.pid()));
    CHECK(has_directory(of));
    if (is_root()) {
        const procmap::unique_fd drop{::open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC)};
        (void)!::write(drop.get(), "2", 1);
    }
    CHECK(has_directory(of));
    target.kill();
    target.await_zombie();
    CHECK(has_directory(of));  // not yet reaped, it is its own
    target.reap();
    CHECK_FALSE(has_directory(of));
}

}  // namespace
