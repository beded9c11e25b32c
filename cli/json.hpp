// JSON values, as text.
#pragma once

#include "output.hpp"
#include "terminal.hpp"

#include <procmap/maps.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cli {

/// A JSON string; empty where `text` is not UTF-8.
inline std::string json_string(std::string_view text) {
    std::string out = "\"";
    while (!text.empty()) {
        const std::size_t size = utf8_sequence(text);
        if (size == 0) return {};
        const char c = text.front();
        if (const unsigned code = code_point(text, size); code < 0x20 || (is_terminal(STDOUT_FILENO) && is_control(code))) {
            out += "\\u" + hex(code, 4);
        } else {
            if (c == '"' || c == '\\') out += '\\';
            out += text.substr(0, size);
        }
        text.remove_prefix(size);
    }
    return out + '"';
}

inline std::string json_number(std::uint64_t value) {
    return value == 0 ? "null" : std::to_string(value);
}

inline std::string json_hex(std::uint64_t value) {
    return "\"0x" + hex(value) + '"';
}

/// The member `key` of bytes that are text, or `key`_bytes where they are not UTF-8.
inline std::string json_text_or_bytes(const std::string& key, std::string_view bytes) {
    if (const std::string text = json_string(bytes); !text.empty()) return '"' + key + "\":" + text;
    std::string digits;
    for (const char c : bytes) digits += hex(static_cast<unsigned char>(c), 2);
    return '"' + key + "_bytes\":\"" + digits + '"';
}

inline std::string json_build_id(procmap::build_id_view id) {
    return id.empty() ? "null" : '"' + printed(id) + '"';
}

}  // namespace cli
