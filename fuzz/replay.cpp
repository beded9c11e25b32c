// The corpus of a target, replayed as a test: every compiler runs what the fuzzer found.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "fuzz.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

TEST_CASE("every input of the corpus") {
    std::size_t inputs = 0;
    for (const auto& file : std::filesystem::directory_iterator{PROCMAP_CORPUS}) {
        std::ifstream in{file.path(), std::ios::binary};
        const std::vector<char> bytes{std::istreambuf_iterator<char>{in}, {}};
        CAPTURE(file.path().string());
        CHECK(LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()) == 0);
        ++inputs;
    }
    CHECK(inputs > 0);
}
