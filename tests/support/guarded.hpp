// Memory before a page that cannot be read.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

#include <doctest/doctest.h>

namespace support {

/// Memory after which comes a page that cannot be read.
class guarded {
public:
    explicit guarded(std::size_t room) : capacity_((room + page_ - 1) / page_ * page_) {
        void* const all = ::mmap(nullptr, capacity_ + page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(all != MAP_FAILED);
        memory_ = static_cast<std::byte*>(all);
        REQUIRE(::mprotect(memory_ + capacity_, page_, PROT_NONE) == 0);
    }
    guarded(const guarded&) = delete;
    guarded& operator=(const guarded&) = delete;
    ~guarded() { ::munmap(memory_, capacity_ + page_); }

    /// A copy of the bytes at the end of the memory.
    std::span<const std::byte> at_the_end(std::span<const std::byte> bytes) {
        if (bytes.size() > capacity_) FAIL("more than there is room for");
        std::byte* const copy = memory_ + (capacity_ - bytes.size());
        std::copy(bytes.begin(), bytes.end(), copy);
        return {copy, bytes.size()};
    }
    std::string_view at_the_end(std::string_view text) {
        REQUIRE(text.size() <= capacity_);
        const auto bytes = at_the_end(std::as_bytes(std::span{text.data(), text.size()}));
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }

private:
    const std::size_t page_ = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t capacity_;
    std::byte* memory_ = nullptr;
};

}  // namespace support
