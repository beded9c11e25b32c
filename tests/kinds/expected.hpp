// Expected answers.
#pragma once

#include "reports.hpp"
#include "ways.hpp"
#include "kind.hpp"
#include "../support/files.hpp"
#include "../support/printed.hpp"
#include "../support/raw_maps.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include <procmap/cached_maps.hpp>
#include <procmap/fd.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>

namespace support {

using procmap::backend;
using procmap::build_id_choice;
using procmap::unique_fd;

inline std::string answer_of(const kind& k, const report& r) {
    if (r.failed) return "no answer";
    if (!r.has_file) return "no file";
    if (!r.known)
        return r.id_size == 0 ? "not known" : "not known, but " + hex_of(std::string_view{reinterpret_cast<const char*>(r.id), r.id_size});
    if (r.id_size == 0) return "none";
    const std::string_view id{reinterpret_cast<const char*>(r.id), r.id_size};
    return k.vdso || id == k.id ? "ID" : "ID " + hex_of(id);
}

/// What the kernel may be asked for by the mapping's name.
inline std::string by_name_answer(const kind& k, const back_end& b) {
    if (b.how.use == backend::text) return "not known";
    if (k.by_name == named::nothing) return "none";
    return b.kernel_asked && k.by_name == named::file && !k.id.empty() ? "ID" : "not known";
}

/// Whether map_files can be opened here; where it cannot, what has no path may be not known.
inline bool map_files_open() {
    static const bool open = [] {
        for (const raw_line& raw : raw_lines(slurp(maps_path(::getpid())).value())) {
            if (!raw.name.starts_with('/')) continue;
            const std::string range = raw.line.substr(0, raw.line.find(' '));
            return static_cast<bool>(unique_fd{::open(("/proc/self/map_files/" + range).c_str(), O_PATH | O_CLOEXEC)});
        }
        return false;
    }();
    return open;
}

inline std::string opened_answer(const kind& k, const back_end& b, build_id_choice choice) {
    if (k.by_name == named::nothing) return "none";
    if (k.regular == proof::none) return "not known";
    if (choice == build_id_choice::kernel) return b.kernel_asked && !k.id.empty() ? "ID" : "not known";
    return k.id.empty() ? "none" : "ID";
}

inline std::string expected_answer(const kind& k, const back_end& b, const way& w) {
    const std::string opened = w.opens_files()               ? opened_answer(k, b, w.choice)
                               : k.by_name == named::nothing ? "none"
                                                             : by_name_answer(k, b);
    switch (w.of) {
        case column::find:
        case column::walk: return by_name_answer(k, b);
        case column::normalizer:
            if (w.ask == ask_resolve) return opened == "ID" || k.vdso ? "ID" : "not known";
            return k.vdso ? "ID" : k.no_file() ? "no file" : opened;
        case column::cached_maps: return k.vdso ? "ID" : opened;
        case column::capture:
            return k.vdso ? "ID" : k.no_file() ? "not known" : opened;  // a text says nothing of memory without a file
    }
    return {};
}

/// Whether the way may ask the kernel for the build ID, and so have it read the mapped file.
inline bool may_ask(const kind& k, const back_end& b, const way& w) {
    if (!b.kernel_asked) return false;
    if (w.by_name() && k.by_name == named::file) return true;
    return w.of != column::find && w.of != column::walk && w.choice != build_id_choice::file && w.opens_files() &&
           k.regular != proof::none;
}

}  // namespace support
