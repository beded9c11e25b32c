// The pure layer: the struct, the flags, results and errors, the text parser, and what is known about kernel releases.
// No system call is under test here. What is constexpr is checked by the compiler and once more when this runs.
#include <doctest/doctest.h>

#include <boost/pfr.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <ranges>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#if __has_include(<linux/fs.h>)
#include <linux/fs.h>
#endif

#include "support/reference_parser.hpp"

#include <procmap/flags.hpp>
#include <procmap/mapping.hpp>
#include <procmap/probe.hpp>
#include <procmap/query.hpp>
#include <procmap/result.hpp>
#include <procmap/system_error.hpp>
#include <procmap/text.hpp>
#include <procmap/uapi.hpp>

using namespace procmap;
using namespace std::string_view_literals;

using reference_parser::agree;
using reference_parser::letters;
using reference_parser::read_slowly;
using reference_parser::reference;
using reference_parser::same_fields;

namespace {

// Runs a check, a lambda that returns whether it holds, at compile time and again at run time.
#define CHECK_TWICE(...)                     \
    do {                                     \
        constexpr auto proved = __VA_ARGS__; \
        static_assert(proved());             \
        CHECK(proved());                     \
    } while (false)

// A sink that works at compile time.
class text_buffer {
public:
    constexpr void operator()(std::string_view text) {
        for (const char c : text) text_[size_++] = c;
    }
    [[nodiscard]] constexpr std::string_view view() const { return {text_, size_}; }

private:
    char text_[512] = {};
    std::size_t size_ = 0;
};

template <class... Printable>
constexpr text_buffer print_short(const Printable&... what) {
    text_buffer out;
    print(out, what...);
    return out;
}

template <class... Printable>
std::string printed(const Printable&... what) {
    std::string out;
    print([&out](std::string_view piece) { out += piece; }, what...);
    return out;
}

template <class Printable>
std::string streamed(const Printable& what) {
    std::ostringstream out;
    out << what;
    return out.str();
}

std::string contents(const char* name) {
    std::ifstream in{PROCMAP_TEST_DATA "/" + std::string{name}, std::ios::binary};
    std::string text{std::istreambuf_iterator<char>{in}, {}};
    REQUIRE_MESSAGE(!text.empty(), "no such test data, or an empty file: ", name);
    return text;
}

std::vector<std::string_view> split(std::string_view text, char mark) {
    std::vector<std::string_view> parts;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t next = std::min(text.find(mark, at), text.size());
        parts.push_back(text.substr(at, next - at));
        at = next + 1;
    }
    return parts;
}

// Undoes C's escapes, as far as the test data use them.
std::string unescape(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\') {
            out += text[i];
            continue;
        }
        REQUIRE(++i < text.size());
        const std::size_t known = "nrt\\\""sv.find(text[i]);
        if (known != std::string_view::npos) {
            out += "\n\r\t\\\""[known];
            continue;
        }
        unsigned value = 0;
        REQUIRE(text[i] == 'x');
        REQUIRE(i + 2 < text.size());
        REQUIRE(std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16).ptr == text.data() + i + 3);
        out += static_cast<char>(value);
        i += 2;
    }
    return out;
}

// The kernel's escape for a newline, undone.
std::string decode(std::string_view name) {
    std::string out{name};
    for (std::size_t at = 0; (at = out.find("\\012", at)) != std::string::npos; ++at) out.replace(at, 4, "\n");
    return out;
}

// One row of edge_cases.tsv.
struct edge_case {
    std::string line;
    std::string_view verdict;
    std::string name;
};

std::vector<edge_case> edge_cases(std::string_view text) {
    std::vector<edge_case> cases;
    for (const std::string_view row : split(text, '\n')) {
        if (row.starts_with('#')) continue;
        auto columns = split(row, '\t');
        columns.resize(4);
        cases.push_back({unescape(columns[0]), columns[1], unescape(columns[2])});
    }
    return cases;
}

void require_agreement(std::string_view line) {
    if (!agree(line)) FAIL("parser and reference differ on: '", std::string{line}, "'");
}

// Memory that ends where a page begins that must not be touched.
class guarded {
public:
    guarded() {
        void* const all = ::mmap(nullptr, capacity + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(all != MAP_FAILED);
        begin_ = static_cast<char*>(all);
        REQUIRE(::mprotect(begin_ + capacity, page, PROT_NONE) == 0);
    }
    guarded(const guarded&) = delete;
    guarded& operator=(const guarded&) = delete;
    ~guarded() { ::munmap(begin_, capacity + page); }

    // The text again, where nothing can be read behind it.
    std::string_view ending_with(std::string_view text) {
        REQUIRE(text.size() <= capacity);
        char* const copy = begin_ + (capacity - text.size());
        std::memcpy(copy, text.data(), text.size());
        return {copy, text.size()};
    }

private:
    const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t capacity = (std::size_t{32} << 10) / page * page + page;
    char* begin_ = nullptr;
};

}  // namespace

// === uapi.hpp ==========================================================================================================

TEST_SUITE("the kernel's struct") {
    using boost::pfr::get;
    constexpr std::size_t field_count = boost::pfr::tuple_size_v<uapi::procmap_query>;

    // Name and place of each member, in the language's own terms.
    std::vector<uapi::field> members(const uapi::procmap_query& q) {
        std::vector<uapi::field> all;
        const auto add = [&](std::string_view name, const auto& member) {
            const auto at = reinterpret_cast<std::uintptr_t>(&member) - reinterpret_cast<std::uintptr_t>(&q);
            all.push_back({name, static_cast<std::size_t>(at), sizeof member});
        };
#define MEMBER(name) add(#name, q.name)
        MEMBER(size), MEMBER(query_flags), MEMBER(query_addr), MEMBER(vma_start), MEMBER(vma_end), MEMBER(vma_flags);
        MEMBER(vma_page_size), MEMBER(vma_offset), MEMBER(inode), MEMBER(dev_major), MEMBER(dev_minor);
        MEMBER(vma_name_size), MEMBER(build_id_size), MEMBER(vma_name_addr), MEMBER(build_id_addr);
#undef MEMBER
        return all;
    }

    template <std::size_t... I>
    void compare_with_table(std::index_sequence<I...>) {
        const uapi::procmap_query q{};
        const auto named = members(q);
        REQUIRE(named.size() == sizeof...(I));
        const auto bytes = [](const auto& object) { return reinterpret_cast<const char*>(&object); };
        const auto check = [&](std::size_t i, std::ptrdiff_t at, std::size_t size) {
            const uapi::field& f = uapi::fields[i];
            CAPTURE(std::string{f.name});
            CHECK(f.offset == static_cast<std::size_t>(at));
            CHECK(f.size == size);
            CHECK(named[i].name == f.name);
            CHECK(named[i].offset == f.offset);
            CHECK(named[i].size == f.size);
        };
        (check(I, bytes(get<I>(q)) - bytes(q), sizeof get<I>(q)), ...);
    }

    TEST_CASE("is what the table of its fields says: number, names in order, places, sizes") {
        static_assert(field_count == 15 && field_count == std::size(uapi::fields));
        compare_with_table(std::make_index_sequence<field_count>{});
    }

    TEST_CASE("is 104 bytes without padding") {
        CHECK_TWICE([] {
            std::size_t next = 0;
            for (const uapi::field& f : uapi::fields) {
                if (f.offset != next) return false;
                next += f.size;
            }
            return next == 104 && sizeof(uapi::procmap_query) == 104;
        });
    }

    TEST_CASE("gives the request its number") {
        CHECK_TWICE([] { return uapi::procmap_query_request == _IOC(_IOC_READ | _IOC_WRITE, 'f', 17, 104); });
    }

    TEST_CASE("is the one in the system's own header") {
#if defined(PROCMAP_QUERY)
        static_assert(boost::pfr::tuple_size_v<::procmap_query> == field_count);
        static_assert(sizeof(::procmap_query) == sizeof(uapi::procmap_query));
#define SAME(field)                                                                          \
    CHECK(offsetof(::procmap_query, field) == offsetof(uapi::procmap_query, field));         \
    CHECK(sizeof(::procmap_query::field) == sizeof(uapi::procmap_query::field))
        SAME(size); SAME(query_flags); SAME(query_addr); SAME(vma_start); SAME(vma_end); SAME(vma_flags);
        SAME(vma_page_size); SAME(vma_offset); SAME(inode); SAME(dev_major); SAME(dev_minor);
        SAME(vma_name_size); SAME(build_id_size); SAME(vma_name_addr); SAME(build_id_addr);
#undef SAME
        CHECK(uapi::procmap_query_request == PROCMAP_QUERY);
        const auto same = [](uapi::query_flag ours, unsigned theirs) { return static_cast<std::uint32_t>(ours) == theirs; };
        CHECK(same(uapi::query_flag::readable, PROCMAP_QUERY_VMA_READABLE));
        CHECK(same(uapi::query_flag::writable, PROCMAP_QUERY_VMA_WRITABLE));
        CHECK(same(uapi::query_flag::executable, PROCMAP_QUERY_VMA_EXECUTABLE));
        CHECK(same(uapi::query_flag::shared, PROCMAP_QUERY_VMA_SHARED));
        CHECK(same(uapi::query_flag::covering_or_next, PROCMAP_QUERY_COVERING_OR_NEXT_VMA));
        CHECK(same(uapi::query_flag::file_backed, PROCMAP_QUERY_FILE_BACKED_VMA));
        MESSAGE("compared with <linux/fs.h>");
#else
        MESSAGE("NOT COMPARED: <linux/fs.h> here does not know PROCMAP_QUERY (Linux 6.11)");
#endif
    }
}

TEST_SUITE("a query") {
    using uapi::layout;
    using uapi::query;
    using uapi::query_flag;
    template <std::size_t Bytes>
    using query_of = query<static_cast<layout>(Bytes)>;

    template <class Q> concept offers_start = requires(const Q q) { q.start(); };
    template <class Q> concept offers_end = requires(const Q q) { q.end(); };
    template <class Q> concept offers_permissions = requires(const Q q) { q.permissions(); };
    template <class Q> concept offers_page_size = requires(const Q q) { q.page_size(); };
    template <class Q> concept offers_offset = requires(const Q q) { q.offset(); };
    template <class Q> concept offers_inode = requires(const Q q) { q.inode(); };
    template <class Q> concept offers_device = requires(const Q q) { q.device(); };
    template <class Q> concept offers_name = requires(Q q, std::span<char> to) { q.name_into(to); };
    template <class Q> concept offers_name_size = requires(const Q q) { q.name_size(); };
    template <class Q> concept offers_build_id = requires(Q q, std::span<std::byte> to) { q.build_id_into(to); };
    template <class Q> concept offers_build_id_size = requires(const Q q) { q.build_id_size(); };

    // How many of the above: they come one by one as the layout grows.
    template <class Q>
    constexpr int offered = offers_start<Q> + offers_end<Q> + offers_permissions<Q> + offers_page_size<Q> + offers_offset<Q> +
                            offers_inode<Q> + offers_device<Q> + offers_name_size<Q> + offers_build_id_size<Q> +
                            offers_name<Q> + offers_build_id<Q>;

    TEST_CASE("offers the fields that its layout carries, and no others") {
        static_assert(offered<query<layout::lookup>> == 0);
        static_assert(offered<query<layout::v6_11>> == 11);
        static_assert(std::same_as<query<>, query<layout::latest>>);
        static_assert(offers_start<query_of<32>> && offered<query_of<32>> == 1);
        static_assert(offers_end<query_of<40>> && offered<query_of<40>> == 2);
        static_assert(offers_permissions<query_of<48>> && offered<query_of<48>> == 3);
        static_assert(offered<query_of<55>> == 3, "half a field is none");
        static_assert(offers_page_size<query_of<56>> && offered<query_of<56>> == 4);
        static_assert(offers_offset<query_of<64>> && offered<query_of<64>> == 5);
        static_assert(offers_inode<query_of<72>> && offered<query_of<72>> == 6);
        static_assert(offered<query_of<76>> == 6, "a device is two fields");
        static_assert(offers_device<query_of<80>> && offered<query_of<80>> == 7);
        static_assert(offers_name_size<query_of<84>> && offered<query_of<84>> == 8);
        static_assert(offers_build_id_size<query_of<88>> && offered<query_of<88>> == 9);
        static_assert(offers_name<query_of<96>> && offered<query_of<96>> == 10);
        CHECK_TWICE([] {
            for (const uapi::field& f : uapi::fields) {
                const bool input = f.offset < 24;
                if (uapi::carries(layout::lookup, f.name) != input || !uapi::carries(layout::v6_11, f.name)) return false;
            }
            return !uapi::carries(layout::v6_11, "no_such_field");
        });
    }

    TEST_CASE("sends its size, its flags and its address, and zeros") {
        CHECK_TWICE([] {
            const query<layout::lookup> q{0x1234, query_flag::covering_or_next | query_flag::executable};
            const uapi::procmap_query& raw = q.raw();
            return raw.size == 24 && raw.query_flags == 0x14 && raw.query_addr == 0x1234 && raw.vma_start == 0 &&
                   raw.vma_end == 0 && raw.vma_flags == 0 && raw.vma_page_size == 0 && raw.vma_offset == 0 && raw.inode == 0 &&
                   raw.dev_major == 0 && raw.dev_minor == 0 && raw.vma_name_size == 0 && raw.build_id_size == 0 &&
                   raw.vma_name_addr == 0 && raw.build_id_addr == 0;
        });
        CHECK_TWICE([] { return query<>{UINT64_MAX, {}}.raw().size == 104 && query<>{UINT64_MAX, {}}.raw().query_flags == 0; });
        CHECK_TWICE([] { return query<>{UINT64_MAX, {}}.raw().query_addr == UINT64_MAX; });
    }

    TEST_CASE("gives a buffer as address and size, and an empty one as neither") {
        query<> q{0, {}};
        char name[64];
        std::byte id[uapi::build_id_size_max];
        const auto address = [](const void* p) { return static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(p)); };

        q.name_into(name);
        CHECK(q.raw().vma_name_addr == address(name));
        CHECK(q.raw().vma_name_size == 64);
        CHECK(q.raw().build_id_addr == 0);
        CHECK(q.raw().build_id_size == 0);
        q.build_id_into(id);
        CHECK(q.raw().build_id_addr == address(id));
        CHECK(q.raw().build_id_size == 20);
        CHECK(q.raw().vma_name_addr == address(name));
        CHECK(q.raw().vma_name_size == 64);

        q.name_into({name, std::size_t{0}});  // an address without a size is EINVAL
        q.build_id_into({id, std::size_t{0}});
        CHECK(q.raw().vma_name_addr == 0);
        CHECK(q.raw().vma_name_size == 0);
        CHECK(q.raw().build_id_addr == 0);
        CHECK(q.raw().build_id_size == 0);
        q.name_into({});
        q.build_id_into({});
        CHECK(q.raw().vma_name_addr == 0);
        CHECK(q.raw().build_id_addr == 0);
    }

    TEST_CASE("reads each answer from its own field, with flags that are not known") {
        CHECK_TWICE([] {
            query<> q{0, {}};
            q.raw().vma_start = 1, q.raw().vma_end = 2, q.raw().vma_flags = 0x8000'0005, q.raw().vma_page_size = 4;
            q.raw().vma_offset = 5, q.raw().inode = 6, q.raw().dev_major = 7, q.raw().dev_minor = 8;
            q.raw().vma_name_size = 9, q.raw().build_id_size = 10;
            return q.start() == 1 && q.end() == 2 && q.permissions().bits() == 0x8000'0005 && q.page_size() == 4 &&
                   q.offset() == 5 && q.inode() == 6 && q.device() == device_number{7, 8} && q.name_size() == 9 &&
                   q.build_id_size() == 10;
        });
    }

    TEST_CASE("states a filter in the kernel's terms") {
        CHECK_TWICE([] {
            return uapi::to_query_flags(readable | file_backed) == (query_flag::readable | query_flag::file_backed) &&
                   uapi::to_query_flags(writable | executable | shared).bits() == 0x0e && uapi::to_query_flags({}).empty();
        });
    }
}

TEST_SUITE("a reply") {
    // A kernel to come: one more field behind what is known.
    struct future_query {
        uapi::procmap_query known;
        std::uint64_t vma_protection_key;
    };
    constexpr auto future_fields = [] {
        std::array<uapi::field, std::size(uapi::fields) + 1> all{};
        std::copy(std::begin(uapi::fields), std::end(uapi::fields), all.begin());
        all.back() = {"vma_protection_key", offsetof(future_query, vma_protection_key), 8};
        return all;
    }();

    TEST_CASE("names the fields that an older layout lost") {
        CHECK_TWICE([] {
            const auto lost = uapi::reply{0, 24}.lost(104);
            return lost.size() == 12 && lost.front().name == "vma_start" && lost.back().name == "build_id_addr";
        });
        CHECK_TWICE([] { return uapi::reply{0, 104}.lost(104).empty() && uapi::reply{0, 24}.lost(24).empty(); });
        CHECK_TWICE([] {
            const auto lost = uapi::reply{0, 64}.lost(80);
            return lost.size() == 3 && lost.front().name == "inode" && lost.back().name == "dev_minor";
        });
    }

    TEST_CASE("names the fields of a struct that the library does not know yet") {
        static_assert(sizeof(future_query) == 112);
        CHECK_TWICE([] {
            const auto lost = uapi::reply{0, 104}.lost(sizeof(future_query), future_fields);
            return lost.size() == 1 && lost.front().name == "vma_protection_key" && lost.front().offset == 104;
        });
        CHECK_TWICE([] {
            const auto lost = uapi::reply{0, 24}.lost(sizeof(future_query), future_fields);
            return lost.size() == 13 && lost.front().name == "vma_start" && lost.back().name == "vma_protection_key";
        });
        CHECK_TWICE([] { return uapi::reply{0, 112}.lost(sizeof(future_query), future_fields).empty(); });
    }

    TEST_CASE("can fall back to layouts that ascend from the least to the latest") {
        CHECK_TWICE([] {
            return std::ranges::is_sorted(uapi::layouts) && uapi::layouts[0] == uapi::layout::lookup &&
                   *std::rbegin(uapi::layouts) == uapi::layout::latest;
        });
    }
}

// === version.hpp =======================================================================================================

static_assert(PROCMAP_VERSION == PROCMAP_VERSION_MAJOR * 10'000 + PROCMAP_VERSION_MINOR * 100 + PROCMAP_VERSION_PATCH);
static_assert(PROCMAP_VERSION_MINOR < 100 && PROCMAP_VERSION_PATCH < 100, "else two versions compare the wrong way");
#if PROCMAP_VERSION < 100  // the preprocessor can compare it: 0.1.0 was the first
#error "PROCMAP_VERSION"
#endif

// === flags.hpp =========================================================================================================

TEST_SUITE("flags") {
    template <class A, class B> concept can_or = requires(A a, B b) { a | b; };
    template <class A, class B> concept can_and = requires(A a, B b) { a & b; };
    template <class A, class B> concept can_compare = requires(A a, B b) { a == b; };
    template <class A, class B> concept can_ask = requires(A a, B b) { a.has(b); };
    template <class A, class B> concept can_add = requires(A a, B b) { a |= b; };

    template <class Set, class Other>
    constexpr bool never_mix = !std::convertible_to<Other, Set> && !std::constructible_from<Set, Other> &&
                               !std::assignable_from<Set&, Other> && !can_or<Set, Other> && !can_and<Set, Other> &&
                               !can_compare<Set, Other> && !can_ask<Set, Other> && !can_add<Set&, Other>;

    TEST_CASE("are types of their own: no integer comes in or goes out, and different sets do not mix") {
        static_assert(std::convertible_to<perm, permission_set> && std::convertible_to<filter, filters>);
        static_assert(can_or<permission_set, perm> && can_and<permission_set, perm> && can_compare<permission_set, perm> &&
                      can_ask<permission_set, perm> && can_add<permission_set&, perm>);
        static_assert(never_mix<permission_set, int> && never_mix<permission_set, unsigned> && never_mix<permission_set, bool>);
        static_assert(never_mix<permission_set, filter> && never_mix<permission_set, filters>);
        static_assert(never_mix<filters, perm> && never_mix<filters, permission_set> && never_mix<filters, int>);
        static_assert(never_mix<uapi::query_flags, filter> && never_mix<uapi::query_flags, filters>);
        static_assert(never_mix<uapi::query_flags, perm> && never_mix<hazards, perm> && never_mix<hazards, unsigned>);
        static_assert(!std::constructible_from<int, permission_set> && !std::constructible_from<bool, permission_set>);
        static_assert(!std::constructible_from<unsigned, permission_set> && !std::convertible_to<perm, int>);
        static_assert(!can_or<perm, filter> && !can_or<perm, int> && !can_compare<perm, filter>);
        static_assert(!can_or<filter, hazard> && !can_or<filter, int> && !can_or<hazard, int> && !can_or<uapi::query_flag, filter>);
    }

    TEST_CASE("are sets when two of them are put together, of each kind") {
        static_assert(std::same_as<decltype(perm::read | perm::write), permission_set>);
        static_assert(std::same_as<decltype(filter::readable | filter::shared), filters>);
        static_assert(std::same_as<decltype(hazard::cve_2026_23002 | hazard::cve_2026_43178), hazards>);
        static_assert(std::same_as<decltype(uapi::query_flag::readable | uapi::query_flag::writable), uapi::query_flags>);
        CHECK_TWICE([] {
            return (filter::readable | filter::file_backed) == (procmap::readable | procmap::file_backed) &&
                   (filter::readable | filter::file_backed).bits() == 0x21 &&
                   (hazard::cve_2026_23002 | hazard::cve_2026_23199).bits() == 5;
        });
    }

    TEST_CASE("can be put together, taken apart and asked for") {
        CHECK_TWICE([] {
            const permission_set p = perm::read | perm::execute;
            return p.bits() == 5 && p.has(perm::read) && p.has(perm::execute) && !p.has(perm::write) && p.has(p) &&
                   !p.has(perm::read | perm::write) && p.has({}) && !permission_set{}.has(perm::read);
        });
        CHECK_TWICE([] {
            const permission_set p = perm::read | perm::write;
            return (p & perm::write) == perm::write && (p & perm::shared).empty() && (p | perm::write) == p && !p.empty();
        });
        CHECK_TWICE([] {
            permission_set p;
            p |= perm::shared;
            (p |= perm::read) |= perm::write;
            return permission_set{}.empty() && p.bits() == 0x0b && p != permission_set{};
        });
    }

    TEST_CASE("keep bits that nobody knows yet") {
        CHECK_TWICE([] {
            const permission_set p = permission_set::from_bits(0xffff'fff1);
            return p.bits() == 0xffff'fff1 && (p | perm::write).bits() == 0xffff'fff3 && p.has(perm::read) &&
                   p.has(permission_set::from_bits(0x8000'0000)) && !p.has(perm::write) && (p & p).bits() == 0xffff'fff1 &&
                   p != permission_set{perm::read};
        });
    }

    TEST_CASE("have the kernel's values wherever they stand") {
        CHECK_TWICE([] {
            using uapi::query_flag;
            const auto all = [](std::uint32_t bit, auto... flag) { return ((static_cast<std::uint32_t>(flag) == bit) && ...); };
            return all(0x01, perm::read, filter::readable, query_flag::readable) &&
                   all(0x02, perm::write, filter::writable, query_flag::writable) &&
                   all(0x04, perm::execute, filter::executable, query_flag::executable) &&
                   all(0x08, perm::shared, filter::shared, query_flag::shared) && all(0x10, query_flag::covering_or_next) &&
                   all(0x20, filter::file_backed, query_flag::file_backed);
        });
        CHECK_TWICE([] {
            return readable == filter::readable && writable == filter::writable && executable == filter::executable &&
                   shared == filter::shared && file_backed == filter::file_backed;
        });
    }
}

// === result.hpp, system_error.hpp ======================================================================================

TEST_SUITE("a result") {
    struct move_only {
        int number = 0;
        constexpr move_only() = default;
        constexpr explicit move_only(int n) : number(n) {}
        constexpr move_only(move_only&&) noexcept = default;
        constexpr move_only& operator=(move_only&&) noexcept = default;
    };
    constexpr error not_there{.code = errc::gone, .at = step::query, .errno_value = ESRCH, .pid = 42};

    TEST_CASE("holds a value, and then no error") {
        CHECK_TWICE([] {
            result<int> r = 7;
            const result<int>& constant = r;
            if (!r || !r.has_value() || r.error() != error{} || r.error().code != errc::none) return false;
            if (*r != 7 || r.value() != 7 || *constant != 7 || constant.value() != 7) return false;
            *r = 8;
            r.value() += 1;
            return *constant == 9;
        });
        CHECK_TWICE([] {
            const result<mapping> r = mapping{.start = 1, .end = 3};
            return r->start == 1 && r->size() == 2;
        });
    }

    TEST_CASE("holds an error, and then a value-initialized value") {
        CHECK_TWICE([] {
            const result<int> r = not_there;
            return !r && !r.has_value() && r.error() == not_there && r.error() == errc::gone && *r == 0;
        });
        CHECK_TWICE([] { return result<mapping>{not_there}->start == 0 && result<mapping>{not_there}->name.empty(); });
    }

    TEST_CASE("without a value is either done or an error") {
        CHECK_TWICE([] { return result<void>{}.has_value() && result<void>{}.error() == error{} && bool{result<void>{}}; });
        CHECK_TWICE([] { return !result<void>{not_there} && result<void>{not_there}.error() == not_there; });
    }

    TEST_CASE("gives up a value that can only be moved") {
        static_assert(!std::copy_constructible<result<move_only>> && std::movable<result<move_only>>);
        CHECK_TWICE([] {
            result<move_only> r = move_only{5};
            const move_only taken = *std::move(r);
            const move_only again = result<move_only>{move_only{6}}.value();
            return taken.number == 5 && again.number == 6 && result<move_only>{not_there}->number == 0;
        });
    }

    TEST_CASE("throws its error where a value is demanded") {
        const result<int> constant = not_there;
        result<int> r = not_there;
        const auto thrown = [](auto&& demand) {
            try {
                demand();
            } catch (const bad_result_access& e) {
                return e.error;
            }
            return error{};
        };
        CHECK(thrown([&] { (void)constant.value(); }) == not_there);
        CHECK(thrown([&] { (void)r.value(); }) == not_there);
        CHECK(thrown([&] { (void)std::move(r).value(); }) == not_there);
        CHECK(thrown([] { (void)result<int>{1}.value(); }) == error{});
    }

    TEST_CASE("is true or false only where that is asked for") {
        static_assert(std::constructible_from<bool, result<int>> && std::constructible_from<bool, result<void>>);
        static_assert(!std::convertible_to<result<int>, bool> && !std::convertible_to<result<void>, bool>);
        static_assert(!std::convertible_to<result<mapping>, int> && !std::convertible_to<result<int>, int>);
        CHECK(result<int>{0}.has_value());
    }
}

TEST_SUITE("an error") {
    constexpr auto last = errc::failed;

    constexpr bool prints(const error& e, std::string_view sentence) { return print_short(e).view() == sentence; }

    TEST_CASE("says what failed, where, and what to do, in one sentence") {
        CHECK_TWICE([] { return prints({}, "no error"); });
        CHECK_TWICE([] {
            return prints({.code = errc::not_mapped, .at = step::query, .pid = error::this_process},
                          "query maps of this process: no mapping there");
        });
        CHECK_TWICE([] {
            return prints({.code = errc::interrupted, .at = step::query, .errno_value = EINTR, .pid = 42},
                          "query maps of process 42: interrupted by signals again and again; try again [EINTR]");
        });
        CHECK_TWICE([] {
            return prints({.code = errc::denied, .at = step::open, .errno_value = EACCES, .pid = 1},
                          "open maps of process 1: permission denied; needs ptrace read access to the process: its user, or "
                          "CAP_SYS_PTRACE (or CAP_PERFMON, Linux 6.15+), and a procfs that does not hide it (hidepid) [EACCES]");
        });
        CHECK_TWICE([] {
            return prints({.code = errc::invalid, .at = step::adopt, .errno_value = EBADF},
                          "adopt maps: invalid argument; see the function's documentation [EBADF]");
        });
        CHECK_TWICE([] {
            return prints({.code = errc::failed, .at = step::read, .errno_value = 4095, .pid = 7, .tid = 8},
                          "read maps of process 7 by thread 8: the system call failed [errno 4095]");
        });
        CHECK_TWICE([] {
            return prints({.code = errc::malformed, .at = step::parse, .line = 3, .offset = 140},
                          "parse line 3 byte 140: not what a kernel writes; report it with the input, or check where the text "
                          "came from");
        });
        CHECK_TWICE([] {
            return prints({.code = errc::failed, .at = step::parse, .errno_value = -1, .pid = INT32_MAX, .tid = INT32_MAX,
                           .line = UINT64_MAX, .offset = UINT64_MAX},
                          "parse maps of process 2147483647 by thread 2147483647 line 18446744073709551615 byte "
                          "18446744073709551615: the system call failed [errno 0]");
        });
    }

    TEST_CASE("names step, process, thread, line, byte and errno, whatever its code") {
        const std::pair<step, std::string> steps[] = {{step::open, "open"}, {step::adopt, "adopt"}, {step::query, "query"},
                                                      {step::read, "read"}, {step::parse, "parse"}};
        for (auto code = errc::not_mapped; code <= last; code = static_cast<errc>(static_cast<int>(code) + 1)) {
            for (const auto& [at, word] : steps) {
                const error e{.code = code, .at = at, .errno_value = EIO, .pid = 21, .tid = 43, .line = 65, .offset = 87};
                const std::string what{describe(code)};
                CHECK(printed(e) == word + " maps of process 21 by thread 43 line 65 byte 87: " + what + " [EIO]");
                CHECK(streamed(e) == printed(e));
                CHECK(printed(e).find('\n') == std::string::npos);

                const std::string bare = printed(error{.code = code, .at = at});
                CHECK(bare == word + (at == step::parse ? ": " : " maps: ") + what);
                const std::string own = printed(error{.code = code, .at = at, .pid = error::this_process, .tid = 9});
                CHECK(own == word + " maps of this process by thread 9: " + what);
            }
            CHECK(printed(error{.code = code}) == describe(code));
        }
    }

    TEST_CASE("has a description for each code, and no two alike") {
        CHECK_TWICE([] {
            for (auto a = errc::none; a <= last; a = static_cast<errc>(static_cast<int>(a) + 1)) {
                if (describe(a).empty() || describe(a) == "unknown error" || describe(a).ends_with('.')) return false;
                for (auto b = errc::none; b < a; b = static_cast<errc>(static_cast<int>(b) + 1))
                    if (describe(a) == describe(b)) return false;
            }
            return describe(static_cast<errc>(static_cast<int>(last) + 1)) == "unknown error";
        });
    }

    TEST_CASE("names the errnos that can come, and gives the number of any other") {
        CHECK_TWICE([] {
            constexpr std::pair<int, std::string_view> known[] = {
                {E2BIG, "E2BIG"},   {EACCES, "EACCES"}, {EAGAIN, "EAGAIN"},   {EBADF, "EBADF"},
                {EFAULT, "EFAULT"}, {EINTR, "EINTR"},   {EINVAL, "EINVAL"},   {EIO, "EIO"},
                {EISDIR, "EISDIR"}, {ELOOP, "ELOOP"},   {EMFILE, "EMFILE"},   {ENAMETOOLONG, "ENAMETOOLONG"},
                {ENFILE, "ENFILE"}, {ENOENT, "ENOENT"}, {ENOMEM, "ENOMEM"},   {ENOSYS, "ENOSYS"},
                {ENOTTY, "ENOTTY"}, {EPERM, "EPERM"},   {ENOTDIR, "ENOTDIR"}, {ESRCH, "ESRCH"},
                {EPIPE, "EPIPE"},   {ENOTSOCK, "ENOTSOCK"}, {ECONNRESET, "ECONNRESET"}};  // of a handover's socket
            for (const auto& [number, name] : known)
                if (errno_name(number) != name) return false;
            return errno_name(0).empty() && errno_name(-1).empty() && errno_name(4095).empty();
        });
        CHECK(printed(error{.code = errc::failed, .at = step::read, .errno_value = EXDEV}).ends_with(
            " [errno " + std::to_string(EXDEV) + "]"));
        CHECK(printed(error{.code = errc::failed, .errno_value = INT_MAX}).ends_with("[errno 2147483647]"));
    }

    TEST_CASE("equals its code alone, and another error only in every field") {
        CHECK_TWICE([] {
            const error e{.code = errc::gone, .at = step::query, .errno_value = ESRCH, .pid = 42};
            error other = e;
            other.offset = 1;
            return e == errc::gone && e != errc::denied && e == error{e} && e != other && other == errc::gone;
        });
    }

    TEST_CASE("is a std::error_code, equal to the conditions that mean the same") {
        static_assert(std::is_error_code_enum_v<errc>);
        const std::error_code code = errc::denied;
        CHECK(code.category() == error_category());
        CHECK(code.value() == static_cast<int>(errc::denied));
        CHECK(code == errc::denied);
        CHECK(code != errc::gone);
        CHECK(std::string{error_category().name()} == "procmap");
        CHECK(make_error_code(error{.code = errc::gone, .at = step::read, .errno_value = ESRCH}) == errc::gone);
        CHECK(!std::error_code{errc::none});
        CHECK(std::error_code{errc::not_mapped});

        constexpr std::pair<errc, std::errc> same[] = {{errc::gone, std::errc::no_such_process},
                                                       {errc::denied, std::errc::permission_denied},
                                                       {errc::unsupported, std::errc::not_supported},
                                                       {errc::interrupted, std::errc::interrupted},
                                                       {errc::invalid, std::errc::invalid_argument}};
        for (auto each = errc::none; each <= last; each = static_cast<errc>(static_cast<int>(each) + 1)) {
            const std::error_code each_code = each;
            CHECK(each_code.message() == describe(each));
            CHECK(each_code.default_error_condition() == each_code);
            for (const auto& [ours, standard] : same) CHECK((each_code == standard) == (each == ours));
        }
    }
}

// === text.hpp: recorded text ===========================================================================================

TEST_SUITE("recorded text") {
    TEST_CASE("edge cases are read, refused or left alone as each line's verdict says") {
        const std::string text = contents("edge_cases.tsv");
        const auto cases = edge_cases(text);
        REQUIRE(cases.size() >= 91);
        REQUIRE(cases.size() == static_cast<std::size_t>(std::ranges::count(text, '\n')) - 1);
        std::size_t ok = 0, bad = 0, lenient = 0;
        for (const edge_case& each : cases) {
            CAPTURE(each.line);
            const auto m = parse_line(each.line);
            CHECK(agree(each.line));
            if (each.verdict == "ok") {
                ++ok;
                REQUIRE(m);
                CHECK(decode(m->name) == each.name);
                CHECK((m->name_status == name_state::escaped) == (m->name != each.name));
            } else if (each.verdict == "bad") {
                ++bad;
                REQUIRE(!m);
                CHECK(m.error() == errc::malformed);
                CHECK(m.error().at == step::parse);
                CHECK(m.error().offset <= each.line.size());
            } else {
                ++lenient;
                REQUIRE(each.verdict == "lenient");
                if (m) CHECK(m->name == each.name);  // as it stands: text alone cannot tell whether `\012` was a newline
                if (m && m->name.find("\\012") != std::string_view::npos) CHECK(m->name_status == name_state::escaped);
            }
        }
        CHECK(ok + bad + lenient == cases.size());
        CHECK((ok >= 46 && bad >= 40 && lenient >= 5));
    }

    TEST_CASE("a strange process reads the same in text as through the ioctl") {
        const std::string maps = contents("strange_process.maps");
        const std::string queries = contents("strange_process.ioctl.txt");
        const auto lines = split(maps, '\n');
        auto answers = split(queries, '\n');
        REQUIRE(answers.back() == "END ENOENT");
        answers.pop_back();
        REQUIRE(lines.size() == answers.size() + 1);
        REQUIRE(parse_line(lines.back())->name == "[vsyscall]");  // only text lists it

        int too_long = 0, ambiguous = 0;
        for (std::size_t i = 0; i < answers.size(); ++i) {
            const std::string_view answer = answers[i];
            CAPTURE(std::string{answer.substr(0, 100)});
            const auto m = parse_line(lines[i]);
            REQUIRE(m);
            if (answer.find(" ENAMETOOLONG") == 25) {  // no fields then, but for the addresses
                ++too_long;
                CHECK(lines[i].starts_with(answer.substr(0, 26)));
                CHECK(m->name.size() > 4096);
                continue;
            }
            const reference fields = read_slowly(answer.substr(0, answer.find(" ps=")));
            REQUIRE(fields.good);
            CHECK(same_fields(*m, fields));
            const std::size_t begin = answer.find(" name=\"") + 7;
            const std::string name = unescape(answer.substr(begin, answer.size() - 1 - begin));
            const std::string size = " namesz=" + std::to_string(name.empty() ? 0 : name.size() + 1) + ' ';
            REQUIRE(answer.find(size) != std::string_view::npos);
            const bool literal = name.find("\\012") != std::string::npos;  // which text cannot tell from a newline
            ambiguous += literal ? 1 : 0;
            CHECK((literal ? std::string{m->name} : decode(m->name)) == name);
            const bool decoded = m->name.find("\\012") != std::string_view::npos;
            CHECK(m->name_status == (decoded ? name_state::escaped : name_state::exact));
        }
        CHECK(too_long == 1);
        CHECK(ambiguous == 1);
    }

    TEST_CASE("what a kernel wrote is printed again byte for byte") {
        std::size_t count = 0;
        for (const char* name : {"strange_process.maps", "realistic_10k.maps"}) {
            const std::string text = contents(name);
            for (const std::string_view line : split(text, '\n')) {
                const auto m = parse_line(line);
                if (!m || printed(*m) != line || streamed(*m) != line) FAIL("not printed as it was read: ", std::string{line});
                ++count;
            }
        }
        CHECK(count == 10077);
    }

    TEST_CASE("parser and reference agree on every line and on every truncation of it, and nothing behind it is read") {
        const std::string strange = contents("strange_process.maps");
        const std::string realistic = contents("realistic_10k.maps");
        const std::string edges = contents("edge_cases.tsv");
        const auto cases = edge_cases(edges);
        auto lines = split(realistic, '\n');
        REQUIRE(lines.size() == 10000);
        for (const std::string_view line : lines) require_agreement(line);
        lines.resize(500);
        std::ranges::copy(split(strange, '\n'), std::back_inserter(lines));
        for (const edge_case& each : cases)
            if (each.verdict == "ok") lines.push_back(each.line);
        REQUIRE(lines.size() >= 500 + 77 + 46);

        guarded memory;
        std::size_t good = 0, bad = 0;
        for (const std::string_view line : lines) {
            REQUIRE(read_slowly(line).good);
            for (std::size_t size = 0; size <= line.size(); ++size) {
                const auto text = memory.ending_with(line.substr(0, size));
                require_agreement(text);
                ++(parse_line(text) ? good : bad);
            }
        }
        CHECK(good > lines.size());
        CHECK(bad > 20 * lines.size());
    }

    TEST_CASE("parser and reference agree whichever byte of a line is replaced") {
        const std::string edges = contents("edge_cases.tsv");
        const auto cases = edge_cases(edges);
        std::vector<std::string> lines = {
            "7febc5344000-7febc5346000 r-xp 1234567890abcdef 12345678:9abcdef0 18446744073709551615  /behind a long head",
            "fffffffffffff000-ffffffffffffffff ---s ffffffffffffffff ffffffff:ffffffff 18446744073709551610 ",
            "7febc5344000-7febc5346000 r-xp 00000000 12345678:12345678 1234567890123   a blank of its own",
            "b7c79000-b7e02000 r--p 00000000 08:01 60662705   /lib/a\\012b"};
        for (std::size_t i = 0; i < cases.size(); ++i)
            if (cases[i].verdict == "ok" && cases[i].line.size() < 160 && i % 2 == 0) lines.push_back(cases[i].line);
        REQUIRE(lines.size() >= 20);

        guarded memory;
        std::size_t good = 0, bad = 0;
        for (const std::string& line : lines) {
            for (std::size_t i = 0; i < line.size(); ++i) {
                for (const char c : " 09afgAF-:prwxs/\\\t\n\0\x80\xff"sv) {
                    std::string changed = line;
                    changed[i] = c;
                    const auto text = memory.ending_with(changed);
                    require_agreement(text);
                    ++(parse_line(text) ? good : bad);
                }
            }
        }
        CHECK(good > 1000);
        CHECK(bad > 1000);
    }
}

// === text.hpp: one line ================================================================================================

namespace {

// Whether the line is refused, and at that byte.
constexpr bool refused_at(std::string_view line, std::uint64_t offset) {
    const error expected{.code = errc::malformed, .at = step::parse, .line = 1, .offset = offset};
    return parse_line(line).error() == expected;
}
constexpr bool accepted(std::string_view line) { return parse_line(line).has_value(); }
constexpr std::string_view name_of(std::string_view line) { return parse_line(line)->name; }

// Whether the line has that name, exact, and is printed as it was read.
constexpr bool names(std::string_view line, std::string_view name, std::size_t column = name_column_64) {
    const auto m = parse_line(line);
    return m && m->name == name && m->name_status == name_state::exact && print_short(*m, column).view() == line;
}

}  // namespace

TEST_SUITE("a line") {
    TEST_CASE("gives every field") {
        CHECK_TWICE([] {
            const auto m = parse_line("7febc5346000-7febc5348000 r-xs 7fffffff000 fe:01 10978557                /huge offset");
            return m && m->start == 0x7febc5346000 && m->end == 0x7febc5348000 && m->permissions.bits() == 0x0d &&
                   m->offset == 0x7fffffff000 && m->device == device_number{0xfe, 1} && m->inode == 10978557 &&
                   m->name == "/huge offset" && m->name_status == name_state::exact && m->page_size == 0 &&
                   !m->build_id_known && m->build_id.empty() && m.error() == error{};
        });
        CHECK_TWICE([] {
            constexpr std::string_view set = "rwxs", clear = "---p";
            for (std::uint32_t bits = 0; bits < 16; ++bits) {
                char line[] = "1000-2000 ???? 0 0:0 0";
                for (unsigned i = 0; i < 4; ++i) line[10 + i] = (bits >> i & 1) != 0 ? set[i] : clear[i];
                if (parse_line(line)->permissions.bits() != bits) return false;
            }
            return true;
        });
    }

    TEST_CASE("may end behind the inode, with or without a blank") {
        CHECK_TWICE([] { return accepted("00001000-00002000 r--p 00000000 00:00 0"); });
        CHECK_TWICE([] { return names("00001000-00002000 r--p 00000000 00:00 0 ", ""); });
        CHECK_TWICE([] { return name_of("00001000-00002000 r--p 00000000 00:00 0     ").empty(); });
        CHECK_TWICE([] { return accepted("1-2 r--p 0 0:0 0 x") && name_of("1-2 r--p 0 0:0 0 x") == "x"; });
    }

    TEST_CASE("that ends too early is refused at its end") {
        CHECK_TWICE([] {
            constexpr std::string_view line = "00001000-00002000 r--p 00000000 00:00 0";
            for (std::size_t n = 0; n < line.size(); ++n)
                if (!refused_at(line.substr(0, n), n)) return false;
            return true;
        });
    }

    TEST_CASE("that is not even there is refused") {
        CHECK_TWICE([] { return refused_at("", 0) && refused_at(std::string_view{}, 0); });
    }

    TEST_CASE("holds numbers of up to 64 bits, 32 for each half of the device") {
        CHECK_TWICE([] {
            const auto m = parse_line(
                "ffffffffffff0000-ffffffffffffffff r--p ffffffffffffffff ffffffff:ffffffff 18446744073709551615");
            return m && m->start == 0xffffffffffff0000 && m->end == UINT64_MAX && m->offset == UINT64_MAX &&
                   m->device == device_number{UINT32_MAX, UINT32_MAX} && m->inode == UINT64_MAX;
        });
        CHECK_TWICE([] { return accepted("0000000000000001-0000000000000002 r--p 0000000000000003 00000000:00000001 0"); });
        CHECK_TWICE([] { return refused_at("10000000000000000-20000000000000000 r--p 0 0:0 0", 16); });
        CHECK_TWICE([] { return refused_at("00000000000000001-2 r--p 0 0:0 0", 16); });
        CHECK_TWICE([] { return refused_at("1-10000000000000000 r--p 0 0:0 0", 18); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 10000000000000000 0:0 0", 25); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 100000000:0 0", 19); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 000000001:0 0", 19); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 0:100000000 0", 21); });
    }

    TEST_CASE("is refused at the digit with which its inode overflows") {
        CHECK_TWICE([] { return parse_line("1-2 r--p 0 0:0 18446744073709551609")->inode == 18446744073709551609u; });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 0:0 18446744073709551616", 34); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 0:0 18446744073709551620", 34); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 0:0 99999999999999999999", 34); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 0:0 36893488147419103232", 34); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 0:0 184467440737095516150", 35); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 0:0 000000000000000000000", 35); });  // zeros are digits
    }

    TEST_CASE("in upper case is refused") {
        CHECK_TWICE([] { return refused_at("A-b r--p 0 0:0 0", 0) && refused_at("a-B r--p 0 0:0 0", 2); });
        CHECK_TWICE([] { return refused_at("a-b R--p 0 0:0 0", 4) && refused_at("a-b r--P 0 0:0 0", 7); });
        CHECK_TWICE([] { return refused_at("a-b r--p F 0:0 0", 9) && refused_at("a-b r--p 0F 0:0 0", 10); });
        CHECK_TWICE([] { return refused_at("a-b r--p 0 F:0 0", 11) && refused_at("a-b r--p 0 0:F 0", 13); });
        CHECK_TWICE([] { return refused_at("a-b r--p 0 0:0 a", 15) && refused_at("a-b r--p 0 0:0 0a", 16); });
    }

    TEST_CASE("with characters next to the digits in ASCII is refused") {
        CHECK_TWICE([] {
            for (const char c : "/:`g@G \t\n\0\x7f\x80\xff+-x"sv) {
                char line[] = "1?-2000 r--p 0 0:0 0";
                line[1] = c;
                if (accepted(line)) return false;
            }
            return true;
        });
    }

    TEST_CASE("of a mapping of zero length is given as it stands: old 32-bit kernels and Android list guards so") {
        CHECK_TWICE([] {
            const auto m = parse_line("1000-1000 ---p 0 0:0 0 [page size compat]");
            return m && m->start == 0x1000 && m->end == 0x1000 && m->size() == 0 && !m->contains(0x1000) && m->name == "[page size compat]";
        });
        CHECK_TWICE([] { return accepted("0-0 r--p 0 0:0 0"); });
    }

    TEST_CASE("may write shared as S (kernels without MMU) and private as - (WSL1), and nothing else as these") {
        CHECK_TWICE([] { return parse_line("1-2 rw-S 0 0:0 0")->permissions == (perm::read | perm::write | perm::shared); });
        CHECK_TWICE([] { return parse_line("1-2 r-x- 0 0:0 0")->permissions == (perm::read | perm::execute); });
        CHECK_TWICE([] { return parse_line("1-2 ---- 0 0:0 0")->permissions.empty(); });
        CHECK_TWICE([] { return refused_at("1-2 S--p 0 0:0 0", 4) && refused_at("1-2 -S-p 0 0:0 0", 5) && refused_at("1-2 --Sp 0 0:0 0", 6); });
        CHECK_TWICE([] { return refused_at("1-2 ---P 0 0:0 0", 7) && refused_at("1-2 ---r 0 0:0 0", 7) && refused_at("1-2 --- 0 0:0 0", 7); });
    }

    TEST_CASE("of an inverted mapping is refused") {
        CHECK_TWICE([] { return refused_at("2000-1fff r--p 0 0:0 0", 0) && accepted("1fff-2000 r--p 0 0:0 0"); });
        CHECK_TWICE([] { return refused_at("ffffffffffffffff-0 r--p 0 0:0 0", 0) && accepted("0-1 r--p 0 0:0 0"); });
    }

    TEST_CASE("with blanks where there are none is refused") {
        CHECK_TWICE([] { return refused_at(" 1-2 r--p 0 0:0 0", 0) && refused_at("\t1-2 r--p 0 0:0 0", 0); });
        CHECK_TWICE([] { return refused_at("1-2  r--p 0 0:0 0", 4) && refused_at("1-2 r--p  0 0:0 0", 9); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0  0:0 0", 11) && refused_at("1-2 r--p 0 0:0  0", 15); });
        CHECK_TWICE([] { return refused_at("1 -2 r--p 0 0:0 0", 1) && refused_at("1-2\tr--p 0 0:0 0", 3); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 0:0 0\t/x", 16) && refused_at("1-2 r--p 0 0:0 0/x", 16); });
    }

    TEST_CASE("borrows, so a temporary string is refused by the compiler") {
        struct other_string {
            operator std::string_view() const { return "text"; }
        };
        struct derived_string : std::string {};
        constexpr auto line = []<class T>(std::type_identity<T>) {
            return requires(T&& t) { parse_line(std::forward<T>(t)); };
        };
        constexpr auto text = []<class T>(std::type_identity<T>) {
            return requires(T&& t) { parse(std::forward<T>(t)); };
        };
        constexpr auto both = [=]<class T>(std::type_identity<T> t) { return line(t) && text(t); };
        constexpr auto neither = [=]<class T>(std::type_identity<T> t) { return !line(t) && !text(t); };
        static_assert(neither(std::type_identity<std::string>{}) && neither(std::type_identity<const std::string>{}));
        static_assert(neither(std::type_identity<derived_string>{}) && neither(std::type_identity<other_string>{}));
        static_assert(both(std::type_identity<std::string&>{}) && both(std::type_identity<const std::string&>{}));
        static_assert(both(std::type_identity<const char (&)[5]>{}) && both(std::type_identity<const char*>{}));
        static_assert(both(std::type_identity<std::string_view>{}) && both(std::type_identity<const std::string_view>{}));
        static_assert(both(std::type_identity<std::string_view&>{}) && both(std::type_identity<other_string&>{}));
        const std::string lvalue = "1-2 r--p 0 0:0 0 name";
        CHECK(parse_line(lvalue)->name.data() == lvalue.data() + 17);
    }
}

TEST_SUITE("a name") {
// Heads as a 64-bit kernel pads them: 73 bytes.
#define HEAD_64 "7febc5344000-7febc5346000 r-xp 00000000 00:28 2                          "
#define LOW_64 "00010000-00011000 r--p 00000000 00:00 0                                  "
    static_assert(std::size(HEAD_64) == 73 + 1 && std::size(LOW_64) == 73 + 1);

    TEST_CASE("starts at byte 73 where a 64-bit kernel wrote it") {
        CHECK_TWICE([] { return names(HEAD_64 "/inmnt.so", "/inmnt.so"); });
        CHECK_TWICE([] { return names(LOW_64 "[low]", "[low]"); });
    }

    TEST_CASE("starts at byte 49 where a 32-bit kernel wrote it") {
        CHECK_TWICE([] { return names("08056000-08077000 rw-p 00000000 00:00 0          [heap]", "[heap]", name_column_32); });
        CHECK_TWICE([] {
            return names("08056000-08077000 rw-p 00000000 08:01 60662705   /lib/a b", "/lib/a b", name_column_32);
        });
    }

    TEST_CASE("starts after the padding, whatever its width: no kernel writes a name that begins with a blank") {
        CHECK_TWICE([] { return name_of("100000000-100001000 rw-p 00000000 00:00 0          a") == "a"; });
        CHECK_TWICE([] { return name_of("00400000-0047b000 r-xp 00000000 00:00 1234567     /bin/app") == "/bin/app"; });  // FreeBSD
        CHECK_TWICE([] { return name_of("ffffd000-ffffe000 r-xp 00000000 00:00 0           [vdso]") == "[vdso]"; });
        CHECK_TWICE([] { return name_of("08056000-08077000 rw-p 00000000 00:00 0            two more") == "two more"; });
        CHECK_TWICE([] { return name_of("fffff000-100000000 rw-p 00000000 00:00 0          one more") == "one more"; });
        CHECK_TWICE([] { return name_of("08056000-08077000 rw-p 00000000 00:00 0 /one blank") == "/one blank"; });
        CHECK_TWICE([] {
            char line[200] = HEAD_64;
            for (std::size_t at = std::size(HEAD_64) - 1; at < 190; ++at) {
                line[at] = 'x';
                if (name_of({line, at + 1}) != "x") return false;
                line[at] = ' ';
                if (!name_of({line, at + 1}).empty() || !name_of({line, at}).empty()) return false;
            }
            return true;
        });
    }

    TEST_CASE("starts two blanks after the inode where the head is long") {
        CHECK_TWICE([] {  // the head ends one byte short of the column, at it, and beyond it
            return names("7febc5344000-7febc5346000 r-xp 00000000 12345678:12345678 1234567890123  /x", "/x") &&
                   names("7febc5344000-7febc5346000 r-xp 00000000 12345678:12345678 12345678901234  /x", "/x") &&
                   names("7febc5344000-7febc5346000 r-xp 00000000 12345678:12345678 123456789012345  /x", "/x") &&
                   names("7febc5344000-7febc5346000 r-xp 00000000 12345678:12345678 1234567890123456  /x", "/x");
        });
        CHECK_TWICE([] {
            return names("ffffffff81000000-ffffffff82000000 r-xp 123456789abcdef0 12345678:12345678 18446744073709551615  x", "x");
        });
        CHECK_TWICE([] {  // the same around the 32-bit column
            return names("08056000-08077000 rw-p 00000000 08:01 12345678   /x", "/x", name_column_32) &&
                   names("08056000-08077000 rw-p 00000000 08:01 123456789  /x", "/x", name_column_32) &&
                   names("08056000-08077000 rw-p 00000000 08:01 1234567890  /x", "/x", name_column_32);
        });
    }

    TEST_CASE("keeps blanks of its own: after and between") {
        CHECK_TWICE([] { return names(HEAD_64 "behind   ", "behind   "); });
        CHECK_TWICE([] { return names(HEAD_64 "a  b   c", "a  b   c"); });
        CHECK_TWICE([] { return names(LOW_64 "low ", "low "); });
    }

    TEST_CASE("of a mapping without a file that ends with CR is refused: the text has CR LF") {
        CHECK_TWICE([] { return refused_at(LOW_64 "[heap]\r", 79) && refused_at("1-2 r--p 0 0:0 0 \r", 17); });
        CHECK_TWICE([] { return names(HEAD_64 "/cr\r", "/cr\r") && names(LOW_64 "[a\rb]", "[a\rb]"); });
        CHECK_TWICE([] { return refused_at("1-2 r--p 0 0:0 0\r", 16); });
    }

    TEST_CASE("keeps every byte that is not a newline") {
        CHECK_TWICE([] {
            return names(HEAD_64 "/cr\r tab\t esc\x1b[31m bell\x07", "/cr\r tab\t esc\x1b[31m bell\x07");
        });
        CHECK_TWICE([] { return names(HEAD_64 "/\xff\xfe\x80\xc0\xe6\x97", "/\xff\xfe\x80\xc0\xe6\x97"); });
        CHECK_TWICE([] { return names(HEAD_64 "/nul\0in it"sv, "/nul\0in it"sv); });
        CHECK_TWICE([] {  // other escapes mean nothing
            return names(HEAD_64 "/\\n\\011\\01 2\\", "/\\n\\011\\01 2\\");
        });
        CHECK_TWICE([] { return names(HEAD_64 "/gone (deleted) (deleted)", "/gone (deleted) (deleted)"); });
    }

    TEST_CASE("in which a newline is escaped is marked, and not escaped again") {
        CHECK_TWICE([] {
            constexpr std::string_view line = HEAD_64 "/new\\012line\\012";
            const auto m = parse_line(line);
            return m && m->name == "/new\\012line\\012" && m->name_status == name_state::escaped &&
                   print_short(*m).view() == line;
        });
    }

    TEST_CASE("with a newline in it is printed with the escape for it") {
        constexpr auto ends_with = [](std::string_view name, std::string_view expected) {
            const mapping m{.start = 0x10000, .end = 0x11000, .permissions = perm::read, .name = name};
            const text_buffer out = print_short(m);
            return out.view().substr(0, 73) == LOW_64 && out.view().substr(73) == expected;
        };
        CHECK_TWICE([=] { return ends_with("/new\nline", "/new\\012line") && ends_with("\n", "\\012"); });
        CHECK_TWICE([=] { return ends_with("\na\n\nb\n", "\\012a\\012\\012b\\012"); });
        CHECK_TWICE([=] { return ends_with("/both\n\\012", "/both\\012\\012"); });
    }
}

TEST_SUITE("a printed mapping") {
    TEST_CASE("pads its numbers as the kernel does") {
        CHECK_TWICE([] { return print_short(mapping{}).view() == "00000000-00000000 ---p 00000000 00:00 0 "; });
        CHECK_TWICE([] {
            const mapping m{.start = 0x1,
                            .end = 0x123456789,
                            .permissions = perm::read | perm::write | perm::execute | perm::shared,
                            .offset = 0xabc,
                            .inode = 10,
                            .device = {0x1, 0x123}};
            return print_short(m).view() == "00000001-123456789 rwxs 00000abc 01:123 10 ";
        });
        CHECK_TWICE([] {
            const mapping m{.start = UINT64_MAX, .end = UINT64_MAX, .permissions = permission_set::from_bits(UINT32_MAX),
                            .offset = UINT64_MAX, .inode = UINT64_MAX, .device = {UINT32_MAX, UINT32_MAX}, .name = "x"};
            return print_short(m).view() ==
                   "ffffffffffffffff-ffffffffffffffff rwxs ffffffffffffffff ffffffff:ffffffff 18446744073709551615  x";
        });
    }

    TEST_CASE("is the same on a stream, whatever the stream's format") {
        const mapping m{.start = 0x1000, .end = 0x2000, .permissions = perm::read, .inode = 255, .name = "/a\nb"};
        std::ostringstream out;
        out.width(200);
        out << std::hex << std::showbase << m;
        CHECK(out.str() == printed(m));
        CHECK(streamed(m) == printed(m));
    }
}

// === text.hpp: parse ===================================================================================================

TEST_SUITE("parse") {
    constexpr std::string_view three_lines =
        "00001000-00002000 r--p 00000000 00:00 0 \n"
        "00002000-00003000 rw-p 00000000 08:01 7                                  /b\n"
        "00003000-00004000 r-xp 00000000 08:01 8                                  /c\n";

    constexpr int count_good(std::string_view text) {
        int n = 0;
        for (const result<mapping>& m : parse(text)) n += m ? 1 : 0;
        return n;
    }
    constexpr int count(std::string_view text) {
        int n = 0;
        for (auto line = parse(text).begin(); line != parsed_lines::sentinel{}; ++line) ++n;
        return n;
    }

    TEST_CASE("is an input range of results") {
        static_assert(std::ranges::input_range<parsed_lines> && std::ranges::input_range<const parsed_lines>);
        static_assert(std::same_as<std::ranges::range_value_t<parsed_lines>, result<mapping>>);
        static_assert(std::ranges::viewable_range<parsed_lines&>);
#if !defined(_GLIBCXX_RELEASE) || _GLIBCXX_RELEASE >= 12  // older: no adaptor takes a temporary that is no view
        static_assert(std::ranges::viewable_range<parsed_lines>);
#endif
        CHECK(std::ranges::count_if(parse(three_lines), [](const auto& m) { return m.has_value(); }) == 3);
    }

    TEST_CASE("gives the lines in their order, each with its own fields") {
        CHECK_TWICE([] {
            std::uint64_t start = 0x1000;
            std::uint64_t inode = 0;
            for (const auto& m : parse(three_lines)) {
                const auto name = inode == 0 ? "" : inode == 7 ? "/b" : "/c";
                if (!m || m->start != start || m->inode != inode || m->name != name) return false;
                start += 0x1000;
                inode = inode == 0 ? 7 : 8;
            }
            return start == 0x4000;
        });
    }

    TEST_CASE("can be started again") {
        CHECK_TWICE([] {
            const auto lines = parse(three_lines);
            auto first = lines.begin();
            ++first;
            first++;
            return first->value().name == "/c" && (*lines.begin())->start == 0x1000 && ++first == lines.end();
        });
    }

    TEST_CASE("takes no line from an empty text, and an empty line from a newline alone") {
        CHECK_TWICE([] { return count("") == 0 && count(std::string_view{}) == 0; });
        CHECK_TWICE([] { return count("\n") == 1 && count_good("\n") == 0 && count("\n\n") == 2; });
    }

    TEST_CASE("does not need a newline at the end") {
        CHECK_TWICE([] {
            constexpr auto text = three_lines.substr(0, three_lines.size() - 1);
            std::string_view last;
            for (const auto& m : parse(text)) last = m->name;
            return count_good(text) == 3 && count(text) == 3 && last == "/c";
        });
        CHECK_TWICE([] { return count("1-2 r--p 0 0:0 0") == 1 && count_good("1-2 r--p 0 0:0 0") == 1; });
    }

    TEST_CASE("reports a bad line by number and byte, and goes on") {
        CHECK_TWICE([] {
            constexpr std::string_view text =
                "1000-2000 r--p 0 0:0 0\n"  // 23 bytes
                "\n"
                "2000-3000 r--p 0 0:0 0\n"
                "3000-4000 r--p ? 0:0 0\n"
                "4000-5000 r--p 0 0:0 0";
            constexpr error none{};
            const error expected[] = {none,
                                      {.code = errc::malformed, .at = step::parse, .line = 2, .offset = 23},
                                      none,
                                      {.code = errc::malformed, .at = step::parse, .line = 4, .offset = 23 + 1 + 23 + 15},
                                      none};
            std::size_t i = 0;
            for (const auto& m : parse(text)) {
                if (m.error() != expected[i]) return false;
                if (m && m->start != 0x1000 * (i / 2 + 1) + (i == 4 ? 0x1000 : 0)) return false;
                ++i;
            }
            return i == 5;
        });
        CHECK_TWICE([] {
            constexpr std::string_view text = "1000-2000 r--p 0 0:0 0\nrubbish";
            for (const auto& m : parse(text))
                if (!m) return m.error().line == 2 && m.error().offset == 23;
            return false;
        });
    }

    TEST_CASE("takes a carriage return for what it is: a byte of the name, or a bad one behind the inode") {
        CHECK_TWICE([] {
            constexpr std::string_view text =
                "1000-2000 r--p 0 0:0 7 /a\r\n2000-3000 r--p 0 0:0 0\r\n3000-4000 r--p 0 0:0 7 /c\r\n";
            int i = 0;
            for (const auto& m : parse(text)) {
                if (i == 0 && m->name != "/a\r") return false;
                if (i == 1 && (m || m.error().line != 2 || m.error().offset != 27 + 22)) return false;
                if (i == 2 && m->name != "/c\r") return false;
                ++i;
            }
            return i == 3;
        });
    }

    TEST_CASE("is not stopped by a NUL") {
        CHECK_TWICE([] {
            constexpr auto text = "1000-2000 r--p 0 0:0 0 /a\0b\n2000\0-3000 r--p 0 0:0 0\n\0\n3000-4000 r--p 0 0:0 0\n"sv;
            const auto lines = parse(text);
            return count(text) == 4 && count_good(text) == 2 && (*lines.begin())->name == "/a\0b"sv;
        });
    }

    TEST_CASE("reads nothing behind its text") {
        guarded memory;
        for (std::size_t size = 0; size <= three_lines.size(); ++size) {
            const auto text = memory.ending_with(three_lines.substr(0, size));
            CHECK(count(text) == static_cast<int>(split(text, '\n').size()));
        }
    }
}

// === mapping.hpp =======================================================================================================

TEST_SUITE("a mapping") {
    TEST_CASE("contains its first address, not its end") {
        CHECK_TWICE([] {
            constexpr mapping m{.start = 0x1000, .end = 0x3000};
            return m.size() == 0x2000 && !m.contains(0) && !m.contains(0xfff) && m.contains(0x1000) && m.contains(0x2fff) &&
                   !m.contains(0x3000) && !m.contains(UINT64_MAX);
        });
        CHECK_TWICE([] { return mapping{}.size() == 0 && !mapping{}.contains(0); });
        CHECK_TWICE([] { return mapping{.start = UINT64_MAX - 1, .end = UINT64_MAX}.contains(UINT64_MAX - 1); });
    }

    TEST_CASE("has a file behind it where it has an inode or a device") {
        CHECK_TWICE([] {
            return !mapping{}.file_backed() && mapping{.inode = 1}.file_backed() && mapping{.device = {0, 1}}.file_backed() &&
                   mapping{.device = {1, 0}}.file_backed() && mapping{.inode = 1, .device = {1, 1}}.file_backed() &&
                   !mapping{.offset = 1, .name = "[heap]"}.file_backed();
        });
    }

    TEST_CASE("passes a filter when it has all that is asked for") {
        CHECK_TWICE([] {
            for (std::uint32_t bits = 0; bits < 16; ++bits) {
                for (std::uint32_t ask = 0; ask < 64; ++ask) {
                    if ((ask & 0x10) != 0) continue;
                    const auto only = filters::from_bits(ask);
                    const bool allowed = (bits & ask & 0x0f) == (ask & 0x0f);
                    const bool without_file = allowed && (ask & 0x20) == 0;
                    const auto p = permission_set::from_bits(bits);
                    if (mapping{.permissions = p}.passes(only) != without_file) return false;
                    if (mapping{.permissions = p, .inode = 9}.passes(only) != allowed) return false;
                    if (mapping{.permissions = p, .device = {0, 1}}.passes(only) != allowed) return false;
                }
            }
            return true;
        });
    }

    TEST_CASE("says of a name that was not asked for that it was not") {
        CHECK_TWICE([] { return mapping{}.name_status == name_state::not_asked && !mapping{}.build_id_known; });
    }
}

TEST_SUITE("a device") {
    TEST_CASE("is ordered by major, then by minor") {
        CHECK_TWICE([] {
            constexpr device_number a{1, 9}, b{2, 0}, c{2, 1};
            return a < b && b < c && a < c && c > a && a == device_number{1, 9} && a != device_number{9, 1} && b <= b;
        });
    }
}

TEST_SUITE("a build ID") {
    constexpr std::byte bytes[] = {std::byte{0x00}, std::byte{0x0f}, std::byte{0xa0}, std::byte{0xff}};
    constexpr std::byte same_bytes[] = {std::byte{0x00}, std::byte{0x0f}, std::byte{0xa0}, std::byte{0xff}};
    constexpr std::byte other_bytes[] = {std::byte{0x00}, std::byte{0x0f}, std::byte{0xa0}, std::byte{0xfe}};

    TEST_CASE("is equal by its bytes, not by where they are") {
        CHECK_TWICE([] {
            constexpr build_id_view a{bytes}, b{same_bytes}, other{other_bytes}, shorter{std::span{bytes}.first(3)};
            return a == b && a != other && a != shorter && shorter != a && build_id_view{} == build_id_view{} &&
                   a != build_id_view{} && build_id_view{} != a;
        });
        CHECK_TWICE([] {
            return build_id_view{bytes}.size() == 4 && !build_id_view{bytes}.empty() && build_id_view{}.empty() &&
                   build_id_view{bytes}.bytes().data() == bytes;
        });
    }

    TEST_CASE("is printed in lower-case hexadecimal, two digits a byte") {
        CHECK_TWICE([] {
            return print_short(build_id_view{bytes}).view() == "000fa0ff" && print_short(build_id_view{}).view().empty();
        });
        CHECK(streamed(build_id_view{bytes}) == "000fa0ff");
        CHECK(streamed(build_id_view{}).empty());
    }
}

// === probe.hpp: what needs no kernel ===================================================================================

TEST_SUITE("a kernel release") {
    constexpr bool reads(std::string_view text, std::uint32_t major, std::uint32_t minor, std::uint32_t patch, bool candidate) {
        return kernel_release::parse(text) == kernel_release{major, minor, patch, candidate};
    }
    constexpr bool unknown(std::string_view text) { return kernel_release::parse(text) == kernel_release{}; }

    TEST_CASE("is read from what uname gives, whatever a distribution adds") {
        CHECK_TWICE([] {
            return reads("6.12.74+deb13-amd64", 6, 12, 74, false) && reads("6.18.44-fc-v595", 6, 18, 44, false);
        });
        CHECK_TWICE([] { return reads("5.10.0-30-amd64", 5, 10, 0, false) && reads("6.12.75", 6, 12, 75, false); });
        CHECK_TWICE([] {
            return reads("6.1", 6, 1, 0, false) && reads("6.12", 6, 12, 0, false) && reads("7.0-x", 7, 0, 0, false);
        });
        CHECK_TWICE([] { return reads("2.6.78-x", 2, 6, 78, false) && reads("6.12.74.1-microsoft", 6, 12, 74, false); });
        CHECK_TWICE([] { return reads("65535.65535.65535", 65535, 65535, 65535, false); });
    }

    TEST_CASE("is a candidate where a vendor's 7.0.0 may be one: Fedora's rc, Ubuntu's builds") {
        CHECK_TWICE([] { return reads("7.0.0-0.rc1.20260215gitabc.15.fc45.x86_64", 7, 0, 0, true); });
        CHECK_TWICE([] { return reads("7.0.0-0.rc1", 7, 0, 0, true) && reads("7.1.0-0.rc12.fc45", 7, 1, 0, true); });
        CHECK_TWICE([] { return reads("7.0.0-3-generic", 7, 0, 0, true) && reads("7.0.0-1004-azure", 7, 0, 0, true); });
        CHECK_TWICE([] { return reads("7.0.0-070000rc3-generic", 7, 0, 0, true) && reads("6.16.0-061600rc4-generic", 6, 16, 0, true); });
        CHECK_TWICE([] { return reads("7.0.0rc1", 7, 0, 0, true) && reads("7.0.0_rc1", 7, 0, 0, true) && reads("7.0.0-RC1", 7, 0, 0, true); });
        CHECK_TWICE([] { return reads("7.0.0-next-20260301", 7, 0, 0, true) && reads("7.0.0-1rc2-foo", 7, 0, 0, true); });
        CHECK_TWICE([] { return reads("7.0.0-62.fc45.x86_64", 7, 0, 0, false) && reads("7.0.1-3-generic", 7, 0, 1, false); });
        CHECK_TWICE([] { return reads("7.0.0-arch1-1", 7, 0, 0, false) && reads("7.0.0-marc1", 7, 0, 0, false) && reads("7.0.0-rc", 7, 0, 0, false); });
        CHECK_TWICE([] { return reads("7.0.0-3", 7, 0, 0, false) && reads("7.0.0-3-4", 7, 0, 0, false) && reads("7.0.0-3-", 7, 0, 0, false); });
    }

    TEST_CASE("is a candidate when it says -rc") {
        CHECK_TWICE([] { return reads("7.0-rc3", 7, 0, 0, true) && reads("7.0.0-rc3-foo", 7, 0, 0, true); });
        CHECK_TWICE([] { return reads("6.19.0-rc7+", 6, 19, 0, true) && reads("6.12.74-foo-rc1", 6, 12, 74, true); });
    }

    TEST_CASE("is unknown when it does not parse") {
        CHECK_TWICE([] { return unknown("") && unknown("garbage") && unknown("6") && unknown("6.") && unknown("6.x"); });
        CHECK_TWICE([] { return unknown("6.12.") && unknown("6.12.x") && unknown("6.12.:") && unknown("6.12./"); });
        CHECK_TWICE([] { return unknown("99999999999.1") && unknown("6.99999999999") && unknown("6.1.99999999999"); });
        CHECK_TWICE([] {
            return unknown("65536.1") && unknown("-6.1") && unknown(" 6.1") && unknown(".6.1") && unknown("v6.1.0");
        });
        CHECK_TWICE([] { return unknown("6-rc1") && unknown("6..1") && unknown("x6.1"); });
    }

    TEST_CASE("is equal to the same release only, and not to its candidates") {
        static_assert(!std::totally_ordered<kernel_release>, "if ordered, then a candidate before its release");
        CHECK_TWICE([] {
            constexpr kernel_release a{6, 12, 74};
            return a == kernel_release{6, 12, 74} && a != kernel_release{6, 12, 75} && a != kernel_release{6, 13, 74} &&
                   a != kernel_release{7, 12, 74} && a != kernel_release{6, 12, 74, true};
        });
    }
}

TEST_SUITE("the hazards of a build-ID request") {
    constexpr hazards oops = hazard::cve_2026_23002;
    constexpr hazards reads = hazard::reads_what_is_mapped;  // what the fix of that brought
    constexpr hazards small_buffer = hazard::cve_2026_43178;
    constexpr hazards deadlock = hazard::cve_2026_23199;
    constexpr hazards all = oops | small_buffer | deadlock;
    constexpr hazards no_oops = reads | small_buffer | deadlock;

    constexpr hazards of(std::string_view release) { return known_hazards(kernel_release::parse(release)); }

    TEST_CASE("end where they are known to be fixed, in each series") {
        CHECK_TWICE([] { return of("6.12.68") == all && of("6.12.69") == no_oops; });
        CHECK_TWICE([] { return of("6.12.74") == no_oops && of("6.12.75") == reads && of("6.12.74+deb13-amd64") == no_oops; });
        CHECK_TWICE([] { return of("6.18.8") == all && of("6.18.9") == no_oops; });
        CHECK_TWICE([] { return of("6.18.15") == no_oops && of("6.18.16") == reads && of("6.18.44-fc-v595") == reads; });
        CHECK_TWICE([] { return of("6.19.0") == no_oops && of("6.19.5") == no_oops && of("6.19.6") == reads; });
        CHECK_TWICE([] { return of("7.0") == reads && of("7.0.1") == reads && of("7.3.0-1-amd64") == reads && of("8.0") == reads; });
        CHECK_TWICE([] { return !safe_to_ask(of("7.0.0-0.rc1.fc45")) && !safe_to_ask(of("7.0.0-3-generic")) && safe_to_ask(of("7.0.0-arch1-1")); });
    }

    TEST_CASE("keep a kernel from being asked, but for the one that all kernels have") {
        CHECK_TWICE([] { return safe_to_ask({}) && safe_to_ask(reads) && !safe_to_ask(oops) && !safe_to_ask(small_buffer) && !safe_to_ask(deadlock); });
        CHECK_TWICE([] { return !safe_to_ask(no_oops) && !safe_to_ask(fatal_hazards) && safe_to_ask(of("6.12.75")) && !safe_to_ask(of("6.12.74")); });
    }

    TEST_CASE("are all there where no fix is known") {
        CHECK_TWICE([] { return of("6.16.12") == all && of("6.17.13") == all && of("6.11.0") == all && of("5.10.0") == all; });
        CHECK_TWICE([] { return of("6.12.43") == all && of("6.18.5") == all && of("6.13.99") == all && of("6.20.0") == all; });
        CHECK_TWICE([] { return of("5.12.75") == all && of("5.19.99") == all && of("2.6.78-x") == all; });
    }

    TEST_CASE("are all there for a release that is unknown, or not yet released") {
        CHECK_TWICE([] { return of("") == (all | reads) && of("garbage") == (all | reads) && of("99999999999.1") == (all | reads) && of("7") == (all | reads); });
        CHECK_TWICE([] { return of("7.0-rc1") == (all | reads) && of("7.0.0-rc3-foo") == (all | reads) && of("6.19.6-rc1") == (all | reads); });
    }
}

int main(int argc, char** argv) { return doctest::Context(argc, argv).run(); }
