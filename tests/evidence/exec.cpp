// Children that share the address space until they call exec.
#include "locating.hpp"
#include "../support/calls.hpp"
#include "../support/elf_files.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/mounts.hpp"
#include "../support/printed.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>

using namespace support;
using procmap::backend;
using procmap::maps;
using procmap::normalizer;

namespace {

TEST_CASE("of a child that shares memory and calls exec, files and the vDSO are the handle's, or not known") {
    NEEDS_LIVE_MAPS();
    const std::uint64_t here = address_of(reinterpret_cast<const void*>(&pause_forever));
    const maps self = need(maps::open_self());
    const located own = locate(self, here), own_vdso = locate(self, vdso_address() + 0x100);
    for (const bool randomized : {true, false})
        for (const backend use : backends()) {
            CAPTURE(randomized);
            CAPTURE(use);
            alignas(16) static char stack[65536];
            static int go[2];
            REQUIRE(::pipe2(go, O_CLOEXEC) == 0);
            const auto body = [](void* random) -> int {
                char byte = 0;
                (void)!::read(go[0], &byte, 1);
                if (random == nullptr) ::personality(ADDR_NO_RANDOMIZE);
                ::execl("/bin/sleep", "sleep", "20", static_cast<char*>(nullptr));
                return 1;
            };
            static int yes;
            const process program{::clone(body, stack + sizeof stack, CLONE_VM | SIGCHLD, randomized ? &yes : nullptr)};
            const maps of = need(maps::open(program.pid(), {.use = use}));
            normalizer warm{{.build_ids = true, .elf_addresses = true, .file_states = true}};
            const std::array addresses{here, vdso_address() + 0x100};
            CHECK(need(warm.normalize(of, addresses)).complete());
            CHECK(has_directory(of));
            REQUIRE(::write(go[1], "x", 1) == 1);
            for (int tries = 0; tries < 500 && maps::open(program.pid()) && slurp("/proc/" + std::to_string(program.pid()) + "/comm") != "sleep\n"; ++tries)
                ::usleep(10000);
            ::usleep(50000);
            CHECK(has_directory(of));  // of the task: its address space is another
            for (int again = 0; again < 2; ++again) {
                const auto got = need(warm.normalize(of, addresses));
                const auto& file = got.files[got.locations[0].file];
                CHECK(std::string{file.path} == own.path);
                if (file.build_id_known) CHECK(hex_of(file.build_id) == own.id);
                if (got.locations[0].elf_address_known) CHECK(got.locations[0].elf_address == own.elf_address);
            }
            const located fresh = locate(of, here), vdso = locate(of, vdso_address() + 0x100);
            CHECK(fresh.path == own.path);
            if (fresh.id_known) CHECK(fresh.id == own.id);
            if (kernel_ids(of)) CHECK(fresh.id_known);
            if (fresh.elf_known) CHECK(fresh.elf_address == own.elf_address);
            if (vdso.id_known) CHECK(vdso.id == own_vdso.id);
            ::close(go[0]);
            ::close(go[1]);
        }
}

/// A process that shares this one's memory until it executes this program, which maps `file` at `at`.
class mapper : public process {
public:
    mapper(const std::string& file, const void* at) : process(start(file, at)) {}
    ~mapper() {
        ::close(go_[0]);
        ::close(go_[1]);
    }
    void execute() {
        REQUIRE(::write(go_[1], "x", 1) == 1);
        for (int tries = 0; tries < 1000; ++tries, ::usleep(5000)) {
            const auto text = slurp(maps_path(pid()));
            if (text && text->find(at_) != std::string::npos && slurp("/proc/" + std::to_string(pid()) + "/cmdline")->find("--map") != std::string::npos) return;
        }
        FAIL("it did not map the file");
    }

private:
    static inline int go_[2];
    static inline std::string file_, at_;
    static pid_t start(const std::string& file, const void* at) {
        alignas(16) static char stack[65536];
        REQUIRE(::pipe2(go_, O_CLOEXEC) == 0);
        char digits[32];
        std::snprintf(digits, sizeof digits, "%llx", static_cast<unsigned long long>(address_of(at)));
        file_ = file;
        at_ = digits;
        const auto body = [](void*) -> int {
            char byte = 0;
            (void)!::read(go_[0], &byte, 1);
            ::execl("/proc/self/exe", "evidence", "--map", file_.c_str(), at_.c_str(), static_cast<char*>(nullptr));
            return 1;
        };
        const pid_t made = ::clone(body, stack + sizeof stack, CLONE_VM | SIGCHLD, nullptr);
        REQUIRE(made > 0);
        return made;
    }
};

TEST_CASE("the memory of the program that a child executes is not taken for the handle's, whatever it maps at the same place") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("a.so", small_elf(twenty('a')));
    dir.write("b.so", small_elf(twenty('b')));
    void* const at = map_pages(file_pages, PROT_NONE, MAP_PRIVATE | MAP_FIXED_NOREPLACE, reinterpret_cast<void*>(0x10'0000'0000));
    REQUIRE(at != nullptr);
    for (const bool same_file : {false, true}) {
        CAPTURE(same_file);
        char* const memory = map_file(dir / "a.so", at, PROT_READ | PROT_WRITE);
        REQUIRE(memory == at);
        const std::string own_id = twenty('x');  // in this memory alone
        if (same_file) std::memcpy(memory + id_offset, own_id.data(), own_id.size());
        if (same_file) ::mprotect(memory, file_pages * page, PROT_READ | PROT_EXEC);
        if (!same_file) map_file(dir / "a.so", at, PROT_READ | PROT_EXEC);
        mapper other{dir / (same_file ? "a.so" : "b.so"), at};
        const maps of = need(maps::open(other.pid(), {.use = backend::text}));
        if (!same_file) ::unlink((dir / "a.so").c_str());  // so that only memory can tell
        const located before = locate(of, address_of(at));
        CHECK(before.id == hex_of(id_of(twenty('a'))));
        other.execute();
        const located after = locate(of, address_of(at));
        CHECK(after.resolved);
        if (!same_file) CHECK_FALSE(after.id_known);
        if (!same_file) dir.write("a.so", small_elf(twenty('a')));
        // The task shows the same mapping, in another address space.
        const auto there = need(of.find(address_of(at)));
        procmap::name_buffer name;
        procmap::detail::task_files task{procmap::detail::handle_of(of)};
        CHECK_FALSE(task.has_same_address_space(need(of.find(there.start, {.name = name}))));
        CHECK(task.memory(need(of.find(there.start, {.name = name}))).get() < 0);
    }
    ::munmap(at, file_pages * page);
}

}  // namespace
