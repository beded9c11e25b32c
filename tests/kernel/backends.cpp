// Which back-end is chosen, depending on the ioctl's answer.
#include "fake_kernel.hpp"

#include <cerrno>
#include <utility>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>
#include <procmap/probe.hpp>
#include <procmap/result.hpp>

using namespace support;
namespace uapi = procmap::uapi;
using procmap::errc;
using uapi::procmap_query;

TEST_CASE("each errno that says 'no such ioctl' means text, and a clear error where the ioctl was insisted on") {
    for (const int code : {ENOTTY, ENOSYS, EPERM, EACCES, EOPNOTSUPP, ENODEV, EINVAL, EIO, EPROTO}) {
        CAPTURE(code);
        with_kernel kernel;
        kernel.ioctl = [&](procmap_query&) { return -code; };
        CHECK(opened(procmap::backend::automatic).backend() == procmap::backend::text);
        const auto insisted = procmap::maps::open_self({.use = procmap::backend::ioctl});
        REQUIRE(!insisted);
        CHECK(insisted.error() == errc::unsupported);
        CHECK(insisted.error().errno_value == code);
        const auto can = procmap::probe();
        CHECK(!can.ioctl);
        CHECK(can.ioctl_errno == code);
        CHECK(can.text);
        CHECK(can.struct_size == 0);
        CHECK(can.build_id_hazards.empty());
    }
}

TEST_CASE("where no answer came for another reason it is read as text, too, and the error says what it was") {
    const std::pair<int, errc> meanings[] = {{ENOMEM, errc::failed}, {EINTR, errc::interrupted}, {EBADF, errc::invalid}};
    for (const auto& known : meanings) {
        const int code = known.first;
        CAPTURE(code);
        with_kernel kernel;
        kernel.ioctl = [&](procmap_query&) { return -code; };
        CHECK(opened(procmap::backend::automatic).backend() == procmap::backend::text);
        const auto insisted = procmap::maps::open_self({.use = procmap::backend::ioctl});
        CHECK(insisted.error() == known.second);
        CHECK(insisted.error().errno_value == code);
        CHECK(!procmap::probe().ioctl);
    }
}

TEST_CASE("once the ioctl has answered, no later error switches to text") {
    for (const int code : {ENOTTY, ENOSYS, EPERM, EACCES, EOPNOTSUPP, EINVAL, EIO, ENOMEM}) {
        CAPTURE(code);
        with_kernel kernel;
        kernel.ioctl = [&](procmap_query&) { return -ENOENT; };
        const auto maps = opened(procmap::backend::automatic);
        kernel.ioctl = [&](procmap_query&) { return -code; };
        kernel.preads = 0;
        CHECK(maps.find(0x1000).error().errno_value == code);
        CHECK(maps.find(0x1000).error().at == procmap::step::query);
        auto walk = maps.walk();
        CHECK(walked(walk).empty());
        CHECK(walk.error().errno_value == code);
        CHECK(kernel.preads == 0);
    }
}

TEST_CASE("an answer about the address space does not mean text") {
    with_kernel kernel;
    kernel.ioctl = [&](procmap_query&) { return -ENOENT; };
    CHECK(opened(procmap::backend::automatic).backend() == procmap::backend::ioctl);
    kernel.preads = 0;
    kernel.ioctl = [](procmap_query&) { return -ESRCH; };
    CHECK(procmap::maps::open_self().error() == errc::gone);
    CHECK(kernel.preads == 1);  // of /proc/self/stat, to tell why: the text was not asked instead
}

TEST_CASE("text sends no ioctl") {
    with_kernel kernel;
    auto maps = opened(procmap::backend::text);
    auto walk = maps.walk({.names = true});
    CHECK(!walked(walk).empty());
    CHECK(walk.complete());
    CHECK(kernel.ioctls == 0);
}
