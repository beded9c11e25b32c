// Flag sets that are types, never ints. Values are the kernel's own (include/uapi/linux/fs.h, enum procmap_query_flags).
#pragma once

#include <procmap/version.hpp>

#include <cstdint>

namespace procmap::inline PROCMAP_ABI {

/// A set of the flags of one enumeration. Flags of different enumerations do not mix, and nothing converts to an integer.
template <class Flag>
class flags {
public:
    constexpr flags() noexcept = default;  ///< the empty set
    constexpr flags(Flag flag) noexcept : bits_(static_cast<std::uint32_t>(flag)) {}  ///< a flag is a set of one

    /// The set with exactly these bits, known or not: what a newer kernel may return.
    [[nodiscard]] static constexpr flags from_bits(std::uint32_t bits) noexcept {
        flags set;
        set.bits_ = bits;
        return set;
    }
    [[nodiscard]] constexpr std::uint32_t bits() const noexcept { return bits_; }  ///< the kernel's own
    [[nodiscard]] constexpr bool empty() const noexcept { return bits_ == 0; }  ///< no flag is in it
    /// Whether every flag of `wanted` is in this set.
    [[nodiscard]] constexpr bool has(flags wanted) const noexcept { return (bits_ & wanted.bits_) == wanted.bits_; }

    /// Union, intersection, equality.
    ///@{
    [[nodiscard]] friend constexpr flags operator|(flags a, flags b) noexcept { return from_bits(a.bits_ | b.bits_); }
    [[nodiscard]] friend constexpr flags operator&(flags a, flags b) noexcept { return from_bits(a.bits_ & b.bits_); }
    [[nodiscard]] friend constexpr bool operator==(flags, flags) noexcept = default;
    constexpr flags& operator|=(flags other) noexcept { return *this = *this | other; }
    ///@}

private:
    std::uint32_t bits_ = 0;
};

/// What a mapping permits, as in the second column of /proc/PID/maps; `shared` is its 's', and 'p' where it is absent.
enum class perm : std::uint32_t { read = 0x01, write = 0x02, execute = 0x04, shared = 0x08 };
/// The permissions of a mapping.
using permission_set = flags<perm>;
/// Both.
[[nodiscard]] constexpr permission_set operator|(perm a, perm b) noexcept { return permission_set{a} | b; }

/// What the kernel can filter by. A mapping passes when it has all that is asked for; what is not asked for does not matter,
/// so "private" or "not writable" cannot be said here: use std::views::filter.
enum class filter : std::uint32_t { readable = 0x01, writable = 0x02, executable = 0x04, shared = 0x08, file_backed = 0x20 };
/// All that a mapping must have in order to pass; empty: every mapping passes.
using filters = flags<filter>;
/// Both.
[[nodiscard]] constexpr filters operator|(filter a, filter b) noexcept { return filters{a} | b; }

inline constexpr filters readable = filter::readable;      ///< can be read
inline constexpr filters writable = filter::writable;      ///< can be written to
inline constexpr filters executable = filter::executable;  ///< can be executed
inline constexpr filters shared = filter::shared;          ///< mapped MAP_SHARED
/// Has a file behind it: also memfd, SysV and anonymous shared memory, whose file is the kernel's own.
inline constexpr filters file_backed = filter::file_backed;

}  // namespace procmap::inline PROCMAP_ABI
