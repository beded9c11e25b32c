// A copy of the mappings of an address space, which outlives it.
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <procmap/detail/capture.hpp>
#include <procmap/detail/record_table.hpp>
#include <procmap/maps.hpp>
#include <procmap/options.hpp>
#include <procmap/recorded.hpp>

namespace procmap::inline PROCMAP_ABI {

/// An owning, immutable copy of the mappings of an address space, ascending and without overlap. 56 bytes a mapping, and
/// each distinct name and build ID once. Reading is lock-free: any number of threads. Records that are read borrow from the snapshot.
template <class Allocator = std::allocator<std::byte>>
class basic_snapshot {
public:
    class builder;
    class iterator;
    using allocator_type = Allocator;  ///< of all that it holds

    basic_snapshot() : basic_snapshot(Allocator{}) {}  ///< empty
    /// Empty.
    explicit basic_snapshot(const Allocator& allocator) : table_(allocator) {}

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

    [[nodiscard]] std::size_t size() const noexcept { return table_.records.size(); }  ///< in mappings
    [[nodiscard]] bool empty() const noexcept { return table_.records.empty(); }       ///< has none
    /// The mapping of that number, which must be below size(), by address; its name and build ID borrow from this.
    [[nodiscard]] mapping operator[](std::size_t i) const noexcept { return table_[i]; }
    [[nodiscard]] iterator begin() const noexcept { return {*this, 0}; }      ///< the lowest
    [[nodiscard]] iterator end() const noexcept { return {*this, size()}; }  ///< past the highest
    /// Bytes that it holds, for the records, names and build IDs.
    [[nodiscard]] std::size_t memory() const noexcept { return table_.memory(); }

    /// The mapping that holds `address`, or errc::not_mapped. Binary search; no allocation.
    [[nodiscard]] result<mapping> find(std::uint64_t address) const noexcept {
        const auto m = find_from(address);
        return !m || m->start <= address ? m : error{.code = errc::not_mapped, .at = step::query};
    }
    /// The mapping that holds `address`, or else the next above it.
    [[nodiscard]] result<mapping> find_from(std::uint64_t address) const noexcept {
        const std::size_t i = table_.first_above(address);
        if (i < size()) return table_[i];
        return error{.code = errc::not_mapped, .at = step::query};
    }

private:
    explicit basic_snapshot(detail::record_table<Allocator>&& table) noexcept : table_(std::move(table)) {}

    detail::record_table<Allocator> table_;
};

/// A snapshot in memory of the standard allocator.
using snapshot = basic_snapshot<>;

/// Makes a snapshot of records that come one at a time: from a BPF program, a core file, a trace.
template <class Allocator>
class basic_snapshot<Allocator>::builder {
public:
    /// Holds none yet.
    explicit builder(const Allocator& allocator = {}) : records_(allocator) {}

    /// Copies a mapping, its name and build ID. Order does not matter. A name with name_state::escaped is decoded. A mapping that
    /// is empty or ends before it starts is refused: errc::invalid.
    result<void> add(const mapping& m) { return records_.add(m); }

    /// The snapshot, ascending. Where mappings overlap (text can list one twice, grown), the one that starts later is clipped, its
    /// offset too; of two that start at one address, the longer one.
    [[nodiscard]] basic_snapshot build() { return basic_snapshot{records_.build()}; }

private:
    friend class basic_snapshot;

    detail::record_builder<Allocator> records_;
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
auto basic_snapshot<Allocator>::capture(const maps& from, const capture_options& options, const Allocator& allocator)
    -> result<basic_snapshot> {
    builder b{allocator};
    error broke = detail::capture_mappings(from, options, b.records_);
    if (broke.code == errc::none && options.build_ids) broke = detail::capture_build_ids(from, options, b.records_);
    return {b.build(), broke};
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
    return {b.build(), broke};
}

/// Writes a snapshot as maps text, each line with its newline; what a maps line cannot hold follows it in the manner of smaps:
/// KernelPageSize, and ours: BuildID (empty: known to have none), NameBytes (hexadecimal, where the line cannot give the
/// name: `\012`, a blank at the beginning, `[rollup]`), NameState (where it is another than the text shows), Mapping ("yes": the mapping is one
/// of the address space, although its name is `[vsyscall]`). parse() reads it back without loss.
template <class Sink, class Allocator>
void print(Sink&& sink, const basic_snapshot<Allocator>& s) {
    for (const mapping& m : s) detail::print_recorded(sink, m);
}

}  // namespace procmap::inline PROCMAP_ABI

#include <procmap/difference.hpp>  // until 0.2: difference() was declared here
