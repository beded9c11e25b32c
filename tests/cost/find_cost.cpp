// One lookup, as bare C and through the library: tests/cost/find_cost.sh counts the instructions of each with callgrind.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

#include <procmap/maps.hpp>

extern "C" {

// What a careful C programmer writes, with nothing left out that is needed: the struct zeroed, filled, sent, its result looked at.
[[gnu::noinline]] std::uint64_t bare_lookup(int fd, std::uint64_t address) {
    procmap::uapi::procmap_query q;
    std::memset(&q, 0, sizeof q);
    q.size = sizeof q;
    q.query_addr = address;
    if (ioctl(fd, procmap::uapi::procmap_query_request, &q) != 0) return 0;
    return q.vma_start;
}

[[gnu::noinline]] std::uint64_t procmap_lookup(const procmap::maps& maps, std::uint64_t address) {
    const auto found = maps.find(address);
    if (!found) return 0;
    return found->start;
}
}

int main() {
    const auto maps = procmap::maps::open_self({.use = procmap::backend::ioctl});
    if (!maps) return maps.error() == procmap::errc::unsupported ? 77 : 1;
    const auto address = reinterpret_cast<std::uintptr_t>(&bare_lookup);
    std::uint64_t bare = 0;
    std::uint64_t ours = 0;
    for (int i = 0; i < 1000; ++i) {
        bare += bare_lookup(maps->fd().get(), address);
        ours += procmap_lookup(*maps, address);
    }
    return bare == ours && bare != 0 ? 0 : 1;
}
