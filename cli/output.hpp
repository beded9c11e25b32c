// Standard output, standard error and the exit status.
#pragma once

#include "terminal.hpp"

#include <procmap/maps.hpp>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <string_view>

namespace cli {

// Exit status. Where several apply, the highest.
inline constexpr int done = 0;
inline constexpr int not_mapped = 1;  // compare: the answers differ
inline constexpr int misused = 2;
inline constexpr int failed = 3;

// Standard output ends the program when it cannot be written. A closed pipe does so without a word, also where SIGPIPE is
// ignored.

[[noreturn]] inline void cannot_write() {
    if (errno != EPIPE) std::fprintf(stderr, "procmap: write standard output: %s\n", std::strerror(errno));
    std::_Exit(failed);
}

/// Writes what is no name or path, such as a colour.
inline void put_raw(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) cannot_write();
}

inline void put(std::string_view text) {
    is_terminal(STDOUT_FILENO) ? put_raw(visible(text, true)) : put_raw(text);
}

inline void flush() {
    if (std::fflush(stdout) != 0) cannot_write();
}

/// Says on standard error how far work is that takes longer than a moment; only on a terminal.
class progress {
public:
    /// "procmap: N of ALL what", on a line of its own, which the next one replaces; `all` is 0 where it is not known.
    static void show(std::uint64_t n, const char* what, std::uint64_t all = 0) {
        static const bool wanted = understands_escapes(STDERR_FILENO);
        const auto now = clock::now();
        if (!wanted || now < next_) return;
        next_ = now + std::chrono::milliseconds(200);
        std::fprintf(stderr, "\rprocmap: %s%s %s\033[K", std::to_string(n).c_str(),
                     all == 0 ? "" : (" of " + std::to_string(all)).c_str(), what);
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

/// Says something on standard error, after what went to standard output before it.
inline void complain(const std::string& text) {
    flush();
    progress::clear();
    std::fprintf(stderr, "procmap: %s\n", (is_terminal(STDERR_FILENO) ? visible(text, false) : text).c_str());
}

/// Called where an allocation fails, also below functions that cannot throw: says so, and ends the program.
[[noreturn]] inline void out_of_memory() {
    std::set_new_handler(nullptr);
    flush();
    progress::clear();
    std::fputs("procmap: out of memory\n", stderr);
    std::_Exit(failed);
}

/// What the library prints of a value.
std::string printed(const auto& value) {
    std::string text;
    procmap::print([&text](std::string_view piece) { text += piece; }, value);
    return text;
}

inline void complain(const procmap::error& e) {
    complain(printed(e));
}

[[noreturn]] inline void usage_error(const std::string& text, const char* command = nullptr) {
    complain(text);
    std::fprintf(stderr, "Try 'procmap %s%s--help'.\n", command ? command : "", command ? " " : "");
    std::exit(misused);
}

inline std::string hex(std::uint64_t value, std::size_t width = 1) {
    char digits[16];
    const char* const end = std::to_chars(digits, digits + sizeof digits, value, 16).ptr;
    const auto size = static_cast<std::size_t>(end - digits);
    return std::string(std::max(width, size) - size, '0').append(digits, size);
}

}  // namespace cli
