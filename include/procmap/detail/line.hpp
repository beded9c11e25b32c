// Scans a line of maps text.
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include <procmap/mapping.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// A temporary that the mapping would borrow from, such as a std::string.
template <class Text>
concept temporary_text = std::is_class_v<Text> && !std::is_same_v<std::remove_cv_t<Text>, std::string_view> &&
                         std::is_convertible_v<Text, std::string_view>;

/// Reads fields from left to right. Each step returns false if it fails; `at` is then the first wrong byte.
template <bool Loose = false>
struct line_scanner {
    const char* at;
    const char* end;

    [[nodiscard]] static constexpr bool is_blank(char c) noexcept { return c == ' ' || (Loose && c == '\t'); }
    constexpr void skip_blanks() noexcept {
        at = skip_byte(at, end, ' ');
        while (Loose && at != end && is_blank(*at)) ++at;
    }
    constexpr bool blank() noexcept {
        if (at == end || !is_blank(*at)) return false;
        ++at;
        if (Loose) skip_blanks();
        return true;
    }

    constexpr bool literal(char c) noexcept {
        if (at == end || *at != c) return false;
        ++at;
        return true;
    }
    constexpr bool hexadecimal(std::uint64_t& value, std::ptrdiff_t most = 16) noexcept {
        const char* const first = at;
        const char* const limit = end - at > most ? at + most : end;
        const char* digit = at;  // in a register: for all that the compiler knows, `at` and `value` may alias
        std::uint64_t sum = 0;
        for (; digit != limit && digit_values[*digit] < 16; ++digit) sum = sum << 4 | digit_values[*digit];
        value = sum;
        at = digit;
        return at != first && (at == end || digit_values[*at] == 16);
    }
    constexpr bool decimal(std::uint64_t& value) noexcept {
        constexpr std::ptrdiff_t safe = 19;  // this many digits cannot overflow; a kernel writes at most one more
        const char* const first = at;
        std::uint64_t sum = 0;
        for (; at != end && digit_values[*at] < 10; ++at) {
            const unsigned digit = digit_values[*at];
            if (at - first >= safe && (at - first > safe || sum > (UINT64_MAX - digit) / 10)) return false;
            sum = sum * 10 + digit;
        }
        value = sum;
        return at != first;
    }
    /// Reads `yes`, which sets the flag, or `no`. Without a branch, which would often be mispredicted.
    constexpr bool either(char yes, char no, perm flag, permission_set& out) noexcept {
        if (at == end || (*at - yes) * (*at - no) != 0) return false;
        out |= permission_set::from_bits(static_cast<std::uint32_t>(flag) * (*at == yes));
        ++at;
        return true;
    }
    /// The same with a second spelling of each.
    constexpr bool either(char yes, char no, char also_yes, char also_no, perm flag, permission_set& out) noexcept {
        if (at == end || (*at != also_yes && *at != also_no)) return either(yes, no, flag, out);
        if (*at == also_yes) out |= flag;
        ++at;
        return true;
    }
};

/// True if `text` begins with `\012`.
[[nodiscard]] constexpr bool starts_with_escape(const char* text, const char* end) noexcept {
    const std::size_t size = escaped_newline.size();
    return static_cast<std::size_t>(end - text) >= size && same_bytes(text, escaped_newline.data(), size);
}

[[nodiscard]] constexpr bool has_escape(std::string_view name) noexcept {
    const char* const end = name.data() + name.size();
    for (const char* at = name.data(); (at = find_byte(at, end, '\\')) != end; ++at)
        if (starts_with_escape(at, end)) return true;
    return false;
}

/// Takes the next character of a name in maps text, in which `\012` is a newline. `name` must not be empty.
constexpr char take_decoded(std::string_view& name) noexcept {
    const bool newline = starts_with_escape(name.data(), name.data() + name.size());
    const char c = newline ? '\n' : name.front();
    name.remove_prefix(newline ? escaped_newline.size() : 1);
    return c;
}

template <class Put>
constexpr void decode(std::string_view name, Put put) {
    while (!name.empty()) put(take_decoded(name));
}

inline constexpr std::size_t whole_line = std::string_view::npos;

/// Reads one line, without its newline, into `m`. Returns `whole_line`, or the offset of the first wrong byte. Like the rest of parse_line,
/// it calls nothing of the C library and throws nothing. `Loose`: any number of blanks and tabs where the kernel writes one blank.
template <bool Loose = false>
constexpr std::size_t scan_line(std::string_view line, mapping& m) noexcept {
    line_scanner<Loose> s{line.data(), line.data() + line.size()};
    std::uint64_t major = 0;
    std::uint64_t minor = 0;
    const bool head = s.hexadecimal(m.start) && s.literal('-') && s.hexadecimal(m.end) && s.blank() &&
                      s.either('r', '-', perm::read, m.permissions) && s.either('w', '-', perm::write, m.permissions) &&
                      s.either('x', '-', perm::execute, m.permissions) && s.either('s', 'p', 'S', '-', perm::shared, m.permissions) &&
                      s.blank() &&
                      s.hexadecimal(m.offset) && s.blank() && s.hexadecimal(major, 8) && s.literal(':') &&
                      s.hexadecimal(minor, 8) && s.blank() && s.decimal(m.inode) && (s.at == s.end || s.is_blank(*s.at));
    if (!head) return static_cast<std::size_t>(s.at - line.data());
    if (m.start > m.end) return 0;
    m.device = {static_cast<std::uint32_t>(major), static_cast<std::uint32_t>(minor)};
    s.skip_blanks();
    m.name = {s.at, static_cast<std::size_t>(s.end - s.at)};
    m.name_status = has_escape(m.name) ? name_state::escaped : name_state::exact;
    return whole_line;
}

/// True if a name is `literal`.
template <std::size_t Size>
[[nodiscard]] constexpr bool is_name(std::string_view name, const char (&literal)[Size]) noexcept {
    return name.size() == Size - 1 && same_bytes(name.data(), literal, Size - 1);
}

/// True if a line that scan_line read is of a gate VMA. Text lists it after the mappings, but it is in no address space, so the ioctl never
/// reports it (get_gate_vma(), m_start()). Two kernels with the ioctl have one: x86-64 and 32-bit ARM. An arm64 kernel maps a page with
/// ARM's name into 32-bit processes; that is a mapping, and its name is in the column of a 64-bit kernel.
constexpr bool is_gate(std::string_view line, const mapping& m) noexcept {
    return !m.file_backed() &&
           (is_name(m.name, "[vsyscall]") || (is_name(m.name, "[vectors]") && m.name.data() - line.data() == static_cast<std::ptrdiff_t>(name_column_32)));
}

/// True if a line that scan_line read is that of smaps_rollup, whose range is not a mapping's (show_smaps_rollup()).
constexpr bool is_rollup(const mapping& m) noexcept { return is_name(m.name, "[rollup]") && !m.file_backed(); }

/// True if the line of a mapping without a file ended with CR LF: no kernel writes such a name with a carriage return at its end.
constexpr bool ends_with_cr(const mapping& m) noexcept { return !m.name.empty() && m.name.data()[m.name.size() - 1] == '\r' && !m.file_backed(); }

}  // namespace procmap::inline PROCMAP_ABI::detail
