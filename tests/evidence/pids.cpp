// Reused pids, and pids of another namespace.
#include "at_open.hpp"
#include "locating.hpp"
#include "../support/calls.hpp"
#include "../support/elf_files.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/mounts.hpp"
#include "../support/printed.hpp"
#include "../support/processes.hpp"
#include "../support/sandbox.hpp"
#include "../support/skipping.hpp"

#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/fd.hpp>
#include <procmap/handover.hpp>
#include <procmap/location.hpp>
#include <procmap/maps.hpp>
#include <procmap/result.hpp>
#include <procmap/snapshot.hpp>

using namespace support;
using procmap::backend;
using procmap::build_id_source;
using procmap::errc;
using procmap::file_state;
using procmap::maps;

namespace {

/// In a child: puts an image of its own where the vDSO was.
void forge_vdso() {
    const auto at = reinterpret_cast<void*>(vdso_address());
    ::munmap(at, 2 * page);
    void* const memory = ::mmap(at, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    const std::string forged = small_elf(twenty('\xee'));
    std::memcpy(memory, forged.data(), forged.size());
}

TEST_CASE("the vDSO of a handle is not read from a process that has its pid by now") {
    NEEDS_LIVE_MAPS();
    if (vdso_address() == 0) SKIP("no vDSO");
    for (const backend use : backends()) {
        // The victim's memory lives on in a child that shares it.
        alignas(16) static char stack[65536];
        child victim{[&](channel& parent) {
            const auto other = ::clone([](void*) -> int { ::prctl(PR_SET_PDEATHSIG, 0), ::alarm(20), pause_forever(); }, stack + sizeof stack,
                                       CLONE_VM | SIGCHLD, nullptr);
            parent.send(other);
            parent.await();
            ::syscall(SYS_exit_group, 0);
        }};
        const process sibling{victim->receive<pid_t>()};
        const maps of = need(maps::open(victim.pid(), {.use = use}));
        CHECK(has_directory(of));
        const located before = locate(of, vdso_address() + 0x100);
        CHECK(before.resolved);
        CHECK(before.id_known);
        CHECK(before.source == build_id_source::memory);
        victim->signal();
        victim.reap();
        const pid_t number = victim.pid();
        const pid_t made = start_as(number, [] { forge_vdso(), pause_forever(); });
        if (made != number) SKIP("no process of a chosen pid");
        const process impostor{made};
        ::usleep(50000);
        CHECK_FALSE(has_directory(of));
        const located after = locate(of, vdso_address() + 0x100);
        if (use == backend::ioctl) CHECK(after.resolved);
        CHECK_FALSE(after.id_known);
        CHECK_FALSE(after.elf_known);
    }
}

TEST_CASE("a handle from another pid namespace is not looked up by its number here") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("box/proc/x", "");
    dir.write("box/lib.so", small_elf(twenty('c')));
    child bystander{[](channel& parent) {
        if (vdso_address() != 0) forge_vdso();
        parent.signal();
        parent.pause();
    }};
    bystander->await();
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const procmap::unique_fd here{ends[0]}, there{ends[1]};
    const pid_t number = bystander.pid();
    child box{[&](channel& parent) {
        if (::unshare(CLONE_NEWPID) != 0 || !own_namespace()) ::_exit(0);
        const pid_t init = ::fork();
        if (init != 0) {
            ::waitpid(init, nullptr, 0);
            ::_exit(0);
        }
        end_with(0);
        const std::string root = dir / "box";
        ensure(::mount(root.c_str(), root.c_str(), nullptr, MS_BIND, nullptr) == 0 && ::chdir(root.c_str()) == 0, "bind");
        ensure(::syscall(SYS_pivot_root, ".", ".") == 0 && ::umount2(".", MNT_DETACH) == 0, "pivot");
        ensure(::mount("proc", "/proc", "proc", 0, nullptr) == 0, "proc");
        const pid_t app = start_as(number, [&] {
            char* const at = map_file("/lib.so");
            const auto self = maps::open_self();
            ensure(at != nullptr && self.has_value(), "the application");
            parent.send(address_of(at));
            (void)procmap::send_maps(there.get(), *self);
            pause_forever();
        });
        ensure(app == number, "a process of a chosen pid");
        pause_forever();
    }};
    std::uint64_t mapped = 0;
    {
        const timeval patience{.tv_sec = 5, .tv_usec = 0};
        ::setsockopt(here.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    }
    const maps of = need(procmap::receive_maps(here.get()));
    mapped = box->receive<std::uint64_t>();
    CHECK_FALSE(has_directory(of));
    const located file = locate(of, mapped);
    CHECK(file.resolved);
    CHECK(file.path == "/lib.so");
    CHECK(file.state == file_state::unknown);
    CHECK(file.id_known == kernel_ids(of));
    if (file.id_known) CHECK(file.id == hex_of(id_of(twenty('c'))));
    CHECK_FALSE(file.elf_known);
    if (vdso_address() != 0) CHECK_FALSE(locate(of, vdso_address() + 0x100).id_known);
}

/// How many reads this process has made, with those that tell it (proc_pid_io(5)); -1 where it is not told.
long reads_made() {
    const auto text = slurp("/proc/self/io");
    const std::size_t at = text ? text->find("syscr: ") : std::string::npos;
    return at == std::string::npos ? -1 : std::strtol(text->c_str() + at + 7, nullptr, 10);
}

TEST_CASE("a capture reads text only in the process that opened the handle, which its pid does not tell") {
    NEEDS_LIVE_MAPS();
    if (backends().size() < 2) SKIP("no ioctl");
    struct verdict {
        pid_t pid = 0;
        bool reads = false, whole = false;
    };
    for (const std::uint64_t flags : {std::uint64_t{0}, std::uint64_t{CLONE_NEWPID}}) {
        CAPTURE(flags);
        child agent{[&](channel& parent) {
            const bool own = ::unshare(CLONE_NEWPID) == 0 && own_namespace();
            const pid_t init = own ? ::fork() : -1;
            if (init < 0) return parent.send(false);
            if (init != 0) return static_cast<void>(::waitpid(init, nullptr, 0));
            end_with(0);
            ensure(::mount("proc", "/proc", "proc", 0, nullptr) == 0, "proc");
            const maps of = *maps::open_self();
            const auto look = [&] {
                const auto capture = [&] { return procmap::snapshot::capture(of).has_value(); };
                verdict v{.pid = ::getpid(), .reads = false, .whole = capture()};
                const long none = reads_made(), before = reads_made();
                v.whole = v.whole && capture();
                v.reads = reads_made() - before > before - none;
                parent.send(true);
                parent.send(v);
            };
            clone_args how{};
            how.flags = flags;
            how.exit_signal = SIGCHLD;
            const auto made = static_cast<pid_t>(::syscall(SYS_clone3, &how, sizeof how));
            if (made < 0) return parent.send(false);
            if (made == 0) look(), ::_exit(0);
            ::waitpid(made, nullptr, 0);
            look();
        }};
        if (!agent->receive<bool>()) SKIP("no pid namespace of one's own");
        const auto forked = agent->receive<verdict>();
        CHECK(agent->receive<bool>());
        const auto opener = agent->receive<verdict>();
        CHECK(opener.pid == 1);
        CHECK((forked.pid == 1) == (flags != 0));
        CHECK(opener.whole);
        CHECK(opener.reads);
        CHECK(forked.whole);
        CHECK_FALSE(forked.reads);
    }
}

TEST_CASE("a pidfd whose process is replaced while it is opened opens nothing, also in a sandbox that refuses signals or polling") {
    NEEDS_LIVE_MAPS();
    constexpr long no_call = -1;
#if defined(SYS_poll)
    constexpr long polling = SYS_poll;
#else
    constexpr long polling = SYS_ppoll;
#endif
    for (const long refused : {no_call, long{SYS_pidfd_send_signal}, polling})
        for (const bool replaced : {false, true}) {
            CAPTURE(refused);
            CAPTURE(replaced);
            child agent{[&](channel& parent) {
                const pid_t own = ::getpid(), victim = ::fork();
                if (victim == 0) end_with(own), pause_forever();
                const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, victim, 0));
                if (refused != no_call) refuse(refused, 0, error_action(EPERM));
                pid_t impostor = -1;
                bool armed = replaced;
                const std::string wanted = "/proc/" + std::to_string(victim) + "/maps";
                const at_open replace{[&](const char* path) {
                    if (!armed || wanted != path) return;
                    armed = false;
                    ::kill(victim, SIGKILL);
                    ::waitpid(victim, nullptr, 0);
                    impostor = start_as(victim, [] { pause_forever(); });
                    ::usleep(50000);
                }};
                const auto opened = maps::open(procmap::borrowed_fd{pidfd});
                const errc code = opened ? errc::none : opened.error().code;
                parent.send(replaced && impostor != victim ? errc::unsupported : code);
                ::kill(impostor > 0 ? impostor : victim, SIGKILL);
            }};
            const auto code = agent->receive<errc>();
            if (code == errc::unsupported) SKIP("no process of a chosen pid");
            const bool blind = refused == polling;
            if (replaced)
                CHECK((code == errc::gone || (blind && code == errc::denied)));
            else
                CHECK(code == (blind ? errc::denied : errc::none));
        }
}

}  // namespace
