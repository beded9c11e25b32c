// What the library reports for one address, asked in every way, as root and as an unprivileged user.
#pragma once

#include "../support/elf_files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/names.hpp"
#include "../support/printed.hpp"
#include "../support/processes.hpp"
#include "../support/records.hpp"

#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/location.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>
#include <procmap/probe.hpp>
#include <procmap/result.hpp>

namespace support {

using procmap::backend;
using procmap::build_id;
using procmap::build_id_choice;
using procmap::build_id_source;
using procmap::errc;
using procmap::file_state;
using procmap::maps;
using procmap::normalizer;
using procmap::reason;

/// One address's location with its file, as a value that a child can send.
struct seen {
    bool resolved = false;
    bool id_known = false;
    reason why = reason::none;
    file_state state = file_state::unknown;
    build_id id{};
    std::uint64_t offset = 0;
    std::uint64_t elf_address = 0;
    bool elf_address_known = false;
};

inline seen look(const maps& at, std::uint64_t address, build_id_choice from = build_id_choice::automatic) {
    normalizer n{{.build_ids = true, .elf_addresses = from != build_id_choice::kernel, .build_ids_from = from, .file_states = true}};
    const std::array addresses{address};
    const auto got = n.normalize(at, addresses);
    if (!got) return {.why = got.error() == errc::gone ? reason::gone : reason::failed};
    const procmap::location& l = got->locations[0];
    if (!l) return {.why = l.reason};
    const procmap::mapped_file& f = got->files[l.file];
    return {.resolved = true, .id_known = f.build_id_known, .why = l.reason, .state = f.state, .id = f.build_id,
            .offset = l.offset, .elf_address = l.elf_address, .elf_address_known = l.elf_address_known};
}

/// What each way to ask gives.
struct views {
    seen file, automatic, text;
};

/// Also called in children: nothing is asserted.
inline views look_all_ways(pid_t pid, std::uint64_t address) {
    const auto any = maps::open(pid);
    const auto text = maps::open(pid, {.use = backend::text});
    if (!any || !text) return {};
    return {look(*any, address, build_id_choice::file), look(*any, address), look(*text, address)};
}

/// The build ID is this one, and the file and (where it may be asked) the kernel say so.
inline void check_found(const views& v, std::string_view id, build_id_source file_way, file_state state = file_state::linked) {
    for (const seen* s : {&v.file, &v.automatic, &v.text}) {
        CHECK(s->resolved);
        CHECK(s->id_known);
        CHECK(hex_of(s->id) == hex_of(id_of(id)));
        CHECK(std::string{name_of(s->state)} == name_of(state));
        CHECK(s->elf_address_known);
        CHECK(s->elf_address == elf_base + s->offset);
    }
    CHECK(v.file.id.source() == file_way);
    CHECK(v.text.id.source() == file_way);
    CHECK(v.automatic.id.source() == (kernel_ids() && id.size() <= 20 ? build_id_source::kernel : file_way));
}

/// The file cannot be had, and says why; the kernel knows the build ID, and so does the process's memory.
inline void check_lost(const views& v, std::string_view id, file_state state) {
    for (const seen* s : {&v.file, &v.automatic, &v.text}) {
        CHECK(s->resolved);
        CHECK(std::string{name_of(s->state)} == name_of(state));
        CHECK(s->id_known);
        CHECK(hex_of(s->id) == hex_of(id_of(id)));
        CHECK(s->elf_address_known);
        CHECK(s->elf_address == elf_base + s->offset);
    }
    CHECK(v.file.id.source() == build_id_source::memory);
    CHECK(v.text.id.source() == build_id_source::memory);
    CHECK(v.automatic.id.source() == (kernel_ids() ? build_id_source::kernel : build_id_source::memory));
}

/// In a child: an ordinary user, whose process can be looked at by others of that user.
inline void become_nobody() {
    drop_privileges();
    ensure(::prctl(PR_SET_DUMPABLE, 1) == 0, "dumpable");
    ::alarm(30);
}

/// What an ordinary user, who may not use map_files, sees of a file that a process of his maps; `meanwhile` runs here between.
template <class Meanwhile>
views seen_by_nobody(const std::string& path, Meanwhile meanwhile) {
    child user{[&](channel& parent) {
        become_nobody();
        char* const at = map_file(path);
        ensure(at != nullptr, "map");
        parent.signal();
        parent.await();
        parent.send(look_all_ways(::getpid(), support::address_of(at)));
    }};
    user->await();
    meanwhile();
    user->signal();
    return user->receive<views>();
}

/// What an ordinary user sees of another process of that user.
inline views nobody_looks_at(pid_t pid, std::uint64_t address) {
    child user{[&](channel& parent) {
        become_nobody();
        parent.send(look_all_ways(pid, address));
    }};
    return user->receive<views>();
}

/// A process of an ordinary user that maps `path` after `prepare`, which may say that it cannot.
template <class Prepare>
child maps_it(const std::string& path, Prepare prepare) {
    return child{[=](channel& parent) {
        const bool can = prepare();
        char* at = nullptr;
        if (can) {
            become_nobody();
            ::alarm(120);
            ensure((at = map_file(path)) != nullptr, path.c_str());
        }
        parent.send(support::address_of(at));
        parent.pause();
    }};
}

/// Random addresses in the executable file mappings of a process.
inline std::vector<std::uint64_t> code_addresses(const maps& of, std::size_t count, std::mt19937_64& random) {
    const auto code = walk_all(of, {.only = procmap::file_backed | procmap::executable}).records;
    std::vector<std::uint64_t> addresses;
    for (std::size_t i = 0; i < count && !code.empty(); ++i) {
        const record& r = code[static_cast<std::size_t>(random() % code.size())];
        addresses.push_back(r.start + random() % (r.end - r.start));
    }
    return addresses;
}

}  // namespace support
