// doctest itself, compiled once for all tests.
#if !defined(__cpp_exceptions)
#define DOCTEST_CONFIG_NO_EXCEPTIONS_BUT_WITH_ALL_ASSERTS  // REQUIRE then goes on, and the test fails all the same
#endif
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
