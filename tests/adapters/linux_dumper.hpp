// The mappings as breakpad's LinuxDumper lists them: parts of a library are one, the vDSO is linux-gate.so, and what is no file has no
// name. Unlike there, it is a failure if the process exits meanwhile, and a name that is longer than PATH_MAX in the text is left out.
#pragma once
#include <string>
#include <vector>
#include <procmap/procmap.hpp>

namespace google_breakpad {

struct MappingInfo {
    std::uint64_t start_addr, size, offset;
    bool exec;
    std::string name;
};

inline bool EnumerateMappings(const procmap::maps& process, std::vector<MappingInfo>& mappings) {
    auto walk = process.walk({.names = true});
    for (const procmap::mapping& m : walk) {
        MappingInfo next{m.start, m.size(), m.offset, m.permissions.has(procmap::perm::execute), {}};
        if (m.name.starts_with('/')) next.name = m.name;
        if (kind_of(m) == procmap::mapping_kind::vdso) next.name = "linux-gate.so";
        MappingInfo none{}, &last = mappings.empty() ? none : mappings.back();
        const bool reserved = m.permissions.empty() && m.name.empty() && last.exec && last.name.starts_with('/');  // by the dynamic linker
        const bool same = !next.name.empty() && next.name == last.name && next.exec == last.exec;
        if (last.start_addr + last.size == m.start && (same || reserved))
            last.size += m.size();
        else
            mappings.push_back(std::move(next));
    }
    return walk.complete();
}

}  // namespace google_breakpad
