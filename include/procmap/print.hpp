// Writes values as text: print() to a callable that takes std::string_view pieces, and `<<` to a stream.
//
//   print([](std::string_view text) { (void)!write(STDERR_FILENO, text.data(), text.size()); }, *mapping);
#pragma once

#include <procmap/version.hpp>

#include <iosfwd>
#include <string_view>

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

template <class T>
concept printable = requires(void (*sink)(std::string_view), const T& value) { print(sink, value); };

}  // namespace detail

/// Writes to a stream what print() writes to a callable. The program includes `<ostream>`.
template <class Traits, class T>
    requires detail::printable<T>
std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& out, const T& value) {
    print(detail::stream_sink<std::basic_ostream<char, Traits>>{out}, value);
    return out;
}

}  // namespace procmap::inline PROCMAP_ABI
