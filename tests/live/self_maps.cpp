// A handle on this process that is kept across fork.
#include "asking.hpp"
#include "../support/calls.hpp"
#include "../support/descriptors.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>

#include <doctest/doctest.h>

#include <procmap/self_maps.hpp>

using namespace support;
using procmap::backend;
using procmap::self_maps;

namespace {

TEST_CASE("self_maps answers for the process that asks, in a child and in the child of a child") {
    NEEDS_LIVE_MAPS();
    for (const backend use : backends()) {
        CAPTURE(use);
        self_maps self{{.use = use}};
        REQUIRE(self.get());
        const int fd = self.get()->fd().get();
        CHECK(self.get()->fd().get() == fd);  // it is opened once
        char* const before = map_pages(1);
        const auto mapped_here = [&self](const char* at) { return self.get() && self.get()->find(at).has_value(); };
        CHECK(mapped_here(before));
        child forked{[&](channel& parent) {
            char* const own = map_pages(3);
            ::munmap(before, page);
            parent.send(mapped_here(own) && !mapped_here(before) && self.get()->find(own)->contains(own));
            const pid_t grandchild = ::fork();
            if (grandchild == 0) {
                ::munmap(own, 3 * page);
                ::_exit(!mapped_here(own) && mapped_here(reinterpret_cast<const char*>(&self)) ? 0 : 1);
            }
            int status = 1;
            ::waitpid(grandchild, &status, 0);
            parent.send(status == 0);
            parent.send(mapped_here(own));
            parent.await();
        }};
        CHECK(forked->receive<bool>());
        CHECK(forked->receive<bool>());
        CHECK(forked->receive<bool>());
        forked->signal();
        CHECK(mapped_here(before));
        CHECK(self.get()->fd().get() == fd);  // the parent's is not opened again
        ::munmap(before, page);
    }
}

self_maps& of_thread() {
    thread_local self_maps self;
    return self;
}

TEST_CASE("self_maps opens no descriptor before it is asked, one for each thread, and tries again after a failure") {
    const auto descriptors = open_descriptors();
    std::thread{[descriptors] {
        self_maps& self = of_thread();
        CHECK(open_descriptors() == descriptors);
        CHECK(self.get());
        CHECK(open_descriptors() == descriptors + 1);
        bool own = false;
        std::thread{[&own, here = self.get()->fd().get()] { own = of_thread().get() && of_thread().get()->fd().get() != here; }}.join();
        CHECK(own);
        CHECK(open_descriptors() == descriptors + 1);
    }}.join();
    CHECK(open_descriptors() == descriptors);  // a thread's is closed with it
    const temporary_directory empty;
    const std::string& proc = empty.path();
    self_maps absent{{.proc = proc.c_str()}};
    CHECK(absent.get().error().code != procmap::errc::none);
    std::filesystem::create_directory_symlink("/proc/self", proc + "/self");
    CHECK(absent.get());
}

}  // namespace
