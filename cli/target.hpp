// What a command examines: a process, or recorded text (maps, smaps, or the output of `procmap snapshot`).
#pragma once

#include "arguments.hpp"
#include "foreign.hpp"

#include <procmap/snapshot.hpp>

namespace cli {

/// Opens a TARGET, or ends the program.
inline procmap::maps open_target(const arguments& a, std::string_view target) {
    if (target == "self") return value_or_exit(procmap::maps::open_self(a.how));
    const std::size_t slash = target.find('/');
    const auto pid = number<pid_t>(target.substr(0, slash), 10);
    const auto tid = slash == target.npos ? pid : number<pid_t>(target.substr(slash + 1), 10);
    if (pid.value_or(0) <= 0 || tid.value_or(0) <= 0)
        usage_error("invalid target '" + std::string(target) + "': expected self, PID or PID/TID");
    return value_or_exit(slash == target.npos ? procmap::maps::open(*pid, a.how) : procmap::maps::open(*pid, *tid, a.how));
}

/// Returns the TARGET of a command that has no other arguments.
inline std::string_view only_target(const arguments& a) {
    if (a.from && (a.build_ids || a.page_sizes)) usage_error("--from cannot be used with --build-ids or --page-sizes");
    if (a.positional.size() > (a.from ? 0 : 1)) usage_error(a.from ? "--from cannot be used with a target" : "expected at most one target");
    return a.positional.empty() ? "self" : a.positional.front();
}

inline std::string display_name(const char* file) {
    return std::string_view(file) == "-" ? "standard input" : file;
}

/// Reads recorded text, or ends the program. The kind is checked first, because core files and the like are large. The limits keep
/// endless input from filling the memory.
inline std::string read_recorded(const char* file) {
    constexpr std::size_t most = std::size_t{1} << 30;          // smaps text of more than a million mappings
    constexpr std::size_t longest_line = std::size_t{1} << 20;  // 256 times PATH_MAX
    const auto give_up = [file](const char* why) { fail("cannot read " + display_name(file) + ": " + why); };
    const auto check_size = [&](bool fits) { fits ? void() : give_up("larger than 1 GiB"); };
    std::FILE* const in = std::string_view(file) == "-" ? stdin : std::fopen(file, "r");
    if (in == nullptr) give_up(std::strerror(errno));
    struct stat s;
    const bool fits = ::fstat(::fileno(in), &s) != 0 || !S_ISREG(s.st_mode) || s.st_size <= static_cast<off_t>(most);
    std::string text;
    std::size_t line = 0;  // size of the current line so far
    bool known = true;     // the file is recorded text
    char chunk[1 << 16];
    while (const std::size_t n = std::fread(chunk, 1, sizeof chunk, in)) {
        const std::string_view read(chunk, n);
        if (text.empty()) known = check_kind(display_name(file), read, false);
        check_size(fits && n <= most - text.size());
        const std::size_t first = std::min(read.find('\n'), n);
        if (line + first > longest_line) give_up("line longer than 1 MiB; expected maps, smaps or snapshot text");
        line = first == n ? line + n : n - 1 - read.rfind('\n');
        text += read;
    }
    if (std::ferror(in)) give_up(std::strerror(errno));
    if (in != stdin) std::fclose(in);
    if (!known) (void)check_kind(display_name(file), text, true);
    return text;
}

/// Reports an error in recorded text.
inline void report(const char* file, const procmap::error& e) {
    const std::string line = "line " + std::to_string(e.line);
    const bool rollup = e == procmap::errc::not_maps;
    report(display_name(file) + ": " + (rollup ? line + ": smaps_rollup text lists no mappings; use maps or smaps" : printed(e)));
}

/// Recorded text and its reader. Reports and skips malformed lines; ends the program if the text is not a recording.
struct recording {
    explicit recording(const char* name) : file(name), text(read_recorded(name)) {}

    /// Reads the next mapping; returns false at the end.
    bool next() {
        return reader.next([this](const procmap::error& e) {
            report(file, e);
            if (e == procmap::errc::not_maps) std::exit(failed);
            status = failed;
            return true;
        });
    }

    const char* const file;
    const std::string text;
    procmap::recorded_reader reader{text};
    int status = done;
};

/// Reads recorded text without errors, or ends the program.
inline procmap::snapshot load(const char* file) {
    auto parsed = procmap::snapshot::parse(read_recorded(file));
    if (parsed) return std::move(*parsed);
    report(file, parsed.error());
    std::exit(failed);
}

}  // namespace cli
