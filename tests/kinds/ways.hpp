// The ways to ask, and the back-ends.
#pragma once

#include "reports.hpp"
#include "../support/machine.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include <procmap/bpf.hpp>
#include <procmap/build_id.hpp>
#include <procmap/cached_maps.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>
#include <procmap/probe.hpp>
#include <procmap/result.hpp>
#include <procmap/snapshot.hpp>

namespace support {

using procmap::backend;
using procmap::build_id_choice;
using procmap::mapping;
using procmap::maps;

/// Who answers, for the columns of the table.
enum class column : unsigned char { find, walk, capture, normalizer, cached_maps };

struct way {
    const char* name;
    column of;
    build_id_choice choice;
    bool elf_addresses;
    void (*ask)(const maps&, std::uint64_t, const way&, report&);

    /// Whether it decides by a mapping's name alone: it opens no file.
    bool by_name() const {
        if (of == column::find || of == column::walk) return true;
        return choice == build_id_choice::kernel && !elf_addresses;
    }
    bool opens_files() const {
        if (of == column::find || of == column::walk) return false;
        return choice != build_id_choice::kernel || elf_addresses;
    }
};

inline void take(const mapping& m, report& to) {
    to.known = m.build_id_known;
    to.id_size = std::min(m.build_id.size(), sizeof to.id);
    std::memcpy(to.id, m.build_id.bytes().data(), to.id_size);
}

inline void ask_find(const maps& of, std::uint64_t at, const way&, report& to) {
    procmap::name_buffer name;
    procmap::build_id_buffer id;
    const auto m = of.find(at, {.name = name, .build_id = id});
    m ? take(*m, to) : void(to.failed = true);
}

inline void ask_find_without_name(const maps& of, std::uint64_t at, const way&, report& to) {
    procmap::build_id_buffer id;
    const auto m = of.find(at, {.build_id = id});
    m ? take(*m, to) : void(to.failed = true);
}

inline void ask_find_from(const maps& of, std::uint64_t at, const way&, report& to) {
    procmap::name_buffer name;
    procmap::build_id_buffer id;
    const auto m = of.find_from(at, {.name = name, .build_id = id});
    m ? take(*m, to) : void(to.failed = true);
}

template <bool Names>
void ask_walk(const maps& of, std::uint64_t at, const way&, report& to) {
    to.failed = true;
    auto walk = of.walk({.names = Names, .build_ids = true});
    for (const mapping& m : walk)
        if (m.contains(at)) take(m, to), to.failed = false;
    to.failed |= !walk.complete();
}

inline void ask_capture(const maps& of, std::uint64_t at, const way& w, report& to) {
    const auto all = procmap::snapshot::capture(of, {.build_ids = true, .page_sizes = true, .build_ids_from = w.choice});
    const auto m = all ? all->find(at) : procmap::result<mapping>{all.error()};
    m ? take(*m, to) : void(to.failed = true);
}

inline void ask_normalizer(const maps& of, std::uint64_t at, const way& w, report& to) {
    procmap::normalizer n{{.build_ids = true, .elf_addresses = w.elf_addresses, .build_ids_from = w.choice}};
    for (int again = 0; again < 2; ++again) {  // the second time it remembers
        const auto answer = n.normalize(of, {{at}});
        to.failed = !answer || !answer->complete();
        if (to.failed) return;
        to.has_file = static_cast<bool>(answer->locations[0]);
        if (!to.has_file) continue;
        const auto& file = answer->files[answer->locations[0].file];
        take({.build_id_known = file.build_id_known, .build_id = file.build_id}, to);
    }
}

inline void ask_cached_maps(const maps& of, std::uint64_t at, const way& w, report& to) {
    procmap::cached_maps cache{of, {.build_ids = true, .build_ids_from = w.choice}};
    for (int again = 0; again < 2; ++again) {
        const auto m = cache.find(at);
        to.failed = !m;
        if (m) take(*m, to);
    }
}

inline void ask_resolve(const maps& of, std::uint64_t at, const way&, report& to) {
    procmap::normalizer n{{.build_ids = true}};
    procmap::bpf::stack_build_id stack{.status = procmap::bpf::stack_status::ip, .build_id = {}, .ip = at};
    to.failed = !procmap::bpf::resolve(n, of, {&stack, 1});
    to.known = stack.status == procmap::bpf::stack_status::valid;
    if (to.known) std::memcpy(to.id, stack.build_id, to.id_size = sizeof stack.build_id);
}

inline constexpr way ways[] = {
    {"find", column::find, build_id_choice::automatic, false, ask_find},
    {"find without a name", column::find, build_id_choice::automatic, false, ask_find_without_name},
    {"find_from", column::find, build_id_choice::automatic, false, ask_find_from},
    {"walk", column::walk, build_id_choice::automatic, false, ask_walk<true>},
    {"walk without names", column::walk, build_id_choice::automatic, false, ask_walk<false>},
    {"capture", column::capture, build_id_choice::automatic, false, ask_capture},
    {"capture, IDs from files", column::capture, build_id_choice::file, false, ask_capture},
    {"capture, IDs from the kernel", column::capture, build_id_choice::kernel, false, ask_capture},
    {"normalizer", column::normalizer, build_id_choice::automatic, true, ask_normalizer},
    {"normalizer, IDs from the kernel", column::normalizer, build_id_choice::kernel, true, ask_normalizer},
    {"normalizer, IDs from files", column::normalizer, build_id_choice::file, true, ask_normalizer},
    {"normalizer, no ELF addresses", column::normalizer, build_id_choice::automatic, false, ask_normalizer},
    {"normalizer, no ELF addresses, IDs from the kernel", column::normalizer, build_id_choice::kernel, false, ask_normalizer},
    {"cached_maps", column::cached_maps, build_id_choice::automatic, false, ask_cached_maps},
    {"cached_maps, IDs from the kernel", column::cached_maps, build_id_choice::kernel, false, ask_cached_maps},
    {"cached_maps, IDs from files", column::cached_maps, build_id_choice::file, false, ask_cached_maps},
    {"bpf::resolve", column::normalizer, build_id_choice::automatic, false, ask_resolve},
};
inline constexpr const way& default_normalizer = ways[8];
inline constexpr const way& default_cached_maps = ways[13];
static_assert(std::string_view{default_normalizer.name} == "normalizer" &&
              std::string_view{default_cached_maps.name} == "cached_maps");

struct back_end {
    const char* name;
    procmap::open_options how;
    bool kernel_asked;    // about regular files
    bool hidden = false;  // the kernel's release: none that is known to be safe
};

inline const std::vector<back_end>& back_ends() {
    static const std::vector<back_end> all = [] {
        std::vector<back_end> found;
        const bool safe = procmap::safe_to_ask(procmap::known_hazards(procmap::running_kernel()));
        if (kernel_has_ioctl()) {
            found.push_back({"ioctl", {.use = backend::ioctl}, safe});
            if (safe) found.push_back({"ioctl, release hidden", {.use = backend::ioctl}, false, true});
            if (safe)
                found.push_back(
                    {"ioctl, release hidden, trusting", {.use = backend::ioctl, .trust_kernel_build_ids = true}, true, true});
        }
        found.push_back({"text", {.use = backend::text}, false});
        return found;
    }();
    return all;
}

}  // namespace support
