// procmap list: all mappings of a process, or a summary of them.
#pragma once

#include "mapping.hpp"
#include "target.hpp"

#include <procmap/kind.hpp>

#include <langinfo.h>

#include <clocale>
#include <cmath>
#include <map>
#include <tuple>

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

/// The number and size of the mappings of each kind.
class summary {
public:
    void add(const procmap::mapping& m) {
        for (row* const r : {&kinds_[procmap::to_string(procmap::kind_of(m))], &total_}) {
            ++r->count;
            r->size += m.size();
        }
    }

    void show(bool json) const {
        std::vector<std::pair<std::string_view, row>> kinds(kinds_.begin(), kinds_.end());
        const auto larger = [](const auto& x, const auto& y) { return std::tie(y.second.size, x.first) < std::tie(x.second.size, y.first); };
        std::sort(kinds.begin(), kinds.end(), larger);
        if (!json) put("kind              mappings        size\n");
        for (const auto& [kind, r] : kinds) {
            if (json)
                json_object().add("kind", json_string(kind)).add("mappings", r.count).add("size", r.size).put();
            else
                put(line(kind, r) + "  " + bar(static_cast<double>(r.size) / static_cast<double>(kinds[0].second.size)) + '\n');
        }
        if (!json) put(line("total", total_) + '\n');
    }

private:
    struct row {
        std::uint64_t count = 0;
        std::uint64_t size = 0;
    };

    static std::string line(std::string_view kind, const row& r) {
        double size = static_cast<double>(r.size) / 1024;
        const char* const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
        const char* const* unit = units;
        for (; size >= 1023.95; ++unit) size /= 1024;  // it would be printed as 1024.0
        std::string name(kind);
        std::replace(name.begin(), name.end(), '_', ' ');
        char text[80];
        std::snprintf(text, sizeof text, "%-16s%10llu%8.1f %s", name.c_str(), static_cast<unsigned long long>(r.count), size, *unit);
        return text;
    }

    /// Returns a bar of a fraction of the width that 80 columns leave, rounded up.
    static std::string bar(double fraction) {
        constexpr double width = 40;
        static const bool blocks = is_terminal(STDOUT_FILENO) && std::setlocale(LC_CTYPE, "") != nullptr &&
                                   std::string_view(::nl_langinfo(CODESET)) == "UTF-8";
        if (!blocks) return std::string(static_cast<std::size_t>(std::ceil(fraction * width)), '#');
        const auto eighths = static_cast<std::size_t>(std::ceil(fraction * width * 8));
        std::string out;
        for (std::size_t i = 0; i < eighths / 8; ++i) out += "\u2588";
        constexpr const char* partial[] = {"", "\u258f", "\u258e", "\u258d", "\u258c", "\u258b", "\u258a", "\u2589"};
        return out + partial[eighths % 8];
    }

    std::map<std::string_view, row> kinds_;
    row total_;
};

inline int list(const arguments& a) {
    const std::string_view target = only_target(a);
    if (a.summary && a.build_ids) usage_error("a summary has no build IDs");
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
        const procmap::maps process = open_target(a, target);
        procmap::error broke;
        if (a.build_ids) {
            const auto taken = procmap::snapshot::capture(process, {.build_ids = true});
            for (const procmap::mapping& m : *taken)  // also those read before an error
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
    if (a.summary) kinds.show(a.json);
    return status;
}

}  // namespace cli
