// Each allocation fails.
#include "interposed.hpp"
#include "answers.hpp"
#include "provoking.hpp"
#include "../support/calls.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"

#include <sys/auxv.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include <procmap/cached_maps.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>
#include <procmap/result.hpp>
#include <procmap/snapshot.hpp>

using namespace support;
using procmap::backend;
using procmap::build_id_choice;
using procmap::errc;
using procmap::maps;

namespace {

long starved = 0;

/// What was answered, put together with memory enough.
template <class T>
answer in_peace(const T& what) {
    allocator.fail_at = -1;
    return of(what);
}

/// Asks with one allocation after another failing. After each failure the same must answer as if nothing had been.
template <class Prepare, class Ask>
void starve(const char* name, Prepare prepare, Ask ask) {
    CAPTURE(std::string{name});
    const auto clean = [&] {
        auto of_what = prepare();
        return ask(of_what);
    }();
    REQUIRE(clean.error == errc::none);
    REQUIRE(!clean.pieces.empty());
    allocator.hit = true;
    for (long n = 0; allocator.hit; ++n) {
        CAPTURE(n);
        const long memory_before = allocator.live;
        const int lowest_before = lowest_descriptor();
        std::string difference;
        {
            auto of_what = prepare();
            bool failed = false;  // or did without: shrink_to_fit
            allocator.hit = false;
            allocator.asked = 0;
            allocator.fail_at = n;
            try {
                static_cast<void>(ask(of_what));
            } catch (const std::bad_alloc&) {
                failed = true;
            }
            allocator.fail_at = -1;
            if (failed) {
                ++starved;
                const answer again = ask(of_what);
                if (again.error != clean.error || again.pieces.size() != clean.pieces.size()) difference = "another error";
                for (std::size_t i = 0; difference.empty() && i < again.pieces.size(); ++i)
                    if (again.pieces[i] != clean.pieces[i]) difference = again.pieces[i] + " instead of " + clean.pieces[i];
            }
        }
        CHECK(difference == "");
        difference = std::string{};
        CHECK(allocator.live == memory_before);
        CHECK(lowest_descriptor() == lowest_before);
        if (n == 0) CHECK(allocator.hit);
    }
}

TEST_CASE("whatever allocation fails, nothing is lost or leaked, and the next call answers") {
    char* const page_of_ours = map_pages(1);
    child paused{wait_forever};
    paused->await();
    const std::uint64_t addresses[] = {address_of(reinterpret_cast<const void*>(&::getpid)), ::getauxval(AT_SYSINFO_EHDR),
                                       address_of(reinterpret_cast<const void*>(&lowest_descriptor)), 8};
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps from = need(maps::open(paused.pid(), {.use = use}));
        starve("capture", nothing, [&](int) { return in_peace(procmap::snapshot::capture(from, {.build_ids = true})); });
        for (const build_id_choice choice : {build_id_choice::automatic, build_id_choice::kernel, build_id_choice::file}) {
            CAPTURE(choice);
            const procmap::normalizer_options all{.build_ids = true, .elf_addresses = true, .build_ids_from = choice};
            starve("normalizer", [&] { return std::make_unique<procmap::normalizer>(all); },
                   [&](auto& n) { return in_peace(n->normalize(from, addresses)); });
            const auto small = [&] {  // in which one file must make room for the other
                auto n = std::make_unique<procmap::normalizer>(procmap::normalizer_options{
                    .build_ids = true, .elf_addresses = true, .build_ids_from = choice, .most_files = 1});
                static_cast<void>(n->normalize(from, std::span{addresses}.first(1)));
                return n;
            };
            starve("normalizer of one file", small, [&](auto& n) { return in_peace(n->normalize(from, addresses)); });
            const procmap::cached_maps_options one{.build_ids = true, .build_ids_from = choice, .most_mappings = 1};
            starve("cached_maps", [&] { return std::make_unique<procmap::cached_maps>(from, one); },
                   [&](auto& c) { return in_peace(c->find(addresses[0])); });
        }
        const maps self = need(maps::open_self({.use = use}));
        const auto watched = [&] {
            ::mprotect(page_of_ours, page, PROT_READ);
            auto watch = std::make_unique<procmap::watcher>(self);
            static_cast<void>(watch->look());
            ::mprotect(page_of_ours, page, PROT_NONE);
            return watch;
        };
        starve("watcher", watched, [&](auto& watch) {
            const auto changes = watch->look();
            allocator.fail_at = -1;
            answer a;
            const std::uint64_t ours = address_of(page_of_ours);
            for (const procmap::change& c : *changes)
                if (c.start <= ours && ours < c.end) a.add(std::to_string(static_cast<int>(c.kind)));
            return a;
        });
    }
    ::munmap(page_of_ours, page);
}

TEST_CASE("whatever allocation fails, a builder, a parser and a comparison lose nothing") {
    const std::string text =
        "00001000-00002000 rw-s 00000000 00:01 7                                  /a/rather/long/name/that/is/no/small/string\n"
        "BuildID:           0123456789abcdef0123456789abcdef01234567\n"
        "00002000-00003000 r--p 00000000 00:00 0                                  [another name that is no small string]\n"
        "00003000-00004000 r--p 00000000 00:00 0                                  [another name that is no small string]\n";
    starve("parse", nothing, [&](int) { return in_peace(procmap::snapshot::parse(text)); });
    const auto s = need(procmap::snapshot::parse(text));
    const auto half = need(procmap::snapshot::parse(std::string_view{text}.substr(0, text.find("00002000-"))));
    starve("difference", nothing, [&](int) { return in_peace(procmap::difference(half, s)); });
    struct half_built {
        procmap::snapshot::builder b{};
        std::size_t added = 0;
    };
    starve("builder", [] { return half_built{}; }, [&](half_built& to) {
        for (; to.added < s.size(); ++to.added) static_cast<void>(to.b.add(s[to.added]));
        return in_peace(procmap::result<procmap::snapshot>{to.b.build()});
    });
    std::printf("%ld failures of allocations\n", starved);
    CHECK(starved > 100);
}

}  // namespace
