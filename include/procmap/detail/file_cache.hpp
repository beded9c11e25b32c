// Cached data of mapped files.
#pragma once

#include <procmap/version.hpp>

#include <time.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <procmap/detail/image_facts.hpp>
#include <procmap/detail/mapped_file.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// The time at which cached file data is checked. CLOCK_BOOTTIME counts time in suspend as the wall clock does and is slewed with it, so
/// that the difference of the two changes only when the wall clock is set.
struct moment {
    std::int64_t wall = 0;     // CLOCK_REALTIME_COARSE, which change times are taken from, in milliseconds
    std::int64_t set_off = 0;  // the wall clock minus CLOCK_BOOTTIME
    bool known = false;

    [[nodiscard]] static moment now() noexcept {
        timespec wall{}, boot{};
        if (::clock_gettime(CLOCK_REALTIME_COARSE, &wall) != 0 || ::clock_gettime(CLOCK_BOOTTIME, &boot) != 0) return {};
        return {.wall = milliseconds(wall), .set_off = milliseconds(wall) - milliseconds(boot), .known = true};
    }
    /// Whether a change of a file from now on gets a later change time than `v` has, if the wall clock is not set. Change times have the
    /// granularity of the kernel's tick (10 ms at most; finer since 6.13). A time without nanoseconds may be of a file system that keeps
    /// whole seconds (ext4 with inodes of 128 bytes) or two of them.
    [[nodiscard]] bool settles(const file_version& v) const noexcept {
        const std::int64_t limit = v.ctime_nanoseconds == 0 ? 3'000 : 20;
        if (!known || v.ctime_seconds > wall / 1'000) return false;  // no clock, or a change in the future
        return v.ctime_seconds < 0 || wall - (v.ctime_seconds * 1'000 + std::int64_t{v.ctime_nanoseconds} / 1'000'000) > limit;
    }
    /// Whether the wall clock was not set since `earlier`. If it was, a later change can have an earlier change time, or the same one. Not
    /// noticed is a clock that was set and set back in between, or that was set by less than the tolerance.
    [[nodiscard]] bool follows(const moment& earlier) const noexcept {
        constexpr std::int64_t tolerance = 50;  // the tick, and that the two clocks are read one after the other
        const std::int64_t step = set_off - earlier.set_off;
        return known && earlier.known && step <= tolerance && step >= -tolerance;
    }

private:
    [[nodiscard]] static std::int64_t milliseconds(const timespec& t) noexcept {
        return std::int64_t{t.tv_sec} * 1'000 + t.tv_nsec / 1'000'000;
    }
};

/// What identifies a remembered file to a mapping.
enum class key : unsigned char {
    number,      ///< the mapping's device and inode: a descriptor holds the inode, and its file system gives each file its own
    descriptor,  ///< the device and inode of a descriptor that was found anew: two open files that agree in both are one
    build_id,    ///< the mapping's device and inode, name and build ID together
};

/// A file that is remembered. Its descriptor (O_PATH), which `build_id` needs none of, holds the inode, so that its number cannot
/// become another file's.
struct known_file {
    key by = key::number;
    device_number device{};
    std::uint64_t inode = 0;
    std::string name{};  // `build_id` only
    unique_fd pin{};
    file_version version{};
    build_id_source way = build_id_source::none;  // how it was found
    image_facts facts{};
    moment checked{};      // when `version` was read, before anything was read of the file
    bool settled = false;  // a change after that shows in the version
    bool read = false;     // `facts` are those of `version`, though the ID may be the kernel's
    std::uint64_t used = 0;
    std::int64_t used_at = 0;  // in seconds
    std::uint64_t since = 0;  // the memory's time when it was remembered
};

}  // namespace procmap::inline PROCMAP_ABI::detail
