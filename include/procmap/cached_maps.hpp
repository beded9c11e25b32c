// A cache of mappings that cannot lie: the kernel confirms each answer before it is believed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>

#include <procmap/build_id.hpp>
#include <procmap/file_memory.hpp>
#include <procmap/maps.hpp>

namespace procmap::inline PROCMAP_ABI {

/// What a cache keeps, and how much of it.
struct cached_maps_options {
    bool build_ids = false;            ///< find build IDs too
    build_id_choice build_ids_from = build_id_choice::automatic;  ///< who is asked for build IDs
    std::size_t most_mappings = 1024;  ///< that are kept
    std::size_t most_files = 128;      ///< that are held by a descriptor each, so that their build IDs can be kept
};

/// Finds mappings with their names and build IDs, and keeps them. Each find asks the kernel about the mapping, its name
/// included; only where the answer equals what is kept does it count as a hit and is the kept record given. A build ID is
/// kept only while a descriptor holds the file's inode and its change time and size are unchanged, and asked for again otherwise:
/// so an answer is true at the time of the call, also after remapping, renaming, inode reuse and overwriting in place.
/// (Writing to an ELF file through a shared mapping changes neither at once; build_id_choice::kernel keeps no build ID.)
///
/// Cost of a hit: one query with the name (0.6 µs), and one statx where build IDs are asked for. On the text back-end nothing can
/// be confirmed cheaply: it reads the text again each time, and has no hits. The handle must outlive the cache. It may open
/// files (build IDs): not async-signal-safe. One thread at a time; a second one inside is answered errc::contended.
class cached_maps {
public:
    /// What became of the calls so far.
    struct counts {
        std::uint64_t hits = 0;        ///< the kernel confirmed what was kept
        std::uint64_t misses = 0;      ///< new or changed, and not mapped
        std::uint64_t evictions = 0;   ///< records that made room
        std::uint64_t file_reads = 0;  ///< files whose build-ID note was read
    };

    /// Borrows the handle.
    explicit cached_maps(const maps& from, const cached_maps_options& options = {})
        : from_(&from), options_(options), memory_(options.most_files) {}
    explicit cached_maps(const maps&& from, const cached_maps_options& options = {}) = delete;  // it would borrow from a temporary

    /// As maps::find, with the name, and the build ID where the options ask for it. What it gives is valid until the next call.
    [[nodiscard]] result<mapping> find(std::uint64_t address) {
        if (__atomic_exchange_n(&busy_, true, __ATOMIC_ACQUIRE)) return error{.code = errc::contended, .at = step::query};
        const inside leave{busy_};
        return look_up(address);
    }

    /// Since it was made.
    [[nodiscard]] counts statistics() const noexcept {
        counts c = counts_;
        c.file_reads = memory_.reads();
        return c;
    }

private:
    /// One thread is in here until this goes, also where memory ran out.
    struct inside {
        bool& busy;
        ~inside() { __atomic_store_n(&busy, false, __ATOMIC_RELEASE); }
    };

    struct record {
        mapping m;
        std::string name;
        build_id id;
        std::uint64_t used = 0;
    };

    result<mapping> look_up(std::uint64_t address) {
        auto m = from_->find(address, {.name = name_});
        if (!m) {
            ++counts_.misses;
            return m;
        }
        build_id id;
        bool id_known = false;
        // A file that had to be searched for is certain only once the mapping was seen again while the file is held.
        for (int tries = 0; options_.build_ids && m->file_backed() && tries < 3; ++tries) {
            const bool held = ask_file(*m, id, id_known);
            if (held) break;
            m = from_->find(address, {.name = name_});
            if (!m) {
                ++counts_.misses;
                return m;
            }
            id = {};
            id_known = false;
        }
        if (!m->file_backed()) id = {}, id_known = options_.build_ids && from_->backend() == backend::ioctl;

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

    /// The build ID of a mapped file. False: the file is held only since now, and the mapping must be looked at again.
    bool ask_file(const mapping& m, build_id& id, bool& id_known) {
        if (options_.build_ids_from == build_id_choice::kernel) return ask_kernel(m, id, id_known), true;
        detail::known_file* known = memory_.recall(m);
        if (known == nullptr) {
            file_state state = file_state::unknown;
            if (memory_.learn(from_->fd(), m, state) != nullptr) return false;
            if (options_.build_ids_from == build_id_choice::automatic) ask_kernel(m, id, id_known);
            return true;  // it may not be opened: asked for again each time
        }
        const bool ask = options_.build_ids_from == build_id_choice::automatic && (!known->id_known || known->overlay);
        if (ask && ask_kernel(m, id, id_known) && !id.empty()) {
            if (known->overlay) return true;  // of this mapping, and not of each of the file
            known->id = id;
            known->id_known = true;
        }
        if (!known->id_known) memory_.read(*known);
        if (known->id_known) id = known->id, id_known = true;
        return true;
    }

    /// Asks the kernel for the build ID of this very mapping. False: it is another one by now, or nobody may ask.
    bool ask_kernel(const mapping& m, build_id& id, bool& id_known) {
        const auto again = from_->find(m.start, {.name = again_, .build_id = id_buffer_});
        if (!again || !again->build_id_known || again->end != m.end || again->offset != m.offset || again->inode != m.inode ||
            again->device != m.device || again->name != m.name)
            return false;
        id = build_id{again->build_id.bytes(), build_id_source::kernel};
        return id_known = true;
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
    detail::file_memory memory_;
    std::unordered_map<std::uint64_t, record> records_;  // by the mapping's start
    counts counts_;
    std::uint64_t clock_ = 0;
    bool busy_ = false;
    name_buffer name_;
    name_buffer again_;  // the name that comes with a build ID: an inode number alone may be another file's by now
    build_id_buffer id_buffer_;
};

}  // namespace procmap::inline PROCMAP_ABI
