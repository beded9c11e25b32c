// doctest itself, compiled once for all tests; tests/kernel.cpp has its own, without exceptions.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
