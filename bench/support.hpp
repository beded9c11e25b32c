// What the benchmarks share: the bare ioctl, and address spaces of a chosen size.
#pragma once

#include <benchmark/benchmark.h>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include <procmap/maps.hpp>

namespace bench {

using procmap::uapi::procmap_query;

inline bool ask(int fd, procmap_query& q) { return ::ioctl(fd, procmap::uapi::procmap_query_request, &q) == 0; }

/// This process, by the ioctl or by text; ends the program where that cannot be.
inline const procmap::maps& self(procmap::backend use = procmap::backend::ioctl) {
    static const auto open = [](procmap::backend b) {
        auto maps = procmap::maps::open_self({.use = b});
        if (!maps) std::fputs("SKIPPED: no PROCMAP_QUERY here\n", stderr), std::exit(77);
        return std::move(*maps);
    };
    static const procmap::maps by_ioctl = open(procmap::backend::ioctl);
    static const procmap::maps by_text = open(procmap::backend::text);
    return use == procmap::backend::ioctl ? by_ioctl : by_text;
}

/// Fills this process up to `wanted` mappings, each of one page of its own executable, and takes them away again.
class crowd {
public:
    explicit crowd(std::size_t wanted) {
        allow(wanted + 1000);
        std::size_t present = 0;
        for ([[maybe_unused]] const auto& m : self().walk()) ++present;
        const std::size_t count = wanted > present ? wanted - present : 1;
        size_ = count * page;
        const int fd = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        start_ = static_cast<char*>(::mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        for (std::size_t i = 0; i < count && whole_; ++i)
            whole_ = ::mmap(start_ + i * page, page, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0) != MAP_FAILED;
        ::close(fd);
    }
    ~crowd() { ::munmap(start_, size_); }
    crowd(const crowd&) = delete;
    crowd& operator=(const crowd&) = delete;

    /// Whether they could all be made; the benchmark is skipped, visibly, where not.
    [[nodiscard]] bool whole(benchmark::State& state) const {
        if (!whole_) state.SkipWithError("vm.max_map_count is too low and cannot be raised");
        return whole_;
    }
    /// `n` addresses, each in another mapping as far as there are so many, in no order.
    [[nodiscard]] std::vector<std::uint64_t> addresses(std::size_t n) const {
        std::vector<std::uint64_t> all(n);
        const std::size_t pages = size_ / page;
        for (std::size_t i = 0; i < n; ++i)
            all[i] = reinterpret_cast<std::uintptr_t>(start_) + (i * 7919 % n * pages / n) * page + i % page;
        return all;
    }
    [[nodiscard]] std::uint64_t middle() const { return reinterpret_cast<std::uintptr_t>(start_) + size_ / page / 2 * page; }

private:
    static constexpr std::size_t page = 4096;

    static void allow(std::size_t mappings) {
        std::size_t now = 0;
        if (std::FILE* f = std::fopen("/proc/sys/vm/max_map_count", "r+")) {
            if (std::fscanf(f, "%zu", &now) == 1 && now < mappings) std::rewind(f), std::fprintf(f, "%zu\n", mappings);
            std::fclose(f);
        }
    }

    char* start_ = nullptr;
    std::size_t size_ = 0;
    bool whole_ = true;
};

}  // namespace bench
