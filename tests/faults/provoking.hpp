// Repeats a question, each time with another call that fails, and judges the answers.
#pragma once

#include "interposed.hpp"
#include "answers.hpp"
#include "../support/descriptors.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/result.hpp>
#include <procmap/text.hpp>

namespace support {

using procmap::errc;

/// What each can answer, by its manual page; and what filters and older kernels answer. Not ENOENT of the ioctl, which is
/// no failure: nothing is mapped there.
inline std::span<const int> ways(call which) {
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

/// The errors that may come of a failure, whichever step it hits.
inline bool may_say(errc code, call which, int way) {
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
inline std::string judged(const answer& clean, const answer& got, call which, int way, bool once) {
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

inline long injected[calls] = {};

/// The lowest number that is free: one more when something leaked, mostly; the count of all tells the rest.
inline int lowest_descriptor() {
    const int fd = ::dup(STDERR_FILENO);
    ::close(fd);
    return fd;
}

inline void arm(long at, int way, bool for_good) {
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
    const auto open_before = open_descriptors();
    REQUIRE(points > 0);
    REQUIRE(points < static_cast<long>(std::size(faults.log)));
    const std::vector<call> log(faults.log, faults.log + points);
    for (long n = 0; n < points; ++n)
        for (const int way : ways(log[static_cast<std::size_t>(n)]))
            for (const bool once : {true, false}) {
                const call which = log[static_cast<std::size_t>(n)];
                if (way == end_of_file && which == pread_ && once) continue;  // no kernel does that in the middle of a file
                if (an_answer(which, way)) continue;
                const long memory_before = allocator.live;
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
                if (verdict[0] == '\0' && allocator.live != memory_before) std::strcpy(verdict, "memory leaked");
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

inline constexpr auto nothing = [] { return 0; };

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

}  // namespace support
