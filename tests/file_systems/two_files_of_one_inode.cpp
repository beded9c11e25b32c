// Two files with the same device and inode, or with the same path, are reported as two.
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

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>

using namespace support;
using procmap::backend;

namespace {

/// The device and inode that maps shows at an address.
std::string pair_at(pid_t pid, std::uint64_t address) {
    char pair[64] = "";
    for (const raw_line& l : raw_lines(slurp(maps_path(pid)).value_or("")))
        if (l.start <= address && address < l.end) std::sscanf(l.line.c_str(), "%*s %*s %*s %31[0-9a-f: ]", pair);
    return pair;
}

TEST_CASE("the contents before and after a copy-up, one pair and one name in maps, stay two files") {
    NEEDS_FIXTURE(t);
    struct kind {
        bool one_file_system;
        std::string options;
        std::size_t id_size;
        bool old_first;
    };
    int number = 0;
    for (const kind& k :
         {kind{true, ",xino=off", 20, true}, kind{true, ",xino=off", 20, false}, kind{true, ",xino=on", 20, true},
          kind{false, ",xino=off", 20, true}, kind{false, ",xino=on", 20, false}, kind{true, ",xino=off", 0, true},
          kind{true, ",xino=off", 0, false}, kind{false, ",xino=on", 0, true}, kind{true, ",xino=off", 32, true}}) {
        INFO("one file system " << k.one_file_system << k.options << " size of the ID " << k.id_size << " old first "
                                << k.old_first);
        const std::string n = std::to_string(++number), low = "low" + n, up = k.one_file_system ? low : "up" + n;
        REQUIRE(t.tmpfs(low));
        if (!k.one_file_system) REQUIRE(t.tmpfs(up));
        const std::string lower = t.dir / (low + "/l"), upper = t.dir / (up + "/u"), work = t.dir / (up + "/w");
        const std::string path = t.dir / ("merged" + n + "/lib.so");
        const program old{.letter = 'o', .id_size = k.id_size}, fresh{.letter = 'p', .id_size = k.id_size};
        REQUIRE(t.stage.run("mkdir " + lower + ' ' + upper + ' ' + work) == 0);
        REQUIRE(t.stage.write(lower + "/lib.so", old) >= 0);
        if (!t.overlay("merged" + n, lower, upper, work, k.options)) {
            not_included("overlayfs" + k.options);
            continue;
        }
        const auto user = t.user();
        const std::uint64_t arena = user->reserve(2 * (segments + 1));
        const std::uint64_t second = arena + (segments + 1) * page;
        const auto before = truths_of(user->map(path, old, k.old_first ? arena : second), path, old, 0);
        t.both(user->pid(), before, by_memory, by_memory);
        REQUIRE(t.stage.write(path, fresh) >= 0);
        t.both(user->pid(), before, by_memory_only, by_memory_only);
        const auto after = truths_of(user->map(path, fresh, k.old_first ? second : arena), path, fresh, 1);
        t.both(user->pid(), before + after, by_memory_only, by_memory_only);
        CHECK(pair_at(user->pid(), before[0].address) == pair_at(user->pid(), after[0].address));
    }
}

TEST_CASE("files of two subvolumes of btrfs with one inode number stay two, in one process and in two") {
    NEEDS_FIXTURE(t);
    const program a{.letter = 'a'}, b{.letter = 'b'}, m{.letter = 'm', .id_size = 0}, n{.letter = 'n', .id_size = 0};
    if (!make_subvolumes(t, a, b)) SKIP("no btrfs");
    const std::string at = t.dir / "btrfs";
    const auto map = [&](worker& by, const std::string& name, const program& p, int file) {
        return truths_of(by.map(at + name, p), at + name, p, file);
    };
    const auto one = t.user(), two = t.user();
    const auto all = map(*one, "/a/lib.so", a, 0) + map(*one, "/b/lib.so", b, 1) + map(*one, "/b/none.so", n, 2) +
                     map(*one, "/a/none.so", m, 3);
    t.both(one->pid(), all, by_map_files_alone, by_memory);
    // What is remembered of the one process is not given of the other.
    const auto other = map(*two, "/b/lib.so", b, 0) + map(*two, "/b/none.so", n, 1);
    t.both(two->pid(), other, by_map_files_alone, by_memory);
    t.both(one->pid(), map(*one, "/a/lib.so", a, 0), by_map_files_alone, by_memory);
}

TEST_CASE("one path in two mount namespaces, with one pair in maps, is two files") {
    NEEDS_FIXTURE(t);
    const program a{.letter = 'a'}, b{.letter = 'b'}, m{.letter = 'm', .id_size = 0}, n{.letter = 'n', .id_size = 0};
    std::vector<std::tuple<std::string, std::string, evidence, evidence>> pairs;
    if (make_subvolumes(t, a, b))
        pairs.push_back({t.dir / "btrfs/a", t.dir / "btrfs/b", by_map_files_alone, by_memory});
    else
        not_included("btrfs");
    const std::string low = t.make("low");
    REQUIRE(t.tmpfs("up"));
    REQUIRE(t.stage.write(low + "/lib.so", a) > 0);
    REQUIRE(t.stage.write(low + "/none.so", m) > 0);
    bool mounted = true;
    for (const char* name : {"1", "2"}) {
        const std::string up = t.dir / (std::string{"up/"} + name);
        REQUIRE(t.stage.run("mkdir -p " + up + "/u " + up + "/w") == 0);
        mounted = mounted && t.overlay(std::string{"merged"} + name, low, up + "/u", up + "/w");
    }
    if (mounted) {
        REQUIRE(t.stage.write(t.dir / "merged2/lib.so", b) > 0);
        REQUIRE(t.stage.write(t.dir / "merged2/none.so", n) > 0);
        pairs.push_back({t.dir / "merged1", t.dir / "merged2", by_memory, by_memory});
    } else {
        not_included("overlayfs");
    }
    for (const char* name : {"t1", "t2"}) {
        REQUIRE(t.tmpfs(name));
        REQUIRE(t.stage.write(t.dir / (std::string{name} + "/lib.so"), name[1] == '1' ? a : b) > 0);
        REQUIRE(t.stage.write(t.dir / (std::string{name} + "/none.so"), name[1] == '1' ? m : n) > 0);
    }
    pairs.push_back({t.dir / "t1", t.dir / "t2", by_map_files, by_path});
    const std::string place = t.make("place");
    for (const auto& pair : pairs) {
        INFO(std::get<0>(pair));
        const auto& [one, two, for_root, for_nobody] = pair;
        std::unique_ptr<worker> containers[2];
        std::vector<truth> truths[2];
        for (int i = 0; i < 2; ++i) {
            containers[i] = t.user(true);
            REQUIRE(containers[i]->own_namespace());
            REQUIRE(containers[i]->bind(i == 0 ? one : two, place) == 0);
            containers[i]->become_nobody();
            const program &p = i == 0 ? a : b, &q = i == 0 ? m : n;
            truths[i] = truths_of(containers[i]->map(place + "/lib.so", p), place + "/lib.so", p, 0) +
                        truths_of(containers[i]->map(place + "/none.so", q), place + "/none.so", q, 1);
        }
        for (const int i : {0, 1, 0}) t.both(containers[i]->pid(), truths[i], for_root, for_nobody);
    }
}

TEST_CASE("two file systems of one kind give the same inode number to two files, which stay two") {
    NEEDS_FIXTURE(t);
    struct kind {
        const char* type;
        const char* make;
    };
    const program a{.letter = 'a'}, b{.letter = 'b'};
    const auto user = t.user();
    std::vector<truth> all;
    int file = 0;
    for (const kind& k :
         {kind{"tmpfs", nullptr}, kind{"ext4", make_ext4}, kind{"xfs", make_xfs}, kind{"squashfs", make_squashfs}}) {
        INFO(std::string{k.type});
        std::string paths[2];
        for (int i = 0; i < 2; ++i) {
            const std::string name = std::string{k.type} + std::to_string(i);
            t.dir.write("content/lib.so", elf_of(i == 0 ? a : b));
            (void)t.stage.run("chmod -R 755 " + (t.dir / "content"));
            std::string at = t.dir / name;
            if (k.make == nullptr ? !t.tmpfs(name) : (at = t.image(name, k.make, k.type)).empty()) break;
            (void)t.stage.run("cp " + (t.dir / "content/lib.so ") + at);
            paths[i] = at + "/lib.so";
        }
        if (paths[1].empty()) {
            not_included(k.type);
            continue;
        }
        CHECK(t.stage.run("test $(stat -c %i " + paths[0] + ") = $(stat -c %i " + paths[1] + ')') == 0);
        for (int i = 0; i < 2; ++i)
            all = all + truths_of(user->map(paths[i], i == 0 ? a : b), paths[i], i == 0 ? a : b, file++);
        t.both(user->pid(), all, by_map_files, by_path);
    }
}

TEST_CASE("rings of anonymous inodes have no build ID, and none is taken for another") {
    NEEDS_FIXTURE(t);
    const auto user = t.user(true);
    std::vector<truth> all;
    int file = 0;
    for (const auto& [kind, name, size] :
         {std::tuple{'p', "anon_inode:[perf_event]", 2u}, std::tuple{'u', "anon_inode:[io_uring]", 1u},
          std::tuple{'b', "anon_inode:bpf-map", 1u}})
        for (int i = 0; i < 2; ++i) {
            const std::int64_t at = user->ring(kind);
            if (at < 0) {
                if (i == 0) not_included(std::string{name} + ": " + std::strerror(static_cast<int>(-at)));
                continue;
            }
            all.push_back({.address = static_cast<std::uint64_t>(at) + 64, .path = name, .file = file++, .offset = 64});
        }
    if (all.empty()) SKIP("no ring can be mapped");
    user->become_nobody();
    for (observer* who : {&t.root, &t.nobody}) {
        check(*who, user->pid(), all, {.at_path = false});
        for (const report& r : who->look(user->pid(), addresses_of(all))) {
            INFO(name_of(r.how));
            const bool by_name = r.how.by == asking::normalize || r.how.by == asking::cache || r.how.use == backend::ioctl;
            if (by_name) CHECK(r.said.id_known);
        }
    }
}

}  // namespace
