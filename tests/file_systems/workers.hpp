// Processes that mount and map on command.
#pragma once

#include "programs.hpp"
#include "fuse_server.hpp"
#include "../support/memory.hpp"
#include "../support/mounts.hpp"
#include "../support/processes.hpp"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/loop.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

namespace support {

enum class deed : int {
    run,
    mount,
    image,
    fuse,
    unshare,
    nobody,
    write,
    load,
    reserve,
    unmap,
    touch,
    hide,
    ring,
    exec_sharing,
    join
};

struct order {
    deed what = deed::run;
    std::uint64_t number[2] = {};
    program content{};
    char text[4][512] = {};
};

inline constexpr std::uint64_t common_place = 0x3000'0000;  // free in every process here

inline std::int64_t answer_or_errno(std::int64_t answer) {
    return answer < 0 ? -errno : answer;
}

/// Mounts an image through a loop device that goes with the mount.
inline std::int64_t mount_image(const char* image, const char* directory, const char* type, const char* options) {
    const std::string_view kind = type;
    const bool fixed = kind == "squashfs" || kind == "erofs";
    const int file = ::open(image, (fixed ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    const int control = ::open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int loop = -1;
    std::string device;
    for (int tries = 0; tries < 20; ++tries) {
        const int number = ::ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0) break;
        device = "/dev/loop" + std::to_string(number);
        loop = ::open(device.c_str(), (fixed ? O_RDONLY : O_RDWR) | O_CLOEXEC);
        if (loop < 0 || ::ioctl(loop, LOOP_SET_FD, file) == 0) break;
        ::close(loop);  // another was faster
        loop = -1;
    }
    loop_info64 info{};
    info.lo_flags = LO_FLAGS_AUTOCLEAR;
    std::int64_t done = -1;
    if (loop >= 0 && ::ioctl(loop, LOOP_SET_STATUS64, &info) == 0)
        done = ::mount(device.c_str(), directory, type, fixed ? static_cast<unsigned long>(MS_RDONLY) : 0, options);
    done = answer_or_errno(done);
    ::close(loop), ::close(control), ::close(file);
    return done;
}

/// Maps a ring of an anonymous inode: 'p' of perf, 'u' of io_uring, 'b' of bpf.
inline std::int64_t map_ring(char kind) {
    int fd = -1;
    std::size_t size = page;
    if (kind == 'p') {
        perf_event_attr attr{};
        attr.size = sizeof attr;
        attr.type = PERF_TYPE_SOFTWARE;
        attr.config = PERF_COUNT_SW_DUMMY;
        attr.exclude_kernel = 1;
        fd = static_cast<int>(::syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
        size = 2 * page;
    } else if (kind == 'u') {
        alignas(8) char parameters[120] = {};  // struct io_uring_params
        fd = static_cast<int>(::syscall(425, 4, parameters));
    } else {
        bpf_attr attr{};
        attr.map_type = static_cast<decltype(attr.map_type)>(27);  // BPF_MAP_TYPE_RINGBUF
        attr.max_entries = static_cast<std::uint32_t>(page);
        fd = static_cast<int>(::syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr));
    }
    if (fd < 0) return -errno;
    void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    const int failure = errno;
    ::close(fd);
    return memory == MAP_FAILED ? -failure : static_cast<std::int64_t>(support::address_of(memory));
}

inline char** exec_arguments;
inline int exec_gate[2];

inline int exec_when_told(void*) {
    char byte = 0;
    (void)!::read(exec_gate[0], &byte, 1);
    ::execv("/proc/self/exe", exec_arguments);
    ::_exit(1);
}

/// Starts a child that shares this process's memory until it is told to exec this program, which then maps a file (see main).
inline std::int64_t start_sharing(const order& o) {
    static std::string words[4];
    static char* arguments[] = {words[0].data(), nullptr, nullptr, nullptr, nullptr};
    words[0] = "--map-instead";
    for (int i = 0; i < 3; ++i) words[i + 1] = o.text[i];
    for (int i = 0; i < 4; ++i) arguments[i] = words[i].data();
    exec_arguments = arguments;
    if (::pipe2(exec_gate, O_CLOEXEC) != 0) return -errno;
    alignas(16) static char stack[64 * 1024];
    return answer_or_errno(::clone(exec_when_told, stack + sizeof stack, CLONE_VM | SIGCHLD, nullptr));
}

inline std::int64_t obey(const order& o) {
    const auto number = [&](int i) { return reinterpret_cast<char*>(static_cast<std::uintptr_t>(o.number[i])); };
    switch (o.what) {
        case deed::run: {
            const std::string command = "PATH=$PATH:/usr/sbin:/sbin; { " + std::string{o.text[0]} + "; } >/dev/null 2>&1";
            return ::system(command.c_str()) == 0 ? 0 : -ECHILD;
        }
        case deed::mount: return answer_or_errno(::mount(o.text[0], o.text[1], o.text[2], o.number[0], o.text[3]));
        case deed::image: return mount_image(o.text[0], o.text[1], o.text[2], o.text[3]);
        case deed::fuse: {
            const int fd = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
            const std::string options = "fd=" + std::to_string(fd) + ",rootmode=40000," + o.text[1];
            if (fd < 0 || ::mount("fuse", o.text[0], "fuse", 0, options.c_str()) != 0) return -errno;
            if (const pid_t own = ::getpid(); ::fork() == 0) {
                end_with(own);
                serve(fd);
            }
            ::close(fd);
            return 0;
        }
        case deed::unshare: return own_namespace() ? 0 : -errno;
        case deed::join: {
            const int fd = ::open(("/proc/" + std::to_string(o.number[0]) + "/ns/mnt").c_str(), O_RDONLY | O_CLOEXEC);
            const std::int64_t done = answer_or_errno(::setns(fd, CLONE_NEWNS));
            ::close(fd);
            return done;
        }
        case deed::nobody:
            drop_privileges();
            ::prctl(PR_SET_DUMPABLE, 1);
            ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
            return 0;
        case deed::write: {
            const std::string text = elf_of(o.content);
            const int fd = ::open(o.text[0], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
            struct stat info {};
            const bool written = fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                                 ::fstat(fd, &info) == 0;
            const int failure = errno;
            ::close(fd);
            return written ? static_cast<std::int64_t>(info.st_ino & INT64_MAX) : -failure;
        }
        case deed::load: return load(o.text[0], o.content.apart, o.number[0], o.number[1]);
        case deed::hide: return answer_or_errno(::mprotect(number(0), page, PROT_NONE));
        case deed::reserve: return static_cast<std::int64_t>(support::address_of(map_pages(o.number[0], PROT_NONE)));
        case deed::unmap: return answer_or_errno(::munmap(number(0), o.number[1]));
        case deed::touch: return *static_cast<volatile char*>(number(0));
        case deed::ring: return map_ring(static_cast<char>(o.number[0]));
        case deed::exec_sharing:
            if (o.number[0] == 0) return start_sharing(o);
            return answer_or_errno(::write(exec_gate[1], "x", 1));
    }
    return -EINVAL;
}

/// A process that does as it is told. What it says is a number, below zero an errno.
class worker {
public:
    worker()
        : child_([](channel& to) {
              for (;;) to.send(obey(to.receive<order>()));
          }) {}

    pid_t pid() const { return child_.pid(); }
    std::int64_t run(const std::string& command) { return tell({.what = deed::run}, {command}); }
    std::int64_t mount(const std::string& source, const std::string& directory, const std::string& type,
                       const std::string& options = {}, unsigned long flags = 0) {
        return tell({.what = deed::mount, .number = {flags}}, {source, directory, type, options});
    }
    std::int64_t bind(const std::string& source, const std::string& target) {
        return mount(source, target, "none", {}, MS_BIND);
    }
    std::int64_t image(const std::string& file, const std::string& directory, const std::string& type,
                       const std::string& options = {}) {
        return tell({.what = deed::image}, {file, directory, type, options});
    }
    std::int64_t fuse(const std::string& directory, const std::string& options = "user_id=0,group_id=0,allow_other") {
        return tell({.what = deed::fuse}, {directory, options});
    }
    bool own_namespace() { return tell({.what = deed::unshare}) == 0; }
    std::int64_t join(const worker& other) {
        return tell({.what = deed::join, .number = {static_cast<std::uint64_t>(other.pid())}});
    }
    void become_nobody() { REQUIRE(tell({.what = deed::nobody}) == 0); }
    /// Writes a program to a file, which is cut short first; its inode number.
    std::int64_t write(const std::string& path, const program& p) { return tell({.what = deed::write, .content = p}, {path}); }
    std::uint64_t map(const std::string& path, const program& p, std::uint64_t at = 0, std::uint64_t only = 0) {
        const std::int64_t address = tell({.what = deed::load, .number = {at, only}, .content = p}, {path});
        INFO(path);
        REQUIRE(address > 0);
        return static_cast<std::uint64_t>(address);
    }
    std::uint64_t reserve(std::size_t pages) {
        return static_cast<std::uint64_t>(tell({.what = deed::reserve, .number = {pages}}));
    }
    void unmap(std::uint64_t address) { REQUIRE(tell({.what = deed::unmap, .number = {address, (segments + 1) * page}}) == 0); }
    /// Makes a page one that cannot be read.
    void hide(std::uint64_t address) { REQUIRE(tell({.what = deed::hide, .number = {address}}) == 0); }
    void touch(std::uint64_t address) { (void)tell({.what = deed::touch, .number = {address}}); }
    std::int64_t ring(char kind) { return tell({.what = deed::ring, .number = {static_cast<std::uint64_t>(kind)}}); }
    std::int64_t share_memory(const std::string& from, const std::string& to, const std::string& path) {
        return tell({.what = deed::exec_sharing}, {from, to, path});
    }
    std::int64_t let_it_exec() { return tell({.what = deed::exec_sharing, .number = {1}}); }

private:
    std::int64_t tell(order o, const std::vector<std::string>& words = {}) {
        for (std::size_t i = 0; i < words.size(); ++i) {
            REQUIRE(words[i].size() < sizeof o.text[i]);
            std::memcpy(o.text[i], words[i].data(), words[i].size());
        }
        child_->send(o);
        return child_->receive<std::int64_t>();
    }
    child child_;
};

}  // namespace support
