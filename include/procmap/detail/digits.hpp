// Digits of numbers, and output to sinks (callables that take a std::string_view). No allocation, no locale, async-signal-safe.
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace procmap::inline PROCMAP_ABI::detail {

/// The value of each byte as a hexadecimal digit, lower case as the kernel writes them; 16 if it is not a digit.
struct digit_table {
    constexpr digit_table() noexcept {
        for (unsigned char& v : value) v = 16;
        for (unsigned char i = 0; i < 16; ++i) value[static_cast<unsigned char>("0123456789abcdef"[i])] = i;
    }
    [[nodiscard]] constexpr unsigned operator[](char c) const noexcept { return value[static_cast<unsigned char>(c)]; }
    unsigned char value[256] = {};
};
inline constexpr digit_table digit_values;

/// A buffer for one line, so that the sink is called once. Its users ensure that the line fits.
template <std::size_t Capacity>
class char_line {
public:
    constexpr void put(char c) noexcept { text_[size_++] = c; }
    constexpr void put(std::string_view text) noexcept {
        for (const char c : text) put(c);
    }
    /// Appends `value` in `base`, lower case, padded with zeros to at least `width` digits.
    constexpr void put(std::uint64_t value, unsigned base, std::size_t width = 1) noexcept {
        char digits[20] = {};  // 2^64 has 20 decimal digits, 16 hexadecimal ones
        std::size_t n = 0;
        for (; value != 0 || n < width; value /= base) digits[n++] = "0123456789abcdef"[value % base];
        while (n != 0) put(digits[--n]);
    }
    constexpr void pad_to(std::size_t column) noexcept {
        while (size_ < column && size_ < Capacity) put(' ');
    }
    [[nodiscard]] constexpr std::string_view view() const noexcept { return {text_, size_}; }

private:
    char text_[Capacity] = {};
    std::size_t size_ = 0;
};

}  // namespace procmap::inline PROCMAP_ABI::detail
