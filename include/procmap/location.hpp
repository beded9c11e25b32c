// Where an address lies: in which file, at which offset, at which ELF address, with which build ID; or why not.
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <procmap/build_id.hpp>
#include <procmap/result.hpp>

namespace procmap::inline PROCMAP_ABI {

/// Why an address has no location, or not all of it.
enum class reason : unsigned char {
    none,
    not_mapped,
    not_file_backed,  ///< anonymous memory: heap, stack, generated code, ...
    special,          ///< the kernel's own: [vvar], [vsyscall], ... (the vDSO has a location: its ELF image)
    gone,             ///< the address space was gone before this address was looked up
    denied,           ///< so was the permission
    failed,           ///< the walk broke off; see normalized::error
    name_unknown,     ///< there is a location, but its file's path could not be had (longer than PATH_MAX); without one: no file, and no memory for the name
};

/// Where an address is. True where it has a file.
struct location {
    static constexpr std::uint32_t no_file = UINT32_MAX;  ///< `file` where there is none

    std::uint64_t offset = 0;       ///< in the file, in bytes: address - mapping.start + mapping.offset
    std::uint64_t elf_address = 0;  ///< as in the file's own headers and symbols; see elf_address_known
    std::uint32_t file = no_file;   ///< index into normalized::files
    procmap::reason reason = reason::none;  ///< why there is no file, or not all of it
    bool elf_address_known = false;  ///< it was asked for, and it is certain which segment of the file is mapped there (elf::load_bias)

    [[nodiscard]] constexpr explicit operator bool() const noexcept { return file != no_file; }  ///< whether it has a file
};

/// Where the path that maps shows for a mapping leads. It is looked up below the process's root when it is asked for, in the same way
/// for every caller: a caller without rights gets the same state, or `unreadable`. It says nothing of other names of the file.
enum class file_state : unsigned char {
    unknown,     ///< not asked for; or not provable: device and inode do not name a file there (btrfs, overlayfs, NFS, ...), or the process
                 ///< that the handle was opened through has another address space by now
    linked,      ///< to the mapped file
    deleted,     ///< nowhere, and the kernel marks it: the file was unlinked, or never had a path (memfd_create, shmget)
    replaced,    ///< to another file, whether or not the mapped one still has another name
    unreadable,  ///< it could not be looked at: permission, FUSE, a path outside of the process's root; or one that the kernel does not mark
                 ///< and that leads nowhere, since its mount is gone or hidden
};

/// A file that some address of the batch lies in. Two mappings are given as one file only where they are proven to be: by device and
/// inode while a descriptor holds the file, on file systems where these name one file (ext2 to ext4, xfs, f2fs, tmpfs, squashfs,
/// erofs); elsewhere (btrfs, overlayfs, FUSE, ...) by device, inode, path and build ID together. What is not proven is listed twice.
struct mapped_file {
    std::string_view path;             ///< the kernel's bytes, " (deleted)" included; empty: not known
    procmap::build_id build_id;        ///< empty: it has none, or see build_id_known
    device_number device;              ///< of its superblock, as maps shows it
    std::uint64_t inode = 0;           ///< as maps shows it
    file_state state = file_state::unknown;  ///< see normalizer_options::file_states
    bool build_id_known = false;             ///< it was asked for and somebody could answer, if only that there is none
};

/// What one call of normalize() gives; it borrows from the normalizer until its next call.
struct normalized {
    std::span<const location> locations;   ///< in the order of the addresses
    std::span<const mapped_file> files;    ///< each file once
    procmap::error error;                  ///< what broke the lookup off, after what is in `locations` was resolved
    [[nodiscard]] bool complete() const noexcept { return error.code == errc::none; }  ///< nothing broke it off
};

}  // namespace procmap::inline PROCMAP_ABI
