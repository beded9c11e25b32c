// exit_maps COMMAND [ARGUMENT...]: runs it, and tells of each process of the machine that ends meanwhile where it was when it
// ended: the file and offset of each address of its last stack, though the process is gone when they are looked up.
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include "exit_maps.hpp"

static void print(const bpf_exit::ended& process) {
    std::printf("%d %s: %zu mappings%s\n", process.pid, process.command.c_str(), process.maps.size(),
                process.whole ? "" : ", some are missing");
    for (const std::uint64_t address : process.stack) {
        const auto m = process.maps.find(address);
        if (m)
            std::printf("    %#14jx  %s + %#jx\n", std::uintmax_t{address}, std::string{m->name}.c_str(),
                        std::uintmax_t{address - m->start + m->offset});
        else
            std::printf("    %#14jx  not mapped\n", std::uintmax_t{address});
    }
}

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fputs("usage: exit_maps COMMAND [ARGUMENT...]\n", stderr);
        return 2;
    }
    if (const std::string lacks = bpf_exit::exit_maps::missing(); !lacks.empty()) {
        std::fprintf(stderr, "exit_maps: this kernel does not have %s\n", lacks.c_str());
        return 77;
    }
    int seen = 0;
    bpf_exit::exit_maps exits;
    if (const int error = exits.open([&seen](const bpf_exit::ended& process) { print(process), ++seen; }); error != 0) {
        std::fprintf(stderr, "exit_maps: %s\n", std::strerror(error));
        return error == EPERM ? 77 : 3;
    }
    const pid_t child = ::fork();
    if (child < 0) return 3;
    if (child == 0) {
        ::execvp(argv[1], argv + 1);
        std::perror(argv[1]);
        ::_exit(127);
    }
    constexpr int patience = 50;  // milliseconds
    while (::waitpid(child, nullptr, WNOHANG) == 0)
        if (exits.read(patience) != 0) return 3;
    exits.read(0);
    if (exits.lost() != 0) std::printf("%ju records were lost\n", std::uintmax_t{exits.lost()});
    return seen == 0 ? 1 : 0;
}
