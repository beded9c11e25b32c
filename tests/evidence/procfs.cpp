// Recorded directories, procfs mounted elsewhere, and maps files mounted over others.
#include "locating.hpp"
#include "../support/calls.hpp"
#include "../support/elf_files.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/mounts.hpp"
#include "../support/printed.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"
#include "../support/skipping.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>
#include <procmap/location.hpp>
#include <procmap/maps.hpp>

using namespace support;
using procmap::backend;
using procmap::file_state;
using procmap::maps;

namespace {

TEST_CASE("a directory of recorded files is no task's: nothing is looked up in it") {
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    dir.write("recorded/7/maps", "");
    std::filesystem::create_symlink("/", dir / "recorded/7/root");
    std::filesystem::create_symlink("/proc/self/map_files", dir / "recorded/7/map_files");
    char* const memory = map_file(dir / "lib.so");
    dir.write("recorded/7/maps", *slurp("/proc/self/maps"));
    const std::string proc = dir / "recorded";
    const maps of = need(maps::open(7, {.proc = proc.c_str()}));
    CHECK_FALSE(has_directory(of));
    const located l = locate(of, address_of(memory));
    CHECK(l.resolved);
    CHECK_FALSE(l.id_known);
    CHECK_FALSE(l.elf_known);
    CHECK(l.state == file_state::unknown);
    ::munmap(memory, file_pages * page);
}

TEST_CASE("a maps file that is mounted into a directory brings none of that directory's files along") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    dir.write("forged.so", small_elf(twenty('f')));
    dir.write("fake/777/maps", "");
    dir.write("fake/777/root" + dir.path() + "/lib.so", small_elf(twenty('f')));
    child target{[&](channel& parent) {
        parent.send(address_of(map_file(dir / "lib.so")));
        parent.pause();
    }};
    const auto address = target->receive<std::uint64_t>();
    child other{[&](channel& parent) {
        map_file(dir / "forged.so");
        parent.pause();
    }};
    struct verdict {
        bool mounted = false, opened = true, directory = false, forged = false, known_by_kernel = true;
    };
    for (const bool real_procfs : {false, true})  // over the file of another process's own directory
        for (const backend use : backends()) {
            CAPTURE(real_procfs);
            CAPTURE(use);
            child agent{[&](channel& parent) {
                verdict v;
                const std::string proc = real_procfs ? "/proc" : dir / "fake";
                const pid_t number = real_procfs ? other.pid() : 777;
                const std::string over = proc + '/' + std::to_string(number) + "/maps";
                if (!own_namespace() || ::mount(maps_path(target.pid()).c_str(), over.c_str(), nullptr, MS_BIND, nullptr) != 0) parent.send(v);
                v.mounted = true;
                const auto of = maps::open(number, {.use = use, .proc = proc.c_str()});
                if (!(v.opened = of.has_value())) parent.send(v);
                v.directory = has_directory(*of);
                const located l = locate(*of, address);
                v.forged = l.id == hex_of(id_of(twenty('f')));
                v.known_by_kernel = !kernel_ids(*of) || l.id == hex_of(id_of(twenty('a')));
                parent.send(v);
            }};
            const auto v = agent->receive<verdict>();
            if (!v.mounted) SKIP("no mount namespace of one's own");
            CHECK(v.opened);
            CHECK_FALSE(v.directory);
            CHECK_FALSE(v.forged);
            CHECK(v.known_by_kernel);
        }
}

TEST_CASE("a procfs that is mounted elsewhere, also below a directory called task, gives the files of its processes") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    for (const char* where : {"task/x", "proc/x", "99/task/77/x"}) dir.write(where, "");
    child target{[&](channel& parent) {
        parent.send(address_of(map_file(dir / "lib.so")));
        parent.pause();
    }};
    const auto address = target->receive<std::uint64_t>();
    struct verdict {
        bool mounted = false, opened = false, adopted = false, thread = false, unreachable = false;
    };
    for (const char* where : {"task", "proc", "99/task", "99/task/77"}) {
        CAPTURE(std::string{where});
        child agent{[&](channel& parent) {
            verdict v;
            const std::string proc = dir / where;
            if (!own_namespace() || ::mount("proc", proc.c_str(), "proc", 0, nullptr) != 0) parent.send(v);
            v.mounted = true;
            const auto right = [&](const maps& of) {
                const located l = locate(of, address);
                return has_directory(of) && l.id == hex_of(id_of(twenty('a'))) && l.state == file_state::linked && l.elf_known;
            };
            const pid_t pid = target.pid();
            const std::string path = proc + '/' + std::to_string(pid) + "/maps";
            const auto opened = maps::open(pid, {.use = backend::text, .proc = proc.c_str()});
            const auto thread = maps::open(pid, pid, {.use = backend::text, .proc = proc.c_str()});
            const auto adopted = maps::adopt(procmap::unique_fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)}, {.use = backend::text});
            v.opened = opened && right(*opened);
            v.thread = thread && right(*thread);
            v.adopted = adopted && (right(*adopted) || !kernel_at_least(5, 17));  // a path that may not be waited for
            ::umount2(proc.c_str(), MNT_DETACH);
            v.unreachable = opened && !has_directory(*opened) && !locate(*opened, vdso_address() + 0x100).id_known;
            parent.send(v);
        }};
        const auto v = agent->receive<verdict>();
        if (!v.mounted) SKIP("no mount namespace of one's own");
        CHECK(v.opened);
        CHECK(v.thread);
        CHECK(v.adopted);
        CHECK(v.unreachable);
    }
}

}  // namespace
