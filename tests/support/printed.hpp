// Printed text, as a string.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include <procmap/build_id.hpp>

namespace support {

/// What the library prints of these.
template <class... Printable>
std::string printed(const Printable&... what) {
    std::string text;
    print([&text](std::string_view piece) { text += piece; }, what...);
    return text;
}

inline std::string hex_of(procmap::build_id_view id) { return printed(id); }
inline std::string hex_of(const procmap::build_id& id) { return printed(id); }

inline std::string hex_of(std::string_view bytes) {
    std::string text;
    char digits[3];
    for (const char c : bytes) std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(c)), text += digits;
    return text;
}

}  // namespace support
