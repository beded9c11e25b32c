// What is safe to print on a terminal, and what the terminal supports.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

namespace cli {

/// A character of UTF-8 text: its size in bytes, 0 if it is ill-formed, and its code point.
struct character {
    std::size_t size = 0;
    unsigned code = 0;
};

/// Decodes the first character of a text that is not empty.
inline character first_character(std::string_view text) {
    const unsigned first = static_cast<unsigned char>(text[0]);
    if (first < 0x80) return {1, first};
    const std::size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first < 0xc0 || first > 0xf4 || text.size() < size) return {};
    unsigned code = first & (0xffu >> (size + 1));
    for (const char c : text.substr(1, size - 1)) {
        if ((c & 0xc0) != 0x80) return {};
        code = code << 6 | (static_cast<unsigned char>(c) & 0x3fu);
    }
    constexpr unsigned least[] = {0x80, 0x800, 0x10000};
    const bool overlong = code < least[size - 2];
    const bool surrogate = code >= 0xd800 && code < 0xe000;
    return overlong || surrogate || code > 0x10ffff ? character{} : character{size, code};
}

/// True if a terminal may execute the character instead of displaying it: control characters and bidirectional controls.
inline bool is_control(unsigned c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/// Returns the text with control characters and ill-formed UTF-8 as octal escapes, like `ls -b`. File names can contain any byte
/// except NUL, and must not control the reader's terminal.
inline std::string visible(std::string_view text, bool keep_newlines) {
    std::string out;
    while (!text.empty()) {
        const character c = first_character(text);
        const std::string_view bytes = text.substr(0, std::max<std::size_t>(c.size, 1));
        text.remove_prefix(bytes.size());
        if (c.size != 0 && (!is_control(c.code) || (keep_newlines && c.code == '\n'))) {
            out += bytes;
            continue;
        }
        for (const char byte : bytes) {
            out += '\\';
            for (const int shift : {6, 3, 0}) out += static_cast<char>('0' + (static_cast<unsigned char>(byte) >> shift & 7));
        }
    }
    return out;
}

/// True if a standard stream is a terminal. The answer is cached; files and pipes are recognized without an ioctl.
inline bool is_terminal(int fd) {
    static std::optional<bool> known[3];
    if (!known[fd]) {
        struct stat s;
        known[fd] = ::fstat(fd, &s) == 0 && S_ISCHR(s.st_mode) && ::isatty(fd) != 0;
    }
    return *known[fd];
}

/// True if the stream is a terminal that supports the escape sequences used here.
inline bool understands_escapes(int fd) {
    const char* const terminal = std::getenv("TERM");
    return is_terminal(fd) && terminal != nullptr && std::string_view(terminal) != "dumb";
}

/// True if standard output is a terminal that supports colours and the user has not disabled them (no-color.org).
inline bool wants_colours() {
    const char* const unwanted = std::getenv("NO_COLOR");
    return (unwanted == nullptr || *unwanted == '\0') && understands_escapes(STDOUT_FILENO);
}

}  // namespace cli
