// What the interposed functions of main.cpp count, and which of them fails.
#pragma once

#include <cstdint>
#include <iterator>

namespace support {

/// What is allocated, and which allocation fails.
struct allocator_state {
    long live = 0;      // blocks that are not yet freed
    long asked = 0;     // allocations since this was armed
    long fail_at = -1;  // the number of the one that fails
    bool hit = false;   // it did
};
inline allocator_state allocator;

/// The functions through which the library makes system calls that can fail; those of syscall(2) each by its number.
enum call : unsigned char {
    ioctl_, openat_, openat2_, pread_, close_, fcntl_, fstatfs_, faccessat_, kill_, tgkill_, poll_, getdents_,
    readlinkat_, statx_, fstat_, fstatat_, uname_, clock_gettime_, sendmsg_, recvmsg_, sigprocmask_, mmap_, madvise_, clone_,
    calls
};
inline constexpr const char* call_names[] = {"ioctl", "openat", "openat2", "pread", "close", "fcntl", "fstatfs", "faccessat", "kill",
                                      "tgkill", "poll", "getdents64", "readlinkat", "statx", "fstat", "fstatat", "uname",
                                      "clock_gettime", "sendmsg", "recvmsg", "sigprocmask", "mmap", "madvise", "clone"};
static_assert(std::size(call_names) == calls);

inline constexpr int short_answer = -1;  // what is not an errno: one byte; the end of the file; control data that was cut off
inline constexpr int end_of_file = -2;
inline constexpr int cut_off = -3;

/// Which call fails, and how.
struct fault_state {
    bool armed = false;
    long count = 0;         // calls since then
    long at = -1;           // the number of the one that fails
    bool for_good = false;  // and all later ones of that function
    int way = 0;
    bool hit = false;
    call log[4096];         // what was called
    bool no_map_files = false;  // as for those without the capability
    bool other_device = false;  // stat shows another device than maps, as on btrfs
    bool no_mount_ids = false;  // of statx: before Linux 5.8
    bool no_statx = false;      // a sandbox, or before Linux 4.11
    std::uint32_t file_system = 0;  // what fstatfs shows of files that are not on procfs; 0: the truth
    std::int64_t stepped = 0;   // milliseconds by which somebody set the wall clock forward
    std::int64_t passed = 0;    // milliseconds that went by on all clocks
    long calls_of[calls] = {};  // of each function, whether armed or not
};
inline fault_state faults;

}  // namespace support
