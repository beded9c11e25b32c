// The interface of Android's libprocinfo (procinfo/process_map.h). Unlike there, a newline in a name is a newline and not `\012`, smaps is
// read too, an empty file is a failure, and so is a process that exits meanwhile.
#pragma once
#include <fstream>
#include <sstream>
#include <procmap/procmap.hpp>

namespace android::procinfo {

struct MapInfo {
    MapInfo(const procmap::mapping& m)
        : start(m.start), end(m.end), pgoff(m.offset), inode(m.inode), flags(static_cast<uint16_t>(prot(m.permissions))),
          shared(m.permissions.has(procmap::perm::shared)), name(m.name) {}
    uint64_t start, end, pgoff, inode;
    uint16_t flags;  // PROT_*
    bool shared;
    std::string name;
};

// Calls back for what was read, also where reading it failed later.
bool Report(const procmap::result<procmap::snapshot>& found, const auto& callback) {
    for (const procmap::mapping& m : *found) callback(MapInfo{m});
    return found.has_value();
}

bool ReadMapFileContent(char* content, const auto& callback) {
    return Report(procmap::snapshot::parse(content, {.blanks = true, .gate = true}), callback);
}

bool ReadMapFile(const std::string& map_file, const auto& callback) {
    std::stringstream text;
    text << std::ifstream{map_file}.rdbuf();
    return text.good() && ReadMapFileContent(text.str().data(), callback);
}

bool ReadProcessMaps(pid_t pid, const auto& callback) {
    return Report(procmap::maps::open(pid).and_then([](auto&& m) { return procmap::snapshot::capture(m, {.gate = true}); }), callback);
}

}  // namespace android::procinfo
