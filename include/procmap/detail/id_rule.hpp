// Whether the kernel may be asked for the build ID of a mapping.
#pragma once

#include <procmap/version.hpp>

#include <string_view>

#include <procmap/mapping.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// Whether the kernel may be asked for a mapping's build ID, according to its name. The kernel reads whatever is mapped, also a socket's
/// data.
enum class id_rule : unsigned char {
    ask,      ///< a regular file
    unknown,  ///< may be a device or another file that must not be read, or the name is not known
    none,     ///< has no build ID: no file, a socket, or an anonymous inode
};

/// Returns the rule for a mapping whose name was requested. Device nodes outside of /dev and files on FUSE look like regular files.
[[nodiscard]] constexpr id_rule id_rule_of(const mapping& m) noexcept {
    const std::string_view name = m.name;
    if (m.name_status != name_state::exact && m.name_status != name_state::ambiguous) return id_rule::unknown;
    if (!m.file_backed()) return name == "[vdso]" ? id_rule::unknown : id_rule::none;
    if (name.starts_with("socket:[") || name.starts_with("anon_inode:")) return id_rule::none;
    if (!name.starts_with('/')) return id_rule::unknown;
    if (name.starts_with("/dev/")) return name.starts_with("/dev/shm/") || name.starts_with("/dev/hugepages/") ? id_rule::ask : id_rule::unknown;
    constexpr std::string_view not_files[] = {"/proc/", "/sys/", "/SYSV", "/[aio]", "/dmabuf:", "/secretmem", "/anon_hugepage", "/drm mm object"};
    for (const std::string_view prefix : not_files)
        if (name.starts_with(prefix)) return id_rule::unknown;
    return id_rule::ask;
}

}  // namespace procmap::inline PROCMAP_ABI::detail
