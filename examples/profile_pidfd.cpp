// Samples where another process is, and finds build ID, file offset and file. A pidfd is that process for ever; a pid can be reused.
#include <procmap/procmap.hpp>

#include <climits>
#include <csignal>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <string>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// The last word of this file is the program counter of a process that waits in a system call. Of one that runs, it is not known: 0.
static std::uint64_t sample(pid_t pid) {
    std::ifstream file{"/proc/" + std::to_string(pid) + "/syscall"};
    std::string last;
    for (std::string word; file >> word;) last = word;
    return last.starts_with("0x") ? std::stoull(last, nullptr, 16) : 0;
}
int main() {
    if (!procmap::probe().live) return 77;
    const pid_t pid = fork();
    while (pid == 0) pause();
    const int pidfd = syscall(SYS_pidfd_open, pid, 0) & INT_MAX;  // a long, although it is a descriptor; after a failure, none
    const auto child = procmap::maps::open(procmap::borrowed_fd{pidfd});
    procmap::normalizer normalizer{{.build_ids = true}};
    int right = 0;
    for (int i = 0; child && i < 1000 && right < 3; ++i, usleep(1000)) {
        const std::uint64_t at = sample(pid);
        const auto found = normalizer.normalize(*child, at);
        const auto m = child->find(at);
        if (!found || !m || !found->locations[0]) continue;
        const procmap::location& l = found->locations[0];
        std::cout << found->file(l).build_id << " +0x" << std::hex << l.offset << ' ' << found->file(l).path << '\n';
        right += l.offset == at - m->start + m->offset && !found->file(l).build_id.empty();
    }
    return kill(pid, SIGKILL) == 0 && waitpid(pid, nullptr, 0) == pid && right == 3 ? 0 : 1;
}
