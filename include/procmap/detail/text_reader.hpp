// Reads the text of an open maps file line by line, into the caller's buffer.
#pragma once

#include <procmap/version.hpp>

#include <procmap/detail/handle.hpp>
#include <procmap/detail/process_page.hpp>
#include <procmap/detail/procfs.hpp>
#include <procmap/detail/text_lines.hpp>
#include <procmap/query.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

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

    /// Reads the next mapping into `m`. Returns false at the end or on failure; see error(). One pread for each chunk of text. See
    /// text_lines::next().
    bool next(const handle& from, std::span<char> buffer, const text_lines::request& want, mapping& m) noexcept {
        for (;;) {
            switch (lines_.next<true>(buffer, want, m)) {
                case text_lines::outcome::mapping: tries_ = 0; return true;
                case text_lines::outcome::wrong_line: return wrong_line(from);
                case text_lines::outcome::more_text:
                    if (!fill(from, buffer)) return false;
            }
        }
    }

    [[nodiscard]] const procmap::error& error() const noexcept { return error_; }
    [[nodiscard]] std::string_view wrong_line() const noexcept { return lines_.wrong_line(); }

    /// Reads text at `position`. Returns the number of bytes, or a negative errno. Preserves errno.
    static ssize_t read(const handle& from, std::span<char> buffer, std::uint64_t position) noexcept {
        const uncancelled whole;
        const errno_kept keep;
        const ssize_t n = uninterrupted([&] { return ::pread(from.fd.get(), buffer.data(), buffer.size(), static_cast<off_t>(position)); });
        return n < 0 ? -errno : n;
    }
    static errc meaning(const handle& from, int code) noexcept { return code == ESRCH ? reaped(from) : failure_of(code); }

private:
    /// Appends more text to the buffer. Returns false at the end of the text or on failure.
    bool fill(const handle& from, std::span<char> buffer) noexcept {
        ssize_t n = 0;
        if (!read_alone(from, lines_.room(buffer), lines_.position(), n)) return try_again(from);
        if (n > 0) {
            lines_.add(static_cast<std::size_t>(n));
            return true;
        }
        if (n < 0) return fail(from, meaning(from, static_cast<int>(-n)), static_cast<int>(-n));
        if (lines_.position() == 0) return fail(from, errc::gone);  // an address space is never empty
        if (lines_.ends_inside_line(buffer)) return wrong_line(from);
        // If the process exits, the kernel ends the text early without an error. Verify that the address space still exists.
        char first = 0;
        ssize_t alive = 0;
        if (!read_alone(from, {&first, 1}, 0, alive)) return try_again(from);
        if (alive < 0) return fail(from, meaning(from, static_cast<int>(-alive)), static_cast<int>(-alive));
        if (alive == 0) return fail(from, errc::gone);
        return false;
    }

    /// Reads if no other thread does. Returns false if another thread is reading, or if one has read since this reader's last read; in that
    /// case the listing must start over.
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
            start_over_ = true;
        }
        __atomic_store_n(&from.reading, std::uintptr_t{0}, __ATOMIC_RELEASE);
        return good;
    }

    /// After read_alone() returned false: waits, and starts over if necessary. Returns false after most_tries attempts.
    bool try_again(const handle& from) noexcept {
        if (++tries_ > most_tries) return fail(from, errc::contended);
        const int doublings = tries_ < 8 ? tries_ : 8;
        for (std::uint32_t i = (1 + mine_ % 4) << doublings; i != 0; --i) ::sched_yield();
        if (start_over_) lines_.restart();
        start_over_ = false;
        return true;
    }

    /// Returns the error code if the opened task was reaped. The ioctl tells whether its address space still exists. Without the ioctl,
    /// assumes that it does if the task is a thread, and that it does not if the task is a process.
    static errc reaped(const handle& from) noexcept {
        uapi::query<uapi::layout::lookup> any{0, uapi::query_flag::covering_or_next};
        switch (has_ioctl ? uapi::send(from.fd.borrow(), any).error : ENOTTY) {
            case 0:
            case ENOENT: return errc::task_gone;
            case ESRCH: return errc::gone;
            default: return from.tid != 0 ? errc::task_gone : errc::gone;
        }
    }

    bool fail(const handle& from, errc code, int errno_value = 0) noexcept {
        error_ = from.failure(code, step::read, errno_value);
        error_.offset = lines_.position();
        return false;
    }
    bool wrong_line(const handle& from) noexcept {
        error_ = from.failure(errc::malformed, step::parse);
        lines_.describe(error_);
        return false;
    }

    text_lines lines_;
    std::uint32_t mine_ = 0;      // the handle's read counter after this reader's last read
    int tries_ = 0;               // failed attempts since the last line
    bool start_over_ = false;     // another reader has moved the text
    procmap::error error_{};
};

}  // namespace procmap::inline PROCMAP_ABI::detail
