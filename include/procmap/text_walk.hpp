// Walks over maps text that comes from anywhere: a pipe, a FILE, a core dumper's own read, a compressed log.
//
//   char buffer[procmap::text_walk_room];
//   procmap::text_walk walk{[fd](std::span<char> to) { return read(fd, to.data(), to.size()); }, buffer};
//   for (const procmap::mapping& m : walk) use(m.start, m.name);
//   if (!walk.complete()) std::cerr << walk.error() << '\n';
#pragma once

#include <procmap/version.hpp>

#include <cerrno>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include <procmap/detail/guards.hpp>
#include <procmap/detail/text_lines.hpp>

namespace procmap::inline PROCMAP_ABI {

inline constexpr std::size_t text_walk_room = 4096 + 128;  ///< size of a buffer that holds names of PATH_MAX

/// A walk over maps text, which `Read` supplies in pieces of any size. It is a single-pass input range like a mapping_walk, with the same
/// records and errors: strictly ascending, no overlaps, names decoded and NUL-terminated, without ranges of zero length. After the loop,
/// complete() is true if the text ended after a whole line. That the text itself is complete only its source can tell: the kernel ends it
/// early, without an error, if the process exits.
///
/// `Read` is called with a span that is never empty. It returns how many bytes it wrote to it, 0 at the end of the text, or a negative number
/// for a failure with errno, as read(2) does; it is called again after EINTR, at most a hundred times.
///
/// Errors: errc::malformed, with line and byte, for a line that no kernel writes (see parse_options) and for text that ends inside a line;
/// errc::not_maps for smaps_rollup; errc::gone for an empty text, which is that of a process without an address space; errc::invalid for a
/// buffer below 256 bytes; and the failure of `Read`. No system calls of its own, no allocation; async-signal-safe if `Read` is.
template <class Read>
class text_walk {
public:
    struct sentinel {};  ///< the end of the range
    /// An input iterator. A copy is at the same place of the same walk.
    class iterator {
    public:
        /// As in any input iterator. A step invalidates the previous mapping.
        ///@{
        using value_type = mapping;
        using difference_type = std::ptrdiff_t;

        explicit iterator(text_walk& walk) noexcept : walk_(&walk) {}
        [[nodiscard]] const mapping& operator*() const noexcept { return walk_->current_; }
        [[nodiscard]] const mapping* operator->() const noexcept { return &walk_->current_; }
        iterator& operator++() {
            walk_->advance();
            return *this;
        }
        void operator++(int) { walk_->advance(); }
        [[nodiscard]] bool operator==(sentinel) const noexcept { return !walk_->at_mapping_; }
        ///@}

    private:
        text_walk* walk_;
    };

    /// Borrows `buffer`, at least 256 bytes, for names of up to its size - 129 bytes, as the text has them. What options permit before a line
    /// counts too. Reads nothing yet.
    text_walk(Read read, std::span<char> buffer, const parse_options& options = {})
        : read_(std::move(read)), buffer_(buffer), want_{.options = options} {}
    text_walk(const text_walk&) = delete;
    text_walk& operator=(const text_walk&) = delete;

    /// Reads the first mapping. The text is read once: a second call continues where the first loop stopped.
    [[nodiscard]] iterator begin() {
        advance();
        return iterator{*this};
    }
    [[nodiscard]] sentinel end() const noexcept { return {}; }  ///< the end, whatever ended the walk

    [[nodiscard]] const procmap::error& error() const noexcept { return error_; }  ///< what ended the walk early; errc::none: nothing did
    [[nodiscard]] bool complete() const noexcept { return at_end_; }               ///< it reached the end of the text
    /// Returns the line that ended the walk with errc::malformed or not_maps, as much as is in the buffer; otherwise it is empty.
    [[nodiscard]] std::string_view malformed_line() const noexcept { return lines_.wrong_line(); }

private:
    void advance() {
        using outcome = detail::text_lines::outcome;
        at_mapping_ = false;
        if (at_end_ || error_.code != errc::none) return;
        if (buffer_.size() < 2 * detail::text_head_room) return fail({.code = errc::invalid, .at = step::read});
        want_.name_room = buffer_.size() - detail::text_head_room;
        for (;;) {
            const outcome found = lines_.next<false>(buffer_, want_, current_);
            if (found == outcome::wrong_line) return wrong_line();
            if (found == outcome::mapping) break;
            const std::span<char> room = lines_.room(buffer_);
            std::ptrdiff_t n = -1;
            for (int tries = 0; tries <= detail::interrupted_tries; ++tries)  // `Read` may throw
                if (n = static_cast<std::ptrdiff_t>(read_(room)); n >= 0 || errno != EINTR) break;
            if (n < 0) return fail({.code = detail::failure_of(errno), .at = step::read, .errno_value = errno, .offset = lines_.position()});
            if (n != 0) {
                lines_.add(static_cast<std::size_t>(n));
            } else if (lines_.ends_inside_line(buffer_)) {
                return wrong_line();
            } else if (lines_.position() == 0) {
                return fail({.code = errc::gone, .at = step::read});
            } else {
                at_end_ = true;
                return;
            }
        }
        if (current_.start < want_.above) {
            if (current_.file_backed()) current_.offset += want_.above - current_.start;
            current_.start = want_.above;
        }
        want_.above = current_.end;
        at_mapping_ = true;
    }

    void fail(const procmap::error& failure) noexcept { error_ = failure; }
    void wrong_line() noexcept { lines_.describe(error_); }

    Read read_;
    std::span<char> buffer_;
    detail::text_lines::request want_;
    detail::text_lines lines_{};
    mapping current_{};
    procmap::error error_{};
    bool at_mapping_ = false;
    bool at_end_ = false;
};

}  // namespace procmap::inline PROCMAP_ABI
