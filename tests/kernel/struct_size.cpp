// Kernels that know a smaller or larger struct.
#include "fake_kernel.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>
#include <procmap/maps.hpp>
#include <procmap/probe.hpp>
#include <procmap/result.hpp>
#include <procmap/uapi.hpp>

using namespace support;
namespace uapi = procmap::uapi;
using procmap::errc;
using uapi::procmap_query;

TEST_CASE("a query with a field that the kernel does not know degrades to the layout it knows, and names what it lost") {
    struct future_query {  // what a later kernel may define
        procmap_query known;
        std::uint64_t vma_shadow;
    };
    std::vector<uapi::field> future_fields(std::begin(uapi::fields), std::end(uapi::fields));
    future_fields.push_back({"vma_shadow", 104, 8});

    with_kernel kernel;
    for (const std::size_t known : {std::size_t{24}, std::size_t{104}, std::size_t{112}}) {
        CAPTURE(known);
        kernel.ioctl = [&](procmap_query& q) { return answer(three, q, known); };
        future_query q{};
        q.known.size = sizeof q;
        q.known.query_addr = 0x1000;
        q.known.vma_page_size = known < 104 ? 1 : 0;  // not zero, so that a kernel of 24 bytes refuses it
        q.vma_shadow = 1;
        const uapi::reply reply = uapi::send(procmap::borrowed_fd{-1}, q);
        CHECK(reply.error == 0);
        CHECK(reply.size == known);
        const auto lost = reply.lost(sizeof q, future_fields);
        if (known == 112) CHECK(lost.empty());
        if (known == 104) {
            REQUIRE(lost.size() == 1);
            CHECK(lost[0].name == "vma_shadow");
            CHECK(q.known.vma_start == 0x1000);
        }
        if (known == 24) {
            REQUIRE(lost.size() == 13);
            CHECK(lost[0].name == "vma_start");
            CHECK(lost[12].name == "vma_shadow");
        }
    }
    kernel.ioctl = nullptr;
    const auto maps = opened(procmap::backend::ioctl);
    kernel.ioctl = [&](procmap_query& q) { return answer(three, q, 24); };
    procmap::name_buffer name;
    CHECK(maps.find(0x1000, {.name = name}).error() == errc::unsupported);  // such a kernel tells nothing about a mapping
    kernel.ioctl = [&](procmap_query&) { return -E2BIG; };
    CHECK(maps.find(0x1000).error() == errc::unsupported);
}

TEST_CASE("the kernel's struct size is found, whatever it has grown or shrunk to") {
    with_kernel kernel;
    for (const std::size_t known : {24u, 40u, 96u, 104u, 112u, 128u, 1024u, 4096u}) {
        kernel.ioctl = [&](procmap_query& q) { return answer(three, q, known); };
        CHECK(procmap::probe().struct_size == known);
    }
}
