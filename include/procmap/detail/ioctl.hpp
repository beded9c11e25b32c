// Sends PROCMAP_QUERY.
#pragma once

#include <procmap/version.hpp>

#include <sys/ioctl.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include <procmap/detail/guards.hpp>
#include <procmap/uapi.hpp>

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#endif
#endif
#if defined(PROCMAP_VALGRIND)
#include <valgrind/memcheck.h>
#endif

namespace procmap::inline PROCMAP_ABI::detail {

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

}  // namespace procmap::inline PROCMAP_ABI::detail
