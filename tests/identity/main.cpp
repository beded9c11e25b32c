// The main function, and operator new, which counts allocations.
#include "../support/allocations.hpp"
#include "../support/run.hpp"

#include <cstddef>
#include <cstdlib>
#include <new>

#if !defined(PROCMAP_TEST_SANITIZED)
using support::allocations;

// Not in line: GCC would see new and free meet, and warn.
[[gnu::noinline]] void* operator new(std::size_t size) {
    ++allocations;
    void* const memory = std::malloc(size);
    return memory != nullptr ? memory : throw std::bad_alloc{};
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

int main(int argc, char** argv) { return support::run(argc, argv); }
