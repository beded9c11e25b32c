// Walks and lookups by text: short reads, long lines, malformed and truncated text.
#include "fake_kernel.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>
#include <procmap/result.hpp>
#include <procmap/snapshot.hpp>

using namespace support;
namespace uapi = procmap::uapi;
using procmap::errc;
using uapi::procmap_query;

TEST_CASE("text is the same, however it is cut into reads") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::text);
    for (std::size_t chunk = 1; chunk <= three_text.size() + 1; ++chunk) {
        kernel.pread = serve(three_text, chunk);
        kernel.preads = 0;
        auto walk = maps.walk({.names = true});
        CHECK(walked(walk) == three_text);
        CHECK(walk.complete());
        const auto chunks = (three_text.size() + chunk - 1) / chunk;
        CHECK(kernel.preads == static_cast<int>(chunks) + 2);  // the end, and whether the process still lives
    }
}

TEST_CASE("a line longer than the buffer loses its name and nothing else, however it is cut") {
    const std::string text = "00001000-00003000 r-xp 00002000 fe:00 7                                  /" + std::string(1000, 'x') +
                             "\n00003000-00004000 rw-p 00000000 00:00 0                                  [heap]\n";
    with_kernel kernel;
    const auto maps = opened(procmap::backend::text);
    char buffer[256];
    for (const std::size_t chunk : {1u, 7u, 100u, 255u, 256u, 257u, 1073u, 1074u, 1075u, 4096u}) {
        CAPTURE(chunk);
        kernel.pread = serve(text, chunk);
        auto walk = maps.walk({.names = true, .buffer = buffer});
        auto i = walk.begin();
        REQUIRE(i != walk.end());
        CHECK(i->name.empty());
        CHECK(i->name_status == procmap::name_state::too_long);
        CHECK(i->inode == 7);
        ++i;
        REQUIRE(i != walk.end());
        CHECK(i->name == "[heap]");
        ++i;
        CHECK(i == walk.end());
        CHECK(walk.complete());
    }
    const std::string torn = text.substr(0, 900);  // and one that ends inside such a line is not the end of anything
    kernel.pread = serve(torn);
    auto walk = maps.walk({.names = true, .buffer = buffer});
    walked(walk);
    CHECK(walk.error() == errc::malformed);
}

TEST_CASE("find gives a name of up to one byte less than its buffer by text too, however long, cut, or disturbed") {
    for (const std::size_t length : {1u, 2u, 18u, 255u, 4095u, 4096u, 4200u, 4223u, 4224u, 5000u, 20000u}) {
        CAPTURE(length);
        const std::string long_name = '/' + std::string(length - 1, 'n');
        const std::string text = "00001000-00003000 r-xp 00002000 fe:00 7                                  /other\n"
                                 "00003000-00004000 r-xp 00002000 fe:00 8                                  " + long_name +
                                 "\n00004000-00005000 r-xp 00002000 fe:00 9                                  /next\n";
        for (const std::size_t chunk : {50u, 1000u, 4096u, 100000u}) {
            CAPTURE(chunk);
            with_kernel kernel;
            const auto maps = opened(procmap::backend::text);
            kernel.pread = serve(text, chunk);
            std::vector<char> buffer(length + 1);
            const auto fits = maps.find(0x3000, {.name = buffer});
            CHECK(fits->name == long_name);
            CHECK(fits->name_status == procmap::name_state::exact);
            CHECK(fits->inode == 8);
            CHECK(maps.find(0x4000, {.name = buffer})->name == (length >= 5 ? "/next" : ""));
            buffer.resize(length);
            const auto too_long = maps.find(0x3000, {.name = buffer});
            CHECK(too_long->name.empty());
            CHECK(too_long->name_status == procmap::name_state::too_long);
            CHECK(maps.find(0x4000)->inode == 9);
            buffer.resize(length + 1);
            int reads = 0;  // another reader, after each of the first reads
            bool inside = false;
            kernel.signals = [&] {
                if (inside || ++reads > 8) return;
                inside = true;
                CHECK(maps.find(0x1000)->inode == 7);
                inside = false;
            };
            CHECK(maps.find(0x3000, {.name = buffer})->name == long_name);
        }
    }
}

TEST_CASE("a mapping of zero length, which others write, is in no walk, lookup or capture, and breaks nothing off") {
    const std::string text = "00000000-00000000 ---p 00000000 00:00 0 \n"
                             "00001000-00001000 ---p 00000000 00:00 0                                  [guard]\n" + three_text +
                             "00009000-00009000 rw-S 00000000 fe:00 7                                  /x\n"
                             "0000a000-0000b000 r-x- 00000000 fe:00 7                                  /x\n";
    with_kernel kernel;
    const auto maps = opened(procmap::backend::text);
    kernel.pread = serve(text, 100);
    auto walk = maps.walk({.names = true});
    CHECK(walked(walk) == three_text + "0000a000-0000b000 r-xp 00000000 fe:00 7                                  /x\n");
    CHECK(walk.complete());
    CHECK(maps.find_from(0)->start == 0x1000);
    CHECK(maps.find(0x1000)->end == 0x3000);
    CHECK(maps.find(0x9000).error() == errc::not_mapped);
    CHECK(maps.find_from(0x9000)->start == 0xa000);
    CHECK((*procmap::snapshot::capture(maps)).size() == 4);
}

TEST_CASE("malformed text is reported with its line and byte, and the lines before it are not lost") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::text);
    std::string text = three_text;
    text.insert(text.find('\n') + 1, "what is this\n");
    for (const std::size_t chunk : {1u, 50u, 4096u}) {
        kernel.pread = serve(text, chunk);
        auto walk = maps.walk({.names = true});
        CHECK(walked(walk) == three_text.substr(0, three_text.find('\n') + 1));
        CHECK(walk.error() == errc::malformed);
        CHECK(walk.error().line == 2);
        CHECK(walk.error().offset == text.find("what"));
        CHECK(maps.find(0x1000));
        CHECK(maps.find(0x3000).error() == errc::malformed);
    }
    const std::string torn = three_text.substr(0, three_text.size() - 1);
    kernel.pread = serve(torn);
    auto walk = maps.walk({.names = true});
    CHECK(walked(walk) == three_text.substr(0, three_text.rfind("00007000")));
    CHECK(walk.error() == errc::malformed);
    CHECK(walk.error().line == 3);
}

TEST_CASE("text that ends because the process does is not the end of the address space") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::text);
    bool alive = true;
    kernel.pread = [&, good = serve(three_text)](char* to, std::size_t size, std::uint64_t at) -> long {
        if (!alive) return 0;
        const long n = good(to, size, at);
        if (n == 0) alive = false;  // it exits as its text ends
        return n;
    };
    auto walk = maps.walk({.names = true});
    CHECK(walked(walk) == three_text);
    CHECK(!walk.complete());
    CHECK(walk.error() == errc::gone);
    CHECK(maps.find(0x1000).error() == errc::gone);
    alive = true;
    CHECK(maps.find(0x5000).error() == errc::not_mapped);
    alive = true;
    CHECK(maps.find(0x9000).error() == errc::gone);  // not "not mapped": nobody can say
}

TEST_CASE("ESRCH from text means gone or task_gone, and the ioctl knows which") {
    const struct {
        int ioctl;
        bool thread;
        errc meaning;
    } cases[] = {{0, false, errc::task_gone},  {-ENOENT, false, errc::task_gone}, {-ESRCH, false, errc::gone},
                 {-ENOTTY, false, errc::gone}, {-ENOTTY, true, errc::task_gone},  {-ESRCH, true, errc::gone}};
    for (const auto& c : cases) {
        CAPTURE(c.ioctl);
        with_kernel kernel;
        const auto opened_maps = c.thread ? procmap::maps::open(getpid(), getpid(), {.use = procmap::backend::text})
                                          : procmap::maps::open_self({.use = procmap::backend::text});
        REQUIRE(opened_maps);
        int reads = 0;
        kernel.pread = [&, good = serve(three_text, 100)](char* to, std::size_t size, std::uint64_t at) -> long {
            return ++reads == 1 ? good(to, size, at) : -ESRCH;
        };
        kernel.ioctl = [&](procmap_query&) { return c.ioctl; };
        auto walk = opened_maps->walk({.names = true});
        CHECK(walked(walk) == three_text.substr(0, three_text.find('\n') + 1));
        CHECK(walk.error() == c.meaning);
        CHECK(walk.error().errno_value == ESRCH);
    }
}

TEST_CASE("each errno of a read becomes the error that says what it means, and what was read before is kept") {
    const std::pair<int, errc> meanings[] = {{EACCES, errc::denied}, {EPERM, errc::denied}, {EBADF, errc::invalid},
                                             {EIO, errc::failed},    {ENOMEM, errc::failed}, {EISDIR, errc::failed}};
    for (const auto& known : meanings) {
        const int code = known.first;
        const errc meaning = known.second;
        CAPTURE(code);
        with_kernel kernel;
        const auto maps = opened(procmap::backend::text);
        kernel.pread = [&, code, good = serve(three_text, 100)](char* to, std::size_t size, std::uint64_t at) -> long {
            return at == 0 ? good(to, size, at) : -code;
        };
        auto walk = maps.walk({.names = true});
        errno = 4242;
        CHECK(walked(walk) == three_text.substr(0, three_text.find('\n') + 1));
        CHECK(errno == 4242);
        CHECK(walk.error() == meaning);
        CHECK(walk.error().errno_value == code);
        CHECK(walk.error().at == procmap::step::read);
        CHECK(!walk.complete());
    }
}
