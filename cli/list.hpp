// procmap list
#pragma once

#include "arguments.hpp"
#include "mapping.hpp"
#include "output.hpp"
#include "recording.hpp"
#include "summary.hpp"
#include "target.hpp"

#include <procmap/maps.hpp>
#include <procmap/snapshot.hpp>

#include <string_view>

namespace cli {

inline constexpr char list_help[] = R"(usage: procmap list [TARGET] [OPTION...]

All mappings of a process, byte for byte as in /proc/PID/maps, but without [vsyscall], which is not one. The mappings' lines of
recorded text are shown as recorded; --json has what the lines after them say of page size, build ID and name.

  --executable, --exec, --readable, --writable, --shared, --file-backed
                   only the mappings that are all of this
  --build-ids      after a mapping, the build ID of its file, as `procmap snapshot` writes it (empty: it has none). The kernel
                   is asked about regular files only; where it finds none, the file or the process's memory is read
  --summary        instead: how many mappings there are of each kind, and how much of the address space they take, which
                   is not how much memory is used
  --json           one JSON object a line: a mapping, with page size and, with --build-ids, build ID (null: not asked for, not
                   known, or none), or with --summary a kind, its size in bytes
)";

inline int list(const arguments& a) {
    const std::string_view target = only_target(a, "list");
    if (a.summary && a.build_ids) usage_error("a summary has no build IDs", "list");
    summary kinds;
    const auto take = [&](const record& r) { a.summary ? kinds.add(r.mapping) : show(a, r); };
    int status = done;
    if (a.from) {
        recording recorded(a.from);
        while (recorded.next()) {
            const procmap::recorded_reader& r = recorded.reader;
            if (r.current().passes(a.only) && (r.is_mapping() || !a.summary)) take({r.current(), r.line()});
        }
        status = recorded.status;
    } else {
        const procmap::maps process = open_target(a, "list", target);
        procmap::error broke;
        if (a.build_ids) {
            const auto taken = procmap::snapshot::capture(process, {.build_ids = true});
            for (const procmap::mapping& m : *taken)  // what was seen, also where it broke off
                if (m.passes(a.only)) take({m});
            broke = taken.error();
        } else {
            auto walk = process.walk({.only = a.only, .names = true, .buffer = name_storage});
            for (const procmap::mapping& m : walk) take({m});
            broke = walk.error();
        }
        if (broke.code != procmap::errc::none) {
            complain(broke);
            status = failed;
        }
    }
    if (a.summary) kinds.show(a);
    return status;
}

}  // namespace cli
