// Cuts maps text that arrives in pieces into mappings.
#pragma once

#include <procmap/version.hpp>

#include <span>

#include <procmap/text.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// Room for a line's head, which is all but its name and newline: at most 97 bytes.
inline constexpr std::size_t text_head_room = 128;

/// The text in a buffer, which the user of this class fills, and the place in it. A line may be longer than the buffer.
class text_lines {
public:
    /// What the next mapping must have.
    struct request {
        std::uint64_t above = 0;      ///< it ends above this address
        std::size_t name_room = 0;    ///< names of up to `name_room` - 1 bytes, and shorter than the buffer; 0: no names
        parse_options options{};
    };
    enum class outcome : unsigned char { mapping, more_text, wrong_line };

    /// Takes the next mapping. `Strict`: see read_line(). `buffer`: the same on every call, at least twice text_head_room. `m.name` borrows from it, decoded and with a
    /// NUL after it.
    template <bool Strict>
    [[nodiscard]] outcome next(std::span<char> buffer, const request& want, mapping& m) noexcept {
        for (;;) {
            const std::string_view unread{buffer.data() + begin_, filled_ - begin_};
            const std::size_t newline = unread.find('\n');
            const bool whole = newline != std::string_view::npos;
            if (!whole && unread.size() < buffer.size()) return outcome::more_text;
            std::string_view line = unread.substr(0, newline);
            const std::size_t after = begin_ + (whole ? newline + 1 : line.size());
            if (skipping_) {  // inside a line that is longer than the buffer
                begin_ = after;
                skipping_ = !whole;
                continue;
            }
            if (only_name_) {
                m = head_;
                m.name = !Strict && want.options.carriage_return && line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
                m.name_status = has_escape(m.name) ? name_state::escaped : name_state::exact;
            } else {
                ++line_;
                m = {};
                line_fault fault = read_line<Strict>(line, want.options, m);
                // What the buffer cuts off may be digits, where an option lets much stand before the line.
                if (!Strict && !whole && fault.code == errc::none && m.name.empty()) fault = {errc::malformed, unread.size()};
                if (fault.code != errc::none) {
                    fault_ = fault;
                    wrong_ = unread.substr(0, newline);
                    return outcome::wrong_line;
                }
                const bool wanted = m.end > want.above && m.start != m.end && (want.options.gate || !is_gate(line, m));
                if (!whole && wanted && want.name_room != 0 && !m.name.empty()) {  // without its head, the name may fit
                    begin_ += static_cast<std::size_t>(m.name.data() - unread.data());
                    head_ = m;
                    only_name_ = true;
                    continue;
                }
                if (!wanted) {
                    begin_ = after;
                    skipping_ = !whole;
                    continue;
                }
            }
            begin_ = after;
            skipping_ = !whole;
            only_name_ = false;
            take_name(buffer, whole, want.name_room, m);
            return outcome::mapping;
        }
    }

    /// After outcome::more_text: returns where more text goes, which is not empty.
    [[nodiscard]] std::span<char> room(std::span<char> buffer) noexcept {
        for (std::size_t i = begin_; i < filled_; ++i) buffer[i - begin_] = buffer[i];
        filled_ -= begin_;
        begin_ = 0;
        return buffer.subspan(filled_);
    }
    void add(std::size_t bytes) noexcept {
        filled_ += bytes;
        position_ += bytes;
    }
    /// Forgets all text. The next text is that of the beginning.
    void restart() noexcept { *this = {}; }

    /// Returns true if the text has ended inside a line, which is then the wrong line.
    [[nodiscard]] bool ends_inside_line(std::span<char> buffer) noexcept {
        if (filled_ == begin_ && !skipping_ && !only_name_) return false;
        if (!skipping_ && !only_name_) ++line_;
        wrong_ = {buffer.data() + begin_, filled_ - begin_};
        fault_ = {errc::malformed, wrong_.size()};
        return true;
    }

    /// Fills in the error of the wrong line.
    void describe(error& e) const noexcept {
        e.code = fault_.code;
        e.at = step::parse;
        e.line = line_;
        e.offset = position_ - (filled_ - begin_) + fault_.at;
    }
    [[nodiscard]] std::string_view wrong_line() const noexcept { return wrong_; }
    [[nodiscard]] std::uint64_t position() const noexcept { return position_; }  ///< of the end of the text so far

private:
    /// Decodes the name in place, or removes it.
    static void take_name(std::span<char> buffer, bool whole, std::size_t name_room, mapping& m) noexcept {
        if (name_room == 0) {
            m.name = {};
            m.name_status = name_state::not_asked;
            return;
        }
        if (!whole || m.name.empty()) {
            m.name = "";
            if (!whole) m.name_status = name_state::too_long;
            return;
        }
        char* const first = buffer.data() + (m.name.data() - buffer.data());
        char* end = first + m.name.size();
        if (m.name_status == name_state::escaped) {
            end = first;
            decode(m.name, [&end](char c) { *end++ = c; });
            m.name_status = name_state::ambiguous;
        }
        *end = '\0';  // in place of the newline, at the latest
        m.name = {first, static_cast<std::size_t>(end - first)};
        if (m.name.size() >= name_room) {
            m.name = "";
            m.name_status = name_state::too_long;
        }
    }

    std::size_t begin_ = 0;       // where the unread text begins in the buffer
    std::size_t filled_ = 0;      // bytes of text in the buffer
    std::uint64_t position_ = 0;  // of the end of the buffered text
    std::uint64_t line_ = 0;      // number of lines begun
    bool skipping_ = false;       // inside a line whose remainder is skipped
    bool only_name_ = false;      // at the name of a line that is longer than the buffer; its head is in head_
    mapping head_{};
    line_fault fault_{};
    std::string_view wrong_{};
};

}  // namespace procmap::inline PROCMAP_ABI::detail
