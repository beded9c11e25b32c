// The kernel's interface as data: the extensible struct of the PROCMAP_QUERY ioctl on /proc/PID/maps (Linux 6.11+), its
// request number, its flags, and a query typed by the prefix of the struct that is sent. No system call is made here.
//
// Source: include/uapi/linux/fs.h and do_procmap_query() in fs/proc/task_mmu.c. The struct is defined here because the
// headers of most distributions lack it; where <linux/fs.h> has it, a test compares every field.
#pragma once

#include <procmap/version.hpp>

#include <sys/ioctl.h>  // _IOWR

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <procmap/mapping.hpp>

/// The kernel's own struct and values, typed; nothing here makes a system call but send().
namespace procmap::inline PROCMAP_ABI::uapi {

/// struct procmap_query, field for field. "in": read by the kernel; "out": written; "in/out": a buffer's size, then what was
/// written to it.
struct procmap_query {
    std::uint64_t size;             ///< in: how much of this struct is sent, and may be written back
    std::uint64_t query_flags;      ///< in: the bits of query_flag
    std::uint64_t query_addr;       ///< in: the address
    std::uint64_t vma_start;        ///< out: first address
    std::uint64_t vma_end;          ///< out: first address behind it
    std::uint64_t vma_flags;        ///< out: the bits of perm
    std::uint64_t vma_page_size;    ///< out: bytes
    std::uint64_t vma_offset;       ///< out: bytes
    std::uint64_t inode;            ///< out: 0: none
    std::uint32_t dev_major;        ///< out: of the file's superblock
    std::uint32_t dev_minor;        ///< out: of the file's superblock
    std::uint32_t vma_name_size;    ///< in/out: bytes, the closing NUL included; 0: not wanted, no name
    std::uint32_t build_id_size;    ///< in/out: bytes; 0: not wanted, no build ID
    std::uint64_t vma_name_addr;    ///< in: the buffer's address
    std::uint64_t build_id_addr;    ///< in: the buffer's address
};

/// PROCMAP_QUERY, derived from the struct as the kernel derives it (the encoding differs between architectures).
inline constexpr unsigned long procmap_query_request = _IOWR('f', 17, procmap_query);

/// What a query can ask for. The permission flags have the values of `perm`, the filter flags those of `filter`.
enum class query_flag : std::uint32_t {
    readable = 0x01,
    writable = 0x02,
    executable = 0x04,
    shared = 0x08,
    covering_or_next = 0x10,  ///< where no mapping covers the address, the next one above it
    file_backed = 0x20,
};
/// What a query asks for.
using query_flags = flags<query_flag>;
/// Both.
[[nodiscard]] constexpr query_flags operator|(query_flag a, query_flag b) noexcept { return query_flags{a} | b; }
/// A filter in the kernel's terms.
[[nodiscard]] constexpr query_flags to_query_flags(filters only) noexcept { return query_flags::from_bits(only.bits()); }

/// The least size of a build-ID buffer: what the kernel returns at most (BUILD_ID_SIZE_MAX, include/linux/buildid.h). A
/// smaller one is never passed: it crashes the caller on some kernels (CVE-2026-43178).
inline constexpr std::size_t build_id_size_max = 20;

/// A prefix of the struct, by its size in bytes: what one version of the kernel defined, or what one kind of query needs.
/// The kernel accepts any prefix that reaches query_addr, and any longer struct whose unknown tail is zero.
enum class layout : std::size_t {
    lookup = 24,   ///< up to query_addr: does a mapping exist? Nothing is written back
    v6_11 = 104,   ///< everything that Linux 6.11 defined; unchanged up to 7.3
    latest = v6_11,
};

/// The layouts that kernels know, ascending: what a query that is too new for the running kernel falls back to.
inline constexpr layout layouts[] = {layout::lookup, layout::v6_11};

/// One field of the struct.
struct field {
    std::string_view name;   ///< as in the kernel's header
    std::size_t offset = 0;  ///< bytes
    std::size_t size = 0;    ///< bytes
};

/// The struct, described: for requirements, for messages, and for the tests that compare it with the kernel's own.
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

/// Whether a layout carries the field of that name, whole.
[[nodiscard]] constexpr bool carries(layout sent, std::string_view name) noexcept {
    for (const field& f : fields)
        if (f.name == name) return f.offset + f.size <= static_cast<std::size_t>(sent);
    return false;
}

/// A query that sends the layout `L` of the struct, and offers the fields that L carries and no others.
template <layout L = layout::latest>
class query {
    static_assert(static_cast<std::size_t>(L) >= static_cast<std::size_t>(layout::lookup), "query_addr must be sent");
    static_assert(static_cast<std::size_t>(L) <= sizeof(procmap_query), "the struct has no such fields");

public:
    /// Asks for the mapping that holds `address` (or the next, by flag) and has all that the filter flags name.
    constexpr query(std::uint64_t address, query_flags ask) noexcept {
        raw_.size = static_cast<std::uint64_t>(L);
        raw_.query_flags = ask.bits();
        raw_.query_addr = address;
    }

    /// Where the name goes, NUL-terminated. An empty span: no name is asked for. The buffer must outlive the query.
    void name_into(std::span<char> buffer) noexcept requires(carries(L, "vma_name_addr"))
    {
        raw_.vma_name_addr = reinterpret_cast<std::uintptr_t>(buffer.data());
        raw_.vma_name_size = static_cast<std::uint32_t>(buffer.size() < 0xffffffff ? buffer.size() : 0xffffffff);
        if (raw_.vma_name_size == 0) raw_.vma_name_addr = 0;  // EINVAL when one is there without the other
    }
    /// Where the build ID goes: at least build_id_size_max bytes, or an empty span: none is asked for.
    void build_id_into(std::span<std::byte> buffer) noexcept requires(carries(L, "build_id_addr"))
    {
        raw_.build_id_addr = reinterpret_cast<std::uintptr_t>(buffer.data());
        raw_.build_id_size = static_cast<std::uint32_t>(buffer.size() < 0xffffffff ? buffer.size() : 0xffffffff);
        if (raw_.build_id_size == 0) raw_.build_id_addr = 0;
    }

    /// What the kernel answered, valid once the query was sent and succeeded: as in procmap_query.
    ///@{
    [[nodiscard]] constexpr std::uint64_t start() const noexcept requires(carries(L, "vma_start")) { return raw_.vma_start; }
    [[nodiscard]] constexpr std::uint64_t end() const noexcept requires(carries(L, "vma_end")) { return raw_.vma_end; }
    ///@}
    /// Every bit that the kernel set, known or not.
    [[nodiscard]] constexpr permission_set permissions() const noexcept requires(carries(L, "vma_flags"))
    {
        return permission_set::from_bits(static_cast<std::uint32_t>(raw_.vma_flags));
    }
    /// As in procmap_query.
    ///@{
    [[nodiscard]] constexpr std::uint64_t page_size() const noexcept requires(carries(L, "vma_page_size"))
    {
        return raw_.vma_page_size;
    }
    [[nodiscard]] constexpr std::uint64_t offset() const noexcept requires(carries(L, "vma_offset")) { return raw_.vma_offset; }
    [[nodiscard]] constexpr std::uint64_t inode() const noexcept requires(carries(L, "inode")) { return raw_.inode; }
    [[nodiscard]] constexpr device_number device() const noexcept requires(carries(L, "dev_minor"))
    {
        return {raw_.dev_major, raw_.dev_minor};
    }
    ///@}
    /// Bytes written to the name buffer, the closing NUL included; 0: the mapping has no name.
    [[nodiscard]] constexpr std::uint32_t name_size() const noexcept requires(carries(L, "vma_name_size"))
    {
        return raw_.vma_name_size;
    }
    /// Bytes written to the build-ID buffer; 0: the mapping has no build ID.
    [[nodiscard]] constexpr std::uint32_t build_id_size() const noexcept requires(carries(L, "build_id_size"))
    {
        return raw_.build_id_size;
    }

    /// The struct itself, for what makes the system call.
    ///@{
    [[nodiscard]] constexpr procmap_query& raw() noexcept { return raw_; }
    [[nodiscard]] constexpr const procmap_query& raw() const noexcept { return raw_; }
    ///@}

private:
    procmap_query raw_{};
};

}  // namespace procmap::inline PROCMAP_ABI::uapi
