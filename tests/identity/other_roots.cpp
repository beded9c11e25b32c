// Files in a chroot, in another mount namespace, and on overlayfs.
#include "looking.hpp"
#include "../support/elf_files.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/mounts.hpp"
#include "../support/printed.hpp"
#include "../support/processes.hpp"
#include "../support/skipping.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <string>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/cached_maps.hpp>
#include <procmap/location.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>

using namespace support;
using procmap::build_id;
using procmap::build_id_source;
using procmap::cached_maps;
using procmap::file_state;
using procmap::maps;
using procmap::normalizer;

namespace {

TEST_CASE("a file of another mount namespace is the one that is mapped there, not the one at that path here") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("in/lib.so", small_elf(twenty('o')));
    const std::string in = dir / "in", path = in + "/lib.so";
    child inside = maps_it(path, [&] {
        if (!own_namespace() || ::mount("tmpfs", in.c_str(), "tmpfs", 0, "mode=755") != 0) return false;
        write_file(path, small_elf(twenty('i')));
        return true;
    });
    const auto address = inside->receive<std::uint64_t>();
    if (address == 0) SKIP("no mount namespace of one's own");
    check_found(look_all_ways(inside.pid(), address), twenty('i'), build_id_source::map_files);
    check_found(nobody_looks_at(inside.pid(), address), twenty('i'), build_id_source::root_path);
}

TEST_CASE("a file in a chroot is the one that is mapped there, not the one at that path here or there") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    const std::string root = dir / "root";
    dir.write("root/lib.so", small_elf(twenty('i')));
    dir.write("root/" + root.substr(1) + "/lib.so", small_elf(twenty('t')));  // where the printed path leads below that root
    child inside = maps_it("/lib.so", [&] { return ::chroot(root.c_str()) == 0 && ::chdir("/") == 0; });
    const auto address = inside->receive<std::uint64_t>();
    check_found(look_all_ways(inside.pid(), address), twenty('i'), build_id_source::map_files);
    check_found(nobody_looks_at(inside.pid(), address), twenty('i'), build_id_source::root_path);
}

TEST_CASE("a file in a chroot of another mount namespace is never taken for the one at that path here") {
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    const std::string root = dir / "root";
    dir.write("root/lib.so", small_elf(twenty('o')));
    child inside = maps_it("/lib.so", [&] {
        if (!own_namespace() || ::mount("tmpfs", root.c_str(), "tmpfs", 0, "mode=755") != 0) return false;
        write_file(root + "/lib.so", small_elf(twenty('i')));
        return ::chroot(root.c_str()) == 0 && ::chdir("/") == 0;
    });
    const auto address = inside->receive<std::uint64_t>();
    if (address == 0) SKIP("no mount namespace of one's own");
    check_found(look_all_ways(inside.pid(), address), twenty('i'), build_id_source::map_files);
    const views ordinary = nobody_looks_at(inside.pid(), address);
    for (const seen* s : {&ordinary.file, &ordinary.automatic, &ordinary.text}) {
        CHECK(s->resolved);
        if (s->id_known) CHECK(hex_of(s->id) == hex_of(id_of(twenty('i'))));
    }
}

// btrfs, whose maps show another device than stat does as well, is left to machines that have one: it takes a block device.
TEST_CASE("a file on overlayfs, whose identity in maps may be another than in stat, has its own build ID") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    for (const char* xino : {"xino=off", "xino=auto"}) {
        INFO(xino);
        temporary_directory dir;
        for (const char* name : {"a/x", "b/x", "up/x", "merged/x"}) dir.write(name, "");
        const std::string path = dir / "merged/lib.so";
        child inside = maps_it(path, [&] {
            if (!own_namespace()) return false;
            for (const char* layer : {"a", "b", "up"})
                if (::mount("tmpfs", (dir / layer).c_str(), "tmpfs", 0, "mode=755") != 0) return false;
            ensure(::mkdir((dir / "up/u").c_str(), 0755) == 0 && ::mkdir((dir / "up/w").c_str(), 0755) == 0, "mkdir");
            write_file(dir / "a/lib.so", small_elf(twenty('i')));
            write_file(dir / "b/other.so", small_elf(twenty('j')));
            const std::string options = "lowerdir=" + (dir / "a") + ':' + (dir / "b") + ",upperdir=" + (dir / "up/u") +
                                        ",workdir=" + (dir / "up/w") + ',' + xino;
            return ::mount("overlay", (dir / "merged").c_str(), "overlay", 0, options.c_str()) == 0;
        });
        const auto address = inside->receive<std::uint64_t>();
        if (address == 0) SKIP("no overlayfs here");
        // Neither the path nor map_files proves which contents are mapped: those in memory do.
        check_found(look_all_ways(inside.pid(), address), twenty('i'), build_id_source::memory, file_state::unknown);
        check_found(nobody_looks_at(inside.pid(), address), twenty('i'), build_id_source::memory, file_state::unknown);
    }
}

TEST_CASE("old and new contents of a file on overlayfs, mapped as one inode, each keep their build ID") {
    if (!is_root()) SKIP("needs all rights of root");
    if (!kernel_ids()) SKIP("only the kernel can tell them apart");
    temporary_directory dir;
    dir.write("layers/x", "");
    dir.write("merged/x", "");
    struct answers {
        bool mounted = false;
        int wrong = 0;
    };
    child inside{[&](channel& parent) {
        const std::string path = dir / "merged/lib.so", layers = dir / "layers";
        if (!own_namespace() || ::mount("tmpfs", layers.c_str(), "tmpfs", 0, "mode=755") != 0) parent.send(answers{});
        for (const char* layer : {"/low", "/up", "/work"}) ::mkdir((layers + layer).c_str(), 0755);
        write_file(layers + "/low/lib.so", small_elf(twenty('i')));
        const std::string options = "lowerdir=" + layers + "/low,upperdir=" + layers + "/up,workdir=" + layers + "/work";
        if (::mount("overlay", (dir / "merged").c_str(), "overlay", 0, options.c_str()) != 0) parent.send(answers{});
        answers sum{.mounted = true};
        const auto self = maps::open_self();
        cached_maps cache{*self, {.build_ids = true}};
        normalizer n{{.build_ids = true}};
        const auto expect = [&](const char* at, char letter) {
            const std::array address{support::address_of(at)};
            const auto m = cache.find(address[0]);
            sum.wrong += !m || build_id{m->build_id.bytes()} != id_of(twenty(letter));
            const auto got = n.normalize(*self, address);
            sum.wrong += !got || got->files[0].build_id != id_of(twenty(letter));
        };
        char* const old = map_file(path);
        ::usleep(50000);
        expect(old, 'i');
        const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);  // copied to the upper layer
        (void)!::pwrite(fd, twenty('j').data(), 20, id_offset);
        ::close(fd);
        char* const fresh = map_file(path);
        for (int i = 0; i < 3; ++i) {
            expect(old, 'i');
            expect(fresh, 'j');
            ::usleep(50000);
        }
        parent.send(sum);
    }};
    const auto sum = inside->receive<answers>();
    if (!sum.mounted) SKIP("no overlayfs here");
    CHECK(sum.wrong == 0);
}

TEST_CASE("the path of a process in a chroot is resolved below its root, and a link does not lead out") {
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    const std::string root = dir / "root";
    dir.write("root/lib.so", small_elf(twenty('i')));
    dir.write("outside.so", small_elf(twenty('o')));
    child inside = maps_it("/lib.so", [&] { return ::chroot(root.c_str()) == 0 && ::chdir("/") == 0; });
    const auto address = inside->receive<std::uint64_t>();
    ::unlink((root + "/lib.so").c_str());
    REQUIRE(::symlink("../../../outside.so", (root + "/lib.so").c_str()) == 0);
    check_lost(nobody_looks_at(inside.pid(), address), twenty('i'), file_state::deleted);
}

}  // namespace
