// Benchmarks of snapshot, normalizer and cached_maps.
#include <elf.h>

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

// Capture: by the faster back-end, by the ioctl only (which page sizes require), and by text only.

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

void capture_among(benchmark::State& state) {
    const crowd many{static_cast<std::size_t>(state.range(0))};
    if (!many.whole(state)) return;
    std::int64_t count = 0;
    for (auto _ : state) {
        auto taken = snapshot::capture(self(), {});
        if (!taken) return state.SkipWithError("the capture broke off");
        count += static_cast<std::int64_t>(taken->size());
    }
    state.SetItemsProcessed(count);
}
void sizes(benchmark::internal::Benchmark* b) {
    for (const int n : {60, 300, 1000, 3000, 10000, 30000, 100000}) b->Arg(n);
}
BENCHMARK(capture_among)->Name("growth: mappings/capture, for each mapping")->Apply(sizes);

// Lookup of unsorted addresses in 30,000 recorded mappings.

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

// The plain calls: one query for each address, the first `named` of them with the name.
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
    (void)n.normalize(self(Use), five());  // warms up
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

/// Returns the addresses in ascending order, one for each mapping, as a plain loop needs them.
std::vector<std::uint64_t> one_for_each_page(std::vector<std::uint64_t> addresses) {
    std::sort(addresses.begin(), addresses.end());
    const auto together = [](std::uint64_t a, std::uint64_t b) { return a / 4096 == b / 4096; };
    addresses.erase(std::unique(addresses.begin(), addresses.end(), together), addresses.end());
    return addresses;
}
template <std::size_t Addresses, std::size_t Mappings, backend Use, bool BuildIds>
void many(benchmark::State& state) {
    const crowd all{Mappings};
    if (!all.whole(state)) return;
    const auto addresses = all.addresses(Addresses);
    const auto sorted = one_for_each_page(addresses);
    procmap::normalizer n{{.build_ids = BuildIds}};
    bool resolved = true;
    const auto normalize = [&] {
        const auto r = n.normalize(self(Use), addresses);
        resolved = resolved && r && r->complete() && r->locations[0];
    };
    normalize();  // warms up
    turn_about(state, 1, [&] { benchmark::DoNotOptimize(bare_queries(self().fd().get(), sorted, 1)); }, normalize);
    if (!resolved) state.SkipWithError("not resolved");
}
#define NORMALIZE(a, m, what) \
    BENCHMARK(many<a, m, backend::ioctl, false>)->Name("turn about/" what)->UseManualTime(); \
    BENCHMARK(many<a, m, backend::ioctl, true>)->Name("turn about/" what ", build IDs")->UseManualTime(); \
    BENCHMARK(many<a, m, backend::text, false>)->Name("turn about/" what ", text")->UseManualTime()->Iterations(20)
NORMALIZE(1000, 30000, "1,000 addresses in 30,000 mappings");
NORMALIZE(3244, 655, "3,244 addresses in 655 mappings");

// The cache: a hit, compared with the plain query that verifies it.

template <bool BuildIds>
void cache_hit(benchmark::State& state) {
    constexpr int count = 100;
    procmap::cached_maps cache{self(), {.build_ids = BuildIds}};
    const std::vector<std::uint64_t> one{here()};
    bool found = cache.find(here()).has_value();
    const auto hundred = [&](auto once) {
        return [once] {
            for (int i = 0; i < count; ++i) once();
        };
    };
    turn_about(state, count, hundred([&] { benchmark::DoNotOptimize(bare_queries(self().fd().get(), one, 1)); }), hundred([&] {
                   auto m = cache.find(here());
                   found = found && m;
                   benchmark::DoNotOptimize(m->start);
               }));
    if (!found) state.SkipWithError("not found");
}
BENCHMARK(cache_hit<false>)->Name("turn about/a hit of cached_maps")->UseManualTime();
BENCHMARK(cache_hit<true>)->Name("turn about/a hit of cached_maps, build IDs")->UseManualTime();

template <backend Use>
void addresses_among(benchmark::State& state) {
    const crowd all{10000};
    if (!all.whole(state)) return;
    const auto addresses = all.addresses(static_cast<std::size_t>(state.range(0)));
    procmap::normalizer n;
    for (auto _ : state) {
        const auto r = n.normalize(self(Use), addresses);
        if (!r || !r->complete() || !r->locations[0]) return state.SkipWithError("not resolved");
    }
}
void counts(benchmark::internal::Benchmark* b) {
    for (const int n : {1, 10, 100, 1000, 10000}) b->Arg(n);
}
BENCHMARK(addresses_among<backend::ioctl>)->Name("growth: addresses/normalizer")->Apply(counts);
BENCHMARK(addresses_among<backend::text>)->Name("growth: addresses/normalizer on text")->Apply(counts);

/// Maps `count` ELF files in memory, each with its own build ID.
class files {
public:
    explicit files(std::size_t count) {
        for (std::size_t i = 0; i < count && whole_; ++i) {
            image one;
            one.id[0] = static_cast<unsigned char>(i), one.id[1] = static_cast<unsigned char>(i >> 8);
            const procmap::unique_fd fd{::memfd_create("bench", MFD_CLOEXEC)};
            whole_ = ::write(fd.get(), &one, sizeof one) == static_cast<ssize_t>(sizeof one);
            void* const at = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, fd.get(), 0);
            if (at == MAP_FAILED) whole_ = false;
            else addresses_.push_back(reinterpret_cast<std::uintptr_t>(at));
        }
    }
    ~files() {
        for (const std::uint64_t a : addresses_) ::munmap(reinterpret_cast<void*>(a), 4096);
    }
    files(const files&) = delete;
    files& operator=(const files&) = delete;
    [[nodiscard]] const std::vector<std::uint64_t>& addresses() const { return addresses_; }
    [[nodiscard]] bool whole(benchmark::State& state) const {
        if (!whole_) state.SkipWithError("the files could not be made");
        return whole_;
    }

private:
    struct image {
        Elf64_Ehdr head{};
        Elf64_Phdr notes{};
        Elf64_Nhdr note{};
        char owner[4] = {'G', 'N', 'U', '\0'};
        unsigned char id[20] = {};

        image() {
            const unsigned char ident[] = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT};
            std::copy(std::begin(ident), std::end(ident), head.e_ident);
            head.e_type = ET_DYN, head.e_machine = EM_X86_64, head.e_version = EV_CURRENT;
            head.e_phoff = head.e_ehsize = sizeof head;
            head.e_phentsize = sizeof notes, head.e_phnum = 1;
            note.n_namesz = sizeof owner, note.n_descsz = sizeof id, note.n_type = NT_GNU_BUILD_ID;
            notes.p_type = PT_NOTE, notes.p_flags = PF_R, notes.p_align = 4;
            notes.p_offset = notes.p_vaddr = sizeof head + sizeof notes;
            notes.p_filesz = notes.p_memsz = sizeof note + sizeof owner + sizeof id;
        }
    };
    std::vector<std::uint64_t> addresses_;
    bool whole_ = true;
};

template <bool BuildIds, bool Warm>
void files_among(benchmark::State& state) {
    const files all{static_cast<std::size_t>(state.range(0))};
    if (!all.whole(state)) return;
    const procmap::normalizer_options options{.build_ids = BuildIds, .most_files = all.addresses().size()};
    procmap::normalizer warm{options};
    for (int i = 0; Warm && i < 3; ++i) {
        (void)warm.normalize(self(), all.addresses());
        ::usleep(30000);  // a file that was just written is not cached
    }
    for (auto _ : state) {
        procmap::normalizer cold{options};
        const auto r = (Warm ? warm : cold).normalize(self(), all.addresses());
        if (!r || !r->complete() || r->files.size() != all.addresses().size()) return state.SkipWithError("not resolved");
        if (BuildIds && r->files.back().build_id.empty()) return state.SkipWithError("no build ID");
    }
}
void file_counts(benchmark::internal::Benchmark* b) {
    for (const int n : {1, 3, 10, 30, 100, 300, 1000, 3000}) b->Arg(n);
}
BENCHMARK(files_among<false, true>)->Name("growth: files/normalizer")->Apply(file_counts);
BENCHMARK(files_among<true, true>)->Name("growth: files/with build IDs, known")->Apply(file_counts);
BENCHMARK(files_among<true, false>)->Name("growth: files/with build IDs, new")->Apply(file_counts);

}  // namespace
