// Checks of constexpr code.
#pragma once

#include <doctest/doctest.h>

/// Runs a check, a lambda that returns whether it holds, at compile time and again at run time.
#define CHECK_TWICE(...)                     \
    do {                                     \
        constexpr auto proved = __VA_ARGS__; \
        static_assert(proved());             \
        CHECK(proved());                     \
    } while (false)
