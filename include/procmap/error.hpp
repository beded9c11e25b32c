// An error: what failed, at which step, and how to resolve it. A small value that prints as one sentence.
//
//   const auto m = self->find(address);
//   if (!m) std::cerr << m.error() << '\n';
#pragma once

#include <procmap/version.hpp>

#include <cerrno>
#include <cstdint>
#include <string_view>

#include <procmap/detail/digits.hpp>
#include <procmap/print.hpp>

namespace procmap::inline PROCMAP_ABI {

/// What went wrong. docs/errors.md explains each code.
enum class errc : unsigned char {
    none = 0,
    not_mapped,   ///< no mapping at the address (find), or none at or above it (find_from); a regular answer, not a failure
    gone,         ///< no such process, or the last user of its address space exited or called exec
    zombie,       ///< exited and not yet waited for; it has no address space
    kernel_thread,  ///< it has no address space
    task_gone,    ///< text: the task that the handle was opened through was reaped; others may still use its memory
    denied,       ///< the kernel or a sandbox does not permit it
    unsupported,  ///< not available with this kernel, sandbox or procfs
    malformed,    ///< text that no kernel writes, or an answer that contradicts the query
    interrupted,  ///< signals kept interrupting the system call
    contended,    ///< text: readers of the same open file description kept interfering; cached_maps: another thread is in a call
    invalid,      ///< invalid argument
    not_maps,     ///< a descriptor that is not a readable maps file of procfs, or the text of smaps_rollup
    failed,       ///< any other failure of the operating system; see errno_value
};

/// Returns the name of the enumerator.
[[nodiscard]] constexpr std::string_view to_string(errc code) noexcept {
    constexpr std::string_view names[] = {"none",        "not_mapped", "gone",        "zombie",    "kernel_thread", "task_gone", "denied",
                                          "unsupported", "malformed",  "interrupted", "contended", "invalid",       "not_maps",  "failed"};
    return detail::name_of(names, code);
}

/// The step that failed.
enum class step : unsigned char { none, open, adopt, query, read, parse, send, receive };

/// Returns the name of the enumerator.
[[nodiscard]] constexpr std::string_view to_string(step which) noexcept {
    constexpr std::string_view names[] = {"none", "open", "adopt", "query", "read", "parse", "send", "receive"};
    return detail::name_of(names, which);
}

/// A failure as a small value. It allocates and borrows nothing.
struct error {
    static constexpr std::int32_t unknown = 0;        ///< `pid` of an adopted descriptor, or if there is no process
    static constexpr std::int32_t this_process = -1;  ///< `pid` of a handle from open_self

    errc code = errc::none;      ///< what went wrong
    step at = step::none;        ///< the step that failed
    int errno_value = 0;         ///< of the system call that failed; 0 if none failed
    std::int32_t pid = unknown;  ///< the process that was asked about
    std::int32_t tid = 0;        ///< the thread that it was opened through; 0: none was given
    std::uint64_t line = 0;      ///< of the text, from 1; 0 if no line caused it
    std::uint64_t offset = 0;    ///< in bytes from the start of the text to where reading stopped; errc::not_mapped: see address()

    /// The address that was looked up. Only errc::not_mapped has one, which it keeps in `offset`; 0 for other errors.
    [[nodiscard]] constexpr std::uint64_t address() const noexcept { return code == errc::not_mapped ? offset : 0; }

    [[nodiscard]] friend constexpr bool operator==(const error&, const error&) noexcept = default;  ///< compares all fields
    /// True if the error code equals `expected`.
    [[nodiscard]] friend constexpr bool operator==(const error& e, errc expected) noexcept {
        return e.code == expected;
    }
};

/// Returns the name of an errno that the library's system calls can set ("EACCES"), or an empty view.
[[nodiscard]] constexpr std::string_view errno_name(int value) noexcept {
    switch (value) {
        case E2BIG: return "E2BIG";
        case EACCES: return "EACCES";
        case EAGAIN: return "EAGAIN";
        case ECONNRESET: return "ECONNRESET";
        case EBADF: return "EBADF";
        case EFAULT: return "EFAULT";
        case EINTR: return "EINTR";
        case EINVAL: return "EINVAL";
        case EIO: return "EIO";
        case EISDIR: return "EISDIR";
        case ELOOP: return "ELOOP";
        case EMFILE: return "EMFILE";
        case ENAMETOOLONG: return "ENAMETOOLONG";
        case ENFILE: return "ENFILE";
        case ENOENT: return "ENOENT";
        case ENOMEM: return "ENOMEM";
        case ENOSYS: return "ENOSYS";
        case ENOTDIR: return "ENOTDIR";
        case ENOTSOCK: return "ENOTSOCK";
        case ENOTTY: return "ENOTTY";
        case EPERM: return "EPERM";
        case EPIPE: return "EPIPE";
        case ESRCH: return "ESRCH";
        default: return {};
    }
}

namespace detail {

/// Returns the error code for an errno, for calls without more specific errors.
[[nodiscard]] constexpr errc failure_of(int code) noexcept {
    switch (code) {
        case EPERM:
        case EACCES: return errc::denied;
        case ESRCH: return errc::gone;
        case EINTR: return errc::interrupted;
        case EBADF: return errc::invalid;
        default: return errc::failed;
    }
}

}  // namespace detail

/// Returns a description of the error code and a hint for resolving it: the second half of the sentence that print() writes.
[[nodiscard]] constexpr std::string_view describe(errc code) noexcept {
    switch (code) {
        case errc::none: return "no error";
        case errc::not_mapped: return "no such mapping at this address";
        case errc::gone: return "no such process or thread (it exited or called exec); open it again if it still runs";
        case errc::zombie: return "zombie process without an address space; take a snapshot before it exits";
        case errc::kernel_thread: return "kernel thread without an address space";
        case errc::task_gone: return "the task that it was opened through was reaped; open it again through a living thread";
        case errc::denied:
            return "permission denied; requires ptrace read access (the same user, CAP_SYS_PTRACE, or CAP_PERFMON since Linux 6.15), a "
                   "procfs that does not hide the process (hidepid), and a sandbox that permits the call";
        case errc::unsupported:
            return "not supported here; PROCMAP_QUERY requires Linux 6.11, a sandbox that permits it and a mounted procfs (the text back-end "
                   "requires only procfs)";
        case errc::malformed: return "malformed: no kernel writes this; check where it came from, or report it with the input";
        case errc::interrupted: return "interrupted by signals too often; try again";
        case errc::contended: return "in use by another reader or thread; give each thread its own handle or cache";
        case errc::invalid: return "invalid argument; see the documentation of the function";
        case errc::not_maps: return "not a readable /proc/PID/maps; open that file for reading (smaps_rollup, for example, lists no mappings)";
        case errc::failed: return "system call failed";
    }
    return "unknown error";
}

/// Writes an error as one sentence without a newline to a callable that takes std::string_view pieces. Signal-safe if the callable is.
template <class Sink>
constexpr void print(Sink&& sink, const error& e) {
    detail::char_line<128> head;
    if (e.at != step::none) {
        const bool answer = e.code == errc::not_mapped;
        if (!answer) head.put("cannot "), head.put(to_string(e.at));
        if (answer || e.at != step::parse || e.pid != error::unknown) head.put(answer ? "maps" : " maps");
        if (e.pid == error::this_process) head.put(" of this process");
        const auto put = [&head](std::string_view what, std::uint64_t number) {
            head.put(what);
            head.put(number, 10);
        };
        if (e.pid > 0) put(" of process ", static_cast<std::uint64_t>(e.pid));
        if (e.tid > 0) put(" by thread ", static_cast<std::uint64_t>(e.tid));
        if (e.line != 0) {
            put(" line ", e.line);
            put(", byte ", e.offset);
        }
        head.put(": ");
    }
    sink(head.view());
    const bool received = e.at == step::receive && e.errno_value == 0;
    if (received && e.code == errc::gone)
        sink("the peer closed the connection");
    else if (received && e.code == errc::malformed)
        sink("the message has no descriptor or several, or was truncated");
    else if (e.code == errc::not_mapped && e.at != step::none)
        sink("no such mapping at address 0x");
    else
        sink(describe(e.code));
    detail::char_line<48> tail;
    if (e.code == errc::not_mapped && e.at != step::none) tail.put(e.address(), 16);
    if (e.errno_value == 0) return (void)sink(tail.view());
    tail.put(" [");
    if (const auto name = errno_name(e.errno_value); !name.empty()) {
        tail.put(name);
    } else {
        tail.put("errno ");
        tail.put(static_cast<std::uint64_t>(e.errno_value < 0 ? 0 : e.errno_value), 10);
    }
    tail.put(']');
    sink(tail.view());
}

}  // namespace procmap::inline PROCMAP_ABI
