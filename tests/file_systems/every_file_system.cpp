// Each file system: every way to ask reports the file, its build ID and its ELF addresses.
#include "programs.hpp"
#include "truths.hpp"
#include "fixture.hpp"
#include "../support/files.hpp"
#include "../support/memory.hpp"
#include "../support/printed.hpp"
#include "../support/skipping.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using namespace support;

namespace {

TEST_CASE("a file that is written here has the build ID that readelf prints") {
    if (::system("readelf --version >/dev/null 2>&1") != 0) SKIP("no readelf");
    temporary_directory dir;
    for (const program& p : {with_id, without_id, with_long_id}) {
        dir.write("p", elf_of(p));
        FILE* const pipe = ::popen(("readelf -n " + (dir / "p")).c_str(), "r");
        std::string text(4096, '\0');
        text.resize(std::fread(text.data(), 1, text.size(), pipe));
        ::pclose(pipe);
        const auto at = text.find("Build ID: ");
        CHECK((at == std::string::npos ? "" : text.substr(at + 10, 2 * p.id_size)) == hex_of(p.id()));
    }
}

TEST_CASE("on every file system, all ways to ask give the file, its build ID and its ELF addresses") {
    NEEDS_FIXTURE(t);
    struct kind {
        const char* name;
        const char* make;  // nullptr: it needs no image
        const char* type;
        evidence root, nobody;
    };
    const kind kinds[] = {
        {"ext4", make_ext4, "ext4", by_map_files, by_path},
        {"ext4 with inodes of 128 bytes", make_ext4_of_seconds, "ext4", by_map_files, by_path},
        {"ext2", "truncate -s 16M $i && mkfs.ext2 -q -F $i", "ext2", by_map_files, by_path},
        {"xfs", make_xfs, "xfs", by_map_files, by_path},
        {"f2fs", make_f2fs, "f2fs", by_map_files, by_path},
        {"tmpfs", nullptr, "tmpfs", by_map_files, by_path},
        {"squashfs", make_squashfs, "squashfs", by_map_files, by_path},
        {"erofs", make_erofs, "erofs", by_map_files, by_path},
        {"btrfs", make_btrfs, "btrfs", by_map_files_alone, by_memory},
        {"ramfs", nullptr, "ramfs", by_map_files_alone, by_memory},
    };
    const std::pair<const char*, program> files[] = {{"id.so", with_id}, {"none.so", without_id}, {"long.so", with_long_id}};
    for (const auto& [name, p] : files) t.dir.write(std::string{"content/"} + name, elf_of(p));
    (void)t.stage.run("chmod -R 755 " + (t.dir / "content"));
    int number = 0;
    for (const kind& k : kinds) {
        const std::string mount = std::string{"fs"} + std::to_string(++number);
        std::string at = t.dir / mount;
        if (k.make == nullptr ? !t.tmpfs(mount, k.type) : (at = t.image(mount, k.make, k.type)).empty()) {
            not_included(k.name);
            continue;
        }
        INFO(std::string{k.name});
        (void)t.stage.run("cp " + (t.dir / "content") + "/* " + at);
        const auto user = t.user();
        std::vector<truth> truths;
        for (int i = 0; i < 3; ++i) {
            const std::string path = at + '/' + files[i].first;
            truths = truths + truths_of(user->map(path, files[i].second), path, files[i].second, i);
        }
        t.both(user->pid(), truths, k.root, k.nobody);
    }
}

TEST_CASE("a file on overlayfs is known by the kernel and by the process's memory, in whatever layer it lies") {
    NEEDS_FIXTURE(t);
    struct kind {
        const char* name;
        const char* upper_type;  // nullptr: both layers are on one file system
        const char* options;
    };
    int number = 0;
    for (const kind& k : {kind{"one file system", nullptr, ""}, kind{"one, xino=off", nullptr, ",xino=off"},
                          kind{"two file systems, xino=off", "tmpfs", ",xino=off"}, kind{"two, xino=on", "tmpfs", ",xino=on"},
                          kind{"two, of different types", "ramfs", ""}}) {
        INFO(std::string{k.name});
        const std::string n = std::to_string(++number), low = "low" + n, up = k.upper_type == nullptr ? low : "up" + n;
        REQUIRE(t.tmpfs(low));
        if (k.upper_type != nullptr) REQUIRE(t.tmpfs(up, k.upper_type));
        const std::string lower = t.dir / (low + "/l"), upper = t.dir / (up + "/u"), work = t.dir / (up + "/w"),
                          at = t.dir / ("merged" + n);
        REQUIRE(t.stage.run("mkdir " + lower + ' ' + upper + ' ' + work) == 0);
        for (const auto& [name, p] :
             {std::pair{"id.so", with_id}, std::pair{"none.so", without_id}, std::pair{"long.so", with_long_id}})
            REQUIRE(t.stage.write(lower + '/' + name, p) > 0);
        if (!t.overlay("merged" + n, lower, upper, work, k.options)) {
            not_included(std::string{"overlayfs: "} + k.name);
            continue;
        }
        const program in_upper{.letter = 'u'};
        REQUIRE(t.stage.write(at + "/upper.so", in_upper) > 0);
        const auto user = t.user();
        const auto map = [&](const char* name, const program& p, int file) {
            const std::string path = at + '/' + name;
            return truths_of(user->map(path, p), path, p, file);
        };
        t.both(user->pid(),
               map("id.so", with_id, 0) + map("none.so", without_id, 1) + map("long.so", with_long_id, 2) +
                   map("upper.so", in_upper, 3),
               by_memory, by_memory);
    }
}

TEST_CASE("more files than are remembered, each several times in one call, are not mixed up") {
    NEEDS_FIXTURE(t);
    struct kind {
        const char* type;
        const char* make;
        evidence root, nobody;
    };
    for (const kind& k : {kind{"ext4", make_ext4, by_map_files, by_path}, kind{"btrfs", make_btrfs, by_map_files_alone, by_memory},
                          kind{"overlay", nullptr, by_memory, by_memory}}) {
        std::string at = t.dir / k.type;
        const bool can = k.make != nullptr
                             ? !(at = t.image(k.type, k.make, k.type)).empty()
                             : t.tmpfs("layers") && t.stage.run("cd " + (t.dir / "layers") + " && mkdir l u w") == 0 &&
                                   t.overlay(k.type, t.dir / "layers/l", t.dir / "layers/u", t.dir / "layers/w");
        if (!can) {
            not_included(k.type);
            continue;
        }
        INFO(std::string{k.type});
        constexpr int files = 6, times = 3;
        for (int i = 0; i < files; ++i)
            REQUIRE(t.stage.write(at + '/' + static_cast<char>('a' + i),
                                  {.letter = static_cast<char>('a' + i), .id_size = i % 3 == 2 ? 0u : 20u}) > 0);
        const auto user = t.user();
        const std::uint64_t arena = user->reserve(files * times * (segments + 1));
        std::vector<truth> all;
        for (int i = 0; i < files * times; ++i) {
            const int file = i % files;
            const program p{.letter = static_cast<char>('a' + file), .id_size = file % 3 == 2 ? 0u : 20u};
            const std::string path = at + '/' + p.letter;
            const auto three =
                truths_of(user->map(path, p, arena + static_cast<std::uint64_t>(i) * (segments + 1) * page), path, p, file);
            all.push_back(three[static_cast<std::size_t>(i) % segments]);
            if (i % 2 == 0) all.push_back(three[1]);
        }
        t.both(user->pid(), all, k.root, k.nobody);
    }
}

}  // namespace
