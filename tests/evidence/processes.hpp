// Processes of a chosen pid, and those that forge their vDSO.
#pragma once

#include "locating.hpp"
#include "../support/elf_files.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"

#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstring>
#include <string>

namespace support {

/// Starts a process of that pid, as clone3 does; -1 where that is not permitted.
template <class Body>
pid_t start_as(pid_t pid, Body body) {
    pid_t wanted[1] = {pid};
    clone_args how{};
    how.exit_signal = SIGCHLD;
    how.set_tid = reinterpret_cast<std::uintptr_t>(wanted);
    how.set_tid_size = 1;
    const pid_t parent = ::getpid();
    const auto made = static_cast<pid_t>(::syscall(SYS_clone3, &how, sizeof how));
    if (made == 0) {
        end_with(parent);
        body();
        ::_exit(0);
    }
    return made;
}

/// In a child: puts an image of its own where the vDSO was.
inline void forge_vdso() {
    const auto at = reinterpret_cast<void*>(vdso_address());
    ::munmap(at, 2 * page);
    void* const memory = ::mmap(at, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    const std::string forged = small_elf(twenty('\xee'));
    std::memcpy(memory, forged.data(), forged.size());
}

[[noreturn]] inline void wait_for_ever() {
    for (;;) ::pause();
}

}  // namespace support
