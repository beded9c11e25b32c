// Files and mappings that change during a lookup.
#include "programs.hpp"
#include "fuse_server.hpp"
#include "observers.hpp"
#include "truths.hpp"
#include "fixture.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/printed.hpp"
#include "../support/skipping.hpp"

#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>

using namespace support;
using procmap::backend;

namespace {

/// A file system that is mounted below a directory of FUSE, so that a lookup of its files can be held; and once more beside it.
struct gate {
    fixture& t;
    std::string beside, behind;
    bool ready = false;

    explicit gate(fixture& of) : t(of) {
        set(server().armed, 0), set(server().go, 0);
        beside = t.image("beside", make_ext4, "ext4");
        const std::string at = t.make("fuse");
        behind = at + "/gate";
        ready = !beside.empty() && t.stage.fuse(at) == 0 && t.stage.bind(beside, behind) == 0;
    }
    ~gate() { set(server().go, 1); }

    /// Looks in one way, and does something while the lookup is held.
    template <class Meanwhile>
    std::vector<report> look(observer& who, pid_t pid, std::span<const std::uint64_t> addresses, const way& w,
                             Meanwhile meanwhile) {
        set(server().go, 0);
        set(server().armed, 1);
        who.start(pid, addresses, &w);
        bool held = false;
        for (int tries = 0; tries < 5000 && !held; ++tries) {
            ::usleep(1000);
            held = now(server().held) != 0;
        }
        REQUIRE(held);
        meanwhile();
        set(server().go, 1);
        return who.finish();
    }
};

std::vector<way> ways_that_look_at_files() {
    std::vector<way> ways;
    for (const way& w : all_ways()) {
        if (w.looks_at_files() && w.by != asking::capture && !w.alone && (w.use == backend::text || kernel_has_ioctl()))
            ways.push_back(w);
    }
    return ways;
}

TEST_CASE("what is mapped anew while the file is looked for is not mixed with it") {
    NEEDS_FIXTURE(t);
    gate g{t};
    if (!g.ready) SKIP("no ext4 below FUSE");
    const program a{.letter = 'a'}, b{.letter = 'b'};
    const auto user = t.user();
    const std::uint64_t place = user->reserve(segments + 1);
    const std::string path = g.behind + "/lib.so", other = g.beside + "/other.so";
    REQUIRE(t.stage.write(g.beside + "/lib.so", a) > 0);
    REQUIRE(t.stage.write(other, b) > 0);
    int known = 0;
    for (const way& w : ways_that_look_at_files()) {
        observer who{true};
        user->map(path, a, place);
        const std::array addresses{place + page + 64};
        const auto reports = g.look(who, user->pid(), addresses, w, [&] { user->map(other, b, place); });
        for (const report& r : reports) {
            INFO(name_of(w) << ' ' << r.said.path << ' ' << hex_of(r.said.id));
            if (!r.said.resolved) continue;
            const program& p = r.said.path == path ? a : b;
            CHECK((r.said.path == path || r.said.path == other));
            if (r.said.id_known) CHECK(hex_of(r.said.id) == hex_of(p.id()));
            if (r.said.elf_known) CHECK(r.said.elf_address == p.base() + page + 64);
            known += r.said.id_known;
        }
    }
    CHECK(known != 0);  // cached_maps tries again
}

TEST_CASE("a file that gets the number of the mapped one while that is looked for is not taken for it") {
    NEEDS_FIXTURE(t);
    gate g{t};
    if (!g.ready) SKIP("no ext4 below FUSE");
    const program a{.letter = 'a'}, b{.letter = 'b'};
    const auto user = t.user();
    const std::uint64_t place = user->reserve(segments + 1);
    const std::string path = g.behind + "/lib.so", here = g.beside + "/lib.so";
    int reused = 0;
    for (const way& w : ways_that_look_at_files())
        for (const bool mapped_again : {false, true}) {
            observer who{true};
            const std::int64_t inode = t.stage.write(here, a);
            user->map(path, a, place);
            const std::array addresses{place + page + 64};
            const auto reports = g.look(who, user->pid(), addresses, w, [&] {
                user->unmap(place);
                REQUIRE(t.stage.run("rm " + here) == 0);
                reused += t.stage.write(here, b) == inode;
                if (mapped_again) user->map(here, b, place);
            });
            for (const report& r : reports) {
                INFO(name_of(w) << " mapped again " << mapped_again);
                if (!r.said.resolved) continue;
                const program& p = r.said.path == path ? a : b;
                if (r.said.id_known) CHECK(hex_of(r.said.id) == hex_of(p.id()));
                if (r.said.elf_known) CHECK(r.said.elf_address == p.base() + page + 64);
            }
            if (mapped_again) user->unmap(place);
            REQUIRE(t.stage.run("rm " + here) == 0);
        }
    if (reused == 0) not_included("no inode number was given to the next file");
}

TEST_CASE("in one call, a number that is given to the next file does not give it the first one's entry") {
    NEEDS_FIXTURE(t);
    gate g{t};
    if (!g.ready) SKIP("no ext4 below FUSE");
    const program a{.letter = 'a'}, b{.letter = 'b'}, c{.letter = 'c'}, z{.letter = 'z'};
    const auto user = t.user();
    constexpr std::size_t slot = segments + 1;
    const std::uint64_t arena = user->reserve(4 * slot);
    const auto place = [&](std::size_t i) { return arena + i * slot * page; };
    const std::string lib = g.beside + "/lib.so", second = g.beside + "/second.so", gated = g.behind + "/third.so";
    REQUIRE(t.stage.write(second, b) > 0);
    REQUIRE(t.stage.write(g.beside + "/third.so", c) > 0);
    int reused = 0;
    for (const way& w : ways_that_look_at_files()) {
        if (w.by != asking::normalize || !w.one_file) continue;
        observer who{true};
        const std::int64_t inode = t.stage.write(lib, a);
        user->map(lib, a, place(0)), user->map(second, b, place(1)), user->map(gated, c, place(2)), user->map(lib, a, place(3));
        std::vector<truth> all;
        all.push_back(truths_of(place(0), lib, a, 0)[1]);
        all.push_back(truths_of(place(1), second, b, 1)[1]);
        all.push_back(truths_of(place(2), gated, c, 2)[1]);
        all.push_back(truths_of(place(3), lib, z, 3)[1]);
        const auto reports = g.look(who, user->pid(), addresses_of(all), w, [&] {
            user->unmap(place(0));
            user->unmap(place(3));
            REQUIRE(t.stage.run("rm " + lib) == 0);
            reused += t.stage.write(lib, z) == inode;
            user->map(lib, z, place(3));
        });
        judge("nobody", reports, all, by_path);
    }
    if (reused == 0) not_included("no inode number was given to the next file");
}

TEST_CASE("a mapping that a walk saw before its number was given to the next file is not taken for one of that") {
    NEEDS_FIXTURE(t);
    gate g{t};
    if (!g.ready) SKIP("no ext4 below FUSE");
    const program a{.letter = 'a'}, c{.letter = 'c'}, z{.letter = 'z'};
    const auto user = t.user();
    constexpr std::size_t slot = segments + 1;
    const std::uint64_t arena = user->reserve(3 * slot);
    const auto place = [&](std::size_t i) { return arena + i * slot * page; };
    const std::string lib = g.beside + "/lib.so", gated = g.behind + "/third.so";
    REQUIRE(t.stage.write(g.beside + "/third.so", c) > 0);
    int reused = 0;
    for (const way& w : ways_that_look_at_files()) {
        if (w.by != asking::normalize || w.use != backend::text) continue;
        observer who{true};
        const std::int64_t inode = t.stage.write(lib, a);
        user->map(gated, c, place(0)), user->map(lib, a, place(1)), user->map(lib, a, place(2));
        const std::array addresses{place(0) + page + 64, place(1) + page + 64, place(2) + page + 64};
        const auto reports = g.look(who, user->pid(), addresses, w, [&] {
            user->unmap(place(1));
            user->unmap(place(2));
            REQUIRE(t.stage.run("rm " + lib) == 0);
            reused += t.stage.write(lib, z) == inode;
            user->map(lib, z, place(1));
        });
        for (const report& r : reports) {
            if (r.address != 2 || !r.said.resolved) continue;
            INFO(name_of(w));
            if (r.said.id_known) CHECK(hex_of(r.said.id) == hex_of(a.id()));
            if (r.said.elf_known) CHECK(r.said.elf_address == a.base() + page + 64);
        }
    }
    if (reused == 0) not_included("no inode number was given to the next file");
}

}  // namespace
