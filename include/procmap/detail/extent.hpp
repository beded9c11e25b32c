// How far mappings reach from an address without a hole.
#pragma once

#include <procmap/version.hpp>

#include <procmap/detail/lookup.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// Returns the end of `size` bytes from `address` on, at most the end of the address space.
[[nodiscard]] constexpr std::uint64_t end_of(std::uint64_t address, std::uint64_t size) noexcept {
    return size > UINT64_MAX - address ? UINT64_MAX : address + size;
}

[[nodiscard, gnu::noinline]] inline result<std::uint64_t> extent_by_text(const handle& from, std::uint64_t address, std::uint64_t end,
                                                                         filters only) noexcept {
    char buffer[text_buffer_size];
    text_reader reader;
    std::uint64_t at = address;
    for (mapping m; at < end && reader.next(from, buffer, {.above = at}, m) && m.start <= at && m.passes(only);) at = m.end;
    if (reader.error().code != errc::none) return reader.error();
    return (at < end ? at : end) - address;
}

/// See maps::extent.
[[nodiscard]] inline result<std::uint64_t> extent(const handle& from, std::uint64_t address, std::uint64_t size, filters only) noexcept {
    const std::uint64_t end = end_of(address, size);
    if (!from.by_ioctl()) return extent_by_text(from, address, end, only);
    std::uint64_t at = address;
    while (at < end) {
        const auto m = lookup_ioctl(from, at, {.only = only}, false);
        if (!m && m.error() == errc::not_mapped) break;
        if (!m) return m.error();
        at = m->end;
    }
    return (at < end ? at : end) - address;
}

}  // namespace procmap::inline PROCMAP_ABI::detail
