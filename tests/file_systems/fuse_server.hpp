// A FUSE server that counts read requests and can delay a lookup.
#pragma once

#include "programs.hpp"
#include "../support/memory.hpp"

#include <linux/fuse.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string>
#include <string_view>

namespace support {

/// What the server of the file system does, and is told.
struct server_state {
    std::uint32_t reads;
    std::uint32_t armed;  // holds the n-th lookup of "gate" from now on
    std::uint32_t held;   // one is being held
    std::uint32_t go;     // it may go on
};

/// Shared with all children.
inline server_state& server() {
    static server_state* const shared = reinterpret_cast<server_state*>(map_pages(1, PROT_READ | PROT_WRITE, MAP_SHARED));
    return *shared;
}

inline std::uint32_t now(const std::uint32_t& word) {
    return __atomic_load_n(&word, __ATOMIC_SEQ_CST);
}
inline void set(std::uint32_t& word, std::uint32_t value) {
    __atomic_store_n(&word, value, __ATOMIC_SEQ_CST);
}

/// Its files. All show one inode number, and some one name in different directories.
struct served {
    std::uint64_t parent;
    const char* name;
    program content;
    bool directory;
};
inline constexpr std::uint64_t first_node = FUSE_ROOT_ID + 1;
inline const served files_served[] = {
    {FUSE_ROOT_ID, "one.so", {.letter = 'f'}, false},
    {FUSE_ROOT_ID, "two.so", {.letter = 'g'}, false},
    {FUSE_ROOT_ID, "none.so", {.letter = 'h', .id_size = 0}, false},
    {FUSE_ROOT_ID, "gate", {}, true},
};

inline fuse_attr attributes_of(std::uint64_t node) {
    fuse_attr a{};
    const bool directory = node < first_node || files_served[node - first_node].directory;
    a.ino = directory ? node : 77;
    a.size = directory ? 0 : segments * page;
    a.mode = directory ? S_IFDIR | 0755 : S_IFREG | 0755;
    a.nlink = 1;
    a.blksize = 4096;
    return a;
}

/// Answers the kernel, by its own protocol (fuse(4), include/uapi/linux/fuse.h).
[[noreturn]] inline void serve(int fd) {
    static char request[128 * 1024];
    for (;;) {
        const ssize_t n = ::read(fd, request, sizeof request);
        if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN)) continue;
        if (n < static_cast<ssize_t>(sizeof(fuse_in_header))) ::_exit(0);
        fuse_in_header in;
        std::memcpy(&in, request, sizeof in);
        const char* const body = request + sizeof in;
        std::string answer;
        int failure = 0;
        const auto put = [&answer](const auto& part) { answer.append(reinterpret_cast<const char*>(&part), sizeof part); };
        switch (in.opcode) {
            case FUSE_INIT: {
                fuse_init_out out{};
                out.major = FUSE_KERNEL_VERSION;
                out.minor = FUSE_KERNEL_MINOR_VERSION;
                out.max_write = 4096;
                put(out);
                break;
            }
            case FUSE_LOOKUP: {
                failure = ENOENT;
                for (std::uint64_t i = 0; i < std::size(files_served); ++i) {
                    if (files_served[i].parent != in.nodeid || std::string_view{files_served[i].name} != body) continue;
                    if (files_served[i].directory && now(server().armed) != 0) {
                        set(server().armed, now(server().armed) - 1);
                        if (now(server().armed) == 0) {
                            set(server().held, 1);
                            while (now(server().go) == 0) ::usleep(200);
                            set(server().held, 0);
                            set(server().go, 0);
                        }
                    }
                    fuse_entry_out out{};
                    out.nodeid = first_node + i;
                    out.attr = attributes_of(first_node + i);
                    put(out);
                    failure = 0;
                }
                break;
            }
            case FUSE_GETATTR: {
                fuse_attr_out out{};
                out.attr = attributes_of(in.nodeid);
                put(out);
                break;
            }
            case FUSE_OPEN:
            case FUSE_OPENDIR: put(fuse_open_out{}); break;
            case FUSE_READ: {
                __atomic_fetch_add(&server().reads, 1, __ATOMIC_SEQ_CST);
                fuse_read_in what;
                std::memcpy(&what, body, sizeof what);
                const std::string file = elf_of(files_served[in.nodeid - first_node].content);
                if (what.offset < file.size()) answer = file.substr(what.offset, what.size);
                break;
            }
            case FUSE_STATFS: put(fuse_statfs_out{}); break;
            case FUSE_FLUSH:
            case FUSE_RELEASE:
            case FUSE_RELEASEDIR:
            case FUSE_ACCESS: break;
            case FUSE_FORGET:
            case FUSE_BATCH_FORGET:
            case FUSE_INTERRUPT: continue;  // not answered
            default: failure = ENOSYS;
        }
        fuse_out_header out{};
        out.unique = in.unique;
        out.error = -failure;
        if (failure != 0) answer.clear();
        out.len = static_cast<std::uint32_t>(sizeof out + answer.size());
        answer.insert(0, reinterpret_cast<const char*>(&out), sizeof out);
        if (::write(fd, answer.data(), answer.size()) < 0 && errno == ENODEV) ::_exit(0);
    }
}

}  // namespace support
