// What the library makes of failures: each allocation and each system call is made to fail, at every point, in every way.
#define DOCTEST_CONFIG_IMPLEMENT
#include "support.hpp"

#include <new>

using namespace support;
using procmap::errc;

// ---- memory: what is allocated is counted, and one allocation can be made to fail

namespace {

struct {
    long live = 0;      // blocks that are not yet freed
    long asked = 0;     // allocations since this was armed
    long fail_at = -1;  // the number of the one that fails
} memory;

void* allocate(std::size_t size, std::size_t align = 0) {
    if (memory.asked++ == memory.fail_at) throw std::bad_alloc{};
    void* const got = align == 0 ? std::malloc(size) : std::aligned_alloc(align, (size + align - 1) / align * align);
    if (got == nullptr) throw std::bad_alloc{};
    ++memory.live;
    return got;
}

void release(void* block) noexcept {
    if (block != nullptr) --memory.live;
    std::free(block);
}

/// Calls with the n-th allocation failing, for each n until it succeeds; how many failed. `after` is called after each failure.
template <class Call, class After>
long starve(Call call, After after) {
    for (long n = 0;; ++n) {
        memory.asked = 0;
        memory.fail_at = n;
        bool failed = false;
        try {
            call();
        } catch (const std::bad_alloc&) {
            failed = true;
        }
        memory.fail_at = -1;
        if (!failed) return n;
        CAPTURE(n);
        after();
    }
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new(std::size_t size, std::align_val_t align) { return allocate(size, static_cast<std::size_t>(align)); }
void operator delete(void* block) noexcept { release(block); }
void operator delete(void* block, std::size_t) noexcept { release(block); }
void operator delete(void* block, std::align_val_t) noexcept { release(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { release(block); }

int main(int argc, char** argv) { return support::run(argc, argv); }

TEST_CASE("a cache in which memory ran out is not left busy, and answers the next time") {
    const procmap::maps self = need(procmap::maps::open_self());
    const std::uint64_t address = address_of(reinterpret_cast<const void*>(&::getpid));
    for (const bool build_ids : {false, true}) {
        CAPTURE(build_ids);
        procmap::cached_maps cache{self, {.build_ids = build_ids}};
        const record right{need(self.find(address))};
        const long failures = starve([&] { static_cast<void>(cache.find(address)); }, [&] {
            const auto again = cache.find(address);
            REQUIRE(again.has_value());
            CHECK(again->start == right.start);
        });
        CHECK(failures >= 1);
    }
}
