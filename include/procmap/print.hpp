// Writes values as text: print() to a callable that takes std::string_view pieces, and `<<` to a stream.
//
//   print([](std::string_view text) { (void)!write(STDERR_FILENO, text.data(), text.size()); }, *mapping);
#pragma once

#include <procmap/version.hpp>

#include <concepts>
#include <cstddef>
#include <iosfwd>
#include <string_view>
#include <type_traits>

namespace procmap::inline PROCMAP_ABI {

namespace detail {

/// A sink that writes to an output stream. A template, so that this header does not need <ostream>.
template <class Stream>
struct stream_sink {
    Stream& out;
    void operator()(std::string_view text) const {
        using size = decltype(out.width());
        out.write(text.data(), static_cast<size>(text.size()));
    }
};

/// Returns the name of an enumerator, the values of which are the indices of `names`.
template <class Enum, std::size_t N>
[[nodiscard]] constexpr std::string_view name_of(const std::string_view (&names)[N], Enum value) noexcept {
    const auto i = static_cast<std::size_t>(value);
    return i < N ? names[i] : std::string_view{"unknown"};
}

template <class T>
concept named = std::is_enum_v<T> && requires(T value) {
    { to_string(value) } -> std::same_as<std::string_view>;
};

template <class T>
concept printable = requires(void (*sink)(std::string_view), const T& value) { print(sink, value); };

}  // namespace detail

/// Writes the name of an enumerator, as its to_string() returns it: of errc, reason, mapping_kind, ...
template <class Sink, detail::named Enum>
constexpr void print(Sink&& sink, Enum value) {
    sink(to_string(value));
}

/// Writes to a stream what print() writes to a callable. The program includes `<ostream>`.
template <class Traits, class T>
    requires detail::printable<T>
std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& out, const T& value) {
    print(detail::stream_sink<std::basic_ostream<char, Traits>>{out}, value);
    return out;
}

}  // namespace procmap::inline PROCMAP_ABI
