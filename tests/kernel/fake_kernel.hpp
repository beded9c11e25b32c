// A fake kernel: it answers the system calls that main.cpp defines.
#pragma once

#if !defined(__cpp_exceptions)
#define DOCTEST_CONFIG_NO_EXCEPTIONS_BUT_WITH_ALL_ASSERTS  // REQUIRE then goes on, and the test fails all the same
#endif

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <ostream>  // doctest prints errors
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/maps.hpp>
#include <procmap/text.hpp>

namespace support {

namespace uapi = procmap::uapi;
using uapi::procmap_query;

/// What answers instead of the kernel, where it is set. Each hook returns the call's value, or minus an errno.
struct fake_kernel {
    std::function<int(procmap_query&)> ioctl;
    std::function<long(char* to, std::size_t size, std::uint64_t position)> pread;
    std::function<int(const char* path)> openat;
    std::function<int(int fd)> close;
    std::function<void()> signals;  // called when signals are let through again: a handler that was held back
    const char* release = nullptr;
    int ioctls = 0;
    int preads = 0;
    int opens = 0;
    int closes = 0;
};
inline fake_kernel* fake = nullptr;

struct with_kernel : fake_kernel {
    with_kernel() { fake = this; }
    ~with_kernel() { fake = nullptr; }
    with_kernel(const with_kernel&) = delete;
    with_kernel& operator=(const with_kernel&) = delete;
};

/// A kernel that has these mappings and answers as do_procmap_query() does, knowing `known` bytes of the struct.
struct vma {
    std::uint64_t start, end;
    std::uint32_t permissions = 1;
    std::uint64_t offset = 0;
    std::uint64_t inode = 0;
    std::string name{};
    std::string build_id{};
};

inline int answer(const std::vector<vma>& vmas, procmap_query& q, std::size_t known = sizeof(procmap_query)) {
    if (q.size > 4096) return -E2BIG;
    if (q.size < 24) return -EINVAL;
    const auto* bytes = reinterpret_cast<const unsigned char*>(&q);
    for (std::size_t i = known; i < q.size; ++i)
        if (bytes[i] != 0) return -E2BIG;
    procmap_query in{};
    std::memcpy(&in, &q, static_cast<std::size_t>(std::min<std::uint64_t>({q.size, known, sizeof in})));
    if ((in.query_flags & ~0x3fu) != 0 || (in.vma_name_size != 0) != (in.vma_name_addr != 0) ||
        (in.build_id_size != 0) != (in.build_id_addr != 0))
        return -EINVAL;
    for (const vma& v : vmas) {
        if (v.end <= in.query_addr) continue;
        const bool next = (in.query_flags & 0x10) != 0;
        if ((v.permissions & in.query_flags & 0xf) != (in.query_flags & 0xf) || ((in.query_flags & 0x20) != 0 && v.inode == 0)) {
            if (next) continue;
            return -ENOENT;
        }
        if (!next && v.start > in.query_addr) return -ENOENT;
        procmap_query out = in;
        out.vma_start = v.start;
        out.vma_end = v.end;
        out.vma_flags = v.permissions;
        out.vma_page_size = 4096;
        out.vma_offset = v.offset;
        out.inode = v.inode;
        out.dev_major = v.inode == 0 ? 0 : 0xfe;
        if (in.build_id_size != 0) {
            if (in.build_id_size < v.build_id.size()) return -ENAMETOOLONG;
            std::memcpy(reinterpret_cast<void*>(in.build_id_addr), v.build_id.data(), v.build_id.size());
            out.build_id_size = static_cast<std::uint32_t>(v.build_id.size());
        }
        if (in.vma_name_size != 0) {
            if (v.name.size() + 1 > std::min<std::size_t>(in.vma_name_size, 4096)) return -ENAMETOOLONG;
            out.vma_name_size = v.name.empty() ? 0 : static_cast<std::uint32_t>(v.name.size() + 1);
            if (out.vma_name_size != 0) std::memcpy(reinterpret_cast<void*>(in.vma_name_addr), v.name.c_str(), out.vma_name_size);
        }
        std::memcpy(&q, &out, static_cast<std::size_t>(std::min<std::uint64_t>({q.size, known, sizeof out})));
        return 0;
    }
    return -ENOENT;
}

inline const std::vector<vma> three{{0x1000, 0x3000, 5, 0x2000, 7, "/bin/a", std::string(20, '\xab')},
                             {0x3000, 0x4000, 3, 0, 0, "[heap]", {}},
                             {0x7000, 0x9000, 1, 0, 0, {}, {}}};
inline const std::string three_text =
    "00001000-00003000 r-xp 00002000 fe:00 7                                  /bin/a\n"
    "00003000-00004000 rw-p 00000000 00:00 0                                  [heap]\n"
    "00007000-00009000 r--p 00000000 00:00 0 \n";

/// A pread that serves `text`, at most `chunk` bytes at a time.
inline auto serve(const std::string& text, std::size_t chunk = 4096) {
    return [&text, chunk](char* to, std::size_t size, std::uint64_t position) -> long {
        if (position >= text.size()) return 0;
        const std::size_t n = std::min({chunk, size, text.size() - static_cast<std::size_t>(position)});
        std::memcpy(to, text.data() + position, n);
        return static_cast<long>(n);
    };
}

inline std::string line_of(const procmap::mapping& m) {
    std::string line;
    procmap::print([&](std::string_view part) { line += part; }, m);
    return line;
}

// Names that were not requested are left out.
inline std::string walked(procmap::mapping_walk& walk) {
    std::string lines;
    for (procmap::mapping m : walk) {
        if (m.name_status == procmap::name_state::not_asked) m.name_status = procmap::name_state::exact;
        lines += line_of(m) + '\n';
    }
    return lines;
}

inline procmap::maps opened(procmap::backend use, bool trust = false) {
    const bool silent = use == procmap::backend::ioctl && !fake->ioctl;  // the real kernel may have no such ioctl
    if (silent) fake->ioctl = [](procmap_query&) { return -ENOENT; };
    auto maps = procmap::maps::open_self({.use = use, .trust_kernel_build_ids = trust});
    if (silent) fake->ioctl = nullptr;
    REQUIRE(maps);
    return std::move(*maps);
}

}  // namespace support
