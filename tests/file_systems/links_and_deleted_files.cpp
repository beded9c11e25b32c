// Hard links, bind mounts, and files that were replaced or deleted.
#include "programs.hpp"
#include "observers.hpp"
#include "truths.hpp"
#include "fixture.hpp"
#include "../support/skipping.hpp"

#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/location.hpp>

using namespace support;
using procmap::build_id_source;
using procmap::file_state;

namespace {

TEST_CASE("hard links and bind mounts of one file are one file") {
    NEEDS_FIXTURE(t);
    const program a{.letter = 'a'}, n{.letter = 'n', .id_size = 0};
    struct kind {
        const char* type;
        const char* make;
        evidence root, nobody;
        bool one;  // also for those who have no descriptor of the mapped file
    };
    for (const kind& k :
         {kind{"ext4", make_ext4, by_map_files, by_path, true}, kind{"tmpfs", nullptr, by_map_files, by_path, true},
          kind{"btrfs", make_btrfs, by_map_files_alone, by_memory, false}}) {
        std::string at = t.dir / k.type;
        if (k.make == nullptr ? !t.tmpfs(k.type) : (at = t.image(k.type, k.make, k.type)).empty()) {
            not_included(k.type);
            continue;
        }
        INFO(std::string{k.type});
        REQUIRE(t.stage.write(at + "/lib.so", a) > 0);
        REQUIRE(t.stage.write(at + "/none.so", n) > 0);
        const std::string bound = t.make(std::string{k.type} + ".bound");
        REQUIRE(t.stage.run("ln " + at + "/lib.so " + at + "/link.so && ln " + at + "/none.so " + at +
                            "/none.link.so && chmod 755 " + at) == 0);
        REQUIRE(t.stage.bind(at, bound) == 0);
        const auto user = t.user();
        std::vector<truth> all;
        for (const std::string& path : {at + "/lib.so", at + "/link.so", bound + "/lib.so"})
            all = all + truths_of(user->map(path, a), path, a, 0);
        for (const std::string& path : {at + "/none.so", at + "/none.link.so", bound + "/none.so"})
            all = all + truths_of(user->map(path, n), path, n, 1);
        t.both(user->pid(), all, k.root, k.nobody);
        if (!k.one) continue;
        for (observer* who : {&t.root, &t.nobody})
            for (const report& r : who->look(user->pid(), addresses_of(all))) {
                if (r.how.by != asking::normalize || r.how.alone || r.how.one_file) continue;
                if (!r.how.looks_at_files()) continue;
                INFO(std::string{who->name()} << ' ' << name_of(r.how) << ' ' << all[r.address].path);
                CHECK(r.said.file <= 1);
            }
    }
}

TEST_CASE("a library that was renamed over or deleted is never taken for the one at its path") {
    NEEDS_FIXTURE(t);
    const program a{.letter = 'a'}, b{.letter = 'b'}, d{.letter = 'd', .id_size = 0};
    struct kind {
        const char* type;
        const char* make;
        evidence root;
        bool numbers;  // a number tells that a file is another
    };
    constexpr evidence gone{build_id_source::map_files, file_state::deleted, false};
    for (const kind& k : {kind{"ext4", make_ext4, gone, true}, kind{"xfs", make_xfs, gone, true},
                          kind{"tmpfs", nullptr, gone, true}, kind{"btrfs", make_btrfs, gone, false},
                          kind{"overlay", nullptr, {build_id_source::memory, file_state::deleted, false}, false}}) {
        std::string at = t.dir / k.type;
        const bool overlay = std::string_view{k.type} == "overlay";
        bool can = true;
        if (overlay)
            can = t.tmpfs("layers") && t.stage.run("cd " + (t.dir / "layers") + " && mkdir l u w") == 0 &&
                  t.overlay("overlay", t.dir / "layers/l", t.dir / "layers/u", t.dir / "layers/w");
        else if (k.make == nullptr)
            can = t.tmpfs(k.type);
        else
            can = !(at = t.image(k.type, k.make, k.type)).empty();
        if (!can) {
            not_included(k.type);
            continue;
        }
        INFO(std::string{k.type});
        const std::string first = overlay ? t.dir / "layers/l" : at;
        for (const char* name : {"/lib.so", "/away.so"}) REQUIRE(t.stage.write(first + name, a) > 0);
        REQUIRE(t.stage.write(first + "/none.so", d) > 0);
        const auto user = t.user();
        // Looked at before, so that all of it is remembered.
        const std::string lib = at + "/lib.so", away = at + "/away.so", none = at + "/none.so", mark = " (deleted)";
        auto of_lib = truths_of(user->map(lib, a), lib, a, 0), of_away = truths_of(user->map(away, a), away, a, 1),
             of_none = truths_of(user->map(none, d), none, d, 2);
        const evidence fine = overlay ? by_memory : k.numbers ? by_map_files : by_map_files_alone, fine_for_nobody = k.numbers ? by_path : by_memory;
        t.both(user->pid(), of_lib + of_away + of_none, fine, fine_for_nobody);
        REQUIRE(t.stage.write(at + "/new.so", b) > 0);
        REQUIRE(t.stage.run("mv -f " + at + "/new.so " + lib + " && rm -f " + away + ' ' + none) == 0);
        for (auto* group : {&of_lib, &of_away, &of_none})
            for (truth& one : *group) one.path += mark;
        // A file that cannot be told from the mapped one lies at its path.
        evidence renamed = k.root;
        renamed.state = k.numbers ? file_state::replaced : file_state::unknown;
        check(t.root, user->pid(), of_lib, renamed);
        check(t.root, user->pid(), of_away + of_none, k.root);
        observer newcomer{true};  // who holds nothing that he could know it by
        const auto nobody_knows = [&](file_state state) { return evidence{build_id_source::memory, state, false}; };
        check(newcomer, user->pid(), of_lib, nobody_knows(k.numbers ? file_state::replaced : file_state::unknown));
        check(newcomer, user->pid(), of_away + of_none, nobody_knows(file_state::deleted));
        const auto fresh = truths_of(user->map(lib, b), lib, b, 3);
        t.both(user->pid(), fresh, fine, fine_for_nobody);
    }
}

}  // namespace
