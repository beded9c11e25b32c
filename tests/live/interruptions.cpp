// Use in signal handlers, and thread cancellation.
#include "asking.hpp"
#include "../support/calls.hpp"
#include "../support/churn.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"
#include "../support/records.hpp"
#include "../support/skipping.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/cached_maps.hpp>
#include <procmap/fd.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>
#include <procmap/probe.hpp>
#include <procmap/snapshot.hpp>

using namespace support;
using procmap::backend;
using procmap::mapping;
using procmap::mapping_walk;
using procmap::maps;

namespace {

#if defined(PROCMAP_TEST_SANITIZED)
constexpr std::size_t signal_stack_size = 256 * 1024;  // instrumented frames are larger
constexpr timeval signal_interval{.tv_sec = 0, .tv_usec = 20000};
#else
constexpr std::size_t signal_stack_size = 16 * 1024;
constexpr timeval signal_interval{.tv_sec = 0, .tv_usec = 1000};
#endif

/// A signal handler on a small stack of its own, for as long as this lives.
class on_signal {
public:
    on_signal(int number, void (*handler)(int, siginfo_t*, void*)) : number_(number) {
        static char stack[signal_stack_size];
        const stack_t alternate{.ss_sp = stack, .ss_flags = 0, .ss_size = sizeof stack};
        REQUIRE(::sigaltstack(&alternate, nullptr) == 0);
        struct sigaction action {};
        action.sa_sigaction = handler;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        REQUIRE(::sigaction(number, &action, &before_) == 0);
    }
    on_signal(const on_signal&) = delete;
    on_signal& operator=(const on_signal&) = delete;
    ~on_signal() {
        ::sigaction(number_, &before_, nullptr);
        const stack_t none{.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
        ::sigaltstack(&none, nullptr);
    }

private:
    int number_;
    struct sigaction before_ {};
};

/// What the handlers use and leave behind.
struct {
    const maps* handle;
    mapping_walk* walk;
    std::uint64_t address;
    int found, not_found, walks, steps;
} in_handler;

void look_around(std::uint64_t address) {
    const auto hit = in_handler.handle->find(address);
    hit.has_value() && hit->contains(address) ? ++in_handler.found : ++in_handler.not_found;
    for ([[maybe_unused]] const mapping& m : *in_handler.walk) ++in_handler.steps;
    if (in_handler.walk->complete()) ++in_handler.walks;
}

TEST_CASE("a handler of a real fault finds the mapping on a small stack, on both back-ends") {
    NEEDS_LIVE_MAPS();
    const on_signal fault{SIGSEGV, [](int, siginfo_t* info, void*) {
                              look_around(address_of(info->si_addr));
                              ::mprotect(info->si_addr, page, PROT_READ | PROT_WRITE);
                          }};
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(maps::open_self({.use = use}));
        static std::optional<mapping_walk> walk;
        walk.emplace(self.walk());
        in_handler = {.handle = &self, .walk = &*walk, .address = 0, .found = 0, .not_found = 0, .walks = 0, .steps = 0};
        char* const guard = map_pages(1, PROT_NONE);
        *static_cast<volatile char*>(guard) = 1;
        CHECK(in_handler.found == 1);
        CHECK(in_handler.walks == 1);
        CHECK(in_handler.steps > 5);
        ::munmap(guard, page);
    }
}

TEST_CASE("a walk survives a handler that uses the same handle, again and again") {
    child paused{[](channel& parent) {
        map_alternating(300);
        wait_forever(parent);
    }};
    paused->await();
    const auto raw = raw_lines(slurp(maps_path(paused.pid())).value());
    const on_signal interrupted{SIGUSR1, [](int, siginfo_t*, void*) { look_around(in_handler.address); }};
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps opened = need(maps::open(paused.pid(), {.use = use}));
        auto inner = opened.walk();
        in_handler = {.handle = &opened, .walk = &inner, .address = raw[50].start, .found = 0, .not_found = 0, .walks = 0,
                      .steps = 0};
        auto outer = opened.walk({.names = true});
        std::vector<record> seen;
        for (const mapping& m : outer) {
            seen.emplace_back(m);
            if (seen.size() % 7 == 1) ::raise(SIGUSR1);
        }
        CHECK(outer.complete());
        CHECK(difference(seen, raw) == "");
        CHECK(in_handler.not_found == 0);
        CHECK(in_handler.walks == in_handler.found);
        CHECK(static_cast<std::size_t>(in_handler.steps) == raw.size() * static_cast<std::size_t>(in_handler.walks));
    }
}

TEST_CASE("a walk survives handlers that use the same handle at any moment, while the process changes") {
    static arena* stable;
    static tally from_handler;
    arena here;
    stable = &here;
    child changing = changing_child(here);
    changing->await();
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps opened = need(maps::open(changing.pid(), {.use = use}));
        in_handler.handle = &opened;
        from_handler = {};
        tally outer;
        {
            const auto look = [](int, siginfo_t*, void*) { find_once(*in_handler.handle, *stable, 7, from_handler); };
            const on_signal alarm{SIGALRM, look};
            itimerval often{.it_interval = signal_interval, .it_value = signal_interval};
            ::setitimer(ITIMER_REAL, &often, nullptr);
            const auto enough = std::chrono::steady_clock::now() + std::chrono::seconds{1};
            while (std::chrono::steady_clock::now() < enough) walk_once(opened, here, outer);
            often = {};
            ::setitimer(ITIMER_REAL, &often, nullptr);
        }
        outer.check();
        from_handler.check();
        CHECK(from_handler.right > 0);
        CHECK(from_handler.contended == 0);
        CHECK(outer.right > 0);
    }
}

#if !defined(PROCMAP_TEST_SANITIZED)  // AddressSanitizer takes the stack that a cancelled thread leaves for overflown
TEST_CASE("a cancellation that is pending ends no function half-way, and never the program") {
    NEEDS_LIVE_MAPS();
    struct attempt {
        backend use;
        bool done = false;
    };
    for (const backend use : backends()) {
        CAPTURE(use);
        attempt a{use};
        pthread_t thread;
        REQUIRE(::pthread_create(&thread, nullptr, [](void* at) -> void* {
            auto& of = *static_cast<attempt*>(at);
            ::pthread_cancel(::pthread_self());
            {
                const auto self = maps::open_self({.use = of.use});
                const auto other = maps::open(no_process);
                const auto adopted = maps::adopt(procmap::unique_fd{static_cast<int>(::syscall(SYS_openat, AT_FDCWD, "/proc/self/smaps", O_RDONLY | O_CLOEXEC))});
                const auto can = procmap::probe();
                auto walk = self->walk({.names = true, .build_ids = true});
                for ([[maybe_unused]] const mapping& m : walk) {}
                const std::array addresses{address_of(reinterpret_cast<const void*>(&::getpid)), address_of(reinterpret_cast<const void*>(&check_answers))};
                procmap::normalizer n{{.build_ids = true, .elf_addresses = true, .build_ids_from = procmap::build_id_choice::file, .file_states = true}};
                procmap::cached_maps c{*self, {.build_ids = true, .build_ids_from = procmap::build_id_choice::file}};
                bool good = can.text && walk.complete() && !other && !adopted;
                for (int again = 0; again < 2; ++again) {
                    const auto normalized = n.normalize(*self, addresses);
                    good = good && normalized && normalized->complete() && c.find(addresses[0]).has_value();
                    n.release_files();
                }
                good = good && procmap::snapshot::capture(*self, {.build_ids = true}).has_value();
                of.done = good;
            }
            for (;;) ::pause();  // the first cancellation point
        }, &a) == 0);
        void* how = nullptr;
        REQUIRE(::pthread_join(thread, &how) == 0);
        CHECK(how == PTHREAD_CANCELED);
        CHECK(a.done);
    }
}
#endif

}  // namespace
