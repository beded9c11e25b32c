// Formats the library's types with std::format (GCC 13, libc++ 17 or newer). fmt.hpp does the same with {fmt}.
//
//   std::string text = std::format("{:>6} {}", m->permissions, *m);
//
// Types: error, mapping, permission_set, device_number, build_id, build_id_view, change, and the names of change_kind, mapping_kind and
// backend. The text is that of `<<`; the format specification is that of a string. A snapshot is a range and has only print().
#pragma once

#include <procmap/version.hpp>

#if __has_include(<format>)
#include <format>
#endif

#include <string_view>

#include <procmap/detail/formatted.hpp>

#if !defined(__cpp_lib_format) && !(defined(_LIBCPP_VERSION) && _LIBCPP_VERSION >= 170000)
#error "procmap/format.hpp needs std::format (GCC 13, libc++ 17, or newer); procmap/fmt.hpp does the same with {fmt}"
#else

/// Formats as `<<` does.
template <class T>
    requires procmap::detail::formatted<T>
struct std::formatter<T, char> : procmap::detail::text_formatter<T, std::formatter<std::string_view, char>> {};

#endif
