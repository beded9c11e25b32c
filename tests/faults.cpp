// What the library makes of failures: each allocation and each system call is made to fail, at every point, in every way.
#include "support.hpp"
#include "support/elf_files.hpp"

#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <time.h>

#include <bit>
#include <cstdarg>
#include <cstddef>
#include <map>
#include <new>
#include <span>
#include <thread>

using namespace support;
using procmap::backend;
using procmap::build_id_choice;
using procmap::errc;
using procmap::mapping;
using procmap::maps;
using procmap::name_state;
using procmap::unique_fd;

// ---- memory: what is allocated is counted, and one allocation can be made to fail

namespace {

struct {
    long live = 0;      // blocks that are not yet freed
    long asked = 0;     // allocations since this was armed
    long fail_at = -1;  // the number of the one that fails
    bool hit = false;   // it did
} memory;

void* allocate(std::size_t size, std::size_t align = 0) {
    if (memory.asked++ == memory.fail_at) {
        memory.hit = true;
        throw std::bad_alloc{};
    }
    void* const got = align == 0 ? std::malloc(size) : std::aligned_alloc(align, (size + align - 1) / align * align);
    if (got == nullptr) throw std::bad_alloc{};
    ++memory.live;
    return got;
}

void release(void* block) noexcept {
    if (block != nullptr) --memory.live;
    std::free(block);
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new(std::size_t size, std::align_val_t align) { return allocate(size, static_cast<std::size_t>(align)); }
void operator delete(void* block) noexcept { release(block); }
void operator delete(void* block, std::size_t) noexcept { release(block); }
void operator delete(void* block, std::align_val_t) noexcept { release(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { release(block); }

// ---- system calls: each is counted, and one can be made to fail

namespace {

/// The functions through which the library makes system calls that can fail; those of syscall(2) each by its number.
enum call : unsigned char {
    ioctl_, openat_, openat2_, pread_, close_, fcntl_, fstatfs_, faccessat_, kill_, tgkill_, poll_, getdents_,
    readlinkat_, statx_, fstat_, fstatat_, uname_, clock_gettime_, sendmsg_, recvmsg_, sigprocmask_, mmap_, madvise_, clone_,
    calls
};
constexpr const char* call_names[] = {"ioctl", "openat", "openat2", "pread", "close", "fcntl", "fstatfs", "faccessat", "kill",
                                      "tgkill", "poll", "getdents64", "readlinkat", "statx", "fstat", "fstatat", "uname",
                                      "clock_gettime", "sendmsg", "recvmsg", "sigprocmask", "mmap", "madvise", "clone"};
static_assert(std::size(call_names) == calls);

constexpr int short_answer = -1;  // what is not an errno: one byte; the end of the file; control data that was cut off
constexpr int end_of_file = -2;
constexpr int cut_off = -3;

/// What each can answer, by its manual page; and what filters and older kernels answer. Not ENOENT of the ioctl, which is
/// no failure: nothing is mapped there.
std::span<const int> ways(call which) {
    static constexpr int ioctls[] = {EBADF,        EFAULT, EINVAL, ENOTTY, ESRCH,  EINTR, ENAMETOOLONG,
                                     E2BIG, ENOMEM, EPERM,  EACCES, ENOSYS, EIO};
    static constexpr int opens[] = {EACCES, EBADF,   EFAULT, EINTR, EINVAL,    ELOOP, EMFILE, ENAMETOOLONG,
                                    ENFILE, ENODEV,  ENOENT, ENOMEM, ENOTDIR,  ENXIO, EOVERFLOW, EPERM,
                                    EROFS,  ETXTBSY, EAGAIN, EBUSY, EISDIR,    ENOSYS, ESRCH, EIO};
    static constexpr int opens2[] = {E2BIG,  EAGAIN, EINVAL, EXDEV,   EACCES, EINTR,  ELOOP, EMFILE, ENAMETOOLONG,
                                     ENFILE, ENOENT, ENOMEM, ENOTDIR, EPERM,  ENOSYS, EIO};
    static constexpr int preads[] = {EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EIO,    EISDIR,       ENXIO,      EOVERFLOW,
                                     ESPIPE, ESRCH, EACCES, EPERM, ENOMEM, ENOSYS, short_answer, end_of_file};
    static constexpr int closes[] = {EBADF, EINTR, EIO, ENOSPC, EDQUOT};
    static constexpr int fcntls[] = {EBADF};
    static constexpr int statfs[] = {EBADF, EFAULT, EINTR, EIO, ENOMEM, ENOSYS, EOVERFLOW, EPERM, EACCES};
    static constexpr int accesses[] = {EACCES, EBADF,  EFAULT,  EINVAL, EIO,   ELOOP,   ENAMETOOLONG,
                                       ENOENT, ENOMEM, ENOTDIR, EPERM,  EROFS, ETXTBSY, ENOSYS};
    static constexpr int kills[] = {EINVAL, EPERM, ESRCH, EAGAIN};
    static constexpr int polls[] = {EFAULT, EINTR, EINVAL, ENOMEM, EPERM, EACCES, ENOSYS};
    static constexpr int directories[] = {EBADF, EFAULT, EINVAL, ENOENT, ENOTDIR, EIO, ENOSYS};
    static constexpr int links[] = {EACCES, EBADF, EINVAL, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EFAULT};
    static constexpr int stats[] = {EACCES, EBADF,  EFAULT,  EINVAL, ELOOP, ENAMETOOLONG,
                                    ENOENT, ENOMEM, ENOTDIR, ENOSYS, EPERM, EIO};
    static constexpr int unames[] = {EFAULT, ENOSYS, EPERM};
    static constexpr int clocks[] = {EFAULT, EINVAL, EPERM, ENOSYS};
    static constexpr int sends[] = {EACCES, EAGAIN, EALREADY, EBADF, ECONNRESET, EDESTADDRREQ, EFAULT, EINTR, EINVAL, EISCONN,
                                    EMSGSIZE, ENOBUFS, ENOMEM, ENOTCONN, ENOTSOCK, EOPNOTSUPP, EPIPE, ETOOMANYREFS, EPERM};
    static constexpr int receives[] = {EAGAIN, EBADF, ECONNREFUSED, ECONNRESET, EFAULT, EINTR, EINVAL, ENOMEM, ENOTCONN, ENOTSOCK,
                                       end_of_file, cut_off};
    static constexpr int masks[] = {EINVAL, EFAULT, EPERM, ENOSYS};
    static constexpr int mappings[] = {ENOMEM, EPERM, EINVAL, ENOSYS};
    static constexpr int clones[] = {EAGAIN, ENOMEM, EPERM, ENOSYS};
    static constexpr std::span<const int> all[calls] = {ioctls, opens,  opens2, preads,      closes, fcntls, statfs,
                                                        accesses, kills, kills, polls, directories, links, stats,
                                                        stats, stats, unames, clocks, sends, receives, masks, mappings, mappings, clones};
    return all[which];
}

/// Which call fails, and how.
struct {
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
} faults;

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

namespace {

// ---- what a question answers

/// An answer in pieces, each of which may be "?": what the answer itself says that it does not know.
struct answer {
    std::vector<std::string> pieces{};
    procmap::error error{};

    void add(std::string piece) { pieces.push_back(std::move(piece)); }
    void add_unless(bool unknown, std::string piece) { pieces.push_back(unknown ? "?" : std::move(piece)); }
};

std::string hex_of(procmap::build_id_view id) {
    std::string digits;
    procmap::print([&](std::string_view piece) { digits += piece; }, id);
    return digits;
}

void add(answer& to, const mapping& m) {
    char text[200];
    std::snprintf(text, sizeof text, "%llx-%llx %x %llx %x:%x %llu", static_cast<unsigned long long>(m.start),
                  static_cast<unsigned long long>(m.end), m.permissions.bits(), static_cast<unsigned long long>(m.offset),
                  m.device.major, m.device.minor, static_cast<unsigned long long>(m.inode));
    to.add(text);
    to.add_unless(m.name_status == name_state::too_long || m.name_status == name_state::no_memory, std::string{m.name});
    to.add_unless(m.page_size == 0, std::to_string(m.page_size));
    to.add_unless(!m.build_id_known, hex_of(m.build_id));
}

answer of(const procmap::result<mapping>& m) {
    answer a;
    a.error = m.error();
    if (m) add(a, *m);
    return a;
}

answer of(procmap::mapping_walk& walk) {
    answer a;
    for (const mapping& m : walk) add(a, m);
    a.error = walk.error();
    if (walk.complete() != (walk.error() == errc::none)) a.add("neither complete nor broken off");
    return a;
}

answer of(const procmap::result<procmap::snapshot>& s) {
    answer a;
    a.error = s.error();
    for (const mapping& m : *s) add(a, m);
    return a;
}

/// A handle that was opened: what it answers is asked undisturbed.
answer of(const procmap::result<maps>& opened) {
    faults.armed = false;
    answer a;
    if (opened) {
        auto walk = opened->walk();
        for (const mapping& m : walk) add(a, m);
        if (!walk.complete()) a.add("a handle that does not work");
        for (std::size_t i = 2; i < a.pieces.size(); i += 4) a.pieces[i] = "";  // either back-end is right
    }
    a.error = opened.error();
    return a;
}

answer of(const procmap::result<procmap::normalized>& n) {
    answer a;
    a.error = n.error();
    if (!n) return a;
    using procmap::reason;
    for (const procmap::location& l : n->locations) {
        const bool not_looked_up = l.reason == reason::gone || l.reason == reason::denied || l.reason == reason::failed;
        if (not_looked_up != (n->error.code != errc::none) && not_looked_up) a.add("not looked up, and no error");
        const bool no_name = l.reason == reason::name_unknown;
        a.add_unless(not_looked_up || (no_name && !l), std::to_string(l.offset) + (l ? " in a file" :
                     " reason " + std::to_string(static_cast<int>(l.reason))));
        a.add_unless(!l.elf_address_known, std::to_string(l.elf_address));
        const procmap::mapped_file none{};
        const procmap::mapped_file& f = l ? n->files[l.file] : none;
        a.add_unless(not_looked_up || no_name, std::string{f.path});
        a.add_unless(not_looked_up, std::to_string(f.inode) + ' ' + std::to_string(f.device.minor));
        a.add_unless(!f.build_id_known, hex_of(f.build_id));
        // That nothing is at a path is an answer like any other, also where it was made up.
        const bool made_up = faults.hit && (faults.way == ENOENT || faults.way == ENOTDIR) && f.state == procmap::file_state::deleted;
        a.add_unless(f.state == procmap::file_state::unknown || f.state == procmap::file_state::unreadable || made_up,
                     std::to_string(static_cast<int>(f.state)));
    }
    // What the error concerns was seen above to be marked; the rest of the answer is whole.
    return a;
}

answer of(const procmap::capabilities& c) {
    answer a;
    a.add_unless(!c.ioctl && (c.ioctl_errno != 0 || c.error.code != errc::none), c.ioctl ? "ioctl" : "no ioctl");
    a.add_unless(!c.text, "text");
    a.add_unless(!c.live, "live");
    a.add_unless(c.struct_size == 0, std::to_string(c.struct_size));
    a.add_unless(c.release.major == 0, std::to_string(c.release.major) + '.' + std::to_string(c.release.minor));
    a.add_unless(c.release.major == 0 || !c.ioctl, std::to_string(c.build_id_hazards.bits()));
    a.error = c.error;
    return a;
}

answer of(const std::vector<procmap::change>& changes) {
    answer a;
    for (const procmap::change& c : changes) {
        a.add(std::to_string(static_cast<int>(c.kind)));
        add(a, c.now);
    }
    return a;
}

// ---- judging

/// The errors that may come of a failure, whichever step it hits.
bool may_say(errc code, call which, int way) {
    const auto one_of = [code](std::initializer_list<errc> these) {
        return std::find(these.begin(), these.end(), code) != these.end();
    };
    switch (which) {
        case ioctl_:
            switch (way) {
                case ESRCH: return one_of({errc::gone, errc::zombie});
                case EPERM:
                case EACCES: return one_of({errc::denied, errc::unsupported});
                case ENOTTY: return one_of({errc::unsupported, errc::not_maps});  // where others do answer
                case ENOSYS:
                case E2BIG: return one_of({errc::unsupported});
                case EINTR: return one_of({errc::interrupted});
                case EBADF: return one_of({errc::invalid});
                case EFAULT:
                case EINVAL: return one_of({errc::invalid, errc::unsupported});  // by the first query there is no ioctl
                default: return one_of({errc::failed, errc::unsupported});
            }
        case openat_:
            switch (way) {
                case EPERM:
                case EACCES: return one_of({errc::denied});
                case ESRCH: return one_of({errc::gone, errc::zombie});
                case ENOENT:
                case ENOTDIR: return one_of({errc::gone, errc::denied, errc::unsupported});
                case EINTR: return one_of({errc::interrupted});
                default: return one_of({errc::failed});
            }
        case pread_:
            switch (way) {
                case ESRCH: return one_of({errc::gone, errc::task_gone});
                case EPERM:
                case EACCES: return one_of({errc::denied});
                case EINTR: return one_of({errc::interrupted});
                case EBADF: return one_of({errc::invalid, errc::not_maps});
                case end_of_file: return one_of({errc::gone, errc::malformed});
                default: return one_of({errc::failed, errc::not_maps});  // adopt: so fail files that are none, too
            }
        case fcntl_: return one_of({errc::invalid});
        case fstatfs_:
        case getdents_: return one_of({errc::failed, errc::denied, errc::unsupported, errc::interrupted, errc::invalid});
        case faccessat_: return one_of({errc::gone, errc::denied, errc::unsupported});
        case readlinkat_: return one_of({errc::unsupported});  // nobody can say what the file is called
        case kill_:
        case tgkill_: return one_of({errc::gone, errc::denied});
        case poll_: return one_of({way == EINTR ? errc::interrupted : errc::denied});
        case sendmsg_: return one_of({way == EINTR ? errc::interrupted : errc::failed});
        case recvmsg_:
            return one_of({way == EINTR         ? errc::interrupted
                           : way == end_of_file ? errc::gone
                           : way == cut_off     ? errc::malformed
                                                : errc::failed});
        default: return false;  // it has another way, or knows less
    }
}

/// What is wrong with an answer that was given while a call failed; empty: nothing.
std::string judged(const answer& clean, const answer& got, call which, int way, bool once) {
    const auto show = [](const procmap::error& e) {
        std::string text;
        procmap::print([&](std::string_view piece) { text += piece; }, e);
        return text;
    };
    const bool as_clean = got.error == clean.error;
    if (got.pieces.size() > clean.pieces.size()) return "more than there is";
    for (std::size_t i = 0; i < got.pieces.size(); ++i)
        if (got.pieces[i] != "?" && got.pieces[i] != clean.pieces[i])
            return '"' + got.pieces[i] + "\" instead of \"" + clean.pieces[i] + '"';
    // What cannot be told apart by /proc/PID/stat has no address space all the same.
    if (clean.error == errc::zombie && got.error == errc::gone && got.pieces.empty()) return "";
    const bool survived = once && way == EINTR && (which == ioctl_ || which == sendmsg_ || which == recvmsg_);
    if (as_clean) {
        if (got.pieces.size() != clean.pieces.size()) return "less, and no error";
        return survived && got.pieces != clean.pieces ? "one signal was not survived" : "";
    }
    if (survived) return "one signal was not survived: " + show(got.error);
    if (got.error == errc::none) return "no error, where there should be one: " + show(clean.error);
    if (!may_say(got.error.code, which, way)) return "another error: " + show(got.error);
    if (got.error.at == procmap::step::none) return "no step: " + show(got.error);
    const bool names_it = got.error.errno_value == way || (got.error.errno_value == 0 && (way < 0 || got.error == errc::gone)) ||
                          got.error.errno_value == clean.error.errno_value;
    return names_it ? "" : "another errno: " + show(got.error);
}

long injected[calls] = {};

/// The lowest number that is free: one more when something leaked, mostly; the count of all tells the rest.
int lowest_descriptor() {
    const int fd = ::dup(STDERR_FILENO);
    ::close(fd);
    return fd;
}

std::size_t open_descriptors() {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator{"/proc/self/fd"}, {}));
}

void arm(long at, int way, bool for_good) {
    faults.count = 0;
    faults.at = at;
    faults.way = way;
    faults.for_good = for_good;
    faults.hit = false;
    faults.armed = true;
}

/// Asks a question again and again, each time with another call failing in another way, once and from then on. `prepare` makes what
/// it is asked of, undisturbed; the next question of the same must be answered as if nothing had been. `an_answer` says which
/// failures are none here, but an answer.
template <class Prepare, class Ask, class Except>
void provoke(const char* name, Prepare prepare, Ask ask, bool twice, Except an_answer) {
    CAPTURE(std::string{name});
    const auto clean_run = [&] {
        auto of_what = prepare();
        arm(-1, 0, false);
        answer a = ask(of_what);
        faults.armed = false;
        return a;
    };
    const answer clean = clean_run();
    static_cast<void>(clean_run());  // some remember, the first time
    const long points = faults.count;
    const std::size_t open_before = open_descriptors();
    REQUIRE(points > 0);
    REQUIRE(points < static_cast<long>(std::size(faults.log)));
    const std::vector<call> log(faults.log, faults.log + points);
    for (long n = 0; n < points; ++n)
        for (const int way : ways(log[static_cast<std::size_t>(n)]))
            for (const bool once : {true, false}) {
                const call which = log[static_cast<std::size_t>(n)];
                if (way == end_of_file && which == pread_ && once) continue;  // no kernel does that in the middle of a file
                if (an_answer(which, way)) continue;
                const long memory_before = memory.live;
                const int lowest_before = lowest_descriptor();
                char verdict[300] = "";
                {
                    auto of_what = prepare();
                    arm(n, way, !once);
                    errno = 4242;
                    const answer got = ask(of_what);
                    const int errno_after = errno;
                    faults.armed = false;
                    std::string wrong = !faults.hit ? "it was not called" : judged(clean, got, which, way, once);
                    if (wrong.empty() && errno_after != 4242) wrong = "errno is " + std::to_string(errno_after);
                    if (wrong.empty() && twice) {
                        const answer again = ask(of_what);
                        if (again.error != clean.error || again.pieces != clean.pieces) wrong = "the next answer is not whole";
                    }
                    std::snprintf(verdict, sizeof verdict, "%s", wrong.c_str());
                }
                ++injected[which];
                if (verdict[0] == '\0' && lowest_descriptor() != lowest_before) std::strcpy(verdict, "descriptors leaked");
                if (verdict[0] == '\0' && memory.live != memory_before) std::strcpy(verdict, "memory leaked");
                if (verdict[0] == '\0') continue;
                const std::string errno_name{way < 0 ? std::string_view{} : procmap::errno_name(way)};
                const std::string what = std::string{name} + ": call " + std::to_string(n) + ' ' + call_names[which] + ' ' +
                                         errno_name + ' ' + std::to_string(way) + (once ? " once: " : " for good: ") + verdict;
                FAIL_CHECK(what);
            }
    CHECK(open_descriptors() == open_before);
}

template <class Prepare, class Ask>
void provoke(const char* name, Prepare prepare, Ask ask, bool twice = true) {
    provoke(name, prepare, ask, twice, [](call, int) { return false; });
}

void wait_forever(channel& parent) {
    parent.signal();
    parent.pause();
}

constexpr auto nothing = [] { return 0; };

/// What is set for as long as this lives.
class with {
public:
    explicit with(bool& what) : what_(what) { what_ = true; }
    with(const with&) = delete;
    with& operator=(const with&) = delete;
    ~with() { what_ = false; }

private:
    bool& what_;
};

}  // namespace

TEST_CASE("opening, whatever fails") {
    child paused{wait_forever};
    paused->await();
    const pid_t pid = paused.pid();
    for (const backend use : {backend::automatic, backend::ioctl, backend::text}) {
        if (use == backend::ioctl && !kernel_has_ioctl()) continue;
        CAPTURE(use);
        provoke("open", nothing, [&](int) { return of(maps::open(pid, {.use = use})); });
        provoke("open by a thread", nothing, [&](int) { return of(maps::open(pid, pid, {.use = use})); });
        provoke("adopt", [&] { return unique_fd{::open(maps_path(pid).c_str(), O_RDONLY | O_CLOEXEC)}; },
                [&](unique_fd& fd) { return of(maps::adopt(std::move(fd), {.use = use})); }, false);
    }
    provoke("open a process that is not there", nothing, [&](int) { return of(maps::open(INT32_MAX)); });
    provoke("open a thread that is not there", nothing, [&](int) { return of(maps::open(pid, INT32_MAX)); });
    provoke("probe", nothing, [](int) { return of(procmap::probe()); }, true, [](call which, int way) {
        const int to_the_struct[] = {E2BIG, EINVAL, EFAULT, ESRCH, ENAMETOOLONG};  // so the kernel tells how large it is
        return which == ioctl_ && std::find(std::begin(to_the_struct), std::end(to_the_struct), way) != std::end(to_the_struct);
    });
#if defined(SYS_pidfd_open)
    const unique_fd pidfd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
    if (!pidfd) return not_included("pidfds, which this kernel does not have");
    provoke("open by a pidfd", nothing, [&](int) { return of(maps::open(pidfd.borrow())); }, true, [](call which, int way) {
        return (which == openat_ && way == ENOENT) || (which == pread_ && way == end_of_file);  // no such descriptor; no pidfd
    });
#endif
}

TEST_CASE("refusing what is no maps file, whatever fails: it is closed") {
    const auto memory = [] { return unique_fd{static_cast<int>(::syscall(SYS_memfd_create, "maps", MFD_CLOEXEC))}; };
    for (const backend use : {backend::automatic, backend::text})
        provoke("refuse", memory, [&](unique_fd& fd) { return of(maps::adopt(std::move(fd), {.use = use})); }, false);
}

TEST_CASE("telling this process from others, whatever fails: where it cannot be told, the handle works all the same") {
    const auto forget = [] {
        if (procmap::detail::this_process_page != nullptr) ::munmap(procmap::detail::this_process_page, procmap::detail::process_page_size);
        procmap::detail::this_process_page = nullptr;
        procmap::detail::no_process_page = false;
        return 0;
    };
    const std::uint64_t address = address_of(reinterpret_cast<const void*>(&::getpid));
    provoke("open", forget, [&](int) {  // the page is in the text
        const auto opened = maps::open_self({.use = backend::text});
        faults.armed = false;
        answer a = opened ? of(opened->find(address)) : answer{};
        if (!opened) a.error = opened.error();
        return a;
    });
    const maps self = need(maps::open_self({.use = backend::text}));
    provoke("find", forget, [&](int) { return of(self.find(address)); });
    for (const long failing : {0, 1}) {  // mmap, madvise
        forget();
        arm(failing, ENOMEM, true);
        const auto number = procmap::detail::this_process();
        CHECK_FALSE(procmap::detail::is_this_process(number));
        faults.armed = false;
        CHECK(number == static_cast<std::uintptr_t>(::getpid()));
        arm(-1, 0, false);
        CHECK(procmap::detail::this_process() == number);
        faults.armed = false;
        CHECK(faults.count == 0);  // it is not tried again
        CHECK_FALSE(procmap::detail::is_this_process(number));
    }
    forget();
    CHECK(procmap::detail::is_this_process(procmap::detail::this_process()));
}

TEST_CASE("opening what has no address space, whatever fails") {
    child zombie{[](channel&) {}};
    zombie.await_zombie();
    child headless{[](channel& parent) {
        std::thread{[&parent] { wait_forever(parent); }}.detach();
        ::syscall(SYS_exit, 0);
    }};
    headless->await();
    while (!slurp(maps_path(headless.pid())).value_or("").empty()) ::usleep(1000);
    for (const backend use : {backend::automatic, backend::text}) {
        CAPTURE(use);
        provoke("open a zombie", nothing, [&](int) { return of(maps::open(zombie.pid(), {.use = use})); });
        provoke("open a process whose main thread has exited", nothing,
                [&](int) { return of(maps::open(headless.pid(), {.use = use})); });
    }
}

TEST_CASE("lookups, walks and captures, whatever fails") {
    child paused{wait_forever};
    paused->await();
    const std::uint64_t address = address_of(reinterpret_cast<const void*>(&::getpid));
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps from = need(maps::open(paused.pid(), {.use = use}));
        procmap::name_buffer name;
        procmap::build_id_buffer id;
        provoke("find", nothing, [&](int) { return of(from.find(address)); });
        provoke("find with all", nothing, [&](int) { return of(from.find(address, {.name = name, .build_id = id})); });
        provoke("find nothing", nothing, [&](int) { return of(from.find(0)); });
        provoke("find from", nothing, [&](int) { return of(from.find_from(0, {.only = procmap::executable, .name = name})); });
        for (const bool build_ids : {false, true})
            provoke("walk", [&] { return from.walk({.names = true, .build_ids = build_ids}); },
                    [&](auto& walk) { return of(walk); });
        provoke("walk by a filter", [&] { return from.walk({.only = procmap::executable}); }, [&](auto& walk) { return of(walk); });
        for (const bool page_sizes : {false, true})
            provoke("capture", nothing, [&](int) { return of(procmap::snapshot::capture(from, {.page_sizes = page_sizes})); });
        const auto watched = [&] {
            auto watch = std::make_unique<procmap::watcher>(from);
            static_cast<void>(watch->look());
            return watch;
        };
        provoke("watch", watched, [&](auto& watch) {
            const auto changes = watch->look();
            answer a = of(procmap::result<procmap::snapshot>{watch->last()});
            for (std::size_t i = 0; changes && i < changes->size(); ++i) a.add("a change");
            a.error = changes.error();
            return a;
        });
    }
}

TEST_CASE("normalizing and caching, whatever fails") {
    char* const heap = map_pages(1);
    child paused{wait_forever};
    paused->await();
    const std::uint64_t addresses[] = {address_of(reinterpret_cast<const void*>(&::getpid)), ::getauxval(AT_SYSINFO_EHDR),
                                       address_of(reinterpret_cast<const void*>(&lowest_descriptor)), 8, address_of(heap)};
    const auto ask = [&](const maps& from, const procmap::normalizer_options& options, bool warm, const char* name) {
        const auto prepare = [&] {
            auto n = std::make_unique<procmap::normalizer>(options);
            if (warm) static_cast<void>(n->normalize(from, addresses));
            return n;
        };
        provoke(name, prepare, [&](auto& n) { return of(n->normalize(from, addresses)); });
    };
    const auto ask_cache = [&](const maps& from, build_id_choice choice, bool warm) {
        const auto prepare = [&] {
            const procmap::cached_maps_options options{.build_ids = true, .build_ids_from = choice};
            auto c = std::make_unique<procmap::cached_maps>(from, options);
            if (warm) static_cast<void>(c->find(addresses[0]));
            return c;
        };
        provoke("cached_maps", prepare, [&](auto& c) { return of(c->find(addresses[0])); });
    };
    for (const backend use : backends()) {
        const maps from = need(maps::open(paused.pid(), {.use = use}));
        for (const build_id_choice choice : {build_id_choice::automatic, build_id_choice::kernel, build_id_choice::file})
            for (const bool warm : {false, true}) {
                CAPTURE(use);
                CAPTURE(choice);
                CAPTURE(warm);
                ask(from, {.build_ids = true, .build_ids_from = choice}, warm, "build IDs");
                ask_cache(from, choice, warm);
                ask(from, {.build_ids = true, .elf_addresses = true, .build_ids_from = choice, .file_states = true}, warm, "all");
            }
        const with unprivileged{faults.no_map_files};
        ask(from, {.build_ids = true, .build_ids_from = build_id_choice::file}, false, "through the root");
        {
            const with btrfs{faults.other_device};
            ask(from, {.build_ids = true, .elf_addresses = true, .build_ids_from = build_id_choice::file}, false, "out of memory");
            ask_cache(from, build_id_choice::file, false);
        }
        const with old{faults.no_mount_ids};
        ask(from, {.build_ids = true, .build_ids_from = build_id_choice::file}, false, "by fdinfo");
        const with older{faults.no_statx};
        ask(from, {.build_ids = true, .build_ids_from = build_id_choice::file}, false, "without statx");
    }
    ::munmap(heap, page);
}

TEST_CASE("handing over, whatever fails") {
    child paused{wait_forever};
    paused->await();
    struct pair {
        unique_fd one, other;
    };
    const auto sockets = [] {
        int ends[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        return pair{unique_fd{ends[0]}, unique_fd{ends[1]}};
    };
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps from = need(maps::open(paused.pid(), {.use = use}));
        provoke("send", sockets, [&](pair& p) {
            const auto sent = procmap::send_maps(p.one.get(), from);
            return answer{.error = sent.error()};
        });
        const auto sent = [&] {
            pair p = sockets();
            REQUIRE(procmap::send_maps(p.one.get(), from));
            return p;
        };
        provoke("receive", sent, [&](pair& p) { return of(procmap::receive_maps(p.other.get(), {.use = use})); }, false);
    }
}

TEST_CASE("every function was made to fail") {
    long all = 0;
    for (std::size_t i = 0; i < calls; ++i) {
        CAPTURE(call_names[i]);
        CHECK(injected[i] != 0);
        all += injected[i];
        std::printf("%s %ld, ", call_names[i], injected[i]);
    }
    std::printf("in all %ld failures of system calls\n", all);
}

// ---- real sandboxes

namespace {

/// In a child: from now on a system call ends like that. `request`: of an ioctl, the only one that does; 0: whatever its arguments.
void refuse(long number, std::uint32_t request, std::uint32_t action) {
    constexpr std::uint32_t low_half = std::endian::native == std::endian::little ? 0 : 4;
    const auto nr = static_cast<std::uint32_t>(number);
    const std::uint8_t unless_ours = request != 0 ? 0 : 1;  // then the comparison is jumped over
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1]) + low_half),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, request, 1, unless_ours),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog filter{static_cast<unsigned short>(std::size(program)), program};
    ensure(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "PR_SET_NO_NEW_PRIVS");
    ensure(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0, "PR_SET_SECCOMP");
}

std::uint32_t error_action(int code) { return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(code); }
constexpr auto query_request = static_cast<std::uint32_t>(procmap::uapi::procmap_query_request);

/// Whether a walk is complete and equals the raw text, which may have changed in between: a difference has to come back.
bool equals_text(const maps& self) {
    for (int tries = 0; tries < 5; ++tries) {
        const walked all = walk_all(self, {.names = true});
        const auto raw = raw_lines(slurp("/proc/self/maps").value_or(""));
        if (all.complete && difference(all.records, raw).empty()) return true;
    }
    return false;
}

}  // namespace

TEST_CASE("in a sandbox that refuses the ioctl the text answers, and equals the raw text") {
    for (const int code : {ENOSYS, EPERM, EACCES, ENOTTY}) {
        CAPTURE(code);
        struct report {
            bool text, equal, insisted, probed, found;
            errc older;
        };
        child sandboxed{[code](channel& parent) {
            const auto before = maps::open_self();
            refuse(SYS_ioctl, query_request, error_action(code));
            const auto self = maps::open_self();
            const auto insisted = maps::open_self({.use = backend::ioctl});
            const auto can = procmap::probe();
            const std::uint64_t address = address_of(reinterpret_cast<const void*>(&::getpid));
            parent.send(report{.text = self && self->backend() == backend::text,
                               .equal = self && equals_text(*self),
                               .insisted = insisted.error() == errc::unsupported && insisted.error().errno_value == code,
                               .probed = !can.ioctl && can.ioctl_errno == code && can.text,
                               .found = self && self->find(address).has_value() && self->find(8).error() == errc::not_mapped,
                               .older = before ? before->find(address).error().code : errc::none});
        }};
        const auto said = sandboxed->receive<report>();
        CHECK(said.text);
        CHECK(said.equal);
        CHECK(said.insisted);
        CHECK(said.probed);
        CHECK(said.found);
        const bool refused = code == EPERM || code == EACCES;
        if (kernel_has_ioctl()) CHECK(said.older == (refused ? errc::denied : errc::unsupported));
    }
}

TEST_CASE("a sandbox that kills for the ioctl kills what asks for it, and not what asked for text") {
    for (const backend use : {backend::automatic, backend::text}) {
        CAPTURE(use);
        child sandboxed{[use](channel& parent) {
            refuse(SYS_ioctl, query_request, SECCOMP_RET_KILL_PROCESS);
            const auto self = maps::open_self({.use = use});
            const bool good = self && equals_text(*self) && self->find(8).error() == errc::not_mapped &&
                              procmap::snapshot::capture(*self).has_value();
            parent.send(good);
            parent.pause();
        }};
        if (use == backend::text) {
            CHECK(sandboxed->receive<bool>());
            continue;
        }
        siginfo_t ended{};
        REQUIRE(::waitid(P_PID, static_cast<id_t>(sandboxed.pid()), &ended, WEXITED | WNOWAIT) == 0);
        CHECK((ended.si_code == CLD_KILLED || ended.si_code == CLD_DUMPED));
        CHECK(ended.si_status == SIGSYS);
    }
}

TEST_CASE("in a sandbox without a system call of its, build IDs of files are unknown or right, and nothing else is lost") {
    constexpr long openat2_number = 437;
    const std::uint64_t addresses[] = {address_of(reinterpret_cast<const void*>(&::getpid))};
    const maps here = need(maps::open_self());
    const auto ids_of_files = [&](const maps& from) {
        procmap::normalizer n{{.build_ids = true, .build_ids_from = build_id_choice::file}};
        return of(n.normalize(from, addresses));
    };
    const answer clean = ids_of_files(here);
    for (const long number : {openat2_number, long{SYS_statx}, long{SYS_readlinkat}, long{SYS_fstatfs}})
        for (const int code : {ENOSYS, EPERM, EACCES}) {
            CAPTURE(number);
            CAPTURE(code);
            child sandboxed{[&](channel& parent) {
                refuse(number, 0, error_action(code));
                faults.no_map_files = true;
                const auto self = maps::open_self();
                if (!self) return parent.send(1);
                const answer got = ids_of_files(*self);
                bool right = got.error == errc::none && got.pieces.size() == clean.pieces.size();
                for (std::size_t i = 0; right && i < got.pieces.size(); ++i)
                    right = got.pieces[i] == "?" || got.pieces[i] == clean.pieces[i];
                parent.send(!right ? 2 : !equals_text(*self) ? 3 : 0);
            }};
            CHECK(sandboxed->receive<int>() == 0);
        }
    child sandboxed{[&](channel& parent) {
        refuse(SYS_pread64, 0, error_action(EPERM));
        const auto text = maps::open_self({.use = backend::text});
        const auto self = maps::open_self();
        const bool right = text.error() == errc::denied && text.error().at == procmap::step::read;
        parent.send(right && text.error().errno_value == EPERM && (!kernel_has_ioctl() || (self && equals_text(*self))));
    }};
    CHECK(sandboxed->receive<bool>());
}

// ---- what is remembered of files

TEST_CASE("what is remembered of a file is read again after the wall clock was set, and not otherwise") {
    struct back {
        ~back() { faults.stepped = faults.passed = 0; }
    } at_the_end;
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    char* const at = map_file(dir / "lib.so");
    REQUIRE(at != nullptr);
    ::usleep(100'000);
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(maps::open_self({.use = use}));
        procmap::normalizer n{{.build_ids = true, .build_ids_from = build_id_choice::file}};
        procmap::cached_maps c{self, {.build_ids = true, .build_ids_from = build_id_choice::file}};
        const std::uint64_t address[] = {address_of(at)};
        const auto reads = [&] {
            for (int again = 0; again < 2; ++again) {
                const auto got = need(n.normalize(self, address));
                CHECK(got.files[0].build_id == id_of(twenty('a')));
                CHECK(need(c.find(address[0])).build_id == id_of(twenty('a')));
            }
            CHECK(c.statistics().file_reads == n.file_reads());
            return n.file_reads();
        };
        if (reads() == 0) SKIP("no file can be read here");
        CHECK(reads() == 1);
        std::uint64_t expected = 1;
        for (const std::int64_t step : {100, 3'600'000}) {  // forward: by its age alone the file is settled
            faults.stepped += step;
            CHECK(reads() == ++expected);
            CHECK(reads() == expected);
        }
        faults.stepped -= 3'600'000;
        CHECK(reads() == ++expected);
        faults.stepped += 20;  // less than two reads of two clocks can be apart
        CHECK(reads() == expected);
        faults.passed += 30'000;
        CHECK(reads() == expected);
        faults.stepped -= 120;
        // Back to before the change: nothing is settled any more, and every look reads.
        faults.stepped -= 3'600'000;
        const std::uint64_t before = reads();
        CHECK(reads() == before + 2);
        faults.stepped = 0;
    }
    ::munmap(at, file_pages * page);
}

TEST_CASE("a file that no call used for a minute is dropped, and so are all that are released") {
    struct back {
        ~back() { faults.passed = 0; }
    } at_the_end;
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    char* const at = map_file(dir / "lib.so");
    char* const heap = map_pages(1);
    REQUIRE(at != nullptr);
    ::usleep(100'000);
    const std::uint64_t file[] = {address_of(at)}, nothing_cached[] = {address_of(heap)};
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(maps::open_self({.use = use}));
        for (const bool by_cache : {false, true}) {
            CAPTURE(by_cache);
            const std::size_t none_held = open_descriptors();
            procmap::normalizer n{{.build_ids = true, .build_ids_from = build_id_choice::file}};
            procmap::cached_maps c{self, {.build_ids = true, .build_ids_from = build_id_choice::file}};
            const auto look = [&](std::span<const std::uint64_t> where) {
                if (by_cache)
                    static_cast<void>(need(c.find(where[0])));
                else
                    static_cast<void>(need(n.normalize(self, where)));
            };
            const auto reads = [&] { return by_cache ? c.statistics().file_reads : n.file_reads(); };
            const auto release = [&] { by_cache ? static_cast<void>(c.release_files()) : n.release_files(); };
            look(file);
            if (reads() == 0) SKIP("no file can be read here");
            CHECK(open_descriptors() > none_held);
            for (int i = 0; i < 3; ++i) {  // used now and then
                faults.passed += 50'000;
                look(file);
            }
            CHECK(reads() == 1);
            faults.passed += 57'000;
            look(nothing_cached);
            CHECK(open_descriptors() > none_held);
            faults.passed += 3'900;  // it is time, but files were looked through just before
            look(nothing_cached);
            CHECK(open_descriptors() > none_held);
            faults.passed += 2'500;
            look(nothing_cached);
            CHECK(open_descriptors() == none_held);
            look(file);
            CHECK(reads() == 2);
            CHECK(open_descriptors() > none_held);
            errno = EXDEV;
            release();
            CHECK(errno == EXDEV);
            CHECK(open_descriptors() == none_held);
            look(file);
            CHECK(reads() == 3);
        }
    }
    ::munmap(at, file_pages * page);
    ::munmap(heap, page);
}

TEST_CASE("paths are looked up for states where these are asked for, and not otherwise") {
    temporary_directory dir;
    for (const char* name : {"one", "two"}) dir.write(name, small_elf(twenty('a')));
    char* const one = map_file(dir / "one");
    char* const two = map_file(dir / "two");
    REQUIRE((one != nullptr && two != nullptr));
    ::usleep(100'000);
    const std::uint64_t addresses[] = {address_of(one), address_of(two), address_of(one) + 1};
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps self = need(maps::open_self({.use = use}));
        const auto calls_by = [&](procmap::normalizer& n, procmap::file_state expected, long (&made)[calls]) {
            std::memcpy(made, faults.calls_of, sizeof made);
            const auto got = need(n.normalize(self, addresses));
            for (int i = 0; i < calls; ++i) made[i] = faults.calls_of[i] - made[i];
            REQUIRE(got.files.size() == 2);
            for (const auto& f : got.files) CHECK(f.state == expected);
        };
        long made[calls];
        procmap::normalizer nothing_asked;  // not even a build ID: no file is looked for
        calls_by(nothing_asked, procmap::file_state::unknown, made);
        CHECK(made[openat2_] + made[openat_] + made[readlinkat_] + made[fstatfs_] == 0);
        for (const build_id_choice choice : {build_id_choice::automatic, build_id_choice::file}) {
            procmap::normalizer ids{{.build_ids = true, .build_ids_from = choice}};
            calls_by(ids, procmap::file_state::unknown, made);
            if (is_root()) CHECK(made[openat2_] == 0);  // map_files is enough
            calls_by(ids, procmap::file_state::unknown, made);
            CHECK(made[openat2_] + made[openat_] + made[readlinkat_] + made[fstatfs_] == 0);
            CHECK(made[statx_] + made[fstat_] == 2);
        }
        const auto linked = procmap::file_state::linked;
        procmap::normalizer states{{.file_states = true}}, all{{.build_ids = true, .build_ids_from = build_id_choice::file, .file_states = true}};
        calls_by(states, linked, made);
        CHECK(made[openat2_] == 2);
        calls_by(all, linked, made);
        calls_by(all, linked, made);
        CHECK(made[openat2_] == 2);
        CHECK(made[pread_] == (use == backend::text ? made[pread_] : 0));  // no file is read
    }
    ::munmap(one, file_pages * page);
    ::munmap(two, file_pages * page);
}

TEST_CASE("a file is cached only where this kernel itself keeps its change time") {
    if (!is_root()) SKIP("map_files needs root");
    struct back {
        ~back() { faults.file_system = 0; }
    } at_the_end;
    struct kind {
        const char* name;
        std::uint32_t type;
        int reads;  // in three calls
    };
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    char* const at = map_file(dir / "lib.so");
    REQUIRE(at != nullptr);
    const std::uint64_t address[] = {address_of(at)};
    ::usleep(100'000);
    for (const kind& k : {kind{"ext4", 0xef53, 1}, kind{"btrfs", 0x9123683e, 1}, kind{"ramfs", 0x858458f6, 1}, kind{"NFS", 0x6969, 3},
                          kind{"SMB", 0xfe534d42, 3}, kind{"Ceph", 0xc36400, 3}, kind{"9P", 0x01021997, 3}, kind{"FAT", 0x4d44, 3},
                          kind{"one that is not known", 0x12345678, 3}, kind{"FUSE", 0x65735546, 0}, kind{"overlayfs", 0x794c7630, 0}}) {
        INFO(std::string{k.name});
        faults.file_system = k.type;
        for (const backend use : backends()) {
            CAPTURE(use);
            const maps self = need(maps::open_self({.use = use}));
            procmap::normalizer n{{.build_ids = true, .build_ids_from = build_id_choice::file}};
            procmap::cached_maps c{self, {.build_ids = true, .build_ids_from = build_id_choice::file}};
            for (int calls_made = 0; calls_made < 3; ++calls_made) {
                CHECK(need(n.normalize(self, address)).complete());
                CHECK(need(c.find(address[0])).start == address[0]);
            }
            CHECK(n.file_reads() == static_cast<std::uint64_t>(k.reads));
            CHECK(c.statistics().file_reads == static_cast<std::uint64_t>(k.reads));
        }
    }
    ::munmap(at, file_pages * page);
}

// ---- memory that runs out

namespace {

long starved = 0;

/// What was answered, put together with memory enough.
template <class T>
answer in_peace(const T& what) {
    memory.fail_at = -1;
    return of(what);
}

/// Asks with one allocation after another failing. After each failure the same must answer as if nothing had been.
template <class Prepare, class Ask>
void starve(const char* name, Prepare prepare, Ask ask) {
    CAPTURE(std::string{name});
    const auto clean = [&] {
        auto of_what = prepare();
        return ask(of_what);
    }();
    REQUIRE(clean.error == errc::none);
    REQUIRE(!clean.pieces.empty());
    memory.hit = true;
    for (long n = 0; memory.hit; ++n) {
        CAPTURE(n);
        const long memory_before = memory.live;
        const int lowest_before = lowest_descriptor();
        std::string difference;
        {
            auto of_what = prepare();
            bool failed = false;  // or did without: shrink_to_fit
            memory.hit = false;
            memory.asked = 0;
            memory.fail_at = n;
            try {
                static_cast<void>(ask(of_what));
            } catch (const std::bad_alloc&) {
                failed = true;
            }
            memory.fail_at = -1;
            if (failed) {
                ++starved;
                const answer again = ask(of_what);
                if (again.error != clean.error || again.pieces.size() != clean.pieces.size()) difference = "another error";
                for (std::size_t i = 0; difference.empty() && i < again.pieces.size(); ++i)
                    if (again.pieces[i] != clean.pieces[i]) difference = again.pieces[i] + " instead of " + clean.pieces[i];
            }
        }
        CHECK(difference == "");
        difference = std::string{};
        CHECK(memory.live == memory_before);
        CHECK(lowest_descriptor() == lowest_before);
        if (n == 0) CHECK(memory.hit);
    }
}

}  // namespace

TEST_CASE("whatever allocation fails, nothing is lost or leaked, and the next call answers") {
    char* const page_of_ours = map_pages(1);
    child paused{wait_forever};
    paused->await();
    const std::uint64_t addresses[] = {address_of(reinterpret_cast<const void*>(&::getpid)), ::getauxval(AT_SYSINFO_EHDR),
                                       address_of(reinterpret_cast<const void*>(&lowest_descriptor)), 8};
    for (const backend use : backends()) {
        CAPTURE(use);
        const maps from = need(maps::open(paused.pid(), {.use = use}));
        starve("capture", nothing, [&](int) { return in_peace(procmap::snapshot::capture(from, {.build_ids = true})); });
        for (const build_id_choice choice : {build_id_choice::automatic, build_id_choice::kernel, build_id_choice::file}) {
            CAPTURE(choice);
            const procmap::normalizer_options all{.build_ids = true, .elf_addresses = true, .build_ids_from = choice};
            starve("normalizer", [&] { return std::make_unique<procmap::normalizer>(all); },
                   [&](auto& n) { return in_peace(n->normalize(from, addresses)); });
            const auto small = [&] {  // in which one file must make room for the other
                auto n = std::make_unique<procmap::normalizer>(procmap::normalizer_options{
                    .build_ids = true, .elf_addresses = true, .build_ids_from = choice, .most_files = 1});
                static_cast<void>(n->normalize(from, std::span{addresses}.first(1)));
                return n;
            };
            starve("normalizer of one file", small, [&](auto& n) { return in_peace(n->normalize(from, addresses)); });
            const procmap::cached_maps_options one{.build_ids = true, .build_ids_from = choice, .most_mappings = 1};
            starve("cached_maps", [&] { return std::make_unique<procmap::cached_maps>(from, one); },
                   [&](auto& c) { return in_peace(c->find(addresses[0])); });
        }
        const maps self = need(maps::open_self({.use = use}));
        const auto watched = [&] {
            ::mprotect(page_of_ours, page, PROT_READ);
            auto watch = std::make_unique<procmap::watcher>(self);
            static_cast<void>(watch->look());
            ::mprotect(page_of_ours, page, PROT_NONE);
            return watch;
        };
        starve("watcher", watched, [&](auto& watch) {
            const auto changes = watch->look();
            memory.fail_at = -1;
            answer a;
            const std::uint64_t ours = address_of(page_of_ours);
            for (const procmap::change& c : *changes)
                if (c.start <= ours && ours < c.end) a.add(std::to_string(static_cast<int>(c.kind)));
            return a;
        });
    }
    ::munmap(page_of_ours, page);
}

TEST_CASE("whatever allocation fails, a builder, a parser and a comparison lose nothing") {
    const std::string text =
        "00001000-00002000 rw-s 00000000 00:01 7                                  /a/rather/long/name/that/is/no/small/string\n"
        "BuildID:           0123456789abcdef0123456789abcdef01234567\n"
        "00002000-00003000 r--p 00000000 00:00 0                                  [another name that is no small string]\n"
        "00003000-00004000 r--p 00000000 00:00 0                                  [another name that is no small string]\n";
    starve("parse", nothing, [&](int) { return in_peace(procmap::snapshot::parse(text)); });
    const auto s = need(procmap::snapshot::parse(text));
    const auto half = need(procmap::snapshot::parse(std::string_view{text}.substr(0, text.find("00002000-"))));
    starve("difference", nothing, [&](int) { return in_peace(procmap::difference(half, s)); });
    struct half_built {
        procmap::snapshot::builder b{};
        std::size_t added = 0;
    };
    starve("builder", [] { return half_built{}; }, [&](half_built& to) {
        for (; to.added < s.size(); ++to.added) static_cast<void>(to.b.add(s[to.added]));
        return in_peace(procmap::result<procmap::snapshot>{to.b.build()});
    });
    std::printf("%ld failures of allocations\n", starved);
    CHECK(starved > 100);
}
