// Build IDs of every size, in sections only, or absent; and a path that is too long.
#include "files.hpp"
#include "looking.hpp"
#include "../support/calls.hpp"
#include "../support/elf_files.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/mounts.hpp"
#include "../support/printed.hpp"
#include "../support/skipping.hpp"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/location.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>

using namespace support;
using procmap::backend;
using procmap::build_id;
using procmap::build_id_choice;
using procmap::build_id_source;
using procmap::file_state;
using procmap::maps;
using procmap::normalizer;
using procmap::reason;

namespace {

TEST_CASE("a file without a build ID is known to have none") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("text", std::string(2 * page, 'x'));
    dir.write("empty", "");
    std::vector<std::string> files{"text", "empty"};
    if (link_library(dir / "none.so", "none"))
        files.push_back("none.so");
    else
        not_included("a linked library without build ID: no compiler");
    for (const std::string& name : files) {
        const mapped m{dir / name};
        const views v = look_all_ways(::getpid(), m.address());
        for (const seen* s : {&v.file, &v.automatic, &v.text}) {
            INFO(name);
            CHECK(s->resolved);
            CHECK(s->id_known);
            CHECK(s->id.empty());
            CHECK(s->id.source() == build_id_source::none);
            CHECK(s->state == file_state::linked);
            CHECK(s->elf_address_known == (name == "none.so"));
        }
    }
}

TEST_CASE("build IDs of 8, 16, 20 and 32 bytes are found, those that the kernel does not return in the file") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    const std::string digits = "00112233445566778899aabbccddeeff0123456789abcdef0f1e2d3c4b5a6978";
    const build_id_source way = is_root() ? build_id_source::map_files : build_id_source::root_path;
    for (const std::size_t size : {std::size_t{8}, std::size_t{16}, std::size_t{20}, std::size_t{32}}) {
        INFO(size);
        const std::string hex = digits.substr(0, 2 * size);
        if (!link_library(dir / hex, "0x" + hex)) SKIP("no compiler");
        CHECK(readelf_ids({dir / hex})[dir / hex] == hex);
        const mapped m{dir / hex};
        const views v = look_all_ways(::getpid(), m.address());
        for (const seen* s : {&v.file, &v.automatic, &v.text}) {
            CHECK(s->id_known);
            CHECK(hex_of(s->id) == hex);
        }
        CHECK(v.file.id.source() == way);
        CHECK(v.text.id.source() == way);
        CHECK(v.automatic.id.source() == (kernel_ids() && size <= 20 ? build_id_source::kernel : way));
        if (!kernel_ids()) continue;
        const seen by_kernel = look(need(maps::open_self()), m.address(), build_id_choice::kernel);
        CHECK(by_kernel.id_known == (size <= 20));  // that the kernel gives none does not say that there is none
        CHECK(hex_of(by_kernel.id) == (size <= 20 ? hex : ""));
        CHECK(by_kernel.state == file_state::linked);
    }
}

/// The same as small_elf, but the note is named by a section header alone.
std::string elf_with_section(std::string_view id) {
    std::string file = small_elf(id);
    auto* const head = reinterpret_cast<Elf64_Ehdr*>(file.data());
    auto* const segments = reinterpret_cast<Elf64_Phdr*>(file.data() + head->e_phoff);
    Elf64_Shdr section{};
    section.sh_type = SHT_NOTE;
    section.sh_offset = segments[1].p_offset;
    section.sh_size = segments[1].p_filesz;
    section.sh_addralign = 4;
    segments[1].p_type = PT_NULL;
    head->e_shoff = page;
    head->e_shentsize = sizeof section;
    head->e_shnum = 1;
    std::memcpy(file.data() + page, &section, sizeof section);
    return file;
}

TEST_CASE("a build ID that only a section header names is read from the file, and not known from memory") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    for (const std::size_t size : {std::size_t{20}, std::size_t{32}}) {
        const std::string id(size, 's');
        dir.write("lib.so", elf_with_section(id));
        const mapped m{dir / "lib.so"};
        const build_id_source way = is_root() ? build_id_source::map_files : build_id_source::root_path;
        const views v = look_all_ways(::getpid(), m.address());
        for (const seen* s : {&v.file, &v.automatic, &v.text}) {
            CHECK(s->id_known);
            CHECK(hex_of(s->id) == hex_of(id_of(id)));
            CHECK(s->id.source() == way);
            CHECK(s->elf_address_known);
        }
        if (kernel_ids()) CHECK_FALSE(look(need(maps::open_self()), m.address(), build_id_choice::kernel).id_known);
        if (!is_root()) continue;
        const views lost = seen_by_nobody(dir / "lib.so", [&] { replace(dir, "lib.so", small_elf(twenty('b'))); });
        for (const seen* s : {&lost.file, &lost.automatic, &lost.text}) {
            CHECK_FALSE(s->id_known);
            CHECK(s->id.empty());
            CHECK(s->elf_address_known);
        }
    }
}

TEST_CASE("a path over PATH_MAX among good ones is name_unknown, and fails no other") {
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("good", small_elf(twenty('g')));
    const std::string part(250, 'p');
    int at = ::open(dir.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 20; ++i) {
        REQUIRE(::mkdirat(at, part.c_str(), 0755) == 0);
        const int below = ::openat(at, part.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
        ::close(at);
        at = below;
    }
    const int fd = ::openat(at, "deep", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    ::close(at);
    const std::string elf = small_elf(twenty('d'));
    REQUIRE(::write(fd, elf.data(), elf.size()) == static_cast<ssize_t>(elf.size()));
    char* const deep = map_fd(fd);
    ::close(fd);
    REQUIRE(deep != nullptr);
    const mapped good{dir / "good"};
    const std::array addresses{good.address(), support::address_of(deep), good.address() + 1};
    for (const backend use : backends()) {
        normalizer n{{.build_ids = true}};
        const auto got = need(n.normalize(need(maps::open_self({.use = use})), addresses));
        CHECK(got.complete());
        CHECK(got.locations[0].reason == reason::none);
        CHECK(got.locations[2].reason == reason::none);
        REQUIRE(got.locations[1]);
        CHECK(got.locations[1].offset == 0);
        const procmap::mapped_file& lost = got.files[got.locations[1].file];
        if (use == backend::ioctl || lost.path.empty()) CHECK(got.locations[1].reason == reason::name_unknown);
        CHECK(got.files[got.locations[0].file].build_id == id_of(twenty('g')));
        if (is_root()) CHECK(lost.build_id == id_of(twenty('d')));
    }
    ::munmap(deep, file_pages * page);
}

}  // namespace
