// The ioctl's struct, queries and replies.
#include "../support/check_twice.hpp"

#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/pfr.hpp>
#include <doctest/doctest.h>

#include <procmap/flags.hpp>
#include <procmap/mapping.hpp>
#include <procmap/query.hpp>
#include <procmap/uapi.hpp>

#if __has_include(<linux/fs.h>)
#include <linux/fs.h>
#endif

using namespace procmap;

namespace {

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

}  // namespace
