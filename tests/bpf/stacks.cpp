// Stacks that the kernel wrote with BPF_F_USER_BUILD_ID, entry by entry against what the normalizer finds by the address.
#define DOCTEST_CONFIG_IMPLEMENT
#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"
#include "../support/records.hpp"
#include "../support/run.hpp"
#include "../support/skipping.hpp"

#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/bpf.hpp>
#include <procmap/build_id.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>
#include <procmap/probe.hpp>

#include "initial_pids.hpp"
#include "stacks.h"
#include "stacks.skel.h"

using namespace support;
using procmap::bpf::stack_build_id;
using procmap::bpf::stack_status;

static_assert(sizeof(stack_build_id) == sizeof(bpf_stack_build_id));  // field for field: ../identity/bpf_stacks.cpp

int main(int argc, char** argv) { return support::run(argc, argv); }

namespace {

using frame = int (*)(int (*const*)());  // call_through, wherever it is

// ---- where stacks are collected: frames of this executable, of libraries, and of copies of a library's code

int last() {
    timespec time;
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);  // where there is a vDSO, it makes this system call
    return static_cast<int>(::syscall(SYS_getppid)) * 0;
}
frame frames[3];
int (*next[4])();
template <int N>
[[gnu::noinline]] int through() {
    return frames[N](next + N + 1) + 1;
}

/// Runs `last` at the end of a stack that goes through `a`, `b` and `c`.
void run_through(frame a, frame b, frame c) {
    frames[0] = a, frames[1] = b, frames[2] = c;
    next[0] = through<0>, next[1] = through<1>, next[2] = through<2>, next[3] = last;
    next[0]();
}

// ---- the kernel's side

struct collector {
    stacks_bpf* program = nullptr;
    ring_buffer* ring = nullptr;
    std::vector<stack_pair> stacks;

    collector() = default;
    collector(const collector&) = delete;
    collector& operator=(const collector&) = delete;
    ~collector() {
        ring_buffer__free(ring);
        stacks_bpf::destroy(program);
    }
    /// 0, or the errno.
    int open(pid_t pid) {
        program = stacks_bpf::open();
        if (program == nullptr) return errno;
        program->rodata->process = static_cast<__u32>(pid);
        if (const int error = stacks_bpf::load(program); error != 0) return -error;
        const auto take = [](void* self, void* record, std::size_t) {
            static_cast<collector*>(self)->stacks.push_back(*static_cast<const stack_pair*>(record));
            return 0;
        };
        ring = ring_buffer__new(bpf_map__fd(program->maps.stacks), take, this, nullptr);
        if (ring == nullptr) return errno;
        return -stacks_bpf::attach(program);
    }
    void read() {
        REQUIRE(ring_buffer__consume(ring) >= 0);
        REQUIRE(program->bss->lost == 0);
    }
};

std::span<const stack_build_id> ids_of(const stack_pair& s) {
    static stack_build_id copy[STACK_DEPTH];
    const auto n = static_cast<std::size_t>(s.ids_size) / sizeof copy[0];
    std::memcpy(copy, s.ids, n * sizeof copy[0]);
    return {copy, n};
}

bool equal(const stack_build_id& a, const stack_build_id& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

std::string words(const stack_build_id& s) {
    std::string text = std::to_string(static_cast<int>(s.status)) + ' ';
    char digits[24];
    for (const unsigned char byte : s.build_id) text += (std::snprintf(digits, sizeof digits, "%02x", byte), digits);
    std::snprintf(digits, sizeof digits, " %#llx", static_cast<unsigned long long>(s.offset));
    return text + digits;
}

struct counts {
    std::size_t valid = 0, left = 0, left_but_resolved = 0;
};

/// Compares every entry of a process's stacks with what the normalizer says of the address, in both directions.
counts compare(const std::vector<stack_pair>& stacks, const procmap::maps& maps, const procmap::normalizer_options& options) {
    counts n;
    procmap::normalizer normalizer{options};
    for (const stack_pair& s : stacks) {
        REQUIRE(s.ids_size > 0);
        const std::span<const stack_build_id> kernels = ids_of(s);
        REQUIRE(s.addresses_size == static_cast<long long>(kernels.size() * sizeof s.addresses[0]));
        const std::vector<std::uint64_t> addresses(s.addresses, s.addresses + kernels.size());

        const auto found = need(normalizer.normalize(maps, addresses));
        CHECK(found.complete());
        std::vector<stack_build_id> bare(kernels.size());  // the same stack, had the kernel resolved nothing
        std::size_t ours_valid = 0;
        for (std::size_t i = 0; i < kernels.size(); ++i) {
            stack_build_id ours{};
            const bool written = procmap::bpf::to_stack(found.locations[i], found.files, ours);
            ours_valid += written;
            INFO("address ", addresses[i], ", kernel ", words(kernels[i]), ", normalizer ", words(ours));
            if (kernels[i].status == stack_status::valid) {
                ++n.valid;
                CHECK(written);
                CHECK(equal(ours, kernels[i]));
            } else {
                ++n.left;
                n.left_but_resolved += written;
                CHECK(kernels[i].status == stack_status::ip);
                CHECK(kernels[i].ip == addresses[i]);
            }
            bare[i].status = stack_status::ip;
            bare[i].ip = addresses[i];
        }

        std::vector<stack_build_id> mixed(kernels.begin(), kernels.end());
        CHECK(need(procmap::bpf::resolve(normalizer, maps, bare)) == ours_valid);
        (void)need(procmap::bpf::resolve(normalizer, maps, mixed));
        for (std::size_t i = 0; i < kernels.size(); ++i) {
            INFO("address ", addresses[i], " kernel ", words(kernels[i]), " bare ", words(bare[i]), " both ", words(mixed[i]));
            if (kernels[i].status == stack_status::valid) CHECK(equal(bare[i], kernels[i]));
            CHECK(equal(bare[i], mixed[i]));
            if (bare[i].status == stack_status::ip) CHECK(bare[i].ip == addresses[i]);
        }
    }
    return n;
}

/// The entries at addresses in [start, end).
std::vector<stack_build_id> entries_in(const std::vector<stack_pair>& stacks, std::uint64_t start, std::uint64_t end) {
    std::vector<stack_build_id> entries;
    for (const stack_pair& s : stacks) {
        const auto ids = ids_of(s);
        for (std::size_t i = 0; i < ids.size(); ++i)
            if (start <= s.addresses[i] && s.addresses[i] < end) entries.push_back(ids[i]);
    }
    return entries;
}

bool all_are(const std::vector<stack_build_id>& entries, stack_status status) {
    return std::all_of(entries.begin(), entries.end(), [=](const stack_build_id& s) { return s.status == status; });
}

/// Lets the page cache forget a file that nobody maps. False where it cannot: a tmpfs.
bool forget(int fd) {
    ::fsync(fd);
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    void* const first = ::mmap(nullptr, page, PROT_READ, MAP_PRIVATE, fd, 0);
    unsigned char resident = 1;
    ::mincore(first, page, &resident);
    ::munmap(first, page);
    return (resident & 1) == 0;
}

TEST_CASE("a stack of the kernel's build IDs says what the normalizer finds by its addresses") {
    if (!live_procfs()) SKIP("/proc is no procfs");
    if (!in_initial_pid_namespace()) SKIP("not in the initial pid namespace");
    // The library, and a copy of it of which only the code is mapped, so that the page of its build ID can be forgotten.
    void* const library = ::dlopen(PROCMAP_BPF_CODE, RTLD_NOW);
    REQUIRE(library != nullptr);
    const auto in_library = reinterpret_cast<frame>(::dlsym(library, "call_through"));
    REQUIRE((in_library != nullptr));
    const std::uint64_t code = address_of(reinterpret_cast<void*>(in_library));
    const auto self = need(procmap::maps::open_self());
    const auto text = need(self.find(code));
    const std::uint64_t code_page = code & ~(std::uint64_t{page} - 1);
    const auto file_offset = static_cast<off_t>(code_page - text.start + text.offset);
    REQUIRE(file_offset >= 0x100000);
    const temporary_directory directory;
    std::filesystem::copy_file(PROCMAP_BPF_CODE, directory / "copy.so");
    const int copy = ::open((directory / "copy.so").c_str(), O_RDONLY | O_CLOEXEC);
    // Before some releases such a page must not be asked for (CVE-2026-23002).
    const bool cold = procmap::probe().build_id_hazards.empty() && forget(copy);
    if (!cold) not_included("a file whose build ID is not in the page cache");

    struct places {
        std::uint64_t copied_file, anonymous;
    };
    child process{[&](channel& parent) {
        constexpr std::size_t enough = 64;  // bytes of code
        void* const copied = ::mmap(nullptr, 2 * page, PROT_READ | PROT_EXEC, MAP_PRIVATE, copy, file_offset);
        char* const anonymous = map_pages(2);
        ensure(copied != MAP_FAILED && anonymous != nullptr, "map");
        std::memcpy(anonymous, reinterpret_cast<const void*>(in_library), enough);
        ensure(::mprotect(anonymous, page, PROT_READ | PROT_EXEC) == 0, "mprotect");
        __builtin___clear_cache(anonymous, anonymous + enough);
        const auto in_copy = reinterpret_cast<frame>(address_of(copied) + (code - code_page));
        const auto in_anonymous = reinterpret_cast<frame>(address_of(anonymous));
        parent.send(places{address_of(copied), address_of(anonymous)});
        for (;;) {
            parent.await();
            constexpr int rounds = 50;
            for (int i = 0; i < rounds; ++i) {
                run_through(in_library, in_copy, in_library);
                run_through(in_anonymous, in_library, in_copy);
            }
            parent.signal();
        }
    }};
    ::close(copy);
    const auto at = process->receive<places>();

    collector kernel;
    if (const int error = kernel.open(process.pid()); error != 0) {
        ::dlclose(library);
        INFO(std::strerror(error));
        REQUIRE(error == EPERM);
        SKIP("BPF is not permitted: CAP_BPF and CAP_PERFMON");
    }
    const auto run = [&] {
        kernel.stacks.clear();
        process->signal();
        process->await();
        kernel.read();
        REQUIRE(kernel.stacks.size() >= 100);
    };
    const auto vdso = need(procmap::maps::open(process.pid())).find(::getauxval(AT_SYSINFO_EHDR));

    run();
    const std::vector<stack_build_id> first = entries_in(kernel.stacks, at.copied_file, at.copied_file + 2 * page);
    CHECK(first.size() >= 100);
    if (cold) CHECK(all_are(first, stack_status::ip));
    const std::vector<stack_build_id> in_anonymous = entries_in(kernel.stacks, at.anonymous, at.anonymous + 2 * page);
    CHECK(in_anonymous.size() >= 50);
    CHECK(all_are(in_anonymous, stack_status::ip));
    if (vdso) CHECK(all_are(entries_in(kernel.stacks, vdso->start, vdso->end), stack_status::ip));

    for (const bool again : {false, true}) {
        if (again) {  // the normalizer has read the file, and its first page is in the page cache: now the kernel knows it too
            run();
            const auto known = entries_in(kernel.stacks, at.copied_file, at.copied_file + 2 * page);
            CHECK(known.size() >= 100);
            CHECK(all_are(known, stack_status::valid));
            for (const stack_build_id& s : known) CHECK((s.build_id[0] == 0x01 && s.build_id[7] == 0xef && s.build_id[8] == 0));
        }
        for (const procmap::backend backend : backends())
            for (const auto choice : {procmap::build_id_choice::automatic, procmap::build_id_choice::file}) {
                const auto maps = need(procmap::maps::open(process.pid(), {.use = backend}));
                const counts n = compare(kernel.stacks, maps, {.build_ids = true, .build_ids_from = choice});
                std::printf("%s: %zu stacks; %zu entries as the kernel resolved them; of %zu that it left, %zu resolved\n",
                            backend == procmap::backend::ioctl ? "ioctl" : "text", kernel.stacks.size(), n.valid, n.left,
                            n.left_but_resolved);
                CHECK(n.valid >= 1000);
                if (cold && !again) CHECK(n.left_but_resolved >= first.size());
            }
    }
    ::dlclose(library);
}

}  // namespace
