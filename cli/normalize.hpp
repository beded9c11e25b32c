// procmap normalize
#pragma once

#include "addresses.hpp"
#include "arguments.hpp"
#include "json.hpp"
#include "output.hpp"
#include "recording.hpp"
#include "target.hpp"

#include <procmap/kind.hpp>
#include <procmap/normalizer.hpp>
#include <procmap/snapshot.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

/// Looks addresses up in a recording, as a normalizer does in a process; there are no ELF addresses.
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
                files_.push_back({.path = m->name,
                                  .build_id = procmap::build_id{m->build_id.bytes()},
                                  .device = m->device,
                                  .inode = m->inode,
                                  .build_id_known = m->build_id_known});
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

// As in the enumerations; empty: there is nothing to say.
inline constexpr std::string_view reasons[] = {"",     "not_mapped", "not_file_backed", "special",
                                        "gone", "denied",     "failed",          "name_unknown"};
inline constexpr std::string_view reasons_in_words[] = {"",
                                                 "not mapped",
                                                 "no file: anonymous memory",
                                                 "no file: the kernel's own",
                                                 "not looked up: the process is gone",
                                                 "not looked up: permission denied",
                                                 "not looked up: it broke off",
                                                 "(path not known)"};
inline constexpr std::string_view file_states[] = {"", "linked", "deleted", "replaced", "unreadable"};
inline constexpr std::string_view build_id_sources[] = {"", "kernel", "map_files", "root_path", "memory", "given"};

template <class Enum>
std::string json_word(const std::string& key, std::span<const std::string_view> words, Enum value) {
    const std::string_view word = words[static_cast<std::size_t>(value)];
    return ",\"" + key + "\":" + (word.empty() ? "null" : json_string(word));
}

/// A location's members, behind the address.
inline std::string json_members(const procmap::location& at, const procmap::mapped_file& file) {
    return (file.path.empty() ? "\"file\":null" : json_text_or_bytes("file", file.path)) +
           ",\"offset\":" + (at ? json_hex(at.offset) : "null") +
           ",\"elf_address\":" + (at.elf_address_known ? json_hex(at.elf_address) : "null") +
           ",\"build_id\":" + json_build_id(file.build_id) +
           json_word("build_id_source", build_id_sources, file.build_id.source()) +
           json_word("state", file_states, file.state) + json_word("reason", reasons, at.reason);
}

inline std::string_view in_words(procmap::reason why) {
    return reasons_in_words[static_cast<std::size_t>(why)];
}

/// A path as the kernel writes it in maps, newlines as \012, and the offset.
inline std::string path_and_offset(const procmap::location& at, const procmap::mapped_file& file) {
    std::string out;
    for (const char c : at.reason == procmap::reason::none ? file.path : in_words(at.reason))
        c == '\n' ? out += procmap::escaped_newline : out += c;
    return out + "+0x" + hex(at.offset);
}

/// Writes where addresses are: JSON, or a table. False: one of them has no location.
inline bool show(const arguments& a, std::span<const std::uint64_t> addresses, const procmap::normalized& found) {
    std::vector<std::vector<std::string>> table;
    bool all = true;
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        const procmap::location& at = found.locations[i];
        const procmap::mapped_file file = at ? found.files[at.file] : procmap::mapped_file{};
        all = all && at;
        if (a.json) {
            put("{\"address\":" + json_hex(addresses[i]) + ',' + json_members(at, file) + "}\n");
            continue;
        }
        auto& row = table.emplace_back();
        row.push_back("0x" + hex(addresses[i]));
        if (!at) {
            row.emplace_back(in_words(at.reason));
            continue;
        }
        row.push_back(path_and_offset(at, file));
        row.push_back(at.elf_address_known ? "elf 0x" + hex(at.elf_address) : "elf -");
        row.push_back(file.build_id.empty() ? "-" : printed(file.build_id));
        if (file.state == procmap::file_state::deleted || file.state == procmap::file_state::replaced)
            row.emplace_back(file_states[static_cast<std::size_t>(file.state)]);
    }
    constexpr std::size_t widest = 64;  // one long path does not push all others away
    std::vector<std::size_t> widths;
    for (const auto& row : table)
        for (std::size_t i = 0; i < row.size(); ++i) {
            if (i == widths.size()) widths.push_back(0);
            if (i + 1 < row.size() && row[i].size() <= widest) widths[i] = std::max(widths[i], row[i].size());
        }
    for (const auto& row : table) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            line += row[i];
            if (i + 1 < row.size()) line.append(std::max(widths[i], row[i].size()) - row[i].size() + 2, ' ');
        }
        put(line + '\n');
    }
    return all;
}

inline int normalize(const arguments& a) {
    const question asked(a, "normalize", 1);
    if (a.from && std::strcmp(a.from, "-") == 0 && asked.addresses.empty())
        usage_error("no ADDRESS given, and standard input is the recording", "normalize");
    const auto answer_by = [&](const auto& normalized_of) {
        int status = done;
        const auto answer = [&](std::span<const std::uint64_t> addresses) {
            const procmap::result<procmap::normalized> found = normalized_of(addresses);
            if (found && !show(a, addresses, *found)) status = std::max(status, not_mapped);
            const procmap::error broke = found ? found->error : found.error();
            if (broke.code == procmap::errc::none) return true;
            complain(broke);
            status = failed;
            return false;
        };
        if (asked.addresses.empty()) {
            const int read = read_addresses(answer);
            return std::max(status, read);
        }
        answer(asked.addresses);
        return status;
    };
    if (a.from) {
        recorded_normalizer recorded(load(a.from));
        return answer_by([&](std::span<const std::uint64_t> addresses) { return recorded.normalize(addresses); });
    }
    const procmap::maps process = open_target(a, "normalize", asked.target);
    procmap::normalizer normalizer({.build_ids = true, .elf_addresses = true, .file_states = true});
    return answer_by([&](std::span<const std::uint64_t> addresses) { return normalizer.normalize(process, addresses); });
}

}  // namespace cli
