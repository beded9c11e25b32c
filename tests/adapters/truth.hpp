// What sscanf reads in maps text, to compare the adapters with.
#pragma once

#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/processes.hpp"
#include "../support/skipping.hpp"

#include <sys/mman.h>

#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

namespace support {

/// One line of the text, all of it, `[vsyscall]` included.
struct scanned {
    unsigned long long start = 0, end = 0, offset = 0, inode = 0;
    char permissions[5] = {};
    std::string name;  // the bytes of the text

    bool has(std::size_t column, char letter) const { return permissions[column] == letter; }
    int protection() const { return (has(0, 'r') ? PROT_READ : 0) | (has(1, 'w') ? PROT_WRITE : 0) | (has(2, 'x') ? PROT_EXEC : 0); }
    std::string decoded_name() const {
        std::string out = name;
        for (std::size_t at = 0; (at = out.find("\\012", at)) != std::string::npos; ++at) out.replace(at, 4, "\n");
        return out;
    }
};

inline std::vector<scanned> scan(const std::string& text) {
    std::vector<scanned> lines;
    for (std::size_t at = 0, newline; (newline = text.find('\n', at)) != std::string::npos; at = newline + 1) {
        const std::string line = text.substr(at, newline - at);
        scanned s;
        int name = 0;
        const int fields =
            std::sscanf(line.c_str(), "%llx-%llx %4s %llx %*x:%*x %llu %n", &s.start, &s.end, s.permissions, &s.offset, &s.inode, &name);
        REQUIRE(fields == 5);
        s.name = line.substr(static_cast<std::size_t>(name));
        lines.push_back(std::move(s));
    }
    REQUIRE(lines.size() > 1);
    return lines;
}

inline std::string maps_file(pid_t pid) {
    return "/proc/" + std::to_string(pid) + "/maps";
}

/// The text of a process with names of every kind.
inline const std::string strange_file = PROCMAP_TEST_DATA "/strange_process.maps";
inline std::string strange_text() {
    return slurp(strange_file).value_or("");
}

/// Good lines, one of which ends in a file, and a line that is none.
inline const std::string good_text =
    "00400000-00401000 r-xp 00001000 fe:00 1311                               /opt/app\n"
    "00401000-00402000 rw-s 00002000 fe:00 1311                               /opt/app\n"
    "7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]\n";
inline const std::string malformed_text = good_text + "7ffc00100000-7ffc00101000 rwxp 00000000 0000 0 \n" + good_text;

/// The text of this process before and after `ask`, which did not change it; it is asked again until that is so. Nothing where a
/// sanitizer's allocator keeps mapping memory.
template <class Ask>
std::optional<std::string> own_text(Ask ask) {
    for (int tries = 0; tries < 100; ++tries) {
        const std::string before = slurp("/proc/self/maps").value_or("");
        ask();
        if (slurp("/proc/self/maps") == before) return before;
    }
#if defined(PROCMAP_TEST_SANITIZED)
    not_included("this process: a sanitizer keeps changing its mappings");
#else
    FAIL("the mappings of this process do not come to rest");
#endif
    return std::nullopt;
}

/// A child that maps parts of a file, memory between them, and memory that it shares, and waits.
inline void map_and_wait(channel& parent) {
    constexpr std::size_t page = 65536;
    const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ensure(file >= 0, "open the program");
    ensure(::mmap(nullptr, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, page) != MAP_FAILED, "map a file");
    ensure(::mmap(nullptr, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED, "map memory");
    ensure(::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED, "share memory");
    wait_forever(parent);
}

}  // namespace support
