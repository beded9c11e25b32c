// Files that are not recorded text: what they are, and what reads them.
#pragma once

#include "output.hpp"

#include <procmap/text.hpp>

namespace cli {

/// What a file is, after "is", and what to do with it.
struct file_kind {
    std::string_view what, advice;
};

/// Returns the kind of a file with the magic number of a binary format; empty for all other files.
inline file_kind binary_kind(std::string_view head) {
    using namespace std::literals;
    if (head.starts_with("\177ELF")) {
        constexpr char core = 4;  // e_type, in the byte order that the sixth byte tells
        const bool is_core = head.size() > 17 && head[head[5] == 2 ? 17 : 16] == core;
        if (is_core) return {"an ELF core file", "gdb, readelf -n and eu-unstrip -n read it"};
        return {"an ELF program, library or object file", "readelf reads it"};
    }
    if (head.starts_with("PERFILE2")) return {"perf data", "perf script --show-mmap-events prints its mappings"};
    if (head.starts_with("\037\213")) return {"compressed", "decompress it with gzip -d"};
    if (head.starts_with("\3757zXZ\0"sv)) return {"compressed", "decompress it with xz -d"};
    if (head.starts_with("\050\265\057\375")) return {"compressed", "decompress it with zstd -d"};
    return {};
}

/// Returns the kind of a file without a mapping's line; empty if it is not recognized.
inline file_kind other_kind(std::string_view head) {
    if (head.find('\0') != head.npos) return {"binary data", ""};
    if (head.starts_with('{')) return {"JSON", "procmap snapshot writes text that can be read back"};
    const std::string_view line = head.substr(0, head.find('\n'));
    const std::size_t address = std::min(line.find(' '), line.size());
    const std::string_view policy = line.substr(address);  // mpol_to_str() in mm/mempolicy.c
    if (line.substr(0, address).find_first_not_of("0123456789abcdef") == line.npos)
        for (const char* const known : {" default", " prefer", " bind", " interleave", " weighted interleave", " local"})
            if (policy.starts_with(known)) return {"numa_maps text", "use maps or smaps"};
    return {};
}

/// Ends the program if a file, which is not empty, is not maps, smaps or snapshot text: it has the magic number of another format, or no line
/// is that of a mapping. smaps_rollup is left to the reader, which rejects it. Returns false if `head` is not the whole file and does not tell.
[[nodiscard]] inline bool check_kind(const std::string& file, std::string_view head, bool whole) {
    file_kind kind = binary_kind(head);
    procmap::error first;
    if (kind.what.empty()) {
        for (const auto& line : procmap::parse(head)) {
            if (line || line.error() == procmap::errc::not_maps) return true;
            if (first.line == 0) first = line.error();
        }
        kind = other_kind(head);
        if (kind.what.empty() && !whole) return false;  // a log, in which the mappings come later
    }
    const std::string text = "maps, smaps or snapshot text";
    if (kind.what.empty())
        fail(file + " is not " + text + ": line " + std::to_string(first.line) + " is malformed at byte " + std::to_string(first.offset));
    fail(file + " is " + std::string(kind.what) + ", not " + text + (kind.advice.empty() ? "" : "; ") + std::string(kind.advice));
}

}  // namespace cli
