// Digits of numbers, and output to sinks (callables that take a std::string_view). No allocation, no locale, async-signal-safe.
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

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

/// Returns the first byte of [at, end) that equals `wanted`, or `end`. It calls no memchr, so that the parser needs no C library.
[[nodiscard]] constexpr const char* find_byte(const char* at, const char* end, char wanted) noexcept {
    if (!std::is_constant_evaluated()) {
        constexpr std::uint64_t ones = 0x0101010101010101;
        for (std::uint64_t word = 0; end - at >= 8; at += 8) {
            __builtin_memcpy(&word, at, 8);
            word ^= ones * static_cast<unsigned char>(wanted);
            if (((word - ones) & ~word & ones << 7) != 0) break;  // one of its bytes is zero
        }
    }
    while (at != end && *at != wanted) ++at;
    return at;
}

/// Returns the first byte of [at, end) that differs from `skipped`, or `end`.
[[nodiscard]] constexpr const char* skip_byte(const char* at, const char* end, char skipped) noexcept {
    if (!std::is_constant_evaluated()) {
        constexpr std::uint64_t ones = 0x0101010101010101;
        for (std::uint64_t word = 0; end - at >= 8; at += 8) {
            __builtin_memcpy(&word, at, 8);
            if (word != ones * static_cast<unsigned char>(skipped)) break;
        }
    }
    while (at != end && *at == skipped) ++at;
    return at;
}

/// Compares texts without memcmp, for the same reason.
[[nodiscard]] constexpr bool same_bytes(const char* a, const char* b, std::size_t size) noexcept {
    for (; size != 0; --size)
        if (*a++ != *b++) return false;
    return true;
}

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
