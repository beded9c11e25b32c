// Files on FUSE: their server is never asked to read.
#include "programs.hpp"
#include "fuse_server.hpp"
#include "observers.hpp"
#include "truths.hpp"
#include "fixture.hpp"
#include "../support/machine.hpp"
#include "../support/skipping.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>

using namespace support;
using procmap::backend;

namespace {

/// All ways but those that ask the kernel by the mapping's name alone.
std::vector<way> ways_that_ask_no_server() {
    std::vector<way> ways;
    for (const way& w : all_ways())
        if (w.use == backend::text || w.looks_at_files()) ways.push_back(w);
    return ways;
}

TEST_CASE("the server of a FUSE file is asked to read nothing, and its files stay as many as they are") {
    NEEDS_FIXTURE(t);
    set(server().armed, 0);
    // Where its owner alone is let in, nobody else can even look at its files, not even root.
    int number = 0;
    for (const char* whose : {"user_id=0,group_id=0,allow_other", "user_id=0,group_id=0", "user_id=65534,group_id=65534"}) {
        INFO(std::string{whose});
        const std::string at = t.make("fuse" + std::to_string(++number));
        if (t.stage.fuse(at, whose) != 0) SKIP("no FUSE");
        const auto user = t.user(number != 3);
        std::vector<truth> all;
        const std::uint32_t unread = now(server().reads);
        for (int i = 0; i < 3; ++i) {
            const std::string path = at + '/' + files_served[i].name;
            all = all + truths_of(user->map(path, files_served[i].content), path, files_served[i].content, i);
        }
        if (number != 3) user->become_nobody();
        CHECK(now(server().reads) == unread);
        for (const bool touched : {false, true}) {
            INFO("touched " << touched);
            if (touched)
                for (std::size_t i = 0; i < all.size(); i += segments) user->touch(all[i].address);
            const std::uint32_t before = now(server().reads);
            CHECK((before != unread) == touched);
            for (observer* who : {&t.root, &t.nobody})
                for (const way& w : ways_that_ask_no_server())
                    for (int again = 0; again < 2; ++again) {
                        if (w.use == backend::ioctl && !kernel_has_ioctl()) continue;
                        judge(who->name(), who->look(user->pid(), addresses_of(all), &w), all, nothing);
                        INFO(std::string{who->name()} << ' ' << name_of(w));
                        REQUIRE(now(server().reads) == before);
                    }
            if (!touched) continue;
            t.both(user->pid(), all, nothing, nothing);  // what is in the page cache the kernel has without the server
            CHECK(now(server().reads) == before);
        }
        // Nowhere any more, and root may not look at it in map_files either.
        const std::uint32_t before = now(server().reads);
        if (number != 3 || t.stage.run("umount -l " + at) != 0) continue;
        for (truth& one : all) one.path.erase(0, at.size());
        check(t.root, user->pid(), all, nothing);
        CHECK(now(server().reads) == before);
    }
}

}  // namespace
