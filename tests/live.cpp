// Real address spaces, made to be looked at, and compared with the raw text of /proc and with plain system calls.
#include "support.hpp"
#include "support/churn.hpp"

#include <dlfcn.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <chrono>
#include <climits>
#include <functional>
#include <iterator>
#include <new>
#include <ranges>
#include <thread>

using namespace support;
using procmap::backend;
using procmap::errc;
using procmap::filters;
using procmap::find_options;
using procmap::mapping;
using procmap::mapping_walk;
using procmap::maps;
using procmap::name_state;
using procmap::perm;
using procmap::result;

#if !defined(PROCMAP_TEST_SANITIZED)
namespace {
std::atomic<long> allocations = 0;
}

// Counts what is allocated, by anybody in this executable.
#if defined(__GLIBC__)
extern "C" {
void* __libc_malloc(std::size_t);           // NOLINT: glibc's names
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void* malloc(std::size_t size) noexcept { return ++allocations, __libc_malloc(size); }
void* calloc(std::size_t n, std::size_t size) noexcept { return ++allocations, __libc_calloc(n, size); }
void* realloc(void* old, std::size_t size) noexcept { return ++allocations, __libc_realloc(old, size); }
void* aligned_alloc(std::size_t align, std::size_t size) noexcept { return ++allocations, __libc_memalign(align, size); }
}
#else
void* operator new(std::size_t size) {
    ++allocations;
    void* const memory = std::malloc(size);
    return memory != nullptr ? memory : throw std::bad_alloc{};
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif
#endif

int main(int argc, char** argv) { return support::run(argc, argv); }

namespace {

char big_buffer[65536];  // for names and lines longer than the library's own buffers hold

walked walk_with_names(const maps& of, std::span<char> buffer = big_buffer) {
    return walk_all(of, {.names = true, .buffer = buffer});
}

/// Every kind of question has this answer.
void check_all_answer(const maps& of, errc expected) {
    CHECK(of.find(0x10000).error() == expected);
    CHECK(of.find_from(0).error() == expected);
    const walked all = walk_all(of);
    CHECK(all.records.empty());
    CHECK_FALSE(all.complete);
    CHECK(all.error == expected);
}

void check_answers(const maps& of) {
    CHECK(of.find_from(0).has_value());
    const walked all = walk_all(of);
    CHECK(all.complete);
    CHECK(all.records.size() > 1);
}

// ---- what this kernel can do

TEST_CASE("the ioctl is there from Linux 6.11 on, and probe sees what plain calls see") {
    const procmap::capabilities here = procmap::probe();
    CHECK(here.ioctl == kernel_has_ioctl());
    CHECK(here.live == live_procfs());
    CHECK(here.text);
    CHECK(here.struct_size == (here.ioctl ? 104 : 0));
    CHECK(need(maps::open_self()).backend() == backends().front());
    const char* const sandbox = std::getenv("PROCMAP_EXPECT_NO_IOCTL");
    if (sandbox != nullptr && std::string_view{sandbox} == "1") return;
    if (kernel_at_least(6, 11) && live_procfs()) CHECK(here.ioctl);
}

TEST_CASE("a handle on the ioctl cannot be had where there is none") {
    if (kernel_has_ioctl()) return;
    CHECK(maps::open_self({.use = backend::ioctl}).error() == errc::unsupported);
}

// ---- every process

enum class comparison { equal, gone, denied, unstable };

/// Compares each back-end with raw text read before and after it; text that stayed the same may still have changed in
/// between, so a difference has to come back.
comparison compare_with_text(pid_t pid, std::string& different) {
    for (int tries = 0; tries < 6; ++tries) {
        const auto before = slurp(maps_path(pid));
        std::vector<result<maps>> opened;
        for (const backend use : backends()) opened.push_back(maps::open(pid, {.use = use}));
        for (const auto& handle : opened)
            if (!handle) return handle.error() == errc::denied ? comparison::denied : comparison::gone;
        std::vector<walked> all;
        for (const auto& handle : opened) all.push_back(walk_with_names(*handle));
        const auto after = slurp(maps_path(pid));
        if (!before || before != after) continue;
        different.clear();
        for (const walked& one : all) {
            if (before->empty() ? one.error == errc::gone : one.complete) {
                if (different.empty()) different = difference(one.records, raw_lines(*before));
            } else {
                different = "a walk that should have been complete was not, or the reverse";
            }
            for (std::size_t i = 0; different.empty() && i < one.records.size(); ++i) {
                const record& first = all.front().records[i];
                const bool unnamed = first.name_status == name_state::too_long;
                if (!unnamed && as_text(first) != as_text(one.records[i])) different = "differs: " + line_of(first);
            }
        }
        if (different.empty()) return before->empty() ? comparison::gone : comparison::equal;
    }
    return comparison::unstable;
}

TEST_CASE("every process on the machine reads the same on both back-ends and in the raw text") {
    child paused{[](channel& parent) {
        map_alternating(20);
        parent.signal();
        parent.pause();
    }};
    paused->await();
    std::array<int, 4> count{};
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc", ignored}) {
        const int pid = std::atoi(entry.path().filename().c_str());
        if (pid <= 0 || pid == ::getpid()) continue;
        std::string different;
        const comparison outcome = compare_with_text(pid, different);
        ++count[static_cast<std::size_t>(outcome)];
        CAPTURE(pid);
        if (outcome == comparison::unstable && !different.empty()) FAIL_CHECK(different);
        if (pid == paused.pid()) CHECK(outcome == comparison::equal);
    }
    CHECK(count[0] >= 1);
    MESSAGE(count[0], " equal, ", count[1], " gone or without memory, ", count[2], " denied, ", count[3], " never at rest");
}

// ---- a strange address space

/// Maps one page of a new file. In a child.
void map_file(int directory, const std::string& name, int protection = PROT_READ, int flags = MAP_PRIVATE) {
    const int fd = ::openat(directory, name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ensure(fd >= 0 && ::ftruncate(fd, static_cast<off_t>(page)) == 0, "create a file");
    ensure(::mmap(nullptr, page, protection, flags, fd, 0) != MAP_FAILED, "map a file");
    ::close(fd);
}

/// Makes directories of that name in each other, and opens the innermost. In a child.
int descend(int directory, const std::string& name, int depth) {
    for (; depth != 0; --depth) {
        ensure(::mkdirat(directory, name.c_str(), 0700) == 0, "mkdirat");
        directory = ::openat(directory, name.c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        ensure(directory >= 0, "open a directory");
    }
    return directory;
}

/// A mapping of a file that has no path at all. False where no kind of it can be had.
bool map_anonymous_inode() {
    perf_event_attr software{};
    software.size = sizeof software;
    software.type = PERF_TYPE_SOFTWARE;
    software.config = PERF_COUNT_SW_DUMMY;
    software.exclude_kernel = 1;
    const long perf = ::syscall(SYS_perf_event_open, &software, 0, -1, -1, 0UL);
    if (perf >= 0 && ::mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, static_cast<int>(perf), 0) != MAP_FAILED)
        return true;
    io_uring_params parameters{};
    const long ring = ::syscall(SYS_io_uring_setup, 1, &parameters);
    if (ring >= 0 && ::mmap(nullptr, page, PROT_READ, MAP_SHARED, static_cast<int>(ring), IORING_OFF_SQ_RING) != MAP_FAILED)
        return true;
    bpf_attr map{};
    map.map_type = BPF_MAP_TYPE_RINGBUF;
    map.max_entries = static_cast<std::uint32_t>(page);
    const long bpf = ::syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map);
    return bpf >= 0 && ::mmap(nullptr, page, PROT_READ, MAP_SHARED, static_cast<int>(bpf), 0) != MAP_FAILED;
}

/// A file mapped at the largest offset that its filesystem takes.
bool map_at_huge_offset(const char* name) {
    const int fd = ::open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (int bit = static_cast<int>(sizeof(off_t)) * 8 - 2; bit > 30; --bit)
        if (::mmap(nullptr, page, PROT_READ, MAP_PRIVATE, fd, off_t{1} << bit) != MAP_FAILED) return ::close(fd) == 0;
    return false;
}

/// What the strange child could not map: reported, so that a test that passes says what it has not seen.
enum rare : unsigned {
    no_anonymous_inode = 0x01,
    no_huge_offset = 0x02,
    no_huge_page = 0x04,
    no_anonymous_name = 0x08,
    no_sysv = 0x10,
    not_all_permissions = 0x20
};

/// Makes this process's address space as strange as it gets. In a child, in a directory of its own.
unsigned make_strange(int segment) {
    unsigned missing = 0;
    for (const char* name : {"plain.so", "new\nline", "literal\\012", "both\n\\012", " leading", "trailing  ", "a  b   c", "\n",
                             "fake (deleted)", "inv\xff\xfeutf8", "cr\rtab\tescape\x1b[31m", "[heap]", "\xe6\x97\xa5"})
        map_file(AT_FDCWD, name);
    for (const char* name : {"gone", "gone (deleted)", "gone\nwith a newline"}) {
        map_file(AT_FDCWD, name);
        ::unlink(name);
    }
    map_file(descend(AT_FDCWD, std::string(200, '\n'), 3), std::string(100, '\n'));   // in text: longer than 2 kB
    map_file(descend(AT_FDCWD, std::string(201, '\n'), 6), std::string(100, '\n'));   // in text: longer than PATH_MAX
    map_file(descend(AT_FDCWD, std::string(250, 'x'), 15), "fits");                   // just below PATH_MAX
    map_file(descend(AT_FDCWD, std::string(251, 'y'), 20), "does not");               // over PATH_MAX
    const int memory = static_cast<int>(::syscall(SYS_memfd_create, "mem fd\nname", 0));
    ensure(::ftruncate(memory, static_cast<off_t>(page)) == 0, "memfd");
    ensure(::mmap(nullptr, page, PROT_READ, MAP_SHARED, memory, 0) != MAP_FAILED, "memfd");
    const bool attached = segment >= 0 && ::shmat(segment, nullptr, 0) != reinterpret_cast<void*>(-1);
    static_cast<void>(::unshare(CLONE_NEWIPC));  // the first segment of a namespace has inode 0
    const int removed = ::shmget(IPC_PRIVATE, page, IPC_CREAT | 0600);
    const bool both = attached && removed >= 0 && ::shmat(removed, nullptr, SHM_RDONLY) != reinterpret_cast<void*>(-1);
    if (removed >= 0) ::shmctl(removed, IPC_RMID, nullptr);
    if (!both) missing |= no_sysv;
    const int zero = ::open("/dev/zero", O_RDWR | O_CLOEXEC);
    ensure(::mmap(nullptr, page, PROT_READ, MAP_SHARED, zero, 0) != MAP_FAILED, "/dev/zero");
    for (int protection = 0; protection < 8; ++protection) {
        if (map_pages(1, protection, MAP_PRIVATE) == nullptr) missing |= not_all_permissions;
        if (map_pages(1, protection, MAP_SHARED) == nullptr) missing |= not_all_permissions;
    }
    ensure(map_alternating(40) != nullptr, "map pages");
    char* const named = map_pages(2);
    constexpr int set_vma = 0x53564d41;  // PR_SET_VMA, Linux 5.17
    if (::prctl(set_vma, 0, named, page, "a name, and \"more\"") != 0) missing |= no_anonymous_name;
    if (!map_anonymous_inode()) missing |= no_anonymous_inode;
    if (!map_at_huge_offset("huge offset")) missing |= no_huge_offset;
    if (map_pages((2 << 20) / page, PROT_READ, MAP_PRIVATE | MAP_HUGETLB | MAP_NORESERVE) == nullptr) missing |= no_huge_page;
    return missing;
}

/// A child with a strange address space, at rest.
class strange_child {
public:
    strange_child()
        : child_{[this](channel& parent) {
              ensure(::chdir(directory_.path().c_str()) == 0, "chdir");
              parent.send(make_strange(segment_));
              parent.pause();
          }} {
        const auto missing = child_->receive<unsigned>();
        ::shmctl(segment_, IPC_RMID, nullptr);
        constexpr std::pair<rare, const char*> names[] = {
            {no_anonymous_inode, "anonymous inodes"}, {no_huge_offset, "a huge file offset"}, {no_huge_page, "huge pages"},
            {no_anonymous_name, "PR_SET_VMA_ANON_NAME"}, {no_sysv, "SysV memory"}, {not_all_permissions, "some permissions"}};
        for (const auto& [bit, what] : names)
            if ((missing & bit) != 0) not_included(what);
    }
    pid_t pid() const { return child_.pid(); }
    std::vector<raw_line> raw() const { return raw_lines(slurp(maps_path(pid())).value()); }
    walked whole(backend use) const { return walk_with_names(need(maps::open(pid(), {.use = use}))); }

private:
    temporary_directory directory_;
    int segment_ = ::shmget(IPC_PRIVATE, page, IPC_CREAT | 0600);
    child child_;
};

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST_CASE("a strange address space is the same on both back-ends and in the raw text") {
    const strange_child strange;
    const auto raw = strange.raw();
    REQUIRE(raw.size() > 80);
    std::vector<walked> all;
    for (const backend use : backends()) {
        CAPTURE(use);
        all.push_back(strange.whole(use));
        CHECK(all.back().complete);
        CHECK(difference(all.back().records, raw) == "");
    }
    for (std::size_t i = 0; i < raw.size(); ++i) {
        const record& text = all.back().records.at(i);
        CAPTURE(raw[i].line);
        CHECK(text.name_status == (contains(raw[i].name, "\\012") ? name_state::ambiguous : name_state::exact));
        CHECK(text.start == raw[i].start);
        CHECK(text.end == raw[i].end);
        CHECK(text.page_size == 0);
        CHECK_FALSE(text.build_id_known);
        if (all.size() == 1) continue;
        record ioctl = all.front().records.at(i);
        const bool over_path_max = contains(raw[i].name, "yyyyyyyy");
        CHECK(ioctl.name_status == (over_path_max ? name_state::too_long : name_state::exact));
        if (over_path_max) ioctl.name = text.name, ioctl.name_status = text.name_status;
        CHECK(as_text(ioctl) == text);
        CHECK(ioctl.page_size == (contains(raw[i].name, "/anon_hugepage") ? 2u << 20 : page));
    }
}

TEST_CASE("a name that does not fit the walk's own buffer is marked, and the walk goes on") {
    const strange_child strange;
    const auto raw = strange.raw();
    for (const backend use : backends()) {
        CAPTURE(use);
        const walked all = walk_with_names(need(maps::open(strange.pid(), {.use = use})), {});
        CHECK(all.complete);
        CHECK(difference(all.records, raw) == "");
        const auto too_long = std::ranges::count(all.records, name_state::too_long, &record::name_status);
        CHECK(too_long == (use == backend::ioctl ? 1 : 2));
    }
}

TEST_CASE("a small walk buffer leaves out the same names on both back-ends") {
    child paused{[](channel& parent) {
        for (std::size_t size : {1u, 64u, 120u, 200u, 249u}) {
            const int fd = static_cast<int>(::syscall(SYS_memfd_create, std::string(size, 'm').c_str(), 0));
            ensure(::mmap(nullptr, page, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED, "memfd");
        }
        parent.signal();
        parent.pause();
    }};
    paused->await();
    for (const std::size_t size : {256u, 300u, 320u, 400u}) {
        CAPTURE(size);
        std::vector<walked> all;
        for (const backend use : backends())
            all.push_back(walk_with_names(need(maps::open(paused.pid(), {.use = use})), std::span{big_buffer}.first(size)));
        for (std::size_t i = 0; i < all.front().records.size(); ++i)
            CHECK(as_text(all.front().records[i]) == all.back().records.at(i));
    }
}

TEST_CASE("each mapping prints as the kernel prints it") {
    const strange_child strange;
    const auto raw = strange.raw();
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps opened = need(maps::open(strange.pid(), {.use = use}));
        auto walk = opened.walk({.names = true, .buffer = big_buffer});
        auto line = raw.begin();
        for (const mapping& m : walk) {
            std::string printed;
            procmap::print([&](std::string_view piece) { printed += piece; }, m,
                           kernel_is_64_bit() ? procmap::name_column_64 : procmap::name_column_32);
            REQUIRE(line != raw.end());
            if (m.name_status != name_state::too_long) CHECK(printed == line->line);
            ++line;
        }
        CHECK(line == raw.end());
    }
}

TEST_CASE("find gives each mapping at its first and last byte, and none in a hole") {
    const strange_child strange;
    static char name[65536];
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps opened = need(maps::open(strange.pid(), {.use = use}));
        const auto all = walk_with_names(opened).records;
        REQUIRE(all.size() > 80);
        for (std::size_t i = 0; i < all.size(); ++i) {
            CAPTURE(all[i]);
            CHECK(record{need(opened.find(all[i].start, {.name = name}))} == all[i]);
            CHECK(record{need(opened.find(all[i].end - 1, {.name = name}))} == all[i]);
            CHECK(record{need(opened.find_from(all[i].end - 1, {.name = name}))} == all[i]);
            const bool last = i + 1 == all.size();
            const bool adjacent = !last && all[i + 1].start == all[i].end;
            const auto behind = opened.find(all[i].end, {.name = name});
            if (adjacent)
                CHECK(record{need(behind)} == all[i + 1]);
            else
                CHECK(behind.error() == errc::not_mapped);
            const auto next = opened.find_from(all[i].end, {.name = name});
            if (last)
                CHECK(next.error() == errc::not_mapped);
            else
                CHECK(record{need(next)} == all[i + 1]);
        }
        CHECK(opened.find(0).error() == errc::not_mapped);
        CHECK(opened.find(UINT64_MAX).error() == errc::not_mapped);
        CHECK(opened.find_from(UINT64_MAX).error() == errc::not_mapped);
        CHECK(record{need(opened.find_from(0, {.name = name}))} == all.front());
    }
}

std::vector<filters> every_filter_and_pair() {
    const filters single[] = {procmap::readable, procmap::writable, procmap::executable, procmap::shared, procmap::file_backed};
    std::vector<filters> all;
    for (const filters a : single)
        for (const filters b : single)
            if (a.bits() <= b.bits()) all.push_back(a | b);
    return all;
}

/// What the raw text says about a filter: letters, and a device that is not 00:00 or an inode that is not 0.
bool text_passes(const raw_line& raw, filters only) {
    const char* const p = raw.permissions;
    unsigned major = 0;
    unsigned minor = 0;
    unsigned long long inode = 0;
    std::sscanf(raw.line.c_str(), "%*x-%*x %*s %*x %x:%x %llu", &major, &minor, &inode);
    return (!only.has(procmap::readable) || p[0] == 'r') && (!only.has(procmap::writable) || p[1] == 'w') &&
           (!only.has(procmap::executable) || p[2] == 'x') && (!only.has(procmap::shared) || p[3] == 's') &&
           (!only.has(procmap::file_backed) || major != 0 || minor != 0 || inode != 0);
}

TEST_CASE("a filter gives what filtering the whole gives, for each filter and each pair") {
    const strange_child strange;
    auto raw = strange.raw();
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps opened = need(maps::open(strange.pid(), {.use = use}));
        const auto whole = walk_all(opened).records;
        REQUIRE(whole.size() == raw.size());
        for (const filters only : every_filter_and_pair()) {
            CAPTURE(only.bits());
            const walked some = walk_all(opened, {.only = only});
            CHECK(some.complete);
            auto next = some.records.begin();
            for (std::size_t i = 0; i < whole.size(); ++i) {
                CAPTURE(raw[i].line);
                const bool passes = text_passes(raw[i], only);
                if (i % 5 == 0 || i + 1 == whole.size()) {
                    const auto hit = opened.find(whole[i].start, {.only = only});
                    const auto from = opened.find_from(whole[i].start, {.only = only});
                    if (passes)
                        CHECK(record{need(hit)} == whole[i]);
                    else
                        CHECK(hit.error() == errc::not_mapped);
                    if (next != some.records.end())
                        CHECK(record{need(from)} == *next);
                    else
                        CHECK(from.error() == errc::not_mapped);
                }
                if (!passes) continue;
                REQUIRE(next != some.records.end());
                CHECK(*next == whole[i]);
                ++next;
            }
            CHECK(next == some.records.end());
        }
    }
}

// ---- names and build IDs

TEST_CASE("a name goes into the caller's buffer whole and NUL-terminated, or not at all") {
    const auto here = address_of(reinterpret_cast<const void*>(&check_answers));
    char path[PATH_MAX] = {};
    const auto length = ::readlink("/proc/self/exe", path, sizeof path);
    REQUIRE(length > 8);
    const std::string exe{path, static_cast<std::size_t>(length)};
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(maps::open_self({.use = use}));
        const record unnamed{need(self.find(here))};
        CHECK(unnamed.name_status == name_state::not_asked);
        CHECK(unnamed.name.empty());
        for (const std::size_t size : {std::size_t{1}, std::size_t{8}, exe.size(), exe.size() + 1, sizeof big_buffer}) {
            CAPTURE(size);
            std::fill_n(big_buffer, sizeof big_buffer, 'x');
            const mapping hit = need(self.find(here, {.name = std::span{big_buffer}.first(size)}));
            record expected = unnamed;
            expected.name_status = size > exe.size() ? name_state::exact : name_state::too_long;
            if (size > exe.size()) expected.name = exe;
            CHECK(record{hit} == expected);
            if (hit.name.empty()) continue;
            CHECK(hit.name.data() == big_buffer);
            CHECK(big_buffer[hit.name.size()] == '\0');
            if (size < sizeof big_buffer) CHECK(big_buffer[size] == 'x');
        }
        CHECK(walk_all(self).records.front().name_status == name_state::not_asked);
    }
}

TEST_CASE("a mapping without a name has an exact and empty one") {
    const auto anonymous = address_of(map_pages(1, PROT_NONE));
    for (const backend use : backends()) {
        const mapping hit = need(need(maps::open_self({.use = use})).find(anonymous, {.name = big_buffer}));
        CHECK(hit.name_status == name_state::exact);
        CHECK(hit.name.empty());
    }
    ::munmap(reinterpret_cast<void*>(anonymous), page);
}

/// The build ID that readelf prints of a file; nothing where there is no readelf.
std::optional<std::string> build_id_by_readelf(const std::string& path) {
    FILE* const pipe = ::popen(("LC_ALL=C readelf -n '" + path + "' 2>/dev/null").c_str(), "r");
    if (pipe == nullptr) return std::nullopt;
    std::string id;
    char line[512];
    while (std::fgets(line, sizeof line, pipe) != nullptr)
        if (const char* const label = std::strstr(line, "Build ID: "); label != nullptr) id = std::string{label + 10};
    if (::pclose(pipe) != 0) return std::nullopt;
    return id.substr(0, id.find('\n'));
}

TEST_CASE("a build-ID buffer that is too small is refused before the kernel sees it") {
    std::byte room[20] = {};
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(maps::open_self({.use = use}));
        for (const std::size_t size : {std::size_t{1}, std::size_t{19}}) {
            CHECK(self.find_from(0, {.build_id = std::span{room}.first(size)}).error() == errc::invalid);
            CHECK(self.find(0, {.build_id = std::span{room}.first(size)}).error() == errc::invalid);
        }
        CHECK(self.find_from(0, {.build_id = room}).has_value());
    }
}

TEST_CASE("the kernel's build ID of libc is the one that readelf prints") {
    const auto libc = address_of(::dlsym(RTLD_DEFAULT, "getenv"));
    if (libc == 0) SKIP("linked statically");
    procmap::name_buffer name;
    procmap::build_id_buffer id;
    const bool safe = procmap::safe_to_ask(procmap::known_hazards(procmap::running_kernel()));
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(maps::open_self({.use = use}));
        const mapping hit = need(self.find(libc, {.name = name, .build_id = id}));
        CHECK(hit.build_id_known == (safe && use == backend::ioctl));
        if (!hit.build_id_known) {
            CHECK(hit.build_id.empty());
            continue;
        }
        const auto expected = build_id_by_readelf(std::string{hit.name});
        if (!expected) SKIP("no readelf");
        const record one{hit};
        CHECK(one.build_id == *expected);
        const walked all = walk_all(self, {.names = true, .build_ids = true});
        CHECK(std::ranges::count(all.records, one) == 1);
        for (const record& r : all.records)  // the kernel does not say "none" of a file, and the vDSO has one in memory
            CHECK(r.build_id_known == (!r.build_id.empty() || (r.inode == 0 && r.name != "[vdso]")));
    }
    if (!safe) SKIP("this kernel must not be asked for build IDs");
}

// ---- errors, provoked

constexpr pid_t no_process = INT_MAX;  // above any pid_max

/// A child that waits.
void wait_forever(channel& parent) {
    parent.signal();
    parent.pause();
}

TEST_CASE("a process or thread that does not exist is gone") {
    for (const backend use : backends()) {
        CAPTURE(use);
        const auto process = maps::open(no_process, {.use = use});
        CHECK(process.error() ==
              procmap::error{.code = errc::gone, .at = procmap::step::open, .errno_value = ENOENT, .pid = no_process});
        CHECK(maps::open(::getpid(), no_process, {.use = use}).error() == errc::gone);
        CHECK(maps::open(::getpid(), ::getppid(), {.use = use}).error() == errc::gone);  // not one of its threads
        child reaped{wait_forever};
        reaped.kill();
        reaped.reap();
        CHECK(maps::open(reaped.pid(), {.use = use}).error() == errc::gone);
    }
}

TEST_CASE("pids that no process has are invalid") {
    for (const backend use : backends()) {
        for (const pid_t pid : {0, -1, INT_MIN}) {
            CHECK(maps::open(pid, {.use = use}).error() == errc::invalid);
            CHECK(maps::open(pid, ::getpid(), {.use = use}).error() == errc::invalid);
            CHECK(maps::open(::getpid(), pid, {.use = use}).error() == errc::invalid);
        }
    }
}

int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

TEST_CASE("a pidfd opens the process that it names, and says when that is gone") {
    child running{wait_forever};
    running->await();
    const procmap::unique_fd pidfd{open_pidfd(running.pid())};
    if (!pidfd) SKIP("no pidfd_open");
    const procmap::unique_fd not_one{::open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
    const std::string long_path(5000, 'p');
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps opened = need(keeping_errno([&] { return maps::open(pidfd.borrow(), {.use = use}); }));
        CHECK(difference(walk_with_names(opened).records, raw_lines(slurp(maps_path(running.pid())).value())) == "");
        CHECK(maps::open(not_one.borrow(), {.use = use}).error() == errc::invalid);
        CHECK(maps::open(procmap::borrowed_fd{-1}, {.use = use}).error() == errc::invalid);
        CHECK(maps::open(pidfd.borrow(), {.use = use, .proc = long_path.c_str()}).error() == errc::invalid);
    }
    running.kill();
    running.await_zombie();
    CHECK(keeping_errno([&] { return maps::open(pidfd.borrow()).error().code; }) == errc::zombie);
    running.reap();
    CHECK(keeping_errno([&] { return maps::open(pidfd.borrow()).error().code; }) == errc::gone);
}

TEST_CASE("another user's process is denied, and the message says what is needed") {
    if (!may_drop_privileges()) SKIP("needs root, to become another user");
    child stranger{[](channel& parent) {
        const auto before = maps::open(::getppid());
        drop_privileges();
        for (const backend use : backends()) parent.send(maps::open(::getppid(), {.use = use}).error());
        parent.send(before.has_value() && before->find_from(0).has_value());
    }};
    for (const backend use : backends()) {
        CAPTURE(use);
        const auto error = stranger->receive<procmap::error>();
        CHECK(error ==
              procmap::error{.code = errc::denied, .at = procmap::step::open, .errno_value = EACCES, .pid = ::getpid()});
        std::string message;
        procmap::print([&](std::string_view piece) { message += piece; }, error);
        CHECK(contains(message, "CAP_SYS_PTRACE"));
        CHECK(contains(message, "open maps of process " + std::to_string(::getpid())));
        CHECK(contains(message, "EACCES"));
    }
    CHECK_MESSAGE(stranger->receive<bool>(), "a handle keeps working after privileges are dropped");
}

TEST_CASE("a process that procfs hides is denied, not gone, and one that does not exist is gone") {
    if (!is_root()) SKIP("needs root, to mount");
    if (!kernel_at_least(5, 8)) SKIP("hidepid is not a mount's own before Linux 5.8");
    child stranger{[](channel& parent) {
        const pid_t hidden = ::getppid();
        const bool mounted = ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                             ::mount("proc", "/proc", "proc", 0, "hidepid=2") == 0;
        parent.send(mounted);
        if (!mounted) return;
        drop_privileges();
        parent.send(maps::open(hidden).error());
        parent.send(maps::open(hidden, hidden).error());
        parent.send(maps::open(no_process).error());
        parent.send(maps::open(hidden, no_process).error());
        parent.send(maps::open_self().error());
    }};
    if (!stranger->receive<bool>()) SKIP("may not mount");
    for (const errc expected : {errc::denied, errc::denied, errc::gone, errc::gone, errc::none}) {
        const auto error = stranger->receive<procmap::error>();
        CHECK(error == expected);
        if (expected == errc::denied) CHECK(error.errno_value == ENOENT);
    }
}

TEST_CASE("a zombie is called one: it has no address space any more") {
    const child zombie{[](channel&) {}};
    zombie.await_zombie();
    CHECK(maps::open(zombie.pid()).error() == errc::zombie);
    for (const backend use : backends()) CHECK(maps::open(zombie.pid(), {.use = use}).error() == errc::zombie);
}

/// A kernel thread that can be seen from here, by its flags in /proc/PID/stat.
std::optional<pid_t> kernel_thread() {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc", ignored}) {
        const int pid = std::atoi(entry.path().filename().c_str());
        const std::string stat = pid > 0 ? slurp(entry.path() / "stat").value_or("") : "";
        unsigned flags = 0;
        constexpr unsigned is_kernel_thread = 0x00200000;  // PF_KTHREAD, include/linux/sched.h
        if (stat.empty() || std::sscanf(stat.c_str() + stat.rfind(')'), ") %*c %*d %*d %*d %*d %*d %u", &flags) != 1) continue;
        if ((flags & is_kernel_thread) != 0) return pid;
    }
    return std::nullopt;
}

TEST_CASE("a kernel thread is called one: it never had an address space") {
    const auto pid = kernel_thread();
    if (!pid) SKIP("none can be seen from here");
    if (maps::open(*pid).error() == errc::denied) SKIP("may not be opened by this user");
    for (const backend use : backends()) CHECK(maps::open(*pid, {.use = use}).error() == errc::kernel_thread);
}

TEST_CASE("after exec an older handle answers gone, and never for the new program") {
    child running{[](channel& parent) {
        parent.signal();
        parent.await();
        ::execlp("sleep", "sleep", "1000", static_cast<char*>(nullptr));
    }};
    running->await();
    std::vector<maps> opened;
    for (const backend use : backends()) opened.push_back(need(maps::open(running.pid(), {.use = use})));
    for (const maps& one : opened) check_answers(one);
    running->signal();
    REQUIRE(running->closed());  // its end is close-on-exec
    REQUIRE(contains(slurp(maps_path(running.pid())).value(), "/"));
    for (const maps& one : opened) check_all_answer(one, errc::gone);
    for (const backend use : backends()) check_answers(need(maps::open(running.pid(), {.use = use})));
}

TEST_CASE("a process that was killed is gone, before and after it is reaped") {
    child killed{wait_forever};
    killed->await();
    std::vector<maps> opened;
    for (const backend use : backends()) opened.push_back(need(maps::open(killed.pid(), {.use = use})));
    for (const maps& one : opened) check_answers(one);
    killed.kill();
    killed.await_zombie();
    for (const maps& one : opened) check_all_answer(one, errc::gone);
    killed.reap();
    for (const maps& one : opened) check_all_answer(one, errc::gone);
}

TEST_CASE("a walk whose process exits in the middle is not complete") {
    for (const backend use : backends()) {
        for (const bool reap : {false, true}) {
            for (const int steps : {1, 5, 500}) {
                CAPTURE(use);
                CAPTURE(reap);
                child large{[](channel& parent) {
                    ensure(map_alternating(3000) != nullptr, "map pages");
                    wait_forever(parent);
                }};
                large->await();
                const maps opened = need(maps::open(large.pid(), {.use = use}));
                auto walk = opened.walk({.names = true});
                int seen = 0;
                for (const mapping& m : walk) {
                    CHECK(m.start < m.end);
                    if (++seen != steps) continue;
                    large.kill();
                    reap ? large.reap() : large.await_zombie();
                }
                CHECK(seen < 3000);
                CHECK_FALSE(walk.complete());
                CHECK(walk.error() == errc::gone);
            }
        }
    }
}

TEST_CASE("an address space that outlives the task it was opened through: the ioctl goes on, text says task_gone") {
    NEEDS_LIVE_MAPS();
#if defined(PROCMAP_TEST_SANITIZED)
    return not_included("two processes in one address space: a sanitizer's runtime is not made for that");
#endif
    child first{[](channel& parent) {
        char* const stack = map_pages(64);
        const auto run = [](void*) -> int {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;) ::pause();
        };
        parent.send(::clone(run, stack + 64 * page, CLONE_VM | CLONE_PARENT | SIGCHLD, nullptr));
        parent.pause();
    }};
    const auto second_pid = first->receive<pid_t>();
    REQUIRE(second_pid > 0);
    process second{second_pid};
    const auto anywhere = raw_lines(slurp(maps_path(first.pid())).value()).front().start;
    std::vector<maps> opened;
    for (const backend use : backends()) opened.push_back(need(maps::open(first.pid(), {.use = use})));
    first.kill();
    first.reap();
    for (const maps& one : opened) {
        CAPTURE(one.backend());
        if (one.backend() == backend::text) {
            check_all_answer(one, kernel_has_ioctl() ? errc::task_gone : errc::gone);
            continue;
        }
        check_answers(one);
        CHECK(one.find(anywhere).has_value());
        CHECK(difference(walk_with_names(one).records, raw_lines(slurp(maps_path(second.pid())).value())) == "");
    }
    second.kill();
    second.reap();
    for (const maps& one : opened) check_all_answer(one, errc::gone);
}

pid_t thread_id() { return static_cast<pid_t>(::syscall(SYS_gettid)); }

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

TEST_CASE("a thread's handle, once the thread has exited: the ioctl goes on, text says task_gone") {
    child threaded{[](channel& parent) {
        std::thread short_lived{[&parent] {
            parent.send(thread_id());
            parent.await();
        }};
        short_lived.join();
        parent.pause();
    }};
    const auto tid = threaded->receive<pid_t>();
    std::vector<maps> opened;
    for (const backend use : backends()) opened.push_back(need(maps::open(threaded.pid(), tid, {.use = use})));
    for (const maps& one : opened) check_answers(one);
    threaded->signal();
    while (exists("/proc/" + std::to_string(threaded.pid()) + "/task/" + std::to_string(tid))) ::usleep(1000);
    for (const maps& one : opened) {
        CAPTURE(one.backend());
        one.backend() == backend::ioctl ? check_answers(one) : check_all_answer(one, errc::task_gone);
    }
}

TEST_CASE("once the main thread has exited, the process opens through another thread") {
    child headless{[](channel& parent) {
        std::thread{[&parent] {
            parent.send(thread_id());
            parent.pause();
        }}.detach();
        ::syscall(SYS_exit, 0);
    }};
    const auto tid = headless->receive<pid_t>();
    while (!slurp(maps_path(headless.pid())).value_or("").empty()) ::usleep(1000);
    for (const backend use : backends()) {
        CAPTURE(use);
        check_answers(need(maps::open(headless.pid(), {.use = use})));
        check_answers(need(maps::open(headless.pid(), tid, {.use = use})));
    }
}

TEST_CASE("a forked child that uses its parent's handle asks about the parent") {
    if (!kernel_has_ioctl()) SKIP("a shared handle is promised for the ioctl only");
    const maps parents = need(maps::open_self({.use = backend::ioctl}));
    char* const memory = map_pages(3, PROT_READ);
    char* const hole = memory + page;
    REQUIRE(::munmap(hole, page) == 0);
    child forked{[&](channel& parent) {
        ensure(map_pages(1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, hole) == hole, "map");
        ensure(::munmap(memory, page) == 0, "unmap");
        parent.send(parents.find(address_of(hole)).error());
        parent.send(parents.find(address_of(memory)).error());
        const auto reopened = maps::open_self();
        parent.send(reopened->find(address_of(hole)).error());
        parent.send(reopened->find(address_of(memory)).error());
    }};
    for (const errc expected : {errc::not_mapped, errc::none, errc::none, errc::not_mapped})
        CHECK(forked->receive<procmap::error>() == expected);
    ::munmap(memory, page);
    ::munmap(memory + 2 * page, page);
}

// ---- adopting descriptors

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

constexpr backend every_choice[] = {backend::automatic, backend::ioctl, backend::text};

bool is_there(backend use) { return use != backend::ioctl || kernel_has_ioctl(); }

TEST_CASE("a maps file that somebody else opened is taken over") {
    NEEDS_LIVE_MAPS();
    child paused{wait_forever};
    paused->await();
    const std::string threads = "/proc/" + std::to_string(paused.pid()) + "/task/" + std::to_string(paused.pid()) + "/maps";
    const std::string paths[] = {"/proc/self/maps", "/proc/thread-self/maps", maps_path(paused.pid()), threads};
    for (const std::string& path : paths) {
        for (const backend use : every_choice) {
            CAPTURE(path);
            CAPTURE(use);
            const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
            auto adopted = keeping_errno([&] { return maps::adopt(procmap::unique_fd{fd}, {.use = use}); });
            if (!is_there(use)) {
                CHECK(adopted.error() == errc::unsupported);
                CHECK_FALSE(is_open(fd));
                continue;
            }
            {
                const maps owner = need(std::move(adopted));
                CHECK(owner.fd().get() == fd);
                CHECK((use == backend::automatic || owner.backend() == use));
                check_answers(owner);
                CHECK(is_open(fd));
            }
            CHECK_FALSE(is_open(fd));
        }
    }
}

TEST_CASE("what is not a readable maps file is refused and closed, whatever the back-end") {
    const temporary_directory directory;
    directory.write("maps", slurp("/proc/self/maps").value());
    const auto opens = [](std::string path, int flags = O_RDONLY) {
        return std::function<int()>{[path, flags] { return ::open(path.c_str(), flags | O_CLOEXEC); }};
    };
    const auto either_end = [](auto make) {
        return [make] {
            int ends[2] = {-1, -1};
            if (make(ends) == 0) ::close(ends[1]);
            return ends[0];
        };
    };
    const std::pair<const char*, std::function<int()>> kinds[] = {
        {"smaps", opens("/proc/self/smaps")},
        {"smaps_rollup", opens("/proc/self/smaps_rollup")},
        {"numa_maps", opens("/proc/self/numa_maps")},
        {"status", opens("/proc/self/status")},
        {"pagemap", opens("/proc/self/pagemap")},
        {"timers, which is empty", opens("/proc/self/timers")},
        {"another's empty file", opens("/proc/1/timers")},
        {"a command line that reads as maps text", [] {
             child forger{[](channel& parent) {
                 parent.send(0);
                 ::execl("/bin/sleep", "00400000-00500000 r-xp 00000000 08:01 77    /usr/bin/forged\n00500000-00600000 rw-p 00000000 00:00 0\n",
                         "20", static_cast<char*>(nullptr));
             }};
             (void)forger->receive<int>();
             const std::string path = "/proc/" + std::to_string(forger.pid()) + "/cmdline";
             for (int tries = 0; tries < 500 && slurp(path).value_or("").find("forged") == std::string::npos; ++tries) ::usleep(2000);
             return ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
         }},
        {"mem", opens("/proc/self/mem")},
        {"cmdline", opens("/proc/self/cmdline")},
        {"recorded maps", opens(directory / "maps")},
        {"a directory of procfs", opens("/proc", O_RDONLY | O_DIRECTORY)},
        {"a process's directory", opens("/proc/self", O_RDONLY | O_DIRECTORY)},
        {"a directory", opens("/tmp", O_RDONLY | O_DIRECTORY)},
        {"maps by O_PATH", opens("/proc/self/maps", O_PATH)},
        {"maps for writing", opens("/proc/self/maps", O_WRONLY)},
        {"/dev/zero", opens("/dev/zero")},
        {"/dev/null", opens("/dev/null")},
        {"a pipe", either_end([](int* ends) { return ::pipe(ends); })},
        {"a socket", either_end([](int* ends) { return ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends); })},
        {"a memfd", [] { return static_cast<int>(::syscall(SYS_memfd_create, "maps", 0)); }}};
    for (const auto& kind : kinds) {
        for (const backend use : every_choice) {
            CAPTURE(kind.first);
            CAPTURE(use);
            const int fd = kind.second();
            if (fd < 0) {
                not_included(kind.first);
                break;
            }
            const auto refused = keeping_errno([&] { return maps::adopt(procmap::unique_fd{fd}, {.use = use}); });
            CHECK(refused.error() == errc::not_maps);
            CHECK(refused.error().at == procmap::step::adopt);
            CHECK_FALSE(is_open(fd));
        }
    }
}

TEST_CASE("a descriptor that is not open is invalid, and the maps of a zombie are gone") {
    const child zombie{[](channel&) {}};
    zombie.await_zombie();
    for (const backend use : every_choice) {
        CAPTURE(use);
        const int closed = ::dup(STDERR_FILENO);
        ::close(closed);
        CHECK(maps::adopt(procmap::unique_fd{closed}, {.use = use}).error() == errc::invalid);
        CHECK(maps::adopt(procmap::unique_fd{-1}, {.use = use}).error() == errc::invalid);
        CHECK(maps::adopt(procmap::unique_fd{}, {.use = use}).error().errno_value == EBADF);
        const int fd = ::open(maps_path(zombie.pid()).c_str(), O_RDONLY | O_CLOEXEC);
        CHECK(maps::adopt(procmap::unique_fd{fd}, {.use = use}).error() == errc::gone);
        CHECK_FALSE(is_open(fd));
    }
}

// ---- what a handle is and leaves alone

TEST_CASE("errno is left as it was, whatever the outcome") {
    const auto here = address_of(reinterpret_cast<const void*>(&check_answers));
    keeping_errno([] { return procmap::probe(); });
    keeping_errno([] { return procmap::probe("/nowhere"); });
    keeping_errno([] { return procmap::running_kernel(); });
    keeping_errno([] { return maps::open(no_process).has_value(); });
    keeping_errno([] { return maps::open(-1).has_value(); });
    keeping_errno([] { return maps::open(::getpid(), no_process).has_value(); });
    keeping_errno([] { return maps::open_self({.proc = "/nowhere"}).has_value(); });
    keeping_errno([] { return maps::adopt(procmap::unique_fd{}).has_value(); });
    const temporary_directory directory;
    directory.write("self/maps", "");
    keeping_errno([&] { return maps::open_self({.proc = directory.path().c_str()}).has_value(); });
    const child zombie{[](channel&) {}};
    zombie.await_zombie();
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(keeping_errno([&] { return maps::open_self({.use = use}); }));
        CHECK(keeping_errno([&] { return self.find(here, {.name = big_buffer}).has_value(); }));
        CHECK(keeping_errno([&] { return self.find(here, {.name = std::span{big_buffer}.first(1)}).has_value(); }));
        CHECK_FALSE(keeping_errno([&] { return self.find(0).has_value(); }));
        CHECK_FALSE(keeping_errno([&] { return self.find_from(UINT64_MAX).has_value(); }));
        CHECK(keeping_errno([&] {
            auto walk = self.walk({.names = true});
            for ([[maybe_unused]] const mapping& m : walk) {}
            return walk.complete();
        }));
        CHECK_FALSE(keeping_errno([&] { return maps::open(zombie.pid(), {.use = use}).has_value(); }));
        child dying{wait_forever};
        const maps dead = need(maps::open(dying.pid(), {.use = use}));
        dying.kill();
        dying.await_zombie();
        CHECK_FALSE(keeping_errno([&] { return dead.find(here).has_value(); }));
        dying.reap();
        CHECK_FALSE(keeping_errno([&] { return dead.find(here).has_value(); }));
        const maps none;
        CHECK_FALSE(keeping_errno([&] { return none.find(here).has_value(); }));
        CHECK(keeping_errno([&] { return maps::open_self({.use = use})->fd().get() >= 0; }));  // closed again, too
    }
}

TEST_CASE("handles are close-on-exec") {
    NEEDS_LIVE_MAPS();
    for (const backend use : backends()) {
        CHECK(::fcntl(need(maps::open_self({.use = use})).fd().get(), F_GETFD) == FD_CLOEXEC);
        CHECK(::fcntl(need(maps::open(::getpid(), ::getpid(), {.use = use})).fd().get(), F_GETFD) == FD_CLOEXEC);
    }
}

TEST_CASE("a handle that holds nothing answers invalid") {
    const maps none;
    check_all_answer(none, errc::invalid);
    CHECK(none.fd().get() == -1);
    for (const backend use : backends()) {
        CAPTURE(use);
        maps from = need(maps::open_self({.use = use}));
        const int fd = from.fd().get();
        maps to = std::move(from);
        check_all_answer(from, errc::invalid);  // NOLINT: moved from, on purpose
        CHECK(to.fd().get() == fd);
        check_answers(to);
        from = std::move(to);
        check_answers(from);
        from = maps{};
        CHECK_FALSE(is_open(fd));
    }
}

// ---- no allocation

#if !defined(PROCMAP_TEST_SANITIZED)
TEST_CASE("find, find_from, walk, parse and probe allocate nothing") {
    static mapping_walk* under_way;
    const std::string text = slurp(PROCMAP_TEST_DATA "/realistic_10k.maps").value();
    const auto here = address_of(reinterpret_cast<const void*>(&check_answers));
    const auto counted = [](auto call) {
        const long before = allocations;
        call();
        return allocations - before;
    };
    CHECK_MESSAGE(counted([] {
                      static void* volatile memory;  // not optimized away
                      memory = ::operator new(100);
                      ::operator delete(memory);
                  }) == 1,
                  "the count counts");
    CHECK(counted([] { static_cast<void>(procmap::probe()); }) == 0);
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(maps::open_self({.use = use}));
        bool found = false;
        CHECK(counted([&] { found = maps::open_self({.use = use}).has_value(); }) == 0);
        CHECK(found);
        CHECK(counted([&] { found = self.find(here, {.name = big_buffer}).has_value(); }) == 0);
        CHECK(found);
        CHECK(counted([&] { found = self.find_from(0, {.only = procmap::writable}).has_value(); }) == 0);
        CHECK(found);
        CHECK(counted([&] { found = self.find(0).has_value(); }) == 0);
        CHECK_FALSE(found);
        CHECK(counted([&] {
                  auto walk = self.walk({.names = true});
                  under_way = &walk;
                  for ([[maybe_unused]] const mapping& m : *under_way) {}
                  found = walk.complete();
              }) == 0);
        CHECK(found);
    }
    std::size_t lines = 0;
    CHECK(counted([&] {
              for (const auto& line : procmap::parse(text)) lines += line.has_value() ? 1 : 0;
          }) == 0);
    CHECK(lines == static_cast<std::size_t>(std::ranges::count(text, '\n')));
}
#else
TEST_CASE("allocations are not counted under a sanitizer, which has its own allocator") { not_included("the whole count"); }
#endif

// ---- churn

/// How many walks to make under churn: fewer where each instruction costs more.
std::size_t churn_walks() {
    if (const char* const asked = std::getenv("PROCMAP_CHURN_WALKS"); asked != nullptr) return std::strtoul(asked, nullptr, 10);
#if defined(PROCMAP_TEST_SANITIZED)
    return 500;
#else
    return 2000;
#endif
}

TEST_CASE("walks beside a thread that changes the address space: ascending, and nothing stable is missed") {
    for (const backend use : backends()) {
        CAPTURE(use);
        arena stable;
        const maps self = need(maps::open_self({.use = use}));
        crew threads;
        threads.add_change(stable);
        threads.add(churn_walks(), [&](std::size_t, tally& count) { walk_once(self, stable, count); });
        const tally all = threads.run();
        all.check();
        CHECK(all.contended == 0);
        CHECK(static_cast<std::size_t>(all.right) == churn_walks());
    }
}

TEST_CASE("walks of a process that changes its address space: ascending, and nothing stable is missed") {
    arena stable;
    child changing = changing_child(stable);
    changing->await();
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps opened = need(maps::open(changing.pid(), {.use = use}));
        tally all;
        for (std::size_t i = 0; i < churn_walks(); ++i) {
            walk_once(opened, stable, all);
            find_once(opened, stable, i, all);
        }
        all.check();
        CHECK(all.contended == 0);
        CHECK(static_cast<std::size_t>(all.right) == 2 * churn_walks());
    }
}

TEST_CASE("threads that share one text handle notice each other: no torn record, nothing missed") {
    arena stable;
    const maps self = need(maps::open_self({.use = backend::text}));
    crew threads;
    threads.add_change(stable);
    const auto enough = std::chrono::steady_clock::now() + std::chrono::seconds{4};  // those that collide can wait for long
    const auto in_time = [enough] { return std::chrono::steady_clock::now() < enough; };
    for (int i = 0; i < 3; ++i) {  // more than there may be processors: some are interrupted in the middle of a read
        threads.add(churn_walks() / 2, [&](std::size_t, tally& count) {
            if (in_time()) walk_once(self, stable, count);
        });
        threads.add(churn_walks() / 2, [&](std::size_t n, tally& count) {
            if (in_time()) find_once(self, stable, n, count);
        });
    }
    const tally all = threads.run();
    all.check();
    MESSAGE(all.right, " right, ", all.contended, " contended");
    CHECK(walk_all(self).complete);  // nobody else reads now: none has left it locked
    CHECK(all.right > 0);  // how many are contended depends on how busy the machine is; tests/kernel.cpp has each case of it
}

TEST_CASE("threads that share one ioctl handle each get the right answers") {
    if (!kernel_has_ioctl()) SKIP("no ioctl");
    arena stable;
    const maps self = need(maps::open_self({.use = backend::ioctl}));
    crew threads;
    threads.add_change(stable);
    for (int i = 0; i < 2; ++i)
        threads.add(churn_walks(), [&](std::size_t n, tally& count) {
            walk_once(self, stable, count);
            find_once(self, stable, n, count);
        });
    const tally all = threads.run();
    all.check();
    CHECK(all.contended == 0);
}

#if !defined(PROCMAP_TEST_SANITIZED)  // AddressSanitizer takes the stack that a cancelled thread leaves for overflown
TEST_CASE("a cancellation that is pending ends no function half-way, and never the program") {
    NEEDS_LIVE_MAPS();
    struct attempt {
        backend use;
        bool done = false;
    };
    for (const backend use : backends()) {
        CAPTURE(use);
        attempt a{use};
        pthread_t thread;
        REQUIRE(::pthread_create(&thread, nullptr, [](void* at) -> void* {
            auto& of = *static_cast<attempt*>(at);
            ::pthread_cancel(::pthread_self());
            {
                const auto self = maps::open_self({.use = of.use});
                const auto other = maps::open(no_process);
                const auto adopted = maps::adopt(procmap::unique_fd{static_cast<int>(::syscall(SYS_openat, AT_FDCWD, "/proc/self/smaps", O_RDONLY | O_CLOEXEC))});
                const auto can = procmap::probe();
                auto walk = self->walk({.names = true, .build_ids = true});
                for ([[maybe_unused]] const mapping& m : walk) {}
                const std::array addresses{address_of(reinterpret_cast<const void*>(&::getpid)), address_of(reinterpret_cast<const void*>(&check_answers))};
                procmap::normalizer n{{.build_ids = true, .elf_addresses = true, .build_ids_from = procmap::build_id_choice::file, .file_states = true}};
                procmap::cached_maps c{*self, {.build_ids = true, .build_ids_from = procmap::build_id_choice::file}};
                bool good = can.text && walk.complete() && !other && !adopted;
                for (int again = 0; again < 2; ++again) {
                    good = good && n.normalize(*self, addresses)->complete() && c.find(addresses[0]).has_value();
                    n.release_files();
                }
                good = good && procmap::snapshot::capture(*self, {.build_ids = true}).has_value();
                of.done = good;
            }
            for (;;) ::pause();  // the first cancellation point
        }, &a) == 0);
        void* how = nullptr;
        REQUIRE(::pthread_join(thread, &how) == 0);
        CHECK(how == PTHREAD_CANCELED);
        CHECK(a.done);
    }
}
#endif

// ---- signal handlers

#if defined(PROCMAP_TEST_SANITIZED)
constexpr std::size_t signal_stack_size = 256 * 1024;  // instrumented frames are larger
constexpr timeval signal_interval{.tv_sec = 0, .tv_usec = 20000};
#else
constexpr std::size_t signal_stack_size = 16 * 1024;
constexpr timeval signal_interval{.tv_sec = 0, .tv_usec = 1000};
#endif

/// A signal handler on a small stack of its own, for as long as this lives.
class on_signal {
public:
    on_signal(int number, void (*handler)(int, siginfo_t*, void*)) : number_(number) {
        static char stack[signal_stack_size];
        const stack_t alternate{.ss_sp = stack, .ss_flags = 0, .ss_size = sizeof stack};
        REQUIRE(::sigaltstack(&alternate, nullptr) == 0);
        struct sigaction action {};
        action.sa_sigaction = handler;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        REQUIRE(::sigaction(number, &action, &before_) == 0);
    }
    on_signal(const on_signal&) = delete;
    on_signal& operator=(const on_signal&) = delete;
    ~on_signal() {
        ::sigaction(number_, &before_, nullptr);
        const stack_t none{.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
        ::sigaltstack(&none, nullptr);
    }

private:
    int number_;
    struct sigaction before_ {};
};

/// What the handlers use and leave behind.
struct {
    const maps* handle;
    mapping_walk* walk;
    std::uint64_t address;
    int found, not_found, walks, steps;
} in_handler;

void look_around(std::uint64_t address) {
    const auto hit = in_handler.handle->find(address);
    hit.has_value() && hit->contains(address) ? ++in_handler.found : ++in_handler.not_found;
    for ([[maybe_unused]] const mapping& m : *in_handler.walk) ++in_handler.steps;
    if (in_handler.walk->complete()) ++in_handler.walks;
}

TEST_CASE("a handler of a real fault finds the mapping on a small stack, on both back-ends") {
    NEEDS_LIVE_MAPS();
    const on_signal fault{SIGSEGV, [](int, siginfo_t* info, void*) {
                              look_around(address_of(info->si_addr));
                              ::mprotect(info->si_addr, page, PROT_READ | PROT_WRITE);
                          }};
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(maps::open_self({.use = use}));
        static std::optional<mapping_walk> walk;
        walk.emplace(self.walk());
        in_handler = {.handle = &self, .walk = &*walk, .address = 0, .found = 0, .not_found = 0, .walks = 0, .steps = 0};
        char* const guard = map_pages(1, PROT_NONE);
        *static_cast<volatile char*>(guard) = 1;
        CHECK(in_handler.found == 1);
        CHECK(in_handler.walks == 1);
        CHECK(in_handler.steps > 5);
        ::munmap(guard, page);
    }
}

TEST_CASE("a walk survives a handler that uses the same handle, again and again") {
    child paused{[](channel& parent) {
        map_alternating(300);
        wait_forever(parent);
    }};
    paused->await();
    const auto raw = raw_lines(slurp(maps_path(paused.pid())).value());
    const on_signal interrupted{SIGUSR1, [](int, siginfo_t*, void*) { look_around(in_handler.address); }};
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps opened = need(maps::open(paused.pid(), {.use = use}));
        auto inner = opened.walk();
        in_handler = {.handle = &opened, .walk = &inner, .address = raw[50].start, .found = 0, .not_found = 0, .walks = 0,
                      .steps = 0};
        auto outer = opened.walk({.names = true});
        std::vector<record> seen;
        for (const mapping& m : outer) {
            seen.emplace_back(m);
            if (seen.size() % 7 == 1) ::raise(SIGUSR1);
        }
        CHECK(outer.complete());
        CHECK(difference(seen, raw) == "");
        CHECK(in_handler.not_found == 0);
        CHECK(in_handler.walks == in_handler.found);
        CHECK(static_cast<std::size_t>(in_handler.steps) == raw.size() * static_cast<std::size_t>(in_handler.walks));
    }
}

TEST_CASE("a walk survives handlers that use the same handle at any moment, while the process changes") {
    static arena* stable;
    static tally from_handler;
    arena here;
    stable = &here;
    child changing = changing_child(here);
    changing->await();
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps opened = need(maps::open(changing.pid(), {.use = use}));
        in_handler.handle = &opened;
        from_handler = {};
        tally outer;
        {
            const auto look = [](int, siginfo_t*, void*) { find_once(*in_handler.handle, *stable, 7, from_handler); };
            const on_signal alarm{SIGALRM, look};
            itimerval often{.it_interval = signal_interval, .it_value = signal_interval};
            ::setitimer(ITIMER_REAL, &often, nullptr);
            const auto enough = std::chrono::steady_clock::now() + std::chrono::seconds{1};
            while (std::chrono::steady_clock::now() < enough) walk_once(opened, here, outer);
            often = {};
            ::setitimer(ITIMER_REAL, &often, nullptr);
        }
        outer.check();
        from_handler.check();
        CHECK(from_handler.right > 0);
        CHECK(from_handler.contended == 0);
        CHECK(outer.right > 0);
    }
}

// ---- another procfs, and what is none

TEST_CASE("a procfs that is mounted elsewhere answers for its own pids") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs root, to mount");
    const temporary_directory directory;
    const auto usable = backends();
    child elsewhere{[&](channel& parent) {
        const char* const proc = directory.path().c_str();
        const bool mounted = ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                             ::mount("proc", proc, "proc", 0, nullptr) == 0 && ::umount2("/proc", MNT_DETACH) == 0;
        parent.send(mounted);
        if (!mounted) return;
        const auto here = address_of(reinterpret_cast<const void*>(&check_answers));
        for (const backend use : usable) {
            const auto other = maps::open(::getpid(), {.use = use, .proc = proc});
            const auto self = maps::open_self({.use = use, .proc = proc});
            parent.send(other ? other->find(here).error() : other.error());
            parent.send(self ? self->find(here).error() : self.error());
            parent.send(maps::open(no_process, {.use = use, .proc = proc}).error());
            parent.send(maps::open_self({.use = use}).error());
        }
        parent.send(procmap::probe(proc).live && !procmap::probe().text);
    }};
    if (!elsewhere->receive<bool>()) SKIP("may not mount");
    for (std::size_t i = 0; i < usable.size(); ++i)
        for (const errc expected : {errc::none, errc::none, errc::gone, errc::unsupported})
            CHECK(elsewhere->receive<procmap::error>() == expected);
    CHECK(elsewhere->receive<bool>());
}

/// A directory that looks like a procfs with one process, whose maps a test writes.
struct recorded_proc {
    temporary_directory directory;

    explicit recorded_proc(std::string_view text) { directory.write("self/maps", text); }
    maps open(backend use = backend::automatic) const {
        return need(maps::open_self({.use = use, .proc = directory.path().c_str()}));
    }
};

std::string good_line(unsigned n, const std::string& name = {}) {
    char head[80];
    std::snprintf(head, sizeof head, "%08x-%08x r--p 00000000 00:00 0 ", n * 0x2000, n * 0x2000 + 0x1000);
    return name.empty() ? std::string{head} + '\n' : std::string{head} + std::string(73 - std::strlen(head), ' ') + name + '\n';
}

/// Good lines, then `text` in place of the next, then more good lines: that `text` is where the walk breaks off.
void check_malformed(unsigned lines_before, const std::string& text, std::size_t wrong_byte, const std::string& after) {
    std::string good;
    for (unsigned n = 1; n <= lines_before; ++n) good += good_line(n);
    const recorded_proc proc{good + text + after};
    const walked all = walk_with_names(proc.open(), {});
    CAPTURE(lines_before);
    CAPTURE(text);
    CHECK(difference(all.records, raw_lines(good)) == "");
    CHECK_FALSE(all.complete);
    CHECK(all.error == errc::malformed);
    CHECK(all.error.at == procmap::step::parse);
    CHECK(all.error.line == lines_before + 1);
    CHECK(all.error.offset == good.size() + wrong_byte);
    CHECK(proc.open().find(UINT64_MAX).error() == all.error);
}

TEST_CASE("a malformed line ends the walk after the good ones, and the error says where it is") {
    for (const unsigned lines_before : {0u, 1u, 3u, 500u}) {
        check_malformed(lines_before, "no maps line\n", 0, good_line(1000));
        check_malformed(lines_before, "\n", 0, good_line(1000));
        check_malformed(lines_before, "7f000000-7f001000 rwxq 00000000 00:00 0 \n", 21, good_line(1000));
        check_malformed(lines_before, "7f000000-7f001000 rwxp 00000000 00:00 z \n", 38, good_line(1000));
    }
}

TEST_CASE("a last line without its end is malformed, and not the end") {
    for (const unsigned lines_before : {0u, 1u, 3u, 500u})
        for (const std::string torn : {"7f000000-7f001000 rwxp 00000000 00:00 0", "7f0"})
            check_malformed(lines_before, torn, torn.size(), "");
}

TEST_CASE("a line longer than any buffer loses its name, and the lines behind it are still read") {
    for (const std::size_t size : {std::size_t{4096}, std::size_t{5000}, std::size_t{70000}, std::size_t{300000}}) {
        CAPTURE(size);
        const std::string long_line = good_line(2, '/' + std::string(size, 'l'));
        const std::string text = good_line(1, "/first") + long_line + good_line(3) + good_line(4, "/last");
        const recorded_proc proc{text};
        const walked all = walk_with_names(proc.open(), {});
        CHECK(all.complete);
        CHECK(difference(all.records, raw_lines(text)) == "");
        REQUIRE(all.records.size() == 4);
        CHECK(all.records[1].name_status == name_state::too_long);
        CHECK(all.records[3].name == "/last");
        procmap::name_buffer name;
        CHECK(need(proc.open().find(2 * 0x2000, {.name = name})).name_status == name_state::too_long);
        CHECK(need(proc.open().find(4 * 0x2000, {.name = name})).name == "/last");
    }
    const recorded_proc cut{good_line(1) + good_line(2, std::string(9000, 'l')).substr(0, 8000)};
    const walked all = walk_with_names(cut.open(), {});
    CHECK(all.records.size() == 2);
    CHECK(all.error == errc::malformed);
    CHECK(all.error.line == 2);
}

TEST_CASE("what reaches back over the mapping before it is clipped, its offset too") {
    const recorded_proc proc{
        "00001000-00003000 r--p 00000000 fe:00 7 \n"
        "00001000-00003000 r--p 00000000 fe:00 7 \n"    // again
        "00002000-00005000 r--p 00001000 fe:00 7 \n"    // grown
        "00004000-00006000 rw-p 00000000 00:00 0 \n"    // no file: an offset of 0 stays
        "00001000-00006000 rw-p 00000000 00:00 0 \n"    // nothing new
        "00007000-00008000 r--p 00009000 fe:00 7 \n"
        "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n"};
    const walked all = walk_all(proc.open());
    CHECK(all.complete);
    std::vector<std::string> lines;
    for (const record& r : all.records) lines.push_back(line_of(r));
    const std::vector<std::string> expected{
        "00001000-00003000 r--p 00000000 fe:00 7 ", "00003000-00005000 r--p 00002000 fe:00 7 ",
        "00005000-00006000 rw-p 00000000 00:00 0 ", "00007000-00008000 r--p 00009000 fe:00 7 "};
    CHECK(lines == expected);
    CHECK(proc.open().find(0xffffffffff600000).error() == errc::not_mapped);
    CHECK(proc.open().find_from(0x8000).error() == errc::not_mapped);
}

TEST_CASE("a 32-bit ARM kernel's [vectors] is no mapping, and the one that arm64 maps into a 32-bit process is") {
    const std::string heap = "00021000-00043000 rw-p 00000000 00:00 0 ";
    const std::string vectors = "ffff0000-ffff1000 r-xp 00000000 00:00 0 ";
    const recorded_proc arm{heap + "         [heap]\n" + vectors + "         [vectors]\n"};
    CHECK(walk_with_names(arm.open(), {}).records.size() == 1);
    CHECK(arm.open().find(0xffff0000).error() == errc::not_mapped);
    CHECK(arm.open().find_from(0x43000).error() == errc::not_mapped);
    const std::string more(24, ' ');
    const recorded_proc arm64{heap + more + "         [heap]\n" + vectors + more + "         [vectors]\n"};
    CHECK(walk_with_names(arm64.open(), {}).records.size() == 2);
    CHECK(arm64.open().find(0xffff0000).has_value());
}

TEST_CASE("a file may have an inode of 0, but then it has a device") {
    const recorded_proc proc{
        "00001000-00002000 rw-s 00000000 00:01 0                                  /SYSV00000000 (deleted)\n"
        "00002000-00003000 rw-p 00000000 00:00 0 \n"};
    const maps opened = proc.open();
    CHECK(walk_all(opened, {.only = procmap::file_backed}).records.size() == 1);
    CHECK(opened.find(0x1000, {.only = procmap::file_backed}).has_value());
    CHECK(opened.find_from(0x2000, {.only = procmap::file_backed}).error() == errc::not_mapped);
}

TEST_CASE("a proc directory that is none says what is wrong with it") {
    const temporary_directory directory;
    const auto open = [](const std::string& proc, backend use = backend::automatic) {
        return maps::open_self({.use = use, .proc = proc.c_str()});
    };
    CHECK(open(directory / "nothing").error() == errc::unsupported);
    CHECK(open("").error() == errc::unsupported);
    CHECK(open(directory.path()).error() == errc::unsupported);
    CHECK(open(std::string(5000, 'p')).error() == errc::invalid);
    CHECK(open(std::string(5000, 'p')).error().errno_value == ENAMETOOLONG);
    CHECK(open('/' + std::string(4084, 'p')).error().errno_value == ENAMETOOLONG);
    directory.write("file", "");
    CHECK(open(directory / "file").error() == errc::unsupported);
    directory.write("directory/self/maps/x", "");
    CHECK(open(directory / "directory").error() == errc::not_maps);
    std::filesystem::create_directories(directory / "fifo/self");
    REQUIRE(::mkfifo((directory / "fifo/self/maps").c_str(), 0600) == 0);
    for (const backend use : {backend::automatic, backend::ioctl, backend::text}) {  // and does not wait for a writer
        CHECK(open(directory / "fifo", use).error() == errc::not_maps);
    }
    directory.write("missing/self/x", "");
    CHECK(open(directory / "missing").error() == errc::gone);
    directory.write("empty/self/maps", "");
    CHECK(open(directory / "empty").error() == errc::gone);
    directory.write("text/self/maps", good_line(1));
    CHECK(open(directory / "text", backend::ioctl).error() == errc::unsupported);
    CHECK(need(open(directory / "text")).backend() == backend::text);
    CHECK_FALSE(procmap::probe((directory / "text").c_str()).live);
    CHECK(procmap::probe((directory / "nothing").c_str()).error == errc::unsupported);
}

// ---- the walk as a range

static_assert(std::input_iterator<mapping_walk::iterator>);
static_assert(!std::forward_iterator<mapping_walk::iterator>);
static_assert(std::sentinel_for<mapping_walk::sentinel, mapping_walk::iterator>);
static_assert(std::ranges::input_range<mapping_walk>);
static_assert(std::ranges::viewable_range<mapping_walk&>);
#if !defined(_GLIBCXX_RELEASE) || _GLIBCXX_RELEASE >= 12  // older: no adaptor takes a temporary that is no view
static_assert(std::ranges::viewable_range<mapping_walk>);
#endif
static_assert(!std::ranges::view<mapping_walk>);
static_assert(std::movable<mapping_walk> && !std::copyable<mapping_walk>);
static_assert(std::movable<maps> && !std::copyable<maps>);

template <class Handle>
concept walkable = requires(Handle&& handle) { std::forward<Handle>(handle).walk(); };
static_assert(walkable<maps&> && walkable<const maps&>);
static_assert(!walkable<maps> && !walkable<const maps>);

std::size_t count_mappings(mapping_walk& walk) {
    std::size_t n = 0;
    for (auto it = walk.begin(); it != walk.end(); ++it) ++n;
    return n;
}

TEST_CASE("a walk begins again at each begin, and anew when it was moved") {
    child paused{wait_forever};
    paused->await();
    const auto raw = raw_lines(slurp(maps_path(paused.pid())).value());
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps opened = need(maps::open(paused.pid(), {.use = use}));
        auto walk = opened.walk();
        CHECK_FALSE(walk.complete());
        auto it = walk.begin();
        ++it;
        it++;
        CHECK(it->start == raw[2].start);
        CHECK(walk.begin()->start == raw[0].start);
        CHECK(count_mappings(walk) == raw.size());
        CHECK(walk.complete());
        CHECK(count_mappings(walk) == raw.size());
        mapping_walk moved = std::move(walk);
        CHECK_FALSE(moved.complete());
        CHECK(count_mappings(moved) == raw.size());
        auto filtered = opened.walk({.only = procmap::executable});
        static_cast<void>(filtered.begin());
        moved = std::move(filtered);
        CHECK_FALSE(moved.complete());
        CHECK(count_mappings(moved) < raw.size());
        CHECK(moved.complete());
        auto past = moved.begin();
        while (past != moved.end()) ++past;
        ++past;  // stays at the end
        CHECK(moved.complete());
    }
}

TEST_CASE("a walk that the caller stopped is not complete, and has no error") {
    for (const backend use : backends()) {
        const maps self = need(maps::open_self({.use = use}));
        auto walk = self.walk();
        for (const mapping& m : walk)
            if (m.end != 0) break;
        CHECK_FALSE(walk.complete());
        CHECK(walk.error() == errc::none);
    }
}

TEST_CASE("a walk buffer below 256 bytes is invalid, names or not") {
    for (const backend use : backends()) {
        const maps self = need(maps::open_self({.use = use}));
        for (const std::size_t size : {std::size_t{1}, std::size_t{255}}) {
            const walked all = walk_all(self, {.names = size == 1, .buffer = std::span{big_buffer}.first(size)});
            CHECK(all.error == errc::invalid);
            CHECK_FALSE(all.complete);
            CHECK(all.records.empty());
        }
        CHECK(walk_all(self, {.names = true, .buffer = std::span{big_buffer}.first(256)}).complete);
    }
}

}  // namespace
