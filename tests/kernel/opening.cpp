// Opening and closing: errors, descriptors, pidfds, and tasks without an address space.
#include "fake_kernel.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>
#include <procmap/maps.hpp>
#include <procmap/probe.hpp>
#include <procmap/result.hpp>

using namespace support;
namespace uapi = procmap::uapi;
using procmap::errc;
using uapi::procmap_query;

TEST_CASE("opening fails with what the kernel said") {
    const std::pair<int, errc> meanings[] = {{EACCES, errc::denied}, {EPERM, errc::denied}, {ESRCH, errc::gone},
                                             {EMFILE, errc::failed}, {ENFILE, errc::failed}, {ENOMEM, errc::failed}};
    for (const auto& known : meanings) {
        const int code = known.first;
        const errc meaning = known.second;
        CAPTURE(code);
        with_kernel kernel;
        kernel.openat = [code](const char*) { return -code; };
        errno = 4242;
        const auto maps = procmap::maps::open(1);
        CHECK(errno == 4242);
        REQUIRE(!maps);
        CHECK(maps.error() == meaning);
        CHECK(maps.error().errno_value == code);
        CHECK(maps.error().pid == 1);
        CHECK(maps.error().at == procmap::step::open);
        CHECK(procmap::probe().error == meaning);
    }
}

TEST_CASE("a descriptor is closed once, whatever close says, and errno is kept") {
    with_kernel kernel;
    kernel.close = [](int) { return -EINTR; };
    {
        procmap::unique_fd fd{open("/dev/null", O_RDONLY | O_CLOEXEC)};
        procmap::unique_fd moved{std::move(fd)};
        CHECK(!fd);
        errno = 4242;
    }
    CHECK(errno == 4242);
    CHECK(kernel.closes == 1);
    procmap::unique_fd released{open("/dev/null", O_RDONLY | O_CLOEXEC)};
    const int fd = released.release();
    released.reset();
    CHECK(kernel.closes == 1);
    kernel.close = nullptr;
    CHECK(close(fd) == 0);
}

TEST_CASE("what a pidfd's text says of its process decides, and afterwards whether the pidfd says that it has exited") {
    with_kernel kernel;
    kernel.ioctl = [](procmap_query&) { return -ENOENT; };
    std::vector<std::string> looks;  // what is read at each; the last again after that
    std::size_t look = 0;
    kernel.pread = [&](char* to, std::size_t size, std::uint64_t position) -> long {
        const std::string& text = looks[std::min(look, looks.size() - 1)];
        if (text == "EIO") return -EIO;
        if (position >= text.size()) return ++look, 0;
        return static_cast<long>(text.copy(to, size, static_cast<std::size_t>(position)));
    };
    // Of no pidfd, but of what is readable when it is told to, as a pidfd is.
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    const procmap::unique_fd none{ends[0]}, writer{ends[1]};
    const auto with = [&](std::vector<std::string> texts) {
        looks = std::move(texts);
        look = 0;
        errno = 4242;
        const auto opened = procmap::maps::open(none.borrow());
        CHECK(errno == 4242);
        return opened ? errc::none : opened.error().code;
    };
    const std::string living = "pos:\t0\nPid:\t" + std::to_string(getpid()) + "\nNSpid:\t1\n";
    CHECK(with({living}) == errc::none);
    CHECK(with({"pos:\t0\nPid:\t-1\nNSpid:\t-1\n"}) == errc::gone);
    CHECK(with({"pos:\t0\nPid:\t0\n"}) == errc::unsupported);
    for (const char* wrong : {"Pid:\t", "Pid:\tx\n", "Pid:\t2147483648\n", "Pid:\t99999999999999999999999\n"}) {
        CAPTURE(std::string{wrong});
        CHECK(with({wrong}) == errc::unsupported);
    }
    CHECK(with({""}) == errc::invalid);
    CHECK(with({"pos:\t0\n"}) == errc::invalid);
    CHECK(with({std::string(4096, 'x')}) == errc::invalid);
    CHECK(with({"EIO"}) == errc::failed);
    REQUIRE(write(writer.get(), "x", 1) == 1);
    CHECK(with({living}) == errc::gone);  // it has exited, so the number may be another's
    CHECK(with({living, "Pid:\t-1\n"}) == errc::gone);
    // Not yet reaped, it still has its number, and its task no address space.
    kernel.ioctl = [](procmap_query&) { return -ESRCH; };
    const std::string zombie = "1 (x) Z 1 1 1 0 -1 4194304 0\n";  // what its stat says; here each file has the text of both
    CHECK(with({living + zombie}) == errc::zombie);
    CHECK(with({living + zombie, "Pid:\t-1\n" + zombie}) == errc::gone);
}

TEST_CASE("what /proc/PID/stat says of a task without an address space is what the error says") {
    with_kernel kernel;
    kernel.ioctl = [](procmap_query&) { return -ESRCH; };
    const std::pair<const char*, errc> stats[] = {
        {"1 (a) Z 0 0 0 0 -1 64 0\n", errc::zombie},
        {"1 (a) X 0 0 0 0 -1 64 0\n", errc::zombie},
        {"1 (a) S 0 0 0 0 -1 2097216 0\n", errc::kernel_thread},
        {"1 (a) Z 0) S 0 0 0 0 -1 2097216 0\n", errc::kernel_thread},  // the name is the task's own choice
        {"1 (a) S 0 0 0 0 -1 64 0\n", errc::gone},
        {"1 (a) S 0 0 0 0 -1 x\n", errc::gone},
        {"1 (a) S 0 0", errc::gone},
        {"1 (a) ", errc::gone},
        {"1 (a)", errc::gone},
        {"1 (a", errc::gone},
        {"", errc::gone},
    };
    for (const auto& known : stats) {
        const std::string stat = known.first;
        CAPTURE(stat);
        kernel.pread = [&](char* to, std::size_t size, std::uint64_t) {
            return static_cast<long>(stat.copy(to, size));
        };
        errno = 4242;
        CHECK(procmap::maps::open(getpid()).error() == known.second);
        CHECK(errno == 4242);
    }
}
