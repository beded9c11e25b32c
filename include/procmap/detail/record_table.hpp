// The storage of a snapshot: one record for each mapping, and each distinct name and build ID once.
#pragma once

#include <procmap/version.hpp>

#include <algorithm>
#include <map>
#include <vector>

#include <procmap/build_id.hpp>
#include <procmap/recorded.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// A mapping, without its name and build ID.
struct record {
    std::uint64_t start;
    std::uint64_t end;
    std::uint64_t offset;
    std::uint64_t inode;
    device_number device;
    std::uint32_t name;  // number of the name, from 1; 0: none
    std::uint32_t id;    // number of the build ID, from 1; 0: none
    std::uint8_t permissions;
    std::uint8_t page_shift;  // log2 of the page size; 0: not known
    name_state name_status;
    bool build_id_known;

    [[nodiscard]] bool file_backed() const noexcept { return inode != 0 || device != device_number{}; }
};
static_assert(sizeof(record) <= 64);

/// Records with their names and build IDs, all allocated by `Allocator`.
template <class Allocator>
struct record_table {
    explicit record_table(const Allocator& allocator) : records(allocator), names(allocator), name_ends(allocator), ids(allocator) {}

    [[nodiscard]] mapping operator[](std::size_t i) const noexcept {
        const record& r = records[i];
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
                .build_id = r.id == 0 ? build_id_view{} : build_id_view{ids[r.id - 1].bytes()}};
    }
    [[nodiscard]] std::string_view name(std::uint32_t number) const noexcept {
        if (number == 0) return {};
        const std::size_t first = number == 1 ? 0 : name_ends[number - 2];
        return {names.data() + first, name_ends[number - 1] - first};
    }
    /// Returns the index of the first record that ends above `address`.
    [[nodiscard]] std::size_t first_above(std::uint64_t address) const noexcept {
        const auto above = [](std::uint64_t a, const record& r) { return a < r.end; };
        return static_cast<std::size_t>(std::upper_bound(records.begin(), records.end(), address, above) - records.begin());
    }
    [[nodiscard]] std::size_t memory() const noexcept {
        return records.capacity() * sizeof(record) + names.capacity() + name_ends.capacity() * sizeof(std::size_t) + ids.capacity() * sizeof(build_id);
    }

    template <class T>
    using vector = std::vector<T, typename std::allocator_traits<Allocator>::template rebind_alloc<T>>;

    vector<record> records;
    vector<char> names;  // concatenated
    vector<std::size_t> name_ends;
    vector<build_id> ids;
};

/// Fills a record_table. See snapshot::builder.
template <class Allocator>
class record_builder {
public:
    explicit record_builder(const Allocator& allocator) : made_(allocator) {}

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
                 .page_shift = page_shift(m.page_size),
                 .name_status = m.name_status,
                 .build_id_known = m.build_id_known};
        if (m.name_status == name_state::escaped) {
            decoded_.clear();
            decode(m.name, [this](char c) { decoded_ += c; });
            r.name = number_of_name(decoded_);
            r.name_status = name_state::ambiguous;
        } else {
            r.name = number_of_name(m.name);
        }
        r.id = number_of_id(build_id{m.build_id.bytes()});
        if (!m.build_id.empty()) r.build_id_known = r.id != 0;  // an ID that is too long to be stored is not known
        made_.records.push_back(r);
        return {};
    }

    [[nodiscard]] record_table<Allocator> build() {
        sort_and_clip();
        made_.records.shrink_to_fit();
        made_.names.shrink_to_fit();
        made_.name_ends.shrink_to_fit();
        made_.ids.shrink_to_fit();
        numbers_.clear();
        ids_.clear();
        last_name_ = last_id_ = 0;
        return std::move(made_);
    }

    [[nodiscard]] record_table<Allocator>& made() noexcept { return made_; }

    std::uint32_t number_of_id(const build_id& id) {
        if (id.empty()) return 0;
        if (last_id_ != 0 && made_.ids[last_id_ - 1] == id) return last_id_;  // the mappings of a file are usually adjacent
        const auto place = ids_.try_emplace(id, 0u).first;
        if (place->second == 0) {  // new, or an allocation failed below when it was
            made_.ids.push_back(id);
            place->second = static_cast<std::uint32_t>(made_.ids.size());
        }
        return last_id_ = place->second;
    }

private:
    std::uint32_t number_of_name(std::string_view name) {
        if (name.empty()) return 0;
        if (last_name_ != 0 && made_.name(last_name_) == name) return last_name_;
        auto place = numbers_.find(name);
        if (place == numbers_.end()) place = numbers_.emplace(std::string{name}, 0u).first;
        if (place->second == 0) {  // as above
            made_.names.resize(made_.name_ends.empty() ? 0 : made_.name_ends.back());
            made_.names.insert(made_.names.end(), name.begin(), name.end());
            made_.name_ends.push_back(made_.names.size());
            place->second = static_cast<std::uint32_t>(made_.name_ends.size());
        }
        return last_name_ = place->second;
    }

    void sort_and_clip() {
        auto& records = made_.records;
        const auto below = [](const record& a, const record& b) { return a.start != b.start ? a.start < b.start : a.end < b.end; };
        if (!std::is_sorted(records.begin(), records.end(), below)) std::sort(records.begin(), records.end(), below);
        std::uint64_t last_end = 0;
        std::size_t kept = 0;
        for (record r : records) {
            if (r.end <= last_end) continue;
            if (r.start < last_end) {
                if (r.file_backed()) r.offset += last_end - r.start;
                r.start = last_end;
            }
            last_end = r.end;
            records[kept++] = r;
        }
        records.resize(kept);
    }

    struct bytes_below {
        bool operator()(const build_id& a, const build_id& b) const noexcept {
            return std::ranges::lexicographical_compare(a.bytes(), b.bytes());
        }
    };

    record_table<Allocator> made_;
    // Ordered maps, because hostile text could put all names into one bucket of a hash table.
    std::map<std::string, std::uint32_t, std::less<>> numbers_{};  // of names
    std::map<build_id, std::uint32_t, bytes_below> ids_{};
    std::string decoded_{};
    std::uint32_t last_name_ = 0;
    std::uint32_t last_id_ = 0;
};

}  // namespace procmap::inline PROCMAP_ABI::detail
