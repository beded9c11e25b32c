// Cached file data: when it is read again or dropped, on which file systems, and which calls it saves.
#include "interposed.hpp"
#include "provoking.hpp"
#include "../support/calls.hpp"
#include "../support/descriptors.hpp"
#include "../support/elf_files.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/skipping.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include <doctest/doctest.h>

#include <procmap/cached_maps.hpp>
#include <procmap/location.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>

using namespace support;
using procmap::backend;
using procmap::build_id_choice;
using procmap::maps;

namespace {

TEST_CASE("what is remembered of a file is read again after the wall clock was set, and not otherwise") {
    struct back {
        ~back() { faults.stepped = faults.passed = 0; }
    } at_the_end;
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    char* const at = map_file(dir / "lib.so");
    REQUIRE(at != nullptr);
    ::usleep(100'000);
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(maps::open_self({.use = use}));
        procmap::normalizer n{{.build_ids = true, .build_ids_from = build_id_choice::file}};
        procmap::cached_maps c{self, {.build_ids = true, .build_ids_from = build_id_choice::file}};
        const std::uint64_t address[] = {address_of(at)};
        const auto reads = [&] {
            for (int again = 0; again < 2; ++again) {
                const auto got = need(n.normalize(self, address));
                CHECK(got.files[0].build_id == id_of(twenty('a')));
                CHECK(need(c.find(address[0])).build_id == id_of(twenty('a')));
            }
            CHECK(c.statistics().file_reads == n.file_reads());
            return n.file_reads();
        };
        if (reads() == 0) SKIP("no file can be read here");
        CHECK(reads() == 1);
        std::uint64_t expected = 1;
        for (const std::int64_t step : {100, 3'600'000}) {  // forward: by its age alone the file is settled
            faults.stepped += step;
            CHECK(reads() == ++expected);
            CHECK(reads() == expected);
        }
        faults.stepped -= 3'600'000;
        CHECK(reads() == ++expected);
        faults.stepped += 20;  // less than two reads of two clocks can be apart
        CHECK(reads() == expected);
        faults.passed += 30'000;
        CHECK(reads() == expected);
        faults.stepped -= 120;
        // Back to before the change: nothing is settled any more, and every look reads.
        faults.stepped -= 3'600'000;
        const std::uint64_t before = reads();
        CHECK(reads() == before + 2);
        faults.stepped = 0;
    }
    ::munmap(at, file_pages * page);
}

TEST_CASE("a file that no call used for a minute is dropped, and so are all that are released") {
    struct back {
        ~back() { faults.passed = 0; }
    } at_the_end;
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    char* const at = map_file(dir / "lib.so");
    char* const heap = map_pages(1);
    REQUIRE(at != nullptr);
    ::usleep(100'000);
    const std::uint64_t file[] = {address_of(at)}, nothing_cached[] = {address_of(heap)};
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(maps::open_self({.use = use}));
        for (const bool by_cache : {false, true}) {
            CAPTURE(by_cache);
            const auto none_held = open_descriptors();
            procmap::normalizer n{{.build_ids = true, .build_ids_from = build_id_choice::file}};
            procmap::cached_maps c{self, {.build_ids = true, .build_ids_from = build_id_choice::file}};
            const auto look = [&](std::span<const std::uint64_t> where) {
                if (by_cache)
                    static_cast<void>(need(c.find(where[0])));
                else
                    static_cast<void>(need(n.normalize(self, where)));
            };
            const auto reads = [&] { return by_cache ? c.statistics().file_reads : n.file_reads(); };
            const auto release = [&] { by_cache ? static_cast<void>(c.release_files()) : n.release_files(); };
            look(file);
            if (reads() == 0) SKIP("no file can be read here");
            CHECK(open_descriptors() > none_held);
            for (int i = 0; i < 3; ++i) {  // used now and then
                faults.passed += 50'000;
                look(file);
            }
            CHECK(reads() == 1);
            faults.passed += 57'000;
            look(nothing_cached);
            CHECK(open_descriptors() > none_held);
            faults.passed += 3'900;  // it is time, but files were looked through just before
            look(nothing_cached);
            CHECK(open_descriptors() > none_held);
            faults.passed += 2'500;
            look(nothing_cached);
            CHECK(open_descriptors() == none_held);
            look(file);
            CHECK(reads() == 2);
            CHECK(open_descriptors() > none_held);
            errno = EXDEV;
            release();
            CHECK(errno == EXDEV);
            CHECK(open_descriptors() == none_held);
            look(file);
            CHECK(reads() == 3);
        }
    }
    ::munmap(at, file_pages * page);
    ::munmap(heap, page);
}

TEST_CASE("paths are looked up for states where these are asked for, and not otherwise") {
    temporary_directory dir;
    for (const char* name : {"one", "two"}) dir.write(name, small_elf(twenty('a')));
    char* const one = map_file(dir / "one");
    char* const two = map_file(dir / "two");
    REQUIRE((one != nullptr && two != nullptr));
    ::usleep(100'000);
    const std::uint64_t addresses[] = {address_of(one), address_of(two), address_of(one) + 1};
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(maps::open_self({.use = use}));
        const auto calls_by = [&](procmap::normalizer& n, procmap::file_state expected, long (&made)[calls]) {
            std::memcpy(made, faults.calls_of, sizeof made);
            const auto got = need(n.normalize(self, addresses));
            for (int i = 0; i < calls; ++i) made[i] = faults.calls_of[i] - made[i];
            REQUIRE(got.files.size() == 2);
            for (const auto& f : got.files) CHECK(f.state == expected);
        };
        long made[calls];
        procmap::normalizer nothing_asked;  // not even a build ID: no file is looked for
        calls_by(nothing_asked, procmap::file_state::unknown, made);
        CHECK(made[openat2_] + made[openat_] + made[readlinkat_] + made[fstatfs_] == 0);
        for (const build_id_choice choice : {build_id_choice::automatic, build_id_choice::file}) {
            procmap::normalizer ids{{.build_ids = true, .build_ids_from = choice}};
            calls_by(ids, procmap::file_state::unknown, made);
            if (is_root()) CHECK(made[openat2_] == 0);  // map_files is enough
            calls_by(ids, procmap::file_state::unknown, made);
            CHECK(made[openat2_] + made[openat_] + made[readlinkat_] + made[fstatfs_] == 0);
            CHECK(made[statx_] + made[fstat_] == 2);
        }
        const auto linked = procmap::file_state::linked;
        procmap::normalizer states{{.file_states = true}}, all{{.build_ids = true, .build_ids_from = build_id_choice::file, .file_states = true}};
        calls_by(states, linked, made);
        CHECK(made[openat2_] == 2);
        calls_by(all, linked, made);
        calls_by(all, linked, made);
        CHECK(made[openat2_] == 2);
        CHECK(made[pread_] == (use == backend::text ? made[pread_] : 0));  // no file is read
    }
    ::munmap(one, file_pages * page);
    ::munmap(two, file_pages * page);
}

TEST_CASE("a file is cached only where this kernel itself keeps its change time") {
    if (!is_root()) SKIP("map_files needs root");
    struct back {
        ~back() { faults.file_system = 0; }
    } at_the_end;
    struct kind {
        const char* name;
        std::uint32_t type;
        int reads;  // in three calls
    };
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    char* const at = map_file(dir / "lib.so");
    REQUIRE(at != nullptr);
    const std::uint64_t address[] = {address_of(at)};
    ::usleep(100'000);
    for (const kind& k : {kind{"ext4", 0xef53, 1}, kind{"btrfs", 0x9123683e, 1}, kind{"ramfs", 0x858458f6, 1}, kind{"NFS", 0x6969, 3},
                          kind{"SMB", 0xfe534d42, 3}, kind{"Ceph", 0xc36400, 3}, kind{"9P", 0x01021997, 3}, kind{"FAT", 0x4d44, 3},
                          kind{"one that is not known", 0x12345678, 3}, kind{"FUSE", 0x65735546, 0}, kind{"overlayfs", 0x794c7630, 0}}) {
        INFO(std::string{k.name});
        faults.file_system = k.type;
        for (const backend use : backends()) {
            CAPTURE(use);
            const maps self = need(maps::open_self({.use = use}));
            procmap::normalizer n{{.build_ids = true, .build_ids_from = build_id_choice::file}};
            procmap::cached_maps c{self, {.build_ids = true, .build_ids_from = build_id_choice::file}};
            for (int calls_made = 0; calls_made < 3; ++calls_made) {
                CHECK(need(n.normalize(self, address)).complete());
                CHECK(need(c.find(address[0])).start == address[0]);
            }
            CHECK(n.file_reads() == static_cast<std::uint64_t>(k.reads));
            CHECK(c.statistics().file_reads == static_cast<std::uint64_t>(k.reads));
        }
    }
    ::munmap(at, file_pages * page);
}

}  // namespace
