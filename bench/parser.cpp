// Benchmarks of the parser on 10,000 recorded lines, compared with common ways to parse them by hand. Each contender adds up the same
// fields of every line, so that none can skip one.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>

#if defined(PROCMAP_BENCH_LIBDW)
#include <elfutils/libdwfl.h>
#endif
#if defined(PROCMAP_BENCH_LIBBCC)
#include <bcc/bcc_proc.h>
#endif

#include <procmap/text.hpp>

namespace {

const std::string& text() {
    static const std::string recorded = [] {
        std::ifstream in{PROCMAP_BENCH_DATA "/realistic_10k.maps"};
        return std::string{std::istreambuf_iterator<char>{in}, {}};
    }();
    return recorded;
}

struct fields {
    std::uint64_t start, end, offset, inode;
    std::uint32_t major, minor;
    char permissions[5];
    std::string_view name;

    [[nodiscard]] std::uint64_t sum() const {
        return start + end + offset + inode + major + minor + (permissions[0] == 'r') + (permissions[2] == 'x') + name.size();
    }
};

// Each reader gets one line, with a NUL in place of the newline.

bool by_nothing(const char*, const char*, fields&) { return true; }

bool by_sscanf(const char* line, const char* end, fields& f) {
    int name = 0;
    const int n = std::sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %" SCNx32 ":%" SCNx32 " %" SCNu64 " %n", &f.start,
                              &f.end, f.permissions, &f.offset, &f.major, &f.minor, &f.inode, &name);
    f.name = {line + name, static_cast<std::size_t>(end - line - name)};
    return n == 7;
}

bool by_istringstream(const char* line, const char* end, fields& f) {
    std::istringstream in{std::string{line, end}};
    char dash = 0;
    char colon = 0;
    std::string permissions;
    in >> std::hex >> f.start >> dash >> f.end >> permissions >> f.offset >> f.major >> colon >> f.minor >> std::dec >> f.inode;
    if (!in || permissions.size() != 4) return false;
    permissions.copy(f.permissions, 4);
    static std::string name;
    std::getline(in >> std::ws, name);
    f.name = name;
    return true;
}

bool by_strtoull(const char* line, const char* end, fields& f) {
    char* at = nullptr;
    f.start = std::strtoull(line, &at, 16);
    if (*at++ != '-') return false;
    f.end = std::strtoull(at, &at, 16);
    if (*at++ != ' ' || end - at < 5) return false;
    std::memcpy(f.permissions, at, 4);
    f.offset = std::strtoull(at + 5, &at, 16);
    f.major = static_cast<std::uint32_t>(std::strtoul(at, &at, 16));
    if (*at++ != ':') return false;
    f.minor = static_cast<std::uint32_t>(std::strtoul(at, &at, 16));
    f.inode = std::strtoull(at, &at, 10);
    while (*at == ' ') ++at;
    f.name = {at, static_cast<std::size_t>(end - at)};
    return true;
}

bool by_from_chars(const char* line, const char* end, fields& f) {
    const char* at = line;
    const auto number = [&](auto& value, char after, int base) {
        const auto [stop, wrong] = std::from_chars(at, end, value, base);
        at = stop;
        if (wrong != std::errc{}) return false;
        if (at == end) return after == ' ';
        return *at++ == after;
    };
    if (!number(f.start, '-', 16) || !number(f.end, ' ', 16) || end - at < 5) return false;
    std::memcpy(f.permissions, at, 4);
    at += 5;
    if (!number(f.offset, ' ', 16) || !number(f.major, ':', 16) || !number(f.minor, ' ', 16) || !number(f.inode, ' ', 10))
        return false;
    while (at != end && *at == ' ') ++at;
    f.name = {at, static_cast<std::size_t>(end - at)};
    return true;
}

bool by_parse_line(const char* line, const char* end, fields& f) {
    const auto m = procmap::parse_line(std::string_view{line, end});
    if (!m) return false;
    f = {m->start, m->end, m->offset, m->inode, m->device.major, m->device.minor, {}, m->name};
    f.permissions[0] = m->permissions.has(procmap::perm::read) ? 'r' : '-';
    f.permissions[2] = m->permissions.has(procmap::perm::execute) ? 'x' : '-';
    return true;
}

template <auto Read>
void lines(benchmark::State& state) {
    std::string copy = text();
    for (char& c : copy)
        if (c == '\n') c = '\0';
    std::uint64_t count = 0;
    for (auto _ : state) {
        std::uint64_t sum = 0;
        count = 0;
        for (const char *at = copy.data(), *const last = at + copy.size(); at < last; ++count) {
            const char* const end = static_cast<const char*>(std::memchr(at, '\0', static_cast<std::size_t>(last - at)));
            fields f{};
            if (!Read(at, end, f)) return state.SkipWithError("a line could not be read");
            sum += f.sum();
            at = end + 1;
        }
        benchmark::DoNotOptimize(sum);
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(count));
}

void by_parse(benchmark::State& state) {
    std::uint64_t count = 0;
    for (auto _ : state) {
        std::uint64_t sum = 0;
        count = 0;
        for (const auto& m : procmap::parse(text())) {
            if (!m) return state.SkipWithError("a line could not be read");
            sum += m->start + m->end + m->offset + m->inode + m->device.major + m->device.minor +
                   m->permissions.has(procmap::perm::read) + m->permissions.has(procmap::perm::execute) + m->name.size();
            ++count;
        }
        benchmark::DoNotOptimize(sum);
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(count));
}

// Libraries that parse maps from a FILE*, so that they can read recorded text. They do more than parse, or skip lines; the benchmark
// checks the number of modules that they find.

#if defined(PROCMAP_BENCH_LIBDW) || defined(PROCMAP_BENCH_LIBBCC)
template <auto Read>
void streams(benchmark::State& state) {
    const auto count = std::count(text().begin(), text().end(), '\n');
    std::int64_t found = 0;
    for (auto _ : state) {
        std::FILE* const in = ::fmemopen(const_cast<char*>(text().data()), text().size(), "r");
        found = Read(in);
        std::fclose(in);
        if (found < 100) return state.SkipWithError("too little was found");
    }
    state.counters["found"] = static_cast<double>(found);
    state.SetItemsProcessed(state.iterations() * count);
}
#endif

#if defined(PROCMAP_BENCH_LIBDW)
std::int64_t by_libdw(std::FILE* in) {
    static const Dwfl_Callbacks callbacks{};
    Dwfl* const session = ::dwfl_begin(&callbacks);
    std::int64_t modules = 0;
    ::dwfl_linux_proc_maps_report(session, in);
    ::dwfl_report_end(session, nullptr, nullptr);
    ::dwfl_getmodules(session, [](Dwfl_Module*, void**, const char*, Dwarf_Addr, void* n) {
        ++*static_cast<std::int64_t*>(n);
        return int{DWARF_CB_OK};
    }, &modules, 0);
    ::dwfl_end(session);
    return modules;
}
BENCHMARK(streams<by_libdw>)->Name("parser/elfutils libdw");
#endif

#if defined(PROCMAP_BENCH_LIBBCC)
std::int64_t by_libbcc(std::FILE* in) {
    std::int64_t modules = 0;
    ::_procfs_maps_each_module(in, -1, [](mod_info*, int, void* n) {
        ++*static_cast<std::int64_t*>(n);
        return 0;
    }, &modules);
    return modules;
}
BENCHMARK(streams<by_libbcc>)->Name("parser/libbcc");
#endif

BENCHMARK(lines<by_sscanf>)->Name("parser/sscanf");
BENCHMARK(by_parse)->Name("parser/procmap parse");
BENCHMARK(lines<by_parse_line>)->Name("parser/procmap parse_line");
BENCHMARK(lines<by_nothing>)->Name("parser/newlines only");
BENCHMARK(lines<by_from_chars>)->Name("parser/from_chars");
BENCHMARK(lines<by_strtoull>)->Name("parser/strtoull");
BENCHMARK(lines<by_istringstream>)->Name("parser/istringstream");

}  // namespace
