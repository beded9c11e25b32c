// Exits 0, or 1 where the compiler folds the call in main to a wrong value: GCC 16.2 with -std=c++26 -O1. In C++23, at -O0, or
// in a static_assert it does not. What procmap::parse gives of text that is a constant can be wrong there in the same way.
#include <cstddef>
#include <string_view>

struct lines {
    std::string_view text;
    std::size_t offset = 0, size = 0;
    int first = 0;

    constexpr explicit lines(std::string_view all) : text(all) { read(); }
    constexpr void read() {
        if (offset >= text.size()) return;
        size = text.find('\n', offset) - offset;
        first = text[offset];
    }
    constexpr lines& operator++() {
        offset += size + 1;
        read();
        return *this;
    }
};
template <class Lines>
constexpr int sum(Lines&& line) {
    int n = 0;
    for (; line.offset < line.text.size(); ++line) n += line.first;
    return n;
}

constexpr std::string_view three = "a1\nb2\nc3\n";
static_assert(sum(lines{three}) == 'a' + 'b' + 'c');

int main() { return sum(lines{three}) == 'a' + 'b' + 'c' ? 0 : 1; }
