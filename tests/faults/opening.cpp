// Opening, adopting and probing, while each system call fails.
#include "interposed.hpp"
#include "answers.hpp"
#include "provoking.hpp"
#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"
#include "../support/skipping.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <iterator>
#include <thread>
#include <utility>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>
#include <procmap/maps.hpp>
#include <procmap/probe.hpp>

using namespace support;
using procmap::backend;
using procmap::maps;
using procmap::unique_fd;

namespace {

TEST_CASE("opening, whatever fails") {
    child paused{wait_forever};
    paused->await();
    const pid_t pid = paused.pid();
    for (const backend use : {backend::automatic, backend::ioctl, backend::text}) {
        if (use == backend::ioctl && !kernel_has_ioctl()) continue;
        CAPTURE(use);
        provoke("open", nothing, [&](int) { return of(maps::open(pid, {.use = use})); });
        provoke("open by a thread", nothing, [&](int) { return of(maps::open(pid, pid, {.use = use})); });
        provoke("adopt", [&] { return unique_fd{::open(maps_path(pid).c_str(), O_RDONLY | O_CLOEXEC)}; },
                [&](unique_fd& fd) { return of(maps::adopt(std::move(fd), {.use = use})); }, false);
    }
    provoke("open a process that is not there", nothing, [&](int) { return of(maps::open(INT32_MAX)); });
    provoke("open a thread that is not there", nothing, [&](int) { return of(maps::open(pid, INT32_MAX)); });
    provoke("probe", nothing, [](int) { return of(procmap::probe()); }, true, [](call which, int way) {
        const int to_the_struct[] = {E2BIG, EINVAL, EFAULT, ESRCH, ENAMETOOLONG};  // so the kernel tells how large it is
        return which == ioctl_ && std::find(std::begin(to_the_struct), std::end(to_the_struct), way) != std::end(to_the_struct);
    });
#if defined(SYS_pidfd_open)
    const unique_fd pidfd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
    if (!pidfd) return not_included("pidfds, which this kernel does not have");
    provoke("open by a pidfd", nothing, [&](int) { return of(maps::open(pidfd.borrow())); }, true, [](call which, int way) {
        return (which == openat_ && way == ENOENT) || (which == pread_ && way == end_of_file);  // no such descriptor; no pidfd
    });
#endif
}

TEST_CASE("refusing what is no maps file, whatever fails: it is closed") {
    const auto memory = [] { return unique_fd{static_cast<int>(::syscall(SYS_memfd_create, "maps", MFD_CLOEXEC))}; };
    for (const backend use : {backend::automatic, backend::text})
        provoke("refuse", memory, [&](unique_fd& fd) { return of(maps::adopt(std::move(fd), {.use = use})); }, false);
}

TEST_CASE("telling this process from others, whatever fails: where it cannot be told, the handle works all the same") {
    const auto forget = [] {
        if (procmap::detail::this_process_page != nullptr) ::munmap(procmap::detail::this_process_page, procmap::detail::process_page_size);
        procmap::detail::this_process_page = nullptr;
        procmap::detail::no_process_page = false;
        return 0;
    };
    const std::uint64_t address = address_of(reinterpret_cast<const void*>(&::getpid));
    provoke("open", forget, [&](int) {  // the page is in the text
        const auto opened = maps::open_self({.use = backend::text});
        faults.armed = false;
        answer a = opened ? of(opened->find(address)) : answer{};
        if (!opened) a.error = opened.error();
        return a;
    });
    const maps self = need(maps::open_self({.use = backend::text}));
    provoke("find", forget, [&](int) { return of(self.find(address)); });
    for (const long failing : {0, 1}) {  // mmap, madvise
        forget();
        arm(failing, ENOMEM, true);
        const auto number = procmap::detail::this_process();
        CHECK_FALSE(procmap::detail::is_this_process(number));
        faults.armed = false;
        CHECK(number == static_cast<std::uintptr_t>(::getpid()));
        arm(-1, 0, false);
        CHECK(procmap::detail::this_process() == number);
        faults.armed = false;
        CHECK(faults.count == 0);  // it is not tried again
        CHECK_FALSE(procmap::detail::is_this_process(number));
    }
    forget();
    CHECK(procmap::detail::is_this_process(procmap::detail::this_process()));
}

TEST_CASE("opening what has no address space, whatever fails") {
    child zombie{[](channel&) {}};
    zombie.await_zombie();
    child headless{[](channel& parent) {
        std::thread{[&parent] { wait_forever(parent); }}.detach();
        ::syscall(SYS_exit, 0);
    }};
    headless->await();
    while (!slurp(maps_path(headless.pid())).value_or("").empty()) ::usleep(1000);
    for (const backend use : {backend::automatic, backend::text}) {
        CAPTURE(use);
        provoke("open a zombie", nothing, [&](int) { return of(maps::open(zombie.pid(), {.use = use})); });
        provoke("open a process whose main thread has exited", nothing,
                [&](int) { return of(maps::open(headless.pid(), {.use = use})); });
    }
}

}  // namespace
