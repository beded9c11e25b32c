// {fmt} (9 or newer) for the library's types: what format.hpp does for std::format, with the same output.
#pragma once

#include <procmap/version.hpp>

#include <fmt/format.h>

#include <procmap/detail/formatted.hpp>

/// Formats as `<<` does.
template <class T>
    requires procmap::detail::formatted<T>
struct fmt::formatter<T, char> : procmap::detail::text_formatter<T, fmt::formatter<fmt::string_view, char>> {};
