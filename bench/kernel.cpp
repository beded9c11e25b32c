// Benchmarks of find and walk: compared with the plain ioctl in C, with several threads, and by number of mappings.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <thread>

#include "support.hpp"

namespace {

using namespace bench;
using procmap::backend;

std::uint64_t here() { return reinterpret_cast<std::uintptr_t>(&here); }

enum fields : unsigned { plain = 0, name = 1, id = 2 };

// One query in C: zeroes the struct, fills it, sends it, and reads the result.
template <unsigned Fields>
bool bare_find(int fd, std::uint64_t address, std::uint64_t& start) {
    char name_bytes[4096];
    char id_bytes[20];
    procmap_query q;
    std::memset(&q, 0, sizeof q);
    q.size = sizeof q;
    q.query_addr = address;
    if (Fields & name) q.vma_name_addr = reinterpret_cast<std::uintptr_t>(name_bytes), q.vma_name_size = sizeof name_bytes;
    if (Fields & id) q.build_id_addr = reinterpret_cast<std::uintptr_t>(id_bytes), q.build_id_size = sizeof id_bytes;
    const bool found = ask(fd, q);
    start = q.vma_start;
    return found;
}

template <unsigned Fields>
bool our_find(std::uint64_t address, std::uint64_t& start) {
    procmap::name_buffer name_bytes;
    procmap::build_id_buffer id_bytes;
    const procmap::result<procmap::mapping> m = [&] {
        if constexpr (Fields == plain) return self().find(address);
        if constexpr (Fields == name) return self().find(address, {.name = name_bytes});
        return self().find(address, {.name = name_bytes, .build_id = id_bytes});
    }();
    start = m->start;
    return m && (!(Fields & id) || m->build_id_known);
}

template <unsigned Fields>
void find(benchmark::State& state) {
    constexpr int count = 100;
    const int fd = self().fd().get();
    std::uint64_t start = 0;
    bool found = true;
    const auto both = [&](auto once) {
        return [&, once] {
            for (int i = 0; i < count; ++i) found = once() && found, benchmark::DoNotOptimize(start);
        };
    };
    turn_about(state, count, both([&] { return bare_find<Fields>(fd, here(), start); }),
               both([&] { return our_find<Fields>(here(), start); }));
    if (!found) state.SkipWithError("not found");
}

BENCHMARK(find<plain>)->Name("turn about/find")->UseManualTime();
BENCHMARK(find<name>)->Name("turn about/find with name")->UseManualTime();
BENCHMARK(find<name | id>)->Name("turn about/find with name and build ID")->UseManualTime();

// Walks over 1,000 mappings. Reports the time for each mapping.

template <unsigned Fields, std::uint64_t Filter>
std::uint64_t bare_walk(int fd, std::uint64_t& sum) {
    char name_bytes[4096];
    procmap_query q;
    std::memset(&q, 0, sizeof q);
    q.size = sizeof q;
    q.query_flags = 0x10 | Filter;  // PROCMAP_QUERY_COVERING_OR_NEXT_VMA
    if (Fields & name) q.vma_name_addr = reinterpret_cast<std::uintptr_t>(name_bytes), q.vma_name_size = sizeof name_bytes;
    std::uint64_t count = 0;
    while (ask(fd, q)) {
        ++count;
        sum += q.vma_start + q.vma_end + q.vma_flags + q.vma_offset + q.inode + q.vma_name_size;
        if (Fields & name) q.vma_name_size = sizeof name_bytes;
        q.query_addr = q.vma_end;
    }
    return count;
}

std::uint64_t our_walk(const procmap::maps& maps, const procmap::walk_options& options, std::uint64_t& sum) {
    std::uint64_t count = 0;
    auto walk = maps.walk(options);
    for (const auto& m : walk) {
        ++count;
        sum += m.start + m.end + m.permissions.bits() + m.offset + m.inode + m.name.size();
    }
    return walk.complete() ? count : 0;
}

// Reads the whole text without parsing it: the time that the kernel needs to print it.
std::uint64_t text_only(std::uint64_t& sum) {
    static std::array<char, 65536> buffer;
    std::uint64_t lines = 0;
    ssize_t n = 0;
    for (off_t at = 0; (n = ::pread(self(backend::text).fd().get(), buffer.data(), buffer.size(), at)) > 0; at += n)
        lines += static_cast<std::uint64_t>(std::count(buffer.data(), buffer.data() + n, '\n'));
    sum += lines;
    return lines;
}

template <auto Walk>
void walk(benchmark::State& state) {
    const crowd many{static_cast<std::size_t>(state.range(0))};
    if (!many.whole(state)) return;
    std::uint64_t sum = 0;
    std::uint64_t count = 0;
    for (auto _ : state) count += Walk(sum);
    benchmark::DoNotOptimize(sum);
    if (count == 0) return state.SkipWithError("the walk broke off");
    state.SetItemsProcessed(static_cast<std::int64_t>(count));
}

constexpr auto bare = [](std::uint64_t& sum) { return bare_walk<plain, 0>(self().fd().get(), sum); };
constexpr auto ours = [](std::uint64_t& sum) { return our_walk(self(), {}, sum); };
constexpr auto bare_names = [](std::uint64_t& sum) { return bare_walk<name, 0>(self().fd().get(), sum); };
constexpr auto our_names = [](std::uint64_t& sum) { return our_walk(self(), {.names = true}, sum); };
constexpr auto bare_executable = [](std::uint64_t& sum) { return bare_walk<name, 0x24>(self().fd().get(), sum); };
constexpr auto our_executable = [](std::uint64_t& sum) {
    return our_walk(self(), {.only = procmap::executable | procmap::file_backed, .names = true}, sum);
};
constexpr auto text_names = [](std::uint64_t& sum) { return our_walk(self(backend::text), {.names = true}, sum); };
constexpr auto text_executable = [](std::uint64_t& sum) {
    return our_walk(self(backend::text), {.only = procmap::executable | procmap::file_backed, .names = true}, sum);
};

template <auto Base, auto Ours, int Per>
void walks(benchmark::State& state) {
    const crowd many{1000};
    if (!many.whole(state)) return;
    std::uint64_t sum = 0;
    std::uint64_t bases = 0;
    std::uint64_t all = 0;
    turn_about(state, Per, [&] { bases += Base(sum); }, [&] { all += Ours(sum); });
    benchmark::DoNotOptimize(sum);
    if (all != bases) state.SkipWithError("a walk broke off");
}
BENCHMARK(walks<bare, ours, 1000>)->Name("turn about/walk, for each mapping")->UseManualTime();
BENCHMARK(walks<bare_names, our_names, 1000>)->Name("turn about/walk with names, for each mapping")->UseManualTime();
BENCHMARK(walks<bare_executable, our_executable, 1>)
    ->Name("turn about/walk of the executable files among 1,000 mappings")
    ->UseManualTime();

BENCHMARK(walk<bare_names>)->Name("walk with names/bare ioctl")->Arg(1000);
BENCHMARK(walk<our_names>)->Name("walk with names/procmap")->Arg(1000);
BENCHMARK(walk<text_names>)->Name("walk with names/procmap, text")->Arg(1000);
BENCHMARK(walk<text_only>)->Name("walk with names/text read, not parsed")->Arg(1000);
BENCHMARK(walk<bare_executable>)->Name("walk of executable files, for each of them/bare ioctl")->Arg(1000);
BENCHMARK(walk<our_executable>)->Name("walk of executable files, for each of them/procmap")->Arg(1000);
BENCHMARK(walk<text_executable>)->Name("walk of executable files, for each of them/procmap, text")->Arg(1000);

template <backend Use>
void find_among(benchmark::State& state) {
    const crowd many{static_cast<std::size_t>(state.range(0))};
    if (!many.whole(state)) return;
    const std::uint64_t address = many.middle();
    for (auto _ : state) {
        auto m = self(Use).find(address);
        if (!m) return state.SkipWithError("not found");
        benchmark::DoNotOptimize(m);
    }
}

void sizes(benchmark::internal::Benchmark* b) {
    for (const int n : {60, 300, 1000, 3000, 10000, 30000, 100000}) b->Arg(n);
}
BENCHMARK(find_among<backend::ioctl>)->Name("growth: mappings/find")->Apply(sizes);
BENCHMARK(find_among<backend::text>)->Name("growth: mappings/find, text")->Apply(sizes);
BENCHMARK(walk<our_names>)->Name("growth: mappings/walk, for each mapping")->Apply(sizes);
BENCHMARK(walk<text_names>)->Name("growth: mappings/walk of text, for each mapping")->Apply(sizes);

// Several threads query one handle, with and without another thread that continuously maps and unmaps memory.

std::atomic<bool> churns;

template <bool Churn>
void threads(benchmark::State& state) {
    static std::thread churner;
    if (Churn && state.thread_index() == 0) {
        churns = true;
        churner = std::thread{[] {
            while (churns) {
                void* const p = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                if (p != MAP_FAILED) ::munmap(p, 4096);
            }
        }};
    }
    for (auto _ : state) {
        auto m = self().find(here());
        benchmark::DoNotOptimize(m);
    }
    state.SetItemsProcessed(state.iterations());
    if (Churn && state.thread_index() == 0) churns = false, churner.join();
}
BENCHMARK(threads<false>)->Name("growth: threads/find, of all threads")->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(threads<true>)->Name("growth: threads/find, while another thread maps")->ThreadRange(1, 8)->UseRealTime();

}  // namespace
