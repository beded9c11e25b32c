// load_bias() with random layouts and address spaces.
#include "comparison.hpp"
#include "spaces.hpp"
#include "../support/memory.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/load_bias.hpp>

using namespace support;
namespace elf = procmap::elf;
using namespace spaces;

namespace {

/// Pages in memory: what of the file each shows, and a number that is equal for pages that the kernel makes one mapping of.
struct world {
    struct shown {
        std::uint64_t offset;
        int kind;
        bool same_file, of_image;
    };
    std::vector<elf::segment> loads;
    std::uint64_t bias = 0;
    std::map<std::uint64_t, shown> pages;
    int kinds = 100;

    std::vector<std::pair<elf::neighbour, bool>> mappings() const {
        std::vector<std::pair<elf::neighbour, bool>> all;
        int kind = 0;
        for (const auto& [at, p] : pages) {
            if (!all.empty() && all.back().first.end == at && kind == p.kind && all.back().first.same_file == p.same_file &&
                all.back().first.offset + (at - all.back().first.start) == p.offset) {
                all.back().first.end += kb4;
                all.back().second = all.back().second || p.of_image;
            } else {
                all.push_back({{.start = at, .end = at + kb4, .offset = p.offset, .same_file = p.same_file}, p.of_image});
            }
            kind = p.kind;
        }
        return all;
    }
};

class maker {
public:
    explicit maker(unsigned seed) : random_(seed) {}
    std::uint64_t below(std::uint64_t n) { return random_() % n; }

    /// One to five segments, packed or not, of pages of 4 or 64 kB, loaded, with or without more of the file in the holes.
    world image() {
        world w;
        const std::uint64_t step = below(3) == 0 ? 16 * kb4 : kb4;
        std::uint64_t offset = 0, address = below(4) == 0 ? 0x40'0000 : 0;
        const bool are_packed = below(3) != 0;
        for (std::uint64_t k = 0, count = 1 + below(5); k < count; ++k) {
            const std::uint64_t size = 16 * (1 + below(below(2) == 0 ? 40 : 700));
            w.loads.push_back(segment_of(offset, address, size));
            offset += size, address += size;
            if (!are_packed || below(8) == 0) {  // each begins a page of the file, as in memory
                const std::uint64_t padding = -offset % (below(2) == 0 ? kb4 : step);
                offset += padding, address += padding;
                if (offset % kb4 != 0) address += step;
            } else {
                address += step;
            }
        }
        w.bias = base + below(1000) * kb4;
        const std::uint64_t mode = below(3);
        if (mode != 0)
            for (std::uint64_t at = w.loads[0].address / kb4 * kb4; at < w.loads.back().address; at += kb4)
                w.pages[w.bias + at] = {at - w.loads[0].address, mode == 1 ? 0 : 50, true, false};
        for (std::size_t k = 0; k < w.loads.size(); ++k) {
            const auto& s = w.loads[k];
            const int kind = k == 0 ? 0 : static_cast<int>(below(3));
            for (std::uint64_t at = s.address / kb4 * kb4; at < s.address + s.file_size; at += kb4)
                w.pages[w.bias + at] = {s.offset / kb4 * kb4 + (at - s.address / kb4 * kb4), kind, true, true};
        }
        return w;
    }
    /// Pages become mappings of their own.
    void split(world& w) {
        for (auto& [at, p] : w.pages)
            if (below(3) == 0) p.kind = w.kinds++;
    }
    /// Maps data and other files around the image.
    void add_data(world& w) {
        for (std::uint64_t n = 1 + below(6); n > 0; --n) {
            const std::uint64_t first = below(3) == 0 ? 0 : below(8), count = 1 + below(4);
            std::uint64_t at = w.bias + w.loads[0].address + (below(2) == 0 ? -kb4 * (1 + below(3)) : (below(80) - 40) * kb4);
            const int kind = w.kinds++;
            const bool same_file = below(5) != 0;
            for (std::uint64_t p = 0; p < count; ++p, at += kb4)
                w.pages.try_emplace(at, world::shown{(first + p) * kb4, kind, same_file, false});
        }
    }
    void take_away(world& w) {
        if (below(2) == 0) {
            const auto& s = w.loads[below(w.loads.size())];
            for (std::uint64_t at = s.address / kb4 * kb4; at < s.address + s.file_size; at += kb4) w.pages.erase(w.bias + at);
        } else {
            std::erase_if(w.pages, [&](const auto&) { return below(4) == 0; });
        }
    }

private:
    std::mt19937_64 random_;
};

struct outcome {
    long right = 0, wrong = 0, unknown = 0;
};

/// Asks about the bytes that segments have in each mapping of the image.
outcome judge(const world& w) {
    outcome sum;
    const auto all = w.mappings();
    const auto next = [&](std::uint64_t address, elf::neighbour& n) {
        const auto at =
            std::upper_bound(all.begin(), all.end(), address, [](std::uint64_t a, const auto& m) { return a < m.first.end; });
        if (at == all.end()) return false;
        n = at->first;
        return true;
    };
    for (const auto& [m, of_image] : all) {
        if (!of_image) continue;
        const auto maybe = elf::load_bias(w.loads, m.start, m.end, m.offset, kb4, next);
        const auto certain = elf::load_bias(w.loads, m.start, m.end, m.offset, kb4, next, true);
        for (const auto& s : w.loads)
            for (const std::uint64_t value : {s.address, s.address + s.file_size / 2, s.address + s.file_size - 1}) {
                const std::uint64_t address = w.bias + value;
                if (address < m.start || address >= m.end || !w.pages.at(address / kb4 * kb4).of_image) continue;
                for (const auto& p : {maybe, certain}) {
                    std::uint64_t found = 0;
                    const bool known = elf::address_of(w.loads, p, address, m.offset + (address - m.start), kb4, found);
                    ++(!known ? sum.unknown : found == value ? sum.right : sum.wrong);
                }
            }
    }
    return sum;
}

TEST_CASE("random images: every byte is known, whatever the layout and the loader") {
    maker make{1};
    outcome sum;
    for (int i = 0; i < 20'000; ++i) {
        world w = make.image();
        if (i % 2 == 0) make.split(w);
        const outcome o = judge(w);
        sum.right += o.right, sum.wrong += o.wrong, sum.unknown += o.unknown;
    }
    std::printf("random images: %ld right, %ld wrong, %ld not known\n", sum.right, sum.wrong, sum.unknown);
    CHECK(sum.wrong == 0);
    CHECK(sum.unknown == 0);
    CHECK(sum.right > 100'000);
}

TEST_CASE("random images with data of the same file around them, or with pages missing: no byte has a wrong address") {
    maker make{2};
    for (const bool missing : {false, true}) {
        outcome sum;
        for (int i = 0; i < 40'000; ++i) {
            world w = make.image();
            missing ? make.take_away(w) : make.add_data(w);
            if (i % 3 == 0) make.split(w);
            const outcome o = judge(w);
            sum.right += o.right, sum.wrong += o.wrong, sum.unknown += o.unknown;
        }
        std::printf("random images with %s: %ld right, %ld wrong, %ld not known\n",
                    missing ? "pages missing" : "data around them", sum.right, sum.wrong, sum.unknown);
        CHECK(sum.wrong == 0);
        CHECK(sum.right > sum.unknown);
    }
}

}  // namespace
