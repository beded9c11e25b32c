// Memory that ends where a page begins that must not be touched.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <string_view>

#include <doctest/doctest.h>

namespace support {

// Memory that ends where a page begins that must not be touched.
class guarded {
public:
    guarded() {
        void* const all = ::mmap(nullptr, capacity + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(all != MAP_FAILED);
        begin_ = static_cast<char*>(all);
        REQUIRE(::mprotect(begin_ + capacity, page, PROT_NONE) == 0);
    }
    guarded(const guarded&) = delete;
    guarded& operator=(const guarded&) = delete;
    ~guarded() { ::munmap(begin_, capacity + page); }

    // The text again, where nothing can be read behind it.
    std::string_view ending_with(std::string_view text) {
        REQUIRE(text.size() <= capacity);
        char* const copy = begin_ + (capacity - text.size());
        std::memcpy(copy, text.data(), text.size());
        return {copy, text.size()};
    }

private:
    const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t capacity = (std::size_t{32} << 10) / page * page + page;
    char* begin_ = nullptr;
};

}  // namespace support
