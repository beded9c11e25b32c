// What a terminal may be sent: names that cannot command it, and escape sequences that it understands.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace cli {

/// The size of the UTF-8 sequence that `text` begins with; 0 where it is ill-formed (The Unicode Standard, table 3-7).
inline std::size_t utf8_sequence(std::string_view text) {
    const auto byte = [text](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4) return 0;
    const unsigned low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;   // no overlong forms
    const unsigned high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;  // no surrogates, none above U+10FFFF
    const std::size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (byte(1) < low || byte(1) > high) return 0;
    for (std::size_t i = 2; i < size; ++i)
        if ((byte(i) & 0xc0) != 0x80) return 0;
    return size;
}

/// The code point of the sequence of that size.
inline unsigned code_point(std::string_view text, std::size_t size) {
    unsigned value = static_cast<unsigned char>(text[0]) & (size == 1 ? 0x7fu : 0xffu >> (size + 1));
    for (std::size_t i = 1; i < size; ++i) value = value << 6 | (static_cast<unsigned char>(text[i]) & 0x3fu);
    return value;
}

/// Whether a terminal may act on the character instead of showing it: a control character, or one that reorders those after it.
inline bool is_control(unsigned c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/// The text as a terminal may have it: control characters, and bytes that are not UTF-8, are written as `ls -b` writes them, in
/// octal. A name can hold any byte but NUL, and whoever gives it must not command the reader's terminal.
inline std::string visible(std::string_view text, bool keep_newlines) {
    std::string out;
    while (!text.empty()) {
        const std::size_t size = utf8_sequence(text);
        const std::string_view sequence = text.substr(0, std::max<std::size_t>(size, 1));
        text.remove_prefix(sequence.size());
        if (size != 0 && (!is_control(code_point(sequence, size)) || (keep_newlines && sequence == "\n"))) {
            out += sequence;
            continue;
        }
        for (const char c : sequence) {
            const auto byte = static_cast<unsigned char>(c);
            out += '\\';
            for (const int digit : {byte >> 6, byte >> 3 & 7, byte & 7}) out += static_cast<char>('0' + digit);
        }
    }
    return out;
}

/// Whether one of the standard streams is a terminal. Asked once, and a file or a pipe is not asked by ioctl.
inline bool is_terminal(int fd) {
    static std::optional<bool> known[3];
    if (!known[fd]) {
        struct stat s;
        known[fd] = ::fstat(fd, &s) == 0 && S_ISCHR(s.st_mode) && ::isatty(fd) != 0;
    }
    return *known[fd];
}

/// Whether a terminal understands the escape sequences that are used here.
inline bool understands_escapes(int fd) {
    const char* const terminal = std::getenv("TERM");
    return is_terminal(fd) && terminal != nullptr && std::strcmp(terminal, "dumb") != 0;
}

/// Whether standard output is a terminal that shows colours, to someone who wants them (no-color.org).
inline bool wants_colours() {
    const char* const unwanted = std::getenv("NO_COLOR");
    return (unwanted == nullptr || *unwanted == '\0') && understands_escapes(STDOUT_FILENO);
}

}  // namespace cli
