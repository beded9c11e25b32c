// Iterates over the mappings of an address space in ascending order.
//
//   auto walk = self->walk({.names = true});
//   for (const procmap::mapping& m : walk) use(m.start, m.name);
//   if (!walk.complete()) std::cerr << walk.error() << '\n';
#pragma once

#include <procmap/version.hpp>

#include <sys/ioctl.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <procmap/detail/lookup.hpp>
#include <procmap/options.hpp>

namespace procmap::inline PROCMAP_ABI {

template <std::size_t Room>
class basic_mapping_walk;

namespace detail {
template <std::size_t Room = text_buffer_size>
basic_mapping_walk<Room> walk_over(const handle& from, const walk_options& options = {}, std::uint64_t above = 0) noexcept;

/// A walk's own buffer.
template <std::size_t Room>
struct walk_buffer {
    [[nodiscard]] std::span<char> all() noexcept { return text; }
    char text[Room];
};
template <>
struct walk_buffer<0> {
    [[nodiscard]] std::span<char> all() noexcept { return {}; }
};
}  // namespace detail

/// A walk over the mappings of an address space: a single-pass input range, returned by maps::walk. It borrows the handle. It is strictly
/// ascending and has no overlaps, also while mappings change: a mapping that reaches below the end of the previous one is clipped,
/// including its offset. It includes every mapping that exists for the whole walk. After the loop, `complete()` is true if the walk reached
/// the end of the address space. Otherwise the caller left the loop, or `error()` tells what ended the walk.
///
/// Cost by ioctl: one system call for each mapping and one for the end; with build IDs one more for each mapping of a regular file. Cost by
/// text: one pread for about each page of text, one for its end and one that checks that the process still exists, with two rt_sigprocmask
/// each. No allocation; errno preserved; async-signal-safe; up to 6.5 kB of stack, including 4.7 kB for the walk itself. A mapping's name
/// and build ID are valid until the next step. One thread at a time.
template <std::size_t Room>
class basic_mapping_walk {
public:
    struct sentinel {};  ///< the end of the range
    /// An input iterator. A copy is at the same place of the same walk.
    class iterator {
    public:
        /// As in any input iterator. A step queries the kernel and invalidates the previous mapping.
        ///@{
        using value_type = mapping;
        using difference_type = std::ptrdiff_t;

        explicit iterator(basic_mapping_walk& walk) noexcept : walk_(&walk) {}
        [[nodiscard]] const mapping& operator*() const noexcept { return walk_->current_; }
        [[nodiscard]] const mapping* operator->() const noexcept { return &walk_->current_; }
        iterator& operator++() noexcept {
            walk_->advance();
            return *this;
        }
        void operator++(int) noexcept { walk_->advance(); }
        [[nodiscard]] bool operator==(sentinel) const noexcept { return walk_->state_ != state::at_mapping; }
        ///@}

    private:
        basic_mapping_walk* walk_;
    };

    /// The new walk has not begun.
    ///@{
    basic_mapping_walk(basic_mapping_walk&& other) noexcept : basic_mapping_walk(*other.from_, other.options_, other.above_) {}
    basic_mapping_walk& operator=(basic_mapping_walk&& other) noexcept {
        from_ = other.from_;
        options_ = other.options_;
        above_ = other.above_;
        reset();
        return *this;
    }
    ///@}

    /// Starts a new walk, even if one is in progress.
    [[nodiscard]] iterator begin() noexcept {
        reset();
        const bool small = buffer().size() < 2 * detail::text_head_room;
        state_ = state::at_mapping;
        const bool absent = detail::left_out(options_.use) || (options_.use == backend::ioctl && !from_->by_ioctl());
        if (small || absent) {
            fail(from_->failure(small ? errc::invalid : errc::unsupported, step::query));
        } else {
            prepare();
            advance();
        }
        return iterator{*this};
    }
    [[nodiscard]] sentinel end() const noexcept { return {}; }  ///< the end, whatever ended the walk

    [[nodiscard]] const procmap::error& error() const noexcept { return error_; }  ///< what ended the walk early; errc::none: nothing did
    [[nodiscard]] bool complete() const noexcept { return state_ == state::at_end; }  ///< it reached the end of the address space
    /// Returns the line of the text that ended the walk with errc::malformed, as much as is in the buffer; otherwise it is empty.
    [[nodiscard]] std::string_view malformed_line() const noexcept PROCMAP_LIFETIMEBOUND { return reader_.wrong_line(); }

private:
    template <std::size_t Any>
    friend basic_mapping_walk<Any> detail::walk_over(const detail::handle&, const walk_options&, std::uint64_t) noexcept;

    /// The walk starts at `above`; a mapping that reaches below it is clipped.
    basic_mapping_walk(const detail::handle& from, const walk_options& options, std::uint64_t above) noexcept
        : from_(&from), options_(options), above_(above) {}

    enum class state : unsigned char { not_begun, at_mapping, at_end, failed };

    void reset() noexcept {
        state_ = state::not_begun;
        last_end_ = above_;
        current_ = {};
        error_ = {};
        reader_ = {};
        by_ioctl_ = from_->by_ioctl() && (options_.use != backend::text || !detail::has_text);
    }

    /// Prepares what all queries have in common. The buffer must be large enough.
    void prepare() noexcept {
        ask_ = {.only = options_.only,
                .name = options_.names ? buffer().first(buffer().size() - detail::text_head_room) : std::span<char>{},
                .build_id = options_.build_ids ? std::span<std::byte>{build_id_} : std::span<std::byte>{}};
        query_ = {0, uapi::to_query_flags(options_.only) | uapi::query_flag::covering_or_next};
    }

    void fail(const procmap::error& failure) noexcept {
        error_ = failure;
        state_ = state::failed;
    }

    void advance() noexcept {
        if (state_ != state::at_mapping) return;
        if (!(by_ioctl_ ? ask_next() : read_next())) [[unlikely]] return;
        if (current_.start < last_end_) {
            if (current_.file_backed()) current_.offset += last_end_ - current_.start;
            current_.start = last_end_;
        }
        last_end_ = current_.end;
    }

    /// Gets the next mapping into current_. Returns false if there is none.
    [[nodiscard, gnu::always_inline]] bool ask_next() noexcept {
        if (!ask_.build_id.empty()) [[unlikely]] return take(detail::lookup_ioctl_with_id(*from_, last_end_, ask_, true, buffer()));
        query_.raw().query_addr = last_end_;
        if (!ask_.name.empty()) query_.name_into(ask_.name);  // the kernel overwrote the sizes
        const int saved_errno = errno;
        if (::ioctl(from_->fd.get(), detail::ioctl_request, &query_.raw()) < 0) [[unlikely]] return ask_again(saved_errno);
        detail::kernel_wrote(query_.raw());
        if (!detail::to_mapping(query_, ask_, last_end_, true, name_state::not_asked, current_)) [[unlikely]] return contradicted();
        return true;
    }

    [[nodiscard, gnu::noinline, gnu::cold]] bool ask_again(int saved_errno) noexcept {
        return take(detail::retry_ioctl(*from_, query_, saved_errno, ask_, true));
    }

    [[nodiscard, gnu::noinline, gnu::cold]] bool take(const result<mapping>& next) noexcept {
        if (next) {
            current_ = *next;
        } else if (next.error().errno_value == ENOENT && options_.gate && detail::has_text) {
            by_ioctl_ = false;  // the ioctl does not report the gate VMA
            return read_next();
        } else if (next.error().errno_value == ENOENT) {
            state_ = state::at_end;
        } else {  // not_mapped without ENOENT comes from an answer below the address, which is not the end
            fail(next.error() == errc::not_mapped ? from_->failure(errc::malformed, step::query) : next.error());
        }
        return next.has_value();
    }

    [[nodiscard, gnu::noinline, gnu::cold]] bool contradicted() noexcept {
        fail(from_->failure(errc::malformed, step::query));
        return false;
    }

    [[nodiscard, gnu::noinline]] bool read_next() noexcept {
        if (!detail::has_text) return contradicted();  // not reached
        const std::size_t name_room = options_.names ? buffer().size() - detail::text_head_room : 0;
        while (reader_.next(*from_, buffer(), {last_end_, name_room, {.gate = options_.gate}}, current_))
            if (current_.passes(options_.only)) return true;
        state_ = state::at_end;
        if (reader_.error().code != errc::none) fail(reader_.error());
        return false;
    }

    [[nodiscard]] std::span<char> buffer() noexcept { return options_.buffer.empty() ? own_.all() : options_.buffer; }

    const detail::handle* from_;
    walk_options options_;
    std::uint64_t above_;
    state state_ = state::not_begun;
    bool by_ioctl_ = false;
    std::uint64_t last_end_ = 0;
    mapping current_{};
    procmap::error error_{};
    find_options ask_{};           // constant parts, set once
    uapi::query<> query_{0, {}};
    detail::text_reader reader_;
    std::byte build_id_[uapi::build_id_size_max];
    [[no_unique_address]] detail::walk_buffer<Room> own_;
};

/// A walk with a buffer of its own, for names of PATH_MAX.
using mapping_walk = basic_mapping_walk<4096 + 128>;

namespace detail {

/// Returns a walk over the mappings of a handle, starting at `above`.
template <std::size_t Room>
[[nodiscard]] basic_mapping_walk<Room> walk_over(const handle& from, const walk_options& options, std::uint64_t above) noexcept {
    return {from, options, above};
}

}  // namespace detail

}  // namespace procmap::inline PROCMAP_ABI
