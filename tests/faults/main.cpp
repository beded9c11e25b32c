// The main function, operator new and the system calls, which are counted and can be made to fail.
#include "interposed.hpp"
#include "../support/run.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <new>

using namespace support;

namespace {

void* allocate(std::size_t size, std::size_t align = 0) {
    if (allocator.asked++ == allocator.fail_at) {
        allocator.hit = true;
        throw std::bad_alloc{};
    }
    void* const got = align == 0 ? std::malloc(size) : std::aligned_alloc(align, (size + align - 1) / align * align);
    if (got == nullptr) throw std::bad_alloc{};
    ++allocator.live;
    return got;
}

void release(void* block) noexcept {
    if (block != nullptr) --allocator.live;
    std::free(block);
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new(std::size_t size, std::align_val_t align) { return allocate(size, static_cast<std::size_t>(align)); }
void operator delete(void* block) noexcept { release(block); }
void operator delete(void* block, std::size_t) noexcept { release(block); }
void operator delete(void* block, std::align_val_t) noexcept { release(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { release(block); }

namespace {

/// What a call has to answer instead of calling the kernel; 0: nothing.
int fault(call which) {
    ++faults.calls_of[which];
    if (!faults.armed) return 0;
    const long n = faults.count++;
    if (n < static_cast<long>(std::size(faults.log))) faults.log[n] = which;
    const bool here = n == faults.at || (faults.for_good && faults.at >= 0 && n > faults.at && which == faults.log[faults.at]);
    if (!here) return 0;
    faults.hit = true;
    if (faults.way > 0) errno = faults.way;
    return faults.way;
}

template <class F>
F next_of(const char* name) {
    return reinterpret_cast<F>(::dlsym(RTLD_NEXT, name));
}
#define NEXT(name) static const auto next = next_of<decltype(&::name)>(#name)

ssize_t read_or_fail(int fd, void* to, size_t size, std::uint64_t position) {
    const int way = fault(pread_);
    struct statfs64 fs {};
    if (way == end_of_file && ::fstatfs64(fd, &fs) == 0 && fs.f_type == 0x9fa0) return 0;  // other files can be so short
    if (way > 0) return -1;
    static const auto next = next_of<ssize_t (*)(int, void*, size_t, off64_t)>("pread64");
    return next(fd, to, way == short_answer && size > 1 ? 1 : size, static_cast<off64_t>(position));
}

int open_or_fail(int at, const char* path, int flags, mode_t mode) {
    if (fault(openat_) != 0) return -1;
    if (faults.no_map_files && std::strstr(path, "map_files/") != nullptr) return errno = EPERM, -1;
    static const auto next = next_of<int (*)(int, const char*, int, ...)>("openat64");
    return next(at, path, flags, mode);
}

}  // namespace

extern "C" {
int ioctl(int fd, unsigned long request, ...) noexcept {
    va_list more;
    va_start(more, request);
    void* const argument = va_arg(more, void*);
    va_end(more);
    if (fault(ioctl_) != 0) return -1;
    NEXT(ioctl);
    return next(fd, request, argument);
}
int openat(int at, const char* path, int flags, ...) { return open_or_fail(at, path, flags, 0); }
int openat64(int at, const char* path, int flags, ...) { return open_or_fail(at, path, flags, 0); }
ssize_t pread(int fd, void* to, size_t size, off_t position) {
    return read_or_fail(fd, to, size, static_cast<std::uint64_t>(position));
}
ssize_t pread64(int fd, void* to, size_t size, off64_t position) {
    return read_or_fail(fd, to, size, static_cast<std::uint64_t>(position));
}
int close(int fd) {
    NEXT(close);
    const int saved = errno;
    const int closed = next(fd);  // Linux has closed it, whatever it says
    errno = closed == 0 ? saved : errno;
    return fault(close_) != 0 ? -1 : closed;
}
int fcntl(int fd, int command, ...) {
    va_list more;
    va_start(more, command);
    void* const argument = va_arg(more, void*);
    va_end(more);
    if (command != F_GETFD && fault(fcntl_) != 0) return -1;  // which is asked until a child has closed it
    NEXT(fcntl);
    return next(fd, command, argument);
}
int fstatfs(int fd, struct statfs* to) noexcept {
    if (fault(fstatfs_) != 0) return -1;
    NEXT(fstatfs);
    const int done = next(fd, to);
    if (faults.file_system != 0 && done == 0 && to->f_type != 0x9fa0) to->f_type = static_cast<decltype(to->f_type)>(faults.file_system);
    return done;
}
int faccessat(int at, const char* path, int mode, int flags) noexcept {
    if (fault(faccessat_) != 0) return -1;
    NEXT(faccessat);
    return next(at, path, mode, flags);
}
ssize_t readlinkat(int at, const char* path, char* to, size_t size) noexcept {
    if (fault(readlinkat_) != 0) return -1;
    NEXT(readlinkat);
    return next(at, path, to, size);
}
int statx(int at, const char* path, int flags, unsigned mask, struct statx* to) noexcept {
    if (fault(statx_) != 0) return -1;
    if (faults.no_statx) return errno = ENOSYS, -1;
    static const auto next = next_of<int (*)(int, const char*, int, unsigned, struct statx*)>("statx");
    const int done = next(at, path, flags, mask, to);
    if (faults.no_mount_ids && done == 0) to->stx_mask &= ~0x1000u;
    if (faults.other_device && done == 0) to->stx_dev_minor ^= 0x40;
    return done;
}
int fstat(int fd, struct stat* to) noexcept {
    if (fault(fstat_) != 0) return -1;
    NEXT(fstat);
    const int done = next(fd, to);
    if (faults.other_device && done == 0) to->st_dev ^= 0x40;
    return done;
}
int fstatat(int at, const char* path, struct stat* to, int flags) noexcept {
    if (fault(fstatat_) != 0) return -1;
    NEXT(fstatat);
    const int done = next(at, path, to, flags);
    if (faults.other_device && done == 0) to->st_dev ^= 0x40;
    return done;
}
int sigprocmask(int how, const sigset_t* set, sigset_t* before) noexcept {
    if (fault(sigprocmask_) != 0) return -1;
    NEXT(sigprocmask);
    return next(how, set, before);
}
void* mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) noexcept {
    if (fault(mmap_) != 0) return MAP_FAILED;
    NEXT(mmap);
    return next(at, size, protection, flags, fd, offset);
}
int madvise(void* at, size_t size, int advice) noexcept {
    if (fault(madvise_) != 0) return -1;
    NEXT(madvise);
    return next(at, size, advice);
}
int poll(pollfd* fds, nfds_t count, int timeout) {
    if (fds != nullptr && fault(poll_) != 0) return -1;  // without any, it is a pause
    NEXT(poll);
    return next(fds, count, timeout);
}
int uname(utsname* names) noexcept {
    if (fault(uname_) != 0) return -1;
    NEXT(uname);
    return next(names);
}
int clock_gettime(clockid_t which, timespec* now) noexcept {
    if (fault(clock_gettime_) != 0) return -1;
    NEXT(clock_gettime);
    const int done = next(which, now);
    const bool wall = which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE;
    const std::int64_t nanoseconds = now->tv_nsec + (faults.passed + (wall ? faults.stepped : 0)) * 1'000'000;
    now->tv_sec += static_cast<time_t>(nanoseconds / 1'000'000'000);
    now->tv_nsec = static_cast<long>(nanoseconds % 1'000'000'000);
    return done;
}
ssize_t sendmsg(int socket, const msghdr* message, int flags) {
    if (fault(sendmsg_) != 0) return -1;
    NEXT(sendmsg);
    return next(socket, message, flags);
}
ssize_t recvmsg(int socket, msghdr* message, int flags) {
    const int way = fault(recvmsg_);
    if (way > 0) return -1;
    if (way == end_of_file) return message->msg_controllen = 0, 0;
    NEXT(recvmsg);
    const ssize_t n = next(socket, message, flags);
    if (way == cut_off) message->msg_flags |= MSG_CTRUNC;
    return n;
}
long syscall(long number, ...) noexcept {
    va_list more;
    va_start(more, number);
    long a[6];
    for (long& one : a) one = va_arg(more, long);
    va_end(more);
    constexpr long openat2_number = 437;
    const call which = number == openat2_number            ? openat2_
                       : number == SYS_kill                ? kill_
                       : number == SYS_tgkill              ? tgkill_
                       : number == SYS_getdents64          ? getdents_
                       : number == SYS_clone               ? clone_
                                                           : calls;
    const bool of_closing = number == SYS_close || number == SYS_exit || number == SYS_exit_group || number == SYS_wait4;  // in the children of close_elsewhere
    if (which == calls && !of_closing && faults.armed) std::abort();  // one that is not known here
    if (which != calls && fault(which) != 0) return -1;
    NEXT(syscall);
    return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
}

int main(int argc, char** argv) { return support::run(argc, argv); }
