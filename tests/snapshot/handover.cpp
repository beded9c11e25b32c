// Handles passed over a Unix socket.
#include "snapshots.hpp"
#include "../support/calls.hpp"
#include "../support/descriptors.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"
#include "../support/records.hpp"
#include "../support/skipping.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>
#include <procmap/handover.hpp>
#include <procmap/maps.hpp>
#include <procmap/result.hpp>
#include <procmap/snapshot.hpp>

using namespace support;
using procmap::backend;
using procmap::errc;
using procmap::mapping;
using procmap::maps;
using procmap::snapshot;
using procmap::unique_fd;

namespace {

struct socket_pair {
    unique_fd a, b;
    explicit socket_pair(int type) {
        int ends[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0);
        a.reset(ends[0]);
        b.reset(ends[1]);
    }
};

constexpr int socket_types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};

/// Sends descriptors, each list in a control message of its own.
void send_descriptors(int socket, const std::vector<std::vector<int>>& lists) {
    char byte = 'x';
    iovec data{&byte, 1};
    alignas(cmsghdr) char control[4096] = {};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    std::size_t size = 0;
    for (const auto& list : lists) {
        const std::size_t bytes = list.size() * sizeof(int);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(bytes);
        std::memcpy(CMSG_DATA(header), list.data(), bytes);
        size += CMSG_SPACE(bytes);
        header = reinterpret_cast<cmsghdr*>(control + size);
    }
    message.msg_controllen = size;
    if (size == 0) message.msg_control = nullptr;
    REQUIRE(::sendmsg(socket, &message, MSG_NOSIGNAL) == 1);
}

TEST_CASE("a handle is handed over, on each kind of socket, and answers the same") {
    NEEDS_LIVE_MAPS();
    for (const int type : socket_types) {
        for (const backend use : backends()) {
            CAPTURE(type);
            const socket_pair sockets{type};
            const maps self = need(maps::open_self({.use = use}));
            CHECK(keeping_errno([&] { return procmap::send_maps(sockets.a.get(), self); }).has_value());
            CHECK(keeping_errno([&] { return procmap::send_maps(sockets.a.get(), self); }).has_value());
            for (int i = 0; i < 2; ++i) {
                const maps received =
                    need(keeping_errno([&] { return procmap::receive_maps(sockets.b.get(), {.use = use}); }));
                CHECK(received.backend() == use);
                CHECK(received.fd().get() != self.fd().get());
                CHECK(::fcntl(received.fd().get(), F_GETFD) == FD_CLOEXEC);
                const auto here = address_of(reinterpret_cast<const void*>(&open_descriptors));
                CHECK(record{need(received.find(here))} == record{need(self.find(here))});
            }
        }
    }
}

TEST_CASE("a receiver without rights asks about a process that it could not open") {
    NEEDS_LIVE_MAPS();
    if (!may_drop_privileges()) SKIP("needs root, to give rights up");
    const auto usable = backends();
    for (const int type : socket_types) {
        const socket_pair sockets{type};
        child agent{[&](channel& parent) {
            drop_privileges();
            ensure(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no new privileges");
            const auto address = parent.receive<std::uint64_t>();
            for (const backend use : usable) {
                parent.send(maps::open(::getppid(), {.use = use}).error().code);
                const auto received = procmap::receive_maps(sockets.b.get(), {.use = use});
                parent.send(received.error().code);
                const auto found = received->find(address);
                parent.send(found ? found->start : 0);
                parent.send(found ? found->end : 0);
                parent.send(snapshot::capture(*received).has_value());
            }
        }};
        agent->send(address_of(strange_text.data()));
        for (const backend use : usable) {
            const maps self = need(maps::open_self({.use = use}));
            REQUIRE(procmap::send_maps(sockets.a.get(), self).has_value());
            CHECK(agent->receive<errc>() == errc::denied);
            CHECK(agent->receive<errc>() == errc::none);
            const mapping here = need(self.find(address_of(strange_text.data())));
            CHECK(agent->receive<std::uint64_t>() == here.start);
            CHECK(agent->receive<std::uint64_t>() == here.end);
            CHECK(agent->receive<bool>());
        }
    }
}

TEST_CASE("what is received and no maps file is refused and closed") {
    const unique_fd files[] = {unique_fd{::open("/proc/self/smaps", O_RDONLY | O_CLOEXEC)},
                               unique_fd{::open("/dev/null", O_RDWR | O_CLOEXEC)},
                               unique_fd{::open("/proc/self/maps", O_PATH | O_CLOEXEC)},
                               unique_fd{::open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC)}};
    for (const int type : socket_types) {
        const socket_pair sockets{type};
        for (const unique_fd& file : files) {
            const auto before = open_descriptors();
            send_descriptors(sockets.a.get(), {{file.get()}});
            CHECK(keeping_errno([&] { return procmap::receive_maps(sockets.b.get()); }).error() == errc::not_maps);
            CHECK(open_descriptors() == before);
        }
    }
}

TEST_CASE("no descriptor, or more than one, in one control message or several, is malformed and leaks nothing") {
    NEEDS_LIVE_MAPS();
    const unique_fd one{::open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
    const int fd = one.get();
    for (const int type : socket_types) {
        const socket_pair sockets{type};
        for (const auto& lists : std::vector<std::vector<std::vector<int>>>{
                 {}, {{fd, fd}}, {{fd}, {fd}}, {{fd, fd, fd}}, {{fd}, {fd}, {fd}}, {{fd, fd}, {fd}}, {std::vector(9, fd)},
                 {std::vector(100, fd), std::vector(100, fd)}, {std::vector(253, fd)}}) {
            CAPTURE(lists.size());
            const auto before = open_descriptors();
            send_descriptors(sockets.a.get(), lists);
            const auto received = keeping_errno([&] { return procmap::receive_maps(sockets.b.get()); });
            CHECK(received.error() == procmap::error{.code = errc::malformed, .at = procmap::step::receive});
            CHECK(open_descriptors() == before);
        }
    }
}

TEST_CASE("a socket that also passes credentials or pidfds receives a handle, and leaks nothing") {
    NEEDS_LIVE_MAPS();
    const maps self = need(maps::open_self());
    for (const int type : socket_types) {
        for (const int bits : {1, 2, 4, 7}) {
            CAPTURE(bits);
            const socket_pair sockets{type};
            constexpr int pass_pidfd = 76;  // SO_PASSPIDFD, Linux 6.5
            const std::pair<int, int> options[] = {{1, SO_PASSCRED}, {2, SO_PASSSEC}, {4, pass_pidfd}};
            const int on = 1;
            for (const auto& [bit, option] : options)
                if ((bits & bit) != 0) ::setsockopt(sockets.b.get(), SOL_SOCKET, option, &on, sizeof on);
            const auto before = open_descriptors();
            {
                REQUIRE(procmap::send_maps(sockets.a.get(), self).has_value());
                const auto received = procmap::receive_maps(sockets.b.get());
                CHECK(received.error() == errc::none);
                send_descriptors(sockets.a.get(), {{self.fd().get(), self.fd().get()}});
                CHECK(procmap::receive_maps(sockets.b.get()).error() == errc::malformed);
            }
            CHECK(open_descriptors() == before);
        }
    }
}

TEST_CASE("the other side closed: gone when receiving, an error and no signal when sending") {
    const maps self = need(maps::open_self());
    ::signal(SIGPIPE, SIG_DFL);
    for (const int type : socket_types) {
        CAPTURE(type);
        socket_pair sockets{type};
        sockets.b.reset();
        const auto sent = keeping_errno([&] { return procmap::send_maps(sockets.a.get(), self); });
        CHECK(sent.error().code == errc::failed);
        CHECK(sent.error().at == procmap::step::send);
        CHECK(std::set{EPIPE, ECONNREFUSED, ECONNRESET}.contains(sent.error().errno_value));
        if (type == SOCK_DGRAM) continue;  // which has no end
        CHECK(keeping_errno([&] { return procmap::receive_maps(sockets.a.get()); }).error() ==
              procmap::error{.code = errc::gone, .at = procmap::step::receive});
    }
}

TEST_CASE("what is no socket, or would block, fails with the errno") {
    const maps self = need(maps::open_self());
    const unique_fd null{::open("/dev/null", O_RDWR | O_CLOEXEC)};
    const procmap::error sending{.code = errc::failed, .at = procmap::step::send, .errno_value = ENOTSOCK};
    const procmap::error receiving{.code = errc::failed, .at = procmap::step::receive, .errno_value = ENOTSOCK};
    CHECK(keeping_errno([&] { return procmap::send_maps(null.get(), self); }).error() == sending);
    CHECK(keeping_errno([&] { return procmap::receive_maps(null.get()); }).error() == receiving);
    const socket_pair sockets{SOCK_STREAM | SOCK_NONBLOCK};
    CHECK(keeping_errno([&] { return procmap::receive_maps(sockets.b.get()); }).error().errno_value == EAGAIN);
    const auto empty = keeping_errno([&] { return procmap::send_maps(sockets.a.get(), maps{}); });
    CHECK(empty.error() == procmap::error{.code = errc::invalid, .at = procmap::step::send, .errno_value = EBADF});
}

}  // namespace
