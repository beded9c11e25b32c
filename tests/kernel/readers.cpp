// Concurrent readers of one text handle: signal handlers, threads, forked children and cancelled threads.
#include "fake_kernel.hpp"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>
#include <procmap/result.hpp>

using namespace support;
using procmap::errc;

TEST_CASE("another reader of the same text is noticed, and the walk starts over without a gap or a repetition") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::text);
    const auto good = serve(three_text, 50);
    const std::size_t first_line = three_text.find('\n') + 1;
    for (int disturbed = 1; disturbed <= 6; ++disturbed) {  // by a handler that a read held back
        CAPTURE(disturbed);
        int reads = 0;
        bool intruding = false;
        bool torn = false;
        kernel.signals = [&] {
            if (intruding || reads != disturbed) return;
            intruding = true;  // it reads from the start, through the same handle
            CHECK(maps.find(0x7000)->end == 0x9000);
            intruding = false;
            torn = true;
        };
        kernel.pread = [&](char* to, std::size_t size, std::uint64_t at) -> long {
            if (!intruding) ++reads;
            const long n = good(to, size, at);
            if (at == 0) torn = false;
            if (torn && n > 0) std::memset(to, '?', static_cast<std::size_t>(n));  // what continues now is not the listing
            return n;
        };
        auto walk = maps.walk({.names = true});
        CHECK(walked(walk) == three_text);
        CHECK(walk.complete());
        CHECK(reads > disturbed);
    }
    kernel.signals = nullptr;
    kernel.pread = good;
    for (const std::size_t lines_before : {1u, 2u, 3u}) {  // between two reads
        auto walk = maps.walk({.names = true});
        std::string lines;
        std::size_t count = 0;
        for (const procmap::mapping& m : walk) {
            lines += line_of(m) + '\n';
            kernel.preads = 0;
            if (++count != lines_before) continue;
            CHECK(maps.find(0x1000)->start == 0x1000);
            CHECK(kernel.preads > 0);
        }
        CHECK(lines == three_text);
        CHECK(walk.complete());
    }
    CHECK(first_line > 50);  // so that a line takes more than one read
}

TEST_CASE("readers that always break in are an error in the end, never a wrong answer") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::text);
    bool inside = false;
    kernel.pread = serve(three_text, 100);
    kernel.signals = [&] {
        if (inside) return;
        inside = true;
        CHECK(maps.find(0x1000)->start == 0x1000);
        inside = false;
    };
    auto walk = maps.walk({.names = true});
    CHECK(walked(walk) == three_text.substr(0, three_text.find('\n') + 1));
    CHECK(walk.error() == errc::contended);
    CHECK(!walk.complete());
}

TEST_CASE("a read that another thread has begun keeps this thread out: it could come between any two reads of a listing") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::text);
    const auto good = serve(three_text, 100);
    bool first = true;
    procmap::error other;
    std::string lines;
    kernel.pread = [&](char* to, std::size_t size, std::uint64_t at) -> long {
        if (std::exchange(first, false))
            std::thread{[&] {
                auto walk = maps.walk({.names = true});
                lines = walked(walk);
                other = walk.error();
            }}.join();
        return good(to, size, at);
    };
    CHECK(maps.find(0x7000)->end == 0x9000);
    CHECK(lines.empty());
    CHECK(other == errc::contended);
    auto walk = maps.walk({.names = true});
    CHECK(walked(walk) == three_text);
}

TEST_CASE("while the text is read no handler runs, so that none can leave with the lock") {
    static int handled = 0;
    handled = 0;
    struct sigaction act{}, before{};
    act.sa_handler = [](int) { ++handled; };
    REQUIRE(sigaction(SIGUSR1, &act, &before) == 0);
    with_kernel kernel;
    const auto maps = opened(procmap::backend::text);
    int during = -1;
    kernel.pread = [&, good = serve(three_text)](char* to, std::size_t size, std::uint64_t at) -> long {
        raise(SIGUSR1);
        during = handled;
        return good(to, size, at);
    };
    CHECK(maps.find(0x1000)->start == 0x1000);
    CHECK(during == 0);
    CHECK(handled == 1);
    sigset_t now;
    sigprocmask(SIG_BLOCK, nullptr, &now);
    CHECK(sigismember(&now, SIGUSR1) == 0);
    kernel.pread = [&, good = serve(three_text)](char* to, std::size_t size, std::uint64_t at) -> long {
        sigprocmask(SIG_BLOCK, nullptr, &now);
        return good(to, size, at);
    };
    CHECK(maps.find(0x1000)->start == 0x1000);
    CHECK(sigismember(&now, SIGUSR1) == 1);
    for (const int caused : {SIGSYS, SIGSEGV, SIGBUS}) CHECK(sigismember(&now, caused) == 0);  // a sandbox may emulate what it traps
    sigaction(SIGUSR1, &before, nullptr);
}

TEST_CASE("a child that is forked while another thread reads can read: the lock that it inherits is nobody's there") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::text);
    int status = -1;
    bool parent = true;
    kernel.pread = [&, good = serve(three_text)](char* to, std::size_t size, std::uint64_t at) -> long {
        if (std::exchange(parent, false)) {
            const pid_t child = fork();
            if (child == 0) _exit(maps.find(0x7000).has_value() && maps.find(0x1000).has_value() ? 0 : 1);
            waitpid(child, &status, 0);
        }
        return good(to, size, at);
    };
    CHECK(maps.find(0x7000)->end == 0x9000);
    CHECK(status == 0);
    CHECK(maps.find(0x1000)->start == 0x1000);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // ASan takes the stack that a cancelled thread leaves for overflown
TEST_CASE("a thread that is cancelled ends at the end of a lookup by text, and the handle goes on working") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::text);
    const auto good = serve(three_text);
    bool cancelled = false, closed = false;
    kernel.pread = [&](char* to, std::size_t size, std::uint64_t at) -> long {
        if (!std::exchange(cancelled, true)) pthread_cancel(pthread_self());
        pthread_testcancel();  // what a read is
        return good(to, size, at);
    };
    struct context {
        const procmap::maps& maps;
        bool& closed;
        bool went_on = false;
    } of{maps, closed};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, nullptr, [](void* at) -> void* {
        auto& c = *static_cast<context*>(at);
        auto walk = c.maps.walk();  // no cancellation point
        for ([[maybe_unused]] const procmap::mapping& m : walk) {}
        c.closed = walk.complete();
        (void)c.maps.find(0x1000);
        c.went_on = true;
        return nullptr;
    }, &of) == 0);
    void* how = nullptr;
    REQUIRE(pthread_join(thread, &how) == 0);
    CHECK(how == PTHREAD_CANCELED);
    CHECK(closed);
    CHECK_FALSE(of.went_on);
    CHECK(maps.find(0x7000)->end == 0x9000);
}
#endif
