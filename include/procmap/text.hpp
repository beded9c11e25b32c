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

/// Parses one line of a maps file, without its newline. The name borrows from `line` and has the text's bytes; name_state::escaped means
/// that it contains `\012`. Fails with errc::malformed and the byte in `offset` for any other form; only the number of digits and of blanks
/// before the name is free. A line that ends with CR LF is malformed, unless it has a file, whose name may end with CR. Fails with
/// errc::not_maps for the line of smaps_rollup, which lists no mappings. Returns ranges of zero length (guards of old 32-bit kernels and
/// Android). No system calls, no allocation, signal-safe.
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
    [[nodiscard]] constexpr iterator begin() const noexcept { return iterator{text_}; }       ///< the first line, parsed
    [[nodiscard]] constexpr sentinel end() const noexcept { return {}; }                      ///< past the last line

private:
    std::string_view text_;
};

/// Parses recorded maps text line by line, including `[vsyscall]`. A line that parse_line rejects is returned as an error with its line
/// number and byte offset in the text, and parsing continues after it. Borrows from `text`.
[[nodiscard]] constexpr parsed_lines parse(std::string_view text) noexcept { return parsed_lines{text}; }
template <detail::temporary_text Text>
parsed_lines parse(Text&&) = delete;  // the names would borrow from a temporary

}  // namespace procmap::inline PROCMAP_ABI
