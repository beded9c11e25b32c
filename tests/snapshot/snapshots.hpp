// Builds, compares and checks snapshots.
#pragma once

#include "../support/files.hpp"
#include "../support/raw_maps.hpp"
#include "../support/records.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/maps.hpp>
#include <procmap/result.hpp>
#include <procmap/snapshot.hpp>
#include <procmap/text.hpp>

namespace support {

using procmap::capture_options;
using procmap::errc;
using procmap::mapping;
using procmap::maps;
using procmap::name_state;
using procmap::perm;
using procmap::snapshot;

template <class T>
std::string text_of(const T& what) {
    std::string text;
    procmap::print([&text](std::string_view piece) { text += piece; }, what);
    return text;
}

template <class Snapshot>
std::vector<record> records_of(const Snapshot& s) {
    std::vector<record> records;
    for (const mapping& m : s) records.emplace_back(m);
    return records;
}

/// The first record in which two lists differ, in words; empty where they are equal.
inline std::string differs(const std::vector<record>& a, const std::vector<record>& b) {
    std::ostringstream said;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
        if (a[i] != b[i]) return said << a[i] << " | " << b[i], said.str();
    if (a.size() != b.size()) said << a.size() << " mappings | " << b.size();
    return said.str();
}

/// What a capture should give, by a walk on the handle's own back-end.
inline std::vector<record> walked_for(const maps& of, const capture_options& options) {
    walked all = walk_all(of, {.names = options.names, .build_ids = options.build_ids});
    if (!options.page_sizes)
        for (record& r : all.records) r.page_size = 0;
    return all.complete ? all.records : std::vector<record>{};
}

inline constexpr std::uint64_t kib4 = 0x1000;

/// An anonymous mapping of 4 KiB pages, by number.
inline mapping pages(std::uint64_t first, std::uint64_t count, procmap::permission_set permissions = perm::read) {
    return {.start = first * kib4, .end = (first + count) * kib4, .permissions = permissions, .name_status = name_state::exact};
}

/// The same of a file, mapped so that its beginning would be at page `origin`.
inline mapping file_pages(std::uint64_t first, std::uint64_t count, std::uint64_t origin = 0, const char* name = "/file") {
    mapping m = pages(first, count);
    m.offset = (first - origin) * kib4;
    m.inode = 7;
    m.device = {8, 1};
    m.name = name;
    return m;
}

inline snapshot snapshot_of(std::initializer_list<mapping> mappings) { return snapshot::from(mappings); }

inline void check_written_and_read(const snapshot& s) {
    const auto read = snapshot::parse(text_of(s));
    INFO(read.error());
    REQUIRE(read.has_value());
    CHECK(differs(records_of(s), records_of(*read)) == "");
}

/// Bytes of names and build IDs, each once.
inline std::size_t distinct_bytes(const snapshot& s) {
    std::set<std::string> names;
    std::set<std::string> ids;
    for (const record& r : records_of(s)) names.insert(r.name), ids.insert(r.build_id);
    std::size_t sum = ids.size() * sizeof(procmap::build_id);
    for (const std::string& one : names) sum += one.size();
    return sum;
}

/// find and find_from at every start, last byte, end and byte before the start, against the list of records.
inline void check_lookups(const snapshot& s) {
    const auto records = records_of(s);
    for (std::size_t i = 0; i < records.size(); ++i) {
        const bool hole_below = i == 0 ? records[0].start != 0 : records[i - 1].end < records[i].start;
        for (const std::uint64_t at : {records[i].start, records[i].end - 1}) {
            const auto found = s.find(at);
            const auto next = s.find_from(at);
            REQUIRE(found.has_value());
            REQUIRE(next.has_value());
            if (record{*found} != records[i] || record{*next} != records[i]) FAIL_CHECK("another mapping at ", at);
        }
        if (!hole_below) continue;
        if (s.find(records[i].start - 1).error() != errc::not_mapped) FAIL_CHECK("a mapping in the hole below ", records[i]);
        const auto next = s.find_from(records[i].start - 1);
        if (!next || record{*next} != records[i]) FAIL_CHECK("another mapping above the hole below ", records[i]);
    }
    const std::uint64_t top = records.empty() ? 0 : records.back().end;
    CHECK(s.find(top).error() == errc::not_mapped);
    CHECK(s.find_from(top).error() == errc::not_mapped);
}

inline const std::string strange_text = slurp(PROCMAP_TEST_DATA "/strange_process.maps").value();

/// How often to do what is usually done that often: where each round costs much, a share of it.
inline int rounds(int usual) {
    const char* const percent = std::getenv("PROCMAP_ROUNDS_PERCENT");
    return percent != nullptr ? usual * std::atoi(percent) / 100 : usual;
}

/// Whether a walk of the handle is complete and equals the raw text of the process.
inline bool answers_as(const maps& of, pid_t pid) {
    const walked all = walk_all(of, {.names = true});
    return all.complete && difference(all.records, raw_lines(slurp(maps_path(pid)).value())).empty();
}

}  // namespace support
