// The location of an address: file, file offset, ELF address and build ID, or the reason why it has none. See normalizer.hpp.
//
//   for (const procmap::location& l : found->locations)
//       if (l) use(found->file(l).path, l.offset);
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <procmap/build_id.hpp>
#include <procmap/result.hpp>

namespace procmap::inline PROCMAP_ABI {

/// Why an address has no location or an incomplete one.
enum class reason : unsigned char {
    none,
    not_mapped,
    not_file_backed,  ///< anonymous memory: heap, stack, generated code, ...
    special,          ///< the kernel's own memory: [vvar], [vsyscall], ... (the vDSO has a location: its ELF image)
    gone,             ///< the address space was gone before this address was looked up
    denied,           ///< access was denied before this address was looked up
    failed,           ///< the lookup ended before this address; see normalized::error
    name_unknown,     ///< the name is longer than PATH_MAX, or the kernel had no memory for it; there may be a file
};

/// Returns the name of the enumerator.
[[nodiscard]] constexpr std::string_view to_string(reason why) noexcept {
    constexpr std::string_view names[] = {"none", "not_mapped", "not_file_backed", "special", "gone", "denied", "failed", "name_unknown"};
    return detail::name_of(names, why);
}

/// Where an address lies. Converts to true if it has a file.
struct location {
    static constexpr std::uint32_t no_file = UINT32_MAX;  ///< `file` if there is none

    std::uint64_t offset = 0;       ///< file offset in bytes: address - mapping.start + mapping.offset
    std::uint64_t elf_address = 0;  ///< as in the file's headers and symbols; see elf_address_known
    std::uint32_t file = no_file;   ///< index into normalized::files
    procmap::reason reason = reason::none;  ///< why there is no file, or what is missing
    bool elf_address_known = false;  ///< true if requested and the mapped segment is certain (elf::load_bias)

    [[nodiscard]] constexpr explicit operator bool() const noexcept { return file != no_file; }  ///< true if it has a file
};

/// Where the path that maps shows leads. It is looked up below the process's root, if requested, and in the same way for every caller: a
/// caller without permission gets the same state or `unreadable`. It does not tell whether the file has other names.
enum class file_state : unsigned char {
    unknown,     ///< not requested, or not provable: device and inode identify no file there, or the task has another address space
    linked,      ///< to the mapped file
    deleted,     ///< nowhere, and the kernel marks it: the file was unlinked, or never had a path (memfd_create, shmget)
    replaced,    ///< to another file, even if the mapped file still has another name
    unreadable,  ///< not accessible: permission, FUSE, outside of the root; or nowhere, without the mark (its mount is gone or hidden)
};

/// Returns the name of the enumerator.
[[nodiscard]] constexpr std::string_view to_string(file_state state) noexcept {
    constexpr std::string_view names[] = {"unknown", "linked", "deleted", "replaced", "unreadable"};
    return detail::name_of(names, state);
}

/// A file that contains an address of the batch. Two mappings share an entry only if they are proven to be of the same file: by device and
/// inode while a descriptor holds the file, on file systems where these identify a file (ext2 to ext4, xfs, f2fs, tmpfs, squashfs, erofs);
/// elsewhere (btrfs, overlayfs, FUSE, ...) by device, inode, path and build ID together. Otherwise they have two entries. If neither build
/// IDs nor ELF addresses are requested, mappings with equal device, inode and path share an entry.
struct mapped_file {
    std::string_view path{};           ///< the kernel's bytes, including " (deleted)"; empty: not known
    procmap::build_id build_id{};      ///< empty: none, or not known (build_id_known)
    device_number device{};            ///< of the superblock, as maps shows it
    std::uint64_t inode = 0;           ///< as maps shows it
    file_state state = file_state::unknown;  ///< see normalizer_options::file_states
    bool build_id_known = false;             ///< requested and known; an empty build ID then means that there is none
};

namespace detail {
inline constexpr mapped_file no_file{};
}

/// The result of normalize(). It is a view: the locations and files are the normalizer's, and hold until its next call or its end. Copy
/// what is needed longer; a copy of this struct does not.
struct normalized {
    std::span<const location> locations{};  ///< in the order of the addresses
    std::span<const mapped_file> files{};   ///< each file once
    procmap::error error{};                 ///< what ended the lookup early; `locations` has what was resolved before

    /// Returns the file of a location. For a location without one, returns a file of which nothing is known.
    [[nodiscard]] const mapped_file& file(const location& of) const noexcept { return of ? files[of.file] : detail::no_file; }
    [[nodiscard]] bool complete() const noexcept { return error.code == errc::none; }  ///< true if nothing ended the lookup early
};

namespace detail {
template <>
inline constexpr bool lent<normalized> = true;
}

}  // namespace procmap::inline PROCMAP_ABI
