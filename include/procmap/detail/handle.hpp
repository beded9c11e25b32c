// The inside of a handle: an open maps file, and what is known about it.
#pragma once

#include <procmap/version.hpp>

#include <cstdint>

#include <procmap/fd.hpp>
#include <procmap/options.hpp>
#include <procmap/result.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// An open maps file and what is known about it.
struct handle {
    unique_fd fd{};
    procmap::backend backend = procmap::backend::text;
    bool kernel_build_ids = false;   // the kernel may be asked for build IDs of regular files
    std::int32_t pid = error::unknown;
    std::int32_t tid = 0;
    mutable std::uint32_t reads = 0;  // number of reads of the text through this handle: see text_reader
    std::uintptr_t opener = 0;  // the process that opened this handle: see capture_mappings()
    mutable std::uintptr_t reading = 0;      // the process that is reading the text; 0: none

    /// True if queries use the ioctl. Where a back-end is left out, the compiler knows it, and drops the code of the other.
    [[nodiscard]] bool by_ioctl() const noexcept { return has_ioctl && (!has_text || backend == procmap::backend::ioctl); }

    [[nodiscard]] error not_mapped(std::uint64_t address, int errno_value = 0) const noexcept {
        error e = failure(errc::not_mapped, step::query, errno_value);
        e.offset = address;
        return e;
    }
    [[nodiscard]] error failure(errc code, step at, int errno_value = 0) const noexcept {
        return {.code = code, .at = at, .errno_value = errno_value, .pid = pid, .tid = tid};
    }
};

}  // namespace procmap::inline PROCMAP_ABI::detail
