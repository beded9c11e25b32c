// replay.TARGET: replays the corpus of a fuzz target as a test, with any compiler.
#include <doctest/doctest.h>

#include "fuzz.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

namespace {
std::filesystem::path corpus = PROCMAP_CORPUS;
}

TEST_CASE("every input of the corpus") {
    std::size_t inputs = 0;
    for (const auto& file : std::filesystem::directory_iterator{corpus}) {
        std::ifstream in{file.path(), std::ios::binary};
        const std::vector<char> bytes{std::istreambuf_iterator<char>{in}, {}};
        CAPTURE(file.path().string());
        CHECK(LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()) == 0);
        ++inputs;
    }
    CHECK(inputs > 0);
}

int main(int, char** argv) {
    corpus /= std::filesystem::path{argv[0]}.extension().string().substr(1);
    return doctest::Context{}.run();
}
