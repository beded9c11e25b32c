// Lists the code of this process by file: each file's executable mappings, and their size.
#include <procmap/procmap.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <map>
#include <ranges>
#include <string>
#include <vector>

static void here() {}

int main() {
    if (!procmap::probe().live) return 77;
    const auto self = procmap::maps::open_self();
    if (!self) return std::cerr << self.error() << '\n', 1;

    auto walk = self->walk({.only = procmap::executable, .names = true});
    auto of_files = walk | std::views::filter([](const procmap::mapping& m) { return kind_of(m) == procmap::mapping_kind::file; });
    std::map<std::string, std::vector<procmap::owned_mapping>> by_file;
    for (const procmap::mapping& m : of_files) by_file[std::string{m.name}].emplace_back(m);
    if (!walk.complete()) return std::cerr << walk.error() << '\n', 1;

    for (const auto& [file, code] : by_file) {
        std::uint64_t size = 0;
        for (const procmap::mapping& m : code) size += m.size();
        std::cout << file << ": " << size / 1024 << " kB\n";
        for (const procmap::mapping& m : code) std::cout << "    " << m << '\n';
    }
    const auto& own = by_file[std::filesystem::read_symlink("/proc/self/exe")];
    return std::ranges::any_of(own, [](const procmap::mapping& m) { return m.contains(&here); }) ? 0 : 1;
}
