// Resolves addresses to locations for a normalizer: by one query for each mapping, or by one walk of the text.
#pragma once

#include <procmap/version.hpp>

#include <procmap/detail/address_order.hpp>
#include <procmap/detail/file_table.hpp>
#include <procmap/kind.hpp>
#include <procmap/load_bias.hpp>
#include <procmap/location.hpp>
#include <procmap/options.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// See normalizer.
class resolver {
public:
    explicit resolver(const normalizer_options& options) noexcept : options_(options), table_(options.most_files) {}

    [[nodiscard]] file_finder& finder() noexcept { return table_.finder(); }
    [[nodiscard]] const file_finder& finder() const noexcept { return table_.finder(); }

    result<normalized> run(const handle& from, std::span<const std::uint64_t> addresses) {
        order_.assign(addresses);
        locations_.assign(addresses.size(), location{});
        table_.clear();
        finder().cache().release_unused();
        task_files task{from};
        task_ = &task;
        const error broke = from.by_ioctl() ? by_queries(from) : by_walk(from);
        task_ = nullptr;
        return finish(broke);
    }

private:
    /// A mapping of a walk, with the index of its name.
    struct walked {
        mapping m;
        std::size_t name;
        std::size_t first;  // index of the first address in it; the number of addresses if there is none
    };

    error by_queries(const handle& from) {
        std::size_t hint = 0;
        next_hints_.clear();
        for (std::size_t i = 0; i < order_.size();) {
            const std::uint64_t address = order_[i].value;
            const auto m = ask(from, address, hint);
            if (!m && m.error() != errc::not_mapped) return mark_rest(i, m.error());
            i = mark_unmapped(i, m ? &*m : nullptr);
            if (!m || i == order_.size() || order_[i].value != address) continue;
            if (m->file_backed()) next_hints_.push_back({.start = m->start, .end = m->end, .inode = m->inode, .device = m->device});
            i = locate(from, *m, i);
        }
        hints_.swap(next_hints_);
        return {};
    }

    /// Returns the mapping that contains `address`, or the next above it. Queries its name if it is needed: to find its file, or, without a
    /// file, to recognize the kernel's own mappings, none of which is writable. `hint`: the position in hints_.
    result<mapping> ask(const handle& from, std::uint64_t address, std::size_t& hint) {
        seen_at_ = finder().cache().time();
        while (hint < hints_.size() && hints_[hint].end <= address) ++hint;
        const bool expected = hint < hints_.size() && hints_[hint].start <= address;
        auto m = expected && table_.find_by_inode(hints_[hint], seen_at_) == nullptr ? lookup(from, address, {.name = name_}, true)
                                                                                      : lookup(from, address, {}, true);
        if (m && m->start <= address && m->name_status == name_state::not_asked &&
            (m->file_backed() ? table_.find_by_inode(*m, seen_at_) == nullptr : !m->permissions.has(perm::write)))
            m = lookup(from, address, {.name = name_}, true);
        return m;
    }

    /// Resolves the addresses by one walk. Locates them after it, when the neighbours of each mapping are known.
    error by_walk(const handle& from) {
        seen_.clear();
        name_count_ = 0;
        seen_at_ = finder().cache().time();
        std::size_t i = 0;
        auto walk = walk_over(from, {.names = true});
        for (const mapping& m : walk) {
            i = mark_unmapped(i, &m);
            const std::size_t first = i;
            while (i < order_.size() && order_[i].value < m.end) ++i;
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
        (void)mark_unmapped(i, nullptr);
        return {};
    }

    void keep(const mapping& m, std::size_t first) {
        if (name_count_ == 0 || names_[name_count_ - 1] != m.name) {  // the mappings of a file are usually adjacent
            if (name_count_ == names_.size()) names_.emplace_back();
            names_[name_count_++].assign(m.name);
        }
        seen_.push_back({.m = m, .name = name_count_ - 1, .first = first});
    }

    /// Marks the addresses from the i-th on that lie below `next` (null: all) as not mapped. Returns the index of the first one after them.
    std::size_t mark_unmapped(std::size_t i, const mapping* next) noexcept {
        for (; i < order_.size() && (next == nullptr || order_[i].value < next->start); ++i) locations_[order_[i].index].reason = reason::not_mapped;
        return i;
    }

    error mark_rest(std::size_t i, const error& broke) noexcept {
        const reason why = broke == errc::gone || broke == errc::task_gone ? reason::gone
                           : broke == errc::denied                         ? reason::denied
                                                                           : reason::failed;
        for (; i < order_.size(); ++i) locations_[order_[i].index].reason = why;
        return broke;
    }

    /// Sets the locations of the addresses from the i-th on that lie in `m`. Returns the index of the first address after them.
    std::size_t locate(const handle& from, const mapping& m, std::size_t i) {
        const mapping_kind kind = kind_of(m);
        location base;
        file_entry* file = nullptr;
        elf::placement at;
        bool confirmed = false;
        if (m.file_backed() || kind == mapping_kind::vdso) {
            file = table_.find_by_inode(m, seen_at_);
            if (file == nullptr) file = &table_.entry_of(from, *task_, m, question());
            base.file = table_.index_of(*file);
            if (!file->path_known) base.reason = reason::name_unknown;
            if (options_.elf_addresses) at = place(from, m, *file);
        } else {
            const bool kernels_own = kind == mapping_kind::vvar || kind == mapping_kind::other;
            const bool unnamed = m.name_status == name_state::too_long || m.name_status == name_state::no_memory;
            base.reason = unnamed ? reason::name_unknown : kernels_own ? reason::special : reason::not_file_backed;
        }
        for (; i < order_.size() && order_[i].value < m.end; ++i) {
            location& l = locations_[order_[i].index];
            l = base;
            if (file == nullptr) continue;
            l.offset = order_[i].value - m.start + m.offset;
            if (at.how == elf::placing::unknown) continue;
            const auto know = [&] { return elf::address_of(file->known.loads, at, order_[i].value, l.offset, page_size_, l.elf_address); };
            l.elf_address_known = know();
            if (l.elf_address_known || at.how != elf::placing::possible || confirmed) continue;
            // The address is in the padding of a segment's last page, for example in .bss.
            const elf::placement more = place(from, m, *file, true);
            confirmed = true;
            if (more.how == elf::placing::loaded) {
                at = more;
                l.elf_address_known = know();
            }
        }
        return i;
    }

    [[nodiscard]] file_question question() const noexcept {
        return {.id = options_.build_ids, .loads = options_.elf_addresses, .state = options_.file_states, .ids_from = options_.build_ids_from, .seen_at = seen_at_};
    }

    /// Returns where `m` is placed in the image of its file.
    [[nodiscard]] elf::placement place(const handle& from, const mapping& m, file_entry& file, bool confirm = false) {
        if (file.known.loads.empty()) return {};
        const auto next = [&](std::uint64_t address, elf::neighbour& n) {
            mapping found;
            if (!next_mapping(from, m, file, address, found)) return false;
            const bool same = found.inode == file.inode && found.device == file.device && (file.known.by_inode || found.name == file.path);
            n = {.start = found.start, .end = found.end, .offset = found.offset, .same_file = !m.file_backed() || same};
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

    /// Gets the file mapping that contains `address`, or the next above it; `m` itself for the vDSO. Returns false if there is none.
    bool next_mapping(const handle& from, const mapping& m, const file_entry& file, std::uint64_t address, mapping& found) {
        if (!m.file_backed()) {
            found = m;
            return address < m.end;
        }
        if (from.by_ioctl()) {
            const std::span<char> name = file.known.by_inode ? std::span<char>{} : std::span<char>{neighbour_name_};
            const auto other = lookup(from, address, {.only = file_backed, .name = name}, true);
            if (other) found = *other;
            return other.has_value();
        }
        const auto other = std::upper_bound(seen_.begin(), seen_.end(), address, [](std::uint64_t a, const walked& w) { return a < w.m.end; });
        if (other == seen_.end()) return false;
        found = other->m;
        found.name = names_[other->name];
        return true;
    }

    result<normalized> finish(const error& broke) {
        files_.clear();
        for (std::size_t i = 0; i < table_.size(); ++i) {
            const file_entry& e = table_[i];
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
    file_table table_;
    address_order order_{};
    std::vector<location> locations_{};
    std::vector<mapped_file> files_{};
    std::vector<mapping> hints_{};  // the file mappings of the last call, without names; only used to predict whether a name is needed
    std::vector<mapping> next_hints_{};
    std::vector<walked> seen_{};        // by text: the mappings that contain addresses, and for ELF addresses all file mappings
    std::vector<std::string> names_{};  // their names; the first name_count_ are in use
    std::size_t name_count_ = 0;
    task_files* task_ = nullptr;  // of this call
    std::uint64_t seen_at_ = 0;   // file_cache::time() when the current mapping was queried
    std::uint64_t page_size_ = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    name_buffer name_;
    name_buffer neighbour_name_;
};

}  // namespace procmap::inline PROCMAP_ABI::detail
