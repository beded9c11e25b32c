// Copies the mappings of an address space. The copy outlives the process.
//
//   auto copy = procmap::snapshot::capture(*self, {.build_ids = true});
//   if (auto m = copy->find(address)) std::cout << *m << '\n';
#pragma once

#include <procmap/version.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include <procmap/detail/capture.hpp>
#include <procmap/detail/record_table.hpp>
#include <procmap/maps.hpp>
#include <procmap/options.hpp>
#include <procmap/recorded.hpp>

namespace procmap::inline PROCMAP_ABI {

template <class Allocator = std::allocator<std::byte>>
class basic_snapshot;

namespace detail {
template <class Allocator>
inline constexpr bool kept_on_failure<basic_snapshot<Allocator>> = true;
template <class Allocator>
inline constexpr bool lent<basic_snapshot<Allocator>> = true;
}  // namespace detail

/// An owning, immutable copy of the mappings of an address space, ascending and without overlaps. 56 bytes for each mapping; each distinct
/// name and build ID is stored once. Any number of threads may read it, lock-free. Records that are read borrow from the snapshot.
template <class Allocator>
class basic_snapshot {
public:
    class builder;
    class iterator;
    using allocator_type = Allocator;  ///< allocates all that it holds

    basic_snapshot() : basic_snapshot(Allocator{}) {}  ///< empty
    explicit basic_snapshot(const Allocator& allocator) : table_(allocator) {}  ///< empty

    /// Copies the mappings of a process. If it fails, `*` of the result has what was read before. If mappings change meanwhile, the copy
    /// has the guarantees of a walk.
    ///
    /// Cost: that of a walk. It reads the text, which is faster for all mappings at once. It uses the ioctl if page sizes are requested, or
    /// if others may read the handle's text, because it was adopted, received or inherited by fork. The result is the same.
    ///
    /// Build IDs are found afterwards as by a normalizer, once for each file (about thirty system calls): from the kernel, or from the file
    /// or the process's memory if the kernel is not asked (text, or see open_options::trust_kernel_build_ids) or finds none. Those of files
    /// that are not proven, and of memory without a file except the vDSO, are not known.
    [[nodiscard]] static result<basic_snapshot> capture(const maps& from, const capture_options& options = {}, const Allocator& allocator = {});

    /// Reads recorded maps text, smaps text, or a saved snapshot (see recorded_reader). Decodes names, and omits what is no mapping
    /// (`[vsyscall]`, `[vectors]` of a 32-bit ARM kernel, ranges of zero length). Fails at a malformed line, with its line and byte; `*` of
    /// the result then has the mappings before it. Fails with errc::not_maps for smaps_rollup. Cost: n log n in any text.
    ///
    /// `options`: what is tolerated beyond what Linux writes. With parse_options::gate, `[vsyscall]` is a mapping too.
    [[nodiscard]] static result<basic_snapshot> parse(std::string_view text, const parse_options& options = {}, const Allocator& allocator = {});
    /// The same without options.
    template <std::same_as<Allocator> Given>
    [[nodiscard]] static result<basic_snapshot> parse(std::string_view text, const Given& allocator) {
        return parse(text, parse_options{}, allocator);
    }

    /// Copies any range of mappings, in any order.
    template <class Range>
        requires(!std::is_same_v<std::remove_cvref_t<Range>, basic_snapshot> && !std::is_convertible_v<Range, std::string_view>)
    [[nodiscard]] static basic_snapshot from(Range&& mappings, const Allocator& allocator = {}) {
        builder b{allocator};
        for (const mapping& m : mappings) (void)b.add(m);
        return b.build();
    }

    [[nodiscard]] std::size_t size() const noexcept { return table_.records.size(); }  ///< number of mappings
    [[nodiscard]] bool empty() const noexcept { return table_.records.empty(); }       ///< true if there are no mappings
    [[nodiscard]] mapping operator[](std::size_t i) const noexcept { return table_[i]; }  ///< by address; `i` < size(); borrows from this
    [[nodiscard]] iterator begin() const noexcept { return {*this, 0}; }      ///< the lowest mapping
    [[nodiscard]] iterator end() const noexcept { return {*this, size()}; }  ///< past the highest
    [[nodiscard]] std::size_t memory() const noexcept { return table_.memory(); }  ///< in bytes: records, names and build IDs

    /// Returns the mapping that contains `address`, or errc::not_mapped. Binary search; no allocation.
    [[nodiscard]] result<mapping> find(any_address address) const& noexcept PROCMAP_LIFETIMEBOUND {
        const auto m = find_from(address);
        return !m || m->start <= address.value() ? m : not_mapped(address);
    }
    /// Returns the mapping that contains `address`, or else the next one above it; errc::not_mapped if there is none.
    [[nodiscard]] result<mapping> find_from(any_address address) const& noexcept PROCMAP_LIFETIMEBOUND {
        const std::size_t i = table_.first_above(address.value());
        if (i < size()) return table_[i];
        return not_mapped(address);
    }
    result<mapping> find(any_address) const&& = delete;       // the record would borrow
    result<mapping> find_from(any_address) const&& = delete;  // from a temporary

    /// Returns how many bytes from `address` on, at most `bytes`, are mapped without a hole and have all of `only`: see maps::extent.
    [[nodiscard]] std::uint64_t extent(any_address address, std::uint64_t bytes, filters only = {}) const noexcept {
        const std::uint64_t limit = detail::end_of(address.value(), bytes);
        std::uint64_t at = address.value();
        for (std::size_t i = table_.first_above(at); i < size() && at < limit; ++i) {
            const mapping m = table_[i];
            if (m.start > at || !m.passes(only)) break;
            at = m.end;
        }
        return (at < limit ? at : limit) - address.value();
    }

private:
    static error not_mapped(any_address address) noexcept {
        return {.code = errc::not_mapped, .at = step::query, .offset = address.value()};
    }

    explicit basic_snapshot(detail::record_table<Allocator>&& table) noexcept : table_(std::move(table)) {}

    detail::record_table<Allocator> table_;
};

using snapshot = basic_snapshot<>;  ///< with the standard allocator

/// Builds a snapshot from mappings that come one at a time: from a BPF program, a core file, a trace.
template <class Allocator>
class basic_snapshot<Allocator>::builder {
public:
    explicit builder(const Allocator& allocator = {}) : records_(allocator) {}  ///< empty

    /// Copies a mapping with its name and build ID, in any order. Decodes a name with name_state::escaped. Fails with errc::invalid if the
    /// mapping is empty or ends before it starts.
    result<void> add(const mapping& m) { return records_.add(m); }

    /// Returns the snapshot, ascending. If mappings overlap (text can list one twice, grown), the one that starts later is clipped,
    /// including its offset; of two with the same start, the longer one.
    [[nodiscard]] basic_snapshot build() { return basic_snapshot{records_.build()}; }

private:
    friend class basic_snapshot;

    detail::record_builder<Allocator> records_;
};

/// Iterates over a snapshot's mappings in ascending order. Dereferencing returns a value.
template <class Allocator>
class basic_snapshot<Allocator>::iterator {
public:
    /// As in any iterator. It borrows the snapshot.
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
auto basic_snapshot<Allocator>::capture(const maps& from, const capture_options& options, const Allocator& allocator)
    -> result<basic_snapshot> {
    builder b{allocator};
    error broke = detail::capture_mappings(detail::handle_of(from), options, b.records_);
    if (broke.code == errc::none && options.build_ids) broke = detail::capture_build_ids(detail::handle_of(from), options, b.records_);
    return {b.build(), broke};
}

template <class Allocator>
auto basic_snapshot<Allocator>::parse(std::string_view text, const parse_options& options, const Allocator& allocator)
    -> result<basic_snapshot> {
    builder b{allocator};
    error broke;
    recorded_reader reader{text, options};
    const auto stop = [&broke](const error& wrong) {
        broke = wrong;
        return false;
    };
    while (reader.next(stop))
        if (reader.is_mapping()) (void)b.add(reader.current());
    return {b.build(), broke};
}

/// Writes a snapshot as maps text, each line with its newline. What a maps line cannot hold follows it in the form of smaps:
/// KernelPageSize, and procmap's own BuildID (empty: known to have none), NameBytes (hexadecimal, if the line cannot give the name: `\012`,
/// a blank at its beginning, `[rollup]`, a CR at its end), NameState (if it differs from what the line tells) and Mapping ("yes": a mapping
/// of the address space, although its name is `[vsyscall]`). parse() reads it back without loss.
template <class Sink, class Allocator>
void print(Sink&& sink, const basic_snapshot<Allocator>& s) {
    for (const mapping& m : s) detail::print_recorded(sink, m);
}

}  // namespace procmap::inline PROCMAP_ABI

#include <procmap/difference.hpp>  // kept until 0.2: difference() was declared here
