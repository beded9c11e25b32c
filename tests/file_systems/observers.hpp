// Processes that ask about addresses in every way, as root or as an unprivileged user.
#pragma once

#include "../support/machine.hpp"
#include "../support/processes.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/cached_maps.hpp>
#include <procmap/location.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>
#include <procmap/result.hpp>
#include <procmap/snapshot.hpp>

namespace support {

using procmap::backend;
using procmap::build_id;
using procmap::build_id_choice;
using procmap::cached_maps;
using procmap::file_state;
using procmap::mapping;
using procmap::maps;
using procmap::normalizer;

enum class asking : unsigned char { find, walk, capture, cache, normalize };

/// One way to ask.
struct way {
    asking by = asking::find;
    backend use = backend::text;
    build_id_choice from = build_id_choice::automatic;
    bool elf = false;       // with ELF addresses
    bool fresh = false;     // nothing is remembered
    bool alone = false;     // one address in each call
    bool one_file = false;  // at most one file is remembered
    [[nodiscard]] bool remembers() const { return by == asking::cache || (by == asking::normalize && !fresh); }
    [[nodiscard]] bool looks_at_files() const { return by > asking::walk && (elf || from != build_id_choice::kernel); }
    friend auto operator<=>(const way&, const way&) = default;
};

inline std::string name_of(const way& w) {
    constexpr const char* by[] = {"find", "walk", "capture", "cached_maps", "normalizer"};
    constexpr const char* from[] = {"automatic", "kernel", "file"};
    static_assert(static_cast<int>(build_id_choice::file) == 2);
    return std::string{w.use == backend::ioctl ? "ioctl" : "text"} + ' ' + by[static_cast<int>(w.by)] + ' ' +
           from[static_cast<int>(w.from)] + (w.elf ? " elf" : "") + (w.fresh ? " fresh" : "") + (w.alone ? " alone" : "") +
           (w.one_file ? " one_file" : "");
}

/// What it says of one address, as a value that a child can send.
struct answer {
    bool resolved = false;
    bool id_known = false;
    bool elf_known = false;
    file_state state = file_state::unknown;
    std::uint32_t file = 0;  // in one call, equal numbers are one file
    std::uint64_t offset = 0;
    std::uint64_t elf_address = 0;
    build_id id{};
    char path[320] = {};
};

struct report {
    way how;
    std::uint32_t call = 0;     // which call this is of
    std::uint32_t address = 0;  // which address
    answer said;
};

struct question {
    pid_t pid = 0;
    bool again = false;  // only those who remember
    bool one_way = false;
    way only{};
    std::uint32_t count = 0;
    std::uint64_t addresses[64] = {};
};

inline std::vector<way> all_ways() {
    std::vector<way> ways;
    for (const backend use : {backend::ioctl, backend::text}) {
        ways.push_back({.by = asking::find, .use = use});
        ways.push_back({.by = asking::walk, .use = use});
        for (const build_id_choice from : {build_id_choice::automatic, build_id_choice::file, build_id_choice::kernel}) {
            ways.push_back({.by = asking::capture, .use = use, .from = from});
            for (const bool one_file : {false, true})
                ways.push_back({.by = asking::cache, .use = use, .from = from, .one_file = one_file});
            for (const bool elf : {false, true}) {
                ways.push_back({.by = asking::normalize, .use = use, .from = from, .elf = elf});
                if (elf) ways.push_back({.by = asking::normalize, .use = use, .from = from, .elf = elf, .fresh = true});
                if (elf)
                    ways.push_back(
                        {.by = asking::normalize, .use = use, .from = from, .elf = elf, .fresh = true, .alone = true});
                ways.push_back({.by = asking::normalize, .use = use, .from = from, .elf = elf, .one_file = true});
            }
        }
    }
    return ways;
}

/// Asks in every way, and remembers from one question to the next, of any number of processes. Nothing is asserted.
class asker {
public:
    std::vector<report> look(const question& q) {
        std::vector<report> reports;
        desk& d = desk_of(q.pid);
        const std::span addresses{q.addresses, q.count};
        for (const way& w : q.one_way ? std::vector{q.only} : all_ways()) {
            if ((w.use == backend::ioctl && !kernel_has_ioctl()) || (q.again && !w.remembers())) continue;
            const auto& of = w.use == backend::ioctl ? d.ioctl : d.text;
            std::vector<answer> said(addresses.size());
            std::uint32_t call = ++calls_;
            if (of) ask(*of, d, w, addresses, said);
            for (std::uint32_t i = 0; i < said.size(); ++i)
                reports.push_back({.how = w, .call = w.alone ? call = ++calls_ : call, .address = i, .said = said[i]});
        }
        return reports;
    }

private:
    struct desk {
        std::optional<maps> ioctl, text;
        std::map<way, std::unique_ptr<cached_maps>> caches;
    };

    desk& desk_of(pid_t pid) {
        desk& d = desks_[pid];
        for (const bool ioctl : {false, true}) {
            auto& of = ioctl ? d.ioctl : d.text;
            if (of) continue;
            auto opened = maps::open(pid, {.use = ioctl ? backend::ioctl : backend::text});
            if (opened) of.emplace(std::move(*opened));
        }
        return d;
    }

    static void take(const mapping& m, std::uint64_t address, answer& a) {
        a.resolved = true;
        a.id_known = m.build_id_known;
        a.id = build_id{m.build_id.bytes()};
        a.offset = address - m.start + m.offset;
        std::snprintf(a.path, sizeof a.path, "%.*s", static_cast<int>(m.name.size()), m.name.data());
    }

    void ask(const maps& of, desk& d, const way& w, std::span<const std::uint64_t> addresses, std::span<answer> said) {
        switch (w.by) {
            case asking::find:
                for (std::size_t i = 0; i < addresses.size(); ++i) {
                    procmap::name_buffer name;
                    procmap::build_id_buffer id;
                    if (const auto m = of.find(addresses[i], {.name = name, .build_id = id})) take(*m, addresses[i], said[i]);
                }
                break;
            case asking::walk:
                for (const mapping& m : of.walk({.names = true, .build_ids = true}))
                    for (std::size_t i = 0; i < addresses.size(); ++i)
                        if (m.start <= addresses[i] && addresses[i] < m.end) take(m, addresses[i], said[i]);
                break;
            case asking::capture: {
                const auto all = procmap::snapshot::capture(of, {.build_ids = true, .build_ids_from = w.from});
                for (std::size_t i = 0; all && i < addresses.size(); ++i)
                    if (const auto m = all->find(addresses[i])) take(*m, addresses[i], said[i]);
                break;
            }
            case asking::cache: {
                auto& cache = d.caches[w];
                if (!cache)
                    cache = std::make_unique<cached_maps>(
                        of, procmap::cached_maps_options{
                                .build_ids = true, .build_ids_from = w.from, .most_files = w.one_file ? 1u : 128u});
                for (std::size_t i = 0; i < addresses.size(); ++i)
                    if (const auto m = cache->find(addresses[i])) take(*m, addresses[i], said[i]);
                break;
            }
            case asking::normalize: {
                const procmap::normalizer_options options{
                    .build_ids = true, .elf_addresses = w.elf, .build_ids_from = w.from, .most_files = w.one_file ? 1u : 128u, .file_states = true};
                const std::size_t at_once = w.alone ? 1 : addresses.size();
                for (std::size_t i = 0; i < addresses.size(); i += at_once) {
                    normalizer fresh{options};
                    normalizer& n = w.fresh ? fresh : normalizers_.try_emplace(w, options).first->second;
                    take(n.normalize(of, addresses.subspan(i, at_once)), said.subspan(i, at_once));
                }
            }
        }
    }

    static void take(const procmap::result<procmap::normalized>& got, std::span<answer> said) {
        for (std::size_t i = 0; got && i < said.size(); ++i) {
            const procmap::location& l = got->locations[i];
            if (!l) continue;
            const procmap::mapped_file& f = got->files[l.file];
            said[i] = {.resolved = true,
                       .id_known = f.build_id_known,
                       .elf_known = l.elf_address_known,
                       .state = f.state,
                       .file = l.file,
                       .offset = l.offset,
                       .elf_address = l.elf_address,
                       .id = f.build_id};
            std::snprintf(said[i].path, sizeof said[i].path, "%.*s", static_cast<int>(f.path.size()), f.path.data());
        }
    }

    std::map<pid_t, desk> desks_;
    std::map<way, normalizer> normalizers_;
    std::uint32_t calls_ = 0;
};

/// A process that looks at others: root, or a user without rights.
class observer {
public:
    explicit observer(bool nobody)
        : nobody_(nobody), child_([nobody](channel& to) {
              if (nobody) drop_privileges();
              asker all;
              for (;;) {
                  const auto reports = all.look(to.receive<question>());
                  to.send(reports.size());
                  for (const report& r : reports) to.send(r);
              }
          }) {}

    const char* name() const { return nobody_ ? "nobody" : "root"; }
    bool nobody() const { return nobody_; }
    void start(pid_t pid, std::span<const std::uint64_t> addresses, const way* only = nullptr, bool again = false) {
        question q{.pid = pid,
                   .again = again,
                   .one_way = only != nullptr,
                   .only = only != nullptr ? *only : way{},
                   .count = static_cast<std::uint32_t>(addresses.size())};
        REQUIRE(addresses.size() <= std::size(q.addresses));
        std::copy(addresses.begin(), addresses.end(), q.addresses);
        child_->send(q);
    }
    std::vector<report> finish() {
        std::vector<report> reports(child_->receive<std::size_t>());
        for (report& r : reports) r = child_->receive<report>();
        return reports;
    }
    std::vector<report> look(pid_t pid, std::span<const std::uint64_t> addresses, const way* only = nullptr,
                             bool again = false) {
        start(pid, addresses, only, again);
        return finish();
    }

private:
    bool nobody_;
    child child_;
};

}  // namespace support
