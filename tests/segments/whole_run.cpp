// The main function, and checks of the whole run. doctest runs files in the order of their names, so this one comes last.
#include "agent.hpp"
#include "comparison.hpp"
#include "program_builder.hpp"
#include "../support/run.hpp"
#include "../support/skipping.hpp"

#include <cstdio>

#include <doctest/doctest.h>

using namespace support;

namespace {

TEST_CASE("of all, more than ten thousand symbols were compared") {
    NEEDS_TOOLS();
    if (reports < 18) return not_included("not all test cases were run");
    CHECK(total.symbols > 10'000);
    CHECK(total.wrong == 0);
}

}  // namespace

int main(int argc, char** argv) {
    const int status = support::run(argc, argv);
    the_shop.reset();
    std::printf("%ld symbols compared, %ld answers, %ld wrong, %ld not known\n", total.symbols, total.answers, total.wrong,
                total.unknown);
    return status;
}
