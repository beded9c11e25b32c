// Descriptors received from another process: no sender can make a receiver wait.
#include "locating.hpp"
#include "../support/descriptors.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/mounts.hpp"
#include "../support/processes.hpp"
#include "../support/skipping.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>
#include <procmap/handover.hpp>
#include <procmap/maps.hpp>
#include <procmap/result.hpp>

using namespace support;
using procmap::errc;
using procmap::maps;

namespace {

TEST_CASE("the path of a descriptor that was sent here is not waited for") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("stuck/proc/x", "");
    child agent{[&](channel& parent) {
        int ends[2];
        const int fuse = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
        if (fuse < 0 || !own_namespace() || ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) parent.send(-1);
        const pid_t own = ::getpid(), sender = ::fork();
        if (sender == 0) {
            end_with(own);
            const std::string proc = dir / "stuck/proc";
            ensure(own_namespace() && ::mount("proc", proc.c_str(), "proc", 0, nullptr) == 0, "proc");
            const auto self = maps::open(::getpid(), {.proc = proc.c_str()});
            ensure(self.has_value(), "its own maps");
            (void)procmap::send_maps(ends[1], *self);
            pause_forever();
        }
        auto of = procmap::receive_maps(ends[0]);
        if (!of) parent.send(1);
        // Here the same path leads to a server that never answers.
        const std::string options = "fd=" + std::to_string(fuse) + ",rootmode=40000,user_id=0,group_id=0";
        if (::mount("fuse", (dir / "stuck").c_str(), "fuse", MS_NOSUID, options.c_str()) != 0) parent.send(-1);
        ::alarm(10);  // ends this process, and the test fails
        const located l = locate(*of, address_of(reinterpret_cast<const void*>(&pause_forever)));
        parent.send(!l.resolved || has_directory(*of) ? 2 : 0);
        ::close(fuse);
        ::kill(sender, SIGKILL);
    }};
    const int verdict = agent->receive<int>();
    if (verdict < 0) SKIP("no FUSE here");
    CHECK(verdict == 0);
}

/// Answers what the kernel asks of a FUSE file system with one file until that has been opened, and then nothing any more.
void serve_one_open(int fuse) {
    static char request[128 * 1024];
    for (bool opened = false; !opened;) {
        const ssize_t n = ::read(fuse, request, sizeof request);
        if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN)) continue;
        ensure(n >= static_cast<ssize_t>(sizeof(fuse_in_header)), "a request");
        fuse_in_header in;
        std::memcpy(&in, request, sizeof in);
        struct {
            fuse_out_header header{};
            union {
                fuse_init_out init;
                fuse_entry_out entry;
                fuse_attr_out attr;
                fuse_open_out open;
            };
        } out{};
        fuse_attr file{};
        file.ino = 77;
        file.mode = in.nodeid == FUSE_ROOT_ID && in.opcode == FUSE_GETATTR ? S_IFDIR | 0755 : S_IFREG | 0444;
        file.nlink = 1;
        file.blksize = 1024;
        std::size_t size = 0;
        switch (in.opcode) {
            case FUSE_INIT:
                out.init = {};
                out.init.major = FUSE_KERNEL_VERSION;
                out.init.minor = FUSE_KERNEL_MINOR_VERSION;
                out.init.max_write = 4096;
                size = sizeof out.init;
                break;
            case FUSE_LOOKUP:
                out.entry = {};
                out.entry.nodeid = 2;
                out.entry.attr = file;
                size = sizeof out.entry;
                break;
            case FUSE_GETATTR:
                out.attr = {};
                out.attr.attr = file;
                size = sizeof out.attr;
                break;
            case FUSE_OPEN:
                out.open = {};
                size = sizeof out.open;
                opened = true;
                break;
            default: out.header.error = -ENOSYS;
        }
        out.header.unique = in.unique;
        out.header.len = static_cast<std::uint32_t>(sizeof out.header + size);
        (void)!::write(fuse, &out, out.header.len);
    }
}

/// A file of a server that does not answer, and the server's pid; -1 where there is no FUSE.
int open_unanswered(const std::string& directory, pid_t& server) {
    const int fuse = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
    const std::string options = "fd=" + std::to_string(fuse) + ",rootmode=40000,user_id=0,group_id=0,allow_other";
    if (fuse < 0 || !own_namespace() || ::mount("fuse", directory.c_str(), "fuse", 0, options.c_str()) != 0) return -1;
    server = ::fork();
    if (server == 0) {
        ::alarm(30);
        serve_one_open(fuse);
        pause_forever();
    }
    ::close(fuse);
    const int fd = ::open((directory + "/maps").c_str(), O_RDONLY | O_CLOEXEC);
    ensure(fd >= 0, "a file of FUSE");
    return fd;
}

/// A socket with data that its peer does not take, and which lingers.
int connect_lingering() {
    const int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int small = 1;
    ::setsockopt(listening, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listening, reinterpret_cast<sockaddr*>(&address), size) != 0) return -1;
    ::getsockname(listening, reinterpret_cast<sockaddr*>(&address), &size);
    if (::listen(listening, 1) != 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&address), size) != 0) return -1;
    static char data[1 << 20];
    while (::send(fd, data, sizeof data, MSG_DONTWAIT) > 0) {}
    const linger long_time{.l_onoff = 1, .l_linger = 30};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &long_time, sizeof long_time);
    return fd;
}

TEST_CASE("what a sender passes cannot make a receiver wait: a file whose server does not answer, a socket that lingers, or several") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("mount/x", "");
    enum class what { fuse, socket, both, sockets };
    constexpr int most = 8;
    for (const what passed : {what::fuse, what::socket, what::both, what::sockets}) {
        CAPTURE(static_cast<int>(passed));
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        const procmap::unique_fd here{ends[0]}, there{ends[1]};
        child sender{[&](channel& parent) {
            ::close(here.get());
            std::vector<int> fds;
            pid_t server = 0;
            if (passed == what::fuse || passed == what::both) fds.push_back(open_unanswered(dir / "mount", server));
            for (int i = 0; passed != what::fuse && i < (passed == what::sockets ? most : 1); ++i) fds.push_back(connect_lingering());
            const bool able = std::find(fds.begin(), fds.end(), -1) == fds.end();
            if (able) ensure(pass_descriptors(there.get(), fds), "send");
            for (const int fd : fds)
                if (passed != what::fuse && (passed != what::both || fd != fds.front())) ::close(fd);  // so that the receiver's is the last
            parent.send(server);
            parent.send(able);
            parent.pause();
        }};
        const struct server {  // ends before the sender, which waits for it when it closes its file
            pid_t pid;
            ~server() {
                if (pid > 0) ::kill(pid, SIGKILL);
            }
        } of_sender{sender->receive<pid_t>()};
        if (!sender->receive<bool>()) {
            not_included("no FUSE, or no network");
            continue;
        }
        child receiver{[&](channel& parent) {
            ::alarm(10);  // ends it, and the test fails
            ::prctl(PR_SET_CHILD_SUBREAPER, 1);
            static int ended = 0;
            ::signal(SIGCHLD, [](int) { ++ended; });
            const auto open_before = open_descriptors();
            const auto refused = procmap::receive_maps(here.get());
            parent.send(refused.error().code);
            parent.send(open_descriptors() == open_before);
            ::usleep(50000);  // what lingers is killed
            const bool of_fuse = passed == what::fuse || passed == what::both;  // that one still waits
            parent.send(of_fuse ? ::waitpid(-1, nullptr, WNOHANG) == 0 : ::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD && ended == 0);
            parent.send(procmap::maps::open_self().has_value());
            ::_exit(0);
        }};
        CHECK(receiver->receive<errc>() == (passed == what::both || passed == what::sockets ? errc::malformed : errc::not_maps));
        CHECK(receiver->receive<bool>());  // every number is free
        CHECK(receiver->receive<bool>());  // and no child is left to be waited for
        CHECK(receiver->receive<bool>());
    }
}

}  // namespace
