// Open descriptors: counted, and passed over a Unix socket.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <vector>

namespace support {

/// How many descriptors are open, and one for looking.
inline std::ptrdiff_t open_descriptors() {
    std::error_code ignored;
    return std::distance(std::filesystem::directory_iterator{"/proc/self/fd", ignored}, {});
}

/// Passes up to 8 descriptors over a Unix socket, in one message with one byte.
inline bool pass_descriptors(int socket, const std::vector<int>& fds) {
    char byte = 'm';
    iovec data{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
    return ::sendmsg(socket, &message, MSG_NOSIGNAL) == 1;
}

}  // namespace support
