// Libraries by each linker with each layout, and those of this system; patched and loaded twice.
#include "described.hpp"
#include "program_builder.hpp"
#include "agent.hpp"
#include "comparison.hpp"
#include "images.hpp"
#include "../support/memory.hpp"
#include "../support/skipping.hpp"

#include <sys/mman.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <span>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

#include <doctest/doctest.h>

using namespace support;

namespace {

TEST_CASE("libraries: by each linker with each layout of segments") {
    NEEDS_TOOLS();
    agent a{agent_program()};
    const auto images = open_all(a, libraries(std::array{medium, tiny, sizes[0], sizes[3]}, layouts));
    for (const image& i : images) CHECK_MESSAGE(!samples_of(a.pid(), {i}).empty(), i.what);
    report(compare(a, images, expect::known));
}

TEST_CASE("libraries with large data, with many sections, and of sizes that leave segments one page or several") {
    NEEDS_TOOLS();
    agent a{agent_program()};
    const auto all =
        libraries(std::array{large, many_sections, sizes[1], sizes[2], sizes[4], sizes[5]}, std::span{layouts}.first(2));
    report(compare(a, open_all(a, all), expect::known));
}

TEST_CASE("libraries of 32 bits") {
    NEEDS_TOOLS();
    const std::string program =
        shop().link("-m32 -pie " + shop().agent("-m32 -fPIE") + ' ' + shop().object(tiny, "-m32 -fPIE") + " -ldl", "");
    if (program.empty()) return not_included("no C library of 32 bits");
    agent a{program};
    report(compare(a, open_all(a, libraries(std::array{sizes[0], tiny}, layouts, "-m32", false)), expect::known));
}

TEST_CASE("libraries of this system, by their dynamic symbols") {
    NEEDS_TOOLS();
    agent a{agent_program()};
    for (const char* name :
         {"libm.so.6", "libstdc++.so.6", "libcrypto.so.3", "libssl.so.3", "libz.so.1", "libpython3.11.so.1.0"})
        (void)a.open(name);  // has no anchor
    std::istringstream loaded{a.answer("l 0 0 0 0")};
    std::vector<image> images;
    for (std::string entry; std::getline(loaded, entry, ';');) {
        const auto blank = entry.find(' ');
        const std::string name = blank == std::string::npos ? "" : entry.substr(blank + 1);
        std::error_code none;
        if (!name.starts_with('/')) continue;
        const std::string file = std::filesystem::canonical(name, none);
        images.push_back({file, std::strtoull(entry.c_str(), nullptr, 16), file});
        describe({file}, true);  // most have no other symbols
    }
    const tally t = compare(a, images, expect::known);
    report(t);
    CHECK(images.size() >= 2);
    CHECK(t.symbols > 1000);
}

TEST_CASE("code that is patched, and data that is executable: permissions say nothing") {
    NEEDS_TOOLS();
    agent a{agent_program()};
    const auto images = open_all(a, some_libraries());
    constexpr int protections[] = {PROT_READ | PROT_WRITE | PROT_EXEC, PROT_READ | PROT_WRITE, PROT_NONE, PROT_READ,
                                   PROT_READ | PROT_EXEC};
    std::size_t next = 0;
    for (const image& i : images)
        for (const load& l : loads_of(i.file))
            a.protect(i.bias + l.first(), l.end() - l.first(), PROT_READ | PROT_WRITE | PROT_EXEC);
    tally sum = compare(a, images, expect::known);
    for (const image& i : images)
        for (const load& l : loads_of(i.file))
            for (std::uint64_t at = l.first(); at < l.end(); at += page)
                a.protect(i.bias + at, page, protections[next++ % std::size(protections)]);
    sum += compare(a, images, expect::known);
    report(sum);
}

TEST_CASE("a library that is loaded twice, under one name, two names of one file, and as a copy") {
    NEEDS_TOOLS();
    tally sum;
    const auto all = libraries(std::array{tiny, sizes[3]}, std::span{layouts}.first(1), "", false);
    for (const library& l : all) {
        INFO(l.what);
        const std::string other = l.file + ".link.so", copy = l.file + ".copy.so";
        std::filesystem::create_hard_link(l.file, other);
        std::filesystem::copy_file(l.file, copy);
        const std::uint64_t anchor = value_of(l.file, "anchor");
        agent a{agent_program()};
        std::vector<image> images;
        const auto add = [&](const std::string& file, std::uint64_t at) {
            if (at != 0) images.push_back({file, at - anchor, l.what});
        };
        add(l.file, a.open(l.file));
        add(copy, a.open(copy));
        add(l.file, a.open_apart(l.file));
        add(other, a.open_apart(other));
        CHECK(images.size() >= 2);
        if (images.size() < 4) not_included("no other namespace of the dynamic linker");
        sum += compare(a, images, expect::known);
    }
    report(sum);
}

}  // namespace
