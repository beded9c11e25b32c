// The table of the files that one normalizer call found.
#pragma once

#include <procmap/version.hpp>

#include <algorithm>

#include <procmap/detail/file_finder.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

struct file_entry {
    device_number device{};
    std::uint64_t inode = 0;
    std::string path{};
    bool path_known = false;
    file_answer known{};
    std::uint64_t forgotten = 0;  // file_cache::forgotten() when the entry was created
    std::uint64_t since = 0;      // file_cache::time() then
    std::vector<std::pair<std::uint64_t, bool>> images{};  // load biases, and whether an image was found there
};

/// The files of one call. Two mappings share an entry if they are proven to be of the same file; or, if only paths are requested, if
/// device, inode and path are equal.
class file_table {
public:
    explicit file_table(std::size_t most_files) noexcept : finder_(most_files) {}

    /// Begins a call with no files. Keeps the memory of the entries.
    void clear() noexcept {
        count_ = 0;
        by_inode_.clear();
    }
    [[nodiscard]] std::size_t size() const noexcept { return count_; }
    [[nodiscard]] const file_entry& operator[](std::size_t i) const noexcept { return entries_[i]; }
    [[nodiscard]] std::uint32_t index_of(const file_entry& e) const noexcept { return static_cast<std::uint32_t>(&e - entries_.data()); }
    [[nodiscard]] file_finder& finder() noexcept { return finder_; }
    [[nodiscard]] const file_finder& finder() const noexcept { return finder_; }

    /// Returns the entry of a file that a descriptor holds, so that the mapping's device and inode identify it. Returns null if there is
    /// none, or if the file was cached after `seen_at`, when the mapping was seen. The mapping must then be queried again.
    [[nodiscard]] file_entry* find_by_inode(const mapping& m, std::uint64_t seen_at) noexcept {
        file_entry* const held = find_held(m);
        return held != nullptr && held->since <= seen_at ? held : nullptr;
    }

    /// Returns the entry of a mapping's file, a new one unless another mapping is proven to be of the same file. `m` must have its name.
    file_entry& entry_of(const handle& from, task_files& task, const mapping& m, const file_question& q) {
        if (!q.id && !q.loads && m.file_backed())  // only the path is reported
            if (file_entry* const same = find(m, [&](const file_entry& e) { return e.path == m.name && !m.name.empty(); }); same != nullptr) return *same;
        if (count_ == entries_.size()) entries_.emplace_back();
        file_entry& e = entries_[count_];
        e.device = m.device;
        e.inode = m.inode;
        e.path.assign(m.name);
        e.path_known = !m.name.empty();
        e.images.clear();
        if (!m.file_backed())
            finder_.ask_memory(task, m, q, e.known);
        else
            (void)finder_.ask(from, task, m, q, e.known);
        e.forgotten = finder_.cache().forgotten();
        e.since = finder_.cache().time();
        if (file_entry* const held = e.known.by_inode ? find_held(m) : nullptr; held != nullptr) return *held;
        if (!e.known.by_inode && !e.known.id.empty()) {
            file_entry* const same = find(m, [&](const file_entry& other) {
                return !other.known.by_inode && other.path == e.path && other.known.id == e.known.id && other.known.loads.empty() == e.known.loads.empty();
            });
            if (same != nullptr) return *same;
        }
        auto before = place_of(m);
        if (!e.known.by_inode && before != by_inode_.end() && entries_[*before].inode == m.inode && entries_[*before].device == m.device) ++before;
        by_inode_.insert(before, count_);
        return entries_[count_++];
    }

private:
    /// Returns where the entries with a mapping's device and inode begin in by_inode_, or would be inserted.
    [[nodiscard]] std::vector<std::size_t>::const_iterator place_of(const mapping& m) const noexcept {
        return std::lower_bound(by_inode_.begin(), by_inode_.end(), m, [this](std::size_t i, const mapping& file) {
            const file_entry& e = entries_[i];
            return e.inode != file.inode ? e.inode < file.inode : e.device < file.device;
        });
    }

    /// Returns the first entry with a mapping's device and inode for which `property` is true, or null.
    template <class Property>
    [[nodiscard]] file_entry* find(const mapping& m, Property property) noexcept {
        for (auto at = place_of(m); at != by_inode_.end(); ++at) {
            file_entry& e = entries_[*at];
            if (e.inode != m.inode || e.device != m.device) break;
            if (property(e)) return &e;
        }
        return nullptr;
    }

    /// As find_by_inode(), whenever the file was cached. The entry is the first with its device and inode.
    [[nodiscard]] file_entry* find_held(const mapping& m) noexcept {
        const auto at = place_of(m);
        if (at == by_inode_.end()) return nullptr;
        file_entry& e = entries_[*at];
        return e.inode == m.inode && e.device == m.device && e.known.by_inode && finder_.cache().still_holds(m, e.forgotten, e.since) ? &e : nullptr;
    }

    file_finder finder_;
    std::vector<file_entry> entries_{};  // the first count_ are in use; the others are kept for their memory
    std::size_t count_ = 0;
    std::vector<std::size_t> by_inode_{};  // indices of the entries in use, sorted by inode and device
};

}  // namespace procmap::inline PROCMAP_ABI::detail
