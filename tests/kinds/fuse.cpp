// Files on FUSE, whose server counts read requests.
#include "kind.hpp"
#include "asking.hpp"
#include "own_mounts.hpp"
#include "elf_file.hpp"
#include "sockets.hpp"
#include "../support/elf_files.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/fd.hpp>

using namespace support;
using procmap::unique_fd;

namespace {

/// What a FUSE server and its test share.
struct served {
    std::atomic<int> reads{0};
    std::atomic<bool> stuck{false};  // it does not answer READ any more
};

/// Serves a directory with one file, "file", until the connection is gone.
void serve(int fd, const std::string& contents, served& state) {
    constexpr std::uint64_t file = 2;
    constexpr std::uint64_t for_ever = 1'000'000;
    const auto attributes = [&](std::uint64_t node) {
        fuse_attr a{};
        a.ino = node;
        a.mode = node == file ? S_IFREG | 0644 : S_IFDIR | 0755;
        a.nlink = 1;
        a.size = node == file ? contents.size() : 0;
        a.blksize = 4096;
        return a;
    };
    std::vector<char> room(1 << 17);
    for (;;) {
        const ssize_t n = ::read(fd, room.data(), room.size());
        if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN)) continue;
        if (n < static_cast<ssize_t>(sizeof(fuse_in_header))) return;
        fuse_in_header in;
        std::memcpy(&in, room.data(), sizeof in);
        const char* const body = room.data() + sizeof in;
        const auto reply = [&](int failure, const void* data = nullptr, std::size_t size = 0) {
            fuse_out_header out{.len = static_cast<std::uint32_t>(sizeof out + size), .error = -failure, .unique = in.unique};
            std::string message{reinterpret_cast<const char*>(&out), sizeof out};
            message.append(static_cast<const char*>(data), size);
            (void)!::write(fd, message.data(), message.size());
        };
        switch (in.opcode) {
            case FUSE_INIT: {
                fuse_init_in asked{};
                std::memcpy(&asked, body, std::min(sizeof asked, static_cast<std::size_t>(n) - sizeof in));
                fuse_init_out init{};
                init.major = FUSE_KERNEL_VERSION;
                init.minor = std::min<std::uint32_t>(asked.minor, 31);
                init.max_write = 4096;
                init.time_gran = 1;
                reply(0, &init, sizeof init);
                break;
            }
            case FUSE_LOOKUP: {
                fuse_entry_out entry{};
                entry.nodeid = file;
                entry.entry_valid = entry.attr_valid = for_ever;
                entry.attr = attributes(file);
                std::string_view{body} == "file" ? reply(0, &entry, sizeof entry) : reply(ENOENT);
                break;
            }
            case FUSE_GETATTR: {
                fuse_attr_out out{};
                out.attr_valid = for_ever;
                out.attr = attributes(in.nodeid);
                reply(0, &out, sizeof out);
                break;
            }
            case FUSE_OPEN: {
                fuse_open_out opened{};
                opened.open_flags = FOPEN_KEEP_CACHE;
                reply(0, &opened, sizeof opened);
                break;
            }
            case FUSE_READ: {
                fuse_read_in asked;
                std::memcpy(&asked, body, sizeof asked);
                ++state.reads;
                if (state.stuck) break;
                const std::size_t from = std::min<std::size_t>(static_cast<std::size_t>(asked.offset), contents.size());
                reply(0, contents.data() + from, std::min<std::size_t>(asked.size, contents.size() - from));
                break;
            }
            case FUSE_STATFS: {
                fuse_statfs_out out{};
                out.st.bsize = out.st.frsize = 4096;
                out.st.namelen = 255;
                reply(0, &out, sizeof out);
                break;
            }
            case FUSE_FLUSH:
            case FUSE_RELEASE:
            case FUSE_ACCESS: reply(0); break;
            case FUSE_FORGET:
            case FUSE_BATCH_FORGET:
            case FUSE_INTERRUPT: break;
            default: reply(ENOSYS);
        }
    }
}

TEST_CASE("a file of FUSE is not read by what opens files, and by the kernel only where a name alone decides") {
    NEEDS_LIVE_MAPS();
    enum class pages { cached, uncached, stuck };
    const std::string contents = small_elf(an_id);
    for (const pages first : {pages::cached, pages::uncached, pages::stuck}) {
        kind k{std::string{"FUSE file, "} + (first == pages::cached     ? "cached"
                                             : first == pages::uncached ? "not cached"
                                                                        : "server does not answer"),
               named::file};
        k.id = an_id;
        const temporary_directory directory;
        unique_fd connection{::open("/dev/fuse", O_RDWR | O_CLOEXEC)};
        const std::string options = "fd=" + std::to_string(connection.get()) + ",rootmode=40000,user_id=0,group_id=0";
        if (!connection || !own_mounts || ::mount("fuse", directory.path().c_str(), "fuse", 0, options.c_str()) != 0) {
            cannot_make(k.name, connection && !own_mounts ? "no mounts of its own" : why());
            continue;
        }
        auto& state = *new (map_pages(1, PROT_READ | PROT_WRITE, MAP_SHARED)) served;
        {
            child server{[&](channel&) { serve(connection.get(), contents, state); }};
            connection.reset();
            const std::string path = directory / "file";
            unique_fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
            REQUIRE(file);
            REQUIRE(k.map(file.get(), file_pages * page, MAP_PRIVATE));
            CHECK(slurp(path) == contents);
            CHECK(state.reads != 0);
            state.stuck = first == pages::stuck;
            k.never_by_name = first == pages::stuck;
            k.free_waiting = [&] { server.kill(); };
            if (first == pages::uncached) k.allowed = "READ requests";
            k.before = [&] {
                if (first != pages::cached) {
                    unsigned char resident[file_pages] = {1, 1};
                    ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
                    ::mincore(reinterpret_cast<void*>(static_cast<std::uintptr_t>(k.at)), file_pages * page, resident);
                    CHECK((resident[0] & 1) == 0);
                }
                state.reads = 0;
            };
            k.disturbed = [&]() -> std::string { return state.reads == 0 ? "" : "READ requests"; };
            k.watch_file(path);
            ask_everyhow(k);
        }
        ::umount2(directory.path().c_str(), MNT_DETACH);
        ::munmap(&state, page);
    }
}

}  // namespace
