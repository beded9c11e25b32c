// One mapping (VMA) of an address space, as both back-ends report it.
//
//   if (const auto m = self->find(address, {.name = name})) std::cout << *m << ' ' << m->size() << '\n';
#pragma once

#include <procmap/version.hpp>

#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include <procmap/detail/digits.hpp>
#include <procmap/flags.hpp>
#include <procmap/print.hpp>

namespace procmap::inline PROCMAP_ABI {

/// The device of the file's superblock, as maps shows it ("fe:00"). On btrfs and overlayfs, stat(2) shows another one.
struct device_number {
    std::uint32_t major = 0;  ///< 0: no block device (tmpfs, overlayfs, btrfs, ...)
    std::uint32_t minor = 0;  ///< number within `major`
    [[nodiscard]] friend constexpr auto operator<=>(const device_number&, const device_number&) noexcept = default;  ///< major, then minor
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

/// A non-owning view of a build ID. Empty: there is none, or it is not known (see mapping::build_id_known).
class build_id_view {
public:
    constexpr build_id_view() noexcept = default;  ///< empty
    constexpr explicit build_id_view(std::span<const std::byte> bytes) noexcept : bytes_(bytes) {}  ///< borrows `bytes`

    [[nodiscard]] constexpr std::span<const std::byte> bytes() const noexcept { return bytes_; }  ///< as in the ELF note
    [[nodiscard]] constexpr bool empty() const noexcept { return bytes_.empty(); }  ///< true if there is none, or it is not known
    [[nodiscard]] constexpr std::size_t size() const noexcept { return bytes_.size(); }  ///< size in bytes

    /// Compares the bytes.
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

/// An address, as functions take one: a number, or a pointer to an object or a function. Bits of a pointer that are no address (the tags of
/// arm64) are not removed. On ppc64 with ELFv1, a pointer to a function is the address of its descriptor.
class any_address {
public:
    /// A number. A signed one of a register's size, as some ucontext_t have, is not sign-extended.
    template <std::integral Number>
        requires(!std::is_same_v<Number, bool>)
    constexpr any_address(Number address) noexcept : value_(static_cast<std::uint64_t>(address)) {
        if constexpr (sizeof(Number) == sizeof(std::uintptr_t)) value_ = static_cast<std::uintptr_t>(address);
    }
    /// What converts to a number.
    template <class T>
        requires(!std::is_arithmetic_v<T> && !std::is_pointer_v<T> && !std::is_base_of_v<any_address, T> && std::is_convertible_v<const T&, std::uint64_t>)
    constexpr any_address(const T& address) : value_(address) {}
    template <class T>
    any_address(T* pointer) noexcept : value_(reinterpret_cast<std::uintptr_t>(pointer)) {}  ///< what the pointer holds
    [[nodiscard]] constexpr std::uint64_t value() const noexcept { return value_; }          ///< as a number

private:
    std::uint64_t value_;
};

/// The state of mapping::name.
enum class name_state : unsigned char {
    not_asked,  ///< names were not requested
    exact,      ///< the kernel's bytes; empty: the mapping has no name
    escaped,    ///< parse: the bytes of the text, which contain `\012`: a newline or those four characters
    ambiguous,  ///< text: `\012` was decoded to a newline, but the name may contain those four characters
    too_long,   ///< longer than the buffer, or (ioctl) than PATH_MAX; `name` is empty
    no_memory,  ///< the kernel had no memory for it; `name` is empty
};

/// Returns the name of the enumerator.
[[nodiscard]] constexpr std::string_view to_string(name_state state) noexcept {
    constexpr std::string_view names[] = {"not_asked", "exact", "escaped", "ambiguous", "too_long", "no_memory"};
    return detail::name_of(names, state);
}

/// One mapping. `name` and `build_id` borrow from the caller's buffer, the walk or the parsed text; a copy must not outlive these: see
/// owned_mapping. A requested name from find() or a walk is NUL-terminated.
struct mapping {
    std::uint64_t start = 0;  ///< first address
    std::uint64_t end = 0;    ///< end address (exclusive)
    permission_set permissions{};  ///< what it permits
    name_state name_status = name_state::not_asked;  ///< state of `name`
    bool build_id_known = false;  ///< requested and known; an empty build ID then means that there is none
    std::uint64_t offset = 0;     ///< file offset in bytes; 0 without a file
    std::uint64_t page_size = 0;  ///< in bytes; 0: not known (text)
    std::uint64_t inode = 0;      ///< 0: no file, or a file without inode (System V): see file_backed()
    device_number device{};       ///< 0:0: no file
    std::string_view name{};        ///< path, or a name like `[heap]`; " (deleted)" at its end: unlinked, or a file with that name
    build_id_view build_id{};       ///< of the mapped ELF file, if requested

    [[nodiscard]] constexpr std::uint64_t size() const noexcept { return end - start; }  ///< size in bytes
    /// True if the mapping contains the address.
    [[nodiscard]] constexpr bool contains(any_address address) const noexcept { return start <= address.value() && address.value() < end; }
    /// True if it has a file, as the kernel's filter decides. The device counts too, because a System V segment can have inode 0.
    [[nodiscard]] constexpr bool file_backed() const noexcept { return inode != 0 || device != device_number{}; }
    /// True if the mapping matches the kernel's filters.
    [[nodiscard]] constexpr bool passes(filters only) const noexcept {
        return permissions.has(permission_set::from_bits(only.bits() & 0x0f)) && (!only.has(filter::file_backed) || file_backed());
    }
};

inline constexpr std::size_t name_column_64 = 73;  ///< offset of the name in a 64-bit kernel's line, in bytes
inline constexpr std::size_t name_column_32 = 49;  ///< offset of the name in a 32-bit kernel's line, in bytes
inline constexpr std::string_view escaped_newline = "\\012";  ///< how the kernel writes a newline in a name

namespace detail {

/// Returns what is written in place of a name that is not there.
[[nodiscard]] constexpr std::string_view missing_name(name_state state) noexcept {
    if (state == name_state::not_asked) return "(name not requested)";
    if (state == name_state::too_long) return "(name too long)";
    return state == name_state::no_memory ? "(no memory for the name)" : "";
}

}  // namespace detail

/// Writes a name as maps does: a newline as `\012`, everything else as it is.
template <class Sink>
constexpr void print_name(Sink&& sink, std::string_view name) {
    const char* const end = name.data() + name.size();
    for (const char* at = name.data(); at != end;) {
        const char* const newline = detail::find_byte(at, end, '\n');
        if (newline != at) sink(std::string_view{at, static_cast<std::size_t>(newline - at)});
        if (newline == end) break;
        sink(escaped_newline);
        at = newline + 1;
    }
}

/// Writes a mapping as the kernel's line, without the newline at its end, to a callable that takes std::string_view pieces. Escapes nothing
/// twice. A name that was not requested, or that could not be obtained, is written as "(name not requested)", "(name too long)" or "(no
/// memory for the name)"; no kernel writes such a name, and recorded_reader reads it as what it says. `name_column`: as in the kernel,
/// name_column_32 or (at most) name_column_64.
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
    const std::string_view name = m.name.empty() ? detail::missing_name(m.name_status) : m.name;
    if (!name.empty()) {
        head.put(' ');
        head.pad_to(name_column < name_column_64 ? name_column : name_column_64);
    }
    sink(head.view());
    print_name(sink, name);
}

}  // namespace procmap::inline PROCMAP_ABI
