// Reads recorded text one mapping at a time: maps, smaps, or a saved snapshot.
//
//   procmap::recorded_reader reader{text};
//   while (reader.next([](const procmap::error& wrong) { std::cerr << wrong << '\n'; return true; }))
//       if (reader.is_mapping()) use(reader.current());
#pragma once

#include <procmap/version.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <procmap/build_id.hpp>
#include <procmap/text.hpp>

namespace procmap::inline PROCMAP_ABI {

namespace detail {

/// Gets the value of a line "key: value" of smaps or of a saved snapshot. Returns false for any other line.
[[nodiscard]] constexpr bool keyed(std::string_view line, std::string_view key, std::string_view& value) noexcept {
    if (!line.starts_with(key) || line.substr(key.size(), 1) != ":") return false;
    value = line.substr(key.size() + 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    return true;
}

/// True if a line is "Key: ..." as in smaps.
[[nodiscard]] constexpr bool is_keyed(std::string_view line) noexcept {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || line.empty() || line[0] < 'A' || line[0] > 'Z') return false;
    return line.substr(0, colon).find(' ') == std::string_view::npos;
}

/// Returns log2 of a page size, or 0 if it is not known or invalid: not a power of two, or less than 1 KiB.
[[nodiscard]] constexpr std::uint8_t page_shift(std::uint64_t page_size) noexcept {
    const bool right = std::has_single_bit(page_size) && page_size >= 1024;
    return right ? static_cast<std::uint8_t>(std::countr_zero(page_size)) : std::uint8_t{0};
}

/// True if snapshot::parse would omit a mapping's printed line, as that of the kernel's gate VMA.
[[nodiscard]] constexpr bool prints_like_gate(const mapping& m) noexcept { return !m.file_backed() && m.name == "[vsyscall]"; }

/// Writes a mapping as maps text with its newline, and then what a maps line cannot hold: see print() of a snapshot.
template <class Sink>
void print_recorded(Sink& sink, mapping m) {
    const auto number = [&sink](std::uint64_t value, unsigned base, std::size_t width = 1) {
        char_line<20> digits;
        digits.put(value, base, width);
        sink(digits.view());
    };
    const std::string_view name = m.name;
    // The parser skips blanks before a name and rejects lines with the other two. Such a line is written without the name.
    const bool unnamed = name.starts_with(' ') || is_rollup(m) || ends_with_cr(m);
    const name_state status = m.name_status;
    if (unnamed) m.name = {};
    m.name_status = name_state::exact;  // what is not known follows the line, and is not written into it
    print(sink, m);
    m.name = name;
    m.name_status = status;
    sink("\n");
    if (prints_like_gate(m)) sink("Mapping:           yes\n");
    if (m.page_size != 0) sink("KernelPageSize:    "), number(m.page_size / 1024, 10), sink(" kB\n");
    if (m.build_id_known || !m.build_id.empty()) {
        sink("BuildID:           ");
        print(sink, m.build_id);
        sink("\n");
    }
    const bool literal = m.name.find(escaped_newline) != std::string_view::npos;
    const bool newline = m.name.find('\n') != std::string_view::npos;
    name_state read = literal || newline ? name_state::ambiguous : name_state::exact;  // what the line alone tells
    if (literal || (newline && m.name_status != name_state::ambiguous) || unnamed) {
        sink("NameBytes:         ");
        for (const char c : m.name) number(static_cast<unsigned char>(c), 16, 2);
        sink("\n");
        read = name_state::exact;
    }
    if (m.name_status != read) {
        sink("NameState:         ");
        sink(to_string(m.name_status));
        sink("\n");
    }
}

}  // namespace detail

/// Reads maps text, smaps text, or a saved snapshot: a mapping's line together with the keyed lines ("Key: value") that follow it. Of these
/// it reads KernelPageSize, BuildID, NameBytes, NameState and Mapping (see print()). snapshot::parse() keeps what this reads. Linear in the
/// text. Allocates only for names that differ from the text (`\012`, NameBytes). No system calls.
class recorded_reader {
public:
    /// Borrows `text`; nothing is read yet.
    explicit recorded_reader(std::string_view text, const parse_options& options = {}) noexcept : text_(text), options_(options) {}
    template <detail::temporary_text Text>
    explicit recorded_reader(const Text&&, const parse_options& = {}) = delete;  // the names would borrow from a temporary
    recorded_reader(const recorded_reader&) = delete;             // the mapping borrows from this
    recorded_reader& operator=(const recorded_reader&) = delete;

    /// Reads the next mapping. Returns false at the end of the text. For each malformed line it calls `wrong` with the error, which has the
    /// line number and the byte offset, and if it takes one with the line itself; `wrong` returns whether to continue. If it returns false, a mapping whose line precedes the
    /// malformed one is still returned, as read so far, and the next call returns false. Keyed lines after a mapping's malformed line are
    /// skipped. Errors: errc::malformed, and errc::not_maps for the line of smaps_rollup (see parse_line).
    template <class Wrong>
    [[nodiscard]] bool next(Wrong&& wrong) {
        while (!stopped_ && next_ < text_.size()) {
            const std::string_view text = take_line();
            if (is_keyed(text)) {
                if (!after_mapping_) refuse(wrong, errc::malformed);
                after_mapping_ = true;
                continue;
            }
            after_mapping_ = true;
            std::string_view rest = text;
            mapping read;
            if (const auto [code, at] = detail::read_line(rest, options_, read); code != errc::none) {
                refuse(wrong, code, at);
                continue;
            }
            at_ = line_offset_;
            line_ = text;
            current_ = read;
            is_mapping_ = current_.start != current_.end && (options_.gate || !detail::is_gate(rest, current_));
            for (const name_state missing : {name_state::not_asked, name_state::too_long, name_state::no_memory}) {
                if (current_.name != detail::missing_name(missing)) continue;  // as print() writes it
                current_.name = {};
                current_.name_status = missing;
            }
            if (current_.name_status == name_state::escaped) {
                name_.clear();
                detail::decode(current_.name, [this](char c) { name_ += c; });
                current_.name = name_;
                current_.name_status = name_state::ambiguous;
            }
            while (!stopped_ && next_ < text_.size() && is_keyed(text_.substr(next_, text_.find('\n', next_) - next_)))
                if (!annotate(take_line())) refuse(wrong, errc::malformed);
            return true;
        }
        return false;
    }

    /// Returns the mapping that next() read. Its name is decoded: name_state::ambiguous if the line contains `\012` and no NameBytes
    /// follows. The name and the build ID are valid until the next call of next().
    [[nodiscard]] const mapping& current() const noexcept { return current_; }
    [[nodiscard]] std::string_view line() const noexcept { return line_; }  ///< its line in the text, without the newline
    [[nodiscard]] std::uint64_t offset() const noexcept { return at_; }     ///< offset of that line in the text, in bytes
    /// False for a line that lists no mapping: `[vsyscall]` and the like (but see print()), or a range of zero length.
    [[nodiscard]] bool is_mapping() const noexcept { return is_mapping_; }

private:
    /// True for a line of smaps or of a saved snapshot that is no mapping's: a log's prefix can look like a key.
    [[nodiscard]] bool is_keyed(std::string_view line) const noexcept {
        return detail::is_keyed(line) && !(options_.prefix && parse_line(line, options_));
    }
    std::string_view take_line() noexcept {
        taken_ = text_.substr(next_, text_.find('\n', next_) - next_);
        line_offset_ = next_;
        next_ += taken_.size() + 1;
        ++number_;
        if (options_.carriage_return && taken_.ends_with('\r')) taken_.remove_suffix(1);
        return taken_;
    }
    template <class Wrong>
    void refuse(Wrong& wrong, errc code, std::uint64_t byte = 0) {
        const error failure{.code = code, .at = step::parse, .line = number_, .offset = line_offset_ + byte};
        if constexpr (std::is_invocable_v<Wrong&, const error&, std::string_view>)
            stopped_ = !wrong(failure, taken_);
        else
            stopped_ = !wrong(failure);
    }

    /// Applies a keyed line to the mapping. Returns false and changes nothing if the key is known and its value is invalid.
    bool annotate(std::string_view line) {
        std::string_view value;
        if (detail::keyed(line, "KernelPageSize", value)) {
            detail::line_scanner<> s{value.data(), value.data() + value.size()};
            std::uint64_t kib = 0;
            const bool read = s.decimal(kib) && s.literal(' ') && s.literal('k') && s.literal('B') && s.at == s.end;
            if (!read || kib > UINT64_MAX / 1024 || detail::page_shift(kib * 1024) == 0) return false;
            current_.page_size = kib * 1024;
            return true;
        }
        if (detail::keyed(line, "BuildID", value)) {
            const auto id = build_id::parse(value);
            if (!id && !value.empty()) return false;
            id_ = id.value_or(build_id{});
            current_.build_id = build_id_view{id_.bytes()};
            current_.build_id_known = true;
            return true;
        }
        if (detail::keyed(line, "NameBytes", value)) {  // the kernel's bytes, where the mapping's line is ambiguous
            std::string name;
            for (std::size_t i = 0; i < value.size(); i += 2) {
                const unsigned high = detail::digit_values[value[i]];
                const unsigned low = i + 1 < value.size() ? detail::digit_values[value[i + 1]] : 16;
                if (high == 16 || low == 16) return false;
                name += static_cast<char>(high << 4 | low);
            }
            current_.name = name_ = std::move(name);
            current_.name_status = name_state::exact;
            return true;
        }
        if (detail::keyed(line, "NameState", value)) {
            for (const name_state status : {name_state::not_asked, name_state::exact, name_state::ambiguous, name_state::too_long, name_state::no_memory})
                if (value == to_string(status)) return current_.name_status = status, true;
            return false;
        }
        if (detail::keyed(line, "Mapping", value)) {
            if (value != "yes") return false;
            is_mapping_ = current_.start != current_.end;
            return true;
        }
        return true;  // any other line of smaps
    }

    std::string_view text_;
    parse_options options_;
    std::string_view line_{};
    std::string_view taken_{};     // the line that is being read
    std::size_t at_ = 0;           // offset of line_
    std::size_t line_offset_ = 0;  // offset of the line that is being read
    std::size_t next_ = 0;         // offset of the line after it
    std::uint64_t number_ = 0;
    bool is_mapping_ = false;
    bool after_mapping_ = false;  // a mapping's line was read or rejected
    bool stopped_ = false;
    mapping current_{};
    build_id id_{};
    std::string name_{};
};

}  // namespace procmap::inline PROCMAP_ABI
