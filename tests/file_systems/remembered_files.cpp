// Cached file data: reused inode numbers, overwritten contents, and file systems that stay busy.
#include "programs.hpp"
#include "observers.hpp"
#include "truths.hpp"
#include "fixture.hpp"
#include "../support/calls.hpp"
#include "../support/machine.hpp"
#include "../support/printed.hpp"
#include "../support/skipping.hpp"

#include <time.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/cached_maps.hpp>
#include <procmap/location.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>

using namespace support;
using procmap::backend;
using procmap::build_id;
using procmap::build_id_choice;
using procmap::cached_maps;
using procmap::file_state;
using procmap::maps;
using procmap::normalizer;

namespace {

TEST_CASE("a number that is given to the next file does not give it what was remembered of the last") {
    NEEDS_FIXTURE(t);
    const std::string at = t.image("ext4", make_ext4, "ext4");
    if (at.empty()) SKIP("no ext4");
    const auto user = t.user();
    const std::uint64_t place = user->reserve(segments + 1);
    const program other{.letter = 'z'};
    REQUIRE(t.stage.write(at + "/other.so", other) > 0);
    const std::uint64_t other_at = user->map(at + "/other.so", other);
    const std::array other_address{other_at + 64};
    int reused = 0, held = 0;
    for (const way& w : all_ways()) {
        if (w.by != asking::normalize && w.by != asking::cache) continue;
        if (w.fresh || (w.use == backend::ioctl && !kernel_has_ioctl())) continue;
        for (const bool as_nobody : {false, true}) {
            observer who{as_nobody};
            std::int64_t last = 0;
            for (const char letter : {'p', 'q', 'r'}) {
                const program p{.letter = letter, .id_size = letter == 'r' ? 0u : 20u};
                const std::int64_t inode = t.stage.write(at + "/lib.so", p);
                REQUIRE(inode > 0);
                (inode == last ? reused : held) += last != 0;
                last = inode;
                const auto all = truths_of(user->map(at + "/lib.so", p, place), at + "/lib.so", p, 0);
                for (int again = 0; again < 2; ++again)
                    judge(who.name(), who.look(user->pid(), addresses_of(all), &w), all, as_nobody ? by_path : by_map_files);
                if (w.one_file) (void)who.look(user->pid(), other_address, &w);
                user->unmap(place);
                REQUIRE(t.stage.run("rm " + at + "/lib.so") == 0);
            }
        }
    }
    std::printf("%d inode numbers given to the next file, %d held\n", reused, held);
    CHECK(reused != 0);
    CHECK(held != 0);
}

TEST_CASE("contents that are written over are seen, on a file system that keeps times in whole seconds") {
    NEEDS_FIXTURE(t);
    const std::string seconds = t.image("seconds", make_ext4_of_seconds, "ext4"), fine = t.image("fine", make_ext4, "ext4");
    if (seconds.empty() || fine.empty()) SKIP("no ext4");
    const auto user = t.user();
    std::vector<std::string> paths{seconds + "/lib.so", fine + "/lib.so"};
    std::vector<std::uint64_t> places;
    for (const char letter : {'a', 'b', 'c'}) {
        const program p{.letter = letter, .id_size = letter == 'c' ? 0u : 20u};
        std::vector<truth> all;
        for (std::size_t i = 0; i < paths.size(); ++i) {
            REQUIRE(t.stage.write(paths[i], p) > 0);
            if (letter == 'a') places.push_back(user->map(paths[i], p));
            all = all + truths_of(places[i], paths[i], p, static_cast<int>(i));
        }
        t.both(user->pid(), all, by_map_files, by_path);
        if (letter != 'c') ::usleep(1'150'000);
        t.both(user->pid(), all, by_map_files, by_path);
        if (letter != 'c') continue;
        // What was read is not given of what may not be read any more.
        const program last{.letter = 'd'};
        REQUIRE(t.stage.write(paths[1], last) > 0);
        REQUIRE(t.stage.run("chmod 0 " + paths[1]) == 0);
        check(t.nobody, user->pid(), truths_of(places[1], paths[1], last, 1), {.state = file_state::linked, .at_path = false});
    }
}

/// Waits for the beginning of a second.
void await_second() {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    ::usleep(static_cast<useconds_t>((1'000'000'000 - now.tv_nsec) / 1000 + 20'000));
}

TEST_CASE("contents that are written over within the second of their change time are never given as before") {
    NEEDS_FIXTURE(t);
    const std::string at = t.image("seconds", make_ext4_of_seconds, "ext4");
    if (at.empty()) SKIP("no ext4");
    const auto user = t.user();
    const std::string path = at + "/lib.so";
    const program before{.letter = 'a'}, after{.letter = 'b'};
    REQUIRE(t.stage.write(path, before) > 0);
    const std::uint64_t place = user->map(path, before);
    for (const bool nobody : {false, true})
        for (const asking by : {asking::normalize, asking::cache})
            for (const backend use : {backend::ioctl, backend::text}) {
                if (use == backend::ioctl && !kernel_has_ioctl()) continue;
                const way w{.by = by, .use = use, .from = build_id_choice::file, .elf = by == asking::normalize};
                observer& who = nobody ? t.nobody : t.root;
                await_second();
                timespec begin{}, end{};
                ::clock_gettime(CLOCK_REALTIME, &begin);
                REQUIRE(t.stage.write(path, before) > 0);
                ::usleep(100'000);  // longer than the tick: of a file system with finer times, the file would be settled
                const auto old = truths_of(place, path, before, 0), fresh = truths_of(place, path, after, 0);
                judge(who.name(), who.look(user->pid(), addresses_of(old), &w), old, nobody ? by_path : by_map_files);
                REQUIRE(t.stage.write(path, after) > 0);
                ::clock_gettime(CLOCK_REALTIME, &end);
                CHECK(begin.tv_sec == end.tv_sec);  // or this proves nothing
                judge(who.name(), who.look(user->pid(), addresses_of(fresh), &w), fresh, nobody ? by_path : by_map_files);
            }
}

TEST_CASE("cached files keep a file system busy until they are released") {
    NEEDS_FIXTURE(t);
    for (const char* type : {"ext4", "btrfs"}) {
        const std::string at = t.image(type, std::string_view{type} == "ext4" ? make_ext4 : make_btrfs, type);
        if (at.empty()) {
            not_included(type);
            continue;
        }
        INFO(std::string{type});
        const program p{.letter = 'a'};
        REQUIRE(t.stage.write(at + "/lib.so", p) > 0);
        const auto user = t.user();
        const std::uint64_t place = user->map(at + "/lib.so", p);
        const maps of = need(maps::open(user->pid()));
        normalizer n{{.build_ids = true, .elf_addresses = true, .build_ids_from = build_id_choice::file, .file_states = true}};
        cached_maps c{of, {.build_ids = true, .build_ids_from = build_id_choice::file}};
        const std::array address{place + 64};
        CHECK(hex_of(need(n.normalize(of, address)).files[0].build_id) == hex_of(p.id()));
        CHECK(hex_of(build_id{need(c.find(address[0])).build_id.bytes()}) == hex_of(p.id()));
        user->unmap(place);
        const std::string unmount = "umount " + at + " 2>/dev/null";
        CHECK(t.stage.run(unmount) != 0);
        n.release_files();
        CHECK(t.stage.run(unmount) != 0);
        CHECK(c.release_files());
        CHECK(t.stage.run(unmount) == 0);
        CHECK(!need(n.normalize(of, address)).locations[0]);
        CHECK(!c.find(address[0]));
    }
}

}  // namespace
