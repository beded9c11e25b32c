// Formats the types of format.hpp with {fmt} 9 or newer, with the same output.
//
//   std::string text = fmt::format("{:>6} {}", m->permissions, *m);
#pragma once

#include <procmap/version.hpp>

#include <fmt/format.h>

#include <procmap/detail/formatted.hpp>

/// Formats as `<<` does.
template <class T>
    requires procmap::detail::formatted<T>
struct fmt::formatter<T, char> : procmap::detail::text_formatter<T, fmt::formatter<fmt::string_view, char>> {};
