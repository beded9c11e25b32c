// Snapshots, what changed between two, processes named in every way, and handles that go to another process.
#include "support.hpp"
#include "support/churn.hpp"

#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <array>
#include <atomic>
#include <chrono>
#include <iterator>
#include <map>
#include <random>
#include <ranges>
#include <set>
#include <sstream>
#include <thread>
#include <tuple>

using namespace support;
using procmap::backend;
using procmap::build_id_choice;
using procmap::borrowed_fd;
using procmap::capture_options;
using procmap::change;
using procmap::change_kind;
using procmap::errc;
using procmap::mapping;
using procmap::maps;
using procmap::name_state;
using procmap::perm;
using procmap::result;
using procmap::snapshot;
using procmap::unique_fd;

int main(int argc, char** argv) { return support::run(argc, argv); }

namespace {

template <class T>
std::string text_of(const T& what) {
    std::string text;
    procmap::print([&text](std::string_view piece) { text += piece; }, what);
    return text;
}

template <class Snapshot>
std::vector<record> records_of(const Snapshot& s) {
    std::vector<record> records;
    for (const mapping& m : s) records.emplace_back(m);
    return records;
}

/// The first record in which two lists differ, in words; empty where they are equal.
std::string differs(const std::vector<record>& a, const std::vector<record>& b) {
    std::ostringstream said;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
        if (a[i] != b[i]) return said << a[i] << " | " << b[i], said.str();
    if (a.size() != b.size()) said << a.size() << " mappings | " << b.size();
    return said.str();
}

std::vector<capture_options> all_options() {
    std::vector<capture_options> all;
    for (int bits = 0; bits < 8; ++bits)
        all.push_back({.names = (bits & 1) != 0, .build_ids = (bits & 2) != 0, .page_sizes = (bits & 4) != 0});
    return all;
}

/// What a capture should give, by a walk on the handle's own back-end.
std::vector<record> walked_for(const maps& of, const capture_options& options) {
    walked all = walk_all(of, {.names = options.names, .build_ids = options.build_ids});
    if (!options.page_sizes)
        for (record& r : all.records) r.page_size = 0;
    return all.complete ? all.records : std::vector<record>{};
}

constexpr std::uint64_t kib4 = 0x1000;

/// An anonymous mapping of 4 KiB pages, by number.
mapping pages(std::uint64_t first, std::uint64_t count, procmap::permission_set permissions = perm::read) {
    return {.start = first * kib4, .end = (first + count) * kib4, .permissions = permissions, .name_status = name_state::exact};
}

/// The same of a file, mapped so that its beginning would be at page `origin`.
mapping file_pages(std::uint64_t first, std::uint64_t count, std::uint64_t origin = 0, const char* name = "/file") {
    mapping m = pages(first, count);
    m.offset = (first - origin) * kib4;
    m.inode = 7;
    m.device = {8, 1};
    m.name = name;
    return m;
}

snapshot snapshot_of(std::initializer_list<mapping> mappings) { return snapshot::from(mappings); }

void check_written_and_read(const snapshot& s) {
    const auto read = snapshot::parse(text_of(s));
    INFO(read.error());
    REQUIRE(read.has_value());
    CHECK(differs(records_of(s), records_of(*read)) == "");
}

/// Bytes of names and build IDs, each once.
std::size_t distinct_bytes(const snapshot& s) {
    std::set<std::string> names;
    std::set<std::string> ids;
    for (const record& r : records_of(s)) names.insert(r.name), ids.insert(r.build_id);
    std::size_t sum = ids.size() * sizeof(procmap::build_id);
    for (const std::string& one : names) sum += one.size();
    return sum;
}

/// find and find_from at every start, last byte, end and byte before the start, against the list of records.
void check_lookups(const snapshot& s) {
    const auto records = records_of(s);
    for (std::size_t i = 0; i < records.size(); ++i) {
        const bool hole_below = i == 0 ? records[0].start != 0 : records[i - 1].end < records[i].start;
        for (const std::uint64_t at : {records[i].start, records[i].end - 1}) {
            const auto found = s.find(at);
            const auto next = s.find_from(at);
            REQUIRE(found.has_value());
            REQUIRE(next.has_value());
            if (record{*found} != records[i] || record{*next} != records[i]) FAIL_CHECK("another mapping at ", at);
        }
        if (!hole_below) continue;
        if (s.find(records[i].start - 1).error() != errc::not_mapped) FAIL_CHECK("a mapping in the hole below ", records[i]);
        const auto next = s.find_from(records[i].start - 1);
        if (!next || record{*next} != records[i]) FAIL_CHECK("another mapping above the hole below ", records[i]);
    }
    const std::uint64_t top = records.empty() ? 0 : records.back().end;
    CHECK(s.find(top).error() == errc::not_mapped);
    CHECK(s.find_from(top).error() == errc::not_mapped);
}

void map_file(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ensure(fd >= 0 && ::ftruncate(fd, static_cast<off_t>(page)) == 0, "create a file");
    ensure(::mmap(nullptr, page, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED, "map a file");
    ::close(fd);
}

/// A path of more than PATH_MAX bytes: a file in deep directories, mapped.
void map_file_too_deep(const std::string& below) {
    int directory = ::open(below.c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    const std::string name(251, 'y');
    for (int depth = 0; depth < 20; ++depth) {
        ::mkdirat(directory, name.c_str(), 0700);
        const int next = ::openat(directory, name.c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        ::close(directory);
        directory = next;
    }
    const int fd = ::openat(directory, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ensure(fd >= 0 && ::ftruncate(fd, static_cast<off_t>(page)) == 0, "create a deep file");
    ensure(::mmap(nullptr, page, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED, "map a deep file");
    ::close(fd);
    ::close(directory);
}

/// A child at rest with names that text cannot hold, a page size of its own, and `more` mappings.
struct strange_child {
    static constexpr const char* names[] = {"plain", "new\nline", "literal\\012", "both\n\\012", " blank ",
                                            "inv\xff\xfeutf8", "cr\r"};
    temporary_directory directory;
    child held;

    explicit strange_child(std::size_t more = 0)
        : held{[&](channel& parent) {
              // The kernel maps downwards: some are above the many, some below.
              for (const char* name : names) map_file(directory / name);
              map_file_too_deep(directory.path());
              ensure(more == 0 || map_alternating(more) != nullptr, "map pages");
              for (const char* name : {"later\nline", "later\\012"}) map_file(directory / name);
              map_pages((2 << 20) / page, PROT_READ, MAP_PRIVATE | MAP_HUGETLB | MAP_NORESERVE);  // where there are any
              parent.signal();
              parent.pause();
          }} {
        held->await();
    }
    maps open(backend use) const { return need(maps::open(held.pid(), {.use = use})); }
};

void wait_forever(channel& parent) {
    parent.signal();
    parent.pause();
}

// ---- what a snapshot is

static_assert(std::ranges::forward_range<snapshot>);
static_assert(std::ranges::forward_range<const snapshot>);

TEST_CASE("snapshots of every process are what a walk gives, and print and read back equal") {
    const strange_child strange;
    int compared = 0, captured = 0, vanished = 0, restless = 0;
    std::size_t worst = 0;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc", ignored}) {
        const int pid = std::atoi(entry.path().filename().c_str());
        if (pid <= 0 || pid == ::getpid()) continue;
        CAPTURE(pid);
        for (const backend use : backends()) {
            const auto opened = maps::open(pid, {.use = use});
            for (const capture_options& options : all_options()) {
                CAPTURE(use);
                CAPTURE(options.names);
                CAPTURE(options.build_ids);
                CAPTURE(options.page_sizes);
                if (!opened) {
                    ++vanished;
                    continue;
                }
                const auto before = walked_for(*opened, options);
                const auto taken = snapshot::capture(*opened, options);
                const auto after = walked_for(*opened, options);
                if (!taken) {
                    CHECK((taken.error() == errc::gone || taken.error() == errc::task_gone));
                    ++vanished;
                    continue;
                }
                ++captured;
                check_written_and_read(*taken);
                if (options.names && options.build_ids) check_lookups(*taken);
                CHECK(taken->memory() <= 64 * taken->size() + distinct_bytes(*taken));
                worst = std::max(worst, taken->memory() / taken->size());
                if (before.empty() || before != after) {
                    ++restless;
                    continue;
                }
                std::vector<record> got = records_of(*taken);
                for (std::size_t i = 0; i < std::min(got.size(), before.size()); ++i)  // a walk opens no files
                    if (!before[i].build_id_known) got[i].build_id_known = false, got[i].build_id.clear();
                std::vector<record> expected = before;  // of memory without a file only one back-end says that it has none
                for (record& r : expected) r.build_id_known = r.build_id_known && (r.inode != 0 || r.device != procmap::device_number{});
                const std::string different = differs(expected, got);
                if (different.empty()) ++compared;
                if (!different.empty() && pid == strange.held.pid()) FAIL_CHECK(different);
                if (!different.empty()) ++restless;
            }
        }
    }
    CHECK(compared >= static_cast<int>(8 * backends().size()));
    MESSAGE(captured, " captured, ", compared, " equal to a walk, ", restless, " never at rest, ", vanished,
            " vanished or without memory; at most ", worst, " bytes a mapping");
}

TEST_CASE("a capture has the build IDs of files that the kernel is not asked for, and opens no file where it may only ask the kernel") {
    NEEDS_LIVE_MAPS();
    const auto id_of = [](const maps& of, build_id_choice from) {
        const snapshot taken = need(snapshot::capture(of, {.build_ids = true, .build_ids_from = from}));
        return record{*taken.find(address_of(reinterpret_cast<const void*>(&::support::run)))};
    };
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(maps::open_self({.use = use}));
        const record automatic = id_of(self, build_id_choice::automatic);
        const record by_file = id_of(self, build_id_choice::file);
        const record by_kernel = id_of(self, build_id_choice::kernel);
        const bool asked = use == backend::ioctl && procmap::safe_to_ask(procmap::known_hazards(procmap::running_kernel()));
        CHECK(by_file.build_id_known);
        CHECK(by_file.build_id.size() == 40);
        CHECK(automatic == by_file);
        CHECK(by_kernel.build_id_known == asked);
        CHECK(by_kernel.build_id == (asked ? by_file.build_id : ""));
    }
}

TEST_CASE("what each capture option asks for is there, and nothing else") {
    const strange_child strange;
    for (const backend use : backends()) {
        for (const capture_options& options : all_options()) {
            CAPTURE(use);
            const snapshot s = need(snapshot::capture(strange.open(use), options));
            std::set<name_state> states;
            for (const mapping& m : s) {
                states.insert(m.name_status);
                if (!options.names) CHECK(m.name.empty());
                if (use == backend::text || !options.page_sizes) CHECK(m.page_size == 0);
                if (use == backend::ioctl && options.page_sizes) CHECK(m.page_size >= page);
                if (!options.build_ids || (use == backend::text && !m.file_backed() && m.name != "[vdso]")) CHECK_FALSE(m.build_id_known);
            }
            if (!options.names) CHECK(states == std::set{name_state::not_asked});
            if (options.names && use == backend::ioctl) CHECK(states == std::set{name_state::exact, name_state::too_long});
            if (options.names && use == backend::text)
                CHECK(states == std::set{name_state::exact, name_state::ambiguous, name_state::too_long});
        }
    }
}

TEST_CASE("a snapshot of a range is ascending, whatever the range's order") {
    const snapshot whole = need(snapshot::capture(need(maps::open_self())));
    std::vector<mapping> mappings(whole.begin(), whole.end());
    std::mt19937 random{1};
    for (int i = 0; i < 10; ++i) {
        std::shuffle(mappings.begin(), mappings.end(), random);
        CHECK(differs(records_of(whole), records_of(snapshot::from(mappings))) == "");
    }
    check_lookups(whole);
}

TEST_CASE("iterating gives what indexing gives, twice") {
    const snapshot s = snapshot_of({pages(1, 1), file_pages(2, 2), pages(9, 1)});
    std::size_t i = 0;
    for (auto at = s.begin(); at != s.end(); ++i) {
        const auto old = at++;
        CHECK(record{*old} == record{s[i]});
    }
    CHECK(i == s.size());
    CHECK(std::ranges::distance(s) == 3);
    CHECK(snapshot::iterator{} == snapshot::iterator{});
}

TEST_CASE("where records overlap the later one is clipped, its offset too if it has a file") {
    const snapshot s = snapshot_of({file_pages(10, 4, 4), file_pages(10, 6, 4), pages(15, 3), pages(12, 1), pages(16, 1)});
    REQUIRE(s.size() == 3);
    CHECK(record{s[0]} == record{file_pages(10, 4, 4)});
    CHECK(record{s[1]} == record{file_pages(14, 2, 4)});
    CHECK(record{s[2]} == record{pages(16, 2)});
    check_lookups(s);
}

TEST_CASE("an empty snapshot holds nothing") {
    for (const snapshot& s : {snapshot{}, snapshot_of({}), need(snapshot::parse("")), snapshot::builder{}.build()}) {
        CHECK(s.empty());
        CHECK(s.size() == 0);
        CHECK(s.memory() == 0);
        CHECK(s.begin() == s.end());
        CHECK(text_of(s).empty());
        check_lookups(s);
    }
}

TEST_CASE("a builder refuses what is no range, decodes what is escaped and can be used again") {
    snapshot::builder b;
    for (const mapping& m : {mapping{.start = 5, .end = 5}, mapping{.start = 6, .end = 5}, mapping{}})
        CHECK(b.add(m).error() == errc::invalid);
    mapping escaped = pages(1, 1);
    escaped.name = "a\\012b\\0\\01212";
    escaped.name_status = name_state::escaped;
    CHECK(b.add(escaped).has_value());
    CHECK(b.add(pages(3, 1)).has_value());
    const snapshot first = b.build();
    REQUIRE(first.size() == 2);
    CHECK(first[0].name == "a\nb\\0\n12");
    CHECK(first[0].name_status == name_state::ambiguous);
    CHECK(b.build().empty());
    CHECK(b.add(escaped).has_value());
    CHECK(differs(records_of(snapshot::from(std::vector{first[0]})), records_of(b.build())) == "");
}

TEST_CASE("names and build IDs are kept once each, whichever order they come in") {
    snapshot::builder b;
    for (std::uint64_t i = 0; i < 3000; ++i) {
        const std::array id{std::byte{1}, static_cast<std::byte>(i % 7)};
        const std::string name = "/lib/" + std::to_string(i % 11);
        mapping m = file_pages(1 + i, 1, 0, name.c_str());
        m.build_id = procmap::build_id_view{id};
        CHECK(b.add(m).has_value());
    }
    const snapshot s = b.build();
    CHECK(s.memory() <= 64 * s.size() + distinct_bytes(s) + 11 * sizeof(std::size_t));
    for (std::uint64_t i = 0; i < 3000; ++i) {
        REQUIRE(s[i].name == "/lib/" + std::to_string(i % 11));
        REQUIRE(s[i].build_id.bytes()[1] == static_cast<std::byte>(i % 7));
    }
}

TEST_CASE("mappings whose printed line alone would be read as something else come back from a file") {
    // A core file lists [vsyscall] among its mappings, and a builder takes any name.
    std::vector<mapping> mappings;
    std::uint64_t at = 1;
    for (const char* const name : {"[vsyscall]", "[vectors]", "[rollup]", " [vsyscall]", " [rollup]", "  [vectors]", "  ", "\n[rollup]"})
        for (const bool file : {false, true})
            for (const name_state status : {name_state::exact, name_state::ambiguous, name_state::too_long}) {
                mapping m = file ? file_pages(at, 1) : pages(at, 1);
                m.name = name;
                m.name_status = status;
                m.page_size = at % 2 == 0 ? 0 : 4096;
                mappings.push_back(m);
                ++at;
            }
    const snapshot s = snapshot::from(mappings);
    REQUIRE(s.size() == mappings.size());
    check_written_and_read(s);
    const snapshot again = need(snapshot::parse(text_of(s)));
    for (std::size_t i = 0; i < mappings.size(); ++i) CHECK(again[i].name == mappings[i].name);
    // The kernel's own line, as a core has it: shown as that, and kept.
    mapping vsyscall = pages(0xffffffffff600, 1, perm::execute);
    vsyscall.name = "[vsyscall]";
    const std::string text = text_of(snapshot_of({vsyscall}));
    CHECK(text == "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\nMapping:           yes\n");
    CHECK(need(snapshot::parse(text)).size() == 1);
    CHECK(need(snapshot::parse(text.substr(0, text.find('\n')))).empty());
    CHECK(text_of(snapshot_of({pages(1, 1)})).find("Mapping:") == std::string::npos);
}

TEST_CASE("whatever a builder is given comes back from a file") {
    constexpr std::array ids{std::byte{0xab}, std::byte{0}, std::byte{0x0c}};
    const std::vector<std::byte> longest(procmap::build_id::capacity, std::byte{7});
    std::vector<mapping> mappings;
    std::uint64_t at = 1;
    for (const char* name : {"", "/a", "/new\nline", "/literal\\012", "/both\n\\012", "   ", " [x] ", "\xff\xfe\r"})
        for (const name_state status : {name_state::not_asked, name_state::exact, name_state::ambiguous, name_state::too_long,
                                        name_state::no_memory})
            for (const auto& id : {std::span<const std::byte>{}, std::span<const std::byte>{ids}, {longest}})
                for (const bool known : {false, true}) {
                    mapping m = at % 2 == 0 ? pages(at, 1) : file_pages(at, 1);
                    m.permissions = procmap::permission_set::from_bits(static_cast<std::uint32_t>(at % 16));
                    m.name = name;
                    m.name_status = status;
                    m.build_id = procmap::build_id_view{id};
                    m.build_id_known = known;
                    m.page_size = at % 5 == 0 ? 0 : std::uint64_t{1} << (at % 5 * 12);
                    mappings.push_back(m);
                    ++at;
                }
    mapping last = file_pages(at, 1);
    last.start = UINT64_MAX - 1, last.end = UINT64_MAX, last.offset = UINT64_MAX, last.inode = UINT64_MAX;
    last.device = {UINT32_MAX, UINT32_MAX};
    mappings.push_back(last);
    for (const std::uint64_t odd : {std::uint64_t{512}, std::uint64_t{4097}, UINT64_MAX}) {  // no page has such a size
        mappings.push_back(pages(++at, 1));
        mappings.back().page_size = odd;
    }
    const snapshot s = snapshot::from(mappings);
    CHECK(s.size() == mappings.size());
    check_written_and_read(s);
    for (std::size_t i = 0; i + 4 < mappings.size(); ++i) {
        const mapping m = s[i];
        CHECK(m.name == mappings[i].name);
        CHECK(m.name_status == mappings[i].name_status);
        CHECK(m.build_id == mappings[i].build_id);
        CHECK(m.build_id_known == (mappings[i].build_id_known || !mappings[i].build_id.empty()));
        CHECK(m.page_size == mappings[i].page_size);
    }
    std::ostringstream out;
    out << s;
    CHECK(out.str() == text_of(s));
}

/// Counts the bytes that are in use.
template <class T>
struct counting_allocator {
    using value_type = T;
    std::size_t* used;
    explicit counting_allocator(std::size_t& count) : used(&count) {}
    template <class U>
    counting_allocator(const counting_allocator<U>& other) : used(other.used) {}
    T* allocate(std::size_t n) {
        *used += n * sizeof(T);
        return std::allocator<T>{}.allocate(n);
    }
    void deallocate(T* memory, std::size_t n) {
        *used -= n * sizeof(T);
        std::allocator<T>{}.deallocate(memory, n);
    }
    bool operator==(const counting_allocator&) const = default;
};

TEST_CASE("all that a snapshot keeps is the allocator's, and as much as memory() says") {
    using counted = procmap::basic_snapshot<counting_allocator<std::byte>>;
    std::size_t used = 0;
    const counting_allocator<std::byte> allocator{used};
    const maps self = need(maps::open_self());
    {
        const auto taken = counted::capture(self, {.build_ids = true}, allocator);
        REQUIRE(taken.has_value());
        CHECK(taken->size() > 5);
        CHECK(used == taken->memory());
        const auto read = counted::parse(text_of(*taken), allocator);
        REQUIRE(read.has_value());
        CHECK(used == taken->memory() + read->memory());
        const counted copy = counted::from(std::vector<mapping>(taken->begin(), taken->end()), allocator);
        CHECK(copy.memory() == taken->memory());
        CHECK(used == taken->memory() + read->memory() + copy.memory());
        CHECK(procmap::difference(*taken, copy).empty());
    }
    CHECK(used == 0);
}

TEST_CASE("a process of 30,000 mappings is captured, in 64 bytes a mapping and its names") {
    child large{[](channel& parent) {
        ensure(map_alternating(30'000) != nullptr, "map pages");
        wait_forever(parent);
    }};
    large->await();
    for (const backend use : backends()) {
        const maps opened = need(maps::open(large.pid(), {.use = use}));
        const auto started = std::chrono::steady_clock::now();
        const snapshot s = need(snapshot::capture(opened));
        const auto took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - started);
        CHECK(s.size() > 30'000);
        CHECK(s.memory() <= 64 * s.size() + distinct_bytes(s));
        CHECK(difference(records_of(s), raw_lines(slurp(maps_path(large.pid())).value())) == "");
        MESSAGE(std::string{use == backend::ioctl ? "ioctl" : "text"}, " handle: ", s.size(), " mappings, ",
                s.memory(), " bytes, ", took.count(), " us");
    }
}

// ---- reading recorded text

const std::string strange_text = slurp(PROCMAP_TEST_DATA "/strange_process.maps").value();

TEST_CASE("recorded maps text is read as it stands, without [vsyscall]") {
    for (const char* const name : {"/strange_process.maps", "/realistic_10k.maps"}) {
        CAPTURE(name);
        const std::string text = slurp(std::string{PROCMAP_TEST_DATA} + name).value();
        const snapshot s = need(snapshot::parse(text));
        auto raw = raw_lines(text);
        std::erase_if(raw, [](const raw_line& line) { return line.start >= line.end; });
        CHECK(difference(records_of(s), raw) == "");
        for (const mapping& m : s) {
            const bool newline = m.name.find('\n') != std::string_view::npos;
            CHECK(m.name_status == (newline ? name_state::ambiguous : name_state::exact));
        }
        check_written_and_read(s);
        check_lookups(s);
        CHECK(s.memory() <= 64 * s.size() + distinct_bytes(s));
    }
    CHECK(strange_text.find("[vsyscall]") != std::string::npos);
    CHECK(need(snapshot::parse(strange_text)).find(0xffffffffff600000).error() == errc::not_mapped);
}

TEST_CASE("recorded text of a 32-bit ARM kernel is read without [vectors], which arm64 maps into 32-bit processes") {
    const std::string head = "ffff0000-ffff1000 r-xp 00000000 00:00 0 ";
    CHECK(need(snapshot::parse(head + "         [vectors]\n")).empty());
    const snapshot of_arm64 = need(snapshot::parse(head + "                                 [vectors]\n"));
    REQUIRE(of_arm64.size() == 1);
    CHECK(of_arm64[0].name == "[vectors]");
    check_written_and_read(of_arm64);
}

TEST_CASE("what is said of [vsyscall] is not said of the mapping before it") {
    const std::string vsyscall = "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";
    const snapshot s = need(snapshot::parse("1000-2000 r--p 0 00:00 0\n" + vsyscall + "KernelPageSize: 2048 kB\n"));
    REQUIRE(s.size() == 1);
    CHECK(s[0].page_size == 0);
    CHECK(need(snapshot::parse(vsyscall + "KernelPageSize: 4 kB\n")).empty());
}

TEST_CASE("a real smaps text is a snapshot, with the page sizes that are in it") {
    const strange_child strange;
    const std::string path = "/proc/" + std::to_string(strange.held.pid()) + "/smaps";
    const snapshot s = need(snapshot::parse(slurp(path).value()));
    CHECK(difference(records_of(s), raw_lines(slurp(maps_path(strange.held.pid())).value())) == "");
    for (const mapping& m : s) {
        CHECK(m.page_size >= page);
        CHECK_FALSE(m.build_id_known);
    }
    if (!kernel_has_ioctl()) return;
    const snapshot captured = need(snapshot::capture(strange.open(backend::ioctl), {.page_sizes = true}));
    REQUIRE(captured.size() == s.size());
    for (std::size_t i = 0; i < s.size(); ++i) CHECK(s[i].page_size == captured[i].page_size);
    const std::string own = slurp("/proc/self/smaps").value();
    CHECK(need(snapshot::parse(own)).size() > 5);
}

const std::string two_lines = "00001000-00002000 r--p 00000000 00:00 0 \n00003000-00004000 rw-p 00000000 00:00 0 \n";

/// Reading `two_lines` and `wrong` and more breaks off in `wrong`, at that byte of it, and keeps the two.
void check_malformed(const std::string& wrong, std::size_t byte = 0, const std::string& before = two_lines) {
    CAPTURE(wrong);
    const auto read = snapshot::parse(before + wrong + "\n00005000-00006000 r--p 00000000 00:00 0 \n");
    CHECK(read.error() == procmap::error{.code = errc::malformed,
                                         .at = procmap::step::parse,
                                         .line = 1 + static_cast<std::uint64_t>(std::ranges::count(before, '\n')),
                                         .offset = before.size() + byte});
    CHECK(differs(records_of(*read), records_of(need(snapshot::parse(before)))) == "");
}

TEST_CASE("a malformed line is an error with its line and byte, and what stood before it is kept") {
    check_malformed("");
    check_malformed("nonsense", 0);
    check_malformed("00005000-0000500g r--p 00000000 00:00 0 ", 16);
    check_malformed("00006000-00005000 r--p 00000000 00:00 0 ", 0);
    check_malformed("00005000-00006000 r-?p 00000000 00:00 0 ", 20);
    check_malformed("00005000-00006000 r--p 00000000 00:00 18446744073709551616 ", 57);
    check_malformed("key: value");
    check_malformed("Two words: 4 kB");
    check_malformed(two_lines.substr(0, 20), 20, "");
}

TEST_CASE("what a line says of a mapping must follow one, and make sense; what stood before it is kept unchanged") {
    for (const char* const line : {"KernelPageSize:        4 kB", "Rss:   0 kB", "BuildID: ab"}) check_malformed(line, 0, "");
    for (const char* const value : {"", "0 kB", "3 kB", "4", "4 KB", "4 kB ", "4  kB", "x kB", "-4 kB", "4 kB\r",
                                    "18446744073709551616 kB", "18014398509481984 kB"})
        check_malformed(std::string{"KernelPageSize: "} + value);
    for (const char* const value : {"a", "abc", "xy", "ab cd"}) check_malformed(std::string{"BuildID: "} + value);
    check_malformed("BuildID: " + std::string(130, 'a'));
    for (const char* const value : {"a", "abc", "xy", "4", "41 42", "AB"}) check_malformed(std::string{"NameBytes: "} + value);
    for (const char* const value : {"", "unheard_of", "escaped", "exact "}) check_malformed(std::string{"NameState: "} + value);
    // Good ones first: they stay.
    const std::string full = two_lines + "KernelPageSize: 4 kB\nBuildID: abcd\nNameBytes: 41\nNameState: ambiguous\n";
    for (const char* const line : {"KernelPageSize: 5 kB", "BuildID: q", "NameBytes: 4", "NameState: q"})
        check_malformed(line, 0, full);
}

TEST_CASE("a range of zero length is read as it stands, and is in no snapshot, nor is what is said of it") {
    const std::string empty = "00002000-00002000 ---p 00000000 00:00 0                                  [stack guard]\n";
    const auto m = need(procmap::parse_line(std::string_view{empty}.substr(0, empty.size() - 1)));
    CHECK(m.start == 0x2000);
    CHECK(m.end == 0x2000);
    CHECK(m.name == "[stack guard]");
    const std::string said = "KernelPageSize: 4 kB\nBuildID: abcd\nNameBytes: 41\nMapping: yes\n";
    CHECK(std::ranges::distance(procmap::parse(empty)) == 1);
    const snapshot s = need(snapshot::parse("00001000-00002000 r--p 00000000 00:00 0 \n" + empty + said + "00002000-00003000 rw-p 00000000 00:00 0 \n"));
    REQUIRE(s.size() == 2);
    for (const mapping& kept : s) {
        CHECK(kept.page_size == 0);
        CHECK_FALSE(kept.build_id_known);
        CHECK(kept.name.empty());
    }
    snapshot::builder b;
    CHECK(b.add(m).error() == errc::invalid);
    CHECK(procmap::parse_line("00002001-00002000 ---p 00000000 00:00 0").error() == errc::malformed);
}

TEST_CASE("the text of smaps_rollup is refused as what it is") {
    const std::string head = "00400000-7ffde1000000 ---p 00000000 00:00 0                              [rollup]";
    CHECK(procmap::parse_line(head).error() ==
          procmap::error{.code = errc::not_maps, .at = procmap::step::parse, .line = 1, .offset = 73});
    CHECK((*procmap::parse(head).begin()).error() == errc::not_maps);
    const auto read = snapshot::parse(two_lines + head + "\nRss:                1234 kB\n");
    CHECK(read.error() == procmap::error{.code = errc::not_maps, .at = procmap::step::parse, .line = 3, .offset = two_lines.size() + 73});
    CHECK(read->size() == 2);
    if (const auto own = slurp("/proc/self/smaps_rollup")) CHECK(snapshot::parse(*own).error() == errc::not_maps);
    // A file may have the name.
    CHECK(procmap::parse_line("00400000-00401000 r--p 00000000 08:01 7 [rollup]").has_value());
    CHECK(procmap::parse_line("00400000-00401000 r--p 00000000 00:00 0 [rollup] ").has_value());
    CHECK(std::string_view{procmap::describe(errc::not_maps)}.find("smaps_rollup") != std::string_view::npos);
}

TEST_CASE("a reader of recorded text gives each line's mapping, says what is malformed, and goes on where it is told to") {
    const std::string text =
        "Rss: 1 kB\n"                                               // 1: of no mapping; said once
        "Pss: 1 kB\n"
        "1000-2000 r--p 0 00:00 0 /new\\012line\n"                   // 3
        "KernelPageSize: 5 kB\n"                                    // 4: malformed
        "BuildID: abcd\n"
        "2000-2000 r--p 0 00:00 0\n"                                // 6: no mapping
        "nonsense\n"                                                // 7: malformed, and what follows is of it
        "BuildID: q\n"
        "3000-4000 r--p 0 00:00 0 /a\\012\n"                         // 9
        "NameBytes: 2f610a\n"
        "ffffffffff600000-ffffffffff601000 --xp 0 00:00 0 [vsyscall]";  // 11
    std::vector<std::uint64_t> wrong;
    std::vector<std::string> lines;
    std::vector<record> records;
    std::vector<bool> mappings;
    procmap::recorded_reader reader{text};
    while (reader.next([&](const procmap::error& e) { return wrong.push_back(e.line), true; })) {
        lines.emplace_back(reader.line());
        records.emplace_back(reader.current());
        mappings.push_back(reader.is_mapping());
        CHECK(text.compare(reader.offset(), reader.line().size(), reader.line()) == 0);
    }
    CHECK(wrong == std::vector<std::uint64_t>{1, 4, 7});
    CHECK(mappings == std::vector<bool>{true, false, true, false});
    REQUIRE(records.size() == 4);
    CHECK(records[0].name == "/new\nline");
    CHECK(records[0].name_status == name_state::ambiguous);
    CHECK(records[0].build_id == "abcd");
    CHECK(records[2].name == "/a\n");
    CHECK(records[2].name_status == name_state::exact);
    CHECK(lines[3] == "ffffffffff600000-ffffffffff601000 --xp 0 00:00 0 [vsyscall]");

    // Told to stop: the mapping that came before is given, and nothing after it.
    procmap::recorded_reader stops{std::string_view{text}.substr(text.find("1000-"))};
    CHECK(stops.next([](const procmap::error&) { return false; }));
    CHECK_FALSE(stops.current().build_id_known);
    CHECK_FALSE(stops.next([](const procmap::error&) { return true; }));
}

TEST_CASE("other lines of smaps are passed over") {
    const std::string others = "Rss:   nonsense\nVmFlags: rd wr mr\nKernelPageSizes: 1\nTHPeligible:    0\n";
    const snapshot s = need(snapshot::parse(two_lines + others));
    CHECK(differs(records_of(s), records_of(need(snapshot::parse(two_lines)))) == "");
}

TEST_CASE("a carriage return belongs to the name of a file; after any other name it says that lines end with CR LF: malformed") {
    const snapshot s = need(snapshot::parse("1000-2000 r--p 0 08:01 8 /a\r\n2000-3000 r--p 0 08:01 9 /b\r\n"));
    REQUIRE(s.size() == 2);
    CHECK(s[0].name == "/a\r");
    CHECK(s[1].name == "/b\r");
    check_written_and_read(s);
    const auto text = snapshot::parse("1000-2000 r--p 0 08:01 8 /a\r\n2000-3000 rw-p 0 00:00 0 [heap]\r\n");
    CHECK(text.error() == procmap::error{.code = errc::malformed, .at = procmap::step::parse, .line = 2, .offset = 60});
    snapshot::builder b;  // which may have any name
    REQUIRE(b.add({.start = 0x1000, .end = 0x2000, .name_status = procmap::name_state::exact, .name = "odd\r"}).has_value());
    check_written_and_read(b.build());
}

TEST_CASE("a written snapshot that is cut off is an error or a good snapshot") {
    const strange_child strange;
    for (const backend use : backends()) {
        const snapshot whole = need(snapshot::capture(strange.open(use), {.build_ids = true, .page_sizes = true}));
        const auto expected = records_of(whole);
        const std::string text = text_of(whole);
        for (std::size_t size = 0; size < text.size(); size += 1 + size / 400) {
            const auto read = snapshot::parse(std::string_view{text}.substr(0, size));
            if (!read) CHECK(read.error() == errc::malformed);
            const auto got = records_of(*read);
            REQUIRE(got.size() <= expected.size());
            for (std::size_t i = 0; i + 1 < got.size(); ++i) REQUIRE(got[i] == expected[i]);
            if (read) check_written_and_read(*read);
        }
    }
}

TEST_CASE("names that a maps line cannot hold come back from a file as they were") {
    if (!kernel_has_ioctl()) SKIP("only the ioctl has them");
    const strange_child strange;
    const snapshot s = need(snapshot::capture(strange.open(backend::ioctl)));
    const std::string text = text_of(s);
    CHECK(text.find("NameBytes: ") != std::string::npos);
    CHECK(text.find("NameState:         too_long\n") != std::string::npos);
    const snapshot read = need(snapshot::parse(text));
    for (const char* const name : strange_child::names) {
        const std::string path = strange.directory / name;
        const auto same = std::ranges::find_if(read, [&](const mapping& m) { return m.name == path; });
        REQUIRE(same != read.end());
        CHECK((*same).name_status == name_state::exact);
    }
    // Read by others, it is maps text and more.
    CHECK(need(procmap::parse_line(std::string_view{text}.substr(0, text.find('\n')))).start == s[0].start);
}

// ---- a capture is whole, or says why not

TEST_CASE("a large process whose names hold newlines is captured as the ioctl has them, whichever way is faster") {
    const strange_child strange{3000};
    for (const backend use : backends()) {
        const maps opened = strange.open(use);
        const auto expected = walked_for(opened, {});
        REQUIRE(expected.size() > 3000);
        for (int i = 0; i < 10; ++i) {
            const snapshot s = need(snapshot::capture(opened));
            CHECK(differs(expected, records_of(s)) == "");
        }
        const capture_options no_names{.names = false};
        CHECK(differs(walked_for(opened, no_names), records_of(need(snapshot::capture(opened, no_names)))) == "");
    }
}

/// 30,000 mappings, which each child forked meanwhile has too.
struct many_mappings {
    static constexpr std::size_t count = 30'000;
    char* memory = map_alternating(count);
    many_mappings() { REQUIRE(memory != nullptr); }
    many_mappings(const many_mappings&) = delete;
    many_mappings& operator=(const many_mappings&) = delete;
    ~many_mappings() { ::munmap(memory, count * page); }
};

/// How often to do what is usually done that often: where each round costs much, a share of it.
int rounds(int usual) {
    const char* const percent = std::getenv("PROCMAP_ROUNDS_PERCENT");
    return percent != nullptr ? usual * std::atoi(percent) / 100 : usual;
}

TEST_CASE("a process that ends during its capture: whole, or gone and a beginning of it; never short and well") {
    const many_mappings inherited;
    std::mt19937 random{2};
#if defined(PROCMAP_TEST_SANITIZED)
    const int most = rounds(12);
#else
    const int most = rounds(40);
#endif
    for (const backend use : backends()) {
        CAPTURE(use);
        int whole = 0, begun = 0, nothing = 0;
        for (int round = 0; round < most; ++round) {
            child victim{[](channel& parent) {
                parent.signal();
                parent.await();
            }};
            victim->await();
            const maps opened = need(maps::open(victim.pid(), {.use = use}));
            const auto started = std::chrono::steady_clock::now();
            const snapshot at_rest = need(snapshot::capture(opened));
            const auto took = std::chrono::steady_clock::now() - started;
            if (round == 0) CHECK(difference(records_of(at_rest), raw_lines(slurp(maps_path(victim.pid())).value())) == "");
            REQUIRE(at_rest.size() > many_mappings::count);
            const auto when = std::chrono::steady_clock::now() + took * static_cast<int>(random() % 130) / 100;
            std::thread killer{[&, exits = round % 2 == 0, reap = round % 4 < 2] {
                while (std::chrono::steady_clock::now() < when) {}
                exits ? victim->signal() : victim.kill();
                if (reap) victim.reap();
            }};
            const auto taken = snapshot::capture(opened);
            killer.join();
            const bool all = taken->size() == at_rest.size();
            taken ? ++whole : taken->empty() ? ++nothing : ++begun;
            if (taken ? !all : taken.error() != errc::gone) FAIL_CHECK("short, or another error: ", taken.error());
            const auto same = [](const mapping& a, const mapping& b) {
                return a.start == b.start && a.end == b.end && a.permissions == b.permissions && a.name == b.name &&
                       a.inode == b.inode && a.offset == b.offset;
            };
            REQUIRE(taken->size() <= at_rest.size());
            for (std::size_t i = 0; i < taken->size(); ++i)
                if (!same((*taken)[i], at_rest[i])) FAIL("not a beginning of what there was: ", record{(*taken)[i]});
            victim.kill();
            victim.reap();
            CHECK(snapshot::capture(opened).error() == errc::gone);
            CHECK(snapshot::capture(opened)->empty());
        }
        MESSAGE(std::string{use == backend::ioctl ? "ioctl" : "text"}, ": ", whole, " whole, ", begun, " broken off, ",
                nothing, " too late");
        CHECK(begun + nothing > 0);
    }
}

TEST_CASE("captures of a process that remaps have what is stable, in ascending order") {
    arena memory{200};
    child changing = changing_child(memory);
    changing->await();
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps opened = need(maps::open(changing.pid(), {.use = use}));
        tally all;
        for (int i = 0; i < rounds(400); ++i) capture_once(opened, memory, all);
        all.check();
        CHECK(all.right == rounds(400));
    }
}

TEST_CASE("captures by several processes and threads that share one description do not disturb each other") {
    if (!kernel_has_ioctl()) SKIP("promised for the ioctl only");
    arena memory{600};
    child changing = changing_child(memory);
    changing->await();
    const maps opened = need(maps::open(changing.pid()));
    int ends[2] = {-1, -1};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const unique_fd from{ends[0]};
    const unique_fd to{ends[1]};
    REQUIRE(procmap::send_maps(from.get(), opened).has_value());
    const maps received = need(procmap::receive_maps(to.get()));
    const auto check = [&](const maps& of) {
        tally all;
        for (int i = 0; i < rounds(150); ++i) capture_once(of, memory, all);
        all.check();
        CHECK(all.right == rounds(150));
    };
    child inherits{[&](channel& parent) {
        parent.signal();
        for (;;) static_cast<void>(snapshot::capture(opened));
    }};
    inherits->await();
    check(opened);
    inherits.kill();
    std::atomic<bool> stop = false;
    std::thread other{[&] {
        while (!stop) static_cast<void>(snapshot::capture(received));
    }};
    check(opened);
    stop = true;
    other.join();
}

// ---- what changed

/// What is at each page, in terms that owe nothing to the library's comparison.
struct at_page {
    std::string permissions;
    std::uint64_t inode, major, minor, origin;  // origin: offset minus address, of a file
    std::string name;

    auto backing() const { return std::tuple{inode, major, minor, origin}; }
    bool operator==(const at_page&) const = default;
};
using model = std::map<std::uint64_t, at_page>;

void put(model& to, const mapping& m, std::uint64_t unit) {
    std::string permissions;
    const auto letter = [&](perm p, char c) { permissions += m.permissions.has(p) ? c : '-'; };
    letter(perm::read, 'r'), letter(perm::write, 'w'), letter(perm::execute, 'x'), letter(perm::shared, 's');
    const bool file = m.inode != 0 || m.device.major != 0 || m.device.minor != 0;
    const std::uint64_t origin = file ? m.offset - m.start : 0;
    const at_page what{permissions, m.inode, m.device.major, m.device.minor, origin, std::string{m.name}};
    for (std::uint64_t at = m.start; at < m.end; at += std::min(unit, m.end - at)) to[at] = what;
}

model model_of(const snapshot& s, std::uint64_t unit) {
    model made;
    for (const mapping& m : s) put(made, m, unit);
    return made;
}

/// What raw text says of a range, over whose ends a mapping may reach.
model model_of(const std::string& text, std::uint64_t from, std::uint64_t to) {
    model made;
    for (const raw_line& raw : raw_lines(text)) {
        if (raw.end <= from || raw.start >= to) continue;
        unsigned long long offset = 0, inode = 0;
        unsigned major = 0, minor = 0;
        REQUIRE(std::sscanf(raw.line.c_str(), "%*x-%*x %*s %llx %x:%x %llu", &offset, &major, &minor, &inode) == 4);
        std::string permissions = raw.permissions;
        if (permissions[3] == 'p') permissions[3] = '-';
        const bool file = inode != 0 || major != 0 || minor != 0;
        for (std::uint64_t at = std::max<std::uint64_t>(raw.start, from); at < std::min<std::uint64_t>(raw.end, to); at += page)
            made[at] = {permissions, inode, major, minor, file ? offset - raw.start : 0, raw.name};
    }
    return made;
}

/// Applies changes, each of which must be of its kind at every page.
void apply(model& to, std::span<const change> changes, std::uint64_t unit) {
    std::uint64_t last_end = 0;
    for (const change& c : changes) {
        INFO(c);
        CHECK(c.start >= last_end);
        REQUIRE(c.start < c.end);
        CHECK(c.now.start == c.start);
        CHECK(c.now.end == c.end);
        last_end = c.end;
        model piece;
        put(piece, c.now, unit);
        for (const auto& [at, now] : piece) {
            const auto old = to.find(at);
            const bool there = old != to.end();
            bool right = there == (c.kind != change_kind::mapped);
            if (right && c.kind == change_kind::unmapped) right = old->second == now;
            if (right && c.kind == change_kind::backing) right = old->second.backing() != now.backing();
            if (right && c.kind == change_kind::permissions)
                right = old->second.backing() == now.backing() && old->second.permissions != now.permissions;
            if (right && c.kind == change_kind::name)
                right = old->second.backing() == now.backing() && old->second.permissions == now.permissions &&
                        old->second.name != now.name;
            if (!right) FAIL_CHECK("not such a change at ", at);
            if (c.kind == change_kind::unmapped)
                to.erase(at);
            else
                to[at] = now;
        }
    }
}

/// Also of temporaries, for the length of an expression.
std::vector<change> changes_between(const snapshot& before, const snapshot& after) {
    return procmap::difference(before, after);
}

/// The only change from one to the other.
void check_one(const snapshot& before, const snapshot& after, change_kind kind, const mapping& now) {
    const auto changes = procmap::difference(before, after);
    CAPTURE(kind);
    REQUIRE(changes.size() == 1);
    CHECK(changes[0].kind == kind);
    CHECK(changes[0].start == now.start);
    CHECK(changes[0].end == now.end);
    CHECK(record{changes[0].now} == record{now});
}

TEST_CASE("each kind of change is reported with its range and the new record") {
    const snapshot none;
    const snapshot anonymous = snapshot_of({pages(10, 4)});
    check_one(none, anonymous, change_kind::mapped, pages(10, 4));
    check_one(anonymous, none, change_kind::unmapped, pages(10, 4));
    check_one(anonymous, snapshot_of({pages(10, 2)}), change_kind::unmapped, pages(12, 2));
    check_one(anonymous, snapshot_of({pages(8, 6)}), change_kind::mapped, pages(8, 2));
    check_one(anonymous, snapshot_of({pages(10, 1), pages(11, 1, perm::write), pages(12, 2)}), change_kind::permissions,
              pages(11, 1, perm::write));
    check_one(anonymous, snapshot_of({file_pages(10, 4)}), change_kind::backing, file_pages(10, 4));
    check_one(snapshot_of({file_pages(10, 4)}), anonymous, change_kind::backing, pages(10, 4));
    const snapshot file = snapshot_of({file_pages(10, 4)});
    check_one(file, snapshot_of({file_pages(10, 2), file_pages(12, 2, 4)}), change_kind::backing, file_pages(12, 2, 4));
    check_one(file, snapshot_of({file_pages(10, 4, 0, "/renamed")}), change_kind::name, file_pages(10, 4, 0, "/renamed"));
    check_one(file, none, change_kind::unmapped, file_pages(10, 4));
    check_one(file, snapshot_of({file_pages(10, 1), file_pages(13, 1)}), change_kind::unmapped, file_pages(11, 2));
    mapping other = file_pages(10, 4);
    for (const auto field : {0, 1, 2}) {
        mapping m = other;
        field == 0 ? void(m.inode = 8) : field == 1 ? void(m.device.major = 9) : void(m.device.minor = 9);
        check_one(file, snapshot_of({m}), change_kind::backing, m);
    }
    mapping shared = other;
    shared.permissions |= perm::shared;
    check_one(file, snapshot_of({shared}), change_kind::permissions, shared);
    // Several at once: the first that holds.
    mapping both = file_pages(10, 4, 0, "/renamed");
    both.permissions = perm::write;
    check_one(file, snapshot_of({both}), change_kind::permissions, both);
    both.inode = 9;
    check_one(file, snapshot_of({both}), change_kind::backing, both);
}

TEST_CASE("a split or a merge alone is no change, and a change over a split is one") {
    const snapshot whole = snapshot_of({pages(1, 4), file_pages(5, 6)});
    const snapshot split = snapshot_of({pages(1, 1), pages(2, 3), file_pages(5, 1), file_pages(6, 3), file_pages(9, 2)});
    CHECK(changes_between(whole, split).empty());
    CHECK(changes_between(split, whole).empty());
    CHECK(changes_between(whole, whole).empty());
    check_one(snapshot_of({pages(1, 4)}), split, change_kind::mapped, file_pages(5, 6));
    check_one(split, snapshot_of({pages(1, 4)}), change_kind::unmapped, file_pages(5, 6));
}

TEST_CASE("page sizes and build IDs are a change where both are known, and only there") {
    constexpr std::array one{std::byte{1}};
    constexpr std::array two{std::byte{2}};
    mapping unknown = file_pages(10, 4);
    mapping small = unknown, large = unknown, first = unknown, second = unknown, without = unknown;
    small.page_size = 4096, large.page_size = 2 << 20;
    first.build_id = procmap::build_id_view{one}, second.build_id = procmap::build_id_view{two};
    first.build_id_known = second.build_id_known = without.build_id_known = true;
    for (const mapping& m : {small, large, first, second, without}) {
        CHECK(changes_between(snapshot_of({unknown}), snapshot_of({m})).empty());
        CHECK(changes_between(snapshot_of({m}), snapshot_of({unknown})).empty());
    }
    check_one(snapshot_of({small}), snapshot_of({large}), change_kind::backing, large);
    check_one(snapshot_of({first}), snapshot_of({second}), change_kind::backing, second);
    check_one(snapshot_of({first}), snapshot_of({without}), change_kind::backing, without);
}

TEST_CASE("a name that is not known is no other name, nor is one that only text made ambiguous") {
    const snapshot exact = snapshot_of({file_pages(10, 4, 0, "/a\\012b\nc")});
    for (const name_state unknown : {name_state::not_asked, name_state::too_long, name_state::no_memory}) {
        mapping m = file_pages(10, 4, 0, "");
        m.name_status = unknown;
        CHECK(changes_between(exact, snapshot_of({m})).empty());
        CHECK(changes_between(snapshot_of({m}), exact).empty());
    }
    mapping m = file_pages(10, 4, 0, "/a\nb\nc");
    check_one(exact, snapshot_of({m}), change_kind::name, m);
    m.name_status = name_state::ambiguous;
    CHECK(changes_between(exact, snapshot_of({m})).empty());
    CHECK(changes_between(snapshot_of({m}), exact).empty());
    for (const char* const other : {"/a\nb\nd", "/a\nb", "/a\nb\nc\n"}) {
        m.name = other;
        check_one(exact, snapshot_of({m}), change_kind::name, m);
    }
}

TEST_CASE("changes that follow one another in different mappings stay apart") {
    CHECK(changes_between(snapshot{}, snapshot_of({file_pages(1, 1), file_pages(2, 1, 5), pages(3, 1), pages(4, 1, perm::write),
                                           file_pages(5, 1, 0, "/b")}))
              .size() == 5);
}

TEST_CASE("applying a difference gives the other snapshot: random ones, also at the top of the address space") {
    std::mt19937 random{3};
    const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
    constexpr std::size_t count = 48;
    const auto make = [&](const std::vector<mapping>& at, std::uint64_t base) {
        std::vector<mapping> mappings;
        for (std::size_t i = 0; i < count; ++i) {
            mapping m = at[i];
            if (m.end == 0) continue;
            m.start = base + i * kib4;
            m.end = i + 1 == count && base > UINT64_MAX / 2 ? UINT64_MAX : m.start + kib4;
            if (m.file_backed()) m.offset += i * kib4;
            mapping* const last = mappings.empty() ? nullptr : &mappings.back();
            const bool same = last != nullptr && last->end == m.start && last->permissions == m.permissions &&
                              last->name == m.name && last->inode == m.inode &&
                              (!m.file_backed() || m.offset - m.start == last->offset - last->start);
            if (same && below(4) != 0)
                last->end = m.end;
            else
                mappings.push_back(m);
        }
        return snapshot::from(mappings);
    };
    const auto any = [&] {
        mapping m{.end = below(4) == 0 ? 0u : 1u, .name_status = name_state::exact};
        m.permissions = procmap::permission_set::from_bits(below(2));
        m.inode = below(3);
        m.offset = m.inode == 0 ? 0 : below(2) * kib4 * 100;
        m.name = std::array{"", "/a", "/b"}[m.inode == 0 ? below(2) : 1 + below(2)];
        return m;
    };
    for (int round = 0; round < 3000; ++round) {
        const std::uint64_t base = round % 3 == 0 ? 0 : round % 3 == 1 ? 0x7f0000000000 : UINT64_MAX - count * kib4 + 1;
        std::vector<mapping> at(count);
        for (std::size_t i = 0; i < count;)
            for (auto [m, n] = std::pair{any(), 1 + below(6)}; n != 0 && i < count; --n) at[i++] = m;
        const snapshot a = make(at, base);
        const std::uint32_t edits = below(2) == 0 ? below(4) : below(40);
        for (std::uint32_t n = 0; n < edits; ++n) at[below(count)] = any();
        const snapshot b = make(at, base);
        model applied = model_of(a, kib4);
        const auto changes = procmap::difference(a, b);
        apply(applied, changes, kib4);
        REQUIRE(applied == model_of(b, kib4));
        if (edits == 0) CHECK(changes.empty());
        for (std::size_t i = 1; i < changes.size(); ++i) {
            model pair;  // neighbours that say the same would be one change
            put(pair, changes[i - 1].now, kib4), put(pair, changes[i].now, kib4);
            const bool adjacent = changes[i - 1].end == changes[i].start && changes[i - 1].kind == changes[i].kind;
            CHECK_FALSE((adjacent && pair[changes[i - 1].start] == pair[changes[i].start]));
        }
    }
}

TEST_CASE("applying a difference gives the other snapshot: random histories of mmap, munmap, mprotect and mremap") {
    NEEDS_LIVE_MAPS();
    for (const std::uint32_t seed : {4u, 5u, 6u}) {
        for (const backend use : backends()) {
            const arena memory;
            dice to_change{seed};
            std::mt19937 random{seed};
            const maps self = need(maps::open_self({.use = use}));
            const auto text = [&] { return model_of(slurp("/proc/self/maps").value(), memory.start(), memory.end()); };
            snapshot before = need(snapshot::capture(self));
            model was = text();
            std::array<int, 5> kinds{};
            for (int round = 0; round < 100; ++round) {
                for (auto n = random() % 12; n != 0; --n) memory.change(to_change);
                snapshot after = need(snapshot::capture(self));
                const model is = text();
                auto changes = procmap::difference(before, after);
                std::erase_if(changes, [&](const change& c) { return c.end <= memory.start() || c.start >= memory.end(); });
                for (const change& c : changes) ++kinds[static_cast<std::size_t>(c.kind)];
                apply(was, changes, page);
                std::erase_if(was, [&](const auto& at) { return at.first < memory.start() || at.first >= memory.end(); });
                REQUIRE(was == is);
                before = std::move(after);
            }
            for (std::size_t kind = 0; kind < 4; ++kind) CHECK(kinds[kind] > 10);  // nothing here is renamed alone
        }
    }
}

TEST_CASE("applying a difference gives the other snapshot: a recorded pair") {
    const std::string text = slurp(PROCMAP_TEST_DATA "/realistic_10k.maps").value();
    const snapshot a = need(snapshot::parse(text));
    std::vector<mapping> changed;
    std::mt19937 random{7};
    for (mapping m : a) {
        switch (random() % 10) {
            case 0: continue;
            case 1: m.permissions = m.permissions == perm::read ? perm::write : perm::read; break;
            case 2: m.name = "/renamed"; break;
            case 3: m.inode += 1; break;
            default: break;
        }
        changed.push_back(m);
    }
    const snapshot b = snapshot::from(changed);
    const auto changes = procmap::difference(a, b);
    CHECK(changes.size() > 1000);
    // By whole mappings: the file has ones of many gigabytes.
    std::size_t i = 0;
    for (const mapping& m : a) {
        const auto now = b.find(m.start);
        const bool same = now && now->permissions == m.permissions && now->name == m.name && now->inode == m.inode;
        while (i < changes.size() && changes[i].end <= m.start) ++i;
        const bool reported = i < changes.size() && changes[i].start <= m.start;
        if (same == reported) FAIL_CHECK("reported: ", reported, ": ", record{m});
    }
}

TEST_CASE("a hundred thousand mappings are compared with as many others") {
    snapshot::builder even, odd, other;
    for (std::uint64_t i = 0; i < 100'000; ++i) {
        CHECK(even.add(pages(4 * i + 1, 1)).has_value());
        CHECK(odd.add(pages(4 * i + 3, 1)).has_value());
        CHECK(other.add(pages(4 * i + 1, 1, perm::write)).has_value());
    }
    const snapshot a = even.build(), b = odd.build(), c = other.build();
    CHECK(procmap::difference(a, b).size() == 200'000);
    CHECK(procmap::difference(a, c).size() == 100'000);
    CHECK(procmap::difference(a, a).empty());
    CHECK(changes_between(a, snapshot{}).size() == 100'000);
}

template <class A, class B>
concept comparable = requires(A&& a, B&& b) { procmap::difference(std::forward<A>(a), std::forward<B>(b)); };
static_assert(comparable<snapshot&, const snapshot&>);
static_assert(!comparable<snapshot, const snapshot&>);
static_assert(!comparable<const snapshot&, snapshot>);
static_assert(!comparable<snapshot, snapshot>);
static_assert(!comparable<const snapshot, const snapshot>);
static_assert(!comparable<decltype(*std::declval<result<snapshot>>()), const snapshot&>);
static_assert(std::is_constructible_v<procmap::watcher, const maps&> && !std::is_constructible_v<procmap::watcher, maps>);

TEST_CASE("a change prints as its kind and the record's line") {
    const snapshot before = snapshot_of({pages(1, 2)});
    const snapshot after = snapshot_of({file_pages(2, 2)});
    std::ostringstream out;
    for (const change& c : procmap::difference(before, after)) out << c << '\n';
    const std::string name = std::string(33, ' ') + "/file\n";
    CHECK(out.str() == "unmapped    00001000-00002000 r--p 00000000 00:00 0 \n"
                       "backing     00002000-00003000 r--p 00002000 08:01 7 " + name +
                       "mapped      00003000-00004000 r--p 00003000 08:01 7 " + name);
    constexpr std::array names{"mapped", "unmapped", "backing", "permissions", "name"};
    for (std::size_t i = 0; i < names.size(); ++i) CHECK(to_string(static_cast<change_kind>(i)) == names[i]);
}

TEST_CASE("a watcher gives everything at first, then what changed, and keeps its last look when one fails") {
    child watched{[](channel& parent) {
        char* const memory = map_pages(4);
        parent.send(address_of(memory));
        for (int protection : {PROT_READ, PROT_NONE}) {
            parent.await();
            ensure(::mprotect(memory, page, protection) == 0, "mprotect");
            parent.signal();
        }
        parent.pause();
    }};
    const auto address = watched->receive<std::uint64_t>();
    const maps opened = need(maps::open(watched.pid()));
    procmap::watcher watch{opened};
    const auto first = watch.look();
    REQUIRE(first.has_value());
    std::uint64_t total = 0;
    for (const mapping& m : watch.last()) total += m.size();
    for (const change& c : *first) {
        CHECK(c.kind == change_kind::mapped);
        total -= c.end - c.start;
    }
    CHECK(total == 0);
    CHECK(need(watch.look()).empty());
    for (const auto& expected : {procmap::permission_set{perm::read}, procmap::permission_set{}}) {
        watched->signal();
        watched->await();
        const auto changes = need(watch.look());
        REQUIRE(changes.size() == 1);
        CHECK(changes[0].kind == change_kind::permissions);
        CHECK(changes[0].start == address);
        CHECK(changes[0].end == address + page);
        CHECK(changes[0].now.permissions == expected);
    }
    const auto kept = records_of(watch.last());
    watched.kill();
    watched.reap();
    CHECK(watch.look().error() == errc::gone);
    CHECK(differs(kept, records_of(watch.last())) == "");
}

// ---- which process

bool answers_as(const maps& of, pid_t pid) {
    const walked all = walk_all(of, {.names = true});
    return all.complete && difference(all.records, raw_lines(slurp(maps_path(pid)).value())).empty();
}

int open_pidfd(pid_t pid) {
#if !defined(SYS_pidfd_open)
    constexpr long SYS_pidfd_open = 434;
#endif
    return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

TEST_CASE("a process is opened by pid, by pid and thread, and by pidfd") {
    child living{wait_forever};
    living->await();
    const unique_fd pidfd{open_pidfd(living.pid())};
    for (const backend use : backends()) {
        CHECK(answers_as(need(maps::open(living.pid(), {.use = use})), living.pid()));
        CHECK(answers_as(need(maps::open(living.pid(), living.pid(), {.use = use})), living.pid()));
        if (!pidfd) continue;
        CHECK(answers_as(need(keeping_errno([&] { return maps::open(pidfd.borrow(), {.use = use}); })), living.pid()));
    }
    if (!pidfd) SKIP("no pidfds here");
}

TEST_CASE("a pidfd whose process has ended: a zombie, then gone") {
    child ended{wait_forever};
    ended->await();
    const unique_fd pidfd{open_pidfd(ended.pid())};
    if (!pidfd) SKIP("no pidfds here");
    ended.kill();
    ended.await_zombie();
    for (const backend use : backends()) {
        const auto zombie = keeping_errno([&] { return maps::open(pidfd.borrow(), {.use = use}); });
        CHECK(zombie.error() == errc::zombie);
        CHECK(zombie.error().pid == ended.pid());
    }
    ended.reap();
    for (const backend use : backends())
        CHECK(keeping_errno([&] { return maps::open(pidfd.borrow(), {.use = use}); }).error() == errc::gone);
}

TEST_CASE("what is no pidfd is invalid") {
    const unique_fd null{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    const unique_fd directory{::open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    const maps self = need(maps::open_self());
    for (const int fd : {-1, 1'000'000, null.get(), directory.get(), self.fd().get()})
        CHECK(keeping_errno([&] { return maps::open(borrowed_fd{fd}); }).error() == errc::invalid);
}

/// Forks with a process ID of the caller's choice, in a pid namespace of its own; the child waits for a signal.
pid_t fork_as(pid_t wanted) {
    const pid_t set[1] = {wanted};
    clone_args how{};
    how.exit_signal = SIGCHLD;
    how.set_tid = address_of(set);
    how.set_tid_size = 1;
    const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &how, sizeof how));
    if (pid == 0)
        for (;;) ::pause();
    return pid;
}

TEST_CASE("a pid that is another process's by now is never opened through the old one's pidfd or handle") {
    if (!is_root()) SKIP("needs root, for a pid namespace");
    const auto usable = backends();
    child reuse{[&](channel& parent) {
        const bool own = ::unshare(CLONE_NEWPID | CLONE_NEWNS) == 0 &&
                         ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
        const pid_t init = own ? ::fork() : -1;
        if (init < 0) return parent.send(false);
        if (init != 0) return static_cast<void>(::waitpid(init, nullptr, 0));
        end_with(0);
        constexpr pid_t number = 300;
        const bool mounted = ::mount("proc", "/proc", "proc", 0, nullptr) == 0;
        const pid_t first = mounted ? fork_as(number) : -1;
        const int pidfd = first == number ? open_pidfd(number) : -1;
        parent.send(pidfd >= 0);
        if (pidfd < 0) return;
        const auto handles = [&](auto report) {
            for (const backend use : usable) report(use);
        };
        std::vector<result<maps>> opened;
        handles([&](backend use) { opened.push_back(maps::open(borrowed_fd{pidfd}, {.use = use})); });
        for (const auto& one : opened) parent.send(one ? one->find_from(0).error().code : one.error().code);
        ::kill(number, SIGKILL);
        ::waitpid(number, nullptr, 0);
        const pid_t second = fork_as(number);
        parent.send(second == number);
        handles([&](backend use) { parent.send(maps::open(borrowed_fd{pidfd}, {.use = use}).error().code); });
        handles([&](backend use) { parent.send(maps::open(number, {.use = use}).error().code); });
        for (const auto& one : opened) parent.send(one->find_from(0).error().code);
        const unique_fd fresh{open_pidfd(number)};
        handles([&](backend use) { parent.send(maps::open(fresh.borrow(), {.use = use}).error().code); });
    }};
    if (!reuse->receive<bool>()) SKIP("no pid namespace, clone3 or pidfd");
    const auto expect = [&](errc expected) {
        for (std::size_t i = 0; i < usable.size(); ++i) CHECK(reuse->receive<errc>() == expected);
    };
    expect(errc::none);
    REQUIRE(reuse->receive<bool>());
    expect(errc::gone);  // by the old pidfd
    expect(errc::none);  // by the number
    expect(errc::gone);  // the old handles
    expect(errc::none);  // by a new pidfd
}

TEST_CASE("a pid that changes hands between asking the pidfd for it and opening it is not opened") {
    child ended{wait_forever};
    ended->await();
    const unique_fd pidfd{open_pidfd(ended.pid())};
    if (!pidfd) SKIP("no pidfds here");
    child living{wait_forever};
    living->await();
    const std::string pid = std::to_string(living.pid());
    const temporary_directory proc;  // in which the pidfd's number is the other process's, as it would be then
    proc.write("self/fdinfo/" + std::to_string(pidfd.get()), "pos:\t0\nPid:\t" + pid + "\nNSpid:\t" + pid + '\n');
    std::filesystem::create_symlink("/proc/" + pid, proc / pid);
    const auto open = [&](backend use) { return maps::open(pidfd.borrow(), {.use = use, .proc = proc.path().c_str()}); };
    for (const backend use : backends()) CHECK(open(use).error() == errc::none);
    ended.kill();
    ended.reap();
    for (const backend use : backends()) CHECK(keeping_errno([&] { return open(use); }).error() == errc::gone);
}

TEST_CASE("a procfs mounted elsewhere is where pids and pidfds are looked up") {
    if (!is_root()) SKIP("needs root, to mount");
    const temporary_directory directory;
    const auto usable = backends();
    child elsewhere{[&](channel& parent) {
        const char* const proc = directory.path().c_str();
        const bool mounted = ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                             ::mount("proc", proc, "proc", 0, nullptr) == 0 && ::umount2("/proc", MNT_DETACH) == 0;
        const unique_fd pidfd{mounted ? open_pidfd(::getpid()) : -1};
        parent.send(static_cast<bool>(pidfd));
        if (!pidfd) return;
        const auto here = address_of(reinterpret_cast<const void*>(&answers_as));
        const auto report = [&](const result<maps>& opened) {
            parent.send(opened ? opened->find(here).error().code : opened.error().code);
        };
        for (const backend use : usable) {
            report(maps::open(::getpid(), {.use = use, .proc = proc}));
            report(maps::open(::getpid(), ::getpid(), {.use = use, .proc = proc}));
            report(maps::open(pidfd.borrow(), {.use = use, .proc = proc}));
        }
    }};
    if (!elsewhere->receive<bool>()) SKIP("may not mount, or no pidfds");
    for (std::size_t i = 0; i < usable.size(); ++i)
        for (int way = 0; way < 3; ++way) CHECK(elsewhere->receive<errc>() == errc::none);
}

TEST_CASE("a pidfd of a process that the procfs does not show is unsupported") {
    if (!is_root()) SKIP("needs root, for a pid namespace");
    const unique_fd outside{open_pidfd(::getpid())};
    if (!outside) SKIP("no pidfds here");
    child inside{[&](channel& parent) {
        const bool own = ::unshare(CLONE_NEWPID | CLONE_NEWNS) == 0 &&
                         ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
        const pid_t init = own ? ::fork() : -1;
        if (init < 0) return parent.send(false);
        if (init != 0) return static_cast<void>(::waitpid(init, nullptr, 0));
        const bool mounted = ::mount("proc", "/proc", "proc", 0, nullptr) == 0;
        parent.send(mounted);
        if (mounted) parent.send(maps::open(outside.borrow()).error().code);
    }};
    if (!inside->receive<bool>()) SKIP("no pid namespace");
    CHECK(inside->receive<errc>() == errc::unsupported);
}

pid_t thread_id() { return static_cast<pid_t>(::syscall(SYS_gettid)); }

TEST_CASE("once the leader has exited its process opens through a living thread; then text depends on that one") {
    NEEDS_LIVE_MAPS();
    child threaded{[](channel& parent) {
        std::atomic<pid_t> first = 0, second = 0;
        std::thread{[&] {
            first = thread_id();
            while (second == 0) std::this_thread::yield();
            parent.send(first.load());
            parent.await();  // then it exits
        }}.detach();
        while (first == 0) std::this_thread::yield();
        std::thread{[&] {
            second = thread_id();
            for (;;) ::pause();
        }}.detach();
        while (second == 0) std::this_thread::yield();
        ::syscall(SYS_exit, 0);
    }};
    const auto first = threaded->receive<pid_t>();
    const auto leader = [&] { return slurp(maps_path(threaded.pid())).value_or("?"); };
    while (!leader().empty()) ::usleep(1000);  // it has exited
    const std::string task = "/proc/" + std::to_string(threaded.pid()) + "/task/" + std::to_string(first);
    const std::string text = slurp(task + "/maps").value();
    REQUIRE_FALSE(text.empty());
    const unique_fd pidfd{open_pidfd(threaded.pid())};
    std::vector<maps> opened;
    for (const backend use : backends()) {
        opened.push_back(need(keeping_errno([&] { return maps::open(threaded.pid(), {.use = use}); })));
        if (pidfd) opened.push_back(need(maps::open(pidfd.borrow(), {.use = use})));
    }
    for (const maps& one : opened) {
        CHECK(difference(walk_all(one, {.names = true}).records, raw_lines(text)) == "");
        CHECK(difference(records_of(need(snapshot::capture(one))), raw_lines(text)) == "");
    }
    threaded->signal();
    while (::access(task.c_str(), F_OK) == 0) ::usleep(1000);
    for (const maps& one : opened) {
        CAPTURE(one.backend());
        const auto taken = snapshot::capture(one);
        // A sanitizer's runtime may have a thread of its own, by which the process can be opened as well.
        char link[256] = {};
        const std::string fd = "/proc/self/fd/" + std::to_string(one.fd().get());
        REQUIRE(::readlink(fd.c_str(), link, sizeof link - 1) > 0);
        const bool by_first = std::string_view{link}.find("/task/" + std::to_string(first) + "/") != std::string_view::npos;
                const bool lost = by_first && one.backend() == backend::text;
        CHECK(taken.error().code == (lost ? errc::task_gone : errc::none));
        if (one.backend() == backend::ioctl) CHECK(taken->size() > 5);
    }
    for (const backend use : backends()) CHECK(walk_all(need(maps::open(threaded.pid(), {.use = use}))).complete);
    threaded.kill();
    threaded.reap();
    for (const maps& one : opened) {  // text alone cannot tell a thread's end from its process's
        const errc end = snapshot::capture(one).error().code;
        CHECK((end == errc::gone || (end == errc::task_gone && !kernel_has_ioctl())));
    }
}

TEST_CASE("a zombie and a kernel thread are told apart from a process that is gone") {
    child zombie{[](channel&) {}};
    zombie.await_zombie();
    for (const backend use : backends()) {
        const auto opened = keeping_errno([&] { return maps::open(zombie.pid(), {.use = use}); });
        CHECK(opened.error() == procmap::error{.code = errc::zombie, .at = procmap::step::open, .pid = zombie.pid()});
    }
    zombie.reap();
    for (const backend use : backends()) CHECK(maps::open(zombie.pid(), {.use = use}).error() == errc::gone);
    const std::string stat = slurp("/proc/2/stat").value_or("");
    if (stat.find("(kthreadd)") == std::string::npos || !is_root()) SKIP("no kernel thread can be seen from here");
    for (const backend use : backends())
        CHECK(keeping_errno([&] { return maps::open(2, {.use = use}); }).error() == errc::kernel_thread);
}

TEST_CASE("after exec a handle is gone, and so is its capture; one that is opened again answers") {
    child running{[](channel& parent) {
        parent.signal();
        parent.await();
        ::execlp("sleep", "sleep", "1000", static_cast<char*>(nullptr));
    }};
    running->await();
    const unique_fd pidfd{open_pidfd(running.pid())};
    std::vector<maps> opened;
    for (const backend use : backends()) opened.push_back(need(maps::open(running.pid(), {.use = use})));
    std::vector<snapshot> before;
    for (const maps& one : opened) before.push_back(need(snapshot::capture(one)));
    running->signal();
    REQUIRE(running->closed());
    for (const maps& one : opened) CHECK(snapshot::capture(one).error() == errc::gone);
    for (const snapshot& one : before) CHECK(one.size() > 5);
    const auto answers = [&](auto open) {  // the program is still being loaded
        for (int tries = 0; tries < 500; ++tries, ::usleep(10'000))
            if (answers_as(need(open()), running.pid())) return true;
        return false;
    };
    for (const backend use : backends()) CHECK(answers([&] { return maps::open(running.pid(), {.use = use}); }));
    if (pidfd) CHECK(answers([&] { return maps::open(pidfd.borrow()); }));  // the process, not the program
}

// ---- handing over

struct socket_pair {
    unique_fd a, b;
    explicit socket_pair(int type) {
        int ends[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0);
        a.reset(ends[0]);
        b.reset(ends[1]);
    }
};

constexpr int socket_types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};

std::ptrdiff_t descriptors() { return std::distance(std::filesystem::directory_iterator{"/proc/self/fd"}, {}); }

/// Sends descriptors, each list in a control message of its own.
void send_descriptors(int socket, const std::vector<std::vector<int>>& lists) {
    char byte = 'x';
    iovec data{&byte, 1};
    alignas(cmsghdr) char control[4096] = {};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    std::size_t size = 0;
    for (const auto& list : lists) {
        const std::size_t bytes = list.size() * sizeof(int);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(bytes);
        std::memcpy(CMSG_DATA(header), list.data(), bytes);
        size += CMSG_SPACE(bytes);
        header = reinterpret_cast<cmsghdr*>(control + size);
    }
    message.msg_controllen = size;
    if (size == 0) message.msg_control = nullptr;
    REQUIRE(::sendmsg(socket, &message, MSG_NOSIGNAL) == 1);
}

TEST_CASE("a handle is handed over, on each kind of socket, and answers the same") {
    NEEDS_LIVE_MAPS();
    for (const int type : socket_types) {
        for (const backend use : backends()) {
            CAPTURE(type);
            const socket_pair sockets{type};
            const maps self = need(maps::open_self({.use = use}));
            CHECK(keeping_errno([&] { return procmap::send_maps(sockets.a.get(), self); }).has_value());
            CHECK(keeping_errno([&] { return procmap::send_maps(sockets.a.get(), self); }).has_value());
            for (int i = 0; i < 2; ++i) {
                const maps received =
                    need(keeping_errno([&] { return procmap::receive_maps(sockets.b.get(), {.use = use}); }));
                CHECK(received.backend() == use);
                CHECK(received.fd().get() != self.fd().get());
                CHECK(::fcntl(received.fd().get(), F_GETFD) == FD_CLOEXEC);
                const auto here = address_of(reinterpret_cast<const void*>(&descriptors));
                CHECK(record{need(received.find(here))} == record{need(self.find(here))});
            }
        }
    }
}

TEST_CASE("a receiver without rights asks about a process that it could not open") {
    NEEDS_LIVE_MAPS();
    if (!may_drop_privileges()) SKIP("needs root, to give rights up");
    const auto usable = backends();
    for (const int type : socket_types) {
        const socket_pair sockets{type};
        child agent{[&](channel& parent) {
            drop_privileges();
            ensure(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no new privileges");
            const auto address = parent.receive<std::uint64_t>();
            for (const backend use : usable) {
                parent.send(maps::open(::getppid(), {.use = use}).error().code);
                const auto received = procmap::receive_maps(sockets.b.get(), {.use = use});
                parent.send(received.error().code);
                const auto found = received->find(address);
                parent.send(found ? found->start : 0);
                parent.send(found ? found->end : 0);
                parent.send(snapshot::capture(*received).has_value());
            }
        }};
        agent->send(address_of(strange_text.data()));
        for (const backend use : usable) {
            const maps self = need(maps::open_self({.use = use}));
            REQUIRE(procmap::send_maps(sockets.a.get(), self).has_value());
            CHECK(agent->receive<errc>() == errc::denied);
            CHECK(agent->receive<errc>() == errc::none);
            const mapping here = need(self.find(address_of(strange_text.data())));
            CHECK(agent->receive<std::uint64_t>() == here.start);
            CHECK(agent->receive<std::uint64_t>() == here.end);
            CHECK(agent->receive<bool>());
        }
    }
}

TEST_CASE("what is received and no maps file is refused and closed") {
    const unique_fd files[] = {unique_fd{::open("/proc/self/smaps", O_RDONLY | O_CLOEXEC)},
                               unique_fd{::open("/dev/null", O_RDWR | O_CLOEXEC)},
                               unique_fd{::open("/proc/self/maps", O_PATH | O_CLOEXEC)},
                               unique_fd{::open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC)}};
    for (const int type : socket_types) {
        const socket_pair sockets{type};
        for (const unique_fd& file : files) {
            const auto before = descriptors();
            send_descriptors(sockets.a.get(), {{file.get()}});
            CHECK(keeping_errno([&] { return procmap::receive_maps(sockets.b.get()); }).error() == errc::not_maps);
            CHECK(descriptors() == before);
        }
    }
}

TEST_CASE("no descriptor, or more than one, in one control message or several, is malformed and leaks nothing") {
    NEEDS_LIVE_MAPS();
    const unique_fd one{::open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
    const int fd = one.get();
    for (const int type : socket_types) {
        const socket_pair sockets{type};
        for (const auto& lists : std::vector<std::vector<std::vector<int>>>{
                 {}, {{fd, fd}}, {{fd}, {fd}}, {{fd, fd, fd}}, {{fd}, {fd}, {fd}}, {{fd, fd}, {fd}}, {std::vector(9, fd)},
                 {std::vector(100, fd), std::vector(100, fd)}, {std::vector(253, fd)}}) {
            CAPTURE(lists.size());
            const auto before = descriptors();
            send_descriptors(sockets.a.get(), lists);
            const auto received = keeping_errno([&] { return procmap::receive_maps(sockets.b.get()); });
            CHECK(received.error() == procmap::error{.code = errc::malformed, .at = procmap::step::receive});
            CHECK(descriptors() == before);
        }
    }
}

TEST_CASE("a socket that also passes credentials or pidfds receives a handle, and leaks nothing") {
    NEEDS_LIVE_MAPS();
    const maps self = need(maps::open_self());
    for (const int type : socket_types) {
        for (const int bits : {1, 2, 4, 7}) {
            CAPTURE(bits);
            const socket_pair sockets{type};
            constexpr int pass_pidfd = 76;  // SO_PASSPIDFD, Linux 6.5
            const std::pair<int, int> options[] = {{1, SO_PASSCRED}, {2, SO_PASSSEC}, {4, pass_pidfd}};
            const int on = 1;
            for (const auto& [bit, option] : options)
                if ((bits & bit) != 0) ::setsockopt(sockets.b.get(), SOL_SOCKET, option, &on, sizeof on);
            const auto before = descriptors();
            {
                REQUIRE(procmap::send_maps(sockets.a.get(), self).has_value());
                const auto received = procmap::receive_maps(sockets.b.get());
                CHECK(received.error() == errc::none);
                send_descriptors(sockets.a.get(), {{self.fd().get(), self.fd().get()}});
                CHECK(procmap::receive_maps(sockets.b.get()).error() == errc::malformed);
            }
            CHECK(descriptors() == before);
        }
    }
}

TEST_CASE("the other side closed: gone when receiving, an error and no signal when sending") {
    const maps self = need(maps::open_self());
    ::signal(SIGPIPE, SIG_DFL);
    for (const int type : socket_types) {
        CAPTURE(type);
        socket_pair sockets{type};
        sockets.b.reset();
        const auto sent = keeping_errno([&] { return procmap::send_maps(sockets.a.get(), self); });
        CHECK(sent.error().code == errc::failed);
        CHECK(sent.error().at == procmap::step::send);
        CHECK(std::set{EPIPE, ECONNREFUSED, ECONNRESET}.contains(sent.error().errno_value));
        if (type == SOCK_DGRAM) continue;  // which has no end
        CHECK(keeping_errno([&] { return procmap::receive_maps(sockets.a.get()); }).error() ==
              procmap::error{.code = errc::gone, .at = procmap::step::receive});
    }
}

TEST_CASE("what is no socket, or would block, fails with the errno") {
    const maps self = need(maps::open_self());
    const unique_fd null{::open("/dev/null", O_RDWR | O_CLOEXEC)};
    const procmap::error sending{.code = errc::failed, .at = procmap::step::send, .errno_value = ENOTSOCK};
    const procmap::error receiving{.code = errc::failed, .at = procmap::step::receive, .errno_value = ENOTSOCK};
    CHECK(keeping_errno([&] { return procmap::send_maps(null.get(), self); }).error() == sending);
    CHECK(keeping_errno([&] { return procmap::receive_maps(null.get()); }).error() == receiving);
    const socket_pair sockets{SOCK_STREAM | SOCK_NONBLOCK};
    CHECK(keeping_errno([&] { return procmap::receive_maps(sockets.b.get()); }).error().errno_value == EAGAIN);
    CHECK(keeping_errno([&] { return procmap::send_maps(sockets.a.get(), maps{}); }).error().errno_value == EBADF);
}

// ---- fork, and after the end

TEST_CASE("a handle opened before fork asks about the parent, and a snapshot that the child inherits stays what it was") {
    char* const memory = map_pages(2);
    REQUIRE(memory != nullptr);
    for (const backend use : backends()) {
        const maps self = need(maps::open_self({.use = use}));
        const snapshot taken = need(snapshot::capture(self));
        child forked{[&](channel& parent) {
            ::munmap(memory, 2 * page);  // in the child alone
            parent.send(self.find(address_of(memory)).error().code);
            parent.send(taken.find(address_of(memory)).error().code);
            parent.send(need(maps::open_self({.use = use})).find(address_of(memory)).error().code);
        }};
        CHECK(forked->receive<errc>() == errc::none);
        CHECK(forked->receive<errc>() == errc::none);
        CHECK(forked->receive<errc>() == errc::not_mapped);
    }
    ::munmap(memory, 2 * page);
}

TEST_CASE("a snapshot outlives its process and its handle") {
    for (const backend use : backends()) {
        child short_lived{wait_forever};
        short_lived->await();
        const snapshot s = [&] { return need(snapshot::capture(need(maps::open(short_lived.pid(), {.use = use})))); }();
        const auto raw = raw_lines(slurp(maps_path(short_lived.pid())).value());
        short_lived.kill();
        short_lived.reap();
        CHECK(difference(records_of(s), raw) == "");
        check_lookups(s);
    }
}

}  // namespace
