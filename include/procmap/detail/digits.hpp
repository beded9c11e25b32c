// Numbers and text to and from characters. A sink is any callable that takes a std::string_view. No allocation, no locale,
// async-signal-safe.
#pragma once

#include <procmap/version.hpp>

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string_view>

namespace procmap::inline PROCMAP_ABI::detail {

/// The value of each byte as a hexadecimal digit, lower case as the kernel writes them; 16: it is none.
struct digit_table {
    constexpr digit_table() noexcept {
        for (unsigned char& v : value) v = 16;
        for (unsigned char i = 0; i < 16; ++i) value[static_cast<unsigned char>("0123456789abcdef"[i])] = i;
    }
    [[nodiscard]] constexpr unsigned operator[](char c) const noexcept { return value[static_cast<unsigned char>(c)]; }
    unsigned char value[256] = {};
};
inline constexpr digit_table digit_values;

/// A line that is put together in place before it is handed to the sink in one piece.
template <std::size_t Capacity>
class char_line {
public:
    constexpr void put(char c) noexcept { text_[size_++] = c; }
    constexpr void put(std::string_view text) noexcept {
        for (const char c : text) put(c);
    }
    /// `value` in `base`, lower case, padded with zeros to at least `width` digits.
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

/// The sink that writes to an output stream, which is named only where it is used: no <ostream> here.
template <class Stream>
struct stream_sink {
    Stream& out;
    void operator()(std::string_view text) const {
        using size = decltype(out.width());
        out.write(text.data(), static_cast<size>(text.size()));
    }
};

template <class T>
concept printable = requires(void (*sink)(std::string_view), const T& value) { print(sink, value); };

}  // namespace procmap::inline PROCMAP_ABI::detail

namespace procmap::inline PROCMAP_ABI {

/// Writes to a stream what print() writes to a sink. The program includes `<ostream>`.
template <class Traits, class T>
    requires detail::printable<T>
std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& out, const T& value) {
    print(detail::stream_sink<std::basic_ostream<char, Traits>>{out}, value);
    return out;
}

}  // namespace procmap::inline PROCMAP_ABI
