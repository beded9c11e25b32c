// What readelf and nm report of a file.
#pragma once

#include "../support/memory.hpp"
#include "../support/tools.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

namespace support {

using namespace std::string_literals;

/// A PT_LOAD by readelf.
struct load {
    std::uint64_t offset, address, file_size, memory_size;
    int protection;
    std::uint64_t first() const { return address - address % page; }                               // page in memory
    std::uint64_t first_offset() const { return offset - offset % page; }                          // page in the file
    std::uint64_t end() const { return (address + file_size + page - 1) / page * page; }           // of the file's pages
    std::uint64_t memory_end() const { return (address + memory_size + page - 1) / page * page; }  // with .bss
    bool holds(std::uint64_t value) const { return value >= first() && value < end(); }            // in its pages
    bool has_byte_at(std::uint64_t at) const { return at >= offset && at - offset < file_size; }
};

struct symbol {
    std::string name;
    std::uint64_t value, size;
};

/// What readelf and nm say of a file.
struct described {
    std::vector<load> loads;  // the PT_LOADs that have bytes in the file
    std::vector<symbol>
        symbols;  // those that have an address: neither undefined nor absolute, and no offset in thread-local storage
};
inline std::map<std::string, described> all_described;

/// Asks readelf and nm about many files at once.
inline void describe(const std::vector<std::string>& files, bool dynamic = false) {
    std::string names;
    for (const std::string& file : files)
        if (all_described.try_emplace(file).second) names += " '" + file + '\'';
    if (names.empty()) return;
    std::string line;
    described* of = nullptr;
    for (std::istringstream lines{output_of("readelf -lW /dev/null" + names + " 2>/dev/null")}; std::getline(lines, line);) {
        if (line.starts_with("File: ")) of = &all_described[line.substr(6)];  // printed of more than one
        unsigned long long offset = 0, address = 0, file_size = 0, memory_size = 0;
        int flags = 0;
        if (std::sscanf(line.c_str(), " LOAD %llx %llx %*x %llx %llx %n", &offset, &address, &file_size, &memory_size, &flags) <
            4)
            continue;
        const std::string letters = line.substr(static_cast<std::size_t>(flags), 3);
        const auto has = [&](char c, int protection) { return letters.find(c) != std::string::npos ? protection : 0; };
        const int protection = has('R', PROT_READ) | has('W', PROT_WRITE) | has('E', PROT_EXEC);
        if (file_size != 0) of->loads.push_back({offset, address, file_size, memory_size, protection});
    }
    for (std::istringstream lines{
             output_of("nm --format=sysv --defined-only "s + (dynamic ? "-D" : "") + names + " 2>/dev/null")};
         std::getline(lines, line);) {
        constexpr std::string_view head = "Symbols from ";
        if (line.starts_with(head)) of = &all_described[line.substr(head.size(), line.size() - head.size() - 1)];
        std::vector<std::string> fields;
        std::istringstream cells{line};
        for (std::string cell; std::getline(cells, cell, '|');) {
            const auto begin = std::min(cell.find_first_not_of(' '), cell.size());
            fields.push_back(cell.substr(begin, cell.find_last_not_of(' ') + 1 - begin));
        }
        if (fields.size() < 7 || fields[2].size() != 1 || fields[3] == "TLS" ||
            "aANnUw?-"s.find(fields[2]) != std::string::npos)
            continue;
        of->symbols.push_back(
            {fields[0], std::strtoull(fields[1].c_str(), nullptr, 16), std::strtoull(fields[4].c_str(), nullptr, 16)});
    }
}

inline const std::vector<load>& loads_of(const std::string& file) {
    return describe({file}), all_described[file].loads;
}
inline const std::vector<symbol>& symbols_of(const std::string& file) {
    return describe({file}), all_described[file].symbols;
}

inline std::uint64_t value_of(const std::string& file, const std::string& name) {
    for (const symbol& s : symbols_of(file))
        if (s.name == name) return s.value;
    FAIL("no symbol " << name << " in " << file);
    return 0;
}

}  // namespace support
