// A mapping cache that verifies every hit with the kernel.
//
//   procmap::cached_maps cache{*self, {.build_ids = true}};
//   if (auto m = cache.find(address)) use(m->name, m->build_id);
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>

#include <procmap/build_id.hpp>
#include <procmap/detail/file_finder.hpp>
#include <procmap/maps.hpp>
#include <procmap/options.hpp>

namespace procmap::inline PROCMAP_ABI {

/// Looks up mappings with their names and build IDs, and caches them. Each find() queries the kernel for the mapping and its name, and
/// returns the cached record only if it equals the kernel's answer (a hit). A cached build ID is used only while a descriptor holds the
/// file's inode and the file's change time and size are unchanged, or if the kernel returns it again. Each answer is therefore correct at
/// the time of the call, also after remapping, renaming, inode reuse and overwriting in place. (Exception: a write to an ELF file through a
/// shared mapping changes neither at once. build_id_choice::kernel avoids this: it caches no build IDs.) Cached files are held and released
/// as by a normalizer.
///
/// Cost of a hit: one query with the name; with build IDs also one statx if device and inode identify the file, and otherwise a
/// new search for it (see normalizer). The text back-end has no hits: each call reads the text again. The handle must outlive the cache.
/// Not async-signal-safe: it allocates, and opens files for build IDs, which can block. One thread at a time; a second one fails with
/// errc::contended.
class cached_maps {
public:
    /// Counters of the calls so far.
    struct counts {
        std::uint64_t hits = 0;        ///< the kernel confirmed the cached record
        std::uint64_t misses = 0;      ///< all other calls: new or changed mappings, failures, and every call by text
        std::uint64_t evictions = 0;   ///< records removed to make room
        std::uint64_t file_reads = 0;  ///< files whose build-ID note was read
    };

    explicit cached_maps(const maps& from, const cached_maps_options& options = {})
        : from_(&from), options_(options), finder_(options.most_files) {}  ///< borrows the handle
    explicit cached_maps(const maps&& from, const cached_maps_options& options = {}) = delete;  // it would borrow from a temporary

    /// Returns the mapping as maps::find does, with its name and, if the options request it, its build ID; valid until the next call.
    [[nodiscard]] result<mapping> find(any_address address) PROCMAP_LIFETIMEBOUND {
        if (__atomic_exchange_n(&busy_, true, __ATOMIC_ACQUIRE)) return error{.code = errc::contended, .at = step::query};
        const inside leave{busy_};
        return look_up(address.value());
    }

    /// Drops all cached file data and closes its descriptors; the next call reads the files again. Returns false and drops nothing if
    /// another thread is in find().
    bool release_files() noexcept {
        if (__atomic_exchange_n(&busy_, true, __ATOMIC_ACQUIRE)) return false;
        const inside leave{busy_};
        finder_.cache().release();
        return true;
    }

    /// Returns the counters since construction.
    [[nodiscard]] counts statistics() const noexcept {
        counts c = counts_;
        c.file_reads = finder_.reads();
        return c;
    }

private:
    /// Marks the cache as in use for its lifetime, also if an allocation throws.
    struct inside {
        bool& busy;
        ~inside() { __atomic_store_n(&busy, false, __ATOMIC_RELEASE); }
    };

    struct record {
        mapping m{};
        std::string name{};
        build_id id{};
        std::uint64_t used = 0;
    };

    result<mapping> look_up(std::uint64_t address) {
        auto m = detail::lookup(detail::handle_of(*from_), address, {.name = name_}, false);
        if (!m) {
            ++counts_.misses;
            return m;
        }
        detail::file_answer file;
        finder_.cache().release_unused();
        detail::task_files task{detail::handle_of(*from_)};
        for (int tries = 0; options_.build_ids; ++tries) {
            if (ask(task, *m, file)) break;
            constexpr int most_tries = 3;  // each time the mapping changed in between
            if (tries == most_tries) break;
            m = detail::lookup(detail::handle_of(*from_), address, {.name = name_}, false);
            if (!m) {
                ++counts_.misses;
                return m;
            }
        }
        const build_id& id = file.id;
        const bool id_known = file.id_known;

        auto place = records_.find(m->start);
        const bool same = place != records_.end() && equal(place->second, *m, id, id_known);
        if (same && from_->backend() == backend::ioctl) {
            ++counts_.hits;
        } else {
            ++counts_.misses;
            if (place == records_.end()) {
                if (records_.size() >= options_.most_mappings) evict();
                place = records_.try_emplace(m->start).first;
            }
            record& r = place->second;
            r.name.assign(m->name);
            r.id = id;
            r.m = *m;
            r.m.build_id_known = id_known;
        }
        record& r = place->second;
        r.used = ++clock_;
        mapping answer = r.m;
        answer.name = r.name;
        answer.build_id = r.id;
        return answer;
    }

    /// Finds the build ID of a mapping. Returns false if another mapping is there by now.
    bool ask(detail::task_files& task, const mapping& m, detail::file_answer& file) {
        const detail::file_question q{.id = true, .ids_from = options_.build_ids_from};
        if (kind_of(m) != mapping_kind::vdso) return finder_.ask(detail::handle_of(*from_), task, m, q, file);
        finder_.ask_memory(task, m, q, file);
        return true;
    }

    static bool equal(const record& r, const mapping& m, const build_id& id, bool id_known) noexcept {
        return r.m.start == m.start && r.m.end == m.end && r.m.permissions == m.permissions && r.m.offset == m.offset &&
               r.m.page_size == m.page_size && r.m.inode == m.inode && r.m.device == m.device && r.m.name_status == m.name_status &&
               r.name == m.name && r.id == id && r.m.build_id_known == id_known;
    }

    void evict() {
        auto oldest = records_.begin();
        for (auto i = records_.begin(); i != records_.end(); ++i)
            if (i->second.used < oldest->second.used) oldest = i;
        if (oldest == records_.end()) return;
        records_.erase(oldest);
        ++counts_.evictions;
    }

    const maps* from_;
    cached_maps_options options_;
    detail::file_finder finder_;
    std::unordered_map<std::uint64_t, record> records_{};  // by start address
    counts counts_{};
    std::uint64_t clock_ = 0;
    bool busy_ = false;
    name_buffer name_;
};

}  // namespace procmap::inline PROCMAP_ABI
