// Lists the mappings that appeared between two snapshots, and those that replaced others.
#include <procmap/procmap.hpp>

#include <cstdint>
#include <iostream>
#include <sys/mman.h>

int main() {
    if (!procmap::probe().live) return 77;
    constexpr std::uint64_t page = 65536;  // a multiple of every page size
    const auto self = procmap::maps::open_self();
    if (!self) return std::cerr << self.error() << '\n', 1;
    void* const reserved = mmap(nullptr, 8 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const auto before = procmap::snapshot::capture(*self);
    void* const leaked = mmap(nullptr, 4 * page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    void* const used = mmap(reserved, 2 * page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    const auto after = procmap::snapshot::capture(*self);
    if (!before || !after || leaked == MAP_FAILED || used == MAP_FAILED) return 1;

    std::uint64_t total = 0;
    bool leak_seen = false, use_seen = false;
    for (const procmap::change& c : procmap::difference(*before, *after)) {
        if (c.kind == procmap::change_kind::unmapped) continue;
        std::cout << c.size() / 1024 << " kB, of which " << c.was.size() / 1024 << " kB were mapped: " << c << '\n';
        total += c.size() - c.was.size();
        leak_seen |= c.now.contains(leaked) && c.size() == 4 * page && c.was.size() == 0;
        use_seen |= c.now.contains(used) && c.size() == 2 * page && c.was.size() == 2 * page && c.was.permissions.empty();
    }
    std::cout << total / 1024 << " kB more\n";
    return leak_seen && use_seen && total >= 4 * page ? 0 : 1;
}
