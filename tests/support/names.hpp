// Names of file states and build-ID sources.
#pragma once

#include <procmap/build_id.hpp>
#include <procmap/location.hpp>

namespace support {

inline const char* name_of(procmap::file_state s) {
    constexpr const char* names[] = {"unknown", "linked", "deleted", "replaced", "unreadable"};
    return names[static_cast<int>(s)];
}

inline const char* name_of(procmap::build_id_source s) {
    using procmap::build_id_source;
    return s == build_id_source::kernel      ? "kernel"
           : s == build_id_source::map_files ? "map_files"
           : s == build_id_source::root_path ? "root_path"
           : s == build_id_source::memory    ? "memory"
                                             : "none";
}

}  // namespace support
