// Captures the mappings of a process, and the build IDs of their files, for a snapshot.
#pragma once

#include <procmap/version.hpp>

#include <procmap/detail/record_table.hpp>
#include <procmap/detail/resolver.hpp>
#include <procmap/options.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// Copies the mappings of a process to `to`. Returns the error that ended it early; errc::none if it is complete.
template <class Allocator>
[[nodiscard]] error capture_mappings(const handle& from, const capture_options& options, record_builder<Allocator>& to) {
    std::uint64_t above = 0;
    const auto keep = [&](mapping m) {
        above = m.end;
        if (!options.page_sizes) m.page_size = 0;
        name_buffer name;
        // If the name from the text is ambiguous or too long, the ioctl is queried for the exact one.
        if (from.by_ioctl() && (m.name_status == name_state::ambiguous || m.name_status == name_state::too_long)) {
            const auto exact = lookup(from, m.start, {.name = name}, false);
            if (exact && exact->end == m.end && exact->inode == m.inode && exact->device == m.device) {
                m.name = exact->name;
                m.name_status = exact->name_status;
            }
        }
        (void)to.add(m);
    };
    // Continues from `above` to the end. Returns false and sets `broke` on failure.
    error broke;
    const auto go_on = [&](backend use) {
        auto walk = walk_over(from, {.names = options.names, .gate = options.gate, .use = use}, above);
        for (const mapping& m : walk) keep(m);
        broke = walk.error();
        return walk.complete();
    };
    // The text is faster for reading all mappings (docs/performance.md), but it has no page sizes. An open file description has one
    // position in the text, and other processes may share it (fork, SCM_RIGHTS). Only the process that opened it reads the text.
    const bool own = from.pid != error::unknown && is_this_process(from.opener);
    const bool by_text = has_text && own && !options.page_sizes;
    // The text fails once the task that it was opened through is reaped. The ioctl then continues, or returns the error.
    if (!by_text || !go_on(backend::text)) {
        if (!by_text || from.by_ioctl()) go_on(from.backend);
    }
    return broke;
}

/// Adds the build IDs of the captured files that are still mapped. Uses a normalizer, which verifies that a file may be read; a walk knows
/// only its name. Returns the error that ended it early; errc::none if it is complete.
template <class Allocator>
[[nodiscard]] error capture_build_ids(const handle& from, const capture_options& options, record_builder<Allocator>& to) {
    record_table<Allocator>& made = to.made();
    std::vector<record*> unknown;
    std::vector<std::uint64_t> addresses;
    for (record& r : made.records) {
        if (r.build_id_known || (!r.file_backed() && made.name(r.name) != "[vdso]")) continue;
        unknown.push_back(&r);
        addresses.push_back(r.start);
    }
    if (unknown.empty()) return {};
    resolver files{{.build_ids = true, .build_ids_from = options.build_ids_from}};
    const auto found = files.run(from, addresses);
    if (!found) return found.error();
    for (std::size_t i = 0; i < unknown.size(); ++i) {
        const location& at = found->locations[i];
        if (!at) continue;
        const mapped_file& file = found->files[at.file];
        record& r = *unknown[i];
        // Another file may have been mapped there since the capture.
        if (!file.build_id_known || file.inode != r.inode || file.device != r.device || at.offset != r.offset) continue;
        if (r.name_status == name_state::exact && file.path != made.name(r.name)) {  // or the file is also mapped by another path
            name_buffer name;
            const auto now = lookup(from, r.start, {.name = name}, false);
            if (!now || now->name != made.name(r.name) || now->inode != r.inode || now->device != r.device || now->offset != r.offset) continue;
        }
        r.id = to.number_of_id(file.build_id);
        r.build_id_known = true;
    }
    return found->error;
}

}  // namespace procmap::inline PROCMAP_ABI::detail
