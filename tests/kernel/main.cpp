// The main function and the library's system calls, defined here so that tests can give every answer of every kernel.
#include "fake_kernel.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <doctest/doctest.h>

#include <procmap/query.hpp>

using namespace support;
using procmap::uapi::procmap_query;

namespace {

long outcome(long value) {
    if (value >= 0) return value;
    errno = static_cast<int>(-value);
    return -1;
}

ssize_t answer_pread(int fd, void* to, size_t size, std::uint64_t position) {
    if (fake != nullptr) ++fake->preads;
    if (fake != nullptr && fake->pread) return outcome(fake->pread(static_cast<char*>(to), size, position));
    return syscall(SYS_pread64, fd, to, size, position);
}

int answer_openat(int at, const char* path, int flags, mode_t mode) {
    if (fake != nullptr) ++fake->opens;
    if (fake != nullptr && fake->openat) {
        const int failure = fake->openat(path);
        if (failure != 0) return static_cast<int>(outcome(failure));
    }
    return static_cast<int>(syscall(SYS_openat, at, path, flags, mode));
}

}  // namespace

#ifdef __GLIBC__
#define NOEXCEPT noexcept
#else  // musl declares them without, and has no functions for 64 bits beside
#define NOEXCEPT
#endif

extern "C" {
int ioctl(int fd, std::remove_const_t<decltype(procmap::detail::ioctl_request)> request, ...) NOEXCEPT {
    va_list more;
    va_start(more, request);
    void* const argument = va_arg(more, void*);
    va_end(more);
    if (fake != nullptr && request == procmap::detail::ioctl_request) {
        ++fake->ioctls;
        if (fake->ioctl) return static_cast<int>(outcome(fake->ioctl(*static_cast<procmap_query*>(argument))));
    }
    return static_cast<int>(syscall(SYS_ioctl, fd, request, argument));
}
int openat(int at, const char* path, int flags, ...) { return answer_openat(at, path, flags, 0); }
ssize_t pread(int fd, void* to, size_t size, off_t position) {
    return answer_pread(fd, to, size, static_cast<std::uint64_t>(position));
}
#ifdef __GLIBC__
int openat64(int at, const char* path, int flags, ...) { return answer_openat(at, path, flags, 0); }
ssize_t pread64(int fd, void* to, size_t size, off64_t position) {
    return answer_pread(fd, to, size, static_cast<std::uint64_t>(position));
}
#endif
int close(int fd) {
    if (fake != nullptr) ++fake->closes;
    const int closed = static_cast<int>(syscall(SYS_close, fd));
    if (fake != nullptr && fake->close) return static_cast<int>(outcome(fake->close(fd)));
    return closed;
}
int sigprocmask(int how, const sigset_t* set, sigset_t* before) NOEXCEPT {
    const int done = static_cast<int>(syscall(SYS_rt_sigprocmask, how, set, before, 8));
    if (fake != nullptr && fake->signals && before == nullptr) fake->signals();
    return done;
}
int uname(struct utsname* names) NOEXCEPT {
    const int done = static_cast<int>(syscall(SYS_uname, names));
    if (fake != nullptr && fake->release != nullptr) std::strcpy(names->release, fake->release);
    return done;
}
}

int main(int argc, char** argv) { return doctest::Context(argc, argv).run(); }
