// Errors of opening: nonexistent, denied and hidden processes, zombies and kernel threads.
#include "asking.hpp"
#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/mounts.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"
#include "../support/skipping.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>
#include <procmap/maps.hpp>
#include <procmap/result.hpp>
#include <procmap/text.hpp>

using namespace support;
using procmap::backend;
using procmap::errc;
using procmap::maps;

namespace {

TEST_CASE("a process or thread that does not exist is gone") {
    for (const backend use : backends()) {
        CAPTURE(use);
        const auto process = maps::open(no_process, {.use = use});
        CHECK(process.error() ==
              procmap::error{.code = errc::gone, .at = procmap::step::open, .errno_value = ENOENT, .pid = no_process});
        CHECK(maps::open(::getpid(), no_process, {.use = use}).error() == errc::gone);
        CHECK(maps::open(::getpid(), ::getppid(), {.use = use}).error() == errc::gone);  // not one of its threads
        child reaped{wait_forever};
        reaped.kill();
        reaped.reap();
        CHECK(maps::open(reaped.pid(), {.use = use}).error() == errc::gone);
    }
}

TEST_CASE("pids that no process has are invalid") {
    for (const backend use : backends()) {
        for (const pid_t pid : {0, -1, INT_MIN}) {
            CHECK(maps::open(pid, {.use = use}).error() == errc::invalid);
            CHECK(maps::open(pid, ::getpid(), {.use = use}).error() == errc::invalid);
            CHECK(maps::open(::getpid(), pid, {.use = use}).error() == errc::invalid);
        }
    }
}

TEST_CASE("a pidfd opens the process that it names, and says when that is gone") {
    child running{wait_forever};
    running->await();
    const procmap::unique_fd pidfd{open_pidfd(running.pid())};
    if (!pidfd) SKIP("no pidfd_open");
    const procmap::unique_fd not_one{::open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
    const std::string long_path(5000, 'p');
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps opened = need(keeping_errno([&] { return maps::open(pidfd.borrow(), {.use = use}); }));
        CHECK(difference(walk_with_names(opened).records, raw_lines(slurp(maps_path(running.pid())).value())) == "");
        CHECK(maps::open(not_one.borrow(), {.use = use}).error() == errc::invalid);
        CHECK(maps::open(procmap::borrowed_fd{-1}, {.use = use}).error() == errc::invalid);
        CHECK(maps::open(pidfd.borrow(), {.use = use, .proc = long_path.c_str()}).error() == errc::invalid);
    }
    running.kill();
    running.await_zombie();
    CHECK(keeping_errno([&] { return maps::open(pidfd.borrow()).error().code; }) == errc::zombie);
    running.reap();
    CHECK(keeping_errno([&] { return maps::open(pidfd.borrow()).error().code; }) == errc::gone);
}

TEST_CASE("another user's process is denied, and the message says what is needed") {
    if (!may_drop_privileges()) SKIP("needs root, to become another user");
    child stranger{[](channel& parent) {
        const auto before = maps::open(::getppid());
        drop_privileges();
        for (const backend use : backends()) parent.send(maps::open(::getppid(), {.use = use}).error());
        parent.send(before.has_value() && before->find_from(0).has_value());
    }};
    for (const backend use : backends()) {
        CAPTURE(use);
        const auto error = stranger->receive<procmap::error>();
        CHECK(error ==
              procmap::error{.code = errc::denied, .at = procmap::step::open, .errno_value = EACCES, .pid = ::getpid()});
        std::string message;
        procmap::print([&](std::string_view piece) { message += piece; }, error);
        CHECK(contains(message, "CAP_SYS_PTRACE"));
        CHECK(contains(message, "cannot open maps of process " + std::to_string(::getpid())));
        CHECK(contains(message, "EACCES"));
    }
    CHECK_MESSAGE(stranger->receive<bool>(), "a handle keeps working after privileges are dropped");
}

TEST_CASE("a process that procfs hides is denied, not gone, and one that does not exist is gone") {
    if (!is_root()) SKIP("needs root, to mount");
    if (!kernel_at_least(5, 8)) SKIP("hidepid is not a mount's own before Linux 5.8");
    child stranger{[](channel& parent) {
        const pid_t hidden = ::getppid();
        const bool mounted = own_namespace() &&
                             ::mount("proc", "/proc", "proc", 0, "hidepid=2") == 0;
        parent.send(mounted);
        if (!mounted) return;
        drop_privileges();
        parent.send(maps::open(hidden).error());
        parent.send(maps::open(hidden, hidden).error());
        parent.send(maps::open(no_process).error());
        parent.send(maps::open(hidden, no_process).error());
        parent.send(maps::open_self().error());
    }};
    if (!stranger->receive<bool>()) SKIP("may not mount");
    for (const errc expected : {errc::denied, errc::denied, errc::gone, errc::gone, errc::none}) {
        const auto error = stranger->receive<procmap::error>();
        CHECK(error == expected);
        if (expected == errc::denied) CHECK(error.errno_value == ENOENT);
    }
}

TEST_CASE("a zombie is called one: it has no address space any more") {
    const child zombie{[](channel&) {}};
    zombie.await_zombie();
    CHECK(maps::open(zombie.pid()).error() == errc::zombie);
    for (const backend use : backends()) CHECK(maps::open(zombie.pid(), {.use = use}).error() == errc::zombie);
}

/// A kernel thread that can be seen from here, by its flags in /proc/PID/stat.
std::optional<pid_t> kernel_thread() {
    for (const pid_t pid : all_pids()) {
        const std::string stat = slurp("/proc/" + std::to_string(pid) + "/stat").value_or("");
        unsigned flags = 0;
        constexpr unsigned is_kernel_thread = 0x00200000;  // PF_KTHREAD, include/linux/sched.h
        if (stat.empty() || std::sscanf(stat.c_str() + stat.rfind(')'), ") %*c %*d %*d %*d %*d %*d %u", &flags) != 1) continue;
        if ((flags & is_kernel_thread) != 0) return pid;
    }
    return std::nullopt;
}

TEST_CASE("a kernel thread is called one: it never had an address space") {
    const auto pid = kernel_thread();
    if (!pid) SKIP("none can be seen from here");
    if (maps::open(*pid).error() == errc::denied) SKIP("may not be opened by this user");
    for (const backend use : backends()) CHECK(maps::open(*pid, {.use = use}).error() == errc::kernel_thread);
}

}  // namespace
