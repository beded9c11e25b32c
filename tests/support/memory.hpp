// Memory to map and look at.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace support {

inline const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));

inline std::uint64_t address_of(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

/// Anonymous memory; null where it cannot be had.
inline char* map_pages(std::size_t pages, int protection = PROT_READ | PROT_WRITE, int flags = MAP_PRIVATE,
                       void* at = nullptr) {
    void* const memory = ::mmap(at, pages * page, protection, flags | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
}

/// Pages of alternating permissions: a mapping for each.
inline char* map_alternating(std::size_t pages) {
    char* const memory = map_pages(pages);
    for (std::size_t i = 0; memory != nullptr && i < pages; i += 2) ::mprotect(memory + i * page, page, PROT_READ);
    return memory;
}

}  // namespace support
