// Real files and objects, compared with readelf.
#include "made_files.hpp"
#include "../support/printed.hpp"
#include "../support/tools.hpp"

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/detail/image_facts.hpp>
#include <procmap/load_bias.hpp>

using namespace support;
using procmap::build_id;
using procmap::build_id_source;
namespace elf = procmap::elf;

namespace {

std::vector<std::byte> contents(const std::string& path) {
    std::ifstream in{path, std::ios::binary};
    const std::string text{std::istreambuf_iterator<char>{in}, {}};
    const auto bytes = std::as_bytes(std::span{text});
    return {bytes.begin(), bytes.end()};
}

/// Programs and shared libraries of this machine: those with program headers.
std::vector<std::string> real_files(std::size_t at_most) {
    std::vector<std::string> files;
    for (const char* directory : {"/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
                                  "/usr/lib/riscv64-linux-gnu", "/usr/lib64", "/usr/lib"}) {
        std::error_code ignored;
        std::size_t here = 0;
        for (const auto& entry : std::filesystem::directory_iterator{directory, ignored}) {
            if (here >= at_most || !entry.is_regular_file(ignored) || entry.file_size(ignored) > 8'000'000) continue;
            const std::string path = entry.path();
            char head[18] = {};
            std::ifstream{path, std::ios::binary}.read(head, sizeof head);
            const bool loaded = head[16] == 2 || head[16] == 3 || head[17] == 2 || head[17] == 3;  // ET_EXEC, ET_DYN
            if (std::memcmp(head, "\x7f""ELF", 4) != 0 || !loaded || path.find('\'') != std::string::npos) continue;
            files.push_back(path);
            ++here;
        }
    }
    return files;
}

std::string arguments(const std::vector<std::string>& files) {
    std::string words = " /dev/null";  // of more than one file, readelf prints the names
    for (const std::string& f : files) words += " '" + f + '\'';
    return words;
}

TEST_CASE("the build IDs of real files are those that readelf prints") {
    const auto files = real_files(600);
    std::map<std::string, std::string> expected;
    std::istringstream lines{output_of("readelf -nW" + arguments(files) + " 2>/dev/null")};
    std::string line, current;
    while (std::getline(lines, line)) {
        if (line.starts_with("File: ")) current = line.substr(6);
        if (const auto at = line.find("Build ID: "); at != std::string::npos)
            expected.try_emplace(current, line.substr(at + 10));
    }
    if (expected.empty()) {
        std::printf("NOT INCLUDED: no readelf here, or no ELF files\n");
        return;
    }
    for (const std::string& f : files) {
        std::byte id[build_id::capacity];
        const auto bytes = contents(f);
        INFO(f);
        CHECK(printed(build_id{std::span{id}.first(read_id(bytes, id))}) == expected[f]);
    }
    std::printf("%zu files, %zu build IDs compared\n", files.size(), expected.size());
}

TEST_CASE("the build IDs of objects, which only sections have, are those that readelf prints") {
    char directory[] = "/tmp/procmap.elf.XXXXXX";
    REQUIRE(::mkdtemp(directory) != nullptr);
    const std::string d = directory;
    const std::string make =
        "cd " + d + " && echo 'int one(void) { return 1; }' > one.c && echo 'int two(void) { return 2; }' > two.c && "
        "printf '%s\\n' '.section .note.gnu.build-id,\"\",%note' '.balign 4' '.long 4, 20, 3' '.asciz \"GNU\"' '.fill 20, 1, 0x5a' > id.s && "
        "printf '%s\\n' '.section .note.other,\"\",%note' '.balign 4' '.long 4, 32, 3' '.asciz \"GNU\"' '.fill 32, 1, 0x6b' > long.s && "
        "cc -c one.c -o one.o && cc -c id.s -o id.o && cc -c long.s -o long.o && "
        "ld -r --build-id one.o -o linked.o && ld -r one.o id.o -o joined.o && ld -r long.o id.o -o both.o && ld -r one.o long.o -o longer.o && "
        "cc -shared -nostdlib -Wl,--build-id -o lib.so one.o && objcopy --only-keep-debug lib.so lib.debug";
    if (std::system(("{ " + make + "; } >/dev/null 2>&1").c_str()) != 0) {
        std::printf("NOT INCLUDED: no compiler or linker\n");
    } else {
        // A library whose program headers no longer name the note.
        auto bytes = contents(d + "/lib.so");
        const bool wide = bytes[4] == std::byte{2};
        std::uint64_t at = 0;
        std::uint16_t count = 0;
        std::memcpy(&at, bytes.data() + (wide ? 32 : 28), wide ? 8 : 4);  // of this machine's byte order
        std::memcpy(&count, bytes.data() + (wide ? 56 : 44), 2);
        for (; count > 0; --count, at += wide ? 56 : 32)
            if (std::uint32_t type = 0; std::memcpy(&type, &bytes[static_cast<std::size_t>(at)], 4), type == 4)
                std::memset(&bytes[static_cast<std::size_t>(at)], 0, 4);
        std::ofstream{d + "/patched.so", std::ios::binary}.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        int compared = 0;
        for (const char* name : {"one.o", "id.o", "long.o", "linked.o", "joined.o", "longer.o", "both.o", "lib.so", "lib.debug", "patched.so"}) {
            const std::string file_name = d + '/' + name;
            std::istringstream lines{output_of("readelf -nW " + file_name + " 2>/dev/null")};
            std::string line, expected;
            while (std::getline(lines, line))
                if (const auto key = line.find("Build ID: "); key != std::string::npos)
                    if (expected.empty() || (expected.size() > 40 && line.size() - key - 10 <= 40)) expected = line.substr(key + 10);
            const auto file_bytes = contents(file_name);
            procmap::detail::image_facts facts;
            INFO(file_name);
            CHECK(procmap::detail::read_image(whole_file{file_bytes}, build_id_source::root_path, facts));
            CHECK(facts.id_known);
            CHECK(printed(facts.id) == expected);
            CHECK(expected.empty() == (std::string_view{name} == "one.o"));
            compared += !expected.empty();
        }
        std::printf("%d build IDs of objects compared\n", compared);
        CHECK(compared == 9);
    }
    std::filesystem::remove_all(d);
}

TEST_CASE("the ELF address of a byte of a file is as readelf's program headers say") {
    const auto files = real_files(60);
    struct load {
        unsigned long long offset, address, size;
    };
    std::map<std::string, std::vector<load>> expected;
    std::istringstream lines{output_of("readelf -lW" + arguments(files) + " 2>/dev/null")};
    std::string line, current;
    while (std::getline(lines, line)) {
        if (line.starts_with("File: ")) current = line.substr(6);
        load l{};
        if (std::sscanf(line.c_str(), " LOAD 0x%llx 0x%llx 0x%*x 0x%llx", &l.offset, &l.address, &l.size) == 3 && l.size != 0)
            expected[current].push_back(l);
    }
    std::mt19937_64 random{2};
    int compared = 0;
    for (const auto& entry : expected) {
        const auto& f = entry.first;
        const auto& loads = entry.second;
        const auto bytes = contents(f);
        const elf::bytes_source source{bytes};
        const elf::image image{source};
        std::vector<elf::segment> segments;
        elf::segment s;
        for (std::uint32_t i = 0; i < image.segments() && image.segment_at(i, s); ++i) segments.push_back(s);
        for (const load& l : loads)
            for (int i = 0; i < 50; ++i) {
                const std::uint64_t inside = i == 0 ? 0 : i == 1 ? l.size - 1 : random() % l.size;
                std::uint64_t address = 0;
                INFO(f);
                CHECK(elf::address_in_file(segments, l.offset + inside, address));
                CHECK(address == l.address + inside);
                ++compared;
            }
    }
    std::printf("%d ELF addresses compared\n", compared);
}

}  // namespace
