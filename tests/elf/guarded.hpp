// Memory that ends where reading faults.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <span>

namespace support {

/// Memory that ends where reading faults.
class guarded {
public:
    explicit guarded(std::size_t room)
        : page_(static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))), pages_((room + page_ - 1) / page_) {
        memory_ = static_cast<std::byte*>(
            ::mmap(nullptr, (pages_ + 1) * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        ::mprotect(memory_ + pages_ * page_, page_, PROT_NONE);
    }
    guarded(const guarded&) = delete;
    guarded& operator=(const guarded&) = delete;
    ~guarded() { ::munmap(memory_, (pages_ + 1) * page_); }
    std::span<const std::byte> at_the_end(std::span<const std::byte> bytes) {
        std::byte* const to = memory_ + pages_ * page_ - bytes.size();
        std::copy(bytes.begin(), bytes.end(), to);
        return {to, bytes.size()};
    }

private:
    std::size_t page_, pages_;
    std::byte* memory_;
};

}  // namespace support
