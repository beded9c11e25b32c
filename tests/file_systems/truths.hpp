// The expected answer for an address, the evidence that there is, and the verdict.
#pragma once

#include "programs.hpp"
#include "observers.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/names.hpp"
#include "../support/printed.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/location.hpp>
#include <procmap/maps.hpp>
#include <procmap/probe.hpp>

namespace support {

using procmap::backend;
using procmap::build_id_choice;
using procmap::build_id_source;
using procmap::file_state;

/// What is mapped at an address.
struct truth {
    std::uint64_t address = 0;
    std::string path;
    int file = 0;  // equal numbers are one file
    std::string id{};
    std::uint64_t offset = 0;
    std::uint64_t elf_address = 0;
};

/// The three segments of a program.
inline std::vector<truth> truths_of(std::uint64_t at, const std::string& path, const program& p, int file) {
    std::vector<truth> all;
    for (std::size_t i = 0; i < segments; ++i)
        all.push_back({.address = at + p.place(i) + 64,
                       .path = path,
                       .file = file,
                       .id = p.id(),
                       .offset = i * page + 64,
                       .elf_address = p.base() + p.place(i) + 64});
    return all;
}

inline std::vector<truth> operator+(std::vector<truth> a, const std::vector<truth>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

/// What there is evidence of, for somebody who looks.
struct evidence {
    build_id_source way = build_id_source::none;  // what shows a build ID where the kernel is not asked
    file_state state = file_state::unknown;       // where the path leads
    bool at_path = true;                          // the file at the mapping's path is it
    bool kernel = true;                           // the kernel may be asked about the file
    bool elf = true;                              // there is evidence of the ELF addresses where there is of the build ID
    [[nodiscard]] bool file_proven() const { return way == build_id_source::map_files || way == build_id_source::root_path; }
};

inline constexpr evidence by_map_files{build_id_source::map_files, file_state::linked};
inline constexpr evidence by_path{build_id_source::root_path, file_state::linked};
inline constexpr evidence by_map_files_alone{build_id_source::map_files};  // numbers do not name files: nothing is known of the path
constexpr evidence by_memory{build_id_source::memory};
inline constexpr evidence by_memory_only{.way = build_id_source::memory, .at_path = false};
inline constexpr evidence by_kernel_only{.at_path = false};
inline constexpr evidence nothing{.state = file_state::unreadable, .at_path = false, .kernel = false};

/// Whether a user may read the memory of another process of his that permits it.
inline bool users_trace() {
    const auto scope = slurp("/proc/sys/kernel/yama/ptrace_scope");
    return !scope || *scope < "2";
}

/// What is wrong with an answer; empty where nothing is.
inline std::string fault(const report& r, std::span<const truth> truths, const evidence& e) {
    const truth& t = truths[r.address];
    const answer& a = r.said;
    const way& w = r.how;
    const bool normalizes = w.by == asking::normalize;
    if (!a.resolved) return "no answer";
    const auto is_path = [&](const truth& x) { return x.path == a.path && (&x == &t || (normalizes && x.file == t.file)); };
    if (std::none_of(truths.begin(), truths.end(), is_path)) return std::string{"path "} + a.path;
    if (a.offset != t.offset) return "offset " + std::to_string(a.offset);
    if (!a.id.empty() && !a.id_known) return "a build ID that is not known";
    if (a.id_known && hex_of(a.id) != hex_of(t.id)) return "build ID \"" + hex_of(a.id) + '"';
    if (a.elf_known && a.elf_address != t.elf_address)
        return "ELF address " + std::to_string(a.elf_address - t.elf_address) + " off";

    const bool no_memory = e.way == build_id_source::memory && !users_trace();
    const bool by_kernel = w.use == backend::ioctl && w.from != build_id_choice::file && kernel_ids() && !t.id.empty() &&
                           t.id.size() <= 20 && (e.kernel || !w.looks_at_files());
    const bool by_file =
        w.looks_at_files() && w.from != build_id_choice::kernel && e.way != build_id_source::none && !no_memory;
    if ((by_kernel || by_file) && !a.id_known) return "build ID not known";
    if (!e.kernel && !by_kernel && a.id_known) return "a build ID without a source";
    if (!normalizes) return {};
    if (by_kernel && a.id.source() != build_id_source::kernel) return std::string{"build ID from "} + name_of(a.id.source());
    if (!by_kernel && by_file && !t.id.empty() && a.id.source() != e.way)
        return std::string{"build ID from "} + name_of(a.id.source());
    const bool elf = e.file_proven() || by_file || (by_kernel && e.at_path);
    if (w.elf && elf && e.elf && !a.elf_known) return "ELF address not known";
    if (a.state != e.state) return std::string{"state "} + name_of(a.state);
    return {};
}

/// Whether two answers of one call, which are of one file or not, are given so.
inline std::string merged(const report& r, const report& s, std::span<const truth> truths) {
    const truth &t = truths[r.address], &u = truths[s.address];
    const bool one = r.said.file == s.said.file;
    if (one && t.file != u.file) return "one file with the mapping of " + u.path;
    const bool by_id = t.path == u.path && r.said.id_known && !r.said.id.empty() && s.said.id_known;
    if (!one && t.file == u.file && by_id && !r.how.one_file)
        return "another file than that of " + u.path + " at " + std::to_string(u.offset);
    return {};
}

/// Judges what was reported; the answers that were not known in spite of evidence are wrong as well.
inline void judge(const char* who, const std::vector<report>& reports, std::span<const truth> truths, const evidence& e) {
    std::map<std::string, int> wrong;
    const auto complain = [&](const report& r, const std::string& what) {
        if (what.empty()) return;
        const truth& t = truths[r.address];
        ++wrong[std::string{who} + ": " + name_of(r.how) + ": " + t.path + " at " + std::to_string(t.offset) + " (\"" +
                hex_of(t.id) + "\"): " + what];
    };
    for (const report& r : reports) {
        complain(r, fault(r, truths, e));
        if (r.how.by != asking::normalize || !r.said.resolved) continue;
        for (const report* s = &r; s != reports.data(); --s) {
            if (s[-1].call != r.call) break;
            if (s[-1].said.resolved) complain(r, merged(r, s[-1], truths));
        }
    }
    CHECK(!reports.empty());
    int shown = 0;
    for (const auto& [what, times] : wrong)
        if (++shown <= 12) FAIL_CHECK(what);
    if (shown > 12) FAIL_CHECK("and " << shown - 12 << " more");
}

inline std::vector<std::uint64_t> addresses_of(std::span<const truth> truths) {
    std::vector<std::uint64_t> addresses;
    for (const truth& t : truths) addresses.push_back(t.address);
    return addresses;
}

/// Looks twice, the second time with what is remembered.
inline void check(observer& who, pid_t pid, const std::vector<truth>& truths, const evidence& e) {
    for (const bool again : {false, true}) judge(who.name(), who.look(pid, addresses_of(truths), nullptr, again), truths, e);
}

}  // namespace support
