// procmap snapshot: a copy of all mappings, as text.
#pragma once

#include "target.hpp"

namespace cli {

inline constexpr char snapshot_help[] = R"(usage: procmap snapshot [TARGET] [OPTION...] > FILE

Writes all mappings of a process as text, for `procmap diff` and --from: maps text, in which each mapping can be followed by
"Key: value" lines like those of smaps. If an error occurs, nothing is written. From recorded smaps text, only the data that a
snapshot stores is kept.

  --page-sizes     include the page size of each mapping (requires the ioctl)
  --build-ids      include the build ID of each mapped file, like `procmap list --build-ids`
)";

inline int snapshot(const arguments& a) {
    const std::string_view target = only_target(a);
    if (a.from) {
        procmap::print(put, load(a.from));
        return done;
    }
    const procmap::maps process = open_target(a, target);
    if (a.page_sizes && process.backend() != procmap::backend::ioctl) fail("--page-sizes requires the ioctl");
    procmap::print(put, value_or_exit(procmap::snapshot::capture(process, {.build_ids = a.build_ids, .page_sizes = a.page_sizes})));
    return done;
}

}  // namespace cli
