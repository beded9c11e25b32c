// How many queries lookups and walks with build IDs take.
#include "reports.hpp"
#include "ways.hpp"
#include "kind.hpp"
#include "asking.hpp"
#include "own_mounts.hpp"
#include "elf_file.hpp"
#include "sockets.hpp"
#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/raw_maps.hpp"
#include "../support/skipping.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <new>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>
#include <procmap/maps.hpp>

using namespace support;
using procmap::mapping;
using procmap::maps;
using procmap::unique_fd;

namespace {

/// The queries that a call makes about this process, in a child.
template <class Call>
report counting(Call call) {
    report& r = *new (shared_report()) report{};
    const std::string kept = in_child(r, [&] { r.failed = !call(); });
    CHECK_MESSAGE(kept.empty(), kept);
    CHECK_FALSE(r.failed);
    return r;
}

TEST_CASE(
    "find with a build ID costs two queries, one of them with an ID, and one where there is no file; without it costs one") {
    NEEDS_LIVE_MAPS();
    if (!kernel_has_ioctl()) return skip("no ioctl");
    const back_end& b = back_ends().front();
    const maps self = need(maps::open_self(b.how));
    const temporary_directory directory;
    const auto file = elf_file("regular file", named::file, directory / "file", an_id);
    REQUIRE(file);
    procmap::name_buffer name;
    procmap::build_id_buffer id;
    for (const bool with_name : {true, false}) {
        const std::span<char> to = with_name ? std::span<char>{name} : std::span<char>{};
        const report with = counting([&] { return self.find(file->at, {.name = to, .build_id = id}).has_value(); });
        CHECK(with.queries == (b.kernel_asked ? 2 : 1));
        CHECK(with.id_queries == (b.kernel_asked ? 1 : 0));
        const report from = counting([&] { return self.find_from(file->at, {.name = to, .build_id = id}).has_value(); });
        CHECK(from.queries == with.queries);
        CHECK(from.id_queries == with.id_queries);
        const report without = counting([&] { return self.find(file->at, {.name = to}).has_value(); });
        CHECK(without.queries == 1);
        CHECK(without.id_queries == 0);
        const report of_stack =
            counting([&] { return self.find(address_of(&name), {.name = to, .build_id = id}).has_value(); });
        CHECK(of_stack.queries == 1);
        CHECK(of_stack.id_queries == 0);
    }
}

TEST_CASE(
    "a walk with build IDs costs one query for each mapping, one for the end, and one more for each mapping of a regular "
    "file") {
    NEEDS_LIVE_MAPS();
    if (!kernel_has_ioctl()) return skip("no ioctl");
    const back_end& b = back_ends().front();
    const temporary_directory directory;
    const auto file = elf_file("regular file", named::file, directory / "file", an_id);
    REQUIRE(file);
    kind socket{"TCP socket", named::nothing}, memory{"shared memory", named::unsure}, zero{"/dev/zero", named::unsure};
    const auto c = connected();
    if (!c || !socket.map(c->here.get(), page)) cannot_make(socket.name, why());
    REQUIRE(memory.map(-1, page, MAP_SHARED | MAP_ANONYMOUS));
    const unique_fd node{::open("/dev/zero", O_RDONLY | O_CLOEXEC)};
    REQUIRE(zero.map(node.get(), page, MAP_PRIVATE));
    const maps self = need(maps::open_self(b.how));
    for (const bool names : {true, false}) {
        const auto walk = [&](bool ids) {
            return counting([&] {
                auto all = self.walk({.names = names, .build_ids = ids});
                for (const mapping& m : all) static_cast<void>(m);
                return all.complete();
            });
        };
        report with, without;
        std::vector<raw_line> seen;
        for (int tries = 0; tries < 5; ++tries) {  // the heap may grow meanwhile
            seen = raw_lines(slurp(maps_path(::getpid())).value());
            with = walk(true);
            without = walk(false);
            if (seen.size() == raw_lines(slurp(maps_path(::getpid())).value()).size()) break;
        }
        const auto mappings = static_cast<int>(seen.size());
        int files = 0;
        for (const raw_line& raw : seen) files += raw.name.starts_with('/') && !raw.name.starts_with("/dev/zero");
        CHECK(files != 0);
        CHECK(with.queries == mappings + 1 + (b.kernel_asked ? files : 0));
        CHECK(with.id_queries == (b.kernel_asked ? files : 0));
        CHECK(without.queries == mappings + 1);
        CHECK(without.id_queries == 0);
    }
}

}  // namespace
