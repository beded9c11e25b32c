// What the fuzz targets share: the entry point, a check that aborts, and a reader of the input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace fuzz {

inline void require(bool right, const char* what) {
    if (right) return;
    std::fprintf(stderr, "wrong: %s\n", what);
    std::abort();
}

inline std::string_view text(const std::uint8_t* data, std::size_t size) { return {reinterpret_cast<const char*>(data), size}; }

/// Takes numbers from the front of an input. Returns zeros at its end.
class bytes {
public:
    bytes(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}
    template <class Number>
    Number take() {
        Number value{};
        for (std::size_t i = 0; i < sizeof value && !rest_.empty(); ++i) {
            value = static_cast<Number>(value | static_cast<Number>(static_cast<Number>(rest_.front()) << (8 * i)));
            rest_ = rest_.subspan(1);
        }
        return value;
    }
    [[nodiscard]] bool empty() const { return rest_.empty(); }
    [[nodiscard]] std::span<const std::uint8_t> rest() const { return rest_; }

private:
    std::span<const std::uint8_t> rest_;
};

}  // namespace fuzz
