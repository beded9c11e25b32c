// The cost of a normalizer: allocations, file reads, descriptors.
#include "../support/allocations.hpp"
#include "files.hpp"
#include "../support/calls.hpp"
#include "../support/descriptors.hpp"
#include "../support/elf_files.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/mounts.hpp"
#include "../support/printed.hpp"
#include "../support/skipping.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/cached_maps.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>

using namespace support;
using procmap::backend;
using procmap::build_id;
using procmap::build_id_choice;
using procmap::cached_maps;
using procmap::maps;
using procmap::normalizer;

namespace {

TEST_CASE("a warm normalizer allocates nothing and reads no file again") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    for (const char* name : {"a", "b"}) dir.write(name, small_elf(twenty(*name)));
    const mapped a{dir / "a"}, b{dir / "b"};
    ::usleep(50000);  // until a change of theirs must show
    for (const backend use : backends())
        for (const build_id_choice from : {build_id_choice::automatic, build_id_choice::file}) {
            const maps self = need(maps::open_self({.use = use}));
            normalizer n{{.build_ids = true, .elf_addresses = true, .build_ids_from = from}};
            const std::array addresses{b.address(), a.address(), a.address() + 1, b.address() + 2, a.address() + 3};
            for (int i = 0; i < 3; ++i) REQUIRE(need(n.normalize(self, addresses)).files.size() == 2);
            CHECK(n.file_reads() == 2);
#if !defined(PROCMAP_TEST_SANITIZED)
            const long before = allocations;
            bool good = true;
            for (int i = 0; i < 1000; ++i) {
                const auto got = n.normalize(self, addresses);
                good = good && got && got->files.size() == 2;
            }
            CHECK(allocations == before);
            CHECK(good);
#endif
            CHECK(n.file_reads() == 2);
        }
}

TEST_CASE("a file of many mappings is read once") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("a", small_elf(twenty('a')));
    std::vector<char*> all;
    std::vector<std::uint64_t> addresses;
    for (int i = 0; i < 50; ++i) {
        all.push_back(map_file(dir / "a"));
        map_pages(1);
        addresses.push_back(support::address_of(all.back()));
    }
    ::usleep(50000);
    normalizer n{{.build_ids = true, .build_ids_from = build_id_choice::file}};
    for (int i = 0; i < 3; ++i) CHECK(need(n.normalize(need(maps::open_self()), addresses)).files.size() == 1);
    CHECK(n.file_reads() == 1);
    for (char* const memory : all) ::munmap(memory, file_pages * page);
}

TEST_CASE("descriptors are bounded by most_files, and none is left") {
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    std::vector<char*> all;
    std::vector<std::uint64_t> addresses;
    for (char c = 'a'; c < 'k'; ++c) {
        dir.write(std::string{c}, small_elf(twenty(c)));
        all.push_back(map_file(dir / std::string{c}));
        addresses.push_back(support::address_of(all.back()));
    }
    const maps self = need(maps::open_self());
    const auto before = open_descriptors();
    for (const std::size_t most : {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{100}}) {
        normalizer n{{.build_ids = true, .build_ids_from = build_id_choice::file, .most_files = most}};
        cached_maps cache{self, {.build_ids = true, .build_ids_from = build_id_choice::file, .most_files = most}};
        for (int i = 0; i < 3; ++i) {
            const auto got = need(n.normalize(self, addresses));
            REQUIRE(got.files.size() == 10);
            CHECK(open_descriptors() <= before + static_cast<std::ptrdiff_t>(2 * std::max<std::size_t>(most, 1)));
            for (std::size_t j = 0; j < addresses.size(); ++j) {
                CHECK(got.files[got.locations[j].file].build_id == id_of(twenty(static_cast<char>('a' + j))));
                CHECK(hex_of(build_id{need(cache.find(addresses[j])).build_id.bytes()}) ==
                      hex_of(id_of(twenty(static_cast<char>('a' + j)))));
            }
            CHECK(open_descriptors() <= before + static_cast<std::ptrdiff_t>(2 * std::max<std::size_t>(most, 1)));
        }
    }
    CHECK(open_descriptors() == before);
    for (char* const memory : all) ::munmap(memory, file_pages * page);
}

}  // namespace
