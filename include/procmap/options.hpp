// Options for opening a handle, looking up an address, walking, capturing, normalizing and caching.
//
//   auto self = procmap::maps::open_self({.use = procmap::backend::text});
//   auto code = self->walk({.only = procmap::executable, .names = true});
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <span>
#include <string_view>

#include <procmap/flags.hpp>
#include <procmap/print.hpp>
#include <procmap/uapi.hpp>

namespace procmap::inline PROCMAP_ABI {

/// How a handle queries the kernel.
enum class backend : unsigned char {
    automatic,  ///< the ioctl if it is available, otherwise the text
    ioctl,      ///< PROCMAP_QUERY, Linux 6.11 and newer
    text,       ///< reads the file; sends no PROCMAP_QUERY, except one that tells gone from task_gone
};

/// Returns the name of the enumerator.
[[nodiscard]] constexpr std::string_view to_string(backend which) noexcept {
    constexpr std::string_view names[] = {"automatic", "ioctl", "text"};
    return detail::name_of(names, which);
}

namespace detail {

// False if the program leaves that back-end out (version.hpp).
#ifdef PROCMAP_ONLY_TEXT
inline constexpr bool has_ioctl = false;
#else
inline constexpr bool has_ioctl = true;
#endif
#ifdef PROCMAP_ONLY_IOCTL
inline constexpr bool has_text = false;
#else
inline constexpr bool has_text = true;
#endif

[[nodiscard]] constexpr bool left_out(backend which) noexcept {
    return which == backend::ioctl ? !has_ioctl : which == backend::text && !has_text;
}

}  // namespace detail

/// How a handle is opened.
struct open_options {
    backend use = backend::automatic;  ///< the others require that back-end
    /// Mount point of procfs, for example "/host/proc" in a container; pids are those of that procfs. Up to 980 bytes.
    const char* proc = "/proc";
    /// Asks the kernel for build IDs even if its release is not known to be safe (known_hazards: it can crash the caller or the machine).
    /// If false, such a kernel is not asked, and mapping::build_id_known is false.
    bool trust_kernel_build_ids = false;
};

/// Room for any name that the ioctl can return. Not initialized; 4 kB, which can be too much for a small stack.
struct name_buffer {
    char text[4096];  ///< PATH_MAX, including the terminating NUL
    operator std::span<char>() & noexcept PROCMAP_LIFETIMEBOUND { return text; }  ///< the whole buffer
    operator std::span<char>() && = delete;  // the name would borrow from a temporary
};

/// Room for any build ID that the ioctl can return.
struct build_id_buffer {
    std::byte bytes[uapi::build_id_size_max];  ///< 20
    operator std::span<std::byte>() & noexcept PROCMAP_LIFETIMEBOUND { return bytes; }  ///< the whole buffer
    operator std::span<std::byte>() && = delete;  // the build ID would borrow from a temporary
};

/// The filter of a lookup, and the buffers for what has no fixed size. An empty buffer: not requested.
struct find_options {
    filters only{};                   ///< what the mapping must have
    std::span<char> name{};           ///< holds names of up to size - 1 bytes, by text as the text has them; see name_buffer
    std::span<std::byte> build_id{};  ///< at least 20 bytes; see build_id_buffer
};

/// The filter of a walk, and what it gets for each mapping.
struct walk_options {
    filters only{};            ///< what a mapping must have
    bool names = false;        ///< by ioctl this makes each query slower
    bool build_ids = false;    ///< by ioctl one more query for each mapping of a regular file, see maps::find; by text not known
    bool gate = false;         ///< also the kernel's gate VMA, [vsyscall]. Only text has it, so by ioctl the text is read at the end
    backend use = backend::automatic;  ///< automatic: the handle's. Text is faster for all mappings. Ioctl fails if the handle's is text
    /// At least 256 bytes, for names of up to size - 129 bytes; empty: the walk's own, for names of PATH_MAX. By text, these are the bytes of
    /// the text, where a newline has four.
    std::span<char> buffer{};
};

/// Where build IDs may come from. The kernel returns at most 20 bytes, so longer IDs come from the file.
enum class build_id_choice : unsigned char {
    automatic,  ///< the kernel if it may be asked (open_options::trust_kernel_build_ids), otherwise the file or the process's memory
    kernel,     ///< only the kernel (the vDSO: its memory); no file is opened for its build ID, and no build ID is cached
    file,       ///< the ELF note of the file or in the process's memory; the kernel is not asked
};

/// What a capture gets for each mapping.
struct capture_options {
    bool names = true;        ///< as in walk_options
    bool build_ids = false;   ///< of the mapped files
    bool page_sizes = false;  ///< available by the ioctl only
    bool gate = false;        ///< as in walk_options
    build_id_choice build_ids_from = build_id_choice::automatic;  ///< all but `kernel` can open the mapped files
};

/// What a normalizer finds out about each file.
struct normalizer_options {
    bool build_ids = false;      ///< fill mapped_file::build_id
    bool elf_addresses = false;  ///< fill location::elf_address: opens each file
    build_id_choice build_ids_from = build_id_choice::automatic;  ///< where they come from
    std::size_t most_files = 128;  ///< most files that are cached, at least one; each holds at most one descriptor
    bool file_states = false;      ///< fill mapped_file::state: looks up each file's path in each call, which can block (FUSE, NFS)
};

/// What a cache holds, and how much of it.
struct cached_maps_options {
    bool build_ids = false;            ///< also find build IDs
    build_id_choice build_ids_from = build_id_choice::automatic;  ///< where they come from
    std::size_t most_mappings = 1024;  ///< most mappings that are cached
    std::size_t most_files = 128;      ///< most files that are cached, at least one; each holds at most one descriptor
};

}  // namespace procmap::inline PROCMAP_ABI
