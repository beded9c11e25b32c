// Which conclusions the type of a file system permits about the identity of its files.
#pragma once

#include <procmap/version.hpp>

#include <sys/statfs.h>

#include <cstdint>

#include <procmap/fd.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// What proves that a file of such a file system is the mapped one.
enum class trust : unsigned char {
    inode,        ///< device and inode: stat and maps show the same, and no two existing files share them
    descriptor,   ///< a descriptor from map_files; two files may show the same device and inode in maps
    layered,      ///< nothing: a descriptor from map_files may have other contents than the mapped ones
    untouchable,  ///< nothing, and it must not be read: a server may never answer, or reading has side effects
};

/// Returns the trust for an f_type of statfs(2) (include/uapi/linux/magic.h, and headers of the file systems).
[[nodiscard]] constexpr trust trust_of(std::uint32_t type) noexcept {
    switch (type) {
        case 0xef53:        // ext2, ext3, ext4
        case 0x58465342:    // xfs
        case 0xf2f52010:    // f2fs
        case 0x01021994:    // tmpfs; memfd and System V shared memory
        case 0x73717368:    // squashfs
        case 0xe0f5e1e2:    // erofs
            return trust::inode;
        case 0x794c7630:    // overlayfs
        case 0x61756673:    // aufs
        case 0x6a656a62:    // shiftfs
        case 0xf15f:        // ecryptfs
        case 0x73757245:    // coda
            return trust::layered;
        case 0x65735546:    // FUSE
        case 0x0187:        // autofs
        case 0x9fa0:        // procfs
        case 0x62656572:    // sysfs
        case 0x64626720:    // debugfs
        case 0x74726163:    // tracefs
        case 0xf97cff8c:    // selinuxfs
        case 0x5345434d:    // secretmem
        case 0x444d4142:    // dma-buf
        case 0x474d454d:    // guest_memfd
            return trust::untouchable;
        default: return trust::descriptor;  // btrfs, bcachefs, zfs, ramfs, NFS, ...
    }
}

/// Returns true if an unchanged change time proves that a file is unchanged: this kernel maintains it, not a server.
[[nodiscard]] constexpr bool keeps_times(std::uint32_t type) noexcept {
    return trust_of(type) == trust::inode || type == 0x9123683e /* btrfs */ || type == 0x858458f6 /* ramfs */;
}

/// Returns the type of a file's file system, or 0 on failure. One system call, which may ask the server of FUSE or NFS.
[[nodiscard]] inline std::uint32_t file_system_of(borrowed_fd fd) noexcept {
    struct statfs fs;
    return ::fstatfs(fd.get(), &fs) == 0 ? static_cast<std::uint32_t>(fs.f_type) : 0;
}

}  // namespace procmap::inline PROCMAP_ABI::detail
