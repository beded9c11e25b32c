// Recorded text: maps, smaps, and what `procmap snapshot` wrote.
#pragma once

#include "output.hpp"

#include <procmap/snapshot.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace cli {

inline std::string in_words(const char* file) {
    return std::strcmp(file, "-") == 0 ? "standard input" : file;
}

/// Recorded text, or the end of the program where it cannot be read, or cannot be any: input that never ends, or binary data, does
/// not fill the memory.
inline std::string read_recorded(const char* file) {
    constexpr std::size_t most = std::size_t{1} << 30;          // smaps text of more than a million mappings
    constexpr std::size_t longest_line = std::size_t{1} << 20;  // 256 times PATH_MAX
    const auto give_up = [file](const std::string& why) {
        complain("read " + in_words(file) + ": " + why);
        std::exit(failed);
    };
    const bool standard_input = std::strcmp(file, "-") == 0;
    std::FILE* const in = standard_input ? stdin : std::fopen(file, "r");
    std::string text;
    if (in != nullptr) {
        struct stat s;
        const bool regular = ::fstat(::fileno(in), &s) == 0 && S_ISREG(s.st_mode);
        bool too_much = regular && s.st_size > static_cast<off_t>(most);
        std::size_t line = 0;  // size of the line that is being read
        char chunk[1 << 16];
        while (const std::size_t n = too_much ? 0 : std::fread(chunk, 1, sizeof chunk, in)) {
            const std::string_view read(chunk, n);
            const std::size_t first = std::min(read.find('\n'), n);
            if (line + first > longest_line) give_up("a line is longer than 1 MiB; this is no maps, smaps or snapshot text");
            line = first == n ? line + n : n - 1 - read.rfind('\n');
            too_much = n > most - text.size();
            if (!too_much) text.append(read);
        }
        if (too_much) give_up("more than 1 GiB of text");
    }
    if (in == nullptr || std::ferror(in)) give_up(std::strerror(errno));
    if (!standard_input) std::fclose(in);
    return text;
}

/// Says what is wrong in recorded text.
inline void complain_of_recorded(const std::string& prefix, const procmap::error& wrong) {
    if (wrong == procmap::errc::not_maps)
        complain(prefix + "line " + std::to_string(wrong.line) +
                 ": this is smaps_rollup, one sum over the address space; it lists no mappings");
    else
        complain(prefix + printed(wrong));
}

/// Recorded text and its reader. Malformed lines are left out, after saying so; text that is no recording ends the program.
struct recording {
    explicit recording(const char* file) : text(read_recorded(file)), name(in_words(file)) {}
    recording(const recording&) = delete;
    recording& operator=(const recording&) = delete;

    /// Reads the next mapping's line and the lines after it that say more of it; false at the end.
    bool next() {
        return reader.next([this](const procmap::error& wrong) {
            complain_of_recorded(wrong == procmap::errc::not_maps ? name + ": " : "", wrong);
            if (wrong == procmap::errc::not_maps) std::exit(failed);
            status = failed;
            return true;
        });
    }

    const std::string text;
    const std::string name;
    procmap::recorded_reader reader{text};
    int status = done;
};

/// A recorded snapshot, maps or smaps text, or the end of the program where it cannot be read.
inline procmap::snapshot load(const char* file) {
    auto parsed = procmap::snapshot::parse(read_recorded(file));
    if (parsed) return std::move(*parsed);
    complain_of_recorded(in_words(file) + ": ", parsed.error());
    std::exit(failed);
}

}  // namespace cli
