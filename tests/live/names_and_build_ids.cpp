// Names and build IDs, and the buffers for them.
#include "asking.hpp"
#include "strange_child.hpp"
#include "../support/calls.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"
#include "../support/records.hpp"
#include "../support/skipping.hpp"

#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/maps.hpp>
#include <procmap/probe.hpp>
#include <procmap/result.hpp>

using namespace support;
using procmap::backend;
using procmap::errc;
using procmap::mapping;
using procmap::maps;
using procmap::name_state;

namespace {

TEST_CASE("a name that does not fit the walk's own buffer is marked, and the walk goes on") {
    const strange_child strange;
    const auto raw = strange.raw();
    for (const backend use : backends()) {
        CAPTURE(use);
        const walked all = walk_with_names(need(maps::open(strange.pid(), {.use = use})), {});
        CHECK(all.complete);
        CHECK(difference(all.records, raw) == "");
        const auto too_long = std::ranges::count(all.records, name_state::too_long, &record::name_status);
        CHECK(too_long == (use == backend::ioctl ? 1 : 2));
    }
}

TEST_CASE("a small walk buffer leaves out the same names on both back-ends") {
    child paused{[](channel& parent) {
        for (std::size_t size : {1u, 64u, 120u, 200u, 249u}) {
            const int fd = static_cast<int>(::syscall(SYS_memfd_create, std::string(size, 'm').c_str(), 0));
            ensure(::mmap(nullptr, page, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED, "memfd");
        }
        parent.signal();
        parent.pause();
    }};
    paused->await();
    for (const std::size_t size : {256u, 300u, 320u, 400u}) {
        CAPTURE(size);
        std::vector<walked> all;
        for (const backend use : backends())
            all.push_back(walk_with_names(need(maps::open(paused.pid(), {.use = use})), std::span{big_buffer}.first(size)));
        for (std::size_t i = 0; i < all.front().records.size(); ++i)
            CHECK(as_text(all.front().records[i]) == all.back().records.at(i));
    }
}

TEST_CASE("a name goes into the caller's buffer whole and NUL-terminated, or not at all") {
    const auto here = address_of(reinterpret_cast<const void*>(&check_answers));
    char path[PATH_MAX] = {};
    const auto length = ::readlink("/proc/self/exe", path, sizeof path);
    REQUIRE(length > 8);
    const std::string exe{path, static_cast<std::size_t>(length)};
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(maps::open_self({.use = use}));
        const record unnamed{need(self.find(here))};
        CHECK(unnamed.name_status == name_state::not_asked);
        CHECK(unnamed.name.empty());
        for (const std::size_t size : {std::size_t{1}, std::size_t{8}, exe.size(), exe.size() + 1, sizeof big_buffer}) {
            CAPTURE(size);
            std::fill_n(big_buffer, sizeof big_buffer, 'x');
            const mapping hit = need(self.find(here, {.name = std::span{big_buffer}.first(size)}));
            record expected = unnamed;
            expected.name_status = size > exe.size() ? name_state::exact : name_state::too_long;
            if (size > exe.size()) expected.name = exe;
            CHECK(record{hit} == expected);
            if (hit.name.empty()) continue;
            CHECK(hit.name.data() == big_buffer);
            CHECK(big_buffer[hit.name.size()] == '\0');
            if (size < sizeof big_buffer) CHECK(big_buffer[size] == 'x');
        }
        CHECK(walk_all(self).records.front().name_status == name_state::not_asked);
    }
}

TEST_CASE("a mapping without a name has an exact and empty one") {
    const auto anonymous = address_of(map_pages(1, PROT_NONE));
    for (const backend use : backends()) {
        const mapping hit = need(need(maps::open_self({.use = use})).find(anonymous, {.name = big_buffer}));
        CHECK(hit.name_status == name_state::exact);
        CHECK(hit.name.empty());
    }
    ::munmap(reinterpret_cast<void*>(anonymous), page);
}

/// The build ID that readelf prints of a file; nothing where there is no readelf.
std::optional<std::string> build_id_by_readelf(const std::string& path) {
    FILE* const pipe = ::popen(("LC_ALL=C readelf -n '" + path + "' 2>/dev/null").c_str(), "r");
    if (pipe == nullptr) return std::nullopt;
    std::string id;
    char line[512];
    while (std::fgets(line, sizeof line, pipe) != nullptr)
        if (const char* const label = std::strstr(line, "Build ID: "); label != nullptr) id = std::string{label + 10};
    if (::pclose(pipe) != 0) return std::nullopt;
    return id.substr(0, id.find('\n'));
}

TEST_CASE("a build-ID buffer that is too small is refused before the kernel sees it") {
    std::byte room[20] = {};
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(maps::open_self({.use = use}));
        for (const std::size_t size : {std::size_t{1}, std::size_t{19}}) {
            CHECK(self.find_from(0, {.build_id = std::span{room}.first(size)}).error() == errc::invalid);
            CHECK(self.find(0, {.build_id = std::span{room}.first(size)}).error() == errc::invalid);
        }
        CHECK(self.find_from(0, {.build_id = room}).has_value());
    }
}

TEST_CASE("the kernel's build ID of libc is the one that readelf prints") {
    const auto libc = address_of(::dlsym(RTLD_DEFAULT, "getenv"));
    if (libc == 0) SKIP("linked statically");
    procmap::name_buffer name;
    procmap::build_id_buffer id;
    const bool safe = procmap::safe_to_ask(procmap::known_hazards(procmap::running_kernel()));
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(maps::open_self({.use = use}));
        const mapping hit = need(self.find(libc, {.name = name, .build_id = id}));
        CHECK(hit.build_id_known == (safe && use == backend::ioctl));
        if (!hit.build_id_known) {
            CHECK(hit.build_id.empty());
            continue;
        }
        const auto expected = build_id_by_readelf(std::string{hit.name});
        if (!expected) SKIP("no readelf");
        const record one{hit};
        CHECK(one.build_id == *expected);
        const walked all = walk_all(self, {.names = true, .build_ids = true});
        CHECK(std::ranges::count(all.records, one) == 1);
        for (const record& r : all.records)  // the kernel does not say "none" of a file, and the vDSO has one in memory
            CHECK(r.build_id_known == (!r.build_id.empty() || (r.inode == 0 && r.name != "[vdso]")));
    }
    if (!safe) SKIP("this kernel must not be asked for build IDs");
}

}  // namespace
