// How much stack the functions take that docs/safety.md gives a figure of. Each is called on a stack that was painted, and what is
// no longer painted afterwards is counted.
//
// The figures are of optimized code, so this is compiled with -O2 whatever the preset. Each function is called twice, and counted the
// second time: the first call binds functions of the C library, which takes stack of the dynamic linker.
#include "support/calls.hpp"
#include "support/descriptors.hpp"
#include "support/files.hpp"
#include "support/machine.hpp"
#include "support/processes.hpp"
#include "support/raw_maps.hpp"
#include "support/run.hpp"
#include "support/skipping.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>
#include <procmap/handover.hpp>
#include <procmap/maps.hpp>
#include <procmap/probe.hpp>

using namespace support;
using procmap::backend;
using procmap::borrowed_fd;
using procmap::mapping;
using procmap::mapping_walk;
using procmap::maps;
using procmap::unique_fd;

namespace {

constexpr std::size_t stack_size = 256 * 1024;
constexpr unsigned char paint = 0xa5;

struct {
    unsigned char* bottom;
    void (*call)();
    std::size_t used;
} on_stack;

/// Counts from its own frame, of a few words, to the lowest byte that `call` wrote.
[[gnu::noinline]] std::size_t depth_of_call() {
    auto* const top = static_cast<unsigned char*>(__builtin_frame_address(0));
    constexpr std::size_t own = 128;  // below the top: this frame, and a red zone
    for (volatile unsigned char* at = on_stack.bottom; at < top - own; ++at) *at = paint;
    on_stack.call();
    const volatile unsigned char* lowest = on_stack.bottom;
    while (lowest < top && *lowest == paint) ++lowest;
    return static_cast<std::size_t>(top - lowest);
}

/// Bytes of stack that `call` takes, with all that it calls. It runs on a thread of its own, whose stack is ours.
std::size_t stack_of(void (*call)()) {
    static void* const stack = ::mmap(nullptr, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(stack != MAP_FAILED);
    on_stack = {.bottom = static_cast<unsigned char*>(stack), .call = call, .used = 0};
    pthread_attr_t attributes;
    pthread_t thread;
    REQUIRE(::pthread_attr_init(&attributes) == 0);
    REQUIRE(::pthread_attr_setstack(&attributes, stack, stack_size) == 0);
    const auto twice = [](void*) -> void* {
        (void)depth_of_call();
        on_stack.used = depth_of_call();
        return nullptr;
    };
    REQUIRE(::pthread_create(&thread, &attributes, twice, nullptr) == 0);
    ::pthread_join(thread, nullptr);
    ::pthread_attr_destroy(&attributes);
    return on_stack.used;
}

// ---- what the calls use, none of it on the painted stack

struct {
    std::optional<maps> handle;
    procmap::open_options how;
    std::uint64_t address = 0;
    int file = -1, pair[2] = {-1, -1};
    pid_t pid = 0;
    bool right = false;  // the call did what it was to do
} used;

procmap::name_buffer name, room;
procmap::build_id_buffer id;
char short_name[4];

/// A child whose main thread has exited and another one lives.
child headless_child() {
    return child{[](channel& parent) {
        std::thread{[&parent] {
            parent.signal();
            parent.pause();
        }}.detach();
        ::syscall(SYS_exit, 0);
    }};
}

int file_of(const char* path) { return ::open(path, O_RDONLY | O_CLOEXEC); }

/// A figure of docs/safety.md: it takes at most so many bytes. The figures are of x86-64; frames of other architectures may be larger.
void at_most(std::size_t figure, const char* what, void (*call)()) {
#if defined(__x86_64__)
    const std::size_t limit = figure;
#else
    const std::size_t limit = figure * 3 / 2;
#endif
    used.right = false;
    const std::size_t bytes = stack_of(call);
    std::printf("%6zu of %6zu bytes: %s\n", bytes, limit, what);
    INFO(std::string{what});
    CHECK(used.right);
    CHECK(bytes <= limit);
}

// ---- the figures, in bytes

constexpr std::size_t find_figure = 900, find_in_own_buffer_figure = 6500, find_in_name_buffer_figure = 2000, step_figure = 1500,
                      walk_figure = 6500, walk_in_buffer_figure = 2500, probe_figure = 5500, running_kernel_figure = 700, open_figure = 5000,
                      open_at_once_figure = 3500, open_pidfd_figure = 7000, adopt_figure = 3500, send_figure = 500, receive_figure = 6500;

const char* name_of(backend use) { return use == backend::ioctl ? "ioctl" : "text"; }

TEST_CASE("a lookup takes no more stack than its figure") {
    NEEDS_LIVE_MAPS();
    used.address = reinterpret_cast<std::uintptr_t>(&file_of);
    for (const backend use : backends()) {
        std::printf("%s\n", name_of(use));
        const bool text = use == backend::text;
        const std::size_t figure = text ? find_in_own_buffer_figure : find_figure;
        const std::size_t figure_with_name = text ? find_in_name_buffer_figure : find_figure;
        used.handle = need(maps::open_self({.use = use, .trust_kernel_build_ids = true}));
        at_most(figure, "find", [] { used.right = used.handle->find(used.address).has_value(); });
        at_most(figure, "find_from", [] { used.right = used.handle->find_from(used.address).has_value(); });
        at_most(figure, "extent", [] { used.right = used.handle->extent(used.address, 1 << 20).has_value(); });
        at_most(figure, "find, no mapping", [] { used.right = !used.handle->find(16).has_value(); });
        at_most(figure_with_name, "find with a name", [] { used.right = used.handle->find(used.address, {.name = name}).has_value(); });
        at_most(figure, "find with a name that does not fit",
                [] { used.right = used.handle->find(used.address, {.name = short_name}).has_value(); });
        at_most(find_in_own_buffer_figure, "find with a build ID",
                [] { used.right = used.handle->find(used.address, {.build_id = id}).has_value(); });
        at_most(find_in_name_buffer_figure, "find with a name and a build ID",
                [] { used.right = used.handle->find(used.address, {.name = name, .build_id = id}).has_value(); });
        static std::optional<mapping_walk> walk;
        walk.emplace(used.handle->walk({.names = true}));
        at_most(step_figure, "the steps of a walk", [] {
            for ([[maybe_unused]] const mapping& m : *walk) {}
            used.right = walk->complete();
        });
        at_most(walk_figure, "a walk and its steps", [] {
            auto own = used.handle->walk({.names = true});
            for ([[maybe_unused]] const mapping& m : own) {}
            used.right = own.complete();
        });
        at_most(walk_in_buffer_figure, "a walk in the caller's buffer and its steps", [] {
            auto own = used.handle->walk_in_buffer({.names = true, .build_ids = true, .buffer = room});
            for ([[maybe_unused]] const mapping& m : own) {}
            used.right = own.complete();
        });
        at_most(walk_figure, "a walk with build IDs and its steps", [] {
            auto own = used.handle->walk({.names = true, .build_ids = true});
            for ([[maybe_unused]] const mapping& m : own) {}
            used.right = own.complete();
        });
    }
    used.handle.reset();
}

TEST_CASE("to find out what can be done takes no more stack than its figure") {
    NEEDS_LIVE_MAPS();
    at_most(probe_figure, "probe", [] { used.right = procmap::probe().text; });
    at_most(probe_figure, "probe without procfs", [] { used.right = !procmap::probe("/nowhere").text; });
    at_most(running_kernel_figure, "running_kernel", [] { used.right = procmap::running_kernel().major != 0; });
}

TEST_CASE("to open a handle takes no more stack than its figure") {
    NEEDS_LIVE_MAPS();
    child headless = headless_child();
    headless->await();
    while (!slurp(maps_path(headless.pid())).value_or("").empty()) ::usleep(1000);
    child zombie{[](channel&) {}};
    zombie.await_zombie();
    for (const backend use : backends()) {
        std::printf("%s\n", name_of(use));
        used.how = {.use = use};
        at_most(open_at_once_figure, "open_self", [] { used.right = maps::open_self(used.how).has_value(); });
        at_most(open_at_once_figure, "open", [] { used.right = maps::open(::getpid(), used.how).has_value(); });
        at_most(open_at_once_figure, "open by thread", [] { used.right = maps::open(::getpid(), ::getpid(), used.how).has_value(); });
        at_most(open_figure, "open, no such process", [] { used.right = !maps::open(INT32_MAX, used.how).has_value(); });
        used.pid = zombie.pid();
        at_most(open_figure, "open, a zombie", [] { used.right = !maps::open(used.pid, used.how).has_value(); });
        used.pid = headless.pid();
        at_most(open_figure, "open, the main thread has exited", [] { used.right = maps::open(used.pid, used.how).has_value(); });
#ifdef SYS_pidfd_open
        used.file = static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0));
        at_most(open_pidfd_figure, "open by pidfd", [] { used.right = maps::open(borrowed_fd{used.file}, used.how).has_value(); });
        ::close(used.file);
        used.file = static_cast<int>(::syscall(SYS_pidfd_open, headless.pid(), 0));
        at_most(open_pidfd_figure, "open by pidfd, the main thread has exited",
                [] { used.right = maps::open(borrowed_fd{used.file}, used.how).has_value(); });
        ::close(used.file);
        used.file = static_cast<int>(::syscall(SYS_pidfd_open, zombie.pid(), 0));
        at_most(open_pidfd_figure, "open by pidfd, a zombie",
                [] { used.right = !maps::open(borrowed_fd{used.file}, used.how).has_value(); });
        ::close(used.file);
#endif
    }
}

TEST_CASE("to take a descriptor over takes no more stack than its figure") {
    NEEDS_LIVE_MAPS();
    for (const backend use : backends()) {
        std::printf("%s\n", name_of(use));
        used.how = {.use = use};
        at_most(adopt_figure, "adopt", [] { used.right = maps::adopt(unique_fd{file_of("/proc/self/maps")}, used.how).has_value(); });
        at_most(adopt_figure, "adopt, smaps",
                [] { used.right = !maps::adopt(unique_fd{file_of("/proc/self/smaps")}, used.how).has_value(); });
        at_most(adopt_figure, "adopt, status",
                [] { used.right = !maps::adopt(unique_fd{file_of("/proc/self/status")}, used.how).has_value(); });
        at_most(adopt_figure, "adopt, a file of no procfs",
                [] { used.right = !maps::adopt(unique_fd{file_of("/dev/null")}, used.how).has_value(); });
        REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, used.pair) == 0);
        used.handle = need(maps::open_self({.use = use}));
        at_most(send_figure, "send_maps", [] { used.right = procmap::send_maps(used.pair[1], *used.handle).has_value(); });
        at_most(receive_figure, "receive_maps", [] { used.right = procmap::receive_maps(used.pair[0], used.how).has_value(); });
        const auto again = [](const char* what, std::vector<int> fds) {
            for (int i = 0; i < 2; ++i) REQUIRE(pass_descriptors(used.pair[1], fds));  // one for each call
            for (const int fd : fds) ::close(fd);
            at_most(receive_figure, what, [] { used.right = !procmap::receive_maps(used.pair[0], used.how).has_value(); });
        };
        again("receive_maps, smaps", {file_of("/proc/self/smaps")});
        again("receive_maps, a file of no procfs", {file_of("/dev/null")});
        again("receive_maps, several descriptors", {file_of("/dev/null"), file_of("/proc/self/maps"), file_of("/dev/null")});
        for (const int fd : used.pair) ::close(fd);
    }
    used.handle.reset();
}

}  // namespace

int main(int argc, char** argv) {
#ifdef PROCMAP_TEST_SANITIZED
    std::printf("SKIPPED: the figures are of code without a sanitizer\n");
    (void)argc, (void)argv;
    return 77;
#else
    return run(argc, argv);
#endif
}
