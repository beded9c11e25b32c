// One mapping (VMA) of an address space, as both back-ends report it.
#pragma once

#include <procmap/version.hpp>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <procmap/detail/digits.hpp>
#include <procmap/flags.hpp>

namespace procmap::inline PROCMAP_ABI {

/// The device of the file's superblock, as in the "fe:00" of /proc/PID/maps. On btrfs and overlayfs stat(2) shows another.
struct device_number {
    std::uint32_t major = 0;  ///< 0 for the kernel's own file systems
    std::uint32_t minor = 0;  ///< within that
    /// By major, then minor.
    [[nodiscard]] friend constexpr auto operator<=>(const device_number&, const device_number&) noexcept = default;
};

/// Writes a device as maps does: "fe:00".
template <class Sink>
constexpr void print(Sink&& sink, device_number device) {
    detail::char_line<17> text;
    text.put(device.major, 16, 2);
    text.put(':');
    text.put(device.minor, 16, 2);
    sink(text.view());
}

/// Writes permissions as maps does: "r-xp".
template <class Sink>
constexpr void print(Sink&& sink, permission_set permissions) {
    detail::char_line<4> text;
    text.put(permissions.has(perm::read) ? 'r' : '-');
    text.put(permissions.has(perm::write) ? 'w' : '-');
    text.put(permissions.has(perm::execute) ? 'x' : '-');
    text.put(permissions.has(perm::shared) ? 's' : 'p');
    sink(text.view());
}

/// The bytes of a build ID, borrowed. Empty: none, or not known (see mapping::build_id_known).
class build_id_view {
public:
    constexpr build_id_view() noexcept = default;  ///< empty
    /// Borrows `bytes`.
    constexpr explicit build_id_view(std::span<const std::byte> bytes) noexcept : bytes_(bytes) {}

    [[nodiscard]] constexpr std::span<const std::byte> bytes() const noexcept { return bytes_; }  ///< as in the ELF note
    [[nodiscard]] constexpr bool empty() const noexcept { return bytes_.empty(); }  ///< none, or not known
    [[nodiscard]] constexpr std::size_t size() const noexcept { return bytes_.size(); }  ///< in bytes

    /// Equal byte for byte.
    [[nodiscard]] friend constexpr bool operator==(build_id_view a, build_id_view b) noexcept {
        if (a.size() != b.size()) return false;
        for (std::size_t i = 0; i < a.size(); ++i)
            if (a.bytes_[i] != b.bytes_[i]) return false;
        return true;
    }

private:
    std::span<const std::byte> bytes_{};
};

/// Writes a build ID as lower-case hexadecimal digits, as `readelf -n` does.
template <class Sink>
constexpr void print(Sink&& sink, build_id_view id) {
    for (const std::byte b : id.bytes()) {
        detail::char_line<2> digits;
        digits.put(std::to_integer<std::uint64_t>(b), 16, 2);
        sink(digits.view());
    }
}

/// What is known about mapping::name.
enum class name_state : unsigned char {
    not_asked,  ///< names were not asked for
    exact,      ///< the kernel's bytes; empty: the mapping has no name
    escaped,    ///< parse: the text's own bytes, in which `\012` stands for a newline or for itself
    ambiguous,  ///< text: `\012` was decoded to a newline, but may have stood for itself
    too_long,   ///< longer than the buffer, or (ioctl) than PATH_MAX whatever the buffer; `name` is empty
    no_memory,  ///< the kernel had no memory for it; `name` is empty
};

/// One mapping. `name` and `build_id` borrow from the caller's buffer, from the walk or from the text that was parsed: a copy
/// that outlives those dangles.
struct mapping {
    std::uint64_t start = 0;  ///< first address
    std::uint64_t end = 0;    ///< first address behind it
    permission_set permissions{};  ///< what it permits
    name_state name_status = name_state::not_asked;  ///< what is known about `name`
    bool build_id_known = false;  ///< the build ID was asked for and is known; an empty one then means "has none"
    std::uint64_t offset = 0;     ///< in the file, in bytes; 0 where there is no file
    std::uint64_t page_size = 0;  ///< in bytes; 0: not known (text)
    std::uint64_t inode = 0;      ///< 0: no file, or a file without one (SysV): see file_backed()
    device_number device{};       ///< 0:0: no file
    std::string_view name{};        ///< path or `[heap]`-like name; unlinked files end in " (deleted)", but so may a file's own name
    build_id_view build_id{};       ///< of the mapped ELF file, where it was asked for

    [[nodiscard]] constexpr std::uint64_t size() const noexcept { return end - start; }  ///< in bytes
    /// Whether it holds the address.
    [[nodiscard]] constexpr bool contains(std::uint64_t address) const noexcept { return start <= address && address < end; }
    /// Whether a file is behind it, as the kernel's own filter decides: by the device too, for a SysV segment can have inode 0.
    [[nodiscard]] constexpr bool file_backed() const noexcept { return inode != 0 || device != device_number{}; }
    /// Whether the kernel's filter would let it pass.
    [[nodiscard]] constexpr bool passes(filters only) const noexcept {
        return permissions.has(permission_set::from_bits(only.bits() & 0x0f)) && (!only.has(filter::file_backed) || file_backed());
    }
};

inline constexpr std::size_t name_column_64 = 73;  ///< where a 64-bit kernel writes the name, in bytes from the line's start
inline constexpr std::size_t name_column_32 = 49;  ///< where a 32-bit kernel does
inline constexpr std::string_view escaped_newline = "\\012";  ///< how the kernel writes a newline in a name

/// Writes a mapping as the kernel writes its line, without the newline, to a callable that takes std::string_view pieces. A
/// newline in the name is written as `\012`; nothing is escaped twice. `name_column` is the running kernel's: name_column_32 or,
/// at most, name_column_64.
template <class Sink>
constexpr void print(Sink&& sink, const mapping& m, std::size_t name_column = name_column_64) {
    detail::char_line<128> head;  // 16 + 1 + 16 + 1 + 4 + 1 + 16 + 1 + 8 + 1 + 8 + 1 + 20 + 1, and two blanks
    head.put(m.start, 16, 8);
    head.put('-');
    head.put(m.end, 16, 8);
    head.put(' ');
    const auto to_head = [&head](std::string_view text) { head.put(text); };
    print(to_head, m.permissions);
    head.put(' ');
    head.put(m.offset, 16, 8);
    head.put(' ');
    print(to_head, m.device);
    head.put(' ');
    head.put(m.inode, 10);
    head.put(' ');
    if (!m.name.empty()) {
        head.put(' ');
        head.pad_to(name_column < name_column_64 ? name_column : name_column_64);
    }
    sink(head.view());
    for (std::string_view rest = m.name; !rest.empty();) {
        const std::size_t newline = rest.find('\n');
        sink(rest.substr(0, newline));
        if (newline == std::string_view::npos) break;
        sink(escaped_newline);
        rest.remove_prefix(newline + 1);
    }
}

}  // namespace procmap::inline PROCMAP_ABI
