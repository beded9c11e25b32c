// Handles after exec, exit and fork.
#include "asking.hpp"
#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"
#include "../support/skipping.hpp"

#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>
#include <procmap/result.hpp>

using namespace support;
using procmap::backend;
using procmap::errc;
using procmap::mapping;
using procmap::maps;

namespace {

TEST_CASE("after exec an older handle answers gone, and never for the new program") {
    child running{[](channel& parent) {
        parent.signal();
        parent.await();
        ::execlp("sleep", "sleep", "1000", static_cast<char*>(nullptr));
    }};
    running->await();
    std::vector<maps> opened;
    for (const backend use : backends()) opened.push_back(need(maps::open(running.pid(), {.use = use})));
    for (const maps& one : opened) check_answers(one);
    running->signal();
    REQUIRE(running->closed());  // its end is close-on-exec
    REQUIRE(contains(slurp(maps_path(running.pid())).value(), "/"));
    for (const maps& one : opened) check_all_answer(one, errc::gone);
    for (const backend use : backends()) check_answers(need(maps::open(running.pid(), {.use = use})));
}

TEST_CASE("a process that was killed is gone, before and after it is reaped") {
    child killed{wait_forever};
    killed->await();
    std::vector<maps> opened;
    for (const backend use : backends()) opened.push_back(need(maps::open(killed.pid(), {.use = use})));
    for (const maps& one : opened) check_answers(one);
    killed.kill();
    killed.await_zombie();
    for (const maps& one : opened) check_all_answer(one, errc::gone);
    killed.reap();
    for (const maps& one : opened) check_all_answer(one, errc::gone);
}

TEST_CASE("a walk whose process exits in the middle is not complete") {
    for (const backend use : backends()) {
        for (const bool reap : {false, true}) {
            for (const int steps : {1, 5, 500}) {
                CAPTURE(use);
                CAPTURE(reap);
                child large{[](channel& parent) {
                    ensure(map_alternating(3000) != nullptr, "map pages");
                    wait_forever(parent);
                }};
                large->await();
                const maps opened = need(maps::open(large.pid(), {.use = use}));
                auto walk = opened.walk({.names = true});
                int seen = 0;
                for (const mapping& m : walk) {
                    CHECK(m.start < m.end);
                    if (++seen != steps) continue;
                    large.kill();
                    reap ? large.reap() : large.await_zombie();
                }
                CHECK(seen < 3000);
                CHECK_FALSE(walk.complete());
                CHECK(walk.error() == errc::gone);
            }
        }
    }
}

TEST_CASE("an address space that outlives the task it was opened through: the ioctl goes on, text says task_gone") {
    NEEDS_LIVE_MAPS();
#if defined(PROCMAP_TEST_SANITIZED)
    return not_included("two processes in one address space: a sanitizer's runtime is not made for that");
#endif
    child first{[](channel& parent) {
        char* const stack = map_pages(64);
        const auto run = [](void*) -> int {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;) ::pause();
        };
        parent.send(::clone(run, stack + 64 * page, CLONE_VM | CLONE_PARENT | SIGCHLD, nullptr));
        parent.pause();
    }};
    const auto second_pid = first->receive<pid_t>();
    REQUIRE(second_pid > 0);
    process second{second_pid};
    const auto anywhere = raw_lines(slurp(maps_path(first.pid())).value()).front().start;
    std::vector<maps> opened;
    for (const backend use : backends()) opened.push_back(need(maps::open(first.pid(), {.use = use})));
    first.kill();
    first.reap();
    for (const maps& one : opened) {
        CAPTURE(one.backend());
        if (one.backend() == backend::text) {
            check_all_answer(one, kernel_has_ioctl() ? errc::task_gone : errc::gone);
            continue;
        }
        check_answers(one);
        CHECK(one.find(anywhere).has_value());
        CHECK(difference(walk_with_names(one).records, raw_lines(slurp(maps_path(second.pid())).value())) == "");
    }
    second.kill();
    second.reap();
    for (const maps& one : opened) check_all_answer(one, errc::gone);
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

TEST_CASE("a thread's handle, once the thread has exited: the ioctl goes on, text says task_gone") {
    child threaded{[](channel& parent) {
        std::thread short_lived{[&parent] {
            parent.send(thread_id());
            parent.await();
        }};
        short_lived.join();
        parent.pause();
    }};
    const auto tid = threaded->receive<pid_t>();
    std::vector<maps> opened;
    for (const backend use : backends()) opened.push_back(need(maps::open(threaded.pid(), tid, {.use = use})));
    for (const maps& one : opened) check_answers(one);
    threaded->signal();
    while (exists("/proc/" + std::to_string(threaded.pid()) + "/task/" + std::to_string(tid))) ::usleep(1000);
    for (const maps& one : opened) {
        CAPTURE(one.backend());
        one.backend() == backend::ioctl ? check_answers(one) : check_all_answer(one, errc::task_gone);
    }
}

TEST_CASE("once the main thread has exited, the process opens through another thread") {
    child headless{[](channel& parent) {
        std::thread{[&parent] {
            parent.send(thread_id());
            parent.pause();
        }}.detach();
        ::syscall(SYS_exit, 0);
    }};
    const auto tid = headless->receive<pid_t>();
    while (!slurp(maps_path(headless.pid())).value_or("").empty()) ::usleep(1000);
    for (const backend use : backends()) {
        CAPTURE(use);
        check_answers(need(maps::open(headless.pid(), {.use = use})));
        check_answers(need(maps::open(headless.pid(), tid, {.use = use})));
    }
}

TEST_CASE("a forked child that uses its parent's handle asks about the parent") {
    if (!kernel_has_ioctl()) SKIP("a shared handle is promised for the ioctl only");
    const maps parents = need(maps::open_self({.use = backend::ioctl}));
    char* const memory = map_pages(3, PROT_READ);
    char* const hole = memory + page;
    REQUIRE(::munmap(hole, page) == 0);
    child forked{[&](channel& parent) {
        ensure(map_pages(1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, hole) == hole, "map");
        ensure(::munmap(memory, page) == 0, "unmap");
        parent.send(parents.find(address_of(hole)).error());
        parent.send(parents.find(address_of(memory)).error());
        const auto reopened = maps::open_self();
        parent.send(reopened->find(address_of(hole)).error());
        parent.send(reopened->find(address_of(memory)).error());
    }};
    for (const errc expected : {errc::not_mapped, errc::none, errc::none, errc::not_mapped})
        CHECK(forked->receive<procmap::error>() == expected);
    ::munmap(memory, page);
    ::munmap(memory + 2 * page, page);
}

}  // namespace
