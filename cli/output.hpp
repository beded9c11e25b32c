// Standard output, standard error and the exit status.
#pragma once

#include "terminal.hpp"

#include <procmap/maps.hpp>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>

namespace cli {

// Exit status. If several apply, the highest.
inline constexpr int done = 0;
inline constexpr int not_mapped = 1;  // normalize: no file; compare: the results differ
inline constexpr int misused = 2;
inline constexpr int failed = 3;

/// Ends the program because standard output failed; silently if the reader of a pipe is gone, even if SIGPIPE is ignored.
[[noreturn]] inline void cannot_write() {
    if (errno != EPIPE) std::fprintf(stderr, "procmap: cannot write standard output: %s\n", std::strerror(errno));
    std::_Exit(failed);
}

/// Writes text that contains no names, such as escape sequences.
inline void put_raw(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) cannot_write();
}

inline void put(std::string_view text) {
    is_terminal(STDOUT_FILENO) ? put_raw(visible(text, true)) : put_raw(text);
}

inline void flush() {
    if (std::fflush(stdout) != 0) cannot_write();
}

/// Shows the progress of long operations on standard error, if it is a terminal.
class progress {
public:
    /// Shows "procmap: N of ALL what" on a line that the next call replaces. `all` is 0 if it is unknown.
    static void show(std::uint64_t n, const char* what, std::uint64_t all = 0) {
        static const bool wanted = understands_escapes(STDERR_FILENO);
        const auto now = clock::now();
        if (!wanted || now < next_) return;
        next_ = now + std::chrono::milliseconds(200);
        const std::string of_all = all == 0 ? "" : " of " + std::to_string(all);
        std::fprintf(stderr, "\rprocmap: %s%s %s\033[K", std::to_string(n).c_str(), of_all.c_str(), what);
        shown_ = true;
    }
    static void clear() {
        if (shown_) std::fputs("\r\033[K", stderr);
        shown_ = false;
    }

private:
    using clock = std::chrono::steady_clock;
    static inline clock::time_point next_ = clock::now() + std::chrono::milliseconds(500);
    static inline bool shown_ = false;
};

/// Prints a message on standard error, after everything that was put before.
inline void report(const std::string& text) {
    flush();
    progress::clear();
    std::fprintf(stderr, "procmap: %s\n", (is_terminal(STDERR_FILENO) ? visible(text, false) : text).c_str());
}

/// Returns what the library prints for a value.
std::string printed(const auto& value) {
    std::string text;
    procmap::print([&text](std::string_view piece) { text += piece; }, value);
    return text;
}

inline void report(const procmap::error& e) {
    report(printed(e));
}

/// Ends the program with a message or a procmap::error.
[[noreturn]] void fail(const auto& why) {
    report(why);
    std::exit(failed);
}

/// Ends the program if there is an error.
inline void check(const procmap::error& e) {
    if (e.code != procmap::errc::none) fail(e);
}

/// Returns the value of a result, or ends the program.
template <class T>
T value_or_exit(procmap::result<T> result) {
    check(result.error());
    return std::move(*result);
}

/// The new-handler: ends the program, even from functions that cannot throw.
[[noreturn]] inline void out_of_memory() {
    std::set_new_handler(nullptr);
    flush();
    progress::clear();
    std::fputs("procmap: out of memory\n", stderr);
    std::_Exit(failed);
}

inline std::string help_option = "--help";  // preceded by the name of the command, once it is known

[[noreturn]] inline void usage_error(const std::string& text) {
    report(text);
    std::fprintf(stderr, "Try 'procmap %s'.\n", help_option.c_str());
    std::exit(misused);
}

/// Returns hexadecimal digits, without 0x.
inline std::string hex(std::uint64_t value, int width = 1) {
    char digits[17];
    std::snprintf(digits, sizeof digits, "%0*llx", width, static_cast<unsigned long long>(value));
    return digits;
}

}  // namespace cli
