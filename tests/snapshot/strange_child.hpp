// A child process with names that text cannot hold.
#pragma once

#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <string>

#include <procmap/maps.hpp>

namespace support {

using procmap::backend;
using procmap::maps;

inline void map_file(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ensure(fd >= 0 && ::ftruncate(fd, static_cast<off_t>(page)) == 0, "create a file");
    ensure(::mmap(nullptr, page, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED, "map a file");
    ::close(fd);
}

/// A path of more than PATH_MAX bytes: a file in deep directories, mapped.
inline void map_file_too_deep(const std::string& below) {
    int directory = ::open(below.c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    const std::string name(251, 'y');
    for (int depth = 0; depth < 20; ++depth) {
        ::mkdirat(directory, name.c_str(), 0700);
        const int next = ::openat(directory, name.c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        ::close(directory);
        directory = next;
    }
    const int fd = ::openat(directory, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ensure(fd >= 0 && ::ftruncate(fd, static_cast<off_t>(page)) == 0, "create a deep file");
    ensure(::mmap(nullptr, page, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED, "map a deep file");
    ::close(fd);
    ::close(directory);
}

/// A child at rest with names that text cannot hold, a page size of its own, and `more` mappings.
struct strange_child {
    static constexpr const char* names[] = {"plain", "new\nline", "literal\\012", "both\n\\012", " blank ",
                                            "inv\xff\xfeutf8", "cr\r"};
    temporary_directory directory;
    child held;

    explicit strange_child(std::size_t more = 0)
        : held{[&](channel& parent) {
              // The kernel maps downwards: some are above the many, some below.
              for (const char* name : names) map_file(directory / name);
              map_file_too_deep(directory.path());
              ensure(more == 0 || map_alternating(more) != nullptr, "map pages");
              for (const char* name : {"later\nline", "later\\012"}) map_file(directory / name);
              map_pages((2 << 20) / page, PROT_READ, MAP_PRIVATE | MAP_HUGETLB | MAP_NORESERVE);  // where there are any
              parent.signal();
              parent.pause();
          }} {
        held->await();
    }
    maps open(backend use) const { return need(maps::open(held.pid(), {.use = use})); }
};

}  // namespace support
