// Walks and lookups by the ioctl: cost, errno values, interrupted calls and contradictory answers.
#include "fake_kernel.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/maps.hpp>
#include <procmap/result.hpp>

using namespace support;
namespace uapi = procmap::uapi;
using procmap::errc;
using uapi::procmap_query;

TEST_CASE("a lookup is one system call, a walk one for each mapping and one for the end") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::ioctl);
    kernel.ioctl = [](procmap_query& q) { return answer(three, q); };
    procmap::name_buffer name;
    kernel.ioctls = 0;
    CHECK(maps.find(0x2fff, {.name = name})->name == "/bin/a");
    CHECK(maps.find(0x2fff)->start == 0x1000);
    CHECK(maps.find_from(0x4000)->start == 0x7000);
    CHECK(maps.find(0x4000).error() == errc::not_mapped);
    CHECK(maps.find_from(0x9000).error() == errc::not_mapped);
    CHECK(kernel.ioctls == 5);
    kernel.ioctls = 0;
    auto walk = maps.walk({.names = true});
    CHECK(walked(walk) == three_text);
    CHECK(walk.complete());
    CHECK(kernel.ioctls == 4);
    CHECK(kernel.preads == 0);
}

TEST_CASE("a signal that interrupts is survived, and one that always does is an error") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::ioctl);
    int interruptions = 3;
    kernel.ioctl = [&](procmap_query& q) { return interruptions-- > 0 ? -EINTR : answer(three, q); };
    CHECK(maps.find(0x1000)->start == 0x1000);
    interruptions = 1'000'000;
    CHECK(maps.find(0x1000).error() == errc::interrupted);
    auto walk = maps.walk();
    CHECK(walked(walk).empty());
    CHECK(walk.error() == errc::interrupted);
    CHECK(!walk.complete());

    kernel.ioctl = nullptr;
    int opens = 2;
    kernel.openat = [&](const char*) { return opens-- > 0 ? -EINTR : 0; };
    CHECK(procmap::maps::open_self());
    opens = 1'000'000;
    CHECK(procmap::maps::open_self().error() == errc::interrupted);

    kernel.openat = nullptr;
    const auto text = opened(procmap::backend::text);
    int reads = 0;
    kernel.pread = [&, good = serve(three_text, 10)](char* to, std::size_t size, std::uint64_t at) -> long {
        return ++reads % 2 == 1 ? -EINTR : good(to, size, at);
    };
    auto lines = text.walk({.names = true});
    CHECK(walked(lines) == three_text);
    kernel.pread = [](char*, std::size_t, std::uint64_t) -> long { return -EINTR; };
    CHECK(text.find(0x1000).error() == errc::interrupted);
}

TEST_CASE("a name that the kernel cannot give is left out and said so, and the rest comes") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::ioctl, true);
    for (const int code : {ENAMETOOLONG, ENOMEM}) {
        kernel.ioctl = [&](procmap_query& q) { return q.vma_name_size != 0 && q.query_addr < 0x3000 ? -code : answer(three, q); };
        procmap::name_buffer name;
        procmap::build_id_buffer id;
        kernel.ioctls = 0;
        const auto m = maps.find(0x1000, {.name = name, .build_id = id});
        REQUIRE(m);
        CHECK(kernel.ioctls == 2);
        CHECK(m->name.empty());
        CHECK(m->name_status == (code == ENOMEM ? procmap::name_state::no_memory : procmap::name_state::too_long));
        CHECK(m->inode == 7);
        CHECK(m->build_id.empty());  // without its name nobody knows whether it may be read
        CHECK_FALSE(m->build_id_known);
        auto walk = maps.walk({.names = true});
        CHECK(walked(walk).find("[heap]") != std::string::npos);
        CHECK(walk.complete());
    }
    kernel.ioctl = [](procmap_query&) { return -ENAMETOOLONG; };
    procmap::name_buffer name;
    CHECK(maps.find(0x1000, {.name = name}).error() == errc::failed);
}

TEST_CASE("an answer that contradicts the question is malformed, and never an endless walk") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::ioctl);
    procmap::name_buffer name;
    procmap::build_id_buffer id;
    const auto lie = [&](auto change) {
        kernel.ioctl = [change](procmap_query& q) {
            const int r = answer(three, q);
            change(q);
            return r;
        };
        return maps.find_from(0x1000, {.name = name, .build_id = id}).error().code;
    };
    CHECK(lie([](procmap_query&) {}) == errc::none);
    CHECK(lie([](procmap_query& q) { q.vma_end = q.vma_start; }) == errc::malformed);
    CHECK(lie([](procmap_query& q) { q.vma_start = q.vma_end + 1; }) == errc::malformed);
    CHECK(lie([](procmap_query& q) { q.vma_start = 0, q.vma_end = 0x1000; }) == errc::malformed);
    CHECK(lie([](procmap_query& q) { q.vma_name_size = 4097; }) == errc::malformed);
    CHECK(lie([](procmap_query& q) { q.build_id_size = 21; }) == errc::malformed);
    CHECK(lie([](procmap_query& q) { q.vma_start = 0x2000; }) == errc::none);  // above the address: find_from takes it,
    CHECK(maps.find(0x1000).error() == errc::malformed);                      // find does not

    kernel.ioctl = [](procmap_query& q) {  // the same mapping for ever
        q.vma_start = 0x1000;
        q.vma_end = 0x2000;
        return 0;
    };
    auto walk = maps.walk();
    CHECK(walked(walk) == "00001000-00002000 ---p 00000000 00:00 0 \n");
    CHECK(walk.error() == errc::malformed);
    CHECK(!walk.complete());
}

TEST_CASE("an address that a 32-bit kernel cuts to 32 bits is not mapped there") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::ioctl);
    kernel.ioctl = [](procmap_query& q) {
        q.query_addr &= 0xffffffff;
        return answer(three, q);
    };
    CHECK(maps.find(0x1'0000'1000).error() == errc::not_mapped);
    CHECK(maps.find_from(0x1'0000'1000).error() == errc::not_mapped);
    CHECK(maps.find(0x1000));
}

TEST_CASE("each errno of a query becomes the error that says what it means") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::ioctl);
    const std::pair<int, errc> meanings[] = {{ENOENT, errc::not_mapped},  {ESRCH, errc::gone},       {EPERM, errc::denied},
                                             {EACCES, errc::denied},      {ENOTTY, errc::unsupported}, {ENOSYS, errc::unsupported},
                                             {EBADF, errc::invalid},      {EFAULT, errc::invalid},   {EINVAL, errc::invalid},
                                             {ENOMEM, errc::failed},      {EIO, errc::failed}};
    for (const auto& known : meanings) {
        const int code = known.first;
        const errc meaning = known.second;
        CAPTURE(code);
        kernel.ioctl = [code](procmap_query&) { return -code; };
        errno = 4242;
        const auto m = maps.find(0x1000);
        CHECK(errno == 4242);
        CHECK(m.error() == meaning);
        CHECK(m.error().errno_value == code);
        CHECK(m.error().at == procmap::step::query);
        auto walk = maps.walk();
        CHECK(walked(walk).empty());
        CHECK(walk.complete() == (code == ENOENT));
        CHECK(walk.error() == (code == ENOENT ? errc::none : meaning));
    }
}

TEST_CASE("a walk clips what reaches back over the end of the mapping before it, offset included") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::ioctl);
    int asked = 0;
    kernel.ioctl = [&](procmap_query& q) {  // after the first answer the process maps more, and it merges downwards
        if (asked++ == 0) return answer(three, q);
        return answer({{0x1000, 0x6000, 5, 0x2000, 7, "/bin/a", {}}, {0x6000, 0x8000, 1, 0, 0, {}, {}}}, q);
    };
    auto walk = maps.walk();
    CHECK(walked(walk) ==
          "00001000-00003000 r-xp 00002000 fe:00 7 \n"
          "00003000-00006000 r-xp 00004000 fe:00 7 \n"
          "00006000-00008000 r--p 00000000 00:00 0 \n");

    const std::string text =
        "00001000-00003000 r-xp 00002000 fe:00 7 \n"
        "00001000-00006000 r-xp 00002000 fe:00 7 \n"
        "00005000-00006000 r-xp 00002000 fe:00 7 \n"
        "00002000-00008000 r--p 00000000 00:00 0 \n";
    kernel.pread = serve(text);
    const auto reader = opened(procmap::backend::text);
    auto lines = reader.walk();
    CHECK(walked(lines) ==
          "00001000-00003000 r-xp 00002000 fe:00 7 \n"
          "00003000-00006000 r-xp 00004000 fe:00 7 \n"
          "00006000-00008000 r--p 00000000 00:00 0 \n");
    CHECK(lines.complete());
}
