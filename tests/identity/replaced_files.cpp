// Files that were replaced, renamed, deleted or linked, and paths that lead to something else.
#include "files.hpp"
#include "looking.hpp"
#include "../support/calls.hpp"
#include "../support/elf_files.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/mounts.hpp"
#include "../support/skipping.hpp"

#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/location.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>

using namespace support;
using procmap::backend;
using procmap::build_id;
using procmap::build_id_source;
using procmap::file_state;
using procmap::maps;
using procmap::normalizer;

namespace {

TEST_CASE("a file that is where it was has the build ID of its note, by either way to open it") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    const mapped m{dir / "lib.so"};
    check_found(look_all_ways(::getpid(), m.address()), twenty('a'),
                is_root() ? build_id_source::map_files : build_id_source::root_path);
    if (!is_root()) SKIP("an ordinary user's view needs a change of user");
    check_found(seen_by_nobody(dir / "lib.so", [] {}), twenty('a'), build_id_source::root_path);
}

TEST_CASE("a library that was replaced keeps the build ID of the file that is mapped, never the new one's") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    const mapped m{dir / "lib.so"};
    const views ordinary = seen_by_nobody(dir / "lib.so", [&] { replace(dir, "lib.so", small_elf(twenty('b'))); });
    check_lost(ordinary, twenty('a'), file_state::replaced);
    check_found(look_all_ways(::getpid(), m.address()), twenty('a'), build_id_source::map_files, file_state::replaced);
}

TEST_CASE("a library that was renamed away and replaced is found under its new name") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    const views ordinary = seen_by_nobody(dir / "lib.so", [&] {
        REQUIRE(::rename((dir / "lib.so").c_str(), (dir / "old.so").c_str()) == 0);
        dir.write("lib.so", small_elf(twenty('b')));
    });
    check_found(ordinary, twenty('a'), build_id_source::root_path);
}

TEST_CASE("a deleted file says so, whatever else has its name and the mark") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    const mapped m{dir / "lib.so"};
    const views gone = seen_by_nobody(dir / "lib.so", [&] { ::unlink((dir / "lib.so").c_str()); });
    check_lost(gone, twenty('a'), file_state::deleted);
    check_found(look_all_ways(::getpid(), m.address()), twenty('a'), build_id_source::map_files, file_state::deleted);

    dir.write("x", small_elf(twenty('c')));
    dir.write("x (deleted)", small_elf(twenty('d')));
    const views marked = seen_by_nobody(dir / "x", [&] { ::unlink((dir / "x").c_str()); });
    check_lost(marked, twenty('c'), file_state::deleted);
    check_found(seen_by_nobody(dir / "x (deleted)", [] {}), twenty('d'), build_id_source::root_path);
    const mapped named{dir / "x (deleted)"};
    check_found(look_all_ways(::getpid(), named.address()), twenty('d'), build_id_source::map_files);
}

TEST_CASE("a file whose path was unlinked is deleted, though it has another name left") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("a", small_elf(twenty('a')));
    REQUIRE(::link((dir / "a").c_str(), (dir / "b").c_str()) == 0);
    const mapped m{dir / "a"};
    const views ordinary = seen_by_nobody(dir / "a", [&] { ::unlink((dir / "a").c_str()); });
    check_lost(ordinary, twenty('a'), file_state::deleted);
    check_found(look_all_ways(::getpid(), m.address()), twenty('a'), build_id_source::map_files, file_state::deleted);
}

TEST_CASE("an executable memfd has its build ID") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("map_files needs root");
    const int fd = ::memfd_create("code", MFD_CLOEXEC);
    const std::string elf = small_elf(twenty('m'));
    REQUIRE(::write(fd, elf.data(), elf.size()) == static_cast<ssize_t>(elf.size()));
    char* const at = map_fd(fd);
    ::close(fd);
    REQUIRE(at != nullptr);
    check_found(look_all_ways(::getpid(), support::address_of(at)), twenty('m'), build_id_source::map_files,
                file_state::deleted);
    ::munmap(at, file_pages * page);
}

TEST_CASE("two paths of one file are one file, and two files of one path are two") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("one", small_elf(twenty('1')));
    REQUIRE(::link((dir / "one").c_str(), (dir / "other").c_str()) == 0);
    const mapped one{dir / "one"}, other{dir / "other"};
    replace(dir, "one", small_elf(twenty('2')));
    const mapped two{dir / "one"};
    const std::array addresses{one.address(), two.address(), other.address()};
    for (const backend use : backends()) {
        const maps self = need(maps::open_self({.use = use}));
        normalizer n{{.build_ids = true}};
        for (int again = 0; again < 3; ++again) {
            const auto got = need(n.normalize(self, addresses));
            CHECK(got.files.size() == 2);
            CHECK(got.locations[0].file == got.locations[2].file);
            CHECK(got.locations[0].file != got.locations[1].file);
            if (use == backend::text && !is_root()) continue;
            CHECK(got.files[got.locations[0].file].build_id == id_of(twenty('1')));
            CHECK(got.files[got.locations[1].file].build_id == id_of(twenty('2')));
        }
    }
}

TEST_CASE("a FIFO, a device, a directory or a link out of the root at the path is never opened") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    const std::string path = dir / "lib.so";
    dir.write("elsewhere", small_elf(twenty('e')));
    const int watch = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    for (const char* what : {"fifo", "device", "directory", "link", "loop"}) {
        INFO(what);
        std::filesystem::remove_all(path);
        dir.write("lib.so", small_elf(twenty('a')));
        int watched = -1;
        const views v = seen_by_nobody(path, [&] {
            ::unlink(path.c_str());
            const std::string kind = what;
            if (kind == "fifo") REQUIRE(::mkfifo(path.c_str(), 0666) == 0);
            if (kind == "device") REQUIRE(::mknod(path.c_str(), S_IFCHR | 0666, ::makedev(1, 5)) == 0);
            if (kind == "directory") REQUIRE(::mkdir(path.c_str(), 0755) == 0);
            if (kind == "link") REQUIRE(::symlink((dir / "elsewhere").c_str(), path.c_str()) == 0);
            if (kind == "loop") REQUIRE(::symlink(path.c_str(), path.c_str()) == 0);
            watched = ::inotify_add_watch(watch, path.c_str(), IN_OPEN | (kind == "link" ? 0u : IN_DONT_FOLLOW));
        });
        check_lost(v, twenty('a'), std::string_view{what} == "loop" ? file_state::unreadable : file_state::replaced);
        char events[4096];
        if (std::string_view{what} != "link")
            CHECK(::read(watch, events, sizeof events) < 0);  // a regular file is opened to be compared
        if (watched >= 0) ::inotify_rm_watch(watch, watched);
        while (::read(watch, events, sizeof events) > 0) {}
    }
    ::close(watch);
}

}  // namespace
