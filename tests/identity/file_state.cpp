// The state of a mapped file: linked, deleted, replaced or unreadable.
#include "files.hpp"
#include "looking.hpp"
#include "../support/calls.hpp"
#include "../support/elf_files.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/mounts.hpp"
#include "../support/names.hpp"
#include "../support/processes.hpp"
#include "../support/skipping.hpp"

#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include <procmap/location.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>

using namespace support;
using procmap::backend;
using procmap::file_state;
using procmap::maps;
using procmap::normalizer;

namespace {

/// The state that one normalizer, which looked before, and a new one give of a mapping; by both back-ends, and with nothing else asked.
struct states {
    file_state all[6] = {};
    std::size_t count = 0;
    [[nodiscard]] bool all_are(file_state s) const {
        return count != 0 && std::all_of(all, all + count, [s](file_state one) { return one == s; });
    }
};

/// Looks at a mapping when it is told to, as root or as an ordinary user.
class state_observer {
public:
    state_observer(pid_t pid, std::uint64_t address, bool nobody)
        : child_([=](channel& parent) {
              if (nobody) become_nobody();
              const std::array addresses{address};
              normalizer warm[2] = {normalizer{{.build_ids = true, .file_states = true}}, normalizer{{.build_ids = true, .file_states = true}}};
              for (;;) {
                  states s;
                  for (const backend use : {backend::ioctl, backend::text}) {
                      if (use == backend::ioctl && !kernel_has_ioctl()) continue;
                      const auto of = maps::open(pid, {.use = use});
                      ensure(of.has_value(), "open");
                      normalizer fresh{{.build_ids = true, .elf_addresses = true, .file_states = true}};
                      normalizer only{{.file_states = true}};
                      for (normalizer* n : {&warm[use == backend::text], &fresh, &only}) {
                          const auto got = n->normalize(*of, addresses);
                          ensure(got && got->files.size() == 1, "normalize");
                          s.all[s.count++] = got->files[0].state;
                      }
                  }
                  parent.send(s);
                  parent.await();
              }
          }) {}
    states first() { return child_->receive<states>(); }
    states again() {
        child_->signal();
        return child_->receive<states>();
    }

private:
    child child_;
};

TEST_CASE("where the path of a mapping leads is the same for root and for a user without rights, before and after") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    struct kind {
        const char* name;
        std::function<void(const temporary_directory&)> change;
        file_state expected;
        file_state for_nobody;
    };
    const auto in = [](const temporary_directory& dir, const char* name) { return dir / name; };
    const auto write_new = [](const temporary_directory& dir) { dir.write("d/lib.so", small_elf(twenty('b'))); };
    const auto one = [](const char* name, std::function<void(const temporary_directory&)> change, file_state s) {
        return kind{name, std::move(change), s, s};
    };
    const kind kinds[] = {
        one("linked", [](const temporary_directory&) {}, file_state::linked),
        one("renamed", [&](const auto& dir) { REQUIRE(::rename(in(dir, "d/lib.so").c_str(), in(dir, "d/away.so").c_str()) == 0); }, file_state::linked),
        one("renamed away, another file in its place", [&](const auto& dir) {
            REQUIRE(::rename(in(dir, "d/lib.so").c_str(), in(dir, "d/away.so").c_str()) == 0);
            write_new(dir);
        }, file_state::linked),
        one("its directory renamed away and another in its place", [&](const auto& dir) {
            REQUIRE(::rename(in(dir, "d").c_str(), in(dir, "e").c_str()) == 0);
            write_new(dir);
        }, file_state::linked),
        one("replaced", [&](const auto& dir) { replace(dir, "d/lib.so", small_elf(twenty('b'))); }, file_state::replaced),
        one("replaced, with a hard link that keeps the inode", [&](const auto& dir) {
            REQUIRE(::link(in(dir, "d/lib.so").c_str(), in(dir, "d/kept.so").c_str()) == 0);
            replace(dir, "d/lib.so", small_elf(twenty('b')));
        }, file_state::replaced),
        one("unlinked", [&](const auto& dir) { REQUIRE(::unlink(in(dir, "d/lib.so").c_str()) == 0); }, file_state::deleted),
        one("unlinked, with a hard link", [&](const auto& dir) {
            REQUIRE(::link(in(dir, "d/lib.so").c_str(), in(dir, "d/kept.so").c_str()) == 0);
            REQUIRE(::unlink(in(dir, "d/lib.so").c_str()) == 0);
        }, file_state::deleted),
        one("unlinked, and the same file linked there again", [&](const auto& dir) {
            REQUIRE(::link(in(dir, "d/lib.so").c_str(), in(dir, "d/kept.so").c_str()) == 0);
            REQUIRE(::unlink(in(dir, "d/lib.so").c_str()) == 0);
            REQUIRE(::link(in(dir, "d/kept.so").c_str(), in(dir, "d/lib.so").c_str()) == 0);
        }, file_state::linked),
        one("unlinked and created again", [&](const auto& dir) {
            REQUIRE(::unlink(in(dir, "d/lib.so").c_str()) == 0);
            write_new(dir);
        }, file_state::replaced),
        one("unlinked, and another file has its name with the mark", [&](const auto& dir) {
            REQUIRE(::unlink(in(dir, "d/lib.so").c_str()) == 0);
            dir.write("d/lib.so (deleted)", small_elf(twenty('b')));
        }, file_state::deleted),
        one("its directory removed", [&](const auto& dir) { std::filesystem::remove_all(dir / "d"); }, file_state::deleted),
        one("a directory at its path", [&](const auto& dir) {
            REQUIRE(::unlink(in(dir, "d/lib.so").c_str()) == 0);
            REQUIRE(::mkdir(in(dir, "d/lib.so").c_str(), 0755) == 0);
        }, file_state::replaced),
        one("a link to it at its path", [&](const auto& dir) {
            REQUIRE(::link(in(dir, "d/lib.so").c_str(), in(dir, "d/kept.so").c_str()) == 0);
            REQUIRE(::unlink(in(dir, "d/lib.so").c_str()) == 0);
            REQUIRE(::symlink("kept.so", in(dir, "d/lib.so").c_str()) == 0);
        }, file_state::linked),
        one("a directory that can be searched but not read", [&](const auto& dir) { REQUIRE(::chmod(in(dir, "d").c_str(), 0711) == 0); }, file_state::linked),
        one("a file that may not be read", [&](const auto& dir) { REQUIRE(::chmod(in(dir, "d/lib.so").c_str(), 0) == 0); }, file_state::linked),
        // Who may not look says so, and nothing else.
        {"a directory that may not be searched", [&](const auto& dir) { REQUIRE(::chmod(in(dir, "d").c_str(), 0700) == 0); }, file_state::linked,
         file_state::unreadable},
    };
    struct place {
        const char* name;
        bool own_mounts, own_root;
    };
    for (const place& p : {place{"here", false, false}, place{"in a chroot", false, true}, place{"in another mount namespace", true, false}})
        for (const kind& k : kinds) {
            INFO((std::string{p.name} + ": " + k.name));
            temporary_directory dir;
            dir.write("d/lib.so", small_elf(twenty('a')));
            ::chmod((dir / "d").c_str(), 0755);
            child inside = maps_it(p.own_root ? "/d/lib.so" : dir / "d/lib.so", [&] {
                if (p.own_mounts) {  // the same file, and other mounts elsewhere
                    ::mkdir((dir / "hidden").c_str(), 0755);
                    if (!own_namespace() || ::mount("tmpfs", (dir / "hidden").c_str(), "tmpfs", 0, nullptr) != 0) return false;
                }
                return !p.own_root || (::chroot(dir.path().c_str()) == 0 && ::chdir("/") == 0);
            });
            const auto address = inside->receive<std::uint64_t>();
            if (address == 0) {
                not_included(p.name);
                continue;
            }
            state_observer root{inside.pid(), address, false}, nobody{inside.pid(), address, true};
            CHECK(root.first().all_are(file_state::linked));
            CHECK(nobody.first().all_are(file_state::linked));
            k.change(dir);
            const states by_root = root.again(), by_nobody = nobody.again();
            CHECK(std::string{name_of(by_root.all[0])} == name_of(k.expected));
            CHECK(by_root.all_are(k.expected));
            CHECK(std::string{name_of(by_nobody.all[0])} == name_of(k.for_nobody));
            CHECK(by_nobody.all_are(k.for_nobody));
            ::chmod((dir / "d").c_str(), 0755);
        }
}

TEST_CASE("memory with a name that is no path has no state, and a memfd never had a path") {
    NEEDS_LIVE_MAPS();
    char* const shared = map_pages(1, PROT_READ | PROT_WRITE, MAP_SHARED);
    const int fd = ::memfd_create("state", MFD_CLOEXEC);
    REQUIRE(::ftruncate(fd, static_cast<off_t>(file_pages * page)) == 0);
    char* const memfd = map_fd(fd);
    ::close(fd);
    for (const backend use : backends()) {
        const maps self = need(maps::open_self({.use = use}));
        normalizer n{{.file_states = true}};
        const std::array addresses{support::address_of(shared), support::address_of(memfd)};
        const auto got = need(n.normalize(self, addresses));
        CHECK(std::string{name_of(got.files[got.locations[0].file].state)} == "unknown");
        CHECK(std::string{name_of(got.files[got.locations[1].file].state)} == "deleted");
    }
    ::munmap(shared, page);
    ::munmap(memfd, file_pages * page);
}

}  // namespace
