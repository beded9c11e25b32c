// The interface of Chromium's base/debug/proc_maps_linux.h. Unlike there, blanks at the end of a path belong to it.
#pragma once
#include <string>
#include <vector>
#include <procmap/procmap.hpp>

namespace base::debug {

struct MappedMemoryRegion {
    enum Permission { READ = 1 << 0, WRITE = 1 << 1, EXECUTE = 1 << 2, PRIVATE = 1 << 3 };  // the first three are PROT_*
    std::uint64_t start, end, offset;
    int permissions;
    std::string path;
};

inline bool ReadProcMaps(std::string* proc_maps) {
    proc_maps->clear();
    const auto self = procmap::maps::open_self().value_or(procmap::maps{});
    auto walk = self.walk({.names = true, .gate = true});
    const auto append = [proc_maps](std::string_view text) { *proc_maps += text; };
    for (const procmap::mapping& m : walk) print(append, m), append("\n");
    return walk.complete();
}

inline bool ParseProcMaps(const std::string& input, std::vector<MappedMemoryRegion>* regions) {
    std::vector<MappedMemoryRegion> found;
    for (const auto& line : procmap::parse(input, {.blanks = true, .carriage_return = true})) {
        if (!line || !input.ends_with('\n')) return false;
        const int own = line->permissions.has(procmap::perm::shared) ? 0 : MappedMemoryRegion::PRIVATE;
        found.push_back({line->start, line->end, line->offset, prot(line->permissions) | own, std::string{line->name}});
    }
    regions->swap(found);
    return true;
}

}  // namespace base::debug
