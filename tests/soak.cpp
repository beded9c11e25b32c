// soak [SECONDS]: walks, captures and lookups of memory that changes as fast as it can, on both back-ends, for as long as asked
// (10 s). Every ten seconds and at the end it prints how many there were and how many were wrong, by kind. Exit status: 1 if any
// was, or if one of the things that it is about did not happen at all.
#include "support/churn.hpp"
#include "support/machine.hpp"
#include "support/memory.hpp"
#include "support/processes.hpp"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>
#include <procmap/result.hpp>
#include <procmap/text.hpp>

using namespace support;
using procmap::backend;
using procmap::mapping;
using procmap::maps;

namespace {
thread_local long listings = 0;  // that this thread began to read
}

// The text back-end begins a listing anew, from position 0, where it noticed another reader. Reads of one byte only look for life.
extern "C" ssize_t pread(int fd, void* to, size_t size, off_t position) {
    if (position == 0 && size > 1) ++listings;
    return static_cast<ssize_t>(::syscall(SYS_pread64, fd, to, size, position));
}

namespace {

using clock_type = std::chrono::steady_clock;

volatile std::sig_atomic_t interrupted = 0;

struct counts {
    tally by_ioctl{}, by_text{}, captures{}, lookups{};
    long noticed = 0;    // that a second reader made a walk begin anew
    long unnoticed = 0;  // that one did not: a violation
    long ended = 0;      // processes that ended while they were looked at
    long exits = 0;      // threads that ended in a process that was looked at

    counts& operator+=(const counts& other) {
        by_ioctl += other.by_ioctl, by_text += other.by_text, captures += other.captures, lookups += other.lookups;
        noticed += other.noticed, unnoticed += other.unnoticed, ended += other.ended, exits += other.exits;
        return *this;
    }
    tally& walks(const maps& of) { return of.backend() == backend::ioctl ? by_ioctl : by_text; }
    tally sum() const {
        tally all;
        for (const tally* one : {&by_ioctl, &by_text, &captures, &lookups}) all += *one;
        return all;
    }
    long violations() const { return sum().violations() + unnoticed; }
    void print(double seconds) const {
        const tally all = sum();
        std::printf("%6.0f s: %ld walks by ioctl, %ld by text, %ld captures, %ld lookups; second readers noticed %ld times, "
                    "%ld answers contended; %ld processes and %ld threads ended, %ld answers gone; violations: %ld out of order, "
                    "%ld missing, %ld wrong "
                    "ends, %ld impossible, %ld errors, %ld second readers not noticed\n",
                    seconds, by_ioctl.right, by_text.right, captures.right, lookups.right, noticed, all.contended, ended, exits,
                    all.gone,
                    all.out_of_order, all.missing, all.wrong_end, all.impossible, all.failed, unnoticed);
        if (!all.example.empty()) std::printf("          such as: %s\n", all.example.c_str());
        if (all.failed != 0) {
            std::printf("          such as: ");
            procmap::print([](std::string_view piece) { std::fwrite(piece.data(), 1, piece.size(), stdout); }, all.failure);
            std::printf("\n");
        }
        std::fflush(stdout);
    }
};

/// A thread that changes memory a little and ends, its stack unmapped: it is larger than what glibc keeps.
bool short_lived_thread(const arena& memory) {
    pthread_attr_t attributes;
    pthread_t thread;
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setstacksize(&attributes, std::size_t{64} << 20);
    const auto run = [](void* of) -> void* {
        dice random{static_cast<std::uint64_t>(::gettid())};
        for (int i = 0; i < 20; ++i) static_cast<const arena*>(of)->change(random);
        return nullptr;
    };
    const bool started = ::pthread_create(&thread, &attributes, run, const_cast<arena*>(&memory)) == 0;
    ::pthread_attr_destroy(&attributes);
    if (started) ::pthread_join(thread, nullptr);
    return started;
}

/// Changes memory, and now and then has a thread do so that ends.
void change(const arena& memory, dice& random, std::atomic<long>& exits) {
    for (int i = 0; i < 200; ++i) memory.change(random);
    exits += short_lived_thread(memory);
}

/// The questions in turn: walks with each filter and all that can be asked for, lookups, and now and then a capture.
void look_once(const maps& of, const arena& memory, std::size_t n, counts& count) {
    static constexpr procmap::filters only[] = {{},
                                                procmap::readable,
                                                procmap::file_backed,
                                                procmap::writable | procmap::file_backed,
                                                procmap::readable | procmap::writable};
    walk_once(of, memory, count.walks(of), {.only = only[n % std::size(only)], .names = n % 2 == 0});
    find_once(of, memory, n, count.lookups);
    if (n % 16 == 0) capture_once(of, memory, count.captures);
}

/// A walk by text into which the same thread reads through the same handle: it must begin anew.
void walk_and_intrude(const maps& of, const arena& memory, std::size_t n, counts& count) {
    char small[1024];  // so that more than one read is needed
    const long before = listings;
    long intruders = 0;
    const long contended = count.by_text.contended;
    walk_once(of, memory, count.by_text, {.names = true, .buffer = small}, [&] {
        const long own = listings;
        find_once(of, memory, n, count.lookups);
        intruders = listings - own;
    });
    const long anew = listings - before - intruders - 1;
    count.noticed += anew;
    if (anew < 1 && count.by_text.contended == contended) ++count.unnoticed;
}

using until = clock_type::time_point;
bool goes_on(until end) { return clock_type::now() < end && interrupted == 0; }

std::vector<maps> open_both(pid_t pid) {
    std::vector<maps> opened;
    for (const backend use : backends()) {
        auto one = pid == 0 ? maps::open_self({.use = use}) : maps::open(pid, {.use = use});
        if (one) opened.push_back(std::move(*one));
    }
    return opened;
}

/// Another process, in which two threads and some that end change memory.
counts another_process(const arena& memory, until end) {
    auto* const exits = reinterpret_cast<std::atomic<long>*>(map_pages(1, PROT_READ | PROT_WRITE, MAP_SHARED));
    counts count;
    {
        child changing{[&](channel& parent) {
            std::thread other{[&] {
                for (dice random{2};;) memory.change(random);
            }};
            parent.signal();
            for (dice random{1};;) change(memory, random, *exits);
        }};
        changing->await();
        const auto opened = open_both(changing.pid());
        for (std::size_t n = 0; goes_on(end); ++n)
            for (const maps& of : opened) {
                look_once(of, memory, n, count);
                if (of.backend() == backend::text && n % 8 == 0) walk_and_intrude(of, memory, n, count);
            }
    }
    count.exits = *exits;
    ::munmap(exits, page);
    return count;
}

/// Other threads of this process, and threads that share one handle by text and one by ioctl.
counts other_threads(const arena& memory, until end) {
    counts count;
    std::atomic<bool> stop = false;
    std::atomic<long> exits = 0;
    std::thread changing{[&] {
        for (dice random{3}; !stop;) change(memory, random, exits);
    }};
    const auto opened = open_both(0);
    counts of_second;
    std::thread second{[&] {
        for (std::size_t n = 0; !stop; ++n)
            for (const maps& of : opened) {
                if (of.backend() == backend::ioctl) {
                    look_once(of, memory, n, of_second);
                    continue;
                }
                const long before = listings;
                walk_once(of, memory, of_second.by_text);
                of_second.noticed += std::max(0L, listings - before - 1);
            }
    }};
    for (std::size_t n = 0; goes_on(end); ++n)
        for (const maps& of : opened)
            of.backend() == backend::text ? walk_and_intrude(of, memory, n, count) : look_once(of, memory, n, count);
    stop = true;
    second.join();
    changing.join();
    count += of_second;
    count.exits = exits;
    return count;
}

/// Processes that change memory and end while they are looked at: what is not whole says that they are gone.
counts ending_processes(const arena& memory, until end) {
    counts count;
    for (std::size_t round = 0; goes_on(end); ++round) {
        child victim{[&](channel& parent) {
            dice random{round};
            const std::size_t changes = random.below(2000);
            parent.signal();
            for (std::size_t i = 0; i < changes; ++i) memory.change(random);
            if (round % 2 == 0) parent.pause();  // and is killed
        }};
        victim->await();
        const auto opened = open_both(victim.pid());
        const auto lives = [&] {
            return std::any_of(opened.begin(), opened.end(), [](const maps& of) { return of.find_from(0).has_value(); });
        };
        for (std::size_t n = round; lives(); ++n) {
            for (const maps& of : opened) look_once(of, memory, n, count);
            if (round % 2 == 0 && n - round == round % 7) victim.kill();
        }
        for (const maps& of : opened) count.lookups.error(of.find_from(0).error());  // it must say gone
        ++count.ended;
    }
    return count;
}

/// In a scene in which no process ends, none may be said to be gone.
counts of_the_living(counts count) {
    for (tally* one : {&count.by_ioctl, &count.by_text, &count.captures, &count.lookups}) {
        one->failed += one->gone;
        if (one->gone != 0) one->failure = {.code = procmap::errc::gone};
        one->gone = 0;
    }
    return count;
}

}  // namespace

int main(int argc, char** argv) {
    char* rest = nullptr;
    const double seconds = argc > 1 ? std::strtod(argv[1], &rest) : 10;
    if (argc > 2 || (rest != nullptr && *rest != '\0') || !(seconds > 0)) return std::fprintf(stderr, "usage: soak [SECONDS]\n"), 2;
    if (!live_procfs()) return std::printf("SKIPPED: /proc is no live procfs\n"), 77;
    doctest::Context context;  // what the headers of support/ need is asserted with it
    context.setAsDefaultForAssertsOutOfTestCases();
    context.setAssertHandler([](const doctest::AssertData& data) {
        if (!data.m_failed) return;
        std::printf("%s:%d: not so: %s\n", data.m_file, data.m_line, data.m_expr);
        std::exit(1);
    });
    std::signal(SIGINT, [](int) { interrupted = 1; });

    const arena memory{16};
    const auto started = clock_type::now();
    const auto passed = [&] { return std::chrono::duration<double>(clock_type::now() - started).count(); };
    const auto slice = std::chrono::duration_cast<clock_type::duration>(std::chrono::duration<double>(std::min(1.0, seconds / 3)));
    counts all;
    for (double printed = 0; passed() < seconds && interrupted == 0;) {
        all += of_the_living(another_process(memory, clock_type::now() + slice));
        all += of_the_living(other_threads(memory, clock_type::now() + slice));
        all += ending_processes(memory, clock_type::now() + slice);
        if (passed() - printed >= 10) all.print(printed = passed());
    }
    all.print(passed());
    if (!kernel_has_ioctl()) std::printf("NOT INCLUDED: the ioctl, which this kernel does not have\n");
    const bool each = (all.by_ioctl.right != 0 || !kernel_has_ioctl()) && all.by_text.right != 0 && all.captures.right != 0 &&
                      all.lookups.right != 0 && all.noticed != 0 && all.sum().gone != 0 && all.exits != 0;
    if (!each && interrupted == 0) std::printf("FAILED: something did not happen at all\n");
    return all.violations() == 0 && (each || interrupted != 0) ? 0 : 1;
}
