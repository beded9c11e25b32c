// Files mapped as data, also where another image would begin.
#include "described.hpp"
#include "program_builder.hpp"
#include "agent.hpp"
#include "comparison.hpp"
#include "images.hpp"
#include "../support/memory.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <vector>

#include <doctest/doctest.h>

using namespace support;
using namespace std::string_literals;

namespace {

/// The distances between the load biases that a library's segments leave possible.
std::vector<std::uint64_t> shifts_of(const library& l) {
    const auto& loads = loads_of(l.file);
    std::vector<std::uint64_t> all;
    for (const load& a : loads)
        for (const load& b : loads)
            if (a.address - a.offset > b.address - b.offset) all.push_back((a.address - a.offset) - (b.address - b.offset));
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
}

TEST_CASE("the first page of the file mapped as data where another image would begin") {
    NEEDS_TOOLS();
    const auto all = some_libraries();
    tally sum;
    for (std::size_t which = 0; which < 4; ++which)
        for (const bool above : {false, true})
            sum += compare_changed(all, expect::right_if_any, [&](agent& a, const library& l, const image& i) {
                const auto shifts = shifts_of(l);
                if (which >= shifts.size()) return;
                const std::uint64_t at = i.bias + first_page(l) + (above ? shifts[which] : -shifts[which]);
                const auto vmas = vmas_of(a.pid());
                if (const vma* v = find(vmas, at); v == nullptr || v->file.empty())
                    a.map(at, page, l.file, loads_of(l.file)[0].first_offset());
            });
    report(sum);
}

TEST_CASE("the first page of the file mapped as data below an image, and asked about together with it") {
    NEEDS_TOOLS();
    tally sum;
    for (std::size_t which = 0; which < 4; ++which) {
        agent a{agent_program()};
        std::vector<image> images;
        std::vector<sample> samples;
        const auto all = some_libraries();
        for (const library& l : all) {
            const auto shifts = shifts_of(l);
            if (which >= shifts.size()) continue;
            const load& first = loads_of(l.file).front();
            images.push_back(load_at(a, l, a.anonymous(0, span_of(l) + 2 * room) + room));
            const std::uint64_t at = images.back().bias + first.first() - shifts[which];
            a.map(at, page, l.file, first.first_offset());
            for (const sample& s : data_samples(l, at, first.first_offset(), page))
                if (first.holds(s.elf_address)) samples.push_back(s);
        }
        const auto of_images = samples_of(a.pid(), images);
        samples.insert(samples.end(), of_images.begin(), of_images.end());
        sum += ask_about(a.pid(), samples, expect::right_if_any);
    }
    report(sum);
}

TEST_CASE("the first page of the file mapped as data below an image that lacks its first or last segment") {
    NEEDS_TOOLS();
    tally sum;
    for (const bool last : {false, true})
        for (std::size_t which = 0; which < 4; ++which)
            sum += compare_changed(libraries(std::array{sizes[0], sizes[3]}, layouts, "", false), expect::right_if_any,
                                   [&](agent& a, const library& l, const image& i) {
                                       const auto shifts = shifts_of(l);
                                       if (which >= shifts.size()) return;
                                       const load& s = last ? loads_of(l.file).back() : loads_of(l.file).front();
                                       a.unmap(i.bias + s.first(), s.end() - s.first());
                                       a.map(i.bias + first_page(l) - shifts[which], page, l.file,
                                             loads_of(l.file)[0].first_offset());
                                   });
    report(sum);
}

TEST_CASE("a symbolizer that maps the first page of a library right below it") {
    NEEDS_TOOLS();
    const auto all = libraries(std::array{sizes[0], sizes[3]}, layouts, "", false);
    report(compare_changed(all, expect::known, [&](agent& a, const library& l, const image& i) {
        a.map(i.bias + first_page(l) - page, page, l.file, loads_of(l.file)[0].first_offset());
    }));
}

TEST_CASE("other images and data of the same file directly below and above an image") {
    NEEDS_TOOLS();
    const auto all = some_libraries();
    tally sum;
    for (const std::uint64_t gap : {std::uint64_t{0}, std::uint64_t{page}})
        for (const char* what : {"images", "whole files", "last pages"})
            sum += compare_changed(all, expect::right_if_any, [&](agent& a, const library& l, const image& i) {
                const std::uint64_t size = (std::filesystem::file_size(l.file) + page - 1) / page * page;
                const std::uint64_t begin = i.bias + first_page(l);
                const std::uint64_t end = i.bias + loads_of(l.file).back().end();
                const std::uint64_t file_end = loads_of(l.file).back().end() - first_page(l);
                if (what == "images"s) {
                    load_at(a, l, begin - gap - file_end);
                    load_at(a, l, end + gap);
                } else if (what == "whole files"s) {
                    a.map(begin - gap - size, size, l.file, 0);
                    a.map(end + gap, size, l.file, 0);
                } else {
                    a.map(begin - gap - page, page, l.file, size - page);
                    a.map(end + gap, page, l.file, size - page);
                }
            });
    report(sum);
}

TEST_CASE("a whole file that is mapped as data: each byte of a segment has its address there") {
    NEEDS_TOOLS();
    agent a{agent_program()};
    std::vector<sample> samples;
    const auto all = some_libraries();
    for (const library& l : all) {
        const std::uint64_t size = (std::filesystem::file_size(l.file) + page - 1) / page * page;
        const std::uint64_t at = a.anonymous(0, size + 2 * room) + room;
        a.map(at, size, l.file, 0);
        const auto more = data_samples(l, at, 0, size);
        samples.insert(samples.end(), more.begin(), more.end());
    }
    // Not known where the whole file fits into the pages of two segments, each of which it could be.
    const tally t = ask_about(a.pid(), samples, expect::right_if_any);
    CHECK(t.unknown < t.answers / 20);
    report(t);
}

TEST_CASE("any pages of a file that are mapped as data") {
    NEEDS_TOOLS();
    agent a{agent_program()};
    tally sum;
    const auto all = some_libraries();
    for (const std::uint64_t pages : {1u, 2u, 3u}) {
        std::vector<sample> samples;
        for (const library& l : all) {
            const std::uint64_t size = (std::filesystem::file_size(l.file) + page - 1) / page * page;
            if (size > 64 * page) continue;
            std::uint64_t at = a.anonymous(0, size / page * 5 * page + 2 * room) + room;
            for (std::uint64_t offset = 0; offset + pages * page <= size; offset += page, at += (pages + 1) * page) {
                a.map(at, pages * page, l.file, offset);
                const auto more = data_samples(l, at, offset, pages * page);
                samples.insert(samples.end(), more.begin(), more.end());
            }
        }
        const tally t = ask_about(a.pid(), samples, expect::right_if_any);
        CHECK(t.unknown < t.answers);  // a page that two segments share could be of either
        sum += t;
    }
    report(sum);
}

}  // namespace
