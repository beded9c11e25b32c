// find and find_from: at each byte, in holes, and with filters.
#include "asking.hpp"
#include "strange_child.hpp"
#include "../support/calls.hpp"
#include "../support/machine.hpp"
#include "../support/raw_maps.hpp"
#include "../support/records.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>
#include <procmap/result.hpp>

using namespace support;
using procmap::backend;
using procmap::errc;
using procmap::filters;
using procmap::maps;

namespace {

TEST_CASE("find gives each mapping at its first and last byte, and none in a hole") {
    const strange_child strange;
    static char name[65536];
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps opened = need(maps::open(strange.pid(), {.use = use}));
        const auto all = walk_with_names(opened).records;
        REQUIRE(all.size() > 80);
        for (std::size_t i = 0; i < all.size(); ++i) {
            CAPTURE(all[i]);
            CHECK(record{need(opened.find(all[i].start, {.name = name}))} == all[i]);
            CHECK(record{need(opened.find(all[i].end - 1, {.name = name}))} == all[i]);
            CHECK(record{need(opened.find_from(all[i].end - 1, {.name = name}))} == all[i]);
            const bool last = i + 1 == all.size();
            const bool adjacent = !last && all[i + 1].start == all[i].end;
            const auto behind = opened.find(all[i].end, {.name = name});
            if (adjacent)
                CHECK(record{need(behind)} == all[i + 1]);
            else
                CHECK(behind.error() == errc::not_mapped);
            const auto next = opened.find_from(all[i].end, {.name = name});
            if (last)
                CHECK(next.error() == errc::not_mapped);
            else
                CHECK(record{need(next)} == all[i + 1]);
        }
        CHECK(opened.find(0).error() == errc::not_mapped);
        CHECK(opened.find(UINT64_MAX).error() == errc::not_mapped);
        CHECK(opened.find_from(UINT64_MAX).error() == errc::not_mapped);
        CHECK(record{need(opened.find_from(0, {.name = name}))} == all.front());
    }
}

std::vector<filters> every_filter_and_pair() {
    const filters single[] = {procmap::readable, procmap::writable, procmap::executable, procmap::shared, procmap::file_backed};
    std::vector<filters> all;
    for (const filters a : single)
        for (const filters b : single)
            if (a.bits() <= b.bits()) all.push_back(a | b);
    return all;
}

/// What the raw text says about a filter: letters, and a device that is not 00:00 or an inode that is not 0.
bool text_passes(const raw_line& raw, filters only) {
    const char* const p = raw.permissions;
    unsigned major = 0;
    unsigned minor = 0;
    unsigned long long inode = 0;
    std::sscanf(raw.line.c_str(), "%*x-%*x %*s %*x %x:%x %llu", &major, &minor, &inode);
    return (!only.has(procmap::readable) || p[0] == 'r') && (!only.has(procmap::writable) || p[1] == 'w') &&
           (!only.has(procmap::executable) || p[2] == 'x') && (!only.has(procmap::shared) || p[3] == 's') &&
           (!only.has(procmap::file_backed) || major != 0 || minor != 0 || inode != 0);
}

TEST_CASE("a filter gives what filtering the whole gives, for each filter and each pair") {
    const strange_child strange;
    auto raw = strange.raw();
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps opened = need(maps::open(strange.pid(), {.use = use}));
        const auto whole = walk_all(opened).records;
        REQUIRE(whole.size() == raw.size());
        for (const filters only : every_filter_and_pair()) {
            CAPTURE(only.bits());
            const walked some = walk_all(opened, {.only = only});
            CHECK(some.complete);
            auto next = some.records.begin();
            for (std::size_t i = 0; i < whole.size(); ++i) {
                CAPTURE(raw[i].line);
                const bool passes = text_passes(raw[i], only);
                if (i % 5 == 0 || i + 1 == whole.size()) {
                    const auto hit = opened.find(whole[i].start, {.only = only});
                    const auto from = opened.find_from(whole[i].start, {.only = only});
                    if (passes)
                        CHECK(record{need(hit)} == whole[i]);
                    else
                        CHECK(hit.error() == errc::not_mapped);
                    if (next != some.records.end())
                        CHECK(record{need(from)} == *next);
                    else
                        CHECK(from.error() == errc::not_mapped);
                }
                if (!passes) continue;
                REQUIRE(next != some.records.end());
                CHECK(*next == whole[i]);
                ++next;
            }
            CHECK(next == some.records.end());
        }
    }
}

}  // namespace
