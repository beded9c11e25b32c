// Loads images, and maps files as data.
#pragma once

#include "described.hpp"
#include "program_builder.hpp"
#include "agent.hpp"
#include "comparison.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace support {

/// Loads libraries with dlopen.
inline std::vector<image> open_all(agent& a, const std::vector<library>& all) {
    std::vector<image> images;
    for (const library& l : all) {
        INFO(l.what);
        const std::uint64_t anchor = a.open(l.file);
        REQUIRE(anchor != 0);
        images.push_back({l.file, anchor - value_of(l.file, "anchor"), l.what});
    }
    return images;
}

/// Some libraries of each linker with each layout: few symbols, segments of one page and of several.
inline std::vector<library> some_libraries() {
    return libraries(std::array{tiny, sizes[0], sizes[3]}, layouts, "", false);
}

inline std::uint64_t first_page(const library& l) {
    return loads_of(l.file).front().first();
}

/// What a loader that maps the whole image at first leaves in the holes between segments.
enum class holes { empty, readable, protected_pages };

inline std::uint64_t span_of(const library& l) {
    return loads_of(l.file).back().memory_end() - first_page(l);
}

/// Loads a library so that its first page is `at`.
inline image load_at(agent& a, const library& l, std::uint64_t at, holes h = holes::empty) {
    const auto& loads = loads_of(l.file);
    const std::uint64_t bias = at - first_page(l);
    if (h != holes::empty) a.map(at, span_of(l), l.file, loads.front().first_offset(), loads.front().protection);
    if (h == holes::protected_pages)
        for (std::size_t k = 0; k + 1 < loads.size(); ++k)
            if (loads[k].memory_end() < loads[k + 1].first())
                a.protect(bias + loads[k].memory_end(), loads[k + 1].first() - loads[k].memory_end(), PROT_NONE);
    for (const load& s : loads) {
        if (h == holes::empty || &s != &loads.front())
            a.map(bias + s.first(), s.end() - s.first(), l.file, s.first_offset(), s.protection);
        if (s.memory_end() > s.end()) a.anonymous(bias + s.end(), s.memory_end() - s.end(), s.protection);
    }
    return {l.file, bias, l.what};
}

inline constexpr std::uint64_t room = 16 << 20;  // more than two possible images are apart

/// Loads each library in a region of its own, lets `change(agent, library, image)` do something to it, and compares.
template <class Change>
tally compare_changed(const std::vector<library>& all, expect how, Change change, holes h = holes::empty) {
    agent a{agent_program()};
    std::vector<image> images;
    for (const library& l : all) {
        const std::uint64_t region = a.anonymous(0, span_of(l) + 2 * room);
        images.push_back(load_at(a, l, region + room, h));
        change(a, l, images.back());
    }
    return compare(a, images, how);
}

inline constexpr auto nothing = [](agent&, const library&, const image&) {};

/// The bytes of a file that one segment has, which is mapped as data from `offset` on at `at`.
inline std::vector<sample> data_samples(const library& l, std::uint64_t at, std::uint64_t offset, std::uint64_t length) {
    std::vector<sample> samples;
    const auto& loads = loads_of(l.file);
    const auto add = [&](std::uint64_t value, bool is_symbol, const std::string& what) {
        for (const load& s : loads) {
            const std::uint64_t byte = s.offset + (value - s.address);
            if (value < s.address || value - s.address >= s.file_size || byte < offset || byte - offset >= length) continue;
            if (std::count_if(loads.begin(), loads.end(), [&](const load& o) { return o.has_byte_at(byte); }) == 1)
                samples.push_back({at + (byte - offset), value, is_symbol, &what, &l.what});
        }
    };
    for (const symbol& s : symbols_of(l.file)) add(s.value, true, s.name);
    for (const load& s : loads) {
        add(s.address, false, l.what);
        add(s.address + s.file_size - 1, false, l.what);
    }
    return samples;
}

}  // namespace support
