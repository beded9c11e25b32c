// A count of allocations, for an executable whose main.cpp counts them.
#pragma once

#include "skipping.hpp"

#include <atomic>

namespace support {

#if !defined(PROCMAP_TEST_SANITIZED)
/// Allocations so far, by any code of the executable. A sanitizer has an allocator of its own.
inline std::atomic<long> allocations = 0;
#endif

}  // namespace support
