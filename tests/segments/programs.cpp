// Programs, position independent or not, dynamic or static, by each linker.
#include "described.hpp"
#include "program_builder.hpp"
#include "agent.hpp"
#include "comparison.hpp"
#include "../support/skipping.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace support;

namespace {

struct program_kind {
    const char* compile;
    const char* link;
};
constexpr program_kind program_kinds[] = {
    {"-fPIE", "-pie"},
    {"-fno-pie", "-no-pie"},
    {"-fPIE -DALONE", "-static-pie"},
    {"-fno-pie -DALONE", "-static"},
};

tally compare_programs(const source& s, std::span<const char* const> options, const std::string& machine = "") {
    tally sum;
    std::vector<std::string> commands, how;
    for (const std::string linker : linkers) {
        if (!has_linker(linker)) {
            not_included("no linker " + linker);
            continue;
        }
        for (const program_kind& kind : program_kinds)
            for (const char* const option : options) {
                const std::string compile = machine + ' ' + kind.compile;
                how.push_back(machine + ' ' + kind.link + " -fuse-ld=" + linker + ' ' + option);
                commands.push_back(how.back() + ' ' + shop().agent(compile) + ' ' + shop().object(s, compile));
            }
    }
    const auto files = shop().link_all(commands, "");
    std::vector<std::string> there;
    std::copy_if(files.begin(), files.end(), std::back_inserter(there), [](const std::string& file) { return !file.empty(); });
    describe(there);
    for (std::size_t i = 0; i < how.size(); ++i) {
        if (files[i].empty()) {
            not_included("does not link: " + how[i]);
            continue;
        }
        INFO(how[i]);
        agent a{files[i]};
        if (!a.runs()) {  // lld's -static-pie of 32 bits crashes before main
            not_included("does not run: " + how[i]);
            continue;
        }
        const std::uint64_t bias = a.anchor() - value_of(files[i], "anchor");
        const tally t = compare(a, {{files[i], bias, how[i]}}, expect::known);
        CHECK(t.symbols > 8 * s.count);
        sum += t;
    }
    return sum;
}

TEST_CASE("programs: position independent or not, dynamic or static, by each linker and with each page size") {
    NEEDS_TOOLS();
    report(compare_programs(medium, std::array{"", "-Wl,-z,max-page-size=65536", "-Wl,-z,max-page-size=0x200000"}));
}

TEST_CASE("programs with large data, with many sections, without RELRO, and with a stack that is executable") {
    NEEDS_TOOLS();
    tally sum = compare_programs(large, std::array{"-Wl,-z,norelro"});
    sum += compare_programs(many_sections, std::array{"-Wl,-z,execstack"});
    report(sum);
}

TEST_CASE("programs of 32 bits") {
    NEEDS_TOOLS();
    if (shop().link("-m32 " + shop().agent("-m32 -DALONE") + ' ' + shop().object(tiny, "-m32"), "").empty())
        return not_included("no C library of 32 bits");
    report(compare_programs(sizes[0], std::array{"", "-Wl,-z,max-page-size=65536"}, "-m32"));
}

TEST_CASE("programs with copies of a library's constants") {
    NEEDS_TOOLS();
    const std::string object =
        shop().compile("constants", "extern const int there[]; const int there[700] = {1, 2}; int anchor;", "-fPIC");
    const std::string program =
        shop().compile("copies", "extern const int there[700]; int elsewhere(int i) { return there[i]; }", "-fno-pie");
    tally sum;
    for (const std::string linker : linkers) {
        if (!has_linker(linker)) continue;
        const std::string of = shop().link("-shared -fuse-ld=" + linker + ' ' + object, ".so");
        const std::string how = "-no-pie -fuse-ld=" + linker;
        const std::string objects =
            ' ' + shop().agent("-fno-pie") + ' ' + program + ' ' + shop().object(sizes[0], "-fno-pie") + ' ';
        const std::string file = of.empty() ? "" : shop().link(how + objects + of, "");
        if (file.empty()) {
            not_included("does not link: " + how);
            continue;
        }
        (void)value_of(file, "there");
        agent a{file};
        sum += compare(a, {{file, a.anchor() - value_of(file, "anchor"), how}}, expect::known);
    }
    report(sum);
}

}  // namespace
