// A child process with as many kinds of mappings and names as possible.
#pragma once

#include "asking.hpp"
#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"
#include "../support/records.hpp"
#include "../support/skipping.hpp"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <procmap/maps.hpp>

namespace support {

using procmap::backend;
using procmap::maps;

/// Maps one page of a new file. In a child.
inline void map_file(int directory, const std::string& name, int protection = PROT_READ, int flags = MAP_PRIVATE) {
    const int fd = ::openat(directory, name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ensure(fd >= 0 && ::ftruncate(fd, static_cast<off_t>(page)) == 0, "create a file");
    ensure(::mmap(nullptr, page, protection, flags, fd, 0) != MAP_FAILED, "map a file");
    ::close(fd);
}

/// Makes directories of that name in each other, and opens the innermost. In a child.
inline int descend(int directory, const std::string& name, int depth) {
    for (; depth != 0; --depth) {
        ensure(::mkdirat(directory, name.c_str(), 0700) == 0, "mkdirat");
        directory = ::openat(directory, name.c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        ensure(directory >= 0, "open a directory");
    }
    return directory;
}

/// A mapping of a file that has no path at all. False where no kind of it can be had.
inline bool map_anonymous_inode() {
    perf_event_attr software{};
    software.size = sizeof software;
    software.type = PERF_TYPE_SOFTWARE;
    software.config = PERF_COUNT_SW_DUMMY;
    software.exclude_kernel = 1;
    const long perf = ::syscall(SYS_perf_event_open, &software, 0, -1, -1, 0UL);
    if (perf >= 0 && ::mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, static_cast<int>(perf), 0) != MAP_FAILED)
        return true;
    io_uring_params parameters{};
    const long ring = ::syscall(SYS_io_uring_setup, 1, &parameters);
    if (ring >= 0 && ::mmap(nullptr, page, PROT_READ, MAP_SHARED, static_cast<int>(ring), IORING_OFF_SQ_RING) != MAP_FAILED)
        return true;
    bpf_attr map{};
    map.map_type = BPF_MAP_TYPE_RINGBUF;
    map.max_entries = static_cast<std::uint32_t>(page);
    const long bpf = ::syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map);
    return bpf >= 0 && ::mmap(nullptr, page, PROT_READ, MAP_SHARED, static_cast<int>(bpf), 0) != MAP_FAILED;
}

/// A file mapped at the largest offset that its filesystem takes.
inline bool map_at_huge_offset(const char* name) {
    const int fd = ::open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (int bit = static_cast<int>(sizeof(off_t)) * 8 - 2; bit > 30; --bit)
        if (::mmap(nullptr, page, PROT_READ, MAP_PRIVATE, fd, off_t{1} << bit) != MAP_FAILED) return ::close(fd) == 0;
    return false;
}

/// What the strange child could not map: reported, so that a test that passes says what it has not seen.
enum rare : unsigned {
    no_anonymous_inode = 0x01,
    no_huge_offset = 0x02,
    no_huge_page = 0x04,
    no_anonymous_name = 0x08,
    no_sysv = 0x10,
    not_all_permissions = 0x20
};

/// Makes this process's address space as strange as it gets. In a child, in a directory of its own.
inline unsigned make_strange(int segment) {
    unsigned missing = 0;
    for (const char* name : {"plain.so", "new\nline", "literal\\012", "both\n\\012", " leading", "trailing  ", "a  b   c", "\n",
                             "fake (deleted)", "inv\xff\xfeutf8", "cr\rtab\tescape\x1b[31m", "[heap]", "\xe6\x97\xa5"})
        map_file(AT_FDCWD, name);
    for (const char* name : {"gone", "gone (deleted)", "gone\nwith a newline"}) {
        map_file(AT_FDCWD, name);
        ::unlink(name);
    }
    map_file(descend(AT_FDCWD, std::string(200, '\n'), 3), std::string(100, '\n'));   // in text: longer than 2 kB
    map_file(descend(AT_FDCWD, std::string(201, '\n'), 6), std::string(100, '\n'));   // in text: longer than PATH_MAX
    map_file(descend(AT_FDCWD, std::string(250, 'x'), 15), "fits");                   // just below PATH_MAX
    map_file(descend(AT_FDCWD, std::string(251, 'y'), 20), "does not");               // over PATH_MAX
    const int memory = static_cast<int>(::syscall(SYS_memfd_create, "mem fd\nname", 0));
    ensure(::ftruncate(memory, static_cast<off_t>(page)) == 0, "memfd");
    ensure(::mmap(nullptr, page, PROT_READ, MAP_SHARED, memory, 0) != MAP_FAILED, "memfd");
    const bool attached = segment >= 0 && ::shmat(segment, nullptr, 0) != reinterpret_cast<void*>(-1);
    static_cast<void>(::unshare(CLONE_NEWIPC));  // the first segment of a namespace has inode 0
    const int removed = ::shmget(IPC_PRIVATE, page, IPC_CREAT | 0600);
    const bool both = attached && removed >= 0 && ::shmat(removed, nullptr, SHM_RDONLY) != reinterpret_cast<void*>(-1);
    if (removed >= 0) ::shmctl(removed, IPC_RMID, nullptr);
    if (!both) missing |= no_sysv;
    const int zero = ::open("/dev/zero", O_RDWR | O_CLOEXEC);
    ensure(::mmap(nullptr, page, PROT_READ, MAP_SHARED, zero, 0) != MAP_FAILED, "/dev/zero");
    for (int protection = 0; protection < 8; ++protection) {
        if (map_pages(1, protection, MAP_PRIVATE) == nullptr) missing |= not_all_permissions;
        if (map_pages(1, protection, MAP_SHARED) == nullptr) missing |= not_all_permissions;
    }
    ensure(map_alternating(40) != nullptr, "map pages");
    char* const named = map_pages(2);
    constexpr int set_vma = 0x53564d41;  // PR_SET_VMA, Linux 5.17
    if (::prctl(set_vma, 0, named, page, "a name, and \"more\"") != 0) missing |= no_anonymous_name;
    if (!map_anonymous_inode()) missing |= no_anonymous_inode;
    if (!map_at_huge_offset("huge offset")) missing |= no_huge_offset;
    if (map_pages((2 << 20) / page, PROT_READ, MAP_PRIVATE | MAP_HUGETLB | MAP_NORESERVE) == nullptr) missing |= no_huge_page;
    return missing;
}

/// A child with a strange address space, at rest.
class strange_child {
public:
    strange_child()
        : child_{[this](channel& parent) {
              ensure(::chdir(directory_.path().c_str()) == 0, "chdir");
              parent.send(make_strange(segment_));
              parent.pause();
          }} {
        const auto missing = child_->receive<unsigned>();
        ::shmctl(segment_, IPC_RMID, nullptr);
        constexpr std::pair<rare, const char*> names[] = {
            {no_anonymous_inode, "anonymous inodes"}, {no_huge_offset, "a huge file offset"}, {no_huge_page, "huge pages"},
            {no_anonymous_name, "PR_SET_VMA_ANON_NAME"}, {no_sysv, "SysV memory"}, {not_all_permissions, "some permissions"}};
        for (const auto& [bit, what] : names)
            if ((missing & bit) != 0) not_included(what);
    }
    pid_t pid() const { return child_.pid(); }
    std::vector<raw_line> raw() const { return raw_lines(slurp(maps_path(pid())).value()); }
    walked whole(backend use) const { return walk_with_names(need(maps::open(pid(), {.use = use}))); }

private:
    temporary_directory directory_;
    int segment_ = ::shmget(IPC_PRIVATE, page, IPC_CREAT | 0600);
    child child_;
};

}  // namespace support
