// The text of /proc/PID/maps, read and written: one strict line parser, pure and constexpr.
//
// Source: show_map_vma() in fs/proc/task_mmu.c, proc_pid_maps(5). A line is
//   start-end perms offset major:minor inode [blanks name]
// with addresses and offset in hexadecimal (at least eight digits), the device in hexadecimal, the inode in decimal. A 64-bit
// kernel pads with blanks up to byte 73, a 32-bit one up to byte 49, other systems differently. No kernel writes a name that
// begins with a blank, so the name is what follows the padding. A newline in a name is written as `\012`; nothing else is
// escaped, so a name that holds those four characters itself looks the same.
//
// Text of other writers is read as well: `S` for shared (kernels without MMU), `-` for private (WSL1), and mappings of zero
// length (guards of old 32-bit kernels and of Android), which only parse() and parse_line() return.
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include <procmap/mapping.hpp>
#include <procmap/result.hpp>

namespace procmap::inline PROCMAP_ABI {

namespace detail {

/// Text that would be gone before the mapping that borrows from it: a temporary std::string, say.
template <class Text>
concept temporary_text = std::is_class_v<Text> && !std::is_same_v<std::remove_cv_t<Text>, std::string_view> &&
                         std::is_convertible_v<Text, std::string_view>;

/// Reads fields from the left. Every step says whether it could; after one that could not, `at` is the byte that is wrong.
struct line_scanner {
    const char* at;
    const char* end;

    constexpr bool literal(char c) noexcept {
        if (at == end || *at != c) return false;
        ++at;
        return true;
    }
    /// 1 to `most` hexadecimal digits.
    constexpr bool hexadecimal(std::uint64_t& value, std::ptrdiff_t most = 16) noexcept {
        const char* const first = at;
        const char* const limit = end - at > most ? at + most : end;
        const char* digit = at;  // in a register: `at` and `value` may be one, for all that the compiler knows
        std::uint64_t sum = 0;
        for (; digit != limit && digit_values[*digit] < 16; ++digit) sum = sum << 4 | digit_values[*digit];
        value = sum;
        at = digit;
        return at != first && (at == end || digit_values[*at] == 16);
    }
    constexpr bool decimal(std::uint64_t& value) noexcept {
        constexpr std::ptrdiff_t safe = 19;  // so many digits cannot overflow; one more is the most that a kernel writes
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
    /// `yes`, which sets the flag, or `no`. Computed: a branch on which of them it is would be foretold wrong too often.
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

/// Takes the next character of a name in maps text, in which `\012` is a newline. `name` must not be empty.
constexpr char take_decoded(std::string_view& name) noexcept {
    const bool newline = name.starts_with(escaped_newline);
    const char c = newline ? '\n' : name.front();
    name.remove_prefix(newline ? escaped_newline.size() : 1);
    return c;
}

/// Calls `put` with each character of a name in maps text, decoded.
template <class Put>
constexpr void decode(std::string_view name, Put put) {
    while (!name.empty()) put(take_decoded(name));
}

/// What stands before the name in nearly every line; compared at once.
inline constexpr std::string_view blanks = "                                                                         ";
static_assert(blanks.size() == name_column_64);

/// Returns where the name begins in a line whose inode ends before `after_inode`, or the line's size if it has none.
constexpr std::size_t name_start(std::string_view line, std::size_t after_inode) noexcept {
    if (after_inode < name_column_64 && line.size() > name_column_64 && line[name_column_64] != ' ' &&
        line.substr(after_inode, name_column_64 - after_inode) == blanks.substr(after_inode))
        return name_column_64;
    const std::size_t text = line.find_first_not_of(' ', after_inode);
    return text == std::string_view::npos ? line.size() : text;
}

inline constexpr std::size_t whole_line = std::string_view::npos;

/// Reads one line, without its newline, into `m`. `whole_line`, or the byte at which it is no maps line.
constexpr std::size_t scan_line(std::string_view line, mapping& m) noexcept {
    line_scanner s{line.data(), line.data() + line.size()};
    std::uint64_t major = 0;
    std::uint64_t minor = 0;
    const bool head = s.hexadecimal(m.start) && s.literal('-') && s.hexadecimal(m.end) && s.literal(' ') &&
                      s.either('r', '-', perm::read, m.permissions) && s.either('w', '-', perm::write, m.permissions) &&
                      s.either('x', '-', perm::execute, m.permissions) && s.either('s', 'p', 'S', '-', perm::shared, m.permissions) &&
                      s.literal(' ') &&
                      s.hexadecimal(m.offset) && s.literal(' ') && s.hexadecimal(major, 8) && s.literal(':') &&
                      s.hexadecimal(minor, 8) && s.literal(' ') && s.decimal(m.inode) && (s.at == s.end || *s.at == ' ');
    const auto read = static_cast<std::size_t>(s.at - line.data());
    if (!head) return read;
    if (m.start > m.end) return 0;
    m.device = {static_cast<std::uint32_t>(major), static_cast<std::uint32_t>(minor)};
    m.name = line.substr(name_start(line, read));
    m.name_status = m.name.find(escaped_newline) == std::string_view::npos ? name_state::exact : name_state::escaped;
    return whole_line;
}

/// Whether a line that scan_line read is of a gate VMA: text lists it behind the mappings, but it is in no address space, so the
/// ioctl never reports it (get_gate_vma(), m_start()). Two kernels that have the ioctl have one: x86-64, and 32-bit ARM. An arm64
/// kernel maps a page of ARM's name into 32-bit processes; that one is a mapping, and its name stands where a 64-bit kernel puts it.
constexpr bool is_gate(std::string_view line, const mapping& m) noexcept {
    return !m.file_backed() &&
           (m.name == "[vsyscall]" || (m.name == "[vectors]" && m.name.data() == line.data() + name_column_32));
}

/// Whether a line that scan_line read is that of smaps_rollup, whose range is no mapping's (show_smaps_rollup()).
constexpr bool is_rollup(const mapping& m) noexcept { return m.name == "[rollup]" && !m.file_backed(); }

/// Whether the line of a mapping without a file ended with CR LF: no kernel's name of such a mapping ends with a carriage return.
constexpr bool ends_with_cr(const mapping& m) noexcept { return m.name.ends_with('\r') && !m.file_backed(); }

}  // namespace detail

/// Reads one line of a maps file, without its newline. The name borrows from `line` and is the text's own bytes:
/// name_state::escaped says that `\012` stands in it. Anything that no kernel writes is errc::malformed, with the byte in
/// `offset`; so is a line that ends with CR LF, unless it is of a file, whose name may end with CR. The line of smaps_rollup, which lists
/// no mappings, is errc::not_maps. A range of zero length is read as it stands: old 32-bit kernels and Android list such guards. No
/// system call, no allocation, signal-safe.
[[nodiscard]] constexpr result<mapping> parse_line(std::string_view line) noexcept {
    result<mapping> read{mapping{}};
    const std::size_t wrong = detail::scan_line(line, *read);
    if (wrong == detail::whole_line) {
        if (detail::ends_with_cr(*read)) return error{.code = errc::malformed, .at = step::parse, .line = 1, .offset = line.size() - 1};
        if (!detail::is_rollup(*read)) return read;
        const auto name = static_cast<std::uint64_t>(read->name.data() - line.data());
        return error{.code = errc::not_maps, .at = step::parse, .line = 1, .offset = name};
    }
    return error{.code = errc::malformed, .at = step::parse, .line = 1, .offset = wrong};
}
template <detail::temporary_text Text>
result<mapping> parse_line(Text&&) = delete;  // the name would borrow from a temporary

/// The lines of a recorded maps file, in their order: a range of result<mapping>. See parse().
class parsed_lines {
public:
    /// The end.
    struct sentinel {};
    /// An input iterator over the lines.
    class iterator {
    public:
        /// What an input iterator has; a step reads one line.
        ///@{
        using value_type = result<mapping>;
        using difference_type = std::ptrdiff_t;

        constexpr explicit iterator(std::string_view text) noexcept : text_(text) { read(); }
        [[nodiscard]] constexpr const result<mapping>& operator*() const noexcept { return current_; }
        [[nodiscard]] constexpr const result<mapping>* operator->() const noexcept { return &current_; }
        constexpr iterator& operator++() noexcept {
            offset_ += size_ + 1;
            read();
            return *this;
        }
        constexpr void operator++(int) noexcept { ++*this; }
        [[nodiscard]] friend constexpr bool operator==(const iterator& i, sentinel) noexcept {
            return i.offset_ >= i.text_.size();
        }
        ///@}

    private:
        constexpr void read() noexcept {
            if (*this == sentinel{}) return;
            const std::size_t newline = text_.find('\n', offset_);
            size_ = (newline == std::string_view::npos ? text_.size() : newline) - offset_;
            ++line_;
            current_ = parse_line(text_.substr(offset_, size_));
            if (current_) return;
            error failure = current_.error();
            failure.line = line_;
            failure.offset += offset_;
            current_ = failure;
        }

        std::string_view text_;
        std::size_t offset_ = 0;
        std::size_t size_ = 0;
        std::uint64_t line_ = 0;
        result<mapping> current_{mapping{}};
    };

    constexpr explicit parsed_lines(std::string_view text) noexcept : text_(text) {}          ///< borrows `text`
    [[nodiscard]] constexpr iterator begin() const noexcept { return iterator{text_}; }       ///< the first line, read
    [[nodiscard]] constexpr sentinel end() const noexcept { return {}; }                      ///< behind the last

private:
    std::string_view text_;
};

/// Reads recorded maps text, line by line; `[vsyscall]` is in it as in the text. A line that parse_line refuses comes as an error
/// with its number and the byte's offset in the text, and the lines after it still come. Borrows from `text`.
[[nodiscard]] constexpr parsed_lines parse(std::string_view text) noexcept { return parsed_lines{text}; }
template <detail::temporary_text Text>
parsed_lines parse(Text&&) = delete;  // the names would borrow from a temporary

}  // namespace procmap::inline PROCMAP_ABI
