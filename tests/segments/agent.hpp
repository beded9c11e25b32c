// Programs that map and load files on command.
#pragma once

#include "program_builder.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"
#include "../support/skipping.hpp"
#include "../support/tools.hpp"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

// For a test case that builds programs and looks at them with other tools.
#define NEEDS_TOOLS()                                                                                                      \
    do {                                                                                                                   \
        NEEDS_LIVE_MAPS();                                                                                                 \
        if (!succeeds("command -v cc && command -v nm && command -v readelf")) SKIP("needs a C compiler, nm and readelf"); \
        if (!agent_program().empty()) break;                                                                               \
        if (succeeds("echo 'int main(void) { return 0; }' | cc -fPIE -pie -x c - -o /dev/null -ldl"))                      \
            FAIL("the program of this test does not compile: " << shop() / "agent.c");                                     \
        SKIP("the C compiler does not work");                                                                              \
    } while (false)

namespace support {

class agent : public process {
public:
    explicit agent(const std::string& program, channel_ends ends = {}) : process(start(program, ends)), fd_(ends.parent) {
        ::close(ends.child);
    }
    ~agent() { ::close(fd_); }

    std::string answer(const std::string& command) {
        const std::string line = command + '\n';
        if (::send(fd_, line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
            FAIL("the program is gone");
        std::string text;
        char piece[65536];
        while (text.empty() || text.back() != '\n') {
            const ssize_t n = ::recv(fd_, piece, sizeof piece, 0);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) FAIL("the program is gone, or does not answer: " << command);
            text.append(piece, static_cast<std::size_t>(n));
        }
        return text;
    }

    /// Whether it came as far as reading its commands.
    bool runs() {
        if (::send(fd_, "b 0 0 0 0\n", 10, MSG_NOSIGNAL) != 10) return false;
        char piece[64];
        ssize_t n = -1;
        for (char last = 0; last != '\n'; last = n > 0 ? piece[n - 1] : '\n')
            while ((n = ::recv(fd_, piece, sizeof piece, 0)) < 0 && errno == EINTR) {
            }
        return n > 0;
    }
    std::uint64_t anchor() { return ask('b'); }
    std::uint64_t open(const std::string& library) { return ask('o', 0, 0, 0, 0, library); }
    std::uint64_t open_apart(const std::string& library) { return ask('n', 0, 0, 0, 0, library); }
    std::uint64_t map(std::uint64_t at, std::uint64_t length, const std::string& file, std::uint64_t offset,
                      int protection = PROT_READ) {
        return done(ask('m', at, length, offset, protection, file));
    }
    std::uint64_t anonymous(std::uint64_t at, std::uint64_t length, int protection = PROT_NONE) {
        return done(ask('a', at, length, 0, protection));
    }
    void unmap(std::uint64_t at, std::uint64_t length) { done(ask('u', at, length)); }
    void protect(std::uint64_t at, std::uint64_t length, int protection) { done(ask('p', at, length, 0, protection)); }

private:
    static pid_t start(const std::string& program, const channel_ends& ends) {
        std::fflush(nullptr);
        const pid_t own = ::getpid(), pid = ::fork();
        REQUIRE(pid >= 0);
        if (pid != 0) return pid;
        end_with(own);
        ::dup2(ends.child, 0);
        ::dup2(ends.child, 1);
        ::execl(program.c_str(), program.c_str(), static_cast<char*>(nullptr));
        ::_exit(127);
    }
    std::uint64_t ask(char what, std::uint64_t at = 0, std::uint64_t length = 0, std::uint64_t offset = 0, int protection = 0,
                      const std::string& path = {}) {
        std::ostringstream command;
        command << what << std::hex << ' ' << at << ' ' << length << ' ' << offset << ' ' << std::dec << protection << ' '
                << path;
        return std::strtoull(answer(command.str()).c_str(), nullptr, 16);
    }
    static std::uint64_t done(std::uint64_t result) {
        REQUIRE(result != 0);
        return result;
    }
    int fd_;
};

inline std::string agent_program() {
    return shop().link("-pie " + shop().agent("-fPIE") + ' ' + shop().object(tiny, "-fPIE") + " -ldl", "");
}

/// A mapping, by the text of maps.
struct vma {
    unsigned long long start = 0, end = 0, offset = 0;
    std::string file;  // empty: none
};

inline std::vector<vma> vmas_of(pid_t pid) {
    std::vector<vma> all;
    std::istringstream lines{slurp(maps_path(pid)).value_or("")};
    for (std::string line; std::getline(lines, line);) {
        vma v;
        unsigned long long inode = 0;
        if (std::sscanf(line.c_str(), "%llx-%llx %*s %llx %*x:%*x %llu", &v.start, &v.end, &v.offset, &inode) != 4) continue;
        if (inode != 0) v.file = line.substr(line.find('/'));
        all.push_back(std::move(v));
    }
    return all;
}

inline const vma* find(const std::vector<vma>& all, std::uint64_t address) {
    const auto at = std::upper_bound(all.begin(), all.end(), address, [](std::uint64_t a, const vma& v) { return a < v.end; });
    return at != all.end() && at->start <= address ? &*at : nullptr;
}

}  // namespace support
