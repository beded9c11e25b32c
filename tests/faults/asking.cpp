// Lookups, walks, captures, normalizing, caching and handover, while each system call fails.
#include "interposed.hpp"
#include "answers.hpp"
#include "provoking.hpp"
#include "../support/calls.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"

#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include <doctest/doctest.h>

#include <procmap/cached_maps.hpp>
#include <procmap/fd.hpp>
#include <procmap/handover.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>
#include <procmap/result.hpp>
#include <procmap/snapshot.hpp>

using namespace support;
using procmap::backend;
using procmap::build_id_choice;
using procmap::maps;
using procmap::unique_fd;

namespace {

TEST_CASE("lookups, walks and captures, whatever fails") {
    child paused{wait_forever};
    paused->await();
    const std::uint64_t address = address_of(reinterpret_cast<const void*>(&::getpid));
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps from = need(maps::open(paused.pid(), {.use = use}));
        procmap::name_buffer name;
        procmap::build_id_buffer id;
        provoke("find", nothing, [&](int) { return of(from.find(address)); });
        provoke("find with all", nothing, [&](int) { return of(from.find(address, {.name = name, .build_id = id})); });
        provoke("find nothing", nothing, [&](int) { return of(from.find(0)); });
        provoke("find from", nothing, [&](int) { return of(from.find_from(0, {.only = procmap::executable, .name = name})); });
        for (const bool build_ids : {false, true})
            provoke("walk", [&] { return from.walk({.names = true, .build_ids = build_ids}); },
                    [&](auto& walk) { return of(walk); });
        provoke("walk by a filter", [&] { return from.walk({.only = procmap::executable}); }, [&](auto& walk) { return of(walk); });
        for (const bool page_sizes : {false, true})
            provoke("capture", nothing, [&](int) { return of(procmap::snapshot::capture(from, {.page_sizes = page_sizes})); });
        const auto watched = [&] {
            auto watch = std::make_unique<procmap::watcher>(from);
            static_cast<void>(watch->look());
            return watch;
        };
        provoke("watch", watched, [&](auto& watch) {
            const auto changes = watch->look();
            answer a = of(procmap::result<procmap::snapshot>{watch->last()});
            for (std::size_t i = 0; changes && i < changes->size(); ++i) a.add("a change");
            a.error = changes.error();
            return a;
        });
    }
}

TEST_CASE("normalizing and caching, whatever fails") {
    char* const heap = map_pages(1);
    child paused{wait_forever};
    paused->await();
    const std::uint64_t addresses[] = {address_of(reinterpret_cast<const void*>(&::getpid)), ::getauxval(AT_SYSINFO_EHDR),
                                       address_of(reinterpret_cast<const void*>(&lowest_descriptor)), 8, address_of(heap)};
    const auto ask = [&](const maps& from, const procmap::normalizer_options& options, bool warm, const char* name) {
        const auto prepare = [&] {
            auto n = std::make_unique<procmap::normalizer>(options);
            if (warm) static_cast<void>(n->normalize(from, addresses));
            return n;
        };
        provoke(name, prepare, [&](auto& n) { return of(n->normalize(from, addresses)); });
    };
    const auto ask_cache = [&](const maps& from, build_id_choice choice, bool warm) {
        const auto prepare = [&] {
            const procmap::cached_maps_options options{.build_ids = true, .build_ids_from = choice};
            auto c = std::make_unique<procmap::cached_maps>(from, options);
            if (warm) static_cast<void>(c->find(addresses[0]));
            return c;
        };
        provoke("cached_maps", prepare, [&](auto& c) { return of(c->find(addresses[0])); });
    };
    for (const backend use : backends()) {
        const maps from = need(maps::open(paused.pid(), {.use = use}));
        for (const build_id_choice choice : {build_id_choice::automatic, build_id_choice::kernel, build_id_choice::file})
            for (const bool warm : {false, true}) {
                CAPTURE(use);
                CAPTURE(choice);
                CAPTURE(warm);
                ask(from, {.build_ids = true, .build_ids_from = choice}, warm, "build IDs");
                ask_cache(from, choice, warm);
                ask(from, {.build_ids = true, .elf_addresses = true, .build_ids_from = choice, .file_states = true}, warm, "all");
            }
        const with unprivileged{faults.no_map_files};
        ask(from, {.build_ids = true, .build_ids_from = build_id_choice::file}, false, "through the root");
        {
            const with btrfs{faults.other_device};
            ask(from, {.build_ids = true, .elf_addresses = true, .build_ids_from = build_id_choice::file}, false, "out of memory");
            ask_cache(from, build_id_choice::file, false);
        }
        const with old{faults.no_mount_ids};
        ask(from, {.build_ids = true, .build_ids_from = build_id_choice::file}, false, "by fdinfo");
        const with older{faults.no_statx};
        ask(from, {.build_ids = true, .build_ids_from = build_id_choice::file}, false, "without statx");
    }
    ::munmap(heap, page);
}

TEST_CASE("handing over, whatever fails") {
    child paused{wait_forever};
    paused->await();
    struct pair {
        unique_fd one, other;
    };
    const auto sockets = [] {
        int ends[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        return pair{unique_fd{ends[0]}, unique_fd{ends[1]}};
    };
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps from = need(maps::open(paused.pid(), {.use = use}));
        provoke("send", sockets, [&](pair& p) {
            const auto sent = procmap::send_maps(p.one.get(), from);
            return answer{.error = sent.error()};
        });
        const auto sent = [&] {
            pair p = sockets();
            REQUIRE(procmap::send_maps(p.one.get(), from));
            return p;
        };
        provoke("receive", sent, [&](pair& p) { return of(procmap::receive_maps(p.other.get(), {.use = use})); }, false);
    }
}

}  // namespace
