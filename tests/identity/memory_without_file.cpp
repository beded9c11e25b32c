// The vDSO, other memory without a file, and 32-bit processes.
#include "files.hpp"
#include "looking.hpp"
#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/printed.hpp"
#include "../support/processes.hpp"
#include "../support/records.hpp"
#include "../support/skipping.hpp"
#include "../support/tools.hpp"

#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/elf.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>

using namespace support;
using procmap::backend;
using procmap::build_id;
using procmap::build_id_choice;
using procmap::build_id_source;
using procmap::maps;
using procmap::normalizer;
using procmap::reason;

namespace {

TEST_CASE("a 32-bit process is resolved, its vDSO too") {
#if defined(__x86_64__)
    temporary_directory dir;
    const std::string path = dir / "small";
    if (!succeeds(
            "echo 'void _start(void) { for (;;) __asm__ volatile(\"int $0x80\" ::\"a\"(29)); }' | cc -m32 -nostdlib -static "
            "-fno-pie -no-pie -Wl,--build-id=sha1 -x c -o " +
            quoted(path) + " -"))
        SKIP("no 32-bit compiler");
    const pid_t pid = ::fork();
    if (pid == 0) ::execl(path.c_str(), path.c_str(), nullptr), ::_exit(1);
    process small{pid};
    std::vector<record> all;
    for (int tries = 0; tries < 500; ++tries) {
        ::usleep(10000);
        if (auto of = maps::open(pid)) all = walk_all(*of, {.names = true}).records;
        if (!all.empty() && all[0].name == path) break;
    }
    if (all.empty() || all[0].name != path) SKIP("the kernel does not run 32-bit programs");
    for (const record& r : all) {
        if (r.name == path && r.permissions.has(procmap::perm::execute)) {
            const seen s = look(need(maps::open(pid)), r.start, build_id_choice::file);
            CHECK(hex_of(s.id) == readelf_ids({path})[path]);
            CHECK(s.elf_address == r.start);  // where it was linked to run
        }
        if (r.name == "[vdso]") {
            const seen s = look(need(maps::open(pid)), r.start);
            CHECK(s.id.source() == build_id_source::memory);
            CHECK(s.id.size() == 20);
            CHECK(s.elf_address_known);
        }
    }
#else
    SKIP("for x86-64");
#endif
}

/// The build ID of this process's vDSO, read from its own memory.
build_id own_vdso_id(std::uint64_t& start) {
    start = ::getauxval(AT_SYSINFO_EHDR);
    const auto* const image = reinterpret_cast<const std::byte*>(start);
    const auto m = need(need(maps::open_self()).find(start));
    const procmap::elf::bytes_source source{{image, static_cast<std::size_t>(m.size())}};
    std::byte id[build_id::capacity];
    return build_id{std::span{id}.first(procmap::elf::image{source}.build_id(id))};
}

TEST_CASE("an address in the vDSO has the build ID of the vDSO's own image") {
    NEEDS_LIVE_MAPS();
    std::uint64_t vdso = 0;
    const build_id expected = own_vdso_id(vdso);
    if (vdso == 0 || expected.empty()) SKIP("no vDSO with a build ID");
    child other{[](channel& parent) { parent.pause(); }};
    for (const backend use : backends())
        for (const pid_t pid : {::getpid(), other.pid()}) {
            const maps of = need(maps::open(pid, {.use = use}));
            normalizer n{{.build_ids = true, .elf_addresses = true}};
            const std::array addresses{vdso + 1000, vdso};
            for (int again = 0; again < 2; ++again) {
                const auto got = need(n.normalize(of, addresses));
                REQUIRE(got.files.size() == 1);
                CHECK(got.files[0].path == "[vdso]");
                CHECK(got.files[0].build_id_known);
                CHECK(got.files[0].build_id == expected);
                CHECK(got.files[0].build_id.source() == build_id_source::memory);
                CHECK(got.locations[0].offset == 1000);
                CHECK(got.locations[0].elf_address_known);
                CHECK(got.locations[0].elf_address == 1000);
            }
            CHECK(n.file_reads() == 0);
        }
}

TEST_CASE("memory without a file says what it is") {
    char* const anonymous = map_pages(3);
    ::munmap(anonymous + page, page);
    const std::vector<char> heap(100);
    const char on_stack = 0;
    for (const backend use : backends()) {
        const maps self = need(maps::open_self({.use = use}));
        std::vector<std::uint64_t> addresses{support::address_of(anonymous), support::address_of(anonymous + page),
                                             support::address_of(heap.data()), support::address_of(&on_stack), 0, UINT64_MAX};
        for (const record& r : walk_all(self, {.names = true}).records)
            if (r.name == "[vvar]") addresses.push_back(r.start);
        normalizer n{{.build_ids = true, .elf_addresses = true}};
        const auto got = need(n.normalize(self, addresses));
        CHECK(got.complete());
        CHECK(got.files.empty());
        const reason expected[] = {reason::not_file_backed, reason::not_mapped, reason::not_file_backed,
                                   reason::not_file_backed, reason::not_mapped, reason::not_mapped,
                                   reason::special};
        for (std::size_t i = 0; i < addresses.size(); ++i) {
            INFO(i);
            CHECK(got.locations[i].reason == expected[i]);
            CHECK_FALSE(got.locations[i]);
        }
    }
    ::munmap(anonymous, 3 * page);
}

}  // namespace
