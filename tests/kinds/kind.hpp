// A mapping to ask about, its expected answers, and what happened to it.
#pragma once

#include "../support/files.hpp"
#include "../support/memory.hpp"
#include "../support/skipping.hpp"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <procmap/fd.hpp>

namespace support {

using procmap::unique_fd;

/// What a mapping's name says of it.
enum class named : unsigned char {
    file,     ///< a regular file
    nothing,  ///< that there is no ELF file: no name, a socket, an anonymous inode
    unsure,   ///< neither
};

/// Whether it can be found out that a regular file is mapped.
enum class proof : unsigned char {
    none,
    by_map_files,  ///< it has no path: with privileges only
    by_path,
};

/// A mapping, and what holds it.
struct kind {
    std::string name;
    named by_name = named::unsure;
    proof regular = proof::none;
    std::string id{};  // the build ID that is in the file
    std::uint64_t at = 0;
    bool vdso = false;
    bool never_by_name = false;                // to ask by name would wait for ever
    std::function<void()> free_waiting{};      // ends the wait of what hangs: it can hold a lock that this process needs
    std::string allowed{};                     // what the kind may tell after a way that asks by name
    std::function<void()> before{};            // each way
    std::function<std::string()> disturbed{};  // what was done to it; empty: nothing
    unique_fd watch{};                         // inotify, of opens and reads
    std::vector<std::function<void()>> undo{};

    kind(std::string n, named b, proof r = proof::none) : name(std::move(n)), by_name(b), regular(r) {}
    kind(kind&&) = default;
    kind(const kind&) = delete;
    ~kind() {
        for (auto i = undo.rbegin(); i != undo.rend(); ++i) (*i)();
    }
    bool no_file() const { return by_name == named::nothing && !anonymous_file; }
    bool anonymous_file = false;  // a socket or an anonymous inode

    /// Maps `fd`; false where that fails.
    bool map(int fd, std::size_t size, int flags = MAP_SHARED, off_t offset = 0, int protection = PROT_READ) {
        void* const memory = ::mmap(nullptr, size, protection, flags, fd, offset);
        if (memory == MAP_FAILED) return false;
        at = address_of(memory);
        undo.emplace_back([memory, size] { ::munmap(memory, size); });
        return true;
    }
    /// Watches what `path` leads to.
    void watch_file(const std::string& path) {
        watch.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
        if (::inotify_add_watch(watch.get(), path.c_str(), IN_OPEN | IN_ACCESS) < 0) watch.reset();
    }
    void watch_fd(int fd) { watch_file("/proc/self/fd/" + std::to_string(fd)); }
};

/// Older kernels tell of opens by O_PATH too, which touch nothing.
inline bool path_opens_are_seen() {
    static const bool seen = [] {
        const temporary_directory directory;
        directory.write("file", "");
        const unique_fd watch{::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
        ::inotify_add_watch(watch.get(), (directory / "file").c_str(), IN_OPEN);
        const unique_fd by_path{::open((directory / "file").c_str(), O_PATH | O_CLOEXEC)};
        char events[4096];
        return ::read(watch.get(), events, sizeof events) > 0;
    }();
    return seen;
}

/// What the watch saw since the last call.
inline std::string events_of(const kind& k) {
    bool opened = false, accessed = false;
    alignas(inotify_event) char events[4096];
    for (ssize_t n; k.watch && (n = ::read(k.watch.get(), events, sizeof events)) > 0;)
        for (ssize_t i = 0; i < n;) {
            const auto* const e = reinterpret_cast<const inotify_event*>(events + i);
            opened |= (e->mask & IN_OPEN) != 0 && !path_opens_are_seen();
            accessed |= (e->mask & IN_ACCESS) != 0;
            i += static_cast<ssize_t>(sizeof *e + e->len);
        }
    return accessed ? "read" : opened ? "opened" : "";
}

inline void cannot_make(const std::string& name, const std::string& what) {
    not_included(name + ": " + what);
}

}  // namespace support
