// Capturing the mappings of a process for a snapshot, and the build IDs of their files.
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

#include <procmap/detail/record_table.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>
#include <procmap/options.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// Copies the mappings of a process. The error that broke it off, if any did.
template <class Allocator>
[[nodiscard]] error capture_mappings(const maps& from, const capture_options& options, record_builder<Allocator>& to) {
    const handle& h = handle_of::get(from);
    std::uint64_t above = 0;
    const auto keep = [&](mapping m) {
        above = m.end;
        if (!options.page_sizes) m.page_size = 0;
        name_buffer name;
        // Where the text does not give a name as the kernel has it, the ioctl does, if the mapping is still there.
        if (h.backend == backend::ioctl && (m.name_status == name_state::ambiguous || m.name_status == name_state::too_long)) {
            const auto exact = handle_of::find(from, m.start, {.name = name});
            if (exact && exact->end == m.end && exact->inode == m.inode && exact->device == m.device) {
                m.name = exact->name;
                m.name_status = exact->name_status;
            }
        }
        (void)to.add(m);
    };
    // Goes on from `above` to the end. False: it broke off; see `broke`.
    error broke;
    const auto go_on = [&](backend use) {
        auto walk = walk_over(h, {.names = options.names}, use, above);
        for (const mapping& m : walk) keep(m);
        broke = walk.error();
        return walk.complete();
    };
    // For all mappings at once the text is the faster way, if it has what is asked for (docs/performance.md). But an open description
    // has one position in its text: of those that may share it by now (fork, SCM_RIGHTS) only the process that opened it reads the
    // text, so that no two do; the others are left to the ioctl.
    const bool own = h.pid != error::unknown && is_this_process(h.opener);
    const bool by_text = own && !options.page_sizes;
    // What text cannot give (it ends with the task that it was opened through), the ioctl goes on with, or says why.
    if (!by_text || !go_on(backend::text)) {
        if (!by_text || h.backend == backend::ioctl) go_on(h.backend);
    }
    return broke;
}

/// Gives the mappings the build ID of their file, where it is still the one that is mapped. As a normalizer does it, which knows of a file
/// whether it may be read: a walk knows its name only. The error that broke it off, if any did.
template <class Allocator>
[[nodiscard]] error capture_build_ids(const maps& from, const capture_options& options, record_builder<Allocator>& to) {
    record_table<Allocator>& made = to.made();
    std::vector<record*> unknown;
    std::vector<std::uint64_t> addresses;
    for (record& r : made.records) {
        if (r.build_id_known || (!r.file_backed() && made.name(r.name) != "[vdso]")) continue;
        unknown.push_back(&r);
        addresses.push_back(r.start);
    }
    if (unknown.empty()) return {};
    normalizer files{{.build_ids = true, .build_ids_from = options.build_ids_from}};
    const auto found = files.normalize(from, addresses);
    if (!found) return found.error();
    for (std::size_t i = 0; i < unknown.size(); ++i) {
        const location& at = found->locations[i];
        if (!at) continue;
        const mapped_file& file = found->files[at.file];
        record& r = *unknown[i];
        // Something else may have been mapped there since.
        if (!file.build_id_known || file.inode != r.inode || file.device != r.device || at.offset != r.offset) continue;
        if (r.name_status == name_state::exact && file.path != made.name(r.name)) {  // or it is of one file with a mapping by another path
            name_buffer name;
            const auto now = handle_of::find(from, r.start, {.name = name});
            if (!now || now->name != made.name(r.name) || now->inode != r.inode || now->device != r.device || now->offset != r.offset) continue;
        }
        r.id = to.number_of_id(file.build_id);
        r.build_id_known = true;
    }
    return found->error;
}

}  // namespace procmap::inline PROCMAP_ABI::detail
