// All mappings of an address space, in ascending order, as a range.
#pragma once

#include <procmap/version.hpp>

#include <sys/ioctl.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>

#include <procmap/detail/lookup.hpp>
#include <procmap/options.hpp>

namespace procmap::inline PROCMAP_ABI {

class mapping_walk;

namespace detail {
mapping_walk walk_over(const handle& from, const walk_options& options, backend use, std::uint64_t above = 0) noexcept;
}

/// A walk over the mappings of an address space: a single-pass input range, made by maps::walk, which borrows the handle.
///
/// Strictly ascending and never overlapping, also while the process remaps: what reaches back over the end of the mapping
/// before it is clipped, its offset too. What is mapped during the whole walk is in it. After the loop, `complete()` says
/// that the end of the address space was reached; otherwise the caller stopped, or `error()` says what broke the walk off.
///
/// Cost: ioctl: one system call for each mapping (two with build IDs) and one for the end. Text: one pread for about each page of text, one for
/// its end and one to see whether the process still lives, with two rt_sigprocmask each. No allocation; errno is left as it was;
/// async-signal-safe (4.7 kB in the walk itself; with the stack of its steps up to 6.5 kB). A mapping's name and build ID are valid until
/// the next step. One thread at a time.
class mapping_walk {
public:
    /// The end.
    struct sentinel {};
    /// An input iterator; a copy of it is at the same place of the same walk.
    class iterator {
    public:
        /// What an input iterator has; a step asks the kernel, and what the step before gave is gone.
        ///@{
        using value_type = mapping;
        using difference_type = std::ptrdiff_t;

        explicit iterator(mapping_walk& walk) noexcept : walk_(&walk) {}
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
        mapping_walk* walk_;
    };

    /// A walk that was moved has not begun.
    ///@{
    mapping_walk(mapping_walk&& other) noexcept : mapping_walk(*other.from_, other.options_, other.use_, other.above_) {}
    mapping_walk& operator=(mapping_walk&& other) noexcept {
        from_ = other.from_;
        options_ = other.options_;
        use_ = other.use_;
        above_ = other.above_;
        reset();
        return *this;
    }
    ///@}

    /// Starts a new walk, also when one is under way.
    [[nodiscard]] iterator begin() noexcept {
        reset();
        const bool small = !options_.buffer.empty() && options_.buffer.size() < 2 * detail::text_head_room;
        state_ = state::at_mapping;
        if (small) {
            fail(from_->failure(errc::invalid, step::query));
        } else {
            prepare();
            advance();
        }
        return iterator{*this};
    }
    [[nodiscard]] sentinel end() const noexcept { return {}; }  ///< the end, however it came

    /// What broke the walk off; its `code` is errc::none where nothing did.
    [[nodiscard]] const procmap::error& error() const noexcept { return error_; }
    /// Whether the walk reached the end of the address space.
    [[nodiscard]] bool complete() const noexcept { return state_ == state::at_end; }

private:
    friend mapping_walk detail::walk_over(const detail::handle&, const walk_options&, backend, std::uint64_t) noexcept;

    /// `use` is the handle's back-end, or text; `above` is where the walk begins; a mapping that reaches over it is clipped.
    mapping_walk(const detail::handle& from, const walk_options& options, backend use, std::uint64_t above) noexcept
        : from_(&from), options_(options), use_(use), above_(above) {}

    enum class state : unsigned char { not_begun, at_mapping, at_end, failed };

    void reset() noexcept {
        state_ = state::not_begun;
        last_end_ = above_;
        current_ = {};
        error_ = {};
        reader_ = {};
    }

    /// What the queries have in common, for which the buffer must be large enough.
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
        if (!(use_ == backend::ioctl ? ask_next() : read_next())) [[unlikely]] return;
        if (current_.start < last_end_) {
            if (current_.file_backed()) current_.offset += last_end_ - current_.start;
            current_.start = last_end_;
        }
        last_end_ = current_.end;
    }

    /// Whether there is a next mapping; it is then in current_.
    [[nodiscard, gnu::always_inline]] bool ask_next() noexcept {
        if (!ask_.build_id.empty()) [[unlikely]] return take(detail::lookup_ioctl_with_id(*from_, last_end_, ask_, true, own_));
        query_.raw().query_addr = last_end_;
        if (!ask_.name.empty()) query_.name_into(ask_.name);  // the sizes were overwritten
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
        } else if (next.error().errno_value == ENOENT) {
            state_ = state::at_end;
        } else {  // not_mapped by any other sign is an answer from below, which ends nothing
            fail(next.error() == errc::not_mapped ? from_->failure(errc::malformed, step::query) : next.error());
        }
        return next.has_value();
    }

    [[nodiscard, gnu::noinline, gnu::cold]] bool contradicted() noexcept {
        fail(from_->failure(errc::malformed, step::query));
        return false;
    }

    [[nodiscard, gnu::noinline]] bool read_next() noexcept {
        while (reader_.next(*from_, buffer(), last_end_, options_.names ? buffer().size() - detail::text_head_room : 0, current_))
            if (current_.passes(options_.only)) return true;
        state_ = state::at_end;
        if (reader_.error().code != errc::none) fail(reader_.error());
        return false;
    }

    [[nodiscard]] std::span<char> buffer() noexcept { return options_.buffer.empty() ? std::span<char>{own_} : options_.buffer; }

    const detail::handle* from_;
    walk_options options_;
    backend use_;
    std::uint64_t above_;
    state state_ = state::not_begun;
    std::uint64_t last_end_ = 0;
    mapping current_{};
    procmap::error error_{};
    find_options ask_{};           // what stays the same is set once
    uapi::query<> query_{0, {}};
    detail::text_reader reader_;
    std::byte build_id_[uapi::build_id_size_max];
    char own_[detail::text_buffer_size];
};

namespace detail {

/// A walk over the mappings that a handle shows, by that back-end, from `above` on.
[[nodiscard]] inline mapping_walk walk_over(const handle& from, const walk_options& options, backend use, std::uint64_t above) noexcept {
    return {from, options, use, above};
}

}  // namespace detail

}  // namespace procmap::inline PROCMAP_ABI
