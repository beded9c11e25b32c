// What is printed, as a string.
#pragma once

#include <string>
#include <string_view>

namespace support {

template <class Printable>
std::string printed(const Printable& what) {
    std::string text;
    print([&text](std::string_view piece) { text += piece; }, what);
    return text;
}

}  // namespace support
