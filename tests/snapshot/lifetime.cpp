// Handles and snapshots after exec, exit and fork.
#include "snapshots.hpp"
#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"
#include "../support/records.hpp"
#include "../support/skipping.hpp"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>
#include <procmap/maps.hpp>
#include <procmap/result.hpp>
#include <procmap/snapshot.hpp>

using namespace support;
using procmap::backend;
using procmap::errc;
using procmap::maps;
using procmap::snapshot;
using procmap::unique_fd;

namespace {

TEST_CASE("once the leader has exited its process opens through a living thread; then text depends on that one") {
    NEEDS_LIVE_MAPS();
    child threaded{[](channel& parent) {
        std::atomic<pid_t> first = 0, second = 0;
        std::thread{[&] {
            first = thread_id();
            while (second == 0) std::this_thread::yield();
            parent.send(first.load());
            parent.await();  // then it exits
        }}.detach();
        while (first == 0) std::this_thread::yield();
        std::thread{[&] {
            second = thread_id();
            for (;;) ::pause();
        }}.detach();
        while (second == 0) std::this_thread::yield();
        ::syscall(SYS_exit, 0);
    }};
    const auto first = threaded->receive<pid_t>();
    const auto leader = [&] { return slurp(maps_path(threaded.pid())).value_or("?"); };
    while (!leader().empty()) ::usleep(1000);  // it has exited
    const std::string task = "/proc/" + std::to_string(threaded.pid()) + "/task/" + std::to_string(first);
    const std::string text = slurp(task + "/maps").value();
    REQUIRE_FALSE(text.empty());
    const unique_fd pidfd{open_pidfd(threaded.pid())};
    std::vector<maps> opened;
    for (const backend use : backends()) {
        opened.push_back(need(keeping_errno([&] { return maps::open(threaded.pid(), {.use = use}); })));
        if (pidfd) opened.push_back(need(maps::open(pidfd.borrow(), {.use = use})));
    }
    for (const maps& one : opened) {
        CHECK(difference(walk_all(one, {.names = true}).records, raw_lines(text)) == "");
        CHECK(difference(records_of(need(snapshot::capture(one))), raw_lines(text)) == "");
    }
    threaded->signal();
    while (::access(task.c_str(), F_OK) == 0) ::usleep(1000);
    for (const maps& one : opened) {
        CAPTURE(one.backend());
        const auto taken = snapshot::capture(one);
        // A sanitizer's runtime may have a thread of its own, by which the process can be opened as well.
        char link[256] = {};
        const std::string fd = "/proc/self/fd/" + std::to_string(one.fd().get());
        REQUIRE(::readlink(fd.c_str(), link, sizeof link - 1) > 0);
        const bool by_first = std::string_view{link}.find("/task/" + std::to_string(first) + "/") != std::string_view::npos;
        const bool lost = by_first && one.backend() == backend::text;
        CHECK(taken.error().code == (lost ? errc::task_gone : errc::none));
        if (one.backend() == backend::ioctl) CHECK(taken->size() > 5);
    }
    for (const backend use : backends()) CHECK(walk_all(need(maps::open(threaded.pid(), {.use = use}))).complete);
    threaded.kill();
    threaded.reap();
    for (const maps& one : opened) {  // text alone cannot tell a thread's end from its process's
        const errc end = snapshot::capture(one).error().code;
        CHECK((end == errc::gone || (end == errc::task_gone && !kernel_has_ioctl())));
    }
}

TEST_CASE("a zombie and a kernel thread are told apart from a process that is gone") {
    child zombie{[](channel&) {}};
    zombie.await_zombie();
    for (const backend use : backends()) {
        const auto opened = keeping_errno([&] { return maps::open(zombie.pid(), {.use = use}); });
        CHECK(opened.error() == procmap::error{.code = errc::zombie, .at = procmap::step::open, .pid = zombie.pid()});
    }
    zombie.reap();
    for (const backend use : backends()) CHECK(maps::open(zombie.pid(), {.use = use}).error() == errc::gone);
    const std::string stat = slurp("/proc/2/stat").value_or("");
    if (stat.find("(kthreadd)") == std::string::npos || !is_root()) SKIP("no kernel thread can be seen from here");
    for (const backend use : backends())
        CHECK(keeping_errno([&] { return maps::open(2, {.use = use}); }).error() == errc::kernel_thread);
}

TEST_CASE("after exec a handle is gone, and so is its capture; one that is opened again answers") {
    child running{[](channel& parent) {
        parent.signal();
        parent.await();
        ::execlp("sleep", "sleep", "1000", static_cast<char*>(nullptr));
    }};
    running->await();
    const unique_fd pidfd{open_pidfd(running.pid())};
    std::vector<maps> opened;
    for (const backend use : backends()) opened.push_back(need(maps::open(running.pid(), {.use = use})));
    std::vector<snapshot> before;
    for (const maps& one : opened) before.push_back(need(snapshot::capture(one)));
    running->signal();
    REQUIRE(running->closed());
    for (const maps& one : opened) CHECK(snapshot::capture(one).error() == errc::gone);
    for (const snapshot& one : before) CHECK(one.size() > 5);
    const auto answers = [&](auto open) {  // the program is still being loaded
        for (int tries = 0; tries < 500; ++tries, ::usleep(10'000))
            if (answers_as(need(open()), running.pid())) return true;
        return false;
    };
    for (const backend use : backends()) CHECK(answers([&] { return maps::open(running.pid(), {.use = use}); }));
    if (pidfd) CHECK(answers([&] { return maps::open(pidfd.borrow()); }));  // the process, not the program
}

TEST_CASE("a handle opened before fork asks about the parent, and a snapshot that the child inherits stays what it was") {
    char* const memory = map_pages(2);
    REQUIRE(memory != nullptr);
    for (const backend use : backends()) {
        const maps self = need(maps::open_self({.use = use}));
        const snapshot taken = need(snapshot::capture(self));
        child forked{[&](channel& parent) {
            ::munmap(memory, 2 * page);  // in the child alone
            parent.send(self.find(address_of(memory)).error().code);
            parent.send(taken.find(address_of(memory)).error().code);
            parent.send(need(maps::open_self({.use = use})).find(address_of(memory)).error().code);
        }};
        CHECK(forked->receive<errc>() == errc::none);
        CHECK(forked->receive<errc>() == errc::none);
        CHECK(forked->receive<errc>() == errc::not_mapped);
    }
    ::munmap(memory, 2 * page);
}

TEST_CASE("a snapshot outlives its process and its handle") {
    for (const backend use : backends()) {
        child short_lived{wait_forever};
        short_lived->await();
        const snapshot s = [&] { return need(snapshot::capture(need(maps::open(short_lived.pid(), {.use = use})))); }();
        const auto raw = raw_lines(slurp(maps_path(short_lived.pid())).value());
        short_lived.kill();
        short_lived.reap();
        CHECK(difference(records_of(s), raw) == "");
        check_lookups(s);
    }
}

}  // namespace
