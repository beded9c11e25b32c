// A mount namespace with file systems, and observers of what is mapped there.
#pragma once

#include "programs.hpp"
#include "workers.hpp"
#include "observers.hpp"
#include "truths.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/mounts.hpp"
#include "../support/skipping.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#define NEEDS_FIXTURE(fixture_name)             \
    NEEDS_LIVE_MAPS();                        \
    if (!is_root()) SKIP("mounts need root"); \
    fixture fixture_name;                     \
    if (!fixture_name.ready) SKIP("no mount namespace of one's own")

namespace support {

/// Root and nobody, who look at what a stage's workers map.
struct fixture {
    temporary_directory dir;
    worker stage;
    observer root{false}, nobody{true};
    bool ready = stage.own_namespace();

    /// A directory below, as the workers name it.
    std::string make(const std::string& name) {
        std::filesystem::create_directories(dir / name);
        return dir / name;
    }
    /// Makes an image by a shell command, in which $i is its path, and mounts it. Empty where that cannot be done.
    std::string image(const std::string& name, const std::string& command, const std::string& type,
                      const std::string& options = {}) {
        const std::string at = make(name), file = dir / (name + ".img");
        const std::string set = "i=" + file + " d=" + (dir / "content") + "; ";
        if (stage.run(set + command) != 0 || stage.image(file, at, type, options) != 0) return {};
        (void)stage.run("chmod 755 " + at);
        return at;
    }
    bool tmpfs(const std::string& name, const char* type = "tmpfs") {
        return stage.mount(type, make(name), type, std::string_view{type} == "tmpfs" ? "mode=755" : "") == 0;
    }
    bool overlay(const std::string& at, const std::string& lower, const std::string& upper, const std::string& work,
                 const std::string& more = {}) {
        std::string options = "lowerdir=" + lower;
        if (!upper.empty()) options += ",upperdir=" + upper + ",workdir=" + work;
        return stage.mount("overlay", make(at), "overlay", options + more) == 0;
    }
    /// Lets a new worker join the stage, as a user without rights.
    std::unique_ptr<worker> user(bool with_rights = false) {
        auto a = std::make_unique<worker>();
        REQUIRE(a->join(stage) == 0);
        if (!with_rights) a->become_nobody();
        return a;
    }
    void both(pid_t pid, const std::vector<truth>& truths, const evidence& for_root, const evidence& for_nobody) {
        check(root, pid, truths, for_root);
        check(nobody, pid, truths, for_nobody);
    }
};

inline constexpr const char* make_ext4 = "truncate -s 16M $i && mkfs.ext4 -q -F $i";
inline constexpr const char* make_ext4_of_seconds = "truncate -s 16M $i && mkfs.ext4 -q -F -I 128 $i";
inline constexpr const char* make_xfs = "truncate -s 304M $i && mkfs.xfs -q -f $i";
inline constexpr const char* make_f2fs = "truncate -s 64M $i && mkfs.f2fs -q -f $i";
inline constexpr const char* make_btrfs = "truncate -s 128M $i && mkfs.btrfs -q -f $i";
inline constexpr const char* make_squashfs = "mksquashfs $d $i -noappend -quiet -no-progress";
inline constexpr const char* make_erofs = "mkfs.erofs --quiet $i $d || mkfs.erofs $i $d";

inline const program with_id{.letter = 'a'}, without_id{.letter = 'n', .id_size = 0}, with_long_id{.letter = 'l', .id_size = 32};

/// A file system with two subvolumes, of which one is a snapshot of the other; then lib.so of the one is rewritten.
inline bool make_subvolumes(fixture& t, const program& a, const program& b) {
    const std::string at = t.image("btrfs", make_btrfs, "btrfs");
    if (at.empty()) return false;
    return t.stage.run("btrfs subvolume create " + at + "/a") == 0 && t.stage.write(at + "/a/lib.so", a) > 0 &&
           t.stage.write(at + "/a/none.so", {.letter = 'm', .id_size = 0}) > 0 &&
           t.stage.run("btrfs subvolume snapshot " + at + "/a " + at + "/b && chmod 755 " + at + "/a " + at + "/b") == 0 &&
           t.stage.write(at + "/b/lib.so", b) > 0 && t.stage.write(at + "/b/none.so", {.letter = 'n', .id_size = 0}) > 0;
}

}  // namespace support
