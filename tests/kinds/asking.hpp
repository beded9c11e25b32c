// Asks about a mapping in every way, each in a child with a deadline, and checks the effects.
#pragma once

#include "reports.hpp"
#include "ways.hpp"
#include "kind.hpp"
#include "expected.hpp"
#include "../support/files.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/cached_maps.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>

namespace support {

using procmap::build_id_choice;
using procmap::maps;

struct row {
    std::string kind, find = "–", walk = "–", normalizer = "–", cached_maps = "–";
    std::map<std::string, std::vector<std::string>> touched{};  // what happened, by whom
    void note(const std::string& what, const std::string& by) {
        auto& all = touched[what];
        if (std::find(all.begin(), all.end(), by) == all.end()) all.push_back(by);
    }
};
inline std::vector<row> table;

inline report* shared_report() {
    static auto* const memory = reinterpret_cast<report*>(map_pages(1, PROT_READ | PROT_WRITE, MAP_SHARED));
    return memory;
}

/// Runs `ask` in a child, which counts into `r`. What kept it from its end; empty: nothing.
template <class Ask>
std::string in_child(report& r, const Ask& ask) {
    constexpr int patience = 15'000;  // ms
    int line[2] = {-1, -1};
    if (::pipe2(line, O_CLOEXEC) != 0) return "no pipe";
    std::fflush(nullptr);
    const pid_t own = ::getpid(), pid = ::fork();
    if (pid == 0) {
        end_with(own);
        counted = &r;
        ask();
        ::_exit(0);
    }
    ::close(line[1]);
    pollfd ended{.fd = line[0], .events = POLLIN, .revents = 0};
    const int answered = ::poll(&ended, 1, patience);
    ::close(line[0]);
    if (answered != 1) ::kill(pid, SIGKILL);
    int status = 0;
    pid_t reaped = 0;
    for (int tries = 0; (reaped = ::waitpid(pid, &status, WNOHANG)) == 0 && tries < 2000; ++tries) ::usleep(1000);
    if (answered != 1)
        return std::string{"hangs"} + (r.asking != 0 ? " in a query for a build ID" : "") +
               (reaped == pid ? "" : " and cannot be killed");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "" : "the child was killed";
}

inline std::string ask_in_child(const kind& k, const back_end& b, const way& w, report& r) {
    return in_child(r, [&, looked_at = ::getpid()] {
        if (b.hidden) ::personality(UNAME26);
        const auto of = maps::open(looked_at, b.how);
        of ? w.ask(*of, k.at, w, r) : void(r.failed = true);
    });
}

/// Asks about `k` in every way.
inline void ask_everyhow(const kind& k) {
    CAPTURE(k.name);
    row line{.kind = k.name};
    int hung = 0;
    std::uint64_t start = 0, end = 0;
    for (const raw_line& raw : raw_lines(slurp(maps_path(::getpid())).value()))
        if (raw.start <= k.at && k.at < raw.end) start = raw.start, end = raw.end;
    REQUIRE(end != 0);
    for (const back_end& b : back_ends()) {
        for (const way& w : ways) {
            constexpr int enough = 2;
            if (hung == enough) break;
            const bool asks = may_ask(k, b, w);
            if (k.never_by_name && asks) continue;
            report& r = *new (shared_report()) report{};
            r.start = start;
            r.end = end;
            if (k.before) k.before();
            (void)events_of(k);
            const std::string kept = ask_in_child(k, b, w, r);
            if (kept.starts_with("hangs")) ++hung;
            if (hung != 0 && k.free_waiting) k.free_waiting(), hung = enough;
            const std::string answer = kept.empty() ? answer_of(k, r) : kept;
            const std::string seen = events_of(k);
            const std::string disturbed = k.disturbed ? k.disturbed() : std::string{};

            // No CHECK with each: a message names the way.
            const std::string which = k.name + ", " + w.name + " (" + b.name + "): ";
            const std::string expected = expected_answer(k, b, w);
            const bool hidden = k.regular == proof::by_map_files && !map_files_open() && w.opens_files();
            const bool same = answer == expected || (hidden && answer == "not known");
            CHECK_MESSAGE(same, which << answer << ", not " << expected);
            CHECK_MESSAGE((r.id_queries_of_it == 0 || asks),
                          which << "the kernel was asked for the build ID, " << r.id_queries_of_it << " times");
            const bool may_open = k.regular != proof::none && w.opens_files();
            CHECK_MESSAGE((seen.empty() || may_open || asks), which << "it was " << seen);
            CHECK_MESSAGE((disturbed.empty() || (asks && disturbed == k.allowed)), which << disturbed);

            constexpr const char* columns[] = {"find", "walk", "capture", "normalizer", "cached_maps"};
            const bool chosen = w.choice == build_id_choice::kernel && w.by_name();
            const std::string who = std::string{columns[static_cast<std::size_t>(w.of)]} + (chosen ? "*" : "");
            if (r.id_queries_of_it != 0) line.note("kernel asked", who);
            if (!seen.empty() && r.id_queries_of_it == 0) line.note(seen, who);
            if (!disturbed.empty()) line.note(disturbed, who);
            if (!kept.empty()) line.note(kept, w.name);
            if (&b != &back_ends().front()) continue;
            if (&w == &ways[0]) line.find = answer;
            if (w.ask == ask_walk<true>) line.walk = answer;
            if (&w == &default_normalizer) line.normalizer = answer;
            if (&w == &default_cached_maps) line.cached_maps = answer;
        }
    }
    CHECK_MESSAGE(hung == 0, "ways that hang, after which no other was tried");
    table.push_back(std::move(line));
}

inline void print_table() {
    if (table.empty()) return;
    std::printf("\n| kind | find | walk | normalizer | cached_maps | read anything? |\n|---|---|---|---|---|---|\n");
    for (const row& r : table) {
        std::string touched;
        for (const auto& [what, all] : r.touched) {
            touched += (touched.empty() ? "" : "; ") + what;
            for (const std::string& by : all) touched += (&by == &all.front() ? ": " : ", ") + by;
        }
        std::printf("| %s | %s | %s | %s | %s | %s |\n", r.kind.c_str(), r.find.c_str(), r.walk.c_str(), r.normalizer.c_str(),
                    r.cached_maps.c_str(), touched.empty() ? "no" : touched.c_str());
    }
    std::printf(
        "The answers are those of the %s back-end. *: told to ask the kernel only (build_id_choice::kernel), by the name "
        "alone.\n",
        back_ends().front().name);
}

}  // namespace support
