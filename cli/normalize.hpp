// procmap normalize: file, offset, ELF address and build ID of addresses.
#pragma once

#include "addresses.hpp"
#include "json.hpp"
#include "target.hpp"

#include <procmap/kind.hpp>
#include <procmap/normalizer.hpp>

namespace cli {

inline constexpr char normalize_help[] = R"(usage: procmap normalize [TARGET] [ADDRESS...] [OPTION...]

Where each address is in the file that is mapped there: the file and the offset in it, the address in the terms of its ELF
headers and symbols ("elf", for addr2line and the like), and its build ID; - where there is none, or where it is not known. An
address without a file comes with the reason. A file that is not the one at its path any more is marked as deleted or
replaced. Files are read for ELF addresses, and for build IDs where the kernel cannot be asked. What cannot be proven to be of
the mapped file is not known.

ADDRESS is hexadecimal, with or without 0x; without any, they are read from standard input, separated by blanks or newlines,
and answered as they come. The first argument is the TARGET if it is self, PID/TID or decimal digits alone, unless there is
--from. One that begins with 0x is never taken for a TARGET. A recording has no ELF addresses.

  --json           one JSON object a line: null for what there is not, or what is not known

Exit status 1: an address has no file. 3: it broke off; what was resolved until then is there.
)";

/// Looks addresses up in a recording as procmap::normalizer does in a process. ELF addresses are unknown.
class recorded_normalizer {
public:
    explicit recorded_normalizer(procmap::snapshot&& recorded) : recorded_(std::move(recorded)) {}

    procmap::result<procmap::normalized> normalize(std::span<const std::uint64_t> addresses) {
        using procmap::mapping_kind;
        locations_.clear();
        files_.clear();
        for (const std::uint64_t address : addresses) {
            procmap::location& at = locations_.emplace_back();
            const auto m = recorded_.find(address);
            const mapping_kind kind = procmap::kind_of(*m);
            if (!m) {
                at.reason = procmap::reason::not_mapped;
            } else if (m->file_backed() || kind == mapping_kind::vdso) {
                at.offset = address - m->start + m->offset;
                at.file = static_cast<std::uint32_t>(files_.size());
                if (m->name.empty()) at.reason = procmap::reason::name_unknown;
                procmap::mapped_file& file = files_.emplace_back();
                file.path = m->name;
                file.build_id = procmap::build_id{m->build_id.bytes()};
            } else {
                const bool kernels_own = kind == mapping_kind::vvar || kind == mapping_kind::other;
                at.reason = kernels_own ? procmap::reason::special : procmap::reason::not_file_backed;
            }
        }
        return procmap::normalized{.locations = locations_, .files = files_, .error = {}};
    }

private:
    procmap::snapshot recorded_;
    std::vector<procmap::location> locations_;
    std::vector<procmap::mapped_file> files_;
};

// In the order of the enumerations; empty: nothing to report.
inline constexpr std::string_view reasons[] = {
    "", "not_mapped", "not_file_backed", "special", "gone", "denied", "failed", "name_unknown"};
inline constexpr std::string_view reasons_in_words[] = {
    "", "not mapped", "no file: anonymous memory", "no file: the kernel's own", "not looked up: the process is gone",
    "not looked up: permission denied", "not looked up: it broke off", "(path not known)"};
inline constexpr std::string_view file_states[] = {"", "linked", "deleted", "replaced", "unreadable"};
inline constexpr std::string_view build_id_sources[] = {"", "kernel", "map_files", "root_path", "memory", "given"};

std::string_view word(std::span<const std::string_view> words, auto value) {
    return words[static_cast<std::size_t>(value)];
}

/// Returns the path as the kernel writes it in maps, with newlines as \012, and the offset.
inline std::string path_and_offset(const procmap::location& at, const procmap::mapped_file& file) {
    std::string out;
    for (const char c : at.reason == procmap::reason::none ? file.path : word(reasons_in_words, at.reason))
        c == '\n' ? out += procmap::escaped_newline : out += c;
    return out + "+0x" + hex(at.offset);
}

inline void put_json(std::uint64_t address, const procmap::location& at, const procmap::mapped_file& file) {
    json_object o;
    o.add("address", json_hex(address));
    file.path.empty() ? o.add("file", "null") : o.add_text("file", file.path);
    o.add("offset", at ? json_hex(at.offset) : "null");
    o.add("elf_address", at.elf_address_known ? json_hex(at.elf_address) : "null");
    o.add("build_id", json_word(printed(file.build_id)));
    o.add("build_id_source", json_word(word(build_id_sources, file.build_id.source())));
    o.add("state", json_word(word(file_states, file.state))).add("reason", json_word(word(reasons, at.reason)));
    o.put();
}

/// Writes a table. A cell that is wider than 64 characters does not widen its column.
inline void put_table(const std::vector<std::vector<std::string>>& table) {
    std::map<std::size_t, std::size_t> widths;
    for (const auto& row : table)
        for (std::size_t i = 0; i + 1 < row.size(); ++i)
            if (row[i].size() <= 64) widths[i] = std::max(widths[i], row[i].size());
    for (const auto& row : table) {
        std::string line;
        for (std::size_t i = 0; i + 1 < row.size(); ++i)
            line.append(row[i]).append(std::max(widths[i], row[i].size()) - row[i].size() + 2, ' ');
        put(line + row.back() + '\n');
    }
}

/// Writes the locations of addresses, as JSON or as a table. Returns false if one of them has no file.
inline bool show(const arguments& a, std::span<const std::uint64_t> addresses, const procmap::normalized& found) {
    std::vector<std::vector<std::string>> table;
    bool all = true;
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        const procmap::location& at = found.locations[i];
        const procmap::mapped_file file = at ? found.files[at.file] : procmap::mapped_file{};
        all = all && at;
        if (a.json) {
            put_json(addresses[i], at, file);
            continue;
        }
        auto& row = table.emplace_back();
        row = {"0x" + hex(addresses[i]), at ? path_and_offset(at, file) : std::string(word(reasons_in_words, at.reason))};
        if (!at) continue;
        row.push_back(at.elf_address_known ? "elf 0x" + hex(at.elf_address) : "elf -");
        row.push_back(file.build_id.empty() ? "-" : printed(file.build_id));
        if (file.state == procmap::file_state::deleted || file.state == procmap::file_state::replaced)
            row.emplace_back(word(file_states, file.state));
    }
    put_table(table);
    return all;
}

inline int normalize(const arguments& a) {
    const question asked(a, 1);
    if (a.from && std::string_view(a.from) == "-" && asked.addresses.empty())
        usage_error("no ADDRESS given, and standard input is the recording");
    int status = done;
    const auto answer_by = [&](const auto& normalized_of) {
        const auto answer = [&](std::span<const std::uint64_t> addresses) {
            const procmap::result<procmap::normalized> found = normalized_of(addresses);
            if (found && !show(a, addresses, *found)) status = not_mapped;
            check(found ? found->error : found.error());
        };
        const int read = asked.addresses.empty() ? read_addresses(answer) : (answer(asked.addresses), done);
        return std::max(status, read);
    };
    if (a.from) {
        recorded_normalizer recorded(load(a.from));
        return answer_by([&](std::span<const std::uint64_t> addresses) { return recorded.normalize(addresses); });
    }
    const procmap::maps process = open_target(a, asked.target);
    procmap::normalizer normalizer({.build_ids = true, .elf_addresses = true, .file_states = true});
    return answer_by([&](std::span<const std::uint64_t> addresses) { return normalizer.normalize(process, addresses); });
}

}  // namespace cli
