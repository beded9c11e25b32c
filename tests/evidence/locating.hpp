// What the library reports for one address: its file, its build ID, and whether the task's directory is found.
#pragma once

#include "../support/machine.hpp"
#include "../support/printed.hpp"

#include <sys/auxv.h>

#include <array>
#include <cstdint>
#include <string>

#include <procmap/build_id.hpp>
#include <procmap/location.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>

namespace support {

using procmap::backend;
using procmap::build_id_source;
using procmap::file_state;
using procmap::maps;
using procmap::normalizer;

inline bool kernel_ids(const maps& of) { return of.backend() == backend::ioctl && kernel_ids(); }

/// Whether the directory of a handle's task is found.
inline bool has_directory(const maps& of) { return static_cast<bool>(procmap::detail::find_task(procmap::detail::handle_of(of))); }

/// One address's location and file, kept.
struct located {
    bool resolved = false, id_known = false, elf_known = false;
    std::string path{};
    std::string id{};
    build_id_source source = build_id_source::none;
    file_state state = file_state::unknown;
    std::uint64_t elf_address = 0;
};

inline located locate(const maps& of, std::uint64_t address) {
    normalizer n{{.build_ids = true, .elf_addresses = true, .file_states = true}};
    const std::array addresses{address};
    const auto got = n.normalize(of, addresses);
    if (!got || !got->locations[0]) return {};
    const procmap::location& l = got->locations[0];
    const procmap::mapped_file& f = got->files[l.file];
    return {.resolved = true, .id_known = f.build_id_known, .elf_known = l.elf_address_known, .path = std::string{f.path}, .id = hex_of(f.build_id),
            .source = f.build_id.source(), .state = f.state, .elf_address = l.elf_address};
}

inline std::uint64_t vdso_address() { return ::getauxval(AT_SYSINFO_EHDR); }

}  // namespace support
