// Addresses in; file, file offset, ELF address and build ID out: what a profiler or a crash reporter ships to where symbols are.
#pragma once

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
#include <procmap/file_memory.hpp>
#include <procmap/kind.hpp>
#include <procmap/maps.hpp>

namespace procmap::inline PROCMAP_ABI {

/// Why an address has no location, or not all of it.
enum class reason : unsigned char {
    none,
    not_mapped,
    not_file_backed,  ///< anonymous memory: heap, stack, generated code, ...
    special,          ///< the kernel's own: [vvar], [vsyscall], ... (the vDSO has a location: its ELF image)
    gone,             ///< the address space was gone before this address was looked up
    denied,           ///< so was the permission
    failed,           ///< the walk broke off; see normalized::error
    name_unknown,     ///< there is a location, but its file's path could not be had (longer than PATH_MAX); without one: no file, and no memory for the name
};

/// Where an address is. True where it has a file.
struct location {
    static constexpr std::uint32_t no_file = UINT32_MAX;  ///< `file` where there is none

    std::uint64_t offset = 0;       ///< in the file, in bytes: address - mapping.start + mapping.offset
    std::uint64_t elf_address = 0;  ///< as in the file's own headers and symbols; see elf_address_known
    std::uint32_t file = no_file;   ///< index into normalized::files
    procmap::reason reason = reason::none;  ///< why there is no file, or not all of it
    bool elf_address_known = false;  ///< it was asked for, the file could be read, and one of its segments holds the offset

    [[nodiscard]] constexpr explicit operator bool() const noexcept { return file != no_file; }  ///< whether it has a file
};

/// A file that some address of the batch lies in. Files are told apart by device and inode, not by path.
struct mapped_file {
    std::string_view path;             ///< the kernel's bytes, " (deleted)" included; empty: not known
    procmap::build_id build_id;        ///< empty: it has none, or see build_id_known
    device_number device;              ///< of its superblock, as maps shows it
    std::uint64_t inode = 0;           ///< as maps shows it
    file_state state = file_state::unknown;  ///< looked at only where the file was searched for
    bool build_id_known = false;             ///< it was asked for and somebody could answer, if only that there is none
};

/// What one call of normalize() gives; it borrows from the normalizer until its next call.
struct normalized {
    std::span<const location> locations;   ///< in the order of the addresses
    std::span<const mapped_file> files;    ///< each file once
    procmap::error error;                  ///< what broke the lookup off, after what is in `locations` was resolved
    [[nodiscard]] bool complete() const noexcept { return error.code == errc::none; }  ///< nothing broke it off
};

/// What a normalizer finds out of each file.
struct normalizer_options {
    bool build_ids = false;      ///< fill mapped_file::build_id
    bool elf_addresses = false;  ///< fill location::elf_address: opens each file
    build_id_choice build_ids_from = build_id_choice::automatic;  ///< who is asked for build IDs
    std::size_t most_files = 128;  ///< that are remembered, one at the least; each costs a descriptor
};

/// Turns addresses into locations. It remembers files between calls, of any number of processes, and believes what it remembers
/// only while a descriptor holds the inode and the file's change time and size are unchanged; mappings are never remembered.
/// (Writing to an ELF file through a shared mapping changes neither at once; build_id_choice::kernel remembers no build ID.)
///
/// Cost: ioctl: one query for each mapping that an address lies in (0.4 µs), one for each file's name, one statx for each
/// file that is known already. A new file costs some twenty system calls, once. Text: one walk,
/// and the text once more, up to the mapping, for each new file. Nothing is allocated once
/// warm. It opens files where build IDs or ELF addresses are asked for: not async-signal-safe. One thread at a time.
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
        held_ = nullptr;
        locations_.assign(addresses.size(), location{});
        count_ = 0;
        by_identity_.clear();
        return finish(from.backend() == backend::ioctl ? by_queries(from) : by_walk(from));
    }

    /// How many files were read for their build ID or ELF headers so far.
    [[nodiscard]] std::uint64_t file_reads() const noexcept { return memory_.reads(); }

private:
    /// A file of this call.
    struct entry {
        device_number device;
        std::uint64_t inode = 0;
        std::string path;
        build_id id;
        bool id_known = false;
        file_state state = file_state::unknown;
        bool path_known = false;
        std::vector<elf::segment> segments;
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
            std::size_t place[256] = {};  // of the next one with that byte
            for (const sought& s : order_) ++place[byte(s)];
            std::size_t sum = 0;
            for (std::size_t& p : place) sum += std::exchange(p, sum);
            for (const sought& s : order_) scratch_[place[byte(s)]++] = s;
            order_.swap(scratch_);
        }
    }

    /// One query for each mapping, in ascending order; what is asked with it depends on whether its file has been seen.
    error by_queries(const maps& from) {
        std::size_t guess = 0;  // into hints_
        next_hints_.clear();
        for (std::size_t i = 0; i < order_.size();) {
            const std::uint64_t address = order_[i].address;
            while (guess < hints_.size() && hints_[guess].end <= address) ++guess;
            const bool expected = guess < hints_.size() && hints_[guess].start <= address;
            held_ = nullptr;
            auto m = expected && find_entry(hints_[guess]) == nullptr ? ask_named(from, address, hints_[guess]) : from.find_from(address);
            // The name tells the kernel's own mappings from other memory without a file; none of those can be written to.
            if (m && m->start <= address && m->name_status == name_state::not_asked &&
                (m->file_backed() ? find_entry(*m) == nullptr : !m->permissions.has(perm::write)))
                m = ask_named(from, address, *m);
            if (!m && m.error() != errc::not_mapped) return mark_rest(i, m.error());
            for (; i < order_.size() && (!m || order_[i].address < m->start); ++i) locations_[order_[i].index].reason = reason::not_mapped;
            if (!m || i == order_.size() || order_[i].address != address) continue;
            if (m->file_backed()) next_hints_.push_back({.start = m->start, .end = m->end, .inode = m->inode, .device = m->device});
            i = locate(from, *m, i);
        }
        hints_.swap(next_hints_);
        return {};
    }

    /// Asks for the mapping with its name, and with its build ID where that is wanted and not remembered. `expected` tells the file.
    [[nodiscard]] result<mapping> ask_named(const maps& from, std::uint64_t address, const mapping& expected) {
        if (expected.file_backed() && consults_files()) held_ = memory_.recall(expected);
        const bool kernel_id = options_.build_ids && options_.build_ids_from != build_id_choice::file &&
                               (held_ == nullptr || !held_->id_known || held_->overlay || options_.build_ids_from == build_id_choice::kernel);
        return from.find_from(address, {.name = name_, .build_id = kernel_id ? std::span<std::byte>{id_} : std::span<std::byte>{}});
    }

    [[nodiscard]] bool consults_files() const noexcept {
        return options_.elf_addresses || (options_.build_ids && options_.build_ids_from != build_id_choice::kernel);
    }

    error by_walk(const maps& from) {
        std::size_t i = 0;
        auto walk = from.walk({.names = true});
        for (const mapping& m : walk) {
            for (; i < order_.size() && order_[i].address < m.start; ++i) locations_[order_[i].index].reason = reason::not_mapped;
            if (i == order_.size()) return {};
            if (order_[i].address < m.end) i = locate(from, m, i);
        }
        if (!walk.complete()) return mark_rest(i, walk.error());
        for (; i < order_.size(); ++i) locations_[order_[i].index].reason = reason::not_mapped;
        return {};
    }

    /// Gives the addresses from the i-th on that lie in `m` their location; the number of the first that does not.
    std::size_t locate(const maps& from, const mapping& m, std::size_t i) {
        const mapping_kind kind = kind_of(m);
        location base;
        const entry* file = nullptr;
        if (m.file_backed() || kind == mapping_kind::vdso) {
            file = find_entry(m);
            if (file == nullptr) file = &new_entry(from, m);
            base.file = static_cast<std::uint32_t>(file - entries_.data());
            if (!file->path_known) base.reason = reason::name_unknown;
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
            if (options_.elf_addresses)
                l.elf_address_known = elf::address_of(file->segments, l.offset, m.permissions.has(perm::execute), page_size_, l.elf_address);
        }
        return i;
    }

    /// Where the number of a mapping's file is in by_identity_, or belongs.
    [[nodiscard]] auto place_of(const mapping& m) const noexcept {
        return std::lower_bound(by_identity_.begin(), by_identity_.end(), m, [this](std::size_t i, const mapping& file) {
            const entry& e = entries_[i];
            return e.inode != file.inode ? e.inode < file.inode : e.device < file.device;
        });
    }

    [[nodiscard]] const entry* find_entry(const mapping& m) const noexcept {
        const auto at = place_of(m);
        if (at == by_identity_.end()) return nullptr;
        const entry& e = entries_[*at];
        return e.inode == m.inode && e.device == m.device ? &e : nullptr;
    }

    /// The entry of a file that this call sees for the first time; `m` has its name.
    const entry& new_entry(const maps& from, const mapping& m) {
        if (count_ == entries_.size()) entries_.emplace_back();
        by_identity_.insert(place_of(m), count_);
        entry& e = entries_[count_++];
        e.device = m.device;
        e.inode = m.inode;
        e.path.assign(m.name);
        e.path_known = !m.name.empty();
        take_kernels_id(m, e);
        e.state = file_state::unknown;
        e.segments.clear();
        if (!m.file_backed())
            read_image(from, m, e);
        else if (consults_files())
            consult_file(from, m, e);
        return e;
    }

    /// That the kernel knows of none says nothing where the file may be asked: it may have a longer one.
    void take_kernels_id(const mapping& m, entry& e) const noexcept {
        e.id = m.build_id_known ? build_id{m.build_id.bytes(), build_id_source::kernel} : build_id{};
        e.id_known = m.build_id_known && (!e.id.empty() || options_.build_ids_from == build_id_choice::kernel);
    }

    /// The vDSO: an ELF image in memory.
    void read_image(const maps& from, const mapping& m, entry& e) {
        if (!options_.build_ids && !options_.elf_addresses) return;
        const int saved = errno;
        const detail::memory_source source{from.fd(), m.start};
        const elf::image image{source};
        std::byte note[build_id::capacity];
        e.id = build_id{std::span{note}.first(image.build_id(note)), build_id_source::memory};
        elf::segment s;
        for (std::uint32_t i = 0; i < image.segments() && image.segment_at(i, s); ++i) e.segments.push_back(s);
        e.id_known = image.valid() && !source.failed();
        errno = saved;
    }

    /// Takes what is remembered of a file, or finds the file and reads it.
    void consult_file(const maps& from, const mapping& m, entry& e) {
        const bool same = held_ != nullptr && held_->inode == m.inode && held_->device == m.device;
        detail::known_file* known = same ? held_ : memory_.recall(m);
        bool asked_later = same;  // than the file's version was looked at
        if (known == nullptr) {
            known = memory_.learn(from.fd(), m, e.state);
            if (known == nullptr) return;
            // The file was not held when `m` was asked for and may not be the mapped one any more: now that it is, look again.
            const bool kernel_id = options_.build_ids && options_.build_ids_from != build_id_choice::file;
            const auto again = from.find(m.start, {.name = again_name_, .build_id = kernel_id ? std::span<std::byte>{id_} : std::span<std::byte>{}});
            if (!again || again->inode != m.inode || again->device != m.device || again->name != e.path) {
                e.state = file_state::unknown;
                return;
            }
            take_kernels_id(*again, e);
            asked_later = true;
        }
        // What the kernel said is kept only if the file's version was looked at first, and holds for all mappings of the file.
        if (asked_later && e.id_known && !known->id_known && !known->overlay) known->id = e.id, known->id_known = true;
        if (options_.elf_addresses || (!e.id_known && !known->id_known)) memory_.read(*known);
        e.state = known->state;
        if (options_.elf_addresses) e.segments.assign(known->segments.begin(), known->segments.end());
        if (!e.id_known && options_.build_ids_from != build_id_choice::kernel && known->id_known) e.id = known->id, e.id_known = true;
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
            files_.push_back({.path = e.path, .build_id = options_.build_ids ? e.id : build_id{}, .device = e.device, .inode = e.inode,
                              .state = e.state, .build_id_known = options_.build_ids && e.id_known});
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
    std::vector<sought> order_;       // the addresses, ascending
    std::vector<sought> scratch_;
    std::vector<mapping> hints_;      // the file mappings that the last call saw, without names: a guess, never an answer
    std::vector<mapping> next_hints_;
    detail::known_file* held_ = nullptr;  // the file that the last named query was expected to find
    std::vector<location> locations_;
    std::vector<entry> entries_;  // the first count_ are this call's; the rest keep their memory
    std::size_t count_ = 0;
    std::vector<std::size_t> by_identity_;  // the numbers of those, by inode and device
    std::vector<mapped_file> files_;
    name_buffer name_;
    name_buffer again_name_;
    build_id_buffer id_;
};

}  // namespace procmap::inline PROCMAP_ABI
