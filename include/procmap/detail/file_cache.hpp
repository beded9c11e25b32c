// A cache of mapped files, revalidated before each use by change time and size. Every write changes these, except that a write through a
// shared writable mapping may do so only at msync (mmap(2)). A change time is not relied on directly after the change, or once the wall
// clock was set.
#pragma once

#include <procmap/version.hpp>

#include <time.h>

#include <string>

#include <procmap/detail/image_facts.hpp>
#include <procmap/detail/file_search.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// The time of a check. CLOCK_BOOTTIME includes suspend and is slewed like the wall clock. Only setting the latter changes the difference.
struct moment {
    std::int64_t wall = 0;     // CLOCK_REALTIME_COARSE, the source of change times, in milliseconds
    std::int64_t set_off = 0;  // the wall clock minus CLOCK_BOOTTIME
    bool known = false;

    [[nodiscard]] static moment now() noexcept {
        timespec wall{}, boot{};
        if (::clock_gettime(CLOCK_REALTIME_COARSE, &wall) != 0 || ::clock_gettime(CLOCK_BOOTTIME, &boot) != 0) return {};
        return {.wall = milliseconds(wall), .set_off = milliseconds(wall) - milliseconds(boot), .known = true};
    }
    /// Returns true if any later change of the file gets a change time later than that of `v`, unless the wall clock is set. Change times
    /// have the granularity of the kernel's tick (at most 10 ms; finer since 6.13). A time without nanoseconds may come from a file system
    /// with a granularity of one second (ext4 with inodes of 128 bytes) or two.
    [[nodiscard]] bool settles(const file_version& v) const noexcept {
        const std::int64_t limit = v.ctime_nanoseconds == 0 ? 3'000 : 20;
        if (!known || v.ctime_seconds > wall / 1'000) return false;  // no clock, or a change in the future
        return v.ctime_seconds < 0 || wall - (v.ctime_seconds * 1'000 + std::int64_t{v.ctime_nanoseconds} / 1'000'000) > limit;
    }
    /// Returns true if the wall clock was not set since `earlier`. Otherwise a later change can have an earlier or the same change time.
    /// Does not notice a clock that was set and set back in between, or set by less than the tolerance.
    [[nodiscard]] bool follows(const moment& earlier) const noexcept {
        constexpr std::int64_t tolerance = 50;  // for the tick, and the time between the two clock_gettime calls
        const std::int64_t step = set_off - earlier.set_off;
        return known && earlier.known && step <= tolerance && step >= -tolerance;
    }

private:
    [[nodiscard]] static std::int64_t milliseconds(const timespec& t) noexcept {
        return std::int64_t{t.tv_sec} * 1'000 + t.tv_nsec / 1'000'000;
    }
};

/// What identifies a cached file for a mapping.
enum class key : unsigned char {
    inode,       ///< the mapping's device and inode, unique on this file system; a descriptor keeps the inode from being reused
    descriptor,  ///< device and inode from stat of a newly opened descriptor: if two open files agree in both, they are the same
    build_id,    ///< the mapping's device and inode, name and build ID together
};

/// A cached file. Its O_PATH descriptor keeps the inode number from being reused; a file cached by key::build_id has none.
struct known_file {
    key by = key::inode;
    device_number device{};
    std::uint64_t inode = 0;
    std::string name{};  // key::build_id only
    unique_fd pin{};
    file_version version{};
    build_id_source source = build_id_source::none;  // how it was found
    image_facts facts{};
    moment checked{};      // when `version` was read, which is before the contents are
    bool settled = false;  // any change after `checked` changes the version
    bool read = false;     // `facts` were read from this version; the ID may be from the kernel
    std::uint64_t used = 0;
    std::int64_t used_at = 0;  // in seconds
    std::uint64_t since = 0;  // the cache's time() when it was added
};

/// Caches at most `capacity` files (at least one), each with at most one descriptor.
class file_cache {
public:
    explicit file_cache(std::size_t capacity) noexcept : capacity_(capacity) {}

    /// Returns the cached file of a mapping, or null. If it was cached after the mapping was seen, the mapping must be queried again.
    [[nodiscard]] known_file* find_inode(const mapping& m) noexcept {
        return find([&m](const known_file& f) { return f.by == key::inode && f.inode == m.inode && f.device == m.device; });
    }
    /// Returns the cached file of an open descriptor, or null.
    [[nodiscard]] known_file* find_descriptor(const file_version& v) noexcept {
        return find([&v](const known_file& f) { return f.by == key::descriptor && f.inode == v.inode && f.device == v.device; });
    }
    /// Returns the cached image of a mapping with this build ID, or null.
    [[nodiscard]] known_file* find_id(const mapping& m, const build_id& id) noexcept {
        return find([&](const known_file& f) {
            return f.by == key::build_id && f.inode == m.inode && f.device == m.device && f.name == m.name && f.facts.id == id;
        });
    }

    /// Adds a file. If the cache is full, the least recently used one is dropped.
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
    known_file& remember(found_file&& found, key by, const mapping& m) {
        const moment now = moment::now();
        return remember({.by = by,
                         .device = by == key::inode ? m.device : found.version.device,
                         .inode = by == key::inode ? m.inode : found.version.inode,
                         .pin = std::move(found.path_fd),
                         .version = found.version,
                         .source = found.source,
                         .checked = now,
                         .settled = now.settles(found.version)});
    }

    /// Drops all cached files and closes their descriptors.
    void release() noexcept {
        files_.clear();
        ++forgotten_;
    }

    /// Drops the files that were not used for 60 s. Looks for them at most every 5 s. Time in suspend does not count.
    void release_unused() noexcept {
        constexpr std::int64_t most_idle = 60, interval = 5;  // seconds
        const errno_kept keep;
        timespec present{};
        if (::clock_gettime(CLOCK_MONOTONIC_COARSE, &present) == 0) seconds_ = present.tv_sec;
        if (seconds_ - swept_ >= interval) {
            swept_ = seconds_;
            if (std::erase_if(files_, [this](const known_file& f) noexcept { return seconds_ - f.used_at > most_idle; }) != 0) ++forgotten_;
        }
    }

    /// Returns true if a file that was cached at `then`, when forgotten() was `forgotten_then`, still is: its inode was not reused.
    [[nodiscard]] bool still_holds(const mapping& m, std::uint64_t forgotten_then, std::uint64_t then) const noexcept {
        if (forgotten_ == forgotten_then) return true;
        for (const known_file& f : files_)
            if (f.by == key::inode && f.inode == m.inode && f.device == m.device) return f.since <= then;
        return false;
    }
    [[nodiscard]] std::uint64_t forgotten() const noexcept { return forgotten_; }  ///< how often files were dropped
    [[nodiscard]] std::uint64_t time() const noexcept { return clock_; }           ///< of the latest use or addition

private:
    template <class Property>
    known_file* find(Property property) noexcept {
        for (known_file& f : files_)
            if (property(f)) return refreshed(f);
        return nullptr;
    }

    /// Returns the file after revalidating it: its cached data is dropped if it is stale. One system call.
    known_file* refreshed(known_file& f) noexcept {
        f.used = ++clock_;
        f.used_at = seconds_;
        if (f.by == key::build_id) return &f;
        const errno_kept keep;
        file_version present;
        const bool seen = look_at(f.pin.borrow(), present);
        const moment now = moment::now();  // after the version, so that a clock set before this is noticed
        // The file was written, renamed, linked or unlinked, or its change time is not reliable.
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
    std::int64_t seconds_ = 0;  // when the current call began
    std::int64_t swept_ = 0;    // when unused files were last dropped
    std::uint64_t forgotten_ = 0;
};

}  // namespace procmap::inline PROCMAP_ABI::detail
