// Compares the library's ELF addresses with those of nm and readelf.
#pragma once

#include "described.hpp"
#include "agent.hpp"
#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/raw_maps.hpp"
#include "../support/skipping.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>

namespace support {

using procmap::backend;
using procmap::maps;
using procmap::normalizer;

struct tally {
    long symbols = 0, answers = 0, wrong = 0, unknown = 0;
    tally& operator+=(const tally& other) {
        symbols += other.symbols, answers += other.answers, wrong += other.wrong, unknown += other.unknown;
        return *this;
    }
};
inline tally total;

enum class expect {
    known,        // every address
    right_if_any  // no wrong one
};

/// An address in memory, and the ELF address there.
struct sample {
    std::uint64_t address, elf_address;
    bool is_symbol;
    const std::string* what;
    const std::string* where;
};

/// Asks about all of them, on both back-ends, with and without build IDs.
inline tally ask_about(pid_t pid, const std::vector<sample>& samples, expect how) {
    if (samples.empty()) return {};  // nor has the process been asked for anything: it may not have called exec yet
    tally sum;
    std::vector<std::uint64_t> addresses;
    for (const sample& s : samples) addresses.push_back(s.address), sum.symbols += s.is_symbol;
    std::string complaints;
    int complained = 0;
    for (const backend b : backends())
        for (const bool ids : {false, true}) {
            const maps of = need(maps::open(pid, {.use = b}));
            REQUIRE(of.backend() == b);
            normalizer n{{.build_ids = ids, .elf_addresses = true}};
            const auto got = need(n.normalize(of, addresses));
            REQUIRE(got.complete());
            for (std::size_t i = 0; i < samples.size(); ++i) {
                const procmap::location& l = got.locations[i];
                const bool wrong = l.elf_address_known && l.elf_address != samples[i].elf_address;
                ++sum.answers;
                sum.wrong += wrong;
                sum.unknown += !l.elf_address_known;
                if ((!wrong && (l.elf_address_known || how == expect::right_if_any)) || complained++ >= 5) continue;
                std::ostringstream text;
                text << std::hex << samples[i].address << ": " << *samples[i].what << " of " << *samples[i].where
                     << " is at ELF address " << samples[i].elf_address << ", not ";
                l.elf_address_known ? text << l.elf_address : text << "unknown";
                complaints += text.str() + (b == backend::text ? " (text)\n" : " (ioctl)\n");
            }
        }
    if (complained != 0) complaints += *slurp(maps_path(pid));
    INFO(complaints);
    CHECK(sum.wrong == 0);
    if (how == expect::known) CHECK(sum.unknown == 0);
    total += sum;
    return sum;
}

inline int reports = 0;

inline void report(const tally& t) {
    ++reports;
    std::printf("%s: %ld symbols compared, %ld answers, %ld wrong, %ld not known\n", test_name(), t.symbols, t.answers, t.wrong,
                t.unknown);
}

/// A file that is loaded, and what is added to its ELF addresses.
struct image {
    std::string file;
    std::uint64_t bias;
    std::string what;
};

/// The symbols of images, and the first and last byte of each segment and of each of its pages: those that are still mapped
/// from the file, where the image has them.
inline std::vector<sample> samples_of(pid_t pid, const std::vector<image>& images) {
    const auto all = vmas_of(pid);
    std::vector<sample> samples;
    for (const image& i : images) {
        const auto& loads = loads_of(i.file);
        const auto add = [&](std::uint64_t value, bool is_symbol, const std::string& what) {
            const auto in = std::find_if(loads.begin(), loads.end(), [&](const load& l) { return l.holds(value); });
            if (in == loads.end()) return;
            const vma* const v = find(all, i.bias + value);
            if (v == nullptr || v->file != i.file ||
                v->offset + (i.bias + value - v->start) - in->first_offset() != value - in->first())
                return;
            samples.push_back({i.bias + value, value, is_symbol, &what, &i.what});
        };
        for (const symbol& s : symbols_of(i.file)) {
            add(s.value, true, s.name);
            if (s.size > 1) add(s.value + s.size - 1, false, s.name);
        }
        for (const load& l : loads) {
            add(l.address, false, i.what);
            add(l.address + l.file_size - 1, false, i.what);
            for (std::uint64_t at = l.first() + page; at < l.end(); at += page)
                add(at, false, i.what), add(at - 1, false, i.what);
        }
    }
    return samples;
}

inline tally compare(const process& of, const std::vector<image>& images, expect how) {
    return ask_about(of.pid(), samples_of(of.pid(), images), how);
}

}  // namespace support
