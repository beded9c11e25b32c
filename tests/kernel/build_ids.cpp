// Which kernels are asked for build IDs, and how often.
#include "fake_kernel.hpp"
#include "../support/skipping.hpp"

#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/location.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>
#include <procmap/result.hpp>

using namespace support;
namespace uapi = procmap::uapi;
using procmap::errc;
using uapi::procmap_query;

TEST_CASE("a kernel that is not known to be safe is not asked for build IDs, unless it is trusted") {
    for (const char* release : {"6.11.0", "6.12.43", "6.12.74+deb13-amd64", "6.16.12", "6.17.13", "6.18.5", "6.18.15", "6.19.5",
                                "7.0.0-rc1", "2.6.78", "strange"}) {
        CAPTURE(release);
        with_kernel kernel;
        kernel.release = release;
        for (const bool trust : {false, true}) {
            kernel.ioctl = nullptr;
            const auto maps = opened(procmap::backend::ioctl, trust);
            bool asked = false;
            kernel.ioctl = [&](procmap_query& q) {
                asked |= q.build_id_size != 0 || q.build_id_addr != 0;
                return answer(three, q);
            };
            procmap::build_id_buffer id;
            const auto m = maps.find(0x1000, {.build_id = id});
            REQUIRE(m);
            CHECK(asked == trust);
            CHECK(m->build_id_known == trust);
            CHECK(m->build_id.empty() == !trust);
            asked = false;
            auto walk = maps.walk({.build_ids = true});
            walked(walk);
            CHECK(asked == trust);
        }
    }
    for (const char* release : {"6.12.75", "6.18.16", "6.19.6", "7.0.0", "7.3.1-deb14"}) {
        CAPTURE(release);
        with_kernel kernel;
        kernel.release = release;
        const auto maps = opened(procmap::backend::ioctl);
        int smallest = 1000;
        kernel.ioctl = [&](procmap_query& q) {
            if (q.build_id_size != 0) smallest = std::min(smallest, static_cast<int>(q.build_id_size));
            return answer(three, q);
        };
        procmap::build_id_buffer id;
        CHECK(maps.find(0x1000, {.build_id = id})->build_id.size() == 20);
        CHECK(smallest == 20);
        kernel.ioctls = 0;
        std::byte small[19];
        CHECK(maps.find(0x1000, {.build_id = small}).error() == errc::invalid);
        CHECK(kernel.ioctls == 0);  // refused before the call
        smallest = 1000;
        auto walk = maps.walk({.names = true});
        walked(walk);
        CHECK(smallest == 1000);  // never part of a walk that did not ask for it
    }
}

TEST_CASE("a normalizer that opens no file asks for the name of each mapping before its build ID, whatever its number: that names no file") {
    std::vector<vma> vmas;
    std::vector<std::uint64_t> addresses;
    constexpr int mappings = 300;
    constexpr int files = 3;
    for (std::uint64_t i = 0; i < mappings; ++i) {
        const std::uint64_t file = i % files, start = 0x10000 * (i + 1);
        vmas.push_back({start, start + 0x8000, 5, 0x1000 * i, 7 + file, "/file" + std::to_string(file), std::string(20, static_cast<char>(file))});
        for (int again = 0; again < 3; ++again) addresses.push_back(start + 0x1234 * static_cast<std::uint64_t>(again));
    }
    std::reverse(addresses.begin(), addresses.end());
    with_kernel kernel;
    const auto maps = opened(procmap::backend::ioctl, true);
    int names = 0, ids = 0;
    kernel.ioctl = [&](procmap_query& q) {
        names += q.vma_name_size != 0;
        ids += q.build_id_size != 0;
        return answer(vmas, q);
    };
    procmap::normalizer n{{.build_ids = true, .build_ids_from = procmap::build_id_choice::kernel}};
    for (int call = 0; call < 3; ++call) {
        kernel.ioctls = names = ids = 0;
        const auto got = n.normalize(maps, addresses);
        REQUIRE(got);
        CHECK(got->files.size() == files);
        for (const auto& f : got->files) CHECK(f.build_id.size() == 20);
        CHECK(kernel.ioctls == mappings * (call == 0 ? 3 : 2));  // at first it cannot know where a file is mapped
        CHECK(names == 2 * mappings);
        CHECK(ids == mappings);
    }
    CHECK(kernel.preads == 0);
}

TEST_CASE("a warm normalizer that holds the files asks once for each mapping, and for the name of each file once") {
    with_kernel kernel;
    const auto maps = procmap::maps::open_self();
    REQUIRE(maps);
    if (maps->backend() != procmap::backend::ioctl) SKIP("no ioctl");  // tests/identity/cost.cpp counts file reads there
    std::vector<std::uint64_t> addresses;
    int mappings = 0, files = 0;
    auto walk = maps->walk({.only = procmap::file_backed, .names = true});
    std::string last;
    for (const procmap::mapping& m : walk) {
        if (!m.name.starts_with("/usr/lib") && !m.name.starts_with("/lib")) continue;
        ++mappings;
        files += m.name != last;
        last = m.name;
        addresses.push_back(m.start + 1);
        addresses.push_back(m.end - 1);
    }
    if (mappings == 0) SKIP("linked statically");
    procmap::normalizer states{{.file_states = true}};
    const auto of_paths = states.normalize(*maps, addresses);
    REQUIRE(of_paths);
    for (const auto& f : of_paths->files)
        if (f.state != procmap::file_state::linked) SKIP("device and inode do not identify " + std::string{f.path});
    for (const bool elf_addresses : {false, true}) {
        procmap::normalizer n{{.build_ids = true, .elf_addresses = elf_addresses}};
        int names = 0, ids = 0;
        for (int call = 0; call < 3; ++call) {
            kernel.ioctls = names = ids = 0;
            kernel.ioctl = [&](procmap_query& q) {
                names += q.vma_name_size != 0;
                ids += q.build_id_size != 0;
                return syscall(SYS_ioctl, maps->fd().get(), procmap::detail::ioctl_request, &q) < 0 ? -errno : 0;
            };
            const auto got = n.normalize(*maps, addresses);
            REQUIRE(got);
            CHECK(got->files.size() == static_cast<std::size_t>(files));
        }
        CHECK(names == files);
        CHECK(ids == 0);
        if (elf_addresses)
            CHECK(kernel.ioctls <= 3 * mappings);  // two more where segments share a page of the file
        else
            CHECK(kernel.ioctls == mappings);
    }
}
