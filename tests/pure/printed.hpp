// Printing at compile time and at run time.
#pragma once

#include "../support/printed.hpp"

#include <cstddef>
#include <sstream>
#include <string>
#include <string_view>

namespace support {

// A sink that works at compile time.
class text_buffer {
public:
    constexpr void operator()(std::string_view text) {
        for (const char c : text) text_[size_++] = c;
    }
    [[nodiscard]] constexpr std::string_view view() const { return {text_, size_}; }

private:
    char text_[512] = {};
    std::size_t size_ = 0;
};

template <class... Printable>
constexpr text_buffer print_short(const Printable&... what) {
    text_buffer out;
    print(out, what...);
    return out;
}

template <class Printable>
std::string streamed(const Printable& what) {
    std::ostringstream out;
    out << what;
    return out.str();
}

}  // namespace support
