// Processes named by pid, thread or pidfd, and reused pids.
#include "snapshots.hpp"
#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/mounts.hpp"
#include "../support/processes.hpp"
#include "../support/skipping.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>
#include <procmap/maps.hpp>
#include <procmap/result.hpp>

using namespace support;
using procmap::backend;
using procmap::borrowed_fd;
using procmap::errc;
using procmap::maps;
using procmap::result;
using procmap::unique_fd;

namespace {

TEST_CASE("a process is opened by pid, by pid and thread, and by pidfd") {
    child living{wait_forever};
    living->await();
    const unique_fd pidfd{open_pidfd(living.pid())};
    for (const backend use : backends()) {
        CHECK(answers_as(need(maps::open(living.pid(), {.use = use})), living.pid()));
        CHECK(answers_as(need(maps::open(living.pid(), living.pid(), {.use = use})), living.pid()));
        if (!pidfd) continue;
        CHECK(answers_as(need(keeping_errno([&] { return maps::open(pidfd.borrow(), {.use = use}); })), living.pid()));
    }
    if (!pidfd) SKIP("no pidfds here");
}

TEST_CASE("a pidfd whose process has ended: a zombie, then gone") {
    child ended{wait_forever};
    ended->await();
    const unique_fd pidfd{open_pidfd(ended.pid())};
    if (!pidfd) SKIP("no pidfds here");
    ended.kill();
    ended.await_zombie();
    for (const backend use : backends()) {
        const auto zombie = keeping_errno([&] { return maps::open(pidfd.borrow(), {.use = use}); });
        CHECK(zombie.error() == errc::zombie);
        CHECK(zombie.error().pid == ended.pid());
    }
    ended.reap();
    for (const backend use : backends())
        CHECK(keeping_errno([&] { return maps::open(pidfd.borrow(), {.use = use}); }).error() == errc::gone);
}

TEST_CASE("what is no pidfd is invalid") {
    const unique_fd null{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    const unique_fd directory{::open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    const maps self = need(maps::open_self());
    for (const int fd : {-1, 1'000'000, null.get(), directory.get(), self.fd().get()})
        CHECK(keeping_errno([&] { return maps::open(borrowed_fd{fd}); }).error() == errc::invalid);
}

TEST_CASE("a pid that is another process's by now is never opened through the old one's pidfd or handle") {
    if (!is_root()) SKIP("needs root, for a pid namespace");
    const auto usable = backends();
    child reuse{[&](channel& parent) {
        const bool own = ::unshare(CLONE_NEWPID) == 0 && own_namespace();
        const pid_t init = own ? ::fork() : -1;
        if (init < 0) return parent.send(false);
        if (init != 0) return static_cast<void>(::waitpid(init, nullptr, 0));
        end_with(0);
        constexpr pid_t number = 300;
        const bool mounted = ::mount("proc", "/proc", "proc", 0, nullptr) == 0;
        const pid_t first = mounted ? start_as(number, pause_forever) : -1;
        const int pidfd = first == number ? open_pidfd(number) : -1;
        parent.send(pidfd >= 0);
        if (pidfd < 0) return;
        const auto handles = [&](auto report) {
            for (const backend use : usable) report(use);
        };
        std::vector<result<maps>> opened;
        handles([&](backend use) { opened.push_back(maps::open(borrowed_fd{pidfd}, {.use = use})); });
        for (const auto& one : opened) parent.send(one ? one->find_from(0).error().code : one.error().code);
        ::kill(number, SIGKILL);
        ::waitpid(number, nullptr, 0);
        const pid_t second = start_as(number, pause_forever);
        parent.send(second == number);
        handles([&](backend use) { parent.send(maps::open(borrowed_fd{pidfd}, {.use = use}).error().code); });
        handles([&](backend use) { parent.send(maps::open(number, {.use = use}).error().code); });
        for (const auto& one : opened) parent.send(one->find_from(0).error().code);
        const unique_fd fresh{open_pidfd(number)};
        handles([&](backend use) { parent.send(maps::open(fresh.borrow(), {.use = use}).error().code); });
    }};
    if (!reuse->receive<bool>()) SKIP("no pid namespace, clone3 or pidfd");
    const auto expect = [&](errc expected) {
        for (std::size_t i = 0; i < usable.size(); ++i) CHECK(reuse->receive<errc>() == expected);
    };
    expect(errc::none);
    REQUIRE(reuse->receive<bool>());
    expect(errc::gone);  // by the old pidfd
    expect(errc::none);  // by the number
    expect(errc::gone);  // the old handles
    expect(errc::none);  // by a new pidfd
}

TEST_CASE("a pid that changes hands between asking the pidfd for it and opening it is not opened") {
    child ended{wait_forever};
    ended->await();
    const unique_fd pidfd{open_pidfd(ended.pid())};
    if (!pidfd) SKIP("no pidfds here");
    child living{wait_forever};
    living->await();
    const std::string pid = std::to_string(living.pid());
    const temporary_directory proc;  // in which the pidfd's number is the other process's, as it would be then
    proc.write("self/fdinfo/" + std::to_string(pidfd.get()), "pos:\t0\nPid:\t" + pid + "\nNSpid:\t" + pid + '\n');
    std::filesystem::create_symlink("/proc/" + pid, proc / pid);
    const auto open = [&](backend use) { return maps::open(pidfd.borrow(), {.use = use, .proc = proc.path().c_str()}); };
    for (const backend use : backends()) CHECK(open(use).error() == errc::none);
    ended.kill();
    ended.reap();
    for (const backend use : backends()) CHECK(keeping_errno([&] { return open(use); }).error() == errc::gone);
}

TEST_CASE("a procfs mounted elsewhere is where pids and pidfds are looked up") {
    if (!is_root()) SKIP("needs root, to mount");
    const temporary_directory directory;
    const auto usable = backends();
    child elsewhere{[&](channel& parent) {
        const char* const proc = directory.path().c_str();
        const bool mounted = own_namespace() &&
                             ::mount("proc", proc, "proc", 0, nullptr) == 0 && ::umount2("/proc", MNT_DETACH) == 0;
        const unique_fd pidfd{mounted ? open_pidfd(::getpid()) : -1};
        parent.send(static_cast<bool>(pidfd));
        if (!pidfd) return;
        const auto here = address_of(reinterpret_cast<const void*>(&answers_as));
        const auto report = [&](const result<maps>& opened) {
            parent.send(opened ? opened->find(here).error().code : opened.error().code);
        };
        for (const backend use : usable) {
            report(maps::open(::getpid(), {.use = use, .proc = proc}));
            report(maps::open(::getpid(), ::getpid(), {.use = use, .proc = proc}));
            report(maps::open(pidfd.borrow(), {.use = use, .proc = proc}));
        }
    }};
    if (!elsewhere->receive<bool>()) SKIP("may not mount, or no pidfds");
    for (std::size_t i = 0; i < usable.size(); ++i)
        for (int way = 0; way < 3; ++way) CHECK(elsewhere->receive<errc>() == errc::none);
}

TEST_CASE("a pidfd of a process that the procfs does not show is unsupported") {
    if (!is_root()) SKIP("needs root, for a pid namespace");
    const unique_fd outside{open_pidfd(::getpid())};
    if (!outside) SKIP("no pidfds here");
    child inside{[&](channel& parent) {
        const bool own = ::unshare(CLONE_NEWPID) == 0 && own_namespace();
        const pid_t init = own ? ::fork() : -1;
        if (init < 0) return parent.send(false);
        if (init != 0) return static_cast<void>(::waitpid(init, nullptr, 0));
        const bool mounted = ::mount("proc", "/proc", "proc", 0, nullptr) == 0;
        parent.send(mounted);
        if (mounted) parent.send(maps::open(outside.borrow()).error().code);
    }};
    if (!inside->receive<bool>()) SKIP("no pid namespace");
    CHECK(inside->receive<errc>() == errc::unsupported);
}

}  // namespace
