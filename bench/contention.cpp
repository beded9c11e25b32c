// Measures lock contention between queries and changes of an address space. One thread maps and unmaps memory, another queries a
// different mapping of the same process; each runs alone, then both together. If a query takes the lock of the whole address space
// (mmap_lock, about Linux 6.11 to 6.16), the threads wait for each other; if it takes the lock of one mapping, they do not. Prints a
// table row with medians for each kind of query. As process 1 of a virtual machine, mounts /proc and reboots at the end.
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include <procmap/maps.hpp>

namespace {

using clock_type = std::chrono::steady_clock;

/// How often a thread ran its work: per second, and how often it slept per 1,000 runs. Only a lock makes it sleep.
struct rate {
    double a_second = 0;
    double waits = 0;
};

/// Runs `work` repeatedly in a thread of its own, until `stop` is set.
class worker {
public:
    worker(std::atomic<bool>& stop, std::function<void()> work)
        : thread_([this, &stop, work = std::move(work)] {
              const auto begun = clock_type::now();
              std::uint64_t times = 0;
              for (; !stop.load(std::memory_order_relaxed); ++times) work();
              rusage used{};
              ::getrusage(RUSAGE_THREAD, &used);
              const auto count = static_cast<double>(times);
              rate_ = {count / std::chrono::duration<double>(clock_type::now() - begun).count(),
                       1000 * static_cast<double>(used.ru_nvcsw) / count};
          }) {}
    rate result() { return thread_.join(), rate_; }

private:
    rate rate_;
    std::thread thread_;
};

constexpr std::size_t page = 4096;
constexpr int mappings = 1000;

void map_and_unmap() {
    void* const p = ::mmap(nullptr, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED) ::munmap(p, page);
}

/// Runs all works concurrently and returns their rates.
std::vector<rate> rates(const std::vector<std::function<void()>>& works, std::chrono::milliseconds time) {
    std::atomic<bool> stop{false};
    std::vector<rate> all;
    std::vector<std::unique_ptr<worker>> workers;
    for (const auto& w : works) workers.push_back(std::make_unique<worker>(stop, w));
    std::this_thread::sleep_for(time);
    stop = true;
    for (auto& w : workers) all.push_back(w->result());
    return all;
}

double median(std::vector<double> all) {
    std::nth_element(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2), all.end());
    return all[all.size() / 2];
}

int measure(int rounds, std::chrono::milliseconds time) {
    const auto ioctl = procmap::maps::open_self({.use = procmap::backend::ioctl});
    const auto text = procmap::maps::open_self({.use = procmap::backend::text});
    if (!text) return 1;
    auto* const pages = static_cast<char*>(::mmap(nullptr, mappings * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (pages == MAP_FAILED) return 1;
    for (int i = 0; i < mappings; i += 2) ::mprotect(pages + static_cast<std::size_t>(i) * page, page, PROT_NONE);
    const std::uint64_t address = reinterpret_cast<std::uintptr_t>(pages) + mappings / 2 * page;

    struct question {
        const char* name;
        std::function<void()> ask;
    };
    std::vector<question> questions;
    if (ioctl) questions.push_back({"find", [&] { (void)ioctl->find(address); }});
    questions.push_back({"walk of text", [&] { for ([[maybe_unused]] const auto& m : text->walk()) {} }});

    utsname kernel{};
    ::uname(&kernel);
    for (const question& q : questions) {
        std::vector<double> asking_slower, mapping_slower, alone, asking_waits, mapping_waits;
        for (int i = 0; i < rounds; ++i) {
            const double ask = rates({q.ask}, time)[0].a_second;
            const double map = rates({map_and_unmap}, time)[0].a_second;
            const auto both = rates({q.ask, map_and_unmap}, time);
            alone.push_back(1e6 / ask);
            asking_slower.push_back(ask / both[0].a_second);
            mapping_slower.push_back(map / both[1].a_second);
            asking_waits.push_back(both[0].waits);
            mapping_waits.push_back(both[1].waits);
        }
        std::printf("| %s | %s | %.3g µs | %.2f | %.2f | %.3g | %.3g |\n", kernel.release, q.name, median(alone),
                    median(asking_slower), median(mapping_slower), median(asking_waits), median(mapping_waits));
        std::fflush(stdout);
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const bool only_program = ::getpid() == 1;
    if (only_program) {
        ::mkdir("/proc", 0755);
        ::mount("proc", "/proc", "proc", 0, nullptr);
    }
    const int rounds = argc > 1 && !only_program ? std::atoi(argv[1]) : 9;
    const int status = measure(rounds, std::chrono::milliseconds{only_program ? 400 : 100});
    if (only_program) {
        std::puts("END");
        std::fflush(stdout);
        ::sleep(1);
        ::reboot(RB_AUTOBOOT);
    }
    return status;
}
