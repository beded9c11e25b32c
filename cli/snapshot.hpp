// procmap snapshot: a copy of all mappings, as text.
#pragma once

#include "target.hpp"

namespace cli {

inline constexpr char snapshot_help[] = R"(usage: procmap snapshot [TARGET] [OPTION...] > FILE

A copy of all mappings, which outlives the process: maps text, and behind a line what it cannot hold, in the manner of smaps.
`procmap diff` and --from read it. It is whole: when it breaks off, nothing is written. What a snapshot does not keep of
recorded smaps text is left out.

  --page-sizes     with the page size of each mapping (ioctl only)
  --build-ids      with the build ID of each file, as of `procmap list --build-ids`
)";

inline int snapshot(const arguments& a) {
    const std::string_view target = only_target(a);
    if (a.from) {
        procmap::print(put, load(a.from));
        return done;
    }
    const procmap::maps process = open_target(a, target);
    if (a.page_sizes && process.backend() != procmap::backend::ioctl) fail("no page sizes: the text back-end has none");
    const procmap::capture_options options{.build_ids = a.build_ids, .page_sizes = a.page_sizes};
    procmap::print(put, value_or_exit(procmap::snapshot::capture(process, options)));
    return done;
}

}  // namespace cli
