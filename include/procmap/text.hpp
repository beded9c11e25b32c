// Parses the text of /proc/PID/maps. One strict line parser, pure and constexpr.
//
//   for (const auto& line : procmap::parse(text))
//       if (line) use(line->start, line->end, line->name);
//
// Source: show_map_vma() in fs/proc/task_mmu.c, proc_pid_maps(5). A line is
//   start-end perms offset major:minor inode [blanks name]
// Addresses and offset are hexadecimal (the kernel writes at least eight digits), the device is hexadecimal, the inode decimal. A 64-bit
// kernel pads with blanks up to byte 73, a 32-bit one up to byte 49, other systems differently. No kernel writes a name that begins with a
// blank, so the name follows the padding. A newline in a name is written as `\012`; nothing else is escaped, so a name that contains those
// four characters looks the same. Text of other systems is read as well: `S` for shared (kernels without an MMU), `-` for private (WSL1),
// and ranges of zero length (guards of old 32-bit kernels and of Android), which walks and snapshots omit.
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <procmap/detail/line.hpp>
#include <procmap/mapping.hpp>
#include <procmap/result.hpp>

namespace procmap::inline PROCMAP_ABI {

/// What is tolerated beyond what Linux writes, and what else is a mapping. By default, nothing.
struct parse_options {
    bool blanks = false;           ///< any number of blanks and tabs before the line and where the kernel writes one blank
    bool carriage_return = false;  ///< a CR at the end of the line, which is removed, also from the name of a file
    bool prefix = false;  ///< text before the line, such as a time stamp of a log. The line begins after no letter or digit
    bool gate = false;    ///< a stream or a recording has the kernel's gate VMA ([vsyscall]); parse_line and parse() always return it
};

namespace detail {

/// What is wrong with a line: errc::none if nothing is, or errc::malformed or not_maps and the offset of the first wrong byte.
struct line_fault {
    errc code = errc::none;
    std::size_t at = 0;
};

/// Reads one line into `m`, and removes from `line` what the options permit. `Strict`: they permit nothing, known where the code is compiled.
template <bool Strict = false>
[[nodiscard]] constexpr line_fault read_line(std::string_view& line, const parse_options& tolerated, mapping& m) noexcept {
    const parse_options options = Strict ? parse_options{} : tolerated;
    const std::string_view given = line;
    const auto scan = [&](std::string_view text) { return options.blanks ? scan_line<true>(text, m) : scan_line(text, m); };
    if (options.carriage_return && !line.empty() && line.data()[line.size() - 1] == '\r') line = {line.data(), line.size() - 1};
    const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
    while (options.blanks && !line.empty() && is_blank(*line.data())) line = {line.data() + 1, line.size() - 1};
    std::size_t wrong = scan(line);
    if (wrong != whole_line && options.prefix) {
        for (std::size_t at = 1; at < line.size(); ++at) {
            const char before = line.data()[at - 1];
            const char lower = static_cast<char>(before | 0x20);
            if (('0' <= before && before <= '9') || ('a' <= lower && lower <= 'z') || is_blank(line.data()[at])) continue;
            const std::string_view rest{line.data() + at, line.size() - at};
            m = {};
            if (scan(rest) != whole_line) continue;
            line = rest;
            wrong = whole_line;
            break;
        }
    }
    if (wrong != whole_line) return {errc::malformed, wrong + static_cast<std::size_t>(line.data() - given.data())};
    if (ends_with_cr(m)) return {errc::malformed, given.size() - 1};
    if (is_rollup(m)) return {errc::not_maps, static_cast<std::size_t>(m.name.data() - given.data())};
    return {};
}

/// See parse_line.
template <bool Strict>
[[nodiscard]] constexpr result<mapping> parsed(std::string_view line, const parse_options& options) noexcept {
    mapping m;
    const auto [code, at] = read_line<Strict>(line, options, m);
    if (code == errc::none) return m;
    return error{.code = code, .at = step::parse, .line = 1, .offset = at};
}

}  // namespace detail

/// Parses one line of a maps file, without its newline. The name borrows from `line` and has the text's bytes; name_state::escaped means
/// that it contains `\012`. Fails with errc::malformed and the byte in `offset` for any other form; only the number of digits and of blanks
/// before the name is free. A line that ends with CR LF is malformed, unless it has a file, whose name may end with CR. Fails with
/// errc::not_maps for the line of smaps_rollup, which lists no mappings. Returns ranges of zero length (guards of old 32-bit kernels and
/// Android). No system calls, no allocation, signal-safe. Needs no C library but memcpy and memset, which compilers call by themselves.
[[nodiscard]] constexpr result<mapping> parse_line(std::string_view line) noexcept { return detail::parsed<true>(line, {}); }
/// The same with what is tolerated beyond that.
[[nodiscard]] constexpr result<mapping> parse_line(std::string_view line, const parse_options& options) noexcept {
    return detail::parsed<false>(line, options);
}
template <detail::temporary_text Text>
result<mapping> parse_line(Text&&, const parse_options& = {}) = delete;  // the name would borrow from a temporary

/// The lines of a recorded maps file in order, as a range of result<mapping>. See parse().
class parsed_lines {
public:
    struct sentinel {};  ///< the end of the range
    /// An input iterator over the lines.
    class iterator {
    public:
        /// As in any input iterator. A step parses one line.
        ///@{
        using value_type = result<mapping>;
        using difference_type = std::ptrdiff_t;

        constexpr iterator(std::string_view text, const parse_options& options) noexcept : text_(text), options_(options) { read(); }
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
        [[nodiscard]] constexpr std::string_view line() const noexcept { return text_.substr(offset_, size_); }  ///< the line, as it is

    private:
        constexpr void read() noexcept {
            if (*this == sentinel{}) return;
            const std::size_t newline = text_.find('\n', offset_);
            size_ = (newline == std::string_view::npos ? text_.size() : newline) - offset_;
            ++line_;
            current_ = parse_line(line(), options_);
            if (current_) return;
            error failure = current_.error();
            failure.line = line_;
            failure.offset += offset_;
            current_ = failure;
        }

        std::string_view text_;
        parse_options options_;
        std::size_t offset_ = 0;
        std::size_t size_ = 0;
        std::uint64_t line_ = 0;
        result<mapping> current_{mapping{}};
    };

    constexpr explicit parsed_lines(std::string_view text, const parse_options& options = {}) noexcept
        : text_(text), options_(options) {}                                                         ///< borrows `text`
    [[nodiscard]] constexpr iterator begin() const noexcept { return iterator{text_, options_}; }  ///< the first line, parsed
    [[nodiscard]] constexpr sentinel end() const noexcept { return {}; }                           ///< past the last line

private:
    std::string_view text_;
    parse_options options_;
};

/// Parses recorded maps text line by line, including `[vsyscall]`. A line that parse_line rejects is returned as an error with its line
/// number and byte offset in the text, and parsing continues after it; iterator::line() is the line. The last line needs no newline. Borrows
/// from `text`.
[[nodiscard]] constexpr parsed_lines parse(std::string_view text, const parse_options& options = {}) noexcept {
    return parsed_lines{text, options};
}
template <detail::temporary_text Text>
parsed_lines parse(Text&&, const parse_options& = {}) = delete;  // the names would borrow from a temporary

}  // namespace procmap::inline PROCMAP_ABI
