// Fuzzes receive_maps with any number and kind of descriptors, any bytes, and any socket options that add control messages. It must
// return a handle or the right error, depending on what was sent, and leave no descriptor open.
#include "fuzz.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include <procmap/handover.hpp>

namespace {

struct sendable {
    const char* path;
    int flags;
    bool good;  // a readable maps file
};
constexpr sendable sendables[] = {
    {"/proc/self/maps", O_RDONLY, true},       {"/proc/self/maps", O_RDONLY, true},  {"/proc/thread-self/maps", O_RDONLY, true},
    {"/proc/self/maps", O_PATH, false},        {"/proc/self/smaps", O_RDONLY, false}, {"/proc/self/status", O_RDONLY, false},
    {"/proc/self", O_RDONLY | O_DIRECTORY, false}, {"/dev/null", O_RDONLY, false},    {"/dev/zero", O_RDWR, false},
};

// The lowest free descriptors. If they change, a descriptor was left open.
struct free_descriptors {
    int lowest[3];
    free_descriptors() {
        for (int& fd : lowest) fd = ::dup(0);
        for (const int fd : lowest) ::close(fd);
    }
    bool operator==(const free_descriptors& other) const { return std::equal(lowest, lowest + 3, other.lowest); }
};

// Sends the bytes and descriptors in one message. Returns true on success.
bool send(int socket, std::span<const std::uint8_t> bytes, std::span<const int> fds) {
    iovec data{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(fds.size_bytes());
        cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fds.size_bytes());
        std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
    }
    return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const free_descriptors before;
    fuzz::bytes input{data, size};
    const auto shape = input.take<std::uint8_t>();
    constexpr int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    const int type = types[shape % 3];
    int pair[2];
    fuzz::require(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) == 0, "a pair of sockets");
    const int on = 1;
    constexpr int so_passpidfd = 76;  // Linux 6.5; older kernels reject it and pass no pidfd
    constexpr int options[] = {SO_PASSCRED, SO_PASSSEC, so_passpidfd};
    for (std::size_t i = 0; i < std::size(options); ++i)
        if ((shape >> (2 + i) & 1) != 0) (void)::setsockopt(pair[1], SOL_SOCKET, options[i], &on, sizeof on);

    int fds[8];
    std::size_t count = 0;
    std::size_t good = 0;
    for (std::size_t wanted = input.take<std::uint8_t>() % 9; count < wanted; ++count) {
        const sendable& what = sendables[input.take<std::uint8_t>() % std::size(sendables)];
        fds[count] = ::open(what.path, what.flags | O_CLOEXEC);
        fuzz::require(fds[count] >= 0, "what is sent can be opened");
        good += what.good ? 1u : 0u;
    }
    // A stream socket passes descriptors only with at least one byte of data.
    const bool sent = send(pair[0], input.rest(), {fds, count});
    for (std::size_t i = 0; i < count; ++i) ::close(fds[i]);
    ::close(pair[0]);

    const bool arrived = sent && (!input.rest().empty() || type != SOCK_STREAM);
    {
        const auto got = procmap::receive_maps(pair[1]);
        fuzz::require(got.has_value() == (arrived && count == 1 && good == 1), "a maps file where one was sent, and only then");
        if (got) {
            fuzz::require((::fcntl(got->fd().get(), F_GETFD) & FD_CLOEXEC) != 0, "close-on-exec");
            fuzz::require(got->find(reinterpret_cast<std::uintptr_t>(data)).has_value() || size == 0, "and it answers");
        } else {
            const auto code = got.error().code;
            const bool empty = !arrived || (input.rest().empty() && count == 0);
            fuzz::require(empty ? code == procmap::errc::gone || code == procmap::errc::failed || code == procmap::errc::malformed
                                : code == (count == 1 ? procmap::errc::not_maps : procmap::errc::malformed),
                          "the error says what was wrong");
        }
    }
    ::close(pair[1]);
    fuzz::require(before == free_descriptors{}, "no descriptor is left behind");
    return 0;
}
