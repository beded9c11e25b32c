// Connected sockets.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <optional>
#include <string>

#include <procmap/fd.hpp>

namespace support {

using procmap::unique_fd;

struct connection {
    unique_fd here, there;
};

inline std::optional<connection> connected() {
    const unique_fd listening{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    connection c{.here = {}, .there = unique_fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)}};
    if (::bind(listening.get(), generic, size) != 0 || ::listen(listening.get(), 1) != 0 ||
        ::getsockname(listening.get(), generic, &size) != 0 || ::connect(c.there.get(), generic, size) != 0)
        return std::nullopt;
    c.here.reset(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    return c;
}

inline std::string waiting_in(int fd) {
    char bytes[8192];
    const ssize_t n = ::recv(fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    return {bytes, n > 0 ? static_cast<std::size_t>(n) : 0};
}

}  // namespace support
