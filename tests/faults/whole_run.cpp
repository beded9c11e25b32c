// Checks of the whole run. doctest runs files in the order of their names, so this one comes last.
#include "interposed.hpp"
#include "provoking.hpp"

#include <cstddef>
#include <cstdio>

#include <doctest/doctest.h>

using namespace support;

namespace {

TEST_CASE("every function was made to fail") {
    long all = 0;
    for (std::size_t i = 0; i < calls; ++i) {
        CAPTURE(call_names[i]);
        CHECK(injected[i] != 0);
        all += injected[i];
        std::printf("%s %ld, ", call_names[i], injected[i]);
    }
    std::printf("in all %ld failures of system calls\n", all);
}

}  // namespace
