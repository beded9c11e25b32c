// BPF programs know processes by their pids in the initial pid namespace.
#pragma once

#include <sys/stat.h>

inline bool in_initial_pid_namespace() {
    constexpr ino_t initial = 0xeffffffc;  // PROC_PID_INIT_INO
    struct stat s {};
    return ::stat("/proc/self/ns/pid", &s) == 0 && s.st_ino == initial;
}
