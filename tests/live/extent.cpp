// How far mappings reach.
#include "asking.hpp"
#include "../support/calls.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/snapshot.hpp>

using namespace support;
using procmap::backend;
using procmap::maps;
using procmap::snapshot;

namespace {

// Ten pages: rw, r, rx, none, rw, hole, rw, rw shared, hole, r. Returns whether page `i` has what mprotect and mmap gave it.
bool has(std::size_t i, procmap::filters only) {
    constexpr std::string_view pages[] = {"rw-p", "r--p", "r-xp", "---p", "rw-p", "", "rw-p", "rw-s", "", "r--p"};
    if (i >= 10 || pages[i].empty()) return false;
    const auto needs = [&](procmap::filter f, std::size_t at, char c) { return !only.has(f) || pages[i][at] == c; };
    return needs(procmap::filter::readable, 0, 'r') && needs(procmap::filter::writable, 1, 'w') && needs(procmap::filter::executable, 2, 'x') &&
           needs(procmap::filter::shared, 3, 's') && (!only.has(procmap::file_backed) || pages[i][3] == 's');
}

TEST_CASE("extent is the bytes up to the first page that is not mapped or lacks something, on both back-ends and in a snapshot") {
    NEEDS_LIVE_MAPS();
    std::vector<maps> handles;
    for (const backend use : backends()) handles.push_back(need(maps::open_self({.use = use})));
    char* const reserved = map_pages(64, PROT_NONE);  // nothing else gets into it, for the holes are of one page
    REQUIRE(reserved != nullptr);
    char* const memory = reserved + 20 * page;
    ::munmap(memory - page, page);
    const auto protect = [&](std::size_t i, int protection) { REQUIRE(::mprotect(memory + i * page, page, protection) == 0); };
    protect(0, PROT_READ | PROT_WRITE), protect(1, PROT_READ), protect(2, PROT_READ | PROT_EXEC), protect(4, PROT_READ | PROT_WRITE);
    protect(6, PROT_READ | PROT_WRITE), protect(9, PROT_READ);
    REQUIRE(::mmap(memory + 7 * page, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
    ::munmap(memory + 5 * page, page), ::munmap(memory + 8 * page, page), ::munmap(memory + 10 * page, page);

    const snapshot copy = need(snapshot::capture(handles.front()));
    for (const procmap::filters only : {procmap::filters{}, procmap::readable, procmap::writable, procmap::executable, procmap::shared, procmap::file_backed,
                                        procmap::readable | procmap::filter::writable}) {
        for (std::size_t first = 0; first < 10; ++first) {
            for (const std::uint64_t within : {std::uint64_t{0}, std::uint64_t{1}, page - 1}) {
                for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, page - 1, page, page + 1, 3 * page, 20 * page, UINT64_MAX}) {
                    std::size_t end = first;
                    while (has(end, only)) ++end;
                    const std::uint64_t whole = end == first ? 0 : (end - first) * page - within;
                    const std::uint64_t expected = std::min(whole, size);
                    const char* const at = memory + first * page + within;
                    CAPTURE(only.bits());
                    CAPTURE(first);
                    CAPTURE(size);
                    for (const maps& m : handles) CHECK(keeping_errno([&] { return need(m.extent(at, size, only)); }) == expected);
                    CHECK(copy.extent(at, size, only) == expected);
                }
            }
        }
    }
    ::munmap(reserved, 64 * page);
}

void a_function() {}

TEST_CASE("extent and find take pointers to objects and functions") {
    NEEDS_LIVE_MAPS();
    const maps self = need(maps::open_self());
    static const char object[] = "object";
    CHECK(need(self.extent(object, sizeof object, procmap::readable)) == sizeof object);
    CHECK(need(self.extent(&a_function, 1, procmap::executable)) == 1);
    CHECK(need(self.find(&object)).contains(&object));
    CHECK(need(self.find(a_function)).permissions.has(procmap::perm::execute));
    CHECK(need(self.find_from(&a_function)).contains(&a_function));
    CHECK(self.find(0).error() == procmap::errc::not_mapped);
}

}  // namespace
