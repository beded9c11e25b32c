// procmap list: all mappings of a process, a table of them, or a summary.
#pragma once

#include "mapping.hpp"
#include "name.hpp"
#include "table.hpp"
#include "target.hpp"

#include <procmap/kind.hpp>

#include <langinfo.h>

#include <clocale>
#include <cmath>
#include <map>

namespace cli {

inline constexpr char list_help[] = R"(usage: procmap list [TARGET] [OPTION...]

Prints all mappings of a process, byte for byte as in /proc/PID/maps but without [vsyscall], which is not a mapping of the
process. Recorded mappings are printed as recorded; --json also has the page size, build ID and name from the lines after them.

  --executable, --exec, --readable, --writable, --shared, --file-backed
                   print only mappings with all of these properties
  --name TEXT      print only mappings whose name contains TEXT; if TEXT has a * (any text) or ? (any character), it must match
                   the whole name, in which (deleted) at the end can be left out
  --build-ids      print the build ID of the mapped file after each mapping, like snapshot (empty: it has none). The kernel is
                   queried for regular files only; if it returns none, the file or the memory of the process is read
  --long           print a table for reading instead: address range, size, permissions, offset in the file, kind and name, and
                   with --build-ids the build ID; - is an unknown value or none
  --summary        print the number and the total size of the mappings of each kind instead; that is address space, not the
                   memory in use
)";

/// Returns the name of a kind in words.
inline std::string in_words(std::string_view kind) {
    std::string words(kind);
    std::replace(words.begin(), words.end(), '_', ' ');
    return words;
}

/// The table of --long, which is written as a whole because the columns are as wide as their widest cell.
class mapping_table {
public:
    explicit mapping_table(bool build_ids) : build_ids_(build_ids) {
        std::vector<std::string> header{"address", "        size", "perms", "offset", "kind"};
        if (build_ids) header.push_back("build ID");
        header.push_back("name");
        rows_.push_back(std::move(header));
    }

    void add(const record& r) {
        const procmap::mapping& m = r.mapping;
        std::vector<std::string> row{hex(m.start, 8) + '-' + hex(m.end, 8), size_in_words(m.size()), printed(m.permissions)};
        row.push_back(m.file_backed() ? "0x" + hex(m.offset) : "-");
        row.push_back(in_words(procmap::to_string(procmap::kind_of(m))));
        if (build_ids_) row.push_back(m.build_id.empty() ? "-" : printed(m.build_id));
        row.push_back(m.name.empty() ? "-" : one_line(m.name));
        rows_.push_back(std::move(row));
        if (name_is_missing(m) && r.line.empty()) report_name_omitted(m);
    }

    void show() const { put_table(rows_); }

private:
    bool build_ids_;
    std::vector<std::vector<std::string>> rows_;
};

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
        char text[80];
        std::snprintf(text, sizeof text, "%-16s%10llu", in_words(kind).c_str(), static_cast<unsigned long long>(r.count));
        return text + size_in_words(r.size);
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
    if (a.summary && a.build_ids) usage_error("--summary cannot be used with --build-ids");
    if (a.long_form && (a.summary || a.json)) usage_error("--long cannot be used with --summary or --json");
    summary kinds;
    mapping_table table(a.build_ids);
    const auto take = [&](const record& r) {
        const procmap::mapping& m = r.mapping;
        if (a.name && name_is_missing(m) && r.line.empty()) report_name_omitted(m);
        if (a.name && (name_is_missing(m) || !is_selected(m.name, a.name))) return;
        a.summary ? kinds.add(m) : a.long_form ? table.add(r) : show(a, r);
    };
    int status = done;
    procmap::error error;
    if (a.from) {
        recording recorded(a.from);
        while (recorded.next()) {
            const procmap::recorded_reader& r = recorded.reader;
            if (r.current().passes(a.only) && (r.is_mapping() || !a.summary)) take({r.current(), r.line()});
        }
        status = recorded.status;
    } else if (const procmap::maps process = open_target(a, target); a.build_ids) {
        const auto captured = procmap::snapshot::capture(process, {.build_ids = true});
        for (const procmap::mapping& m : *captured)  // also those read before an error
            if (m.passes(a.only)) take({m});
        error = captured.error();
    } else {
        auto walk = process.walk({.only = a.only, .names = true, .buffer = name_storage});
        for (const procmap::mapping& m : walk) take({m});
        error = walk.error();
    }
    if (a.summary) kinds.show(a.json);
    if (a.long_form) table.show();
    check(error);
    return status;
}

}  // namespace cli
