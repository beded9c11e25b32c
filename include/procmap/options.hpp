// What can be asked for when a handle is opened, an address is looked up, and mappings are walked or captured.
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <span>
#include <string_view>

#include <procmap/flags.hpp>
#include <procmap/uapi.hpp>

namespace procmap::inline PROCMAP_ABI {

/// How a handle asks the kernel.
enum class backend : unsigned char {
    automatic,  ///< the ioctl where it answers, otherwise the text
    ioctl,      ///< PROCMAP_QUERY, Linux 6.11+
    text,       ///< reading the file; no PROCMAP_QUERY is sent, but for one that tells gone from task_gone
};

/// The back-end's name, as in the enumeration.
[[nodiscard]] constexpr std::string_view to_string(backend which) noexcept {
    constexpr std::string_view names[] = {"automatic", "ioctl", "text"};
    return names[static_cast<std::size_t>(which)];
}

/// How a handle is opened.
struct open_options {
    backend use = backend::automatic;  ///< or one that is insisted on
    const char* proc = "/proc";  ///< where procfs is mounted: "/host/proc" in a container, say; pids are that procfs's own
    /// Ask the kernel for build IDs also where its release is not known to be safe to ask (known_hazards: it can crash the
    /// caller or the machine). Without it such a kernel is not asked, and mapping::build_id_known says so.
    bool trust_kernel_build_ids = false;
};

/// Room for any name that the ioctl can return. Not initialized: 4 kB, to be kept off a small stack.
struct name_buffer {
    char text[4096];  ///< PATH_MAX, the closing NUL included
    /// All of it.
    operator std::span<char>() noexcept { return text; }
};

/// Room for any build ID that the ioctl can return.
struct build_id_buffer {
    std::byte bytes[uapi::build_id_size_max];  ///< 20
    /// All of it.
    operator std::span<std::byte>() noexcept { return bytes; }
};

/// What a lookup filters by, and where it puts what has no fixed size. Empty spans: not asked for.
struct find_options {
    filters only{};                   ///< what the mapping must have
    std::span<char> name{};           ///< a name of up to size - 1 bytes fits; see name_buffer
    std::span<std::byte> build_id{};  ///< at least 20 bytes; see build_id_buffer
};

/// What a walk filters by, and what it fetches for each mapping.
struct walk_options {
    filters only{};            ///< what a mapping must have
    bool names = false;        ///< ioctl: 0.15 to 0.3 µs more for each mapping
    /// ioctl: one query more, of 2 to 4 µs, for each mapping whose name is a regular file's (see maps::find); the others are not asked
    /// about. See open_options::trust_kernel_build_ids.
    bool build_ids = false;
    std::span<char> buffer{};  ///< for names of up to size - 129 bytes, and text; at least 256 bytes; by default the walk's own, of 4224
};

/// Where build IDs may come from. An ID of more than 20 bytes comes from the file: the kernel does not return it.
enum class build_id_choice : unsigned char {
    automatic,  ///< the kernel where it may be asked (open_options::trust_kernel_build_ids), and otherwise the file
    kernel,     ///< the kernel only: no file is opened for its build ID, and none is remembered
    file,       ///< never the kernel: the ELF note of the file, or of its image in the process's memory
};

/// What a capture fetches for each mapping.
struct capture_options {
    bool names = true;        ///< as in walk_options
    bool build_ids = false;   ///< of the mapped files
    bool page_sizes = false;  ///< only the ioctl has them
    build_id_choice build_ids_from = build_id_choice::automatic;  ///< all but `kernel` can open the mapped files
};

/// What a normalizer finds out of each file.
struct normalizer_options {
    bool build_ids = false;      ///< fill mapped_file::build_id
    bool elf_addresses = false;  ///< fill location::elf_address: opens each file
    build_id_choice build_ids_from = build_id_choice::automatic;  ///< who is asked for build IDs
    std::size_t most_files = 128;  ///< that are remembered, one at the least; each costs a descriptor
    bool file_states = false;      ///< fill mapped_file::state: looks up each file's path in each call, which can block (FUSE, NFS)
};

/// What a cache keeps, and how much of it.
struct cached_maps_options {
    bool build_ids = false;            ///< find build IDs too
    build_id_choice build_ids_from = build_id_choice::automatic;  ///< who is asked for build IDs
    std::size_t most_mappings = 1024;  ///< that are kept
    std::size_t most_files = 128;      ///< that are held by a descriptor each, so that their build IDs can be kept
};

}  // namespace procmap::inline PROCMAP_ABI
