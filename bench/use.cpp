// What is built on find and walk: snapshot, normalizer, cached_maps.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

#include <procmap/cached_maps.hpp>
#include <procmap/normalizer.hpp>
#include <procmap/snapshot.hpp>

#include "support.hpp"

namespace {

using namespace bench;
using procmap::backend;
using procmap::snapshot;

std::uint64_t here() { return reinterpret_cast<std::uintptr_t>(&here); }

// Capture: by whichever is faster, by the ioctl alone (page sizes are its alone), by text alone.

template <backend Use, bool PageSizes>
void capture(benchmark::State& state) {
    const crowd many{static_cast<std::size_t>(state.range(0))};
    if (!many.whole(state)) return;
    for (auto _ : state) {
        auto taken = snapshot::capture(self(Use), {.page_sizes = PageSizes});
        if (!taken) return state.SkipWithError("the capture broke off");
        benchmark::DoNotOptimize(taken);
    }
}
#define CAPTURE(n, what) \
    BENCHMARK(capture<backend::ioctl, false>)->Name("capture of " what "/adaptive")->Arg(n); \
    BENCHMARK(capture<backend::ioctl, true>)->Name("capture of " what "/ioctl only")->Arg(n); \
    BENCHMARK(capture<backend::text, false>)->Name("capture of " what "/text only")->Arg(n)
CAPTURE(60, "60 mappings");
CAPTURE(1000, "1,000 mappings");
CAPTURE(30000, "30,000 mappings");

// Lookup of random addresses in 30,000 recorded mappings.

constexpr std::size_t recorded = 30000;

struct extent {
    std::uint64_t start, end;
};
void in_snapshot(benchmark::State& state) {
    const crowd many{recorded};
    if (!many.whole(state)) return;
    const auto s = snapshot::capture(self());
    const auto addresses = many.addresses(1024);
    std::size_t i = 0;
    for (auto _ : state) {
        auto m = s->find(addresses[i++ % addresses.size()]);
        if (!m) return state.SkipWithError("not found");
        benchmark::DoNotOptimize(m->offset);
    }
}
void in_map(benchmark::State& state) {
    const crowd many{recorded};
    if (!many.whole(state)) return;
    std::map<std::uint64_t, procmap::mapping> all;
    for (const auto& m : self().walk()) all.emplace(m.end, m);
    const auto addresses = many.addresses(1024);
    std::size_t i = 0;
    for (auto _ : state) {
        const std::uint64_t a = addresses[i++ % addresses.size()];
        const auto m = all.upper_bound(a);
        if (m == all.end() || m->second.start > a) return state.SkipWithError("not found");
        benchmark::DoNotOptimize(m->second.offset);
    }
}
void in_list(benchmark::State& state) {
    const crowd many{recorded};
    if (!many.whole(state)) return;
    std::vector<procmap::mapping> all;
    for (const auto& m : self().walk()) all.push_back(m);
    const auto addresses = many.addresses(1024);
    std::size_t i = 0;
    for (auto _ : state) {
        const std::uint64_t a = addresses[i++ % addresses.size()];
        const auto m = std::find_if(all.begin(), all.end(), [a](const auto& x) { return x.contains(a); });
        if (m == all.end()) return state.SkipWithError("not found");
        benchmark::DoNotOptimize(m->offset);
    }
}
BENCHMARK(in_snapshot)->Name("lookup in 30,000 recorded mappings/snapshot");
BENCHMARK(in_map)->Name("lookup in 30,000 recorded mappings/std::map");
BENCHMARK(in_list)->Name("lookup in 30,000 recorded mappings/linear scan");

// Normalization.

// The bare calls: one query for each address, and for the first of each file one with its name.
std::uint64_t bare_queries(int fd, const std::vector<std::uint64_t>& addresses, std::size_t named) {
    char name[4096];
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        procmap_query q;
        std::memset(&q, 0, sizeof q);
        q.size = sizeof q;
        q.query_addr = addresses[i];
        if (i < named) q.vma_name_addr = reinterpret_cast<std::uintptr_t>(name), q.vma_name_size = sizeof name;
        if (ask(fd, q)) sum += addresses[i] - q.vma_start + q.vma_offset;
    }
    return sum;
}

const std::vector<std::uint64_t>& five() {
    static int data = 1;
    static const std::vector<std::uint64_t> addresses{here(), reinterpret_cast<std::uintptr_t>(&data),
                                                      reinterpret_cast<std::uintptr_t>("constant"),
                                                      reinterpret_cast<std::uintptr_t>(&std::abort),
                                                      reinterpret_cast<std::uintptr_t>(&std::strtoull)};
    return addresses;
}

void five_bare(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(bare_queries(self().fd().get(), five(), 2));
}
template <backend Use, bool BuildIds>
void five_normalized(benchmark::State& state) {
    procmap::normalizer n{{.build_ids = BuildIds}};
    (void)n.normalize(self(Use), five());  // from here on it is warm
    for (auto _ : state) {
        const auto r = n.normalize(self(Use), five());
        if (!r || !r->complete() || r->files.size() != 2) return state.SkipWithError("not resolved, or not in two files");
        if (BuildIds && !(r->files[0].build_id_known && r->files[1].build_id_known)) return state.SkipWithError("no build IDs");
    }
    state.counters["file reads"] = static_cast<double>(n.file_reads());
}
BENCHMARK(five_bare)->Name("five addresses in two files/bare ioctl");
BENCHMARK(five_normalized<backend::ioctl, false>)->Name("five addresses in two files/normalizer");
BENCHMARK(five_normalized<backend::ioctl, true>)->Name("five addresses in two files/normalizer, build IDs");
BENCHMARK(five_normalized<backend::text, false>)->Name("five addresses in two files/normalizer, text");

template <std::size_t Addresses, std::size_t Mappings>
void many_bare(benchmark::State& state) {
    const crowd many{Mappings};
    if (!many.whole(state)) return;
    auto addresses = many.addresses(Addresses);
    std::sort(addresses.begin(), addresses.end());
    // Addresses in one mapping take one call.
    const auto together = [](std::uint64_t a, std::uint64_t b) { return a / 4096 == b / 4096; };
    addresses.erase(std::unique(addresses.begin(), addresses.end(), together), addresses.end());
    for (auto _ : state) benchmark::DoNotOptimize(bare_queries(self().fd().get(), addresses, 1));
}
template <std::size_t Addresses, std::size_t Mappings, backend Use, bool BuildIds>
void many_normalized(benchmark::State& state) {
    const crowd many{Mappings};
    if (!many.whole(state)) return;
    const auto addresses = many.addresses(Addresses);
    procmap::normalizer n{{.build_ids = BuildIds}};
    (void)n.normalize(self(Use), addresses);  // from here on it is warm
    for (auto _ : state) {
        const auto r = n.normalize(self(Use), addresses);
        if (!r || !r->complete() || !r->locations[0]) return state.SkipWithError("not resolved");
    }
    state.counters["file reads"] = static_cast<double>(n.file_reads());
}
#define NORMALIZE(a, m, what) \
    BENCHMARK(many_bare<a, m>)->Name(what "/bare ioctl"); \
    BENCHMARK(many_normalized<a, m, backend::ioctl, false>)->Name(what "/normalizer"); \
    BENCHMARK(many_normalized<a, m, backend::ioctl, true>)->Name(what "/normalizer, build IDs"); \
    BENCHMARK(many_normalized<a, m, backend::text, false>)->Name(what "/normalizer, text")
NORMALIZE(1000, 30000, "1,000 addresses in 30,000 mappings");
NORMALIZE(3244, 655, "3,244 addresses in 655 mappings");

// The cache: what a confirmed answer costs beside the bare query that confirms it.

void cache_bare(benchmark::State& state) {
    const std::vector<std::uint64_t> one{here()};
    for (auto _ : state) benchmark::DoNotOptimize(bare_queries(self().fd().get(), one, 1));
}
template <bool BuildIds>
void cache_hit(benchmark::State& state) {
    procmap::cached_maps cache{self(), {.build_ids = BuildIds}};
    (void)cache.find(here());
    for (auto _ : state) {
        auto m = cache.find(here());
        if (!m) return state.SkipWithError("not found");
        benchmark::DoNotOptimize(m->start);
    }
}
BENCHMARK(cache_bare)->Name("cached_maps, a hit/bare ioctl with name");
BENCHMARK(cache_hit<false>)->Name("cached_maps, a hit/cached_maps");
BENCHMARK(cache_hit<true>)->Name("cached_maps, a hit/cached_maps, build IDs");

}  // namespace
