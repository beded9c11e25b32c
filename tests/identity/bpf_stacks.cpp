// Stacks of build IDs, as BPF programs collect them.
#include "files.hpp"
#include "../support/calls.hpp"
#include "../support/elf_files.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"

#include <linux/bpf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include <doctest/doctest.h>

#include <procmap/bpf.hpp>
#include <procmap/build_id.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>

using namespace support;
using procmap::build_id;
using procmap::maps;
using procmap::normalizer;
namespace bpf = procmap::bpf;

namespace {

namespace bpf = procmap::bpf;
static_assert(sizeof(bpf::stack_build_id) == sizeof(::bpf_stack_build_id));
static_assert(alignof(bpf::stack_build_id) == alignof(::bpf_stack_build_id));
static_assert(offsetof(bpf::stack_build_id, status) == offsetof(::bpf_stack_build_id, status));
static_assert(offsetof(bpf::stack_build_id, build_id) == offsetof(::bpf_stack_build_id, build_id));
static_assert(offsetof(bpf::stack_build_id, offset) == offsetof(::bpf_stack_build_id, offset));
static_assert(offsetof(bpf::stack_build_id, ip) == offsetof(::bpf_stack_build_id, ip));
static_assert(sizeof bpf::stack_build_id::build_id == BPF_BUILD_ID_SIZE);
static_assert(static_cast<int>(bpf::stack_status::empty) == BPF_STACK_BUILD_ID_EMPTY);
static_assert(static_cast<int>(bpf::stack_status::valid) == BPF_STACK_BUILD_ID_VALID);
static_assert(static_cast<int>(bpf::stack_status::ip) == BPF_STACK_BUILD_ID_IP);

TEST_CASE("bare addresses of a stack are resolved, and nothing else is touched") {
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("short", small_elf("12345678"));
    dir.write("long", small_elf(std::string(32, 'l')));
    const mapped brief{dir / "short"}, large{dir / "long"};
    bpf::stack_build_id stack[5];
    std::memset(stack, 0x5a, sizeof stack);
    const auto set = [&](int i, bpf::stack_status status, std::uint64_t value) {
        stack[i].status = status;
        stack[i].ip = value;
    };
    set(0, bpf::stack_status::valid, brief.address());
    set(1, bpf::stack_status::ip, brief.address());
    set(2, bpf::stack_status::ip, large.address());
    set(3, bpf::stack_status::ip, 1);
    set(4, bpf::stack_status::empty, brief.address());
    bpf::stack_build_id before[5];
    std::memcpy(before, stack, sizeof stack);
    normalizer n{{.build_ids = true}};
    CHECK(need(bpf::resolve(n, need(maps::open_self()), stack)) == 1);
    for (const int i : {0, 2, 3, 4}) CHECK(std::memcmp(&stack[i], &before[i], sizeof stack[i]) == 0);
    CHECK(stack[1].status == bpf::stack_status::valid);
    CHECK(stack[1].offset == 64);
    CHECK(std::memcmp(stack[1].build_id, "12345678\0\0\0\0\0\0\0\0\0\0\0", 20) == 0);
}

TEST_CASE("a location is written as a stack's entry if its build ID has room there") {
    procmap::mapped_file files[3]{};
    files[0].build_id = id_of(twenty('a'));
    files[1].build_id = id_of(std::string(21, 'b'));
    for (std::uint32_t file = 0; file < 3; ++file) {
        bpf::stack_build_id entry{};
        procmap::location l;
        l.file = file;
        l.offset = 77;
        CHECK(bpf::to_stack(l, files, entry) == (file == 0));
        CHECK(entry.offset == (file == 0 ? 77 : 0));
        CHECK(entry.status == (file == 0 ? bpf::stack_status::valid : bpf::stack_status::empty));
    }
    bpf::stack_build_id entry{};
    CHECK_FALSE(bpf::to_stack(procmap::location{}, files, entry));
}

}  // namespace
