// Reads the text of an open maps file line by line, into the caller's buffer.
#pragma once

#include <procmap/version.hpp>

#include <procmap/detail/handle.hpp>
#include <procmap/detail/process_page.hpp>
#include <procmap/detail/procfs.hpp>
#include <procmap/query.hpp>
#include <procmap/text.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// Room for a line's head, which is all but its name and newline: at most 97 bytes.
inline constexpr std::size_t text_head_room = 128;
/// The size of a buffer for a head and the longest name that the ioctl can return (PATH_MAX, including the NUL). A larger one saves no
/// system calls: the kernel returns the text about a page at a time.
inline constexpr std::size_t text_buffer_size = 4096 + text_head_room;

/// Reads the mappings of one maps file in ascending order. The kernel keeps the position in the text (seq_file) in the open file
/// description, so consecutive preads form one consistent listing only if nobody else reads that description.
///
/// Concurrent readers are detected with a per-handle read counter. If it has changed since this reader's last read, the listing starts
/// over, and lines that end at or below what the caller already has are skipped. A try-lock in the handle, held during one pread,
/// serializes the reads of threads. Signals are blocked and cancellation is disabled meanwhile, so the lock is always released. A child of
/// fork takes over a lock that a thread of its parent held. (A process that shares this memory by CLONE_VM and is killed in a read leaves
/// it locked.) A reader that cannot continue yields the processor, each time for longer so that one of several readers succeeds. After
/// `most_tries` attempts without a line it fails with errc::contended. Readers in other processes (fork, SCM_RIGHTS) are not detected.
class text_reader {
public:
    static constexpr int most_tries = 64;

    /// Reads the next mapping that ends above `above` into `m`. Returns false at the end or on failure; see error(). One pread for each
    /// chunk of text. `buffer`: the same on every call, at least twice text_head_room; `m.name` borrows from it. `name_room`: returns names
    /// of up to `name_room` - 1 bytes, and shorter than the buffer; 0: no names.
    bool next(const handle& from, std::span<char> buffer, std::uint64_t above, std::size_t name_room, mapping& m) noexcept {
        for (;;) {
            const std::string_view unread{buffer.data() + begin_, filled_ - begin_};
            const std::size_t newline = unread.find('\n');
            const bool whole = newline != std::string_view::npos;
            if (!whole && unread.size() < buffer.size()) {
                if (!fill(from, buffer)) return false;
                continue;
            }
            const std::string_view line = unread.substr(0, newline);
            if (skipping_) {  // inside a line that is longer than the buffer
                begin_ += whole ? newline + 1 : line.size();
                skipping_ = !whole;
                continue;
            }
            if (only_name_) {
                m = head_;
                m.name = line;
                m.name_status = line.find(escaped_newline) == std::string_view::npos ? name_state::exact : name_state::escaped;
            } else {
                ++line_;
                m = {};
                if (const std::size_t wrong = scan_line(line, m); wrong != whole_line)
                    return fail(from, errc::malformed, step::parse, 0, begin_ + wrong);
                const bool wanted = m.end > above && m.start != m.end && !is_gate(line, m);
                if (!whole && wanted && name_room != 0 && !m.name.empty()) {  // without its head, the name may fit
                    begin_ += static_cast<std::size_t>(m.name.data() - line.data());
                    head_ = m;
                    only_name_ = true;
                    continue;
                }
                if (!wanted) {
                    begin_ += whole ? newline + 1 : line.size();
                    skipping_ = !whole;
                    continue;
                }
            }
            begin_ += whole ? newline + 1 : line.size();
            skipping_ = !whole;
            only_name_ = false;
            take_name(buffer, whole, name_room, m);
            tries_ = 0;
            return true;
        }
    }

    [[nodiscard]] const procmap::error& error() const noexcept { return error_; }

    /// Reads text at `position`. Returns the number of bytes, or a negative errno. Preserves errno.
    static ssize_t read(const handle& from, std::span<char> buffer, std::uint64_t position) noexcept {
        const uncancelled whole;
        const errno_kept keep;
        const ssize_t n = uninterrupted([&] { return ::pread(from.fd.get(), buffer.data(), buffer.size(), static_cast<off_t>(position)); });
        return n < 0 ? -errno : n;
    }
    static errc meaning(const handle& from, int code) noexcept { return code == ESRCH ? reaped(from) : failure_of(code); }

private:
    /// Decodes the name in place, or removes it.
    static void take_name(std::span<char> buffer, bool whole, std::size_t name_room, mapping& m) noexcept {
        if (name_room == 0) {
            m.name = {};
            m.name_status = name_state::not_asked;
            return;
        }
        if (whole && m.name_status == name_state::escaped) {
            char* const first = buffer.data() + (m.name.data() - buffer.data());
            char* to = first;
            decode(m.name, [&to](char c) { *to++ = c; });
            m.name = {first, static_cast<std::size_t>(to - first)};
            m.name_status = name_state::ambiguous;
        }
        if (!whole || m.name.size() >= name_room) {
            m.name = {};
            m.name_status = name_state::too_long;
        }
    }

    /// Appends more text to the buffer. Returns false at the end of the text or on failure.
    bool fill(const handle& from, std::span<char> buffer) noexcept {
        if (begin_ != 0) {
            for (std::size_t i = begin_; i < filled_; ++i) buffer[i - begin_] = buffer[i];
            filled_ -= begin_;
            begin_ = 0;
        }
        ssize_t n = 0;
        if (!read_alone(from, buffer.subspan(filled_), position_, n)) return try_again(from);
        if (n > 0) {
            filled_ += static_cast<std::size_t>(n);
            position_ += static_cast<std::uint64_t>(n);
            return true;
        }
        if (n < 0) return read_failed(from, n);
        if (position_ == 0) return fail(from, errc::gone, step::read, 0, 0);  // an address space is never empty
        if (filled_ != 0 || skipping_ || only_name_) {  // the text ends inside a line
            if (!skipping_ && !only_name_) ++line_;
            return fail(from, errc::malformed, step::parse, 0, filled_);
        }
        // If the process exits, the kernel ends the text early without an error. Verify that the address space still exists.
        char first = 0;
        ssize_t alive = 0;
        if (!read_alone(from, {&first, 1}, 0, alive)) return try_again(from);
        if (alive < 0) return read_failed(from, alive);
        if (alive == 0) return fail(from, errc::gone, step::read, 0, 0);
        return false;
    }

    /// Reads if no other thread does. Returns false if another thread is reading, or if one has read since this reader's last read; in that
    /// case it sets position_ to 0 and the listing must start over.
    bool read_alone(const handle& from, std::span<char> buffer, std::uint64_t position, ssize_t& n) noexcept {
        const signals_blocked no_handlers;
        const std::uintptr_t me = this_process();
        std::uintptr_t holder = 0;
        const auto take = [&] { return __atomic_compare_exchange_n(&from.reading, &holder, me, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED); };
        if (!take() && !(is_ancestor(holder, me) && take())) return false;
        const std::uint32_t before = __atomic_fetch_add(&from.reads, 1, __ATOMIC_RELAXED);
        const bool good = position == 0 || before == mine_;
        if (good) {
            mine_ = before + 1;
            n = read(from, buffer, position);
        } else {
            position_ = 0;
        }
        __atomic_store_n(&from.reading, std::uintptr_t{0}, __ATOMIC_RELEASE);
        return good;
    }

    /// After read_alone() returned false: waits, and starts over if necessary. Returns false after most_tries attempts.
    bool try_again(const handle& from) noexcept {
        if (++tries_ > most_tries) return fail(from, errc::contended, step::read, 0, 0);
        const int doublings = tries_ < 8 ? tries_ : 8;
        for (std::uint32_t i = (1 + mine_ % 4) << doublings; i != 0; --i) ::sched_yield();
        if (position_ != 0) return true;
        begin_ = filled_ = 0;
        line_ = 0;
        skipping_ = only_name_ = false;
        return true;
    }

    bool read_failed(const handle& from, ssize_t minus_errno) noexcept {
        const int code = static_cast<int>(-minus_errno);
        return fail(from, meaning(from, code), step::read, code, 0);
    }

    /// Returns the error code if the opened task was reaped. The ioctl tells whether its address space still exists. Without the ioctl,
    /// assumes that it does if the task is a thread, and that it does not if the task is a process.
    static errc reaped(const handle& from) noexcept {
        uapi::query<uapi::layout::lookup> any{0, uapi::query_flag::covering_or_next};
        switch (uapi::send(from.fd.borrow(), any).error) {
            case 0:
            case ENOENT: return errc::task_gone;
            case ESRCH: return errc::gone;
            default: return from.tid != 0 ? errc::task_gone : errc::gone;
        }
    }

    bool fail(const handle& from, errc code, step at, int errno_value, std::size_t in_buffer) noexcept {
        error_ = from.failure(code, at, errno_value);
        if (at == step::parse) error_.line = line_;
        error_.offset = position_ - filled_ + in_buffer;
        return false;
    }

    std::size_t begin_ = 0;       // where the unread text begins in the buffer
    std::size_t filled_ = 0;      // bytes of text in the buffer
    std::uint64_t position_ = 0;  // of the end of the buffered text
    std::uint64_t line_ = 0;      // number of lines begun
    std::uint32_t mine_ = 0;      // the handle's read counter after this reader's last read
    int tries_ = 0;               // failed attempts since the last line
    bool skipping_ = false;       // inside a line whose remainder is skipped
    bool only_name_ = false;      // at the name of a line that is longer than the buffer; its head is in head_
    mapping head_{};
    procmap::error error_{};
};

}  // namespace procmap::inline PROCMAP_ABI::detail
