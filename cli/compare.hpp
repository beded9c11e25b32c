// procmap compare
#pragma once

#include "arguments.hpp"
#include "mapping.hpp"
#include "output.hpp"
#include "target.hpp"

#include <procmap/fd.hpp>
#include <procmap/maps.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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

/// What `procmap compare` has both back-ends do.
struct workload {
    std::vector<std::uint64_t> addresses;  ///< ascending; none: all mappings that are `only`
    procmap::filters only;

    /// Visits the mappings that hold the addresses, or all, ascending and each once; adds to `queries` what the ioctl was called.
    [[nodiscard]] procmap::error run(const procmap::maps& from, std::uint64_t& queries, const auto& visit) const {
        auto at = addresses.begin();
        const auto end = addresses.end();
        const auto visit_if_hit = [&](const procmap::mapping& m) {
            while (at != end && *at < m.start) ++at;
            if (at != end && *at < m.end) visit(m);
            while (at != end && *at < m.end) ++at;
            return at != end;
        };
        const auto count = [&](const procmap::mapping& m) { queries += name_is_missing(m) ? 2 : 1; };  // again, without the name
        if (addresses.empty() || from.backend() == procmap::backend::text) {
            auto walk = from.walk({.only = only, .names = true, .buffer = name_storage});
            for (const procmap::mapping& m : walk) {
                count(m);
                if (addresses.empty())
                    visit(m);
                else if (!visit_if_hit(m))
                    break;
            }
            ++queries;  // that found the end
            return walk.error();
        }
        for (bool more = true; more;) {
            const auto m = from.find_from(*at, {.name = name_storage});
            if (!m) return ++queries, m.error() == procmap::errc::not_mapped ? procmap::error{} : m.error();
            count(*m);
            more = visit_if_hit(*m);
        }
        return {};
    }
};

/// How many calls of read and the like this process made before this one; nothing where the kernel does not count them.
inline std::optional<std::uint64_t> read_calls(const char* proc) {
    const procmap::unique_fd io{::open((std::string(proc) + "/self/io").c_str(), O_RDONLY | O_CLOEXEC)};
    char text[512];
    const ssize_t n = ::read(io.get(), text, sizeof text);
    const std::string_view fields(text, n < 0 ? 0 : static_cast<std::size_t>(n));
    constexpr std::string_view key = "syscr: ";
    const std::size_t begin = fields.find(key);
    if (begin == fields.npos) return {};
    return number<std::uint64_t>(fields.substr(begin + key.size(), fields.find('\n', begin) - begin - key.size()), 10);
}

/// One back-end's part of `procmap compare`.
class contender {
public:
    contender(const arguments& a, procmap::backend use, std::string_view target, const workload& work)
        : a_(a), target_(target), work_(work) {
        a_.how.use = use;
    }

    [[nodiscard]] procmap::maps open() const { return open_target(a_, "compare", target_); }

    /// The lines of the mappings that it finds, or the end of the program where it cannot.
    void answer(std::vector<std::string>& lines) {
        lines.clear();
        const procmap::maps process = open();
        const auto before = read_calls(a_.how.proc);
        std::uint64_t queries = 0;
        end_if(work_.run(process, queries, [&](const procmap::mapping& m) { lines.push_back(printed(m)); }));
        const auto after = read_calls(a_.how.proc);
        calls_ = queries;
        if (process.backend() != procmap::backend::text) return;
        calls_.reset();
        if (before && after) calls_ = *after - *before - 1;  // that read the first of the two
    }

    void measure() {
        using clock = std::chrono::steady_clock;
        const auto ns = [](clock::duration d) { return std::chrono::duration_cast<std::chrono::nanoseconds>(d).count(); };
        std::uint64_t queries = 0;
        const auto begun = clock::now();
        std::optional<procmap::maps> process = open();
        const auto opened = clock::now();
        const procmap::error broke = work_.run(*process, queries, [this](const procmap::mapping& m) {
            sink_ = sink_ + m.offset + m.name.size();
        });
        const auto looked_up = clock::now();
        process.reset();
        const auto closed = clock::now();
        end_if(broke);
        opens_.push_back(ns(opened - begun) + ns(closed - looked_up));
        lookups_.push_back(ns(looked_up - opened));
    }

    [[nodiscard]] std::optional<std::uint64_t> calls() const { return calls_; }
    [[nodiscard]] long long open_ns() const { return median(opens_); }
    [[nodiscard]] long long lookup_ns() const { return median(lookups_); }
    [[nodiscard]] long long best_ns() const { return *std::min_element(lookups_.begin(), lookups_.end()); }

private:
    static void end_if(const procmap::error& broke) {
        if (broke.code == procmap::errc::none) return;
        complain(broke);
        std::exit(failed);
    }
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

/// Says which of `lines` the other back-end has not.
inline void say_missing(const char* who, std::vector<std::string> lines, std::vector<std::string> others) {
    std::sort(lines.begin(), lines.end());
    std::sort(others.begin(), others.end());
    std::vector<std::string> missing;
    std::set_difference(lines.begin(), lines.end(), others.begin(), others.end(), std::back_inserter(missing));
    for (const std::string& line : missing) complain(who + line);
}

inline int compare(const arguments& a) {
    const question asked(a, "compare", 1);
    if (a.count && *a.count == 0) usage_error("no runs", "compare");
    if (a.all && !asked.addresses.empty()) usage_error("either --all or ADDRESSes", "compare");
    workload work{.addresses = asked.addresses, .only = {}};
    std::sort(work.addresses.begin(), work.addresses.end());
    if (work.addresses.empty() && !a.all) work.only = procmap::executable | procmap::file_backed;

    contender text(a, procmap::backend::text, asked.target, work);
    contender ioctl(a, procmap::backend::ioctl, asked.target, work);
    std::vector<std::string> by_ioctl, by_text, again;
    // What changes meanwhile is no difference of the back-ends.
    bool changes = false;
    constexpr int most_looks = 10;
    for (int look = 0; look == 0 || (by_text != by_ioctl && look < most_looks); ++look) {
        text.answer(by_text);
        ioctl.answer(by_ioctl);
        text.answer(again);
        changes = changes || by_text != again;
    }
    if (by_text != by_ioctl) {
        if (changes) {
            complain("the process keeps changing, so its answers cannot be compared; stop it meanwhile (kill -STOP), or ask again");
            return failed;
        }
        complain("the answers differ:");
        say_missing("text only:  ", by_text, by_ioctl);
        say_missing("ioctl only: ", by_ioctl, by_text);
        return not_mapped;
    }
    std::size_t present = 0;
    const procmap::maps process = ioctl.open();
    auto everything = process.walk();
    for ([[maybe_unused]] const procmap::mapping& m : everything) ++present;
    if (!everything.complete()) return complain(everything.error()), failed;

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

    if (a.json) {
        for (const contender* c : {&text, &ioctl})
            put("{\"backend\":\"" + std::string(c == &text ? "text" : "ioctl") + "\",\"addresses\":" +
                std::to_string(work.addresses.size()) + ",\"found\":" + std::to_string(by_text.size()) + ",\"mappings\":" +
                std::to_string(present) + ",\"runs\":" + std::to_string(runs) + ",\"open_ns\":" + std::to_string(c->open_ns()) +
                ",\"lookup_ns\":" + std::to_string(c->lookup_ns()) + ",\"best_ns\":" + std::to_string(c->best_ns()) +
                ",\"system_calls\":" + (c->calls() ? std::to_string(*c->calls()) : "null") + "}\n");
        return done;
    }
    const std::string what = a.all ? "all" : !work.addresses.empty() ? "those that hold the addresses" : "executable, of files";
    put("found by both: " + std::to_string(by_text.size()) + " of " + std::to_string(present) + " mappings (" + what +
        "); microseconds, " + std::to_string(runs) + " runs\n\n");
    const auto row = [](const char* name, double open, double lookup, double best, const std::string& calls, int digits) {
        char line[128];
        std::snprintf(line, sizeof line, "%-8s%12.*f%12.*f%12.*f%14s\n", name, digits, open, digits, lookup, digits, best, calls.c_str());
        put(line);
    };
    const auto part = [](auto of, auto in) { return static_cast<double>(of) / static_cast<double>(in); };
    put("                open      lookup        best  system calls\n");
    for (const contender* c : {&text, &ioctl})
        row(c == &text ? "text" : "ioctl", part(c->open_ns(), 1000), part(c->lookup_ns(), 1000), part(c->best_ns(), 1000),
            c->calls() ? std::to_string(*c->calls()) : "-", 2);
    char calls[32] = "-";
    if (text.calls() && ioctl.calls()) std::snprintf(calls, sizeof calls, "%.1f", part(*text.calls(), *ioctl.calls()));
    row("ratio", part(text.open_ns(), ioctl.open_ns()), part(text.lookup_ns(), ioctl.lookup_ns()),
        part(text.best_ns(), ioctl.best_ns()), calls, 1);
    return done;
}

}  // namespace cli
