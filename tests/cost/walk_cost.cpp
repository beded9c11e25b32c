// A walk over many mappings, as a bare loop in C and through the library: tests/cost/walk_cost.sh counts the instructions of
// each.
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

#include <procmap/maps.hpp>

namespace {

// The sum of what is asked for, so that neither loop can leave a field out.
struct sum {
    std::uint64_t mappings = 0;
    std::uint64_t fields = 0;
};

constexpr int added_mappings = 1000;

}  // namespace

extern "C" {

[[gnu::noinline]] void bare_walk(int fd, sum& s) {
    procmap::uapi::procmap_query q;
    std::memset(&q, 0, sizeof q);
    q.size = sizeof q;
    q.query_flags = 0x10;  // PROCMAP_QUERY_COVERING_OR_NEXT_VMA
    while (ioctl(fd, procmap::uapi::procmap_query_request, &q) == 0) {
        ++s.mappings;
        s.fields += q.vma_start + q.vma_end + q.vma_flags + q.vma_offset + q.inode;
        q.query_addr = q.vma_end;
    }
}

[[gnu::noinline]] void procmap_walk(const procmap::maps& maps, sum& s) {
    for (const procmap::mapping& m : maps.walk()) {
        ++s.mappings;
        s.fields += m.start + m.end + m.permissions.bits() + m.offset + m.inode;
    }
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
        ++s.mappings;
        s.fields += q.vma_start + q.vma_end + q.vma_flags + q.vma_offset + q.inode + q.vma_name_size;
        if (q.vma_name_size != 0) s.fields += static_cast<unsigned char>(name[0]) - 1u;  // the closing NUL is in the size
        q.vma_name_size = sizeof name;
        q.query_addr = q.vma_end;
    }
}

[[gnu::noinline]] void procmap_walk_names(const procmap::maps& maps, sum& s) {
    for (const procmap::mapping& m : maps.walk({.names = true})) {
        ++s.mappings;
        s.fields += m.start + m.end + m.permissions.bits() + m.offset + m.inode + m.name.size();
        if (!m.name.empty()) s.fields += static_cast<unsigned char>(m.name[0]);
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

    sum bare, ours, bare_names, our_names;
    bare_walk(maps->fd().get(), bare);
    procmap_walk(*maps, ours);
    bare_walk_names(maps->fd().get(), bare_names);
    procmap_walk_names(*maps, our_names);
    const bool enough = bare.mappings >= added_mappings;
    const auto equal = [](const sum& a, const sum& b) { return a.mappings == b.mappings && a.fields == b.fields; };
    return enough && equal(bare, ours) && equal(bare_names, our_names) ? 0 : 1;
}
