// Many addresses in one call: both back-ends agree, and each address has the answer that it has alone.
#include "looking.hpp"
#include "../support/calls.hpp"
#include "../support/machine.hpp"
#include "../support/processes.hpp"
#include "../support/records.hpp"
#include "../support/skipping.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/cached_maps.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>
#include <procmap/result.hpp>

using namespace support;
using procmap::backend;
using procmap::build_id;
using procmap::build_id_choice;
using procmap::cached_maps;
using procmap::errc;
using procmap::maps;
using procmap::normalizer;
using procmap::reason;

namespace {

void check_equal(const procmap::normalized& a, const procmap::normalized& b) {
    REQUIRE(a.locations.size() == b.locations.size());
    REQUIRE(a.files.size() == b.files.size());
    bool same = true;
    for (std::size_t i = 0; i < a.locations.size(); ++i) {
        const procmap::location &l = a.locations[i], &r = b.locations[i];
        const bool equal = l.offset == r.offset && l.elf_address == r.elf_address && l.elf_address_known == r.elf_address_known &&
                           l.file == r.file && l.reason == r.reason;
        if (!equal && same)
            MESSAGE("address ", i, ": ", l.file, '+', l.offset, " elf ", l.elf_address_known, ' ', l.elf_address, ", and ", r.file, '+', r.offset, " elf ",
                    r.elf_address_known, ' ', r.elf_address, l ? a.files[l.file].path : std::string_view{});
        same = same && equal;
    }
    CHECK(same);
    for (std::size_t i = 0; i < a.files.size(); ++i) {
        const procmap::mapped_file &l = a.files[i], &r = b.files[i];
        INFO(std::string{l.path});
        CHECK(l.path == r.path);
        CHECK(l.build_id == r.build_id);
        CHECK(l.build_id_known == r.build_id_known);
        CHECK(l.build_id.source() == r.build_id.source());
        CHECK(l.state == r.state);
        CHECK(l.inode == r.inode);
        CHECK(l.device == r.device);
    }
}

TEST_CASE("both back-ends give equal locations and files, for addresses in any order, some twice, some nowhere") {
    if (!kernel_has_ioctl()) SKIP("one back-end only");
    child other{[](channel& parent) { parent.pause(); }};
    std::mt19937_64 random{2};
    for (const pid_t pid : {::getpid(), other.pid()}) {
        const maps ioctl = need(maps::open(pid)), text = need(maps::open(pid, {.use = backend::text}));
        std::vector<std::uint64_t> addresses;
        for (const record& r : walk_all(ioctl).records)
            for (const std::uint64_t a : {r.start, r.start - 1, r.end - 1, r.end, r.start + random() % (r.end - r.start)})
                addresses.push_back(a), addresses.push_back(a);
        for (int i = 0; i < 100; ++i) addresses.push_back(random());
        std::shuffle(addresses.begin(), addresses.end(), random);
        normalizer a{{.build_ids = true, .elf_addresses = true, .build_ids_from = build_id_choice::file}};
        normalizer b{{.build_ids = true, .elf_addresses = true, .build_ids_from = build_id_choice::file}};
        // What the normalizers allocate here may change this very process's map.
        for (int warm = 0; warm < 3; ++warm) (void)a.normalize(ioctl, addresses), (void)b.normalize(text, addresses);
        check_equal(need(a.normalize(ioctl, addresses)), need(b.normalize(text, addresses)));
        CHECK(need(a.normalize(ioctl, {})).locations.empty());
        CHECK(need(b.normalize(text, {})).files.empty());
    }
}

TEST_CASE("each address of a batch has the location that it has alone") {
    const maps self = need(maps::open_self());
    std::mt19937_64 random{3};
    normalizer n{{.build_ids = true, .elf_addresses = true}}, alone{{.build_ids = true, .elf_addresses = true}};
    for (const std::size_t count : {std::size_t{10}, std::size_t{100}, std::size_t{2000}}) {  // few are compared, many are sorted byte by byte
        auto addresses = code_addresses(self, count, random);
        addresses.push_back(1), addresses.push_back(addresses.front());
        for (std::size_t i = 0; i < count; ++i) addresses.push_back(random() >> i % 64);
        std::shuffle(addresses.begin(), addresses.end(), random);
        const auto got = need(n.normalize(self, addresses));
        bool same = true;
        for (std::size_t i = 0; i < addresses.size(); ++i) {
            const auto one = need(alone.normalize(self, std::span{addresses}.subspan(i, 1)));
            const procmap::location &l = got.locations[i], &r = one.locations[0];
            same = same && static_cast<bool>(l) == static_cast<bool>(r) && l.reason == r.reason && l.offset == r.offset &&
                   l.elf_address == r.elf_address && (!r || one.files[0].build_id == got.files[l.file].build_id);
        }
        CHECK(same);
    }
}

TEST_CASE("a process that is gone between two calls is gone, on both back-ends") {
    for (const backend use : backends()) {
        child other{[](channel& parent) { parent.pause(); }};
        const maps of = need(maps::open(other.pid(), {.use = use}));
        normalizer n{{.build_ids = true, .elf_addresses = true}};
        cached_maps cache{of, {.build_ids = true}};
        const std::array addresses{need(of.find_from(0)).start, std::uint64_t{1}};
        CHECK(need(n.normalize(of, addresses)).complete());
        CHECK(cache.find(addresses[0]).has_value());
        other.kill();
        other.await_zombie();
        CHECK(n.normalize(of, addresses).error() == errc::gone);
        CHECK(cache.find(addresses[0]).error() == errc::gone);
        other.reap();
        const procmap::error reaped = n.normalize(of, addresses).error();
        CHECK((reaped == errc::gone || reaped == errc::task_gone));
    }
}

}  // namespace
