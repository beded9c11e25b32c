// Processes that are gone when they are looked at: what the BPF program of examples/bpf_exit saw at their end, line by line
// against what each of them read in its own /proc/self/maps.
#define DOCTEST_CONFIG_IMPLEMENT
#include "../support/calls.hpp"
#include "../support/files.hpp"
#include "../support/memory.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"
#include "../support/records.hpp"
#include "../support/run.hpp"
#include "../support/skipping.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>
#include <procmap/snapshot.hpp>

#include "exit_maps.hpp"
#include "initial_pids.hpp"

using namespace support;

namespace {

// ---- the children

/// How a child lives and ends.
enum way {
    returns,       ///< an executed program of one thread, that leaves by _exit
    killed,        ///< by SIGKILL
    maps_more,     ///< with code of a file that is deleted, and of a memfd
    leader_first,  ///< its first thread ends before the last
    threads,       ///< several threads are ended at once by _exit
    forked,        ///< nothing is executed
    ways
};

constexpr int report_fd = 3;

/// An address as its own process normalizes it.
struct sample {
    std::uint64_t address, offset, inode;
    procmap::device_number device;
};

void write_all(int fd, std::string_view text) {
    ensure(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()), "write to the pipe");
}

/// Tells the parent the executable mappings, and some addresses with their place in a file.
void report(int fd) {
    // Not in a string: nothing is mapped between the reading and the end.
    static char text[1 << 18];
    const int maps = ::open("/proc/thread-self/maps", O_RDONLY | O_CLOEXEC);
    std::size_t size = 0;
    for (ssize_t n; (n = ::read(maps, text + size, sizeof text - size)) > 0;) size += static_cast<std::size_t>(n);
    ::close(maps);
    const auto self = procmap::maps::open(::getpid(), ::gettid());
    procmap::normalizer normalizer;
    const std::uint64_t addresses[] = {address_of(reinterpret_cast<const void*>(&report)),
                                       address_of(reinterpret_cast<const void*>(&::getpid)),
                                       address_of(reinterpret_cast<const void*>(&::bpf_map__fd))};
    ensure(self.has_value(), "open own maps");
    const auto found = normalizer.normalize(*self, addresses);
    ensure(found && found->complete(), "normalize");
    for (std::size_t i = 0; i < std::size(addresses); ++i) {
        const procmap::location& l = found->locations[i];
        const procmap::mapped_file& f = found->files[l.file];
        const sample s{addresses[i], l.offset, f.inode, f.device};
        write_all(fd, {reinterpret_cast<const char*>(&s), sizeof s});
    }
    for (const raw_line& raw : raw_lines(std::string{text, size}))
        if (raw.permissions[2] == 'x') write_all(fd, raw.line + '\n');
}

void map_code(int fd) {
    ensure(::ftruncate(fd, static_cast<off_t>(4 * page)) == 0, "ftruncate");
    ensure(::mmap(nullptr, 2 * page, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, static_cast<off_t>(page)) != MAP_FAILED, "mmap");
    ::close(fd);
}

/// Ends once the first thread of the process has: glibc ends the process with its last thread.
void outlive_leader() {
    const std::string stat = "/proc/self/task/" + std::to_string(::getpid()) + "/stat";
    for (std::string text; (text = slurp(stat).value_or("")).find(") Z ") == std::string::npos;) ::usleep(100);
    report(report_fd);
}

[[noreturn]] void live(way how, int fd) {
    std::vector<std::thread> others;
    if (how == maps_more) {
        char path[] = "/tmp/procmap deleted.XXXXXX";
        map_code(::mkstemp(path));
        ::unlink(path);
        map_code(::memfd_create("a memfd", MFD_CLOEXEC));
        map_code(::memfd_create("", MFD_CLOEXEC));
        ensure(map_pages(1, PROT_READ | PROT_EXEC) != nullptr, "map anonymous code");
        ensure(map_pages(1, PROT_READ | PROT_EXEC, MAP_SHARED) != nullptr, "map shared anonymous code");
    }
    if (how == leader_first) {
        std::thread{outlive_leader}.detach();
        ::pthread_exit(nullptr);
    }
    if (how == threads)
        for (int i = 0; i < 4; ++i) others.emplace_back([] { ::pause(); });
    report(fd);
    if (how == killed) ::kill(::getpid(), SIGKILL);
    ::_exit(0);
}

// ---- the parent

struct born {
    pid_t pid;
    int pipe;
    std::chrono::steady_clock::time_point when = std::chrono::steady_clock::now();
};

born start(way how, const char* executable = "/proc/self/exe") {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    std::fflush(nullptr);
    const born b{.pid = ::fork(), .pipe = ends[0]};
    REQUIRE(b.pid >= 0);
    if (b.pid == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (how == forked) live(how, ends[1]);
        ::dup2(ends[1], report_fd);
        ::execl(executable, "child", "--live", std::to_string(how).c_str(), nullptr);
        ensure(false, executable);
    }
    ::close(ends[1]);
    return b;
}

struct told {
    std::vector<sample> samples;
    std::vector<raw_line> executable;
};

told read_report(int pipe) {
    std::string text;
    char piece[4096];
    for (ssize_t n; (n = ::read(pipe, piece, sizeof piece)) > 0;) text.append(piece, static_cast<std::size_t>(n));
    ::close(pipe);
    told t;
    t.samples.resize(3);
    const std::size_t size = t.samples.size() * sizeof(sample);
    REQUIRE(text.size() > size);
    std::memcpy(t.samples.data(), text.data(), size);
    t.executable = raw_lines(text.substr(size));
    return t;
}

struct counts {
    std::size_t children = 0, mappings = 0, executable = 0, addresses = 0;
    std::vector<double> lives;  // in milliseconds
};

/// Compares what was seen at the end of a process with what it told.
void compare(const bpf_exit::ended& seen, const told& t, counts& n) {
    INFO(seen.command, ' ', seen.pid);
    CHECK(seen.whole);
    std::vector<record> executable;
    for (const procmap::mapping& m : seen.maps)
        if (m.permissions.has(procmap::perm::execute)) executable.emplace_back(m);
    CHECK(t.executable.size() >= 4);  // this program, libc, the loader, ...
    CHECK(difference(executable, t.executable) == "");
    for (const sample& s : t.samples) {
        const auto m = need(seen.maps.find(s.address));
        CHECK(s.address - m.start + m.offset == s.offset);
        CHECK(m.inode == s.inode);
        CHECK(m.device == s.device);
    }
    CHECK(!seen.stack.empty());
    for (const std::uint64_t address : seen.stack) CHECK(seen.maps.find(address).has_value());
    ++n.children;
    n.mappings += seen.maps.size();
    n.executable += executable.size();
    n.addresses += t.samples.size();
}

/// The processes that ended, by pid; or the reason why that cannot be known here.
struct watcher {
    bpf_exit::exit_maps exits;
    std::map<pid_t, bpf_exit::ended> ended;
    int twice = 0;
    std::string cannot;

    watcher() {
        if (!in_initial_pid_namespace()) cannot = "not in the initial pid namespace";
        if (cannot.empty()) cannot = bpf_exit::exit_maps::missing();
        if (!cannot.empty()) return;
        const auto take = [this](const bpf_exit::ended& e) { twice += !ended.insert_or_assign(e.pid, e).second; };
        const int error = exits.open(take, ::getpid());
        if (error == EPERM) cannot = "BPF is not permitted: CAP_BPF and CAP_PERFMON";
        if (cannot.empty()) REQUIRE_MESSAGE(error == 0, std::strerror(error));
    }
    void expect(const born& b, const told& t, counts& n) {
        INFO("pid ", b.pid);
        REQUIRE(ended.contains(b.pid));
        compare(ended.at(b.pid), t, n);
        ended.erase(b.pid);
    }
};

void print(const char* what, counts& n, int of) {
    std::printf("%s: %zu of %d children, %zu mappings, %zu executable ones compared, %zu addresses", what, n.children, of,
                n.mappings, n.executable, n.addresses);
    std::sort(n.lives.begin(), n.lives.end());
    if (!n.lives.empty()) std::printf("; a life took %.1f ms (median)", n.lives[n.lives.size() / 2]);
    std::puts("");
}

TEST_CASE("every short-lived child is seen with the executable mappings that it saw itself") {
    watcher w;
    if (!w.cannot.empty()) SKIP(w.cannot);
    constexpr int children = 240;
    counts n;
    for (int i = 0; i < children; ++i) {
        const born b = start(static_cast<way>(i % ways));
        REQUIRE(::waitpid(b.pid, nullptr, 0) == b.pid);
        const std::chrono::duration<double, std::milli> life = std::chrono::steady_clock::now() - b.when;
        n.lives.push_back(life.count());
        REQUIRE(w.exits.read(0) == 0);
        w.expect(b, read_report(b.pipe), n);
    }
    print("one after the other", n, children);
    CHECK(n.children == children);
    CHECK(w.ended.empty());
    CHECK(w.twice == 0);
    CHECK(w.exits.lost() == 0);
}

TEST_CASE("children that die at the same time are told apart") {
    watcher w;
    if (!w.cannot.empty()) SKIP(w.cannot);
    constexpr int rounds = 20;
    constexpr int at_once = 12;
    counts n;
    for (int round = 0; round < rounds; ++round) {
        std::vector<born> all;
        for (int i = 0; i < at_once; ++i) all.push_back(start(static_cast<way>(i % ways)));
        for (const born& b : all) {
            REQUIRE(::waitpid(b.pid, nullptr, 0) == b.pid);
            const std::chrono::duration<double, std::milli> life = std::chrono::steady_clock::now() - b.when;
            n.lives.push_back(life.count());
        }
        REQUIRE(w.exits.read(0) == 0);
        for (const born& b : all) w.expect(b, read_report(b.pipe), n);
    }
    print("at the same time", n, rounds * at_once);
    CHECK(n.children == rounds * at_once);
    CHECK(w.twice == 0);
    CHECK(w.exits.lost() == 0);
}

TEST_CASE("a program on an overlay, and in another root, is named as it sees itself") {
    watcher w;
    if (!w.cannot.empty()) SKIP(w.cannot);
    const temporary_directory directory;
    for (const char* name : {"upper", "work", "merged"}) std::filesystem::create_directory(directory / name);
    std::filesystem::create_directory(directory / "lower");
    std::filesystem::copy_file("/proc/self/exe", directory / "lower/program");
    const std::string layers =
        "lowerdir=" + directory / "lower" + ",upperdir=" + directory / "upper" + ",workdir=" + directory / "work";
    counts n;
    for (const bool chrooted : {false, true}) {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        std::fflush(nullptr);
        const pid_t pid = ::fork();
        if (pid == 0) {
            constexpr int no_overlay = 7;
            const std::string merged = directory / "merged";
            ensure(::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "unshare");
            if (::mount("overlay", merged.c_str(), "overlay", 0, layers.c_str()) != 0) ::_exit(no_overlay);
            std::string program = merged + "/program";
            if (chrooted) {
                for (const char* name : {"/usr", "/lib", "/lib64", "/proc"}) {  // what a dynamic program needs
                    std::error_code ignored;
                    if (!std::filesystem::exists(name)) continue;
                    std::filesystem::create_directory(merged + name, ignored);
                    ensure(::mount(name, (merged + name).c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0, "bind");
                }
                ensure(::chroot(merged.c_str()) == 0 && ::chdir("/") == 0, "chroot");
                program = "/program";
            }
            ::dup2(ends[1], report_fd);
            ::execl(program.c_str(), "child", "--live", "0", nullptr);
            ensure(false, "exec");
        }
        ::close(ends[1]);
        int status = 0;
        REQUIRE(::waitpid(pid, &status, 0) == pid);
        if (status != 0) {
            ::close(ends[0]);
            not_included("a program on an overlay: it cannot be mounted");
            return;
        }
        REQUIRE(w.exits.read(0) == 0);
        const told t = read_report(ends[0]);
        CHECK(std::any_of(t.executable.begin(), t.executable.end(), [&](const raw_line& raw) {
            return raw.name == (chrooted ? "/program" : directory / "merged/program");
        }));
        w.expect({.pid = pid, .pipe = -1}, t, n);
    }
    print("overlay", n, 2);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 3 && std::string_view{argv[1]} == "--live") live(static_cast<way>(std::atoi(argv[2])), report_fd);
    return support::run(argc, argv);
}
