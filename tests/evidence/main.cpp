// The main function, which is also that of the program that a child executes; and an openat() with a hook.
#include "at_open.hpp"
#include "../support/elf_files.hpp"
#include "../support/run.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string_view>

using namespace support;

namespace {

int open_at(int at, const char* path, int flags, mode_t mode) {
    if (before_open) before_open(path);
    return static_cast<int>(::syscall(SYS_openat, at, path, flags, mode));
}

}  // namespace

extern "C" {
int openat(int at, const char* path, int flags, ...) { return open_at(at, path, flags, 0); }
#ifdef __GLIBC__
int openat64(int at, const char* path, int flags, ...) { return open_at(at, path, flags, 0); }
#endif
}

/// As `evidence --map FILE ADDRESS`, the program that a child executes: it maps that file there, and waits.
int main(int argc, char** argv) {
    if (argc != 4 || std::string_view{argv[1]} != "--map") return support::run(argc, argv);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::alarm(30);
    map_file(argv[2], reinterpret_cast<void*>(std::strtoull(argv[3], nullptr, 16)));
    for (;;) ::pause();
}
