// procmap compare: whether the text and the ioctl give the same results, and how long each takes.
#pragma once

#include "addresses.hpp"
#include "mapping.hpp"
#include "target.hpp"

namespace cli {

inline constexpr char compare_help[] = R"(usage: procmap compare [TARGET] [ADDRESS...] [OPTION...]

Runs the same lookup with the text back-end and with the ioctl, and times both. It finds the mappings, with names, that contain
the addresses; without an ADDRESS, all executable file mappings, as a profiler does. If the results differ, the differences are
printed and nothing is timed. If the mappings are changing, the lookup is repeated.

Times are in microseconds: "open" is for opening and closing, "lookup" (median) and "best" are for the lookup between them.
System calls are those of one lookup; - if the kernel does not count read calls (/proc/PID/io).

Exit status 1: the results differ. 3: an error occurred; also if the ioctl is not available.

  --all            find all mappings
  --count N        number of runs (default: as many as fit in a second, at least 10)
)";

/// Returns the number of read calls that this process made before this one, if the kernel counts them.
inline std::optional<std::uint64_t> read_calls(const char* proc) {
    std::ifstream io(std::string(proc) + "/self/io");
    std::uint64_t calls = 0;
    for (std::string key; io >> key;)
        if (key == "syscr:" && io >> calls) return calls;
    return {};
}

/// The lookup by one of the back-ends.
class timed_backend {
public:
    /// The addresses are ascending. Without addresses, all mappings or all executable file mappings are looked up.
    timed_backend(const arguments& a, procmap::backend use, const address_arguments& wanted) : a_(a), wanted_(wanted) {
        a_.how.use = use;
        if (wanted.addresses.empty() && !a.all) only_ = procmap::executable | procmap::file_backed;
    }

    [[nodiscard]] procmap::maps open() const { return open_target(a_, wanted_.target); }

    /// Returns the lines of the mappings, and counts the system calls.
    [[nodiscard]] std::vector<std::string> find() {
        std::vector<std::string> lines;
        const procmap::maps process = open();
        const auto before = read_calls(a_.how.proc);
        std::uint64_t queries = 0;
        check(run(process, queries, [&](const procmap::mapping& m) { lines.push_back(printed(m)); }));
        const auto after = read_calls(a_.how.proc);
        calls_ = queries;
        if (process.backend() == procmap::backend::text)  // without the call that read `before`
            calls_ = before && after ? std::optional(*after - *before - 1) : std::nullopt;
        return lines;
    }

    void measure() {
        using clock = std::chrono::steady_clock;
        const auto ns = [](clock::duration d) { return static_cast<std::uint64_t>(std::chrono::nanoseconds(d).count()); };
        std::uint64_t queries = 0;
        const auto begun = clock::now();
        std::optional<procmap::maps> process = open();
        const auto opened = clock::now();
        const auto use = [this](const procmap::mapping& m) { sink_ = sink_ + m.offset + m.name.size(); };
        const procmap::error error = run(*process, queries, use);
        const auto looked_up = clock::now();
        process.reset();
        const auto closed = clock::now();
        check(error);
        opens_.push_back(ns(opened - begun) + ns(closed - looked_up));
        lookups_.push_back(ns(looked_up - opened));
    }

    [[nodiscard]] const char* name() const { return a_.how.use == procmap::backend::text ? "text" : "ioctl"; }
    [[nodiscard]] std::optional<std::uint64_t> calls() const { return calls_; }
    [[nodiscard]] std::uint64_t open_ns() const { return median(opens_); }
    [[nodiscard]] std::uint64_t lookup_ns() const { return median(lookups_); }
    [[nodiscard]] std::uint64_t best_ns() const { return *std::min_element(lookups_.begin(), lookups_.end()); }

private:
    /// Visits the mappings that contain the addresses, or all mappings, once each in ascending order. Adds the number of ioctl
    /// calls to `queries`.
    [[nodiscard]] procmap::error run(const procmap::maps& from, std::uint64_t& queries, const auto& visit) const {
        auto at = wanted_.addresses.begin();
        const auto end = wanted_.addresses.end();
        const bool all = at == end;
        const auto take = [&](const procmap::mapping& m) {  // returns false after the last address
            queries += name_is_missing(m) ? 2 : 1;          // the ioctl is repeated without the name
            if (all) return visit(m), true;
            while (at != end && *at < m.start) ++at;
            if (at != end && *at < m.end) visit(m);
            while (at != end && *at < m.end) ++at;
            return at != end;
        };
        if (all || from.backend() == procmap::backend::text) {
            auto walk = from.walk({.only = only_, .names = true, .buffer = name_storage});
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

    static std::uint64_t median(std::vector<std::uint64_t> all) {
        const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
        std::nth_element(all.begin(), middle, all.end());
        return *middle;
    }

    arguments a_;
    const address_arguments& wanted_;
    procmap::filters only_;
    std::optional<std::uint64_t> calls_;  // of one lookup
    std::vector<std::uint64_t> opens_, lookups_;
    volatile std::uint64_t sink_ = 0;
};

/// Reports the lines that the other back-end does not have.
inline void report_missing(const char* who, std::vector<std::string> lines, std::vector<std::string> others) {
    std::sort(lines.begin(), lines.end());
    std::sort(others.begin(), others.end());
    std::vector<std::string> missing;
    std::set_difference(lines.begin(), lines.end(), others.begin(), others.end(), std::back_inserter(missing));
    for (const std::string& line : missing) report(who + line);
}

inline int compare(const arguments& a) {
    address_arguments wanted(a, 1);
    if (a.count && *a.count == 0) usage_error("invalid count '0': expected at least 1");
    if (a.all && !wanted.addresses.empty()) usage_error("--all cannot be used with addresses");
    std::sort(wanted.addresses.begin(), wanted.addresses.end());
    timed_backend text(a, procmap::backend::text, wanted);
    timed_backend ioctl(a, procmap::backend::ioctl, wanted);
    std::vector<std::string> by_text, by_ioctl;
    bool changes = false;  // of the process, which make the results differ too
    for (int tries = 0; tries == 0 || (by_text != by_ioctl && tries < 10); ++tries) {
        by_text = text.find();
        by_ioctl = ioctl.find();
        changes = text.find() != by_text || changes;
    }
    if (by_text != by_ioctl) {
        if (changes) fail("the mappings keep changing and cannot be compared; stop the process with kill -STOP, or try again");
        report("the results differ:");
        report_missing("text only:  ", by_text, by_ioctl);
        report_missing("ioctl only: ", by_ioctl, by_text);
        return not_mapped;
    }
    std::size_t present = 0;
    const procmap::maps process = ioctl.open();
    auto everything = process.walk();
    for ([[maybe_unused]] const procmap::mapping& m : everything) ++present;
    check(everything.error());

    const auto enough = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    std::uint64_t runs = 0;
    for (; a.count ? runs < *a.count : runs < 10 || std::chrono::steady_clock::now() < enough; ++runs) {
        text.measure();
        ioctl.measure();
        progress::show(runs + 1, "runs", a.count.value_or(0));
    }
    progress::clear();

    const auto or_else = [](std::optional<std::uint64_t> n, const char* none) { return n ? std::to_string(*n) : none; };
    if (a.json) {
        for (const timed_backend* c : {&text, &ioctl}) {
            json_object o;
            o.add("backend", json_string(c->name())).add("addresses", wanted.addresses.size()).add("found", by_text.size());
            o.add("mappings", present).add("runs", runs).add("open_ns", c->open_ns()).add("lookup_ns", c->lookup_ns());
            o.add("best_ns", c->best_ns()).add("system_calls", or_else(c->calls(), "null")).put();
        }
        return done;
    }
    const std::string what = a.all ? "all" : !wanted.addresses.empty() ? "those that contain the addresses" : "executable, of files";
    put("found by both: " + std::to_string(by_text.size()) + " of " + std::to_string(present) + " mappings (" + what +
        "); microseconds, " + std::to_string(runs) + " runs\n\n");
    put("                open      lookup        best  system calls\n");
    const auto row = [](const char* name, double open, double lookup, double best, const std::string& calls, int digits) {
        char line[128];
        std::snprintf(line, sizeof line, "%-8s%12.*f%12.*f%12.*f%14s\n", name, digits, open, digits, lookup, digits, best, calls.c_str());
        put(line);
    };
    const auto part = [](auto of, auto in) { return static_cast<double>(of) / static_cast<double>(in); };
    for (const timed_backend* c : {&text, &ioctl})
        row(c->name(), part(c->open_ns(), 1000), part(c->lookup_ns(), 1000), part(c->best_ns(), 1000), or_else(c->calls(), "-"), 2);
    char calls[32] = "-";
    if (text.calls() && ioctl.calls()) std::snprintf(calls, sizeof calls, "%.1f", part(*text.calls(), *ioctl.calls()));
    row("ratio", part(text.open_ns(), ioctl.open_ns()), part(text.lookup_ns(), ioctl.lookup_ns()),
        part(text.best_ns(), ioctl.best_ns()), calls, 1);
    return done;
}

}  // namespace cli
