// A copy of an address space that outlives it, and what changed between two.
#pragma once

#include <procmap/version.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <procmap/build_id.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>
#include <procmap/options.hpp>
#include <procmap/recorded.hpp>

namespace procmap::inline PROCMAP_ABI {


/// An owning, immutable copy of the mappings of an address space, ascending and without overlap. 56 bytes a mapping, and
/// each distinct name and build ID once. Reading is lock-free: any number of threads. Records that are read borrow from the snapshot.
template <class Allocator = std::allocator<std::byte>>
class basic_snapshot {
    struct record;

public:
    class builder;
    class iterator;
    using allocator_type = Allocator;  ///< of all that it holds

    basic_snapshot() : basic_snapshot(Allocator{}) {}  ///< empty
    /// Empty.
    explicit basic_snapshot(const Allocator& allocator) : records_(allocator), names_(allocator), name_ends_(allocator), ids_(allocator) {}

    /// Copies the mappings of a process. Whole, or an error: then `*` of the result is what was read before it broke off.
    /// While the process remaps, it has the guarantees of a walk.
    ///
    /// Cost: that of a walk by the text, the faster way for all mappings at once, where nothing is asked for that only the ioctl has;
    /// otherwise of one by the ioctl. The result is the same. A handle that was adopted, received
    /// or inherited by fork is not read as text: others may be reading it.
    ///
    /// Build IDs are found afterwards as a normalizer does it: of each file once, by some thirty system calls, from the kernel or, where
    /// that is not asked (text, or see open_options::trust_kernel_build_ids) or finds none, from the file. Those that cannot be had are
    /// not known, nor is anything said of memory without a file.
    [[nodiscard]] static result<basic_snapshot> capture(const maps& from, const capture_options& options = {}, const Allocator& allocator = {});

    /// Reads recorded maps text, or smaps, or what a snapshot was written to (see recorded_reader). Names are decoded; what is no
    /// mapping (`[vsyscall]`, `[vectors]` of a 32-bit ARM kernel, and a range of zero length) is left out. A malformed line is an error,
    /// with its number and byte; `*` of the result is then what stood before it. smaps_rollup is errc::not_maps. Cost: n log n in the
    /// text, whatever it is.
    [[nodiscard]] static result<basic_snapshot> parse(std::string_view text, const Allocator& allocator = {});

    /// Copies any range of mappings, in any order.
    template <class Range>
        requires(!std::is_same_v<std::remove_cvref_t<Range>, basic_snapshot> && !std::is_convertible_v<Range, std::string_view>)
    [[nodiscard]] static basic_snapshot from(Range&& mappings, const Allocator& allocator = {}) {
        builder b{allocator};
        for (const mapping& m : mappings) (void)b.add(m);
        return b.build();
    }

    [[nodiscard]] std::size_t size() const noexcept { return records_.size(); }  ///< in mappings
    [[nodiscard]] bool empty() const noexcept { return records_.empty(); }       ///< has none
    /// The mapping of that number, which must be below size(), by address; its name and build ID borrow from this.
    [[nodiscard]] mapping operator[](std::size_t i) const noexcept;
    [[nodiscard]] iterator begin() const noexcept { return {*this, 0}; }               ///< the lowest
    [[nodiscard]] iterator end() const noexcept { return {*this, records_.size()}; }  ///< behind the highest
    /// Bytes that it holds, for the records, names and build IDs.
    [[nodiscard]] std::size_t memory() const noexcept {
        return records_.capacity() * sizeof(record) + names_.capacity() + name_ends_.capacity() * sizeof(std::size_t) + ids_.capacity() * sizeof(build_id);
    }

    /// The mapping that holds `address`, or errc::not_mapped. Binary search; no allocation.
    [[nodiscard]] result<mapping> find(std::uint64_t address) const noexcept {
        const std::size_t i = first_above(address);
        if (i < size() && records_[i].start <= address) return (*this)[i];
        return error{.code = errc::not_mapped, .at = step::query};
    }
    /// The mapping that holds `address`, or else the next above it.
    [[nodiscard]] result<mapping> find_from(std::uint64_t address) const noexcept {
        const std::size_t i = first_above(address);
        if (i < size()) return (*this)[i];
        return error{.code = errc::not_mapped, .at = step::query};
    }

private:
    struct record {
        std::uint64_t start;
        std::uint64_t end;
        std::uint64_t offset;
        std::uint64_t inode;
        device_number device;
        std::uint32_t name;          // number of the name; 0: none
        std::uint32_t id;            // number of the build ID; 0: none
        std::uint8_t permissions;
        std::uint8_t page_shift;     // log2 of the page size; 0: not known
        name_state name_status;
        bool build_id_known;
    };
    static_assert(sizeof(record) <= 64);

    template <class T>
    using vector = std::vector<T, typename std::allocator_traits<Allocator>::template rebind_alloc<T>>;

    /// The number of the first mapping that ends above `address`.
    [[nodiscard]] std::size_t first_above(std::uint64_t address) const noexcept {
        const auto above = [](std::uint64_t a, const record& r) { return a < r.end; };
        return static_cast<std::size_t>(std::upper_bound(records_.begin(), records_.end(), address, above) - records_.begin());
    }
    [[nodiscard]] std::string_view name(std::uint32_t number) const noexcept {
        if (number == 0) return {};
        const std::size_t first = number == 1 ? 0 : name_ends_[number - 2];
        return {names_.data() + first, name_ends_[number - 1] - first};
    }

    vector<record> records_;
    vector<char> names_;              // one behind the other
    vector<std::size_t> name_ends_;
    vector<build_id> ids_;
};

/// A snapshot in memory of the standard allocator.
using snapshot = basic_snapshot<>;

/// Makes a snapshot of records that come one at a time: from a BPF program, a core file, a trace.
template <class Allocator>
class basic_snapshot<Allocator>::builder {
public:
    /// Holds none yet.
    explicit builder(const Allocator& allocator = {}) : made_(allocator) {}

    /// Copies a mapping, its name and build ID. Order does not matter. A name with name_state::escaped is decoded. A mapping that
    /// is empty or ends before it starts is refused: errc::invalid.
    result<void> add(const mapping& m) {
        if (m.start >= m.end) return error{.code = errc::invalid, .at = step::parse};
        record r{.start = m.start,
                 .end = m.end,
                 .offset = m.offset,
                 .inode = m.inode,
                 .device = m.device,
                 .name = 0,
                 .id = 0,
                 .permissions = static_cast<std::uint8_t>(m.permissions.bits() & 0x0f),
                 .page_shift = detail::page_shift(m.page_size),
                 .name_status = m.name_status,
                 .build_id_known = m.build_id_known};
        if (m.name_status == name_state::escaped) {
            decoded_.clear();
            detail::append_decoded(decoded_, m.name);
            r.name = number_of_name(decoded_);
            r.name_status = name_state::ambiguous;
        } else {
            r.name = number_of_name(m.name);
        }
        r.id = number_of_id(m.build_id.bytes());
        if (!m.build_id.empty()) r.build_id_known = r.id != 0;  // one too long to be kept is not known
        made_.records_.push_back(r);
        return {};
    }

    /// The snapshot, ascending. Where mappings overlap (text can list one twice, grown), the one that starts later is clipped, its
    /// offset too; of two that start at one address, the longer one.
    [[nodiscard]] basic_snapshot build() {
        auto& records = made_.records_;
        const auto below = [](const record& a, const record& b) { return a.start != b.start ? a.start < b.start : a.end < b.end; };
        if (!std::is_sorted(records.begin(), records.end(), below)) std::sort(records.begin(), records.end(), below);
        std::uint64_t last_end = 0;
        std::size_t kept = 0;
        for (record r : records) {
            if (r.end <= last_end) continue;
            if (r.start < last_end) {
                if (r.inode != 0 || r.device != device_number{}) r.offset += last_end - r.start;
                r.start = last_end;
            }
            last_end = r.end;
            records[kept++] = r;
        }
        records.resize(kept);
        records.shrink_to_fit();
        made_.names_.shrink_to_fit();
        made_.name_ends_.shrink_to_fit();
        made_.ids_.shrink_to_fit();
        numbers_.clear();
        ids_.clear();
        last_name_ = last_id_ = 0;
        return std::move(made_);
    }

private:
    friend class basic_snapshot;

    std::uint32_t number_of_name(std::string_view name) {
        if (name.empty()) return 0;
        if (last_name_ != 0 && made_.name(last_name_) == name) return last_name_;  // a file's mappings follow one another
        auto place = numbers_.find(name);
        if (place == numbers_.end()) place = numbers_.emplace(std::string{name}, 0u).first;
        if (place->second == 0) {  // new, or memory ran out here when it was
            made_.names_.resize(made_.name_ends_.empty() ? 0 : made_.name_ends_.back());
            made_.names_.insert(made_.names_.end(), name.begin(), name.end());
            made_.name_ends_.push_back(made_.names_.size());
            place->second = static_cast<std::uint32_t>(made_.name_ends_.size());
        }
        return last_name_ = place->second;
    }
    std::uint32_t number_of_id(std::span<const std::byte> bytes) {
        const build_id value{bytes};
        if (value.empty()) return 0;
        if (last_id_ != 0 && made_.ids_[last_id_ - 1] == value) return last_id_;  // a file's mappings follow one another
        const auto place = ids_.try_emplace(value, 0u).first;
        if (place->second == 0) {  // new, or memory ran out here when it was
            made_.ids_.push_back(value);
            place->second = static_cast<std::uint32_t>(made_.ids_.size());
        }
        return last_id_ = place->second;
    }

    /// Gives the mappings the build ID of their file, where it is still the one that is mapped. What broke it off, if anything did.
    error identify(const maps& from, build_id_choice choice) {
        std::vector<record*> unknown;
        std::vector<std::uint64_t> addresses;
        for (record& r : made_.records_) {
            const bool file = r.inode != 0 || r.device != device_number{};
            if (r.build_id_known || (!file && made_.name(r.name) != "[vdso]")) continue;
            unknown.push_back(&r);
            addresses.push_back(r.start);
        }
        if (unknown.empty()) return {};
        normalizer files{{.build_ids = true, .build_ids_from = choice}};
        const auto found = files.normalize(from, addresses);
        if (!found) return found.error();
        for (std::size_t i = 0; i < unknown.size(); ++i) {
            const location& at = found->locations[i];
            if (!at) continue;
            const mapped_file& file = found->files[at.file];
            // Something else may have been mapped there since.
            const record& r = *unknown[i];
            if (!file.build_id_known || file.inode != r.inode || file.device != r.device || at.offset != r.offset) continue;
            if (r.name_status == name_state::exact && file.path != made_.name(r.name)) {  // or it is of one file with a mapping by another path
                name_buffer name;
                const auto now = detail::handle_of::find(from, r.start, {.name = name});
                if (!now || now->name != made_.name(r.name) || now->inode != r.inode || now->device != r.device || now->offset != r.offset) continue;
            }
            unknown[i]->id = number_of_id(file.build_id.bytes());
            unknown[i]->build_id_known = true;
        }
        return found->error;
    }

    basic_snapshot made_;
    // Ordered: no text can make a search in them slow, as it could fill one bucket of a hash table.
    struct bytes_below {
        bool operator()(const build_id& a, const build_id& b) const noexcept {
            return std::ranges::lexicographical_compare(a.bytes(), b.bytes());
        }
    };
    std::map<std::string, std::uint32_t, std::less<>> numbers_{};  // of names
    std::map<build_id, std::uint32_t, bytes_below> ids_{};         // of build IDs
    std::string decoded_{};
    std::uint32_t last_name_ = 0;
    std::uint32_t last_id_ = 0;
};

/// Reads a snapshot's mappings in ascending order; what it gives is a value.
template <class Allocator>
class basic_snapshot<Allocator>::iterator {
public:
    /// What an iterator has; it borrows the snapshot.
    ///@{
    using value_type = mapping;
    using difference_type = std::ptrdiff_t;

    iterator() noexcept = default;
    iterator(const basic_snapshot& from, std::size_t number) noexcept : from_(&from), number_(number) {}
    [[nodiscard]] mapping operator*() const noexcept { return (*from_)[number_]; }
    iterator& operator++() noexcept { return ++number_, *this; }
    iterator operator++(int) noexcept { return {*from_, number_++}; }
    [[nodiscard]] friend bool operator==(const iterator&, const iterator&) noexcept = default;
    ///@}

private:
    const basic_snapshot* from_ = nullptr;
    std::size_t number_ = 0;
};

template <class Allocator>
mapping basic_snapshot<Allocator>::operator[](std::size_t i) const noexcept {
    const record& r = records_[i];
    return {.start = r.start,
            .end = r.end,
            .permissions = permission_set::from_bits(r.permissions),
            .name_status = r.name_status,
            .build_id_known = r.build_id_known,
            .offset = r.offset,
            .page_size = r.page_shift == 0 ? 0 : std::uint64_t{1} << r.page_shift,
            .inode = r.inode,
            .device = r.device,
            .name = name(r.name),
            .build_id = r.id == 0 ? build_id_view{} : build_id_view{ids_[r.id - 1].bytes()}};
}

template <class Allocator>
auto basic_snapshot<Allocator>::capture(const maps& from, const capture_options& options, const Allocator& allocator)
    -> result<basic_snapshot> {
    builder b{allocator};
    std::uint64_t above = 0;
    const auto keep = [&](mapping m) {
        above = m.end;
        if (!options.page_sizes) m.page_size = 0;
        name_buffer name;
        // Where the text does not give a name as the kernel has it, the ioctl does, if the mapping is still there.
        if (from.backend() == backend::ioctl && (m.name_status == name_state::ambiguous || m.name_status == name_state::too_long)) {
            const auto exact = detail::handle_of::find(from, m.start, {.name = name});
            if (exact && exact->end == m.end && exact->inode == m.inode && exact->device == m.device) {
                m.name = exact->name;
                m.name_status = exact->name_status;
            }
        }
        (void)b.add(m);
    };
    // Goes on from `above` to the end. False: it broke off; see `broke`.
    error broke;
    const auto go_on = [&](backend use) {
        mapping_walk walk{from.handle_, {.names = options.names}, use, above};
        for (const mapping& m : walk) keep(m);
        broke = walk.error();
        return walk.complete();
    };
    // For all mappings at once the text is the faster way, if it has what is asked for (docs/performance.md). But an open description
    // has one position in its text: of those that may share it by now (fork, SCM_RIGHTS) only the process that opened it reads the
    // text, so that no two do; the others are left to the ioctl.
    const bool own = from.handle_.pid != error::unknown && detail::is_this_process(from.handle_.opener);
    const bool by_text = own && !options.page_sizes;
    // What text cannot give (it ends with the task that it was opened through), the ioctl goes on with, or says why.
    if (!by_text || !go_on(backend::text)) {
        if (!by_text || from.backend() == backend::ioctl) go_on(from.backend());
    }
    if (broke.code != errc::none) return {b.build(), broke};
    // As a normalizer does it, which knows of a file whether it may be read: a walk knows its name only.
    if (options.build_ids) broke = b.identify(from, options.build_ids_from);
    return broke.code == errc::none ? result<basic_snapshot>{b.build()} : result<basic_snapshot>{b.build(), broke};
}

template <class Allocator>
auto basic_snapshot<Allocator>::parse(std::string_view text, const Allocator& allocator) -> result<basic_snapshot> {
    builder b{allocator};
    error broke;
    recorded_reader reader{text};
    const auto stop = [&broke](const error& wrong) {
        broke = wrong;
        return false;
    };
    while (reader.next(stop))
        if (reader.is_mapping()) (void)b.add(reader.current());
    return broke.code == errc::none ? result<basic_snapshot>{b.build()} : result<basic_snapshot>{b.build(), broke};
}

/// Writes a snapshot as maps text, each line with its newline; what a maps line cannot hold follows it in the manner of smaps:
/// KernelPageSize, and ours: BuildID (empty: known to have none), NameBytes (hexadecimal, where the line cannot give the
/// name: `\012`, a blank at the beginning, `[rollup]`), NameState (where it is another than the text shows), Mapping ("yes": the mapping is one
/// of the address space, although its name is `[vsyscall]`). parse() reads it back without loss.
template <class Sink, class Allocator>
void print(Sink&& sink, const basic_snapshot<Allocator>& s) {
    const auto number = [&sink](std::uint64_t value, unsigned base, std::size_t width = 1) {
        detail::char_line<20> digits;
        digits.put(value, base, width);
        sink(digits.view());
    };
    for (mapping m : s) {
        const std::string_view name = m.name;
        // A line is not read with the blanks before its name, and one of such a name is refused. It goes without the name.
        const bool unnamed = name.starts_with(' ') || detail::is_rollup(m) || detail::ends_with_cr(m);
        if (unnamed) m.name = {};
        print(sink, m);
        m.name = name;
        sink("\n");
        if (detail::prints_like_gate(m)) sink("Mapping:           yes\n");
        if (m.page_size != 0) sink("KernelPageSize:    "), number(m.page_size / 1024, 10), sink(" kB\n");
        if (m.build_id_known || !m.build_id.empty()) {
            sink("BuildID:           ");
            print(sink, m.build_id);
            sink("\n");
        }
        const bool literal = m.name.find(escaped_newline) != std::string_view::npos;
        const bool newline = m.name.find('\n') != std::string_view::npos;
        name_state read = literal || newline ? name_state::ambiguous : name_state::exact;  // what the line alone says
        if (literal || (newline && m.name_status != name_state::ambiguous) || unnamed) {
            sink("NameBytes:         ");
            for (const char c : m.name) number(static_cast<unsigned char>(c), 16, 2);
            sink("\n");
            read = name_state::exact;
        }
        if (m.name_status != read) {
            sink("NameState:         ");
            sink(detail::name_states[static_cast<std::size_t>(m.name_status)]);
            sink("\n");
        }
    }
}

/// Writes it to a stream; the program includes `<ostream>`.
template <class Traits, class Allocator>
std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& out, const basic_snapshot<Allocator>& s) {
    print(detail::stream_sink<std::basic_ostream<char, Traits>>{out}, s);
    return out;
}

}  // namespace procmap::inline PROCMAP_ABI

#include <procmap/difference.hpp>  // until 0.2: difference() was declared here
