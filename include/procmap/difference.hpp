// Compares two snapshots, or reports the changes of an address space.
//
//   procmap::watcher watch{*self};
//   if (auto changes = watch.look())
//       for (const procmap::change& c : *changes) std::cout << c << '\n';
#pragma once

#include <procmap/version.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <procmap/snapshot.hpp>

namespace procmap::inline PROCMAP_ABI {

/// How a range of addresses changed. If several kinds apply, the first one is reported.
enum class change_kind : unsigned char {
    mapped,       ///< not mapped before
    unmapped,     ///< not mapped now
    backing,      ///< another file, file offset, page size or build ID, or a file before or now but not both
    permissions,
    name,
};

/// Returns the name of the enumerator.
[[nodiscard]] constexpr std::string_view to_string(change_kind kind) noexcept {
    constexpr std::string_view names[] = {"mapped", "unmapped", "backing", "permissions", "name"};
    return detail::name_of(names, kind);
}

/// A changed range, with the mappings that are and were there, clipped to the range, including their offsets. The mappings borrow from the
/// snapshots that contain them.
struct change {
    change_kind kind = change_kind::mapped;  ///< how the range changed
    std::uint64_t start = 0;                 ///< first address
    std::uint64_t end = 0;                   ///< end address (exclusive)
    mapping now{};                           ///< the mapping in the later snapshot; of what was unmapped, the one before
    mapping was{};                           ///< the mapping in the earlier snapshot; empty, with a size of 0, for what was mapped

    [[nodiscard]] constexpr std::uint64_t size() const noexcept { return end - start; }  ///< size in bytes
};

/// Writes a change as one line without a newline: the kind, then the mapping's line.
template <class Sink>
constexpr void print(Sink&& sink, const change& c) {
    detail::char_line<16> kind;
    kind.put(to_string(c.kind));
    kind.pad_to(12);
    sink(kind.view());
    print(sink, c.now);
}

namespace detail {

[[nodiscard]] constexpr mapping cut(mapping m, std::uint64_t start, std::uint64_t end) noexcept {
    if (m.file_backed()) m.offset += start - m.start;
    m.start = start;
    m.end = end;
    return m;
}

/// True if two records show the same memory at the same place, whatever their bounds. An unknown value equals any other.
[[nodiscard]] constexpr bool same_backing(const mapping& a, const mapping& b) noexcept {
    return a.file_backed() == b.file_backed() && a.device == b.device && a.inode == b.inode &&
           (!a.file_backed() || a.offset - a.start == b.offset - b.start) &&
           (a.page_size == 0 || b.page_size == 0 || a.page_size == b.page_size) &&
           (!a.build_id_known || !b.build_id_known || a.build_id == b.build_id);
}

/// True if two names have the same text in maps, where `\012` is a newline or itself.
[[nodiscard]] constexpr bool same_text(std::string_view a, std::string_view b) noexcept {
    while (!a.empty() && !b.empty())
        if (take_decoded(a) != take_decoded(b)) return false;
    return a.empty() && b.empty();
}

[[nodiscard]] constexpr bool same_name(const mapping& a, const mapping& b) noexcept {
    const auto known = [](name_state s) { return s == name_state::exact || s == name_state::ambiguous; };
    if (!known(a.name_status) || !known(b.name_status) || a.name == b.name) return true;
    return a.name_status != b.name_status && same_text(a.name, b.name);  // one is ambiguous
}

}  // namespace detail

/// Returns the changes from one snapshot to the next, ascending. A split or a merge alone is not a change. Linear in both sizes. The
/// records borrow from the snapshots.
template <class A, class B>
[[nodiscard]] std::vector<change> difference(const basic_snapshot<A>& before, const basic_snapshot<B>& after) {
    std::vector<change> changes;
    const auto continues = [](const mapping& last, const mapping& next) {
        return last.permissions == next.permissions && detail::same_backing(last, next) && last.name == next.name;
    };
    const auto note = [&](change_kind kind, const mapping& now, const mapping& was, std::uint64_t start, std::uint64_t end) {
        const mapping now_here = detail::cut(now, start, end);
        const mapping was_here = kind == change_kind::mapped ? mapping{} : detail::cut(was, start, end);
        if (!changes.empty()) {
            change& last = changes.back();
            const bool same_was = kind == change_kind::mapped || continues(last.was, was_here);
            if (last.end == start && last.kind == kind && continues(last.now, now_here) && same_was) {
                last.end = last.now.end = end;
                if (kind != change_kind::mapped) last.was.end = end;
                return;
            }
        }
        changes.push_back({kind, start, end, now_here, was_here});
    };
    std::size_t i = 0;
    std::size_t j = 0;
    for (std::uint64_t at = 0; i < before.size() || j < after.size();) {
        constexpr std::uint64_t never = UINT64_MAX;
        const mapping a = i < before.size() ? before[i] : mapping{.start = never, .end = never};
        const mapping b = j < after.size() ? after[j] : mapping{.start = never, .end = never};
        at = std::max(at, std::min(a.start, b.start));
        const bool in_a = a.start <= at && i < before.size();
        const bool in_b = b.start <= at && j < after.size();
        const std::uint64_t end = std::min(in_a ? a.end : a.start, in_b ? b.end : b.start);
        if (!in_a)
            note(change_kind::mapped, b, {}, at, end);
        else if (!in_b)
            note(change_kind::unmapped, a, a, at, end);
        else if (!detail::same_backing(a, b))
            note(change_kind::backing, b, a, at, end);
        else if (a.permissions != b.permissions)
            note(change_kind::permissions, b, a, at, end);
        else if (!detail::same_name(a, b))
            note(change_kind::name, b, a, at, end);
        at = end;
        if (in_a && a.end == end) ++i;
        if (in_b && b.end == end) ++j;
    }
    return changes;
}
template <class A, class B>
std::vector<change> difference(const basic_snapshot<A>&&, const basic_snapshot<B>&) = delete;  // the records would borrow
template <class A, class B>
std::vector<change> difference(const basic_snapshot<A>&, const basic_snapshot<B>&&) = delete;  // from a temporary
template <class A, class B>
std::vector<change> difference(const basic_snapshot<A>&&, const basic_snapshot<B>&&) = delete;

/// Reports what changed in an address space since the previous look. The handle must outlive the watcher.
class watcher {
public:
    explicit watcher(const maps& from, const capture_options& options = {}) : from_(&from), options_(options) {}  ///< borrows the handle
    explicit watcher(const maps&& from, const capture_options& options = {}) = delete;  // it would borrow from a temporary

    /// Captures the mappings and returns the changes since the previous look; the first look reports every mapping as mapped. The result is
    /// valid until the next look. Fails as snapshot::capture does; the next look then compares with the last successful one.
    [[nodiscard]] result<std::span<const change>> look() {
        auto captured = snapshot::capture(*from_, options_);
        if (!captured) return captured.error();
        changes_ = difference(now_, *captured);  // moving a snapshot keeps the storage that these borrow from
        before_ = std::move(now_);
        now_ = std::move(*captured);
        return std::span<const change>{changes_};
    }

    [[nodiscard]] const snapshot& last() const noexcept { return now_; }  ///< the last successful look

private:
    const maps* from_;
    capture_options options_;
    snapshot before_{};
    snapshot now_{};
    std::vector<change> changes_{};  // borrow from both snapshots
};

}  // namespace procmap::inline PROCMAP_ABI
