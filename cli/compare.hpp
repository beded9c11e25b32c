// procmap compare: whether the text and the ioctl give the same results, and how long each takes.
#pragma once

#include "addresses.hpp"
#include "mapping.hpp"
#include "target.hpp"

namespace cli {

inline constexpr char compare_help[] = R"(usage: procmap compare [TARGET] [ADDRESS...] [OPTION...]

The same work done by text and by the ioctl, and how long each takes: finding the mappings, with their names, that hold the
addresses, or without any, all executable mappings of files, as a profiler wants them. The answers are compared first: where they
differ, it says in which mappings, and nothing is measured. A process that keeps changing is looked at several times.

ADDRESS is hexadecimal, with or without 0x. The first argument is the TARGET if it is self, PID/TID or decimal digits alone.

Times are in microseconds: to open and close ("open"), and of the lookup on the open handle, the median and the best of all runs.
The system calls are those of one lookup; - where the kernel does not count what is read (/proc/PID/io).

  --all            all mappings
  --count N        how many runs; by default as many as fit in a second, 10 at the least
  --json           one JSON object a line, for each back-end; times in nanoseconds

Exit status 1: the answers differ. 3: also where there is no ioctl to compare with.
)";

/// What `procmap compare` does with each back-end.
struct workload {
    std::vector<std::uint64_t> addresses;  ///< ascending; empty: all mappings that match `only`
    procmap::filters only;

    /// Visits the mappings that contain the addresses, or all mappings, once each in ascending order. Adds the number of ioctl
    /// calls to `queries`.
    [[nodiscard]] procmap::error run(const procmap::maps& from, std::uint64_t& queries, const auto& visit) const {
        auto at = addresses.begin();
        const auto end = addresses.end();
        const auto take = [&](const procmap::mapping& m) {  // returns false after the last address
            queries += name_is_missing(m) ? 2 : 1;          // the ioctl is repeated without the name
            if (addresses.empty()) return visit(m), true;
            while (at != end && *at < m.start) ++at;
            if (at != end && *at < m.end) visit(m);
            while (at != end && *at < m.end) ++at;
            return at != end;
        };
        if (addresses.empty() || from.backend() == procmap::backend::text) {
            auto walk = from.walk({.only = only, .names = true, .buffer = name_storage});
            for (const procmap::mapping& m : walk)
                if (!take(m)) break;
            ++queries;  // the one that found the end
            return walk.error();
        }
        for (;;) {
            const auto m = from.find_from(*at, {.name = name_storage});
            if (!m) return ++queries, m.error() == procmap::errc::not_mapped ? procmap::error{} : m.error();
            if (!take(*m)) return {};
        }
    }
};

/// Returns the number of read calls that this process made before this one, if the kernel counts them.
inline std::optional<std::uint64_t> read_calls(const char* proc) {
    std::ifstream io(std::string(proc) + "/self/io");
    std::uint64_t calls = 0;
    for (std::string key; io >> key;)
        if (key == "syscr:" && io >> calls) return calls;
    return {};
}

/// One back-end in `procmap compare`.
class contender {
public:
    contender(const arguments& a, procmap::backend use, std::string_view target, const workload& work)
        : a_(a), target_(target), work_(work) {
        a_.how.use = use;
    }

    [[nodiscard]] procmap::maps open() const { return open_target(a_, target_); }

    /// Returns the lines of the mappings that it finds, and counts the system calls.
    [[nodiscard]] std::vector<std::string> answer() {
        std::vector<std::string> lines;
        const procmap::maps process = open();
        const auto before = read_calls(a_.how.proc);
        std::uint64_t queries = 0;
        check(work_.run(process, queries, [&](const procmap::mapping& m) { lines.push_back(printed(m)); }));
        const auto after = read_calls(a_.how.proc);
        calls_ = queries;
        if (process.backend() == procmap::backend::text)  // without the call that read `before`
            calls_ = before && after ? std::optional(*after - *before - 1) : std::nullopt;
        return lines;
    }

    void measure() {
        using clock = std::chrono::steady_clock;
        const auto ns = [](clock::duration d) { return std::chrono::duration_cast<std::chrono::nanoseconds>(d).count(); };
        std::uint64_t queries = 0;
        const auto begun = clock::now();
        std::optional<procmap::maps> process = open();
        const auto opened = clock::now();
        const auto use = [this](const procmap::mapping& m) { sink_ = sink_ + m.offset + m.name.size(); };
        const procmap::error broke = work_.run(*process, queries, use);
        const auto looked_up = clock::now();
        process.reset();
        const auto closed = clock::now();
        check(broke);
        opens_.push_back(ns(opened - begun) + ns(closed - looked_up));
        lookups_.push_back(ns(looked_up - opened));
    }

    [[nodiscard]] const char* name() const { return a_.how.use == procmap::backend::text ? "text" : "ioctl"; }
    [[nodiscard]] std::optional<std::uint64_t> calls() const { return calls_; }
    [[nodiscard]] long long open_ns() const { return median(opens_); }
    [[nodiscard]] long long lookup_ns() const { return median(lookups_); }
    [[nodiscard]] long long best_ns() const { return *std::min_element(lookups_.begin(), lookups_.end()); }

private:
    static long long median(std::vector<long long> all) {
        const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
        std::nth_element(all.begin(), middle, all.end());
        return *middle;
    }

    arguments a_;
    std::string_view target_;
    const workload& work_;
    std::optional<std::uint64_t> calls_;  // of one lookup
    std::vector<long long> opens_, lookups_;
    volatile std::uint64_t sink_ = 0;
};

/// Reports the lines that the other back-end does not have.
inline void say_missing(const char* who, std::vector<std::string> lines, std::vector<std::string> others) {
    std::sort(lines.begin(), lines.end());
    std::sort(others.begin(), others.end());
    std::vector<std::string> missing;
    std::set_difference(lines.begin(), lines.end(), others.begin(), others.end(), std::back_inserter(missing));
    for (const std::string& line : missing) complain(who + line);
}

inline int compare(const arguments& a) {
    const question asked(a, 1);
    if (a.count && *a.count == 0) usage_error("no runs");
    if (a.all && !asked.addresses.empty()) usage_error("either --all or ADDRESSes");
    workload work{.addresses = asked.addresses, .only = {}};
    std::sort(work.addresses.begin(), work.addresses.end());
    if (work.addresses.empty() && !a.all) work.only = procmap::executable | procmap::file_backed;

    contender text(a, procmap::backend::text, asked.target, work);
    contender ioctl(a, procmap::backend::ioctl, asked.target, work);
    std::vector<std::string> by_text, by_ioctl;
    bool changes = false;  // of the process, which make the results differ too
    constexpr int most_looks = 10;
    for (int look = 0; look == 0 || (by_text != by_ioctl && look < most_looks); ++look) {
        by_text = text.answer();
        by_ioctl = ioctl.answer();
        changes = text.answer() != by_text || changes;
    }
    if (by_text != by_ioctl) {
        if (changes)
            fail("the process keeps changing, so its answers cannot be compared; stop it meanwhile (kill -STOP), or ask again");
        complain("the answers differ:");
        say_missing("text only:  ", by_text, by_ioctl);
        say_missing("ioctl only: ", by_ioctl, by_text);
        return not_mapped;
    }
    std::size_t present = 0;
    const procmap::maps process = ioctl.open();
    auto everything = process.walk();
    for ([[maybe_unused]] const procmap::mapping& m : everything) ++present;
    check(everything.error());

    using clock = std::chrono::steady_clock;
    constexpr std::uint64_t least_runs = 10;
    const auto enough = clock::now() + std::chrono::seconds(1);
    std::uint64_t runs = 0;
    for (; a.count ? runs < *a.count : runs < least_runs || clock::now() < enough; ++runs) {
        text.measure();
        ioctl.measure();
        progress::show(runs + 1, "runs", a.count.value_or(0));
    }
    progress::clear();

    const auto or_else = [](std::optional<std::uint64_t> n, const char* none) { return n ? std::to_string(*n) : none; };
    if (a.json) {
        for (const contender* c : {&text, &ioctl}) {
            const auto ns = [](long long n) { return static_cast<std::uint64_t>(n); };
            json_object o;
            o.add("backend", json_string(c->name())).add("addresses", work.addresses.size()).add("found", by_text.size());
            o.add("mappings", present).add("runs", runs).add("open_ns", ns(c->open_ns())).add("lookup_ns", ns(c->lookup_ns()));
            o.add("best_ns", ns(c->best_ns())).add("system_calls", or_else(c->calls(), "null")).put();
        }
        return done;
    }
    const std::string what = a.all ? "all" : !work.addresses.empty() ? "those that hold the addresses" : "executable, of files";
    put("found by both: " + std::to_string(by_text.size()) + " of " + std::to_string(present) + " mappings (" + what +
        "); microseconds, " + std::to_string(runs) + " runs\n\n");
    put("                open      lookup        best  system calls\n");
    const auto row = [](const char* name, double open, double lookup, double best, const std::string& calls, int digits) {
        char line[128];
        std::snprintf(line, sizeof line, "%-8s%12.*f%12.*f%12.*f%14s\n", name, digits, open, digits, lookup, digits, best, calls.c_str());
        put(line);
    };
    const auto part = [](auto of, auto in) { return static_cast<double>(of) / static_cast<double>(in); };
    for (const contender* c : {&text, &ioctl})
        row(c->name(), part(c->open_ns(), 1000), part(c->lookup_ns(), 1000), part(c->best_ns(), 1000), or_else(c->calls(), "-"), 2);
    char calls[32] = "-";
    if (text.calls() && ioctl.calls()) std::snprintf(calls, sizeof calls, "%.1f", part(*text.calls(), *ioctl.calls()));
    row("ratio", part(text.open_ns(), ioctl.open_ns()), part(text.lookup_ns(), ioctl.lookup_ns()),
        part(text.best_ns(), ioctl.best_ns()), calls, 1);
    return done;
}

}  // namespace cli
