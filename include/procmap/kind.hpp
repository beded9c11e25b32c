// Classifies a mapping by its name and device: file, heap, stack, vdso, shared memory, ...
//
//   if (kind_of(*m) == procmap::mapping_kind::stack) use(m->start, m->end);
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <procmap/mapping.hpp>

namespace procmap::inline PROCMAP_ABI {

/// Kinds of memory, with the names that old and new kernels write. docs/semantics.md lists all names.
enum class mapping_kind : unsigned char {
    file,             ///< "/path"
    deleted_file,     ///< "/path (deleted)": an unlinked file, or a file with that name
    heap,             ///< "[heap]", the brk area
    stack,            ///< "[stack]", and "[stack:TID]" (Linux 3.4 to 4.4)
    vdso,             ///< "[vdso]"
    vvar,             ///< "[vvar]", "[vvar_vclock]" (6.13), and "[vdso_data]" (older RISC-V, C-SKY)
    anonymous,        ///< no name and no file
    named_anonymous,  ///< "[anon:NAME]", by prctl(PR_SET_VMA_ANON_NAME) (5.17)
    shared_memory,    ///< "/dev/zero (deleted)" of MAP_SHARED|MAP_ANONYMOUS, "[anon_shmem:NAME]" (6.2), "/dev/ashmem/NAME (deleted)" (Android)
    memfd,            ///< "/memfd:NAME (deleted)"
    sysv,             ///< "/SYSVkkkkkkkk (deleted)", by shmget
    hugetlb,          ///< "/anon_hugepage (deleted)", or a page size of hugetlbfs
    device,           ///< "/dev/NAME", except below /dev/shm and /dev/hugepages, which hold files
    anon_inode,       ///< "anon_inode:[NAME]", and "/[aio] (deleted)"
    other,            ///< the kernel's own memory ("[uprobes]", "[vectors]", ...), and unknown names
};

/// Returns the kind of a mapping. Without its name, that is `anonymous` or, with a file, `file` (large pages: `hugetlb`).
[[nodiscard]] constexpr mapping_kind kind_of(const mapping& m) noexcept {
    const std::string_view name = m.name;
    constexpr std::string_view deleted = " (deleted)";
    if (!m.file_backed()) {
        if (name.empty()) return mapping_kind::anonymous;
        if (name == "[heap]") return mapping_kind::heap;
        if (name == "[stack]" || name.starts_with("[stack:")) return mapping_kind::stack;
        if (name == "[vdso]") return mapping_kind::vdso;
        if (name.starts_with("[vvar") || name == "[vdso_data]") return mapping_kind::vvar;
        if (name.starts_with("[anon:")) return mapping_kind::named_anonymous;
        return mapping_kind::other;
    }
    if (name.starts_with("[anon_shmem:")) return mapping_kind::shared_memory;
    if (name.starts_with("anon_inode:")) return mapping_kind::anon_inode;
    // The kernel's own file systems have no block device (major 0). Another file can have such a name only on a file system without one.
    if (m.device.major == 0 && name.ends_with(deleted)) {
        if (name.starts_with("/memfd:")) return mapping_kind::memfd;
        if (name == "/dev/zero (deleted)") return mapping_kind::shared_memory;
        if (name.starts_with("/SYSV") && name.size() == 13 + deleted.size()) return mapping_kind::sysv;
        if (name == "/anon_hugepage (deleted)") return mapping_kind::hugetlb;
        if (name == "/[aio] (deleted)") return mapping_kind::anon_inode;
        if (name.starts_with("/dev/ashmem/")) return mapping_kind::shared_memory;
        if (name == "/secretmem (deleted)" || name == "/drm mm object (deleted)") return mapping_kind::other;
    }
    if (m.device.major == 0 && name.starts_with("/dmabuf:")) return mapping_kind::other;
    constexpr std::uint64_t largest_base_page = 65536;  // of any architecture with hugetlbfs
    if (m.page_size > largest_base_page) return mapping_kind::hugetlb;
    if (name.starts_with("/dev/") && !name.starts_with("/dev/shm/") && !name.starts_with("/dev/hugepages/"))
        return mapping_kind::device;
    if (!name.empty() && !name.starts_with('/')) return mapping_kind::other;
    return name.ends_with(deleted) ? mapping_kind::deleted_file : mapping_kind::file;
}

/// Returns the name of the enumerator.
[[nodiscard]] constexpr std::string_view to_string(mapping_kind kind) noexcept {
    constexpr std::string_view names[] = {"file",      "deleted_file",    "heap",          "stack", "vdso", "vvar",    "anonymous",
                                          "named_anonymous", "shared_memory", "memfd", "sysv", "hugetlb", "device", "anon_inode",
                                          "other"};
    return detail::name_of(names, kind);
}

}  // namespace procmap::inline PROCMAP_ABI
