// extent, and the options of a walk: the gate VMA, the back-end. Their queries are counted.
#include "fake_kernel.hpp"

#include <cerrno>
#include <cstdint>
#include <string>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>

using namespace support;
using procmap::backend;
using procmap::errc;
using procmap::mapping;
using uapi::procmap_query;

namespace {

const std::string gate_text = three_text + "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

void serve_both(with_kernel& kernel) {
    kernel.ioctl = [](procmap_query& q) { return answer(three, q); };
    kernel.pread = serve(gate_text);
}

}  // namespace

TEST_CASE("extent is one query for each mapping, and does not go on past what was asked about") {
    with_kernel kernel;
    const auto maps = opened(backend::ioctl);
    serve_both(kernel);
    const auto extent = [&](std::uint64_t address, std::uint64_t size, procmap::filters only, int queries) {
        kernel.ioctls = 0;
        const auto found = maps.extent(address, size, only);
        CHECK(kernel.ioctls == queries);
        return found.value();
    };
    CHECK(extent(0x1000, 0x2000, {}, 1) == 0x2000);
    CHECK(extent(0x1000, 0x2001, {}, 2) == 0x2001);
    CHECK(extent(0x1000, 0x3001, {}, 3) == 0x3000);
    CHECK(extent(0x1000, UINT64_MAX, {}, 3) == 0x3000);
    CHECK(extent(0x1000, 0x9000, procmap::executable, 2) == 0x2000);
    CHECK(extent(0x2fff, 0x9000, procmap::readable, 3) == 0x1001);
    CHECK(extent(0x0fff, 1, {}, 1) == 0);
    CHECK(extent(0x4000, 0x1000, {}, 1) == 0);
    CHECK(extent(0x1000, 0, {}, 0) == 0);
    CHECK(extent(0x1000, 0x2000, procmap::file_backed, 1) == 0x2000);
    CHECK(extent(0x3000, 0x2000, procmap::file_backed, 1) == 0);
    CHECK(kernel.preads == 0);
}

TEST_CASE("extent by text is the same, and reads the text once") {
    with_kernel kernel;
    const auto maps = opened(backend::text);
    serve_both(kernel);
    const auto extent = [&](std::uint64_t address, std::uint64_t size, procmap::filters only) {
        kernel.preads = 0;
        const auto found = maps.extent(address, size, only);
        CHECK(kernel.preads <= 3);  // text, its end, and whether the process still exists
        return found.value();
    };
    CHECK(extent(0x1000, 0x2001, {}) == 0x2001);
    CHECK(extent(0x1000, 0x3001, {}) == 0x3000);
    CHECK(extent(0x7000, UINT64_MAX, {}) == 0x2000);
    CHECK(extent(0x1000, 0x9000, procmap::executable) == 0x2000);
    CHECK(extent(0x2fff, 0x9000, procmap::readable) == 0x1001);
    CHECK(extent(0x0fff, 1, {}) == 0);
    CHECK(extent(0xffffffffff600000, 1, {}) == 0);  // the gate VMA is in no address space
    CHECK(extent(0x1000, 0, {}) == 0);
    CHECK(kernel.preads == 0);
    CHECK(extent(0x3000, 0x2000, procmap::file_backed) == 0);
    CHECK(kernel.ioctls == 0);
}

TEST_CASE("extent fails where a query fails, also after it has found something") {
    with_kernel kernel;
    const auto maps = opened(backend::ioctl);
    for (const auto& [code, meaning] : {std::pair{ESRCH, errc::gone}, std::pair{EPERM, errc::denied}, std::pair{EINTR, errc::interrupted}}) {
        int queries = 0;
        kernel.ioctl = [&, code = code](procmap_query& q) { return ++queries > 1 ? -code : answer(three, q); };
        CHECK(maps.extent(0x1000, 0x2000).value() == 0x2000);
        queries = 0;
        CHECK(maps.extent(0x1000, 0x3000).error() == meaning);
    }
    kernel.ioctl = nullptr;
    const auto text = opened(backend::text);
    kernel.pread = [](char*, std::size_t, std::uint64_t) -> long { return -EIO; };
    CHECK(text.extent(0x1000, 1).error() == errc::failed);
    const std::string broken = three_text.substr(0, three_text.find('\n') + 1) + "nonsense\n";
    kernel.pread = serve(broken);
    CHECK(text.extent(0x1000, 0x2000).value() == 0x2000);
    CHECK(text.extent(0x1000, 0x3000).error() == errc::malformed);
}

TEST_CASE("a walk reports the gate VMA on request, by the ioctl with the text of its end") {
    with_kernel kernel;
    const auto maps = opened(backend::ioctl);
    const auto text = opened(backend::text);
    serve_both(kernel);
    auto without = maps.walk({.names = true});
    CHECK(walked(without) == three_text);
    kernel.preads = 0;
    auto with = maps.walk({.names = true, .gate = true});
    CHECK(walked(with) == gate_text);
    CHECK(with.complete());
    CHECK(kernel.preads == 3);
    CHECK(walked(with) == gate_text);  // again, by both
    auto by_text = text.walk({.names = true, .gate = true});
    CHECK(walked(by_text) == gate_text);
    CHECK(by_text.complete());
    auto filtered = maps.walk({.only = procmap::writable, .gate = true});
    CHECK(walked(filtered) == "00003000-00004000 rw-p 00000000 00:00 0 \n");
    kernel.pread = [](char*, std::size_t, std::uint64_t) -> long { return -EIO; };
    CHECK(walked(with) == three_text);
    CHECK((!with.complete() && with.error() == errc::failed));
    kernel.ioctl = [](procmap_query&) { return -EPERM; };
    CHECK(walked(with).empty());
    CHECK(with.error() == errc::denied);
}

TEST_CASE("a walk uses the back-end that it is told to use, and fails where the handle has none") {
    with_kernel kernel;
    const auto maps = opened(backend::ioctl);
    serve_both(kernel);
    kernel.ioctls = kernel.preads = 0;
    auto by_text = maps.walk({.names = true, .use = backend::text});
    CHECK(walked(by_text) == three_text);
    CHECK((by_text.complete() && kernel.ioctls == 0 && kernel.preads > 0));
    kernel.preads = 0;
    auto by_ioctl = maps.walk({.names = true, .use = backend::ioctl});
    CHECK(walked(by_ioctl) == three_text);
    CHECK((by_ioctl.complete() && kernel.ioctls == 4 && kernel.preads == 0));

    const auto text = opened(backend::text);
    kernel.ioctls = kernel.preads = 0;
    auto none = text.walk({.use = backend::ioctl});
    CHECK(walked(none).empty());
    CHECK((!none.complete() && none.error() == errc::unsupported && kernel.ioctls == 0 && kernel.preads == 0));
    auto same = text.walk({.names = true, .use = backend::text});
    CHECK(walked(same) == three_text);
}

TEST_CASE("a walk by text has the malformed line that ended it") {
    with_kernel kernel;
    const auto text = opened(backend::text);
    const std::string broken = three_text + "7000-8000 r-xp what\n" + three_text;
    kernel.pread = serve(broken);
    auto walk = text.walk();
    CHECK(walk.malformed_line().empty());
    CHECK(walked(walk).find("00007000") != std::string::npos);
    CHECK((walk.error() == errc::malformed && walk.error().line == 4 && walk.malformed_line() == "7000-8000 r-xp what"));
    kernel.pread = serve(three_text);
    CHECK(!walked(walk).empty());
    CHECK((walk.complete() && walk.malformed_line().empty()));
}

TEST_CASE("names are NUL-terminated, also empty ones after longer ones") {
    with_kernel kernel;
    const auto maps = opened(backend::ioctl);
    const auto text = opened(backend::text);
    serve_both(kernel);
    for (const auto* handle : {&maps, &text}) {
        auto walk = handle->walk({.names = true});
        for (const mapping& m : walk) {
            REQUIRE(m.name.data() != nullptr);
            CHECK(std::string_view{m.name.data()} == m.name);
        }
        procmap::name_buffer name;
        for (const vma& v : three) {
            const auto m = handle->find(v.start, {.name = name});
            CHECK((m && m->name == v.name && std::string_view{m->name.data()} == v.name));
        }
    }
}

TEST_CASE("a walk in the caller's buffer is that of a walk, and one in none is refused") {
    with_kernel kernel;
    const auto maps = opened(backend::ioctl);
    const auto text = opened(backend::text);
    serve_both(kernel);
    char room[256];
    for (const auto* handle : {&maps, &text}) {
        auto walk = handle->walk_in_buffer({.names = true, .gate = true, .buffer = room});
        static_assert(sizeof walk < 1024);
        std::string lines;
        for (const mapping& m : walk) lines += line_of(m) + '\n';
        CHECK(lines == gate_text);
        CHECK(walk.complete());
        for (const std::size_t size : {std::size_t{0}, sizeof room - 1}) {
            auto none = handle->walk_in_buffer({.buffer = std::span{room}.first(size)});
            CHECK(none.begin() == none.end());
            CHECK((none.error() == errc::invalid && !none.complete()));
        }
    }
}
