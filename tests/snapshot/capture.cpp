// Captures equal a walk, and have what their options ask for.
#include "snapshots.hpp"
#include "strange_child.hpp"
#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"
#include "../support/records.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/maps.hpp>
#include <procmap/probe.hpp>
#include <procmap/result.hpp>
#include <procmap/snapshot.hpp>

using namespace support;
using procmap::backend;
using procmap::build_id_choice;
using procmap::capture_options;
using procmap::errc;
using procmap::mapping;
using procmap::maps;
using procmap::name_state;
using procmap::snapshot;

namespace {

std::vector<capture_options> all_options() {
    std::vector<capture_options> all;
    for (int bits = 0; bits < 8; ++bits)
        all.push_back({.names = (bits & 1) != 0, .build_ids = (bits & 2) != 0, .page_sizes = (bits & 4) != 0});
    return all;
}

TEST_CASE("snapshots of every process are what a walk gives, and print and read back equal") {
    const strange_child strange;
    int compared = 0, captured = 0, vanished = 0, restless = 0;
    std::size_t worst = 0;
    for (const pid_t pid : all_pids()) {
        if (pid == ::getpid()) continue;
        CAPTURE(pid);
        for (const backend use : backends()) {
            const auto opened = maps::open(pid, {.use = use});
            for (const capture_options& options : all_options()) {
                CAPTURE(use);
                CAPTURE(options.names);
                CAPTURE(options.build_ids);
                CAPTURE(options.page_sizes);
                if (!opened) {
                    ++vanished;
                    continue;
                }
                const auto before = walked_for(*opened, options);
                const auto taken = snapshot::capture(*opened, options);
                const auto after = walked_for(*opened, options);
                if (!taken) {
                    CHECK((taken.error() == errc::gone || taken.error() == errc::task_gone));
                    ++vanished;
                    continue;
                }
                ++captured;
                check_written_and_read(*taken);
                if (options.names && options.build_ids) check_lookups(*taken);
                CHECK(taken->memory() <= 64 * taken->size() + distinct_bytes(*taken));
                worst = std::max(worst, taken->memory() / taken->size());
                if (before.empty() || before != after) {
                    ++restless;
                    continue;
                }
                std::vector<record> got = records_of(*taken);
                for (std::size_t i = 0; i < std::min(got.size(), before.size()); ++i)  // a walk opens no files
                    if (!before[i].build_id_known) got[i].build_id_known = false, got[i].build_id.clear();
                std::vector<record> expected = before;  // of memory without a file only one back-end says that it has none
                for (record& r : expected) r.build_id_known = r.build_id_known && (r.inode != 0 || r.device != procmap::device_number{});
                const std::string different = differs(expected, got);
                if (different.empty()) ++compared;
                if (!different.empty() && pid == strange.held.pid()) FAIL_CHECK(different);
                if (!different.empty()) ++restless;
            }
        }
    }
    CHECK(compared >= static_cast<int>(8 * backends().size()));
    MESSAGE(captured, " captured, ", compared, " equal to a walk, ", restless, " never at rest, ", vanished,
            " vanished or without memory; at most ", worst, " bytes a mapping");
}

TEST_CASE("a capture has the build IDs of files that the kernel is not asked for, and opens no file where it may only ask the kernel") {
    NEEDS_LIVE_MAPS();
    const auto id_of = [](const maps& of, build_id_choice from) {
        const snapshot taken = need(snapshot::capture(of, {.build_ids = true, .build_ids_from = from}));
        return record{*taken.find(address_of(reinterpret_cast<const void*>(&check_lookups)))};
    };
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(maps::open_self({.use = use}));
        const record automatic = id_of(self, build_id_choice::automatic);
        const record by_file = id_of(self, build_id_choice::file);
        const record by_kernel = id_of(self, build_id_choice::kernel);
        const bool asked = use == backend::ioctl && procmap::safe_to_ask(procmap::known_hazards(procmap::running_kernel()));
        CHECK(by_file.build_id_known);
        CHECK(by_file.build_id.size() == 40);
        CHECK(automatic == by_file);
        CHECK(by_kernel.build_id_known == asked);
        CHECK(by_kernel.build_id == (asked ? by_file.build_id : ""));
    }
}

TEST_CASE("what each capture option asks for is there, and nothing else") {
    const strange_child strange;
    for (const backend use : backends()) {
        for (const capture_options& options : all_options()) {
            CAPTURE(use);
            const snapshot s = need(snapshot::capture(strange.open(use), options));
            std::set<name_state> states;
            for (const mapping& m : s) {
                states.insert(m.name_status);
                if (!options.names) CHECK(m.name.empty());
                if (use == backend::text || !options.page_sizes) CHECK(m.page_size == 0);
                if (use == backend::ioctl && options.page_sizes) CHECK(m.page_size >= page);
                if (!options.build_ids || (use == backend::text && !m.file_backed() && m.name != "[vdso]")) CHECK_FALSE(m.build_id_known);
            }
            if (!options.names) CHECK(states == std::set{name_state::not_asked});
            if (options.names && use == backend::ioctl) CHECK(states == std::set{name_state::exact, name_state::too_long});
            if (options.names && use == backend::text)
                CHECK(states == std::set{name_state::exact, name_state::ambiguous, name_state::too_long});
        }
    }
}

TEST_CASE("a process of 30,000 mappings is captured, in 64 bytes a mapping and its names") {
    child large{[](channel& parent) {
        ensure(map_alternating(30'000) != nullptr, "map pages");
        wait_forever(parent);
    }};
    large->await();
    for (const backend use : backends()) {
        const maps opened = need(maps::open(large.pid(), {.use = use}));
        const auto started = std::chrono::steady_clock::now();
        const snapshot s = need(snapshot::capture(opened));
        const auto took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - started);
        CHECK(s.size() > 30'000);
        CHECK(s.memory() <= 64 * s.size() + distinct_bytes(s));
        CHECK(difference(records_of(s), raw_lines(slurp(maps_path(large.pid())).value())) == "");
        MESSAGE(std::string{use == backend::ioctl ? "ioctl" : "text"}, " handle: ", s.size(), " mappings, ",
                s.memory(), " bytes, ", took.count(), " us");
    }
}

TEST_CASE("a large process whose names hold newlines is captured as the ioctl has them, whichever way is faster") {
    const strange_child strange{3000};
    for (const backend use : backends()) {
        const maps opened = strange.open(use);
        const auto expected = walked_for(opened, {});
        REQUIRE(expected.size() > 3000);
        for (int i = 0; i < 10; ++i) {
            const snapshot s = need(snapshot::capture(opened));
            CHECK(differs(expected, records_of(s)) == "");
        }
        const capture_options no_names{.names = false};
        CHECK(differs(walked_for(opened, no_names), records_of(need(snapshot::capture(opened, no_names)))) == "");
    }
}

}  // namespace
