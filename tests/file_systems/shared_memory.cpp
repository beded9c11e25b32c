// A child that shared the address space and then executed another program.
#include "programs.hpp"
#include "workers.hpp"
#include "observers.hpp"
#include "truths.hpp"
#include "fixture.hpp"
#include "../support/files.hpp"
#include "../support/memory.hpp"
#include "../support/mounts.hpp"
#include "../support/raw_maps.hpp"
#include "../support/skipping.hpp"

#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <string>

#include <doctest/doctest.h>

using namespace support;

namespace {

TEST_CASE("a file of the program that a child of shared memory became is never taken for the handle's") {
#if defined(PROCMAP_TEST_SANITIZED)
    SKIP("a sanitizer's memory cannot be shared with a child");
#endif
    NEEDS_FIXTURE(t);
    const program a{.letter = 'a'}, b{.letter = 'b'};
    const bool subvolumes = make_subvolumes(t, a, b);
    REQUIRE(t.tmpfs("layers"));
    REQUIRE(t.stage.run("cd " + (t.dir / "layers") + " && mkdir l u w") == 0);
    REQUIRE(t.stage.write(t.dir / "layers/l/lib.so", a) > 0);
    const std::string place = t.make("place");
    for (const bool overlay : {false, true}) {
        if (overlay ? !t.overlay("overlay", t.dir / "layers/l", t.dir / "layers/u", t.dir / "layers/w") : !subvolumes) {
            not_included(overlay ? "overlayfs" : "btrfs");
            continue;
        }
        INFO((overlay ? std::string{"overlayfs"} : std::string{"btrfs"}));
        const std::string from = overlay ? t.dir / "overlay" : t.dir / "btrfs/a", to = overlay ? from : t.dir / "btrfs/b";
        const auto parent = t.user(true);
        REQUIRE(parent->own_namespace());
        REQUIRE(parent->bind(from, place) == 0);
        const std::string path = place + "/lib.so";
        const auto all = truths_of(parent->map(path, a, common_place), path, a, 0);
        const std::int64_t pid = parent->share_memory(to, place, path);
        REQUIRE(pid > 0);
        observer who{false};
        (void)who.look(static_cast<pid_t>(pid), {});  // opens its maps: those of the memory that both share
        if (overlay) REQUIRE(t.stage.write(t.dir / "overlay/lib.so", b) > 0);
        REQUIRE(parent->let_it_exec() > 0);
        bool mapped = false;
        for (int tries = 0; tries < 500 && !mapped; ++tries) {
            ::usleep(2000);
            for (const raw_line& l : raw_lines(slurp(maps_path(static_cast<pid_t>(pid))).value_or("")))
                mapped = mapped || (l.start == common_place + 2 * page && l.name == path);
            if (mapped &&
                slurp("/proc/" + std::to_string(pid) + "/cmdline").value_or("").find("map-instead") == std::string::npos)
                mapped = false;
        }
        REQUIRE(mapped);
        check(who, static_cast<pid_t>(pid), all, by_kernel_only);
        if (!overlay) {  // what becomes of the other program's file is not said of this one
            REQUIRE(t.stage.run("rm " + to + "/lib.so") == 0);
            check(who, static_cast<pid_t>(pid), all, by_kernel_only);
        }
        ::kill(static_cast<pid_t>(pid), SIGKILL);
    }
}

}  // namespace
