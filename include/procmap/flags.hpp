// Permissions and filters as sets of flags. The values are the kernel's (include/uapi/linux/fs.h, enum procmap_query_flags).
//
//   if (m->permissions.has(procmap::perm::write)) use(m->start);
//   auto code = self->walk({.only = procmap::executable | procmap::file_backed});
#pragma once

#include <procmap/version.hpp>

#include <cstdint>

namespace procmap::inline PROCMAP_ABI {

/// A set of flags of one enumeration. Flags of different enumerations do not mix, and a set does not convert to an integer.
template <class Flag>
class flags {
public:
    constexpr flags() noexcept = default;  ///< the empty set
    constexpr flags(Flag flag) noexcept : bits_(static_cast<std::uint32_t>(flag)) {}  ///< a set of one flag

    /// Returns the set with exactly these bits, which a newer kernel may have added.
    [[nodiscard]] static constexpr flags from_bits(std::uint32_t bits) noexcept {
        flags set;
        set.bits_ = bits;
        return set;
    }
    [[nodiscard]] constexpr std::uint32_t bits() const noexcept { return bits_; }  ///< the kernel's bits
    [[nodiscard]] constexpr bool empty() const noexcept { return bits_ == 0; }  ///< true if no flag is set
    /// True if this set contains every flag of `wanted`.
    [[nodiscard]] constexpr bool has(flags wanted) const noexcept { return (bits_ & wanted.bits_) == wanted.bits_; }

    [[nodiscard]] friend constexpr flags operator|(flags a, flags b) noexcept { return from_bits(a.bits_ | b.bits_); }  ///< union
    [[nodiscard]] friend constexpr flags operator&(flags a, flags b) noexcept { return from_bits(a.bits_ & b.bits_); }  ///< intersection
    [[nodiscard]] friend constexpr bool operator==(flags, flags) noexcept = default;  ///< equality
    constexpr flags& operator|=(flags other) noexcept { return *this = *this | other; }  ///< union

private:
    std::uint32_t bits_ = 0;
};

/// What a mapping permits, as in the second column of /proc/PID/maps, where `shared` is 's' and its absence 'p'.
enum class perm : std::uint32_t { read = 0x01, write = 0x02, execute = 0x04, shared = 0x08 };
using permission_set = flags<perm>;  ///< permissions of a mapping
[[nodiscard]] constexpr permission_set operator|(perm a, perm b) noexcept { return permission_set{a} | b; }  ///< the set of both

/// Returns permissions as the PROT_* bits of mmap(2) and mprotect(2), without `shared`.
[[nodiscard]] constexpr int prot(permission_set permissions) noexcept {
    return static_cast<int>((permissions & (perm::read | perm::write | perm::execute)).bits());  // equal on every architecture
}

/// The kernel's filters. A mapping matches if it has all of them. For others, such as private or not writable, use std::views::filter.
enum class filter : std::uint32_t { readable = 0x01, writable = 0x02, executable = 0x04, shared = 0x08, file_backed = 0x20 };
using filters = flags<filter>;  ///< what a mapping must have to match; empty: every mapping matches
[[nodiscard]] constexpr filters operator|(filter a, filter b) noexcept { return filters{a} | b; }  ///< the set of both

inline constexpr filters readable = filter::readable;      ///< can be read
inline constexpr filters writable = filter::writable;      ///< can be written to
inline constexpr filters executable = filter::executable;  ///< can be executed
inline constexpr filters shared = filter::shared;          ///< mapped with MAP_SHARED
/// Has a file, which includes memfd, System V and anonymous shared memory: the kernel backs these with files.
inline constexpr filters file_backed = filter::file_backed;

}  // namespace procmap::inline PROCMAP_ABI
