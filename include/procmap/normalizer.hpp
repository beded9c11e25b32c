// Addresses in; file, file offset, ELF address and build ID out: what a profiler or a crash reporter ships to where symbols are.
#pragma once

#include <procmap/version.hpp>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <procmap/build_id.hpp>
#include <procmap/detail/file_memory.hpp>
#include <procmap/kind.hpp>
#include <procmap/load_bias.hpp>
#include <procmap/location.hpp>
#include <procmap/maps.hpp>
#include <procmap/options.hpp>

namespace procmap::inline PROCMAP_ABI {

/// What a normalizer finds out of each file.
struct normalizer_options {
    bool build_ids = false;      ///< fill mapped_file::build_id
    bool elf_addresses = false;  ///< fill location::elf_address: opens each file
    build_id_choice build_ids_from = build_id_choice::automatic;  ///< who is asked for build IDs
    std::size_t most_files = 128;  ///< that are remembered, one at the least; each costs a descriptor
    bool file_states = false;      ///< fill mapped_file::state: looks up each file's path in each call, which can block (FUSE, NFS)
};

/// Turns addresses into locations. It remembers files between calls, of any number of processes. What it remembers is used only while a
/// descriptor holds the inode and the file's change time and size are unchanged; mappings are never remembered.
/// (Writing to an ELF file through a shared mapping changes neither at once; build_id_choice::kernel remembers no build ID.)
///
/// A descriptor keeps its file system from being unmounted (umount says EBUSY). At a call, files are dropped that no call used for a minute;
/// release_files() drops all of them at once.
///
/// What an answer rests on: a file is taken for the mapped one only where its device and inode, a descriptor from map_files, or its
/// build ID prove it (docs/semantics.md). What cannot be proven is not known. Files are looked for below the process's own directory
/// of procfs and its root, never below this process's.
///
/// Cost: ioctl: one query for each mapping that an address lies in (0.4 µs), one for each file's name, one statx for each file that is
/// known already; and for an image in which an ELF address is ambiguous one or two for each segment and one for each other bias. A new file costs some thirty system calls, once. On a
/// file system where numbers do not name files, each mapping costs a named query, one for its build ID, and for an ELF address one for
/// each segment; without a build ID, the process's memory is read (some eighty system calls). File states cost four to eight system calls
/// a file and some fifty a call. Text: one walk, to the end where ELF
/// addresses are asked for, and the text once more, up to the mapping, for each new file. Nothing is allocated once warm. It opens files
/// where build IDs or ELF addresses are asked for: not async-signal-safe. One thread at a time.
class normalizer {
public:
    /// Opens nothing yet.
    explicit normalizer(const normalizer_options& options = {}) noexcept : options_(options), memory_(options.most_files) {}

    /// Looks up every address, in any order. One bad mapping never fails the others. An error only where nothing could be
    /// resolved at all; what breaks off later is in normalized::error, and the reason of each address that it concerns.
    [[nodiscard]] result<normalized> normalize(const maps& from, std::span<const std::uint64_t> addresses) {
        order_.resize(addresses.size());
        for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = {addresses[i], i};
        if (!std::is_sorted(addresses.begin(), addresses.end())) sort();
        locations_.assign(addresses.size(), location{});
        count_ = 0;
        by_number_.clear();
        memory_.release_unused();
        detail::task_files task{detail::handle_of::get(from)};
        task_ = &task;
        const error broke = from.backend() == backend::ioctl ? by_queries(from) : by_walk(from);
        task_ = nullptr;
        return finish(broke);
    }

    /// Drops all cached file data and closes the descriptors that it holds; the next call reads the files again.
    void release_files() noexcept { memory_.release(); }

    /// How many files were read for their build ID or ELF headers so far.
    [[nodiscard]] std::uint64_t file_reads() const noexcept { return memory_.reads(); }

private:
    /// A file of this call.
    struct entry {
        device_number device{};
        std::uint64_t inode = 0;
        std::string path{};
        bool path_known = false;
        detail::file_answer known{};
        std::uint64_t forgotten = 0;  // by the memory, when this was made
        std::uint64_t since = 0;      // the memory's time then
        std::vector<std::pair<std::uint64_t, bool>> images{};  // load biases, and whether an image was found there
    };

    /// A mapping that a walk saw, with the number of its name.
    struct walked {
        mapping m;
        std::size_t name;
        std::size_t first;  // address in it; the number of addresses: none
    };

    /// An address, and which one it is in the caller's order.
    struct sought {
        std::uint64_t address;
        std::size_t index;
    };

    /// Sorts order_ by address. Many are sorted by one byte after the other: to compare them would take a third of the whole time.
    void sort() {
        constexpr std::size_t many = 128;
        if (order_.size() < many)
            return std::sort(order_.begin(), order_.end(), [](const sought& a, const sought& b) { return a.address < b.address; });
        std::uint64_t differ = 0;
        for (const sought& s : order_) differ |= s.address ^ order_.front().address;
        scratch_.resize(order_.size());
        for (unsigned shift = 0; shift < 64; shift += 8) {
            const auto byte = [shift](const sought& s) { return static_cast<unsigned char>(s.address >> shift); };
            if (static_cast<unsigned char>(differ >> shift) == 0) continue;
            std::size_t slots[256] = {};  // of the next one with that byte
            for (const sought& s : order_) ++slots[byte(s)];
            std::size_t sum = 0;
            for (std::size_t& p : slots) sum += std::exchange(p, sum);
            for (const sought& s : order_) scratch_[slots[byte(s)]++] = s;
            order_.swap(scratch_);
        }
    }

    /// One query for each mapping, in ascending order; what is asked with it depends on whether its file has been seen.
    error by_queries(const maps& from) {
        std::size_t guess = 0;  // into hints_
        next_hints_.clear();
        for (std::size_t i = 0; i < order_.size();) {
            const std::uint64_t address = order_[i].address;
            seen_at_ = memory_.time();
            while (guess < hints_.size() && hints_[guess].end <= address) ++guess;
            const bool expected = guess < hints_.size() && hints_[guess].start <= address;
            using detail::handle_of;
            auto m = expected && find_by_number(hints_[guess]) == nullptr ? handle_of::find_from(from, address, {.name = name_})
                                                                          : handle_of::find_from(from, address, {});
            // The name tells the kernel's own mappings from other memory without a file; none of those can be written to.
            if (m && m->start <= address && m->name_status == name_state::not_asked &&
                (m->file_backed() ? find_by_number(*m) == nullptr : !m->permissions.has(perm::write)))
                m = handle_of::find_from(from, address, {.name = name_});
            if (!m && m.error() != errc::not_mapped) return mark_rest(i, m.error());
            for (; i < order_.size() && (!m || order_[i].address < m->start); ++i) locations_[order_[i].index].reason = reason::not_mapped;
            if (!m || i == order_.size() || order_[i].address != address) continue;
            if (m->file_backed()) next_hints_.push_back({.start = m->start, .end = m->end, .inode = m->inode, .device = m->device});
            i = locate(from, *m, i);
        }
        hints_.swap(next_hints_);
        return {};
    }

    [[nodiscard]] detail::file_question question() const noexcept {
        return {.id = options_.build_ids, .loads = options_.elf_addresses, .state = options_.file_states, .ids_from = options_.build_ids_from, .seen_at = seen_at_};
    }

    /// One walk; what it saw is looked at afterwards, when the neighbours of each mapping are known.
    error by_walk(const maps& from) {
        seen_.clear();
        name_count_ = 0;
        seen_at_ = memory_.time();
        std::size_t i = 0;
        auto walk = from.walk({.names = true});
        for (const mapping& m : walk) {
            for (; i < order_.size() && order_[i].address < m.start; ++i) locations_[order_[i].index].reason = reason::not_mapped;
            const std::size_t first = i;
            while (i < order_.size() && order_[i].address < m.end) ++i;
            if (i != first || (options_.elf_addresses && m.file_backed())) keep(m, i != first ? first : order_.size());
            if (i == order_.size() && !options_.elf_addresses) break;
        }
        const bool broke = walk.error().code != errc::none;
        for (const walked& w : seen_) {
            if (w.first == order_.size()) continue;
            mapping m = w.m;
            m.name = names_[w.name];
            (void)locate(from, m, w.first);
        }
        if (broke) return mark_rest(i, walk.error());
        for (; i < order_.size(); ++i) locations_[order_[i].index].reason = reason::not_mapped;
        return {};
    }

    void keep(const mapping& m, std::size_t first) {
        if (name_count_ == 0 || names_[name_count_ - 1] != m.name) {  // a file's mappings follow one another
            if (name_count_ == names_.size()) names_.emplace_back();
            names_[name_count_++].assign(m.name);
        }
        seen_.push_back({.m = m, .name = name_count_ - 1, .first = first});
    }

    /// Gives the addresses from the i-th on that lie in `m` their location; the number of the first that does not.
    std::size_t locate(const maps& from, const mapping& m, std::size_t i) {
        const mapping_kind kind = kind_of(m);
        location base;
        entry* file = nullptr;
        elf::placement at;
        bool confirmed = false;
        if (m.file_backed() || kind == mapping_kind::vdso) {
            file = find_by_number(m);
            if (file == nullptr) file = &entry_of(from, m);
            base.file = static_cast<std::uint32_t>(file - entries_.data());
            if (!file->path_known) base.reason = reason::name_unknown;
            if (options_.elf_addresses) at = place(from, m, *file);
        } else {
            const bool kernels_own = kind == mapping_kind::vvar || kind == mapping_kind::other;
            const bool unnamed = m.name_status == name_state::too_long || m.name_status == name_state::no_memory;
            base.reason = unnamed ? reason::name_unknown : kernels_own ? reason::special : reason::not_file_backed;
        }
        for (; i < order_.size() && order_[i].address < m.end; ++i) {
            location& l = locations_[order_[i].index];
            l = base;
            if (file == nullptr) continue;
            l.offset = order_[i].address - m.start + m.offset;
            if (at.how == elf::placing::unknown) continue;
            const auto know = [&] { return elf::address_of(file->known.loads, at, order_[i].address, l.offset, page_size_, l.elf_address); };
            l.elf_address_known = know();
            if (l.elf_address_known || at.how != elf::placing::possible || confirmed) continue;
            // In the padding of the segment's last page, such as .bss.
            const elf::placement more = place(from, m, *file, true);
            confirmed = true;
            if (more.how == elf::placing::loaded) {
                at = more;
                l.elf_address_known = know();
            }
        }
        return i;
    }

    /// Where `m` belongs in the image of its file.
    [[nodiscard]] elf::placement place(const maps& from, const mapping& m, entry& file, bool confirm = false) {
        if (file.known.loads.empty()) return {};
        const auto same_file = [&](const mapping& other) {
            return other.inode == file.inode && other.device == file.device && (file.known.by_number || other.name == file.path);
        };
        const auto next = [&](std::uint64_t address, elf::neighbour& n) {
            mapping found;
            if (!m.file_backed()) {  // the vDSO is one mapping
                if (address >= m.end) return false;
                found = m;
            } else if (from.backend() == backend::ioctl) {
                const std::span<char> name = file.known.by_number ? std::span<char>{} : std::span<char>{neighbour_name_};
                const auto other = detail::handle_of::find_from(from, address, {.only = file_backed, .name = name});
                if (!other) return false;
                found = *other;
            } else {
                const auto other = std::upper_bound(seen_.begin(), seen_.end(), address, [](std::uint64_t a, const walked& w) { return a < w.m.end; });
                if (other == seen_.end()) return false;
                found = other->m;
                found.name = names_[other->name];
            }
            n = {.start = found.start, .end = found.end, .offset = found.offset, .same_file = !m.file_backed() || same_file(found)};
            return true;
        };
        const auto image_at = [&](std::uint64_t bias) {
            for (const auto& [known, there] : file.images)
                if (known == bias) return there;
            const bool there = elf::agrees(file.known.loads, bias, page_size_, next);
            file.images.emplace_back(bias, there);
            return there;
        };
        const elf::placement at = elf::choose_bias(file.known.loads, m.start, m.end, m.offset, page_size_, image_at, confirm || file.known.if_agreed);
        return file.known.if_agreed && at.how != elf::placing::loaded ? elf::placement{} : at;
    }

    /// Where the numbers of the entries of a mapping's device and inode begin in by_number_, or belong.
    [[nodiscard]] auto place_of(const mapping& m) const noexcept {
        return std::lower_bound(by_number_.begin(), by_number_.end(), m, [this](std::size_t i, const mapping& file) {
            const entry& e = entries_[i];
            return e.inode != file.inode ? e.inode < file.inode : e.device < file.device;
        });
    }

    /// The entry that has a property, of those of a mapping's device and inode.
    template <class Property>
    [[nodiscard]] entry* find_entry(const mapping& m, Property property) noexcept {
        for (auto at = place_of(m); at != by_number_.end(); ++at) {
            entry& e = entries_[*at];
            if (e.inode != m.inode || e.device != m.device) break;
            if (property(e)) return &e;
        }
        return nullptr;
    }

    /// The entry of a file that is held by a descriptor, so that its number is enough.
    [[nodiscard]] entry* find_by_number(const mapping& m) noexcept {
        entry* const held = find_held(m);
        return held != nullptr && held->since <= seen_at_ ? held : nullptr;  // a mapping that was seen before must be looked at again
    }

    /// The same, whenever the descriptor was opened. Of its number it is the first.
    [[nodiscard]] entry* find_held(const mapping& m) noexcept {
        const auto at = place_of(m);
        if (at == by_number_.end()) return nullptr;
        entry& e = entries_[*at];
        return e.inode == m.inode && e.device == m.device && e.known.by_number && memory_.still_holds(m, e.forgotten, e.since) ? &e : nullptr;
    }

    /// The entry of a mapping's file, whose name is known: a new one, or that of another mapping which is proven to be of the same file.
    entry& entry_of(const maps& from, const mapping& m) {
        const detail::file_question q = question();
        if (!q.id && !q.loads && m.file_backed())  // nothing but the path is said of it
            if (entry* const same = find_entry(m, [&](const entry& e) { return e.path == m.name && !m.name.empty(); }); same != nullptr) return *same;
        if (count_ == entries_.size()) entries_.emplace_back();
        entry& e = entries_[count_];
        e.device = m.device;
        e.inode = m.inode;
        e.path.assign(m.name);
        e.path_known = !m.name.empty();
        e.images.clear();
        if (!m.file_backed())
            memory_.ask_memory(*task_, m, q, e.known);
        else
            (void)memory_.ask(from, *task_, m, q, e.known);
        e.forgotten = memory_.forgotten();
        e.since = memory_.time();
        if (entry* const held = e.known.by_number ? find_held(m) : nullptr; held != nullptr) return *held;
        if (!e.known.by_number && !e.known.id.empty()) {
            entry* const same = find_entry(m, [&](const entry& other) {
                return !other.known.by_number && other.path == e.path && other.known.id == e.known.id && other.known.loads.empty() == e.known.loads.empty();
            });
            if (same != nullptr) return *same;
        }
        auto before = place_of(m);
        if (!e.known.by_number && before != by_number_.end() && entries_[*before].inode == m.inode && entries_[*before].device == m.device) ++before;
        by_number_.insert(before, count_);
        return entries_[count_++];
    }

    error mark_rest(std::size_t i, const error& broke) {
        const reason why = broke == errc::gone || broke == errc::task_gone ? reason::gone
                           : broke == errc::denied                         ? reason::denied
                                                                           : reason::failed;
        for (; i < order_.size(); ++i) locations_[order_[i].index].reason = why;
        return broke;
    }

    result<normalized> finish(const error& broke) {
        files_.clear();
        for (std::size_t i = 0; i < count_; ++i) {
            const entry& e = entries_[i];
            files_.push_back({.path = e.path, .build_id = e.known.id, .device = e.device, .inode = e.inode, .state = e.known.state,
                              .build_id_known = e.known.id_known});
        }
        const bool any = std::any_of(locations_.begin(), locations_.end(), [](const location& l) {
            return l || l.reason == reason::not_mapped || l.reason == reason::not_file_backed || l.reason == reason::special;
        });
        if (broke.code != errc::none && !any) return broke;
        return normalized{.locations = locations_, .files = files_, .error = broke};
    }

    normalizer_options options_;
    detail::file_memory memory_;
    std::uint64_t page_size_ = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    std::vector<sought> order_{};     // the addresses, ascending
    std::vector<sought> scratch_{};
    std::vector<mapping> hints_{};    // the file mappings that the last call saw, without names: a guess, never an answer
    std::vector<mapping> next_hints_{};
    std::vector<location> locations_{};
    std::vector<entry> entries_{};  // the first count_ are this call's; the rest keep their memory
    std::size_t count_ = 0;
    std::vector<std::size_t> by_number_{};  // the numbers of those, by inode and device
    std::vector<mapped_file> files_{};
    std::vector<walked> seen_{};         // by text: the mappings that addresses lie in, and for ELF addresses all of files
    std::vector<std::string> names_{};   // of those; the first name_count_ are this call's
    std::size_t name_count_ = 0;
    detail::task_files* task_ = nullptr;  // of this call
    std::uint64_t seen_at_ = 0;           // the memory's time when the mapping that is looked at was seen
    name_buffer name_;
    name_buffer neighbour_name_;
};

}  // namespace procmap::inline PROCMAP_ABI
