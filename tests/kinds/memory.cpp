// Memory without a file, and files of the kernel's own.
#include "kind.hpp"
#include "asking.hpp"
#include "own_mounts.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/raw_maps.hpp"

#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>

using namespace support;
using procmap::unique_fd;

namespace {

TEST_CASE("memory without a file is known to have no build ID; the vDSO has the one in its image") {
    NEEDS_LIVE_MAPS();
    for (const int flags : {MAP_PRIVATE, MAP_PRIVATE | MAP_GROWSDOWN}) {
        kind k{flags == MAP_PRIVATE ? "anonymous memory" : "anonymous memory that grows", named::nothing};
        k.at = address_of(map_pages(4, PROT_READ | PROT_WRITE, flags));
        k.undo.emplace_back([at = k.at] { ::munmap(reinterpret_cast<void*>(static_cast<std::uintptr_t>(at)), 4 * page); });
        ask_everyhow(k);
    }
    kind stack{"[stack]", named::nothing};
    stack.at = address_of(&stack);
    ask_everyhow(stack);
    const auto image = ::getauxval(AT_SYSINFO_EHDR);
    kind vdso{"[vdso]", named::unsure};
    vdso.vdso = true;
    vdso.at = image;
    image != 0 ? ask_everyhow(vdso) : cannot_make(vdso.name, "this kernel has none");
}

TEST_CASE("[vvar] is known to have no build ID, and not read") {
    NEEDS_LIVE_MAPS();
    for (const raw_line& raw : raw_lines(slurp(maps_path(::getpid())).value())) {
        if (!raw.name.starts_with("[vvar")) continue;
        kind k{raw.name, named::nothing};
        k.at = raw.start;
        ask_everyhow(k);
    }
}

TEST_CASE("shared memory that only the kernel has a name for is not known by its name") {
    NEEDS_LIVE_MAPS();
    kind shared{"shared anonymous memory", named::unsure, proof::by_map_files};
    REQUIRE(shared.map(-1, 2 * page, MAP_SHARED | MAP_ANONYMOUS));
    ask_everyhow(shared);

    kind segment{"SysV shared memory", named::unsure, proof::by_map_files};
    const int number = ::shmget(IPC_PRIVATE, page, IPC_CREAT | 0600);
    if (number < 0) {
        cannot_make(segment.name, why());
    } else {
        void* const memory = ::shmat(number, nullptr, SHM_RDONLY);
        ::shmctl(number, IPC_RMID, nullptr);
        REQUIRE(memory != reinterpret_cast<void*>(-1));
        segment.at = address_of(memory);
        segment.undo.emplace_back([memory] { ::shmdt(memory); });
        ask_everyhow(segment);
    }

    kind huge{"huge pages", named::unsure, proof::by_map_files};
    constexpr std::size_t most = std::size_t{1} << 30;
    std::size_t size = 0;
    std::ifstream sizes{"/proc/meminfo"};
    for (std::string line; std::getline(sizes, line);)
        if (std::size_t kb = 0; std::sscanf(line.c_str(), "Hugepagesize: %zu kB", &kb) == 1) size = kb * 1024;
    if (size == 0 || size > most || !huge.map(-1, size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE))
        cannot_make(huge.name, size == 0 ? "no hugetlbfs" : why());
    else
        ask_everyhow(huge);
}

TEST_CASE("the kernel's own files, a ring of asynchronous I/O and secret memory, are not known and not asked about") {
    NEEDS_LIVE_MAPS();
    kind ring{"AIO ring", named::unsure};
    unsigned long context = 0;
    if (::syscall(SYS_io_setup, 1, &context) != 0) {
        cannot_make(ring.name, why());
    } else {
        ring.at = context;
        ring.undo.emplace_back([context] { ::syscall(SYS_io_destroy, context); });
        ask_everyhow(ring);
    }

    constexpr long memfd_secret = 447;
    kind secret{"memfd_secret", named::unsure};
    const unique_fd memory{static_cast<int>(::syscall(memfd_secret, O_CLOEXEC))};
    if (!memory || ::ftruncate(memory.get(), static_cast<off_t>(page)) != 0 || !secret.map(memory.get(), page))
        cannot_make(secret.name, why());
    else
        ask_everyhow(secret);
}

}  // namespace
