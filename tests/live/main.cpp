// The main function, and malloc functions that count allocations.
#include "../support/allocations.hpp"
#include "../support/run.hpp"

#include <cstddef>
#include <cstdlib>
#include <new>

#if !defined(PROCMAP_TEST_SANITIZED)
using support::allocations;

#if defined(__GLIBC__)
extern "C" {
void* __libc_malloc(std::size_t);           // NOLINT: glibc's names
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void* malloc(std::size_t size) noexcept { return ++allocations, __libc_malloc(size); }
void* calloc(std::size_t n, std::size_t size) noexcept { return ++allocations, __libc_calloc(n, size); }
void* realloc(void* old, std::size_t size) noexcept { return ++allocations, __libc_realloc(old, size); }
void* aligned_alloc(std::size_t align, std::size_t size) noexcept { return ++allocations, __libc_memalign(align, size); }
}
#else
void* operator new(std::size_t size) {
    ++allocations;
    void* const memory = std::malloc(size);
    return memory != nullptr ? memory : throw std::bad_alloc{};
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif
#endif

int main(int argc, char** argv) { return support::run(argc, argv); }
