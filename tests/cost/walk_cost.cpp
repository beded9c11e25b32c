// A walk over many mappings, as a bare loop in C and through the library: tests/cost/walk_cost.sh counts the instructions of
// each.
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

#include <procmap/maps.hpp>

namespace {

constexpr int added_mappings = 1000;

// The sum of what is asked for, so that neither loop can leave a field out. Only the added mappings count: valgrind maps memory
// of its own between two walks.
struct sum {
    std::uint64_t begin, end;
    std::uint64_t mappings = 0;
    std::uint64_t fields = 0;

    void add(std::uint64_t start, std::uint64_t value) {
        if (start < begin || start >= end) return;
        ++mappings;
        fields += value;
    }
};

}  // namespace

extern "C" {

[[gnu::noinline]] void bare_walk(int fd, sum& s) {
    procmap::uapi::procmap_query q;
    std::memset(&q, 0, sizeof q);
    q.size = sizeof q;
    q.query_flags = 0x10;  // PROCMAP_QUERY_COVERING_OR_NEXT_VMA
    while (ioctl(fd, procmap::uapi::procmap_query_request, &q) == 0) {
        s.add(q.vma_start, q.vma_start + q.vma_end + q.vma_flags + q.vma_offset + q.inode);
        q.query_addr = q.vma_end;
    }
}

[[gnu::noinline]] void procmap_walk(const procmap::maps& maps, sum& s) {
    for (const procmap::mapping& m : maps.walk())
        s.add(m.start, m.start + m.end + m.permissions.bits() + m.offset + m.inode);
}

[[gnu::noinline]] void bare_walk_names(int fd, sum& s) {
    char name[4096];
    procmap::uapi::procmap_query q;
    std::memset(&q, 0, sizeof q);
    q.size = sizeof q;
    q.query_flags = 0x10;
    q.vma_name_addr = reinterpret_cast<std::uintptr_t>(name);
    q.vma_name_size = sizeof name;
    while (ioctl(fd, procmap::uapi::procmap_query_request, &q) == 0) {
        const std::uint64_t first = q.vma_name_size != 0 ? static_cast<unsigned char>(name[0]) - 1u : 0;  // the size counts the NUL
        s.add(q.vma_start, q.vma_start + q.vma_end + q.vma_flags + q.vma_offset + q.inode + q.vma_name_size + first);
        q.vma_name_size = sizeof name;
        q.query_addr = q.vma_end;
    }
}

[[gnu::noinline]] void procmap_walk_names(const procmap::maps& maps, sum& s) {
    for (const procmap::mapping& m : maps.walk({.names = true})) {
        const std::uint64_t first = m.name.empty() ? 0 : static_cast<unsigned char>(m.name[0]);
        s.add(m.start, m.start + m.end + m.permissions.bits() + m.offset + m.inode + m.name.size() + first);
    }
}
}

int main() {
    const auto maps = procmap::maps::open_self({.use = procmap::backend::ioctl});
    if (!maps) return maps.error() == procmap::errc::unsupported ? 77 : 1;
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    auto* const pages = static_cast<char*>(mmap(nullptr, added_mappings * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (pages == MAP_FAILED) return 1;
    for (int i = 0; i < added_mappings; i += 2)
        if (mprotect(pages + static_cast<std::size_t>(i) * page, page, PROT_NONE) != 0) return 1;

    const auto begin = reinterpret_cast<std::uintptr_t>(pages);
    const sum none{.begin = begin, .end = begin + added_mappings * page};
    sum bare = none, ours = none, bare_names = none, our_names = none;
    bare_walk(maps->fd().get(), bare);
    procmap_walk(*maps, ours);
    bare_walk_names(maps->fd().get(), bare_names);
    procmap_walk_names(*maps, our_names);
    const auto report = [](const char* what, const sum& s) {
        std::fprintf(stderr, "%s: %llu mappings, sum of fields %llu\n", what, static_cast<unsigned long long>(s.mappings),
                     static_cast<unsigned long long>(s.fields));
    };
    const auto equal = [](const sum& a, const sum& b) {
        return a.mappings >= added_mappings - 2 && a.mappings == b.mappings && a.fields == b.fields;  // two may join a neighbour
    };
    if (equal(bare, ours) && equal(bare_names, our_names)) return 0;
    report("bare", bare);
    report("procmap", ours);
    report("bare with names", bare_names);
    report("procmap with names", our_names);
    return 1;
}
