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

#include <procmap/fd.hpp>
#include <procmap/uapi.hpp>

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#endif
#endif
#if defined(PROCMAP_VALGRIND)
#include <valgrind/memcheck.h>
#endif

namespace procmap::inline PROCMAP_ABI {
namespace detail {

/// The request in the type of the C library's ioctl: an unsigned long in glibc, an int in musl.
#ifdef __GLIBC__
inline constexpr unsigned long ioctl_request = uapi::procmap_query_request;
#else
inline constexpr int ioctl_request = static_cast<int>(uapi::procmap_query_request);
#endif

/// Sends one ioctl. Returns 0 or its errno. errno itself is preserved.
[[nodiscard]] inline int ioctl_once(int fd, void* struct_of_size) noexcept {
    const errno_kept keep;
    return ::ioctl(fd, ioctl_request, struct_of_size) < 0 ? errno : 0;
}

/// Marks what the kernel wrote through a pointer as initialized, for tools that do not follow it: MSan, and valgrind if PROCMAP_VALGRIND is
/// defined, which requires valgrind/memcheck.h. Does nothing otherwise.
inline void kernel_wrote([[maybe_unused]] const void* data, [[maybe_unused]] std::size_t size) noexcept {
#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
    __msan_unpoison(data, size);
#endif
#endif
#if defined(PROCMAP_VALGRIND)
    (void)VALGRIND_MAKE_MEM_DEFINED(data, size);
#endif
}

inline void kernel_wrote(const uapi::procmap_query& q) noexcept {
    kernel_wrote(&q, sizeof q);
    if (q.vma_name_size != 0) kernel_wrote(reinterpret_cast<const void*>(static_cast<std::uintptr_t>(q.vma_name_addr)), q.vma_name_size);
    if (q.build_id_size != 0) kernel_wrote(reinterpret_cast<const void*>(static_cast<std::uintptr_t>(q.build_id_addr)), q.build_id_size);
}

}  // namespace detail

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
