// The kernel's interface as data: the extensible struct of PROCMAP_QUERY (Linux 6.11), its request number and flags, and a typed query.
//
//   procmap::uapi::query<procmap::uapi::layout::v6_11> q{address, procmap::uapi::query_flag::executable};
//   if (procmap::uapi::send(self->fd(), q).error == 0) use(q.start(), q.end());  // send: query.hpp
//
// Source: include/uapi/linux/fs.h and do_procmap_query() in fs/proc/task_mmu.c. The struct is defined here because the headers of most
// distributions lack it; a test compares every field with <linux/fs.h> if that has it.
#pragma once

#include <procmap/version.hpp>

#include <sys/ioctl.h>  // _IOWR

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <procmap/mapping.hpp>

/// The kernel's struct and values, typed. Only send() (query.hpp) makes a system call.
namespace procmap::inline PROCMAP_ABI::uapi {

/// struct procmap_query, field for field. "in": the kernel reads it; "out": the kernel writes it; "in/out": the size of a buffer, then what
/// was written to it.
struct procmap_query {
    std::uint64_t size;             ///< in: bytes of this struct that are sent and may be written back
    std::uint64_t query_flags;      ///< in: the bits of query_flag
    std::uint64_t query_addr;       ///< in: the address
    std::uint64_t vma_start;        ///< out: first address
    std::uint64_t vma_end;          ///< out: end address (exclusive)
    std::uint64_t vma_flags;        ///< out: the bits of perm
    std::uint64_t vma_page_size;    ///< out: bytes
    std::uint64_t vma_offset;       ///< out: file offset in bytes
    std::uint64_t inode;            ///< out: 0 if there is none
    std::uint32_t dev_major;        ///< out: of the file's superblock
    std::uint32_t dev_minor;        ///< out: of the file's superblock
    std::uint32_t vma_name_size;    ///< in/out: bytes, including the terminating NUL; 0: not requested, no name
    std::uint32_t build_id_size;    ///< in/out: bytes; 0: not requested, no build ID
    std::uint64_t vma_name_addr;    ///< in: the buffer's address
    std::uint64_t build_id_addr;    ///< in: the buffer's address
};

inline constexpr unsigned long procmap_query_request = _IOWR('f', 17, procmap_query);  ///< the encoding differs by architecture

/// What a query can request. The permission flags have the values of `perm`, the filter flags those of `filter`.
enum class query_flag : std::uint32_t {
    readable = 0x01,
    writable = 0x02,
    executable = 0x04,
    shared = 0x08,
    covering_or_next = 0x10,  ///< if no mapping contains the address, the next one above it
    file_backed = 0x20,
};
using query_flags = flags<query_flag>;  ///< what a query requests
[[nodiscard]] constexpr query_flags operator|(query_flag a, query_flag b) noexcept { return query_flags{a} | b; }  ///< the set of both
/// Returns a filter as query flags.
[[nodiscard]] constexpr query_flags to_query_flags(filters only) noexcept { return query_flags::from_bits(only.bits()); }

/// The smallest size of a build-ID buffer: the most that the kernel returns (BUILD_ID_SIZE_MAX, include/linux/buildid.h). The library never
/// passes a smaller one: it crashes the caller on some kernels (CVE-2026-43178).
inline constexpr std::size_t build_id_size_max = 20;

/// A prefix of the struct, by its size in bytes: what a kernel release defined, or what a kind of query needs. The kernel accepts any
/// prefix that includes query_addr, and any longer struct whose unknown tail is zero.
enum class layout : std::size_t {
    lookup = 24,   ///< up to query_addr: whether a mapping exists; nothing is written back
    v6_11 = 104,   ///< all fields of Linux 6.11; unchanged up to 7.3
    latest = v6_11,
};

inline constexpr layout layouts[] = {layout::lookup, layout::v6_11};  ///< ascending; a query that is too new falls back to an older one

/// One field of the struct.
struct field {
    std::string_view name;   ///< as in the kernel's header
    std::size_t offset = 0;  ///< bytes
    std::size_t size = 0;    ///< bytes
};

/// A description of the struct, for requirements, messages, and tests that compare it with the kernel's.
inline constexpr field fields[] = {
    {"size", offsetof(procmap_query, size), 8},
    {"query_flags", offsetof(procmap_query, query_flags), 8},
    {"query_addr", offsetof(procmap_query, query_addr), 8},
    {"vma_start", offsetof(procmap_query, vma_start), 8},
    {"vma_end", offsetof(procmap_query, vma_end), 8},
    {"vma_flags", offsetof(procmap_query, vma_flags), 8},
    {"vma_page_size", offsetof(procmap_query, vma_page_size), 8},
    {"vma_offset", offsetof(procmap_query, vma_offset), 8},
    {"inode", offsetof(procmap_query, inode), 8},
    {"dev_major", offsetof(procmap_query, dev_major), 4},
    {"dev_minor", offsetof(procmap_query, dev_minor), 4},
    {"vma_name_size", offsetof(procmap_query, vma_name_size), 4},
    {"build_id_size", offsetof(procmap_query, build_id_size), 4},
    {"vma_name_addr", offsetof(procmap_query, vma_name_addr), 8},
    {"build_id_addr", offsetof(procmap_query, build_id_addr), 8},
};

/// True if a layout contains the whole field of that name.
[[nodiscard]] constexpr bool carries(layout sent, std::string_view name) noexcept {
    for (const field& f : fields)
        if (f.name == name) return f.offset + f.size <= static_cast<std::size_t>(sent);
    return false;
}

/// A query that sends the layout `L` of the struct. It has the fields of L and no others.
template <layout L = layout::latest>
class query {
    static_assert(static_cast<std::size_t>(L) >= static_cast<std::size_t>(layout::lookup), "query_addr must be sent");
    static_assert(static_cast<std::size_t>(L) <= sizeof(procmap_query), "the struct has no such fields");

public:
    /// Requests the mapping that contains `address` (or the next one, by flag) and has all that the filter flags name.
    constexpr query(std::uint64_t address, query_flags ask) noexcept {
        raw_.size = static_cast<std::uint64_t>(L);
        raw_.query_flags = ask.bits();
        raw_.query_addr = address;
    }

    /// Sets the buffer for the NUL-terminated name. An empty span: no name is requested. The buffer must outlive the query.
    void name_into(std::span<char> buffer) noexcept requires(carries(L, "vma_name_addr"))
    {
        raw_.vma_name_addr = reinterpret_cast<std::uintptr_t>(buffer.data());
        raw_.vma_name_size = static_cast<std::uint32_t>(buffer.size() < 0xffffffff ? buffer.size() : 0xffffffff);
        if (raw_.vma_name_size == 0) raw_.vma_name_addr = 0;  // the kernel fails with EINVAL if only one of them is set
    }
    /// Sets the buffer for the build ID: at least build_id_size_max bytes, or an empty span if no build ID is requested.
    void build_id_into(std::span<std::byte> buffer) noexcept requires(carries(L, "build_id_addr"))
    {
        raw_.build_id_addr = reinterpret_cast<std::uintptr_t>(buffer.data());
        raw_.build_id_size = static_cast<std::uint32_t>(buffer.size() < 0xffffffff ? buffer.size() : 0xffffffff);
        if (raw_.build_id_size == 0) raw_.build_id_addr = 0;
    }

    /// The kernel's answer, valid after the query succeeded, as in procmap_query. permissions() has every bit that the kernel set, known
    /// or not. name_size() and build_id_size() are the bytes written to the buffers; 0: the mapping has no name, or no build ID.
    ///@{
    [[nodiscard]] constexpr std::uint64_t start() const noexcept requires(carries(L, "vma_start")) { return raw_.vma_start; }
    [[nodiscard]] constexpr std::uint64_t end() const noexcept requires(carries(L, "vma_end")) { return raw_.vma_end; }
    [[nodiscard]] constexpr permission_set permissions() const noexcept requires(carries(L, "vma_flags")) {
        return permission_set::from_bits(static_cast<std::uint32_t>(raw_.vma_flags));
    }
    [[nodiscard]] constexpr std::uint64_t page_size() const noexcept requires(carries(L, "vma_page_size")) { return raw_.vma_page_size; }
    [[nodiscard]] constexpr std::uint64_t offset() const noexcept requires(carries(L, "vma_offset")) { return raw_.vma_offset; }
    [[nodiscard]] constexpr std::uint64_t inode() const noexcept requires(carries(L, "inode")) { return raw_.inode; }
    [[nodiscard]] constexpr device_number device() const noexcept requires(carries(L, "dev_minor")) { return {raw_.dev_major, raw_.dev_minor}; }
    [[nodiscard]] constexpr std::uint32_t name_size() const noexcept requires(carries(L, "vma_name_size")) { return raw_.vma_name_size; }
    [[nodiscard]] constexpr std::uint32_t build_id_size() const noexcept requires(carries(L, "build_id_size")) { return raw_.build_id_size; }
    ///@}

    [[nodiscard]] constexpr procmap_query& raw() noexcept { return raw_; }  ///< the struct itself, for the system call
    [[nodiscard]] constexpr const procmap_query& raw() const noexcept { return raw_; }  ///< the same

private:
    procmap_query raw_{};
};

}  // namespace procmap::inline PROCMAP_ABI::uapi
