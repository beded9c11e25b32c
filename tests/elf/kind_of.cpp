// What kind of memory a mapping is, by its name and device.
#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include <procmap/kind.hpp>
#include <procmap/text.hpp>

using procmap::kind_of;
using procmap::mapping;
using procmap::mapping_kind;

namespace {

struct spelling {
    std::string_view name;
    procmap::device_number device;
    std::uint64_t inode, page_size;
    mapping_kind kind;
};

constexpr procmap::device_number disk{0xfe, 0}, kernels{0, 1}, no_device{0, 0};
constexpr spelling spellings[] = {
    {"/usr/bin/true", disk, 5, 4096, mapping_kind::file},
    {"/usr/bin/true", {0, 40}, 5, 4096, mapping_kind::file},
    {"", disk, 5, 4096, mapping_kind::file},
    {"/tmp/[heap]", disk, 5, 4096, mapping_kind::file},
    {"/dev/shm/x", {0, 25}, 5, 4096, mapping_kind::file},
    {"/devices", disk, 5, 4096, mapping_kind::file},
    {"/memfd:x", disk, 5, 4096, mapping_kind::file},
    {"/usr/lib/x.so", disk, 5, 65536, mapping_kind::file},
    {"/usr/bin/true (deleted)", disk, 5, 4096, mapping_kind::deleted_file},
    {"/dev/shm/x (deleted)", {0, 25}, 5, 4096, mapping_kind::deleted_file},
    {"/memfd:x (deleted)", disk, 5, 4096, mapping_kind::deleted_file},
    {"/SYSV1234abcd (deleted)", disk, 5, 4096, mapping_kind::deleted_file},
    {"/SYSV (deleted)", kernels, 5, 4096, mapping_kind::deleted_file},
    {"[heap]", no_device, 0, 4096, mapping_kind::heap},
    {"[stack]", no_device, 0, 4096, mapping_kind::stack},
    {"[stack:1234]", no_device, 0, 4096, mapping_kind::stack},
    {"[vdso]", no_device, 0, 4096, mapping_kind::vdso},
    {"[vvar]", no_device, 0, 4096, mapping_kind::vvar},
    {"[vvar_vclock]", no_device, 0, 4096, mapping_kind::vvar},
    {"[vdso_data]", no_device, 0, 4096, mapping_kind::vvar},
    {"", no_device, 0, 4096, mapping_kind::anonymous},
    {"[anon:scudo:primary]", no_device, 0, 4096, mapping_kind::named_anonymous},
    {"[anon:]", no_device, 0, 4096, mapping_kind::named_anonymous},
    {"/dev/zero (deleted)", kernels, 7, 4096, mapping_kind::shared_memory},
    {"[anon_shmem:shared]", kernels, 7, 4096, mapping_kind::shared_memory},
    {"/dev/ashmem/dalvik-main space (deleted)", kernels, 7, 4096, mapping_kind::shared_memory},
    {"/memfd:name (deleted)", kernels, 7, 4096, mapping_kind::memfd},
    {"/memfd: (deleted)", kernels, 7, 0, mapping_kind::memfd},
    {"/SYSV00000000 (deleted)", kernels, 0, 4096, mapping_kind::sysv},
    {"/SYSV1234abcd (deleted)", kernels, 32768, 4096, mapping_kind::sysv},
    {"/anon_hugepage (deleted)", {0, 15}, 9, 2 << 20, mapping_kind::hugetlb},
    {"/anon_hugepage (deleted)", {0, 15}, 9, 0, mapping_kind::hugetlb},
    {"/mnt/huge/x", {0, 50}, 9, 2 << 20, mapping_kind::hugetlb},
    {"/dev/hugepages/x", {0, 50}, 9, 2 << 20, mapping_kind::hugetlb},
    {"/dev/hugepages/x", {0, 50}, 9, 0, mapping_kind::file},
    {"/dev/dri/renderD128", {0, 6}, 9, 4096, mapping_kind::device},
    {"/dev/zero", {0, 6}, 9, 4096, mapping_kind::device},
    {"anon_inode:[perf_event]", {0, 16}, 1038, 4096, mapping_kind::anon_inode},
    {"anon_inode:kvm-vcpu:0", {0, 16}, 1038, 4096, mapping_kind::anon_inode},
    {"/[aio] (deleted)", {0, 19}, 51882, 4096, mapping_kind::anon_inode},
    {"[vsyscall]", no_device, 0, 4096, mapping_kind::other},
    {"[uprobes]", no_device, 0, 4096, mapping_kind::other},
    {"[uprobes-trampoline]", no_device, 0, 4096, mapping_kind::other},
    {"[vectors]", no_device, 0, 4096, mapping_kind::other},
    {"[sigpage]", no_device, 0, 4096, mapping_kind::other},
    {"[mpx]", no_device, 0, 4096, mapping_kind::other},
    {"[page size compat]", no_device, 0, 4096, mapping_kind::other},
    {"[a name of tomorrow]", no_device, 0, 4096, mapping_kind::other},
    {"/secretmem (deleted)", kernels, 7, 4096, mapping_kind::other},
    {"/secretmem (deleted)", disk, 7, 4096, mapping_kind::deleted_file},
    {"/drm mm object (deleted)", kernels, 7, 4096, mapping_kind::other},
    {"/dmabuf:", kernels, 7, 4096, mapping_kind::other},
    {"/dmabuf:camera", kernels, 7, 4096, mapping_kind::other},
    {"/dmabuf:camera", disk, 7, 4096, mapping_kind::file},
    {"socket:[12]", {0, 9}, 12, 4096, mapping_kind::other},
};

constexpr mapping record_of(const spelling& s) {
    return {.start = 4096, .end = 8192, .page_size = s.page_size, .inode = s.inode, .device = s.device, .name = s.name};
}

TEST_CASE("every spelling of the kernel, old and new, has its kind") {
    static_assert(std::all_of(std::begin(spellings), std::end(spellings),
                              [](const spelling& s) { return kind_of(record_of(s)) == s.kind; }));
    for (const spelling& s : spellings) {
        INFO(s.name);
        CHECK(procmap::to_string(kind_of(record_of(s))) == procmap::to_string(s.kind));
    }
    CHECK(procmap::to_string(mapping_kind::file) == "file");
    CHECK(procmap::to_string(mapping_kind::other) == "other");
}

TEST_CASE("the mappings of a strange process have the kinds that they were made with") {
    std::ifstream in{PROCMAP_TEST_DATA "/strange_process.maps", std::ios::binary};
    std::string text{std::istreambuf_iterator<char>{in}, {}};
    REQUIRE_FALSE(text.empty());
    std::map<mapping_kind, int> counts;
    std::istringstream lines{text};
    for (std::string line; std::getline(lines, line);) {
        const auto m = procmap::parse_line(line);
        REQUIRE(m.has_value());
        const mapping_kind kind = kind_of(*m);
        INFO(line.substr(0, 200));
        ++counts[kind];
        const std::string_view name = m->name;
        if (name.starts_with("/var/lib/strange/") || name.starts_with("/usr/"))
            CHECK(kind == (name.ends_with(" (deleted)") ? mapping_kind::deleted_file : mapping_kind::file));
        else if (name.empty())
            CHECK(kind == mapping_kind::anonymous);
        else
            CHECK((kind != mapping_kind::file || name == "/inmnt.so"));
    }
    using k = mapping_kind;
    for (const k once : {k::heap, k::stack, k::vdso, k::memfd, k::sysv, k::other}) CHECK(counts[once] == 1);
    for (const k twice : {k::vvar, k::shared_memory, k::anon_inode}) CHECK(counts[twice] == 2);
    CHECK(counts[k::deleted_file] == 4);
}

}  // namespace
