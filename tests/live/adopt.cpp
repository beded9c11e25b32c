// Adopting a descriptor.
#include "asking.hpp"
#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"
#include "../support/skipping.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>
#include <procmap/maps.hpp>
#include <procmap/result.hpp>

using namespace support;
using procmap::backend;
using procmap::errc;
using procmap::maps;

namespace {

constexpr backend every_choice[] = {backend::automatic, backend::ioctl, backend::text};

bool is_there(backend use) { return use != backend::ioctl || kernel_has_ioctl(); }

TEST_CASE("a maps file that somebody else opened is taken over") {
    NEEDS_LIVE_MAPS();
    child paused{wait_forever};
    paused->await();
    const std::string threads = "/proc/" + std::to_string(paused.pid()) + "/task/" + std::to_string(paused.pid()) + "/maps";
    const std::string paths[] = {"/proc/self/maps", "/proc/thread-self/maps", maps_path(paused.pid()), threads};
    for (const std::string& path : paths) {
        for (const backend use : every_choice) {
            CAPTURE(path);
            CAPTURE(use);
            const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
            auto adopted = keeping_errno([&] { return maps::adopt(procmap::unique_fd{fd}, {.use = use}); });
            if (!is_there(use)) {
                CHECK(adopted.error() == errc::unsupported);
                CHECK_FALSE(is_open(fd));
                continue;
            }
            {
                const maps owner = need(std::move(adopted));
                CHECK(owner.fd().get() == fd);
                CHECK((use == backend::automatic || owner.backend() == use));
                check_answers(owner);
                CHECK(is_open(fd));
            }
            CHECK_FALSE(is_open(fd));
        }
    }
}

TEST_CASE("what is not a readable maps file is refused and closed, whatever the back-end") {
    const temporary_directory directory;
    directory.write("maps", slurp("/proc/self/maps").value());
    const auto opens = [](std::string path, int flags = O_RDONLY) {
        return std::function<int()>{[path, flags] { return ::open(path.c_str(), flags | O_CLOEXEC); }};
    };
    const auto either_end = [](auto make) {
        return [make] {
            int ends[2] = {-1, -1};
            if (make(ends) == 0) ::close(ends[1]);
            return ends[0];
        };
    };
    const std::pair<const char*, std::function<int()>> kinds[] = {
        {"smaps", opens("/proc/self/smaps")},
        {"smaps_rollup", opens("/proc/self/smaps_rollup")},
        {"numa_maps", opens("/proc/self/numa_maps")},
        {"status", opens("/proc/self/status")},
        {"pagemap", opens("/proc/self/pagemap")},
        {"timers, which is empty", opens("/proc/self/timers")},
        {"another's empty file", opens("/proc/1/timers")},
        {"a command line that reads as maps text", [] {
             child forger{[](channel& parent) {
                 parent.send(0);
                 ::execl("/bin/sleep", "00400000-00500000 r-xp 00000000 08:01 77    /usr/bin/forged\n00500000-00600000 rw-p 00000000 00:00 0\n",
                         "20", static_cast<char*>(nullptr));
             }};
             (void)forger->receive<int>();
             const std::string path = "/proc/" + std::to_string(forger.pid()) + "/cmdline";
             for (int tries = 0; tries < 500 && slurp(path).value_or("").find("forged") == std::string::npos; ++tries) ::usleep(2000);
             return ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
         }},
        {"mem", opens("/proc/self/mem")},
        {"cmdline", opens("/proc/self/cmdline")},
        {"recorded maps", opens(directory / "maps")},
        {"a directory of procfs", opens("/proc", O_RDONLY | O_DIRECTORY)},
        {"a process's directory", opens("/proc/self", O_RDONLY | O_DIRECTORY)},
        {"a directory", opens("/tmp", O_RDONLY | O_DIRECTORY)},
        {"maps by O_PATH", opens("/proc/self/maps", O_PATH)},
        {"maps for writing", opens("/proc/self/maps", O_WRONLY)},
        {"/dev/zero", opens("/dev/zero")},
        {"/dev/null", opens("/dev/null")},
        {"a pipe", either_end([](int* ends) { return ::pipe(ends); })},
        {"a socket", either_end([](int* ends) { return ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends); })},
        {"a memfd", [] { return static_cast<int>(::syscall(SYS_memfd_create, "maps", 0)); }}};
    for (const auto& kind : kinds) {
        for (const backend use : every_choice) {
            CAPTURE(kind.first);
            CAPTURE(use);
            const int fd = kind.second();
            if (fd < 0) {
                not_included(kind.first);
                break;
            }
            const auto refused = keeping_errno([&] { return maps::adopt(procmap::unique_fd{fd}, {.use = use}); });
            CHECK(refused.error() == errc::not_maps);
            CHECK(refused.error().at == procmap::step::adopt);
            CHECK_FALSE(is_open(fd));
        }
    }
}

TEST_CASE("a descriptor that is not open is invalid, and the maps of a zombie are gone") {
    const child zombie{[](channel&) {}};
    zombie.await_zombie();
    for (const backend use : every_choice) {
        CAPTURE(use);
        const int closed = ::dup(STDERR_FILENO);
        ::close(closed);
        CHECK(maps::adopt(procmap::unique_fd{closed}, {.use = use}).error() == errc::invalid);
        CHECK(maps::adopt(procmap::unique_fd{-1}, {.use = use}).error() == errc::invalid);
        CHECK(maps::adopt(procmap::unique_fd{}, {.use = use}).error().errno_value == EBADF);
        const int fd = ::open(maps_path(zombie.pid()).c_str(), O_RDONLY | O_CLOEXEC);
        CHECK(maps::adopt(procmap::unique_fd{fd}, {.use = use}).error() == errc::gone);
        CHECK_FALSE(is_open(fd));
    }
}

}  // namespace
