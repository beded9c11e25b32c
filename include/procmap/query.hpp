// Sends PROCMAP_QUERY as it is, without fallback to text.
//
//   procmap::uapi::query<> q{address, procmap::uapi::query_flag::executable};
//   if (procmap::uapi::send(self->fd(), q).error == 0) use(q.start(), q.end());
#pragma once

#include <procmap/version.hpp>

#include <sys/ioctl.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>

#include <procmap/detail/ioctl.hpp>
#include <procmap/fd.hpp>
#include <procmap/uapi.hpp>

namespace procmap::inline PROCMAP_ABI {

namespace uapi {

/// The result of a query.
struct reply {
    int error = 0;         ///< 0, or the errno of the ioctl
    std::size_t size = 0;  ///< bytes of the struct that were sent: a layout that the kernel accepts

    /// Returns the fields of a query of `asked` bytes that were not sent, because the kernel does not know them.
    [[nodiscard]] constexpr std::span<const field> lost(std::size_t asked, std::span<const field> all = fields) const noexcept {
        std::size_t first = 0;
        while (first < all.size() && all[first].offset < size) ++first;
        std::size_t last = first;
        while (last < all.size() && all[last].offset < asked) ++last;
        return all.subspan(first, last - first);
    }
};

/// Sends a query. One system call. Retries after EINTR (at most a hundred times), and with the next older layout after E2BIG, with which
/// the kernel rejects a non-zero byte in a field that it does not know. errno is preserved. Async-signal-safe.
///
/// `Struct` is procmap_query, or a newer struct whose first member is that. Its first field, `size`, tells how much of it is sent.
template <class Struct>
[[nodiscard]] inline reply send(borrowed_fd fd, Struct& extensible) noexcept {
    auto& size = *reinterpret_cast<std::uint64_t*>(&extensible);
    int failure = detail::ioctl_once(fd.get(), &extensible);
    for (int tries = 0; failure != 0; ++tries) {
        if (failure == E2BIG) {
            std::uint64_t older = 0;
            for (const layout known : layouts)
                if (static_cast<std::uint64_t>(known) < size) older = static_cast<std::uint64_t>(known);
            if (older == 0) break;
            size = older;
        } else if (failure != EINTR || tries >= detail::interrupted_tries) {
            break;
        }
        failure = detail::ioctl_once(fd.get(), &extensible);
    }
    reply answer{.error = failure};
    answer.size = size & SIZE_MAX;  // a cast is useless where std::size_t has 64 bits
    return answer;
}

/// The same for a typed query.
template <layout L>
[[nodiscard]] inline reply send(borrowed_fd fd, query<L>& q) noexcept {
    const reply answer = send(fd, q.raw());
    if (answer.error == 0) detail::kernel_wrote(q.raw());
    return answer;
}

}  // namespace uapi
}  // namespace procmap::inline PROCMAP_ABI
