// What the benchmarks share: the plain ioctl, interleaved comparison, and address spaces of a given size.
#pragma once

#include <benchmark/benchmark.h>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <utility>
#include <vector>

#include <procmap/maps.hpp>

namespace bench {

using procmap::uapi::procmap_query;

inline bool ask(int fd, procmap_query& q) { return ::ioctl(fd, procmap::uapi::procmap_query_request, &q) == 0; }

/// Returns a handle on this process for a back-end. Exits with status 77 if it is not available.
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

/// Runs both functions alternately, so that other load affects them equally. Reports the median time of one of the `count` operations of
/// each call, and the median and quartiles of the ratios of the pairs.
template <class Base, class Ours>
void turn_about(benchmark::State& state, double count, Base base, Ours ours) {
    const auto now = [] {  // processor time of this thread
        timespec t{};
        ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
    };
    const auto timed = [&now](auto& run) {
        const double begun = now();
        run();
        return now() - begun;
    };
    std::vector<double> bases, all, ratios;
    bool base_first = true;
    for (auto _ : state) {
        double first = 0;
        if (base_first) first = timed(base);
        const double second = timed(ours);
        if (!base_first) first = timed(base);
        base_first = !base_first;
        state.SetIterationTime(second);
        bases.push_back(first);
        all.push_back(second);
        ratios.push_back(second / first);
    }
    const auto at = [](std::vector<double>& values, double part) {
        const auto i = values.begin() + static_cast<std::ptrdiff_t>(part * static_cast<double>(values.size() - 1));
        std::nth_element(values.begin(), i, values.end());
        return *i;
    };
    state.counters["base"] = at(bases, 0.5) / count * 1e9;
    state.counters["ours"] = at(all, 0.5) / count * 1e9;
    state.counters["ratio"] = at(ratios, 0.5);
    state.counters["low"] = at(ratios, 0.25);
    state.counters["high"] = at(ratios, 0.75);
}

/// Raises vm.max_map_count if permitted, and restores it when the program exits.
class map_limit {
public:
    static void allow(std::size_t mappings) {
        static map_limit limit;
        if (limit.now_ < mappings) limit.set(mappings);
    }

private:
    map_limit() {
        if (std::FILE* f = std::fopen(path, "r")) {
            if (std::fscanf(f, "%zu", &before_) != 1) before_ = 0;
            std::fclose(f);
        }
        now_ = before_;
    }
    ~map_limit() {
        if (now_ != before_) set(before_);
    }
    void set(std::size_t mappings) {
        if (std::FILE* f = std::fopen(path, "w")) {
            std::fprintf(f, "%zu\n", mappings);
            if (std::fclose(f) == 0) now_ = mappings;
        }
    }

    static constexpr const char* path = "/proc/sys/vm/max_map_count";
    std::size_t before_ = 0;
    std::size_t now_ = 0;
};

/// Adds mappings to this process, each of one page of its own executable, up to a total of `wanted`. Unmaps them at the end.
class crowd {
public:
    explicit crowd(std::size_t wanted) {
        map_limit::allow(wanted + 1000);
        std::size_t present = 0;
        for ([[maybe_unused]] const auto& m : self().walk()) ++present;
        whole_ = wanted > present;
        const std::size_t count = whole_ ? wanted - present : 1;
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

    /// Returns true if all mappings were created. Otherwise reports the benchmark as skipped.
    [[nodiscard]] bool whole(benchmark::State& state) const {
        if (!whole_) state.SkipWithError("there are more mappings already, or vm.max_map_count is too low and cannot be raised");
        return whole_;
    }
    /// Returns `n` unsorted addresses, in as many different mappings as possible.
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

    char* start_ = nullptr;
    std::size_t size_ = 0;
    bool whole_ = true;
};

}  // namespace bench
