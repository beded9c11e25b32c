// Files whose layout or contents have changed since they were mapped: no wrong ELF address.
#include "programs.hpp"
#include "observers.hpp"
#include "truths.hpp"
#include "fixture.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/skipping.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/maps.hpp>

using namespace support;
using procmap::backend;
using procmap::build_id_choice;
using procmap::build_id_source;

namespace {

TEST_CASE("a build ID that is still that of the file, whose layout is another by now, gives no wrong ELF address") {
    NEEDS_FIXTURE(t);
    REQUIRE(t.tmpfs("layers"));
    const std::string lower = t.dir / "layers/l", upper = t.dir / "layers/u", work = t.dir / "layers/w",
                      path = t.dir / "merged/lib.so";
    REQUIRE(t.stage.run("mkdir " + lower + ' ' + upper + ' ' + work) == 0);
    const program old{.letter = 'o'}, apart{.letter = 'o', .apart = true};
    REQUIRE(t.stage.write(lower + "/lib.so", old) > 0);
    if (!t.overlay("merged", lower, upper, work)) SKIP("no overlayfs");
    const auto user = t.user();
    const auto before = truths_of(user->map(path, old), path, old, 0);
    REQUIRE(t.stage.write(path, apart) > 0);
    t.both(user->pid(), before, by_memory_only, by_memory_only);
    const auto after = truths_of(user->map(path, apart), path, apart, 0);
    // Who remembers segments by the build ID finds that they disagree, and asks no more.
    constexpr evidence remembered{.way = build_id_source::memory, .at_path = false, .elf = false};
    t.both(user->pid(), after, remembered, remembered);
    observer newcomers[]{observer{false}, observer{true}}, others[]{observer{false}, observer{true}};
    for (observer& who : newcomers) check(who, user->pid(), after, by_memory);
    // Where the headers cannot be read in memory, the file at the path has the build ID, and only the mappings tell its
    // segments.
    user->hide(before[0].address - 64);
    user->hide(after[0].address - 64);
    for (observer& who : others) {
        check(who, user->pid(), {before[1], before[2]}, {.at_path = false});
        check(who, user->pid(), {after[1], after[2]}, {});
    }
}

TEST_CASE("a mapping is not taken for a part of the image below it") {
    NEEDS_FIXTURE(t);
    const program a{.letter = 'a'}, b{.letter = 'b'};
    constexpr std::uint64_t header = 1, code = 2, rest = 6;
    const auto user = t.user();
    const std::uint64_t arena = user->reserve(4 * (segments + 1));
    const auto only_by_kernel = [&](const std::string& path, std::uint64_t at) {
        t.both(user->pid(), {truths_of(at, path, b, 0)[1]}, by_kernel_only, by_kernel_only);
    };
    REQUIRE(t.tmpfs("layers"));
    const std::string lower = t.dir / "layers/l", upper = t.dir / "layers/u", work = t.dir / "layers/w", at = t.dir / "merged";
    REQUIRE(t.stage.run("mkdir " + lower + ' ' + upper + ' ' + work) == 0);
    for (const char* name : {"/lib.so", "/mixed.so"}) REQUIRE(t.stage.write(lower + name, a) > 0);
    REQUIRE(t.stage.write(lower + "/other.so", b) > 0);
    if (t.overlay("merged", lower, upper, work)) {
        // Of another file, where a part of the image would be.
        user->map(at + "/lib.so", a, arena, header);
        user->map(at + "/other.so", b, arena, code);
        only_by_kernel(at + "/other.so", arena);
        // Of the new contents, above the old ones.
        const std::uint64_t old = arena + (segments + 1) * page;
        user->map(at + "/lib.so", a, old);
        user->map(at + "/mixed.so", a, arena + 2 * (segments + 1) * page, header);
        REQUIRE(t.stage.write(at + "/lib.so", b) >= 0);
        REQUIRE(t.stage.write(at + "/mixed.so", b) >= 0);
        user->map(at + "/lib.so", b, old + 2 * page, code);
        only_by_kernel(at + "/lib.so", old + 2 * page);
        // Of the new contents, where a part of the old image would be. Without the kernel nothing shows it.
        const std::uint64_t mixed = arena + 2 * (segments + 1) * page;
        user->map(at + "/mixed.so", b, mixed, rest);
        const std::vector<truth> one{truths_of(mixed, at + "/mixed.so", b, 0)[1]};
        for (observer* who : {&t.root, &t.nobody}) {
            auto reports = who->look(user->pid(), addresses_of(one));
            std::erase_if(reports,
                          [](const report& r) { return r.how.use == backend::text || r.how.from == build_id_choice::file; });
            if (kernel_ids()) judge(who->name(), reports, one, by_kernel_only);
        }
    } else {
        not_included("overlayfs");
    }
    if (make_subvolumes(t, a, b)) {
        const std::string first = t.dir / "btrfs/a/lib.so", second = t.dir / "btrfs/b/lib.so";
        const std::uint64_t place = arena + 3 * (segments + 1) * page;
        user->map(first, a, place, header);
        user->map(second, b, place, code);
        check(t.root, user->pid(), {truths_of(place, second, b, 0)[1]},
              {.way = build_id_source::map_files, .elf = false});
        check(t.nobody, user->pid(), {truths_of(place, second, b, 0)[1]}, by_kernel_only);
    } else {
        not_included("btrfs");
    }
}

}  // namespace
