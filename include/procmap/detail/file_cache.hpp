// Cached data of mapped files, revalidated before each use by change time and size. Every write changes these, but one through a shared
// writable mapping (mmap(2): its time may come as late as msync). A change time is not relied on right after the change, nor once the wall
// clock was set.
#pragma once

#include <procmap/version.hpp>

#include <time.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
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

/// The cached files: at most `capacity` of them, and one at the least, each with at most one descriptor.
class file_cache {
public:
    explicit file_cache(std::size_t capacity) noexcept : capacity_(capacity) {}

    /// The file of a mapping, if its device and inode are enough to tell that it is cached. If the file was cached after the mapping was
    /// seen, the caller must look at the mapping again.
    [[nodiscard]] known_file* find_number(const mapping& m) noexcept {
        return find([&m](const known_file& f) { return f.by == key::number && f.inode == m.inode && f.device == m.device; });
    }
    /// The file of an open descriptor.
    [[nodiscard]] known_file* find_descriptor(const file_version& v) noexcept {
        return find([&v](const known_file& f) { return f.by == key::descriptor && f.inode == v.inode && f.device == v.device; });
    }
    /// The image of a mapping whose build ID is known.
    [[nodiscard]] known_file* find_id(const mapping& m, const build_id& id) noexcept {
        return find([&](const known_file& f) {
            return f.by == key::build_id && f.inode == m.inode && f.device == m.device && f.name == m.name && f.facts.id == id;
        });
    }

    /// Adds a file. The one that was not used for longest makes room for it.
    known_file& remember(known_file&& file) {
        if (files_.size() >= capacity_ && !files_.empty()) {
            known_file* oldest = &files_.front();
            for (known_file& f : files_)
                if (f.used < oldest->used) oldest = &f;
            if (oldest != &files_.back()) std::swap(*oldest, files_.back());
            files_.pop_back();
            ++forgotten_;
        }
        files_.push_back(std::move(file));
        files_.back().used = files_.back().since = ++clock_;
        files_.back().used_at = seconds_;
        return files_.back();
    }
    /// Adds the file that was found for a mapping.
    known_file& remember(found_file&& found, key by, const mapping& m) {
        const moment now = moment::now();
        return remember({.by = by,
                         .device = by == key::number ? m.device : found.version.device,
                         .inode = by == key::number ? m.inode : found.version.inode,
                         .pin = std::move(found.path_fd),
                         .version = found.version,
                         .way = found.way,
                         .checked = now,
                         .settled = now.settles(found.version)});
    }

    /// Drops all cached files and closes their descriptors.
    void release() noexcept {
        files_.clear();
        ++forgotten_;
    }

    /// Drops the files that were not used for a minute, and looks for such files every few seconds. Its clock stands still in suspend.
    void release_unused() noexcept {
        constexpr std::int64_t most_idle = 60, interval = 5;  // seconds
        const int saved = errno;
        timespec present{};
        if (::clock_gettime(CLOCK_MONOTONIC_COARSE, &present) == 0) seconds_ = present.tv_sec;
        if (seconds_ - swept_ >= interval) {
            swept_ = seconds_;
            if (std::erase_if(files_, [this](const known_file& f) noexcept { return seconds_ - f.used_at > most_idle; }) != 0) ++forgotten_;
        }
        errno = saved;
    }

    /// Whether a file that was remembered by the time `then`, when `forgotten` had that value, has been ever since: then its number cannot
    /// have become another's.
    [[nodiscard]] bool still_holds(const mapping& m, std::uint64_t forgotten_then, std::uint64_t then) const noexcept {
        if (forgotten_ == forgotten_then) return true;
        for (const known_file& f : files_)
            if (f.by == key::number && f.inode == m.inode && f.device == m.device) return f.since <= then;
        return false;
    }
    [[nodiscard]] std::uint64_t forgotten() const noexcept { return forgotten_; }  ///< files that made room
    [[nodiscard]] std::uint64_t time() const noexcept { return clock_; }           ///< later than all that is remembered

private:
    template <class Property>
    known_file* find(Property property) noexcept {
        for (known_file& f : files_)
            if (property(f)) return refreshed(f);
        return nullptr;
    }

    /// Brings it up to date, by one system call.
    known_file* refreshed(known_file& f) noexcept {
        f.used = ++clock_;
        f.used_at = seconds_;
        if (f.by == key::build_id) return &f;
        const int saved = errno;
        file_version present;
        const bool seen = read_version(f.pin.borrow(), present);
        const moment now = moment::now();  // later than the version: the clock was not set between the two checks either
        errno = saved;
        // Written to, renamed, linked or unlinked; or its change time does not tell: everything is asked again.
        if (!seen || present != f.version || !f.settled || !now.follows(f.checked)) {
            f.version = seen ? present : file_version{};
            f.checked = now;
            f.settled = seen && now.settles(present);
            f.facts.id_known = f.read = false;
            f.facts.loads.clear();
        }
        return &f;
    }

    std::vector<known_file> files_{};
    std::size_t capacity_;
    std::uint64_t clock_ = 0;
    std::int64_t seconds_ = 0;  // at the beginning of this call
    std::int64_t swept_ = 0;    // when files were last dropped that are not used
    std::uint64_t forgotten_ = 0;
};

}  // namespace procmap::inline PROCMAP_ABI::detail
