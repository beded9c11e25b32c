// Applying a difference to one snapshot gives the other.
#include "snapshots.hpp"
#include "../support/calls.hpp"
#include "../support/churn.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/raw_maps.hpp"
#include "../support/records.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <random>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>
#include <procmap/snapshot.hpp>

using namespace support;
using procmap::backend;
using procmap::change;
using procmap::change_kind;
using procmap::mapping;
using procmap::maps;
using procmap::name_state;
using procmap::perm;
using procmap::snapshot;

namespace {

/// What is at each page, in terms that owe nothing to the library's comparison.
struct at_page {
    std::string permissions;
    std::uint64_t inode, major, minor, origin;  // origin: offset minus address, of a file
    std::string name;

    auto backing() const { return std::tuple{inode, major, minor, origin}; }
    bool operator==(const at_page&) const = default;
};
using model = std::map<std::uint64_t, at_page>;

void put(model& to, const mapping& m, std::uint64_t unit) {
    std::string permissions;
    const auto letter = [&](perm p, char c) { permissions += m.permissions.has(p) ? c : '-'; };
    letter(perm::read, 'r'), letter(perm::write, 'w'), letter(perm::execute, 'x'), letter(perm::shared, 's');
    const bool file = m.inode != 0 || m.device.major != 0 || m.device.minor != 0;
    const std::uint64_t origin = file ? m.offset - m.start : 0;
    const at_page what{permissions, m.inode, m.device.major, m.device.minor, origin, std::string{m.name}};
    for (std::uint64_t at = m.start; at < m.end; at += std::min(unit, m.end - at)) to[at] = what;
}

model model_of(const snapshot& s, std::uint64_t unit) {
    model made;
    for (const mapping& m : s) put(made, m, unit);
    return made;
}

/// What raw text says of a range, over whose ends a mapping may reach.
model model_of(const std::string& text, std::uint64_t from, std::uint64_t to) {
    model made;
    for (const raw_line& raw : raw_lines(text)) {
        if (raw.end <= from || raw.start >= to) continue;
        unsigned long long offset = 0, inode = 0;
        unsigned major = 0, minor = 0;
        REQUIRE(std::sscanf(raw.line.c_str(), "%*x-%*x %*s %llx %x:%x %llu", &offset, &major, &minor, &inode) == 4);
        std::string permissions = raw.permissions;
        if (permissions[3] == 'p') permissions[3] = '-';
        const bool file = inode != 0 || major != 0 || minor != 0;
        for (std::uint64_t at = std::max<std::uint64_t>(raw.start, from); at < std::min<std::uint64_t>(raw.end, to); at += page)
            made[at] = {permissions, inode, major, minor, file ? offset - raw.start : 0, raw.name};
    }
    return made;
}

/// Applies changes, each of which must be of its kind at every page.
void apply(model& to, std::span<const change> changes, std::uint64_t unit) {
    std::uint64_t last_end = 0;
    for (const change& c : changes) {
        INFO(c);
        CHECK(c.start >= last_end);
        REQUIRE(c.start < c.end);
        CHECK(c.now.start == c.start);
        CHECK(c.now.end == c.end);
        CHECK(c.size() == c.end - c.start);
        CHECK(c.was.size() == (c.kind == change_kind::mapped ? 0 : c.size()));
        last_end = c.end;
        model piece, before;
        put(piece, c.now, unit), put(before, c.was, unit);
        for (const auto& [at, was] : before) CHECK(to.at(at) == was);
        for (const auto& [at, now] : piece) {
            const auto old = to.find(at);
            const bool there = old != to.end();
            bool right = there == (c.kind != change_kind::mapped);
            if (right && c.kind == change_kind::unmapped) right = old->second == now;
            if (right && c.kind == change_kind::backing) right = old->second.backing() != now.backing();
            if (right && c.kind == change_kind::permissions)
                right = old->second.backing() == now.backing() && old->second.permissions != now.permissions;
            if (right && c.kind == change_kind::name)
                right = old->second.backing() == now.backing() && old->second.permissions == now.permissions &&
                        old->second.name != now.name;
            if (!right) FAIL_CHECK("not such a change at ", at);
            if (c.kind == change_kind::unmapped)
                to.erase(at);
            else
                to[at] = now;
        }
    }
}

TEST_CASE("applying a difference gives the other snapshot: random ones, also at the top of the address space") {
    std::mt19937 random{3};
    const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
    constexpr std::size_t count = 48;
    const auto make = [&](const std::vector<mapping>& at, std::uint64_t base) {
        std::vector<mapping> mappings;
        for (std::size_t i = 0; i < count; ++i) {
            mapping m = at[i];
            if (m.end == 0) continue;
            m.start = base + i * kib4;
            m.end = i + 1 == count && base > UINT64_MAX / 2 ? UINT64_MAX : m.start + kib4;
            if (m.file_backed()) m.offset += i * kib4;
            mapping* const last = mappings.empty() ? nullptr : &mappings.back();
            const bool same = last != nullptr && last->end == m.start && last->permissions == m.permissions &&
                              last->name == m.name && last->inode == m.inode &&
                              (!m.file_backed() || m.offset - m.start == last->offset - last->start);
            if (same && below(4) != 0)
                last->end = m.end;
            else
                mappings.push_back(m);
        }
        return snapshot::from(mappings);
    };
    const auto any = [&] {
        mapping m{.end = below(4) == 0 ? 0u : 1u, .name_status = name_state::exact};
        m.permissions = procmap::permission_set::from_bits(below(2));
        m.inode = below(3);
        m.offset = m.inode == 0 ? 0 : below(2) * kib4 * 100;
        m.name = std::array{"", "/a", "/b"}[m.inode == 0 ? below(2) : 1 + below(2)];
        return m;
    };
    for (int round = 0; round < 3000; ++round) {
        const std::uint64_t base = round % 3 == 0 ? 0 : round % 3 == 1 ? 0x7f0000000000 : UINT64_MAX - count * kib4 + 1;
        std::vector<mapping> at(count);
        for (std::size_t i = 0; i < count;)
            for (auto [m, n] = std::pair{any(), 1 + below(6)}; n != 0 && i < count; --n) at[i++] = m;
        const snapshot a = make(at, base);
        const std::uint32_t edits = below(2) == 0 ? below(4) : below(40);
        for (std::uint32_t n = 0; n < edits; ++n) at[below(count)] = any();
        const snapshot b = make(at, base);
        model applied = model_of(a, kib4);
        const auto changes = procmap::difference(a, b);
        apply(applied, changes, kib4);
        REQUIRE(applied == model_of(b, kib4));
        if (edits == 0) CHECK(changes.empty());
        for (std::size_t i = 1; i < changes.size(); ++i) {
            model pair, before;  // neighbours that say the same would be one change
            put(pair, changes[i - 1].now, kib4), put(pair, changes[i].now, kib4);
            put(before, changes[i - 1].was, kib4), put(before, changes[i].was, kib4);
            const bool same = pair[changes[i - 1].start] == pair[changes[i].start] && before[changes[i - 1].start] == before[changes[i].start];
            const bool adjacent = changes[i - 1].end == changes[i].start && changes[i - 1].kind == changes[i].kind;
            CHECK_FALSE((adjacent && same));
        }
    }
}

TEST_CASE("applying a difference gives the other snapshot: random histories of mmap, munmap, mprotect and mremap") {
    NEEDS_LIVE_MAPS();
    for (const std::uint32_t seed : {4u, 5u, 6u}) {
        for (const backend use : backends()) {
            const arena memory;
            dice to_change{seed};
            std::mt19937 random{seed};
            const maps self = need(maps::open_self({.use = use}));
            const auto text = [&] { return model_of(slurp("/proc/self/maps").value(), memory.start(), memory.end()); };
            snapshot before = need(snapshot::capture(self));
            model was = text();
            std::array<int, 5> kinds{};
            for (int round = 0; round < 100; ++round) {
                for (auto n = random() % 12; n != 0; --n) memory.change(to_change);
                snapshot after = need(snapshot::capture(self));
                const model is = text();
                auto changes = procmap::difference(before, after);
                std::erase_if(changes, [&](const change& c) { return c.end <= memory.start() || c.start >= memory.end(); });
                for (const change& c : changes) ++kinds[static_cast<std::size_t>(c.kind)];
                apply(was, changes, page);
                std::erase_if(was, [&](const auto& at) { return at.first < memory.start() || at.first >= memory.end(); });
                REQUIRE(was == is);
                before = std::move(after);
            }
            for (std::size_t kind = 0; kind < 4; ++kind) CHECK(kinds[kind] > 10);  // nothing here is renamed alone
        }
    }
}

TEST_CASE("applying a difference gives the other snapshot: a recorded pair") {
    const std::string text = slurp(PROCMAP_TEST_DATA "/realistic_10k.maps").value();
    const snapshot a = need(snapshot::parse(text));
    std::vector<mapping> changed;
    std::mt19937 random{7};
    for (mapping m : a) {
        switch (random() % 10) {
            case 0: continue;
            case 1: m.permissions = m.permissions == perm::read ? perm::write : perm::read; break;
            case 2: m.name = "/renamed"; break;
            case 3: m.inode += 1; break;
            default: break;
        }
        changed.push_back(m);
    }
    const snapshot b = snapshot::from(changed);
    const auto changes = procmap::difference(a, b);
    CHECK(changes.size() > 1000);
    // By whole mappings: the file has ones of many gigabytes.
    std::size_t i = 0;
    for (const mapping& m : a) {
        const auto now = b.find(m.start);
        const bool same = now && now->permissions == m.permissions && now->name == m.name && now->inode == m.inode;
        while (i < changes.size() && changes[i].end <= m.start) ++i;
        const bool reported = i < changes.size() && changes[i].start <= m.start;
        if (same == reported) FAIL_CHECK("reported: ", reported, ": ", record{m});
    }
}

}  // namespace
