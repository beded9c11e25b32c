// JSON: values as text, and objects of one line.
#pragma once

#include "output.hpp"

namespace cli {

/// Returns a JSON string, or an empty string if `text` is not UTF-8.
inline std::string json_string(std::string_view text) {
    std::string out = "\"";
    while (!text.empty()) {
        const auto [size, code] = first_character(text);
        if (size == 0) return {};
        if (code < 0x20 || (is_terminal(STDOUT_FILENO) && is_control(code))) {
            out += "\\u" + hex(code, 4);
        } else {
            if (code == '"' || code == '\\') out += '\\';
            out += text.substr(0, size);
        }
        text.remove_prefix(size);
    }
    return out + '"';
}

inline std::string json_hex(std::uint64_t value) {
    return "\"0x" + hex(value) + '"';
}

inline std::string json_string_or_null(std::string_view text) {
    return text.empty() ? "null" : json_string(text);
}

inline std::string json_number_or_null(std::uint64_t value) {
    return value == 0 ? "null" : std::to_string(value);
}

/// An object that is written member by member, on a line of its own.
class json_object {
public:
    /// Adds a member; `value` is JSON.
    json_object& add(std::string_view key, std::string_view value) {
        ((text_ += text_.empty() ? "{\"" : ",\"").append(key) += "\":").append(value);
        return *this;
    }
    json_object& add(std::string_view key, std::uint64_t value) { return add(key, std::to_string(value)); }

    /// Adds bytes as a string, or in hexadecimal as the member `key`_bytes if they are not UTF-8.
    json_object& add_text(const std::string& key, std::string_view bytes) {
        if (const std::string text = json_string(bytes); !text.empty()) return add(key, text);
        std::string digits;
        for (const char c : bytes) digits += hex(static_cast<unsigned char>(c), 2);
        return add(key + "_bytes", '"' + digits + '"');
    }

    void put() const { cli::put(text_ + "}\n"); }

private:
    std::string text_;
};

}  // namespace cli
