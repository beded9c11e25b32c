// procmap normalize: file, offset, ELF address and build ID of addresses.
#pragma once

#include "addresses.hpp"
#include "json.hpp"
#include "name.hpp"
#include "table.hpp"
#include "target.hpp"

#include <procmap/kind.hpp>
#include <procmap/normalizer.hpp>

namespace cli {

inline constexpr char normalize_help[] = R"(usage: procmap normalize [TARGET] [ADDRESS...] [OPTION...]

Resolves each address to the mapped file and the offset in it, to the address in the file's ELF headers and symbols ("elf", for
addr2line and similar tools), and to the build ID; - is an unknown value or none. If an address is not in a file, the reason is
printed instead. Files that have been deleted or replaced are marked. Files are read for ELF addresses, and for build IDs that
the kernel does not provide. Data that cannot be verified to belong to the mapped file is unknown. Recorded text has no ELF
addresses. Without an ADDRESS, addresses are read from standard input, separated by whitespace, and resolved as they arrive.

Exit status 1: an address is not in a file. 3: an error occurred; the addresses resolved before it are printed.

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
            if (!m) {
                at.reason = procmap::reason::not_mapped;
                continue;
            }
            const mapping_kind kind = procmap::kind_of(*m);
            if (m->file_backed() || kind == mapping_kind::vdso) {
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

// In the order of the enumeration.
inline constexpr std::string_view reasons_in_words[] = {
    "", "not mapped", "no file: anonymous memory", "no file: the kernel's own memory", "not looked up: the process is gone",
    "not looked up: permission denied", "not looked up: an earlier error", "(path not known)"};

inline std::string_view in_words(procmap::reason why) { return reasons_in_words[static_cast<std::size_t>(why)]; }

/// Returns the name of an enumerator, or nothing for the first one, which says that there is nothing to report.
std::string_view word(auto value) {
    return value == decltype(value){} ? std::string_view{} : to_string(value);
}

inline std::string path_and_offset(const procmap::location& at, const procmap::mapped_file& file) {
    return one_line(at.reason == procmap::reason::none ? file.path : in_words(at.reason)) + "+0x" + hex(at.offset);
}

inline void put_json(std::uint64_t address, const procmap::location& at, const procmap::mapped_file& file) {
    json_object o;
    o.add("address", json_hex(address));
    file.path.empty() ? o.add("file", "null") : o.add_text("file", file.path);
    o.add("offset", at ? json_hex(at.offset) : "null");
    o.add("elf_address", at.elf_address_known ? json_hex(at.elf_address) : "null");
    o.add("build_id", json_string_or_null(printed(file.build_id)));
    o.add("build_id_source", json_string_or_null(word(file.build_id.source())));
    o.add("state", json_string_or_null(word(file.state))).add("reason", json_string_or_null(word(at.reason))).put();
}

inline std::vector<std::string> table_row(std::uint64_t address, const procmap::location& at, const procmap::mapped_file& file) {
    if (!at) return {"0x" + hex(address), std::string(in_words(at.reason))};
    std::vector<std::string> row{"0x" + hex(address), path_and_offset(at, file)};
    row.push_back(at.elf_address_known ? "elf 0x" + hex(at.elf_address) : "elf -");
    row.push_back(file.build_id.empty() ? "-" : printed(file.build_id));
    if (file.state == procmap::file_state::deleted || file.state == procmap::file_state::replaced)
        row.emplace_back(word(file.state));
    return row;
}

/// Writes the locations of addresses, as JSON or as a table. Returns false if one of them has no file.
inline bool show(const arguments& a, std::span<const std::uint64_t> addresses, const procmap::normalized& found) {
    std::vector<std::vector<std::string>> table;
    bool all = true;
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        const procmap::location& at = found.locations[i];
        const procmap::mapped_file& file = found.file(at);
        a.json ? put_json(addresses[i], at, file) : table.push_back(table_row(addresses[i], at, file));
        all = all && at;
    }
    put_table(table);
    return all;
}

inline int normalize(const arguments& a) {
    const address_arguments wanted(a, 1);
    if (a.from && std::string_view(a.from) == "-" && wanted.addresses.empty())
        usage_error("missing address: standard input is used by --from -");
    int status = done;
    const auto normalize_all = [&](const auto& normalized_of) {
        const auto show_batch = [&](std::span<const std::uint64_t> addresses) {
            const procmap::result<procmap::normalized> found = normalized_of(addresses);
            if (found && !show(a, addresses, *found)) status = not_mapped;
            check(found ? found->error : found.error());
        };
        const int read = wanted.addresses.empty() ? read_addresses(show_batch) : (show_batch(wanted.addresses), done);
        return std::max(status, read);
    };
    if (a.from) {
        recorded_normalizer recorded(load(a.from));
        return normalize_all([&](std::span<const std::uint64_t> addresses) { return recorded.normalize(addresses); });
    }
    const procmap::maps process = open_target(a, wanted.target);
    procmap::normalizer normalizer({.build_ids = true, .elf_addresses = true, .file_states = true});
    return normalize_all([&](std::span<const std::uint64_t> addresses) { return normalizer.normalize(process, addresses); });
}

}  // namespace cli
