// What tests of real processes share: skipping that can be seen, children that never outlive their test, and a look at /proc
// that owes nothing to the library.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/procmap.hpp>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PROCMAP_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define PROCMAP_TEST_SANITIZED 1
#endif
#endif

/// Ends the test case, visibly: the machine or the kernel cannot do what it needs.
#define SKIP(reason)            \
    do {                        \
        support::skip(reason);  \
        return;                 \
    } while (false)

/// For a test case about mappings, descriptors or files that an emulator's copy of /proc does not show as they are.
#define NEEDS_LIVE_MAPS()                                                                                       \
    do {                                                                                                        \
        if (!support::live_procfs()) return support::skip("/proc/self/maps is an emulator's frozen copy");      \
    } while (false)

namespace support {

inline unsigned skipped = 0;

inline const char* test_name() { return doctest::getContextOptions()->currentTest->m_name; }

inline void skip(const std::string& reason) {
    ++skipped;
    std::printf("SKIPPED: %s: %s\n", test_name(), reason.c_str());
}

/// Says that a part of a test case is left out, because the machine does not have what it is about; the rest still counts.
inline void not_included(const std::string& what) { std::printf("NOT INCLUDED: %s: %s\n", test_name(), what.c_str()); }

// ---- this machine

inline const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));

/// Whether this process has the rights of root that the tests use: to open map_files, to mount, to become another user. Root of a
/// container or of a user namespace need not have them.
inline bool is_root() {
    static const bool all = [] {
        if (::geteuid() != 0) return false;
        unsigned long long effective = 0;
        std::ifstream status{"/proc/self/status"};
        for (std::string line; std::getline(status, line);)
            if (line.starts_with("CapEff:")) effective = std::strtoull(line.c_str() + 7, nullptr, 16);
        for (const int needed : {1 /* CAP_DAC_OVERRIDE */, 6 /* CAP_SETGID */, 7 /* CAP_SETUID */, 19 /* CAP_SYS_PTRACE */, 21 /* CAP_SYS_ADMIN */})
            if ((effective >> needed & 1) == 0) return false;
        // An identity map of all users is that of the initial user namespace.
        std::ifstream users{"/proc/self/uid_map"};
        unsigned long long inside = 0, outside = 0, count = 0;
        return !(users >> inside >> outside >> count) || (inside == 0 && outside == 0 && count == 0xffffffff);
    }();
    return all;
}

/// Whether this process may become a user without rights.
inline bool may_drop_privileges() {
    static const bool may = [] {
        const pid_t pid = ::fork();
        if (pid == 0) ::_exit(::setgroups(0, nullptr) == 0 && ::setgid(65534) == 0 && ::setuid(65534) == 0 ? 0 : 1);
        int status = 1;
        return pid > 0 && ::waitpid(pid, &status, 0) == pid && status == 0;
    }();
    return may;
}

/// Whether the running kernel calls itself that release or a later one.
inline bool kernel_at_least(int major, int minor) {
    utsname names{};
    int has_major = 0;
    int has_minor = 0;
    ::uname(&names);
    return std::sscanf(names.release, "%d.%d", &has_major, &has_minor) == 2 &&
           std::pair{has_major, has_minor} >= std::pair{major, minor};
}

/// By where it writes names: an emulator's uname may tell of another machine than whose maps are read.
inline bool kernel_is_64_bit() {
    static const bool wide = [] {
        std::ifstream maps{"/proc/self/maps"};
        for (std::string line; std::getline(maps, line);)
            if (line.ends_with("[stack]")) return line.find('[') == 73;
        return true;
    }();
    return wide;
}

/// Whether /proc is a procfs, and not an emulator's frozen copy of one.
inline bool live_procfs() {
    struct statfs fs {};
    const int fd = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    const bool live = fd >= 0 && ::fstatfs(fd, &fs) == 0 && static_cast<long>(fs.f_type) == 0x9fa0;
    ::close(fd);
    return live;
}

/// Whether PROCMAP_QUERY answers, asked in plain C.
inline bool kernel_has_ioctl() {
    struct {
        std::uint64_t size, flags, address;
        char rest[80];
    } query{sizeof query, 0x10, 0, {}};
    const int fd = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    using request = std::remove_const_t<decltype(procmap::detail::ioctl_request)>;  // as the C library's ioctl takes it
    const bool answers = ::ioctl(fd, static_cast<request>(_IOWR('f', 17, char[104])), &query) == 0;
    ::close(fd);
    return answers;
}

/// The back-ends that this kernel has.
inline std::vector<procmap::backend> backends() {
    if (kernel_has_ioctl()) return {procmap::backend::ioctl, procmap::backend::text};
    return {procmap::backend::text};
}

/// How many test cases were run.
inline unsigned test_cases = 0;
struct case_counter : doctest::IReporter {
    explicit case_counter(const doctest::ContextOptions&) {}
    void test_case_start(const doctest::TestCaseData&) override { ++test_cases; }
    void report_query(const doctest::QueryData&) override {}
    void test_run_start() override {}
    void test_run_end(const doctest::TestRunStats&) override {}
    void test_case_reenter(const doctest::TestCaseData&) override {}
    void test_case_end(const doctest::CurrentTestCaseStats&) override {}
    void test_case_exception(const doctest::TestCaseException&) override {}
    void subcase_start(const doctest::SubcaseSignature&) override {}
    void subcase_end() override {}
    void log_assert(const doctest::AssertData&) override {}
    void log_message(const doctest::MessageData&) override {}
    void test_case_skipped(const doctest::TestCaseData&) override {}
};
DOCTEST_REGISTER_LISTENER("test cases", 1, case_counter);

/// In a mount namespace of its own: mount points of others stay as they are.
inline bool own_namespace() {
    return ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

/// After chroot(2), the root is none that a mount namespace begins with: what is mounted cannot be made private, setns(2) leads out
/// of it, and names of files in other namespaces begin with its path outside. As in a container, the root becomes the namespace's.
/// The program begins again there: what it has mapped, it mapped outside.
inline void leave_chroot(char** argv) {
    const int root = ::open("/", O_PATH | O_CLOEXEC), space = ::open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    std::error_code none;
    const auto here = std::filesystem::current_path(none);
    if (root >= 0 && space >= 0 && ::setns(space, CLONE_NEWNS) == 0) {  // from here on, outside
        const auto path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(root), none);
        if (path.empty()) {  // no procfs outside
            if (::fchdir(root) != 0 || ::chroot(".") != 0) std::abort();
        } else if (path != "/") {
            if (!own_namespace() || ::mount(path.c_str(), path.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0 ||
                ::chdir(path.c_str()) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0 || ::umount2(".", MNT_DETACH) != 0)
                std::abort();
        }
        std::filesystem::current_path(here, none);
        const auto program = std::filesystem::read_symlink("/proc/self/exe", none).string();
        if (path != "/" && program.starts_with(path.string())) ::execv(program.c_str() + path.string().size(), argv);
    }
    ::close(root);
    ::close(space);
}

inline bool on_overlayfs(const std::string& path) {
    struct statfs fs {};
    return ::statfs(path.c_str(), &fs) == 0 && static_cast<unsigned long>(fs.f_type) == 0x794c7630;
}

inline std::string temporary_base() {
    const char* const base = std::getenv("TMPDIR");
    return base != nullptr ? base : "/tmp";
}

/// On overlayfs, as a container's /tmp is, neither the number of a file nor its path tells which file is mapped, and most test cases
/// are about files. In a mount namespace of its own, this process gets a tmpfs for them, if it may.
class off_overlayfs {
public:
    off_overlayfs() {
        if (!on_overlayfs(temporary_base()) || !is_root() || !own_namespace()) return;
        directory_ = temporary_base() + "/procmap.XXXXXX";
        if (::mkdtemp(directory_.data()) == nullptr || ::mount("tmpfs", directory_.c_str(), "tmpfs", 0, "mode=1777") != 0) return;
        ::setenv("TMPDIR", directory_.c_str(), 1);
    }
    off_overlayfs(const off_overlayfs&) = delete;
    off_overlayfs& operator=(const off_overlayfs&) = delete;
    ~off_overlayfs() {
        if (directory_.empty()) return;
        ::umount2(directory_.c_str(), MNT_DETACH);
        ::rmdir(directory_.c_str());
    }

private:
    std::string directory_;
};

/// For a test case about files that the library must be able to prove.
#define NEEDS_PROVABLE_FILES()                                                                                    \
    do {                                                                                                          \
        if (support::on_overlayfs(support::temporary_base())) SKIP("the temporary directory is on overlayfs");    \
    } while (false)

/// Runs the test cases. Exit status: doctest's if one failed, 1 if descriptors leaked, 77 if most were skipped, else 0.
inline int run(int argc, char** argv) {
    if (::access("/proc/self/maps", R_OK) != 0) {
        std::printf("SKIPPED: all: no procfs at /proc\n");
        return 77;
    }
    leave_chroot(argv);
    const off_overlayfs elsewhere;
    const auto descriptors = [] {
        std::error_code ignored;
        return std::distance(std::filesystem::directory_iterator{"/proc/self/fd", ignored}, {});
    };
    doctest::Context context(argc, argv);
    const auto before = descriptors();
    const int failed = context.run();
    if (context.shouldExit() || failed != 0) return failed;
    if (const auto after = descriptors(); after != before) {
        std::printf("FAILED: %d descriptors were open before the tests, %d after them\n", static_cast<int>(before),
                    static_cast<int>(after));
        return 1;
    }
    if (skipped != 0) std::printf("%u of %u test cases skipped\n", skipped, test_cases);
    return 2 * skipped > test_cases ? 77 : 0;
}

// ---- what is mapped, seen by the library

/// A mapping that owns its name.
struct record {
    std::uint64_t start, end, offset, page_size, inode;
    procmap::permission_set permissions;
    procmap::device_number device;
    procmap::name_state name_status;
    bool build_id_known;
    std::string name;
    std::string build_id;

    record(const procmap::mapping& m)
        : start(m.start), end(m.end), offset(m.offset), page_size(m.page_size), inode(m.inode), permissions(m.permissions),
          device(m.device), name_status(m.name_status), build_id_known(m.build_id_known), name(m.name) {
        procmap::print([this](std::string_view digits) { build_id += digits; }, m.build_id);
    }
    bool operator==(const record&) const = default;
};

/// The line that the kernel prints for it, put together the kernel's way: padded to a column that depends on its word size.
inline std::string line_of(const record& r) {
    char head[128];
    const auto letter = [&r](procmap::perm p, char yes, char no) { return r.permissions.has(p) ? yes : no; };
    std::snprintf(head, sizeof head, "%08llx-%08llx %c%c%c%c %08llx %02x:%02x %llu ", static_cast<unsigned long long>(r.start),
                  static_cast<unsigned long long>(r.end), letter(procmap::perm::read, 'r', '-'),
                  letter(procmap::perm::write, 'w', '-'), letter(procmap::perm::execute, 'x', '-'),
                  letter(procmap::perm::shared, 's', 'p'), static_cast<unsigned long long>(r.offset), r.device.major,
                  r.device.minor, static_cast<unsigned long long>(r.inode));
    std::string line = head;
    if (r.name.empty()) return line;
    line.resize(std::max<std::size_t>(line.size(), kernel_is_64_bit() ? 72 : 48), ' ');
    line += ' ';
    for (const char c : r.name) c == '\n' ? line += "\\012" : line += c;
    return line;
}

inline std::ostream& operator<<(std::ostream& out, const record& r) {
    return out << line_of(r) << " page size " << r.page_size << " name state " << static_cast<int>(r.name_status)
               << " build ID " << r.build_id_known << ' ' << r.build_id;
}

/// What the text back-end makes of what the ioctl reported.
inline record as_text(record r) {
    r.page_size = 0;
    r.build_id_known = false;
    r.build_id.clear();
    bool escaped = r.name.find('\n') != std::string::npos;
    for (std::size_t at = 0; (at = r.name.find("\\012", at)) != std::string::npos; escaped = true) r.name.replace(at, 4, "\n");
    if (escaped) r.name_status = procmap::name_state::ambiguous;
    return r;
}

struct walked {
    std::vector<record> records;
    bool complete;
    procmap::error error;
};

inline walked walk_all(const procmap::maps& of, const procmap::walk_options& options = {}) {
    walked all{};
    auto walk = of.walk(options);
    for (const procmap::mapping& m : walk) all.records.emplace_back(m);
    all.complete = walk.complete();
    all.error = walk.error();
    return all;
}

/// The value, which must be there.
template <class T>
T need(procmap::result<T> answer) {
    INFO(answer.error());
    REQUIRE(answer.has_value());
    return std::move(*answer);
}

// ---- what is mapped, seen by nobody but this file

/// The whole of a file, by plain reads; nothing where it cannot be opened.
inline std::optional<std::string> slurp(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return std::nullopt;
    std::string text;
    char piece[65536];
    for (ssize_t n; (n = ::read(fd, piece, sizeof piece)) > 0;) text.append(piece, static_cast<std::size_t>(n));
    ::close(fd);
    return text;
}

inline std::string maps_path(pid_t pid) { return "/proc/" + std::to_string(pid) + "/maps"; }

/// One line of raw text. `[vsyscall]`, and a 32-bit ARM kernel's `[vectors]`, are no mappings, and left out of lists of them.
struct raw_line {
    std::string line;
    unsigned long long start = 0, end = 0;
    char permissions[5] = {};
    std::string name;
};

inline std::vector<raw_line> raw_lines(const std::string& text) {
    std::vector<raw_line> lines;
    for (std::size_t at = 0, newline; (newline = text.find('\n', at)) != std::string::npos; at = newline + 1) {
        raw_line raw{.line = text.substr(at, newline - at), .name = {}};
        int head = 0;
        std::sscanf(raw.line.c_str(), "%llx-%llx %4s %*x %*x:%*x %*u%n", &raw.start, &raw.end, raw.permissions, &head);
        const auto column = std::max<std::size_t>(static_cast<std::size_t>(head) + 1, kernel_is_64_bit() ? 72 : 48) + 1;
        if (raw.line.size() > column) raw.name = raw.line.substr(column);
        if (raw.name != "[vsyscall]" && (raw.name != "[vectors]" || kernel_is_64_bit())) lines.push_back(std::move(raw));
    }
    return lines;
}

/// Whether a record is what a raw line says. A name that did not fit may be missing, if it is a long one.
inline bool agrees(const record& r, const raw_line& raw) {
    const std::string line = line_of(r);
    if (r.name_status != procmap::name_state::too_long) return line == raw.line;
    return r.name.empty() && raw.line.starts_with(line) && raw.name.size() >= 4096;
}

/// The first difference in words; empty where there is none.
inline std::string difference(const std::vector<record>& records, const std::vector<raw_line>& raw) {
    for (std::size_t i = 0; i < std::min(records.size(), raw.size()); ++i)
        if (!agrees(records[i], raw[i])) return "got \"" + line_of(records[i]) + "\", the text says \"" + raw[i].line + '"';
    if (records.size() == raw.size()) return {};
    return "got " + std::to_string(records.size()) + " mappings of " + std::to_string(raw.size());
}

// ---- processes

/// A process that is killed and reaped when this goes.
class process {
public:
    explicit process(pid_t pid) : pid_(pid) {}
    process(const process&) = delete;
    process& operator=(const process&) = delete;
    ~process() {
        kill();
        reap();
    }
    pid_t pid() const { return pid_; }
    void kill() const {
        if (!reaped_) ::kill(pid_, SIGKILL);
    }
    /// Waits until it is a zombie, and leaves it one.
    void await_zombie() const {
        siginfo_t info{};
        while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT | __WALL) != 0 && errno == EINTR) {}
    }
    void reap() {
        while (!reaped_ && ::waitpid(pid_, nullptr, __WALL) < 0 && errno == EINTR) {}
        reaped_ = true;
    }

private:
    pid_t pid_;
    bool reaped_ = false;
};

/// One end of the line between a child and its parent. When the other end is gone a child exits, and a parent's test fails.
class channel {
public:
    channel(int fd, bool in_child) : fd_(fd), in_child_(in_child) {}
    channel(const channel&) = delete;
    channel& operator=(const channel&) = delete;
    ~channel() { ::close(fd_); }

    template <class T>
    void send(const T& value) {
        static_assert(std::is_trivially_copyable_v<T>);
        if (::send(fd_, &value, sizeof value, MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof value)) lost();
    }
    template <class T>
    T receive() {
        T value{};
        ssize_t n = 0;
        while ((n = ::recv(fd_, &value, sizeof value, MSG_WAITALL)) < 0 && errno == EINTR) {}
        if (n != static_cast<ssize_t>(sizeof value)) lost();
        return value;
    }
    void signal() { send('!'); }
    void await() { receive<char>(); }
    /// In a child: stays until the parent ends it.
    [[noreturn]] void pause() {
        for (;;) await();
    }
    /// Whether the other end has been closed; waits for that.
    bool closed() {
        char none = 0;
        return ::recv(fd_, &none, 1, 0) == 0;
    }

private:
    void lost() const {
        if (in_child_) ::_exit(0);
        FAIL("the child is gone, or does not answer");
    }
    int fd_;
    bool in_child_;
};

struct channel_ends {
    int parent = -1, child = -1;
    channel_ends() {
        int ends[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        const timeval patience{.tv_sec = 60, .tv_usec = 0};
        ::setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        parent = ends[0];
        child = ends[1];
    }
};

/// In a child: ends when its parent does, or at once where that has ended already. `parent`: its number, 0 in a new pid namespace.
inline void end_with(pid_t parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
}

/// A forked child that runs `body(channel&)` and exits. No test assertions in it: it reports through the channel.
class child : public process {
public:
    template <class Body>
    explicit child(Body body, channel_ends ends = {}) : process(start(body, ends)), parent_end_(ends.parent, false) {
        ::close(ends.child);
    }
    channel* operator->() { return &parent_end_; }

private:
    template <class Body>
    static pid_t start(Body& body, const channel_ends& ends) {
        std::fflush(nullptr);  // or a child that flushes prints it again
        const pid_t parent = ::getpid(), pid = ::fork();
        REQUIRE(pid >= 0);
        if (pid != 0) return pid;
        end_with(parent);
        ::close(ends.parent);
        channel to_parent{ends.child, true};
        body(to_parent);
        ::_exit(0);
    }
    channel parent_end_;
};

/// In a child: what must hold for the test to make sense.
inline void ensure(bool holds, const char* what) {
    if (holds) return;
    std::perror(what);
    ::_exit(1);
}

/// In a child: becomes a user without rights.
inline void drop_privileges() {
    const pid_t parent = ::getppid();
    ensure(::setgroups(0, nullptr) == 0 && ::setgid(65534) == 0 && ::setuid(65534) == 0, "drop privileges");
    end_with(parent);  // which the kernel forgets where rights change
}

// ---- files and memory

/// A directory that is removed, with all that is in it, by the process that made it.
class temporary_directory {
public:
    temporary_directory() {
        path_ = temporary_base() + "/procmap.XXXXXX";
        REQUIRE(::mkdtemp(path_.data()) != nullptr);
        ::chmod(path_.c_str(), 0755);
    }
    temporary_directory(const temporary_directory&) = delete;
    temporary_directory& operator=(const temporary_directory&) = delete;
    ~temporary_directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    const std::string& path() const { return path_; }
    std::string operator/(const std::string& name) const { return path_ + '/' + name; }
    /// Writes a file in it, and the directories that lead there.
    void write(const std::string& name, std::string_view text) const {
        std::filesystem::create_directories(std::filesystem::path{*this / name}.parent_path());
        const int fd = ::open((*this / name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        REQUIRE(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
        ::close(fd);
    }

private:
    std::string path_;
};

/// Passes up to 8 descriptors over a Unix socket, in one message with one byte.
inline bool pass_descriptors(int socket, const std::vector<int>& fds) {
    char byte = 'm';
    iovec data{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
    return ::sendmsg(socket, &message, MSG_NOSIGNAL) == 1;
}

inline std::uint64_t address_of(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

/// Anonymous memory; null where it cannot be had.
inline char* map_pages(std::size_t pages, int protection = PROT_READ | PROT_WRITE, int flags = MAP_PRIVATE,
                       void* at = nullptr) {
    void* const memory = ::mmap(at, pages * page, protection, flags | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
}

/// Pages of alternating permissions: a mapping for each.
inline char* map_alternating(std::size_t pages) {
    char* const memory = map_pages(pages);
    for (std::size_t i = 0; memory != nullptr && i < pages; i += 2) ::mprotect(memory + i * page, page, PROT_READ);
    return memory;
}

/// Calls, and makes sure that errno is what it was before.
template <class Call>
auto keeping_errno(Call call) {
    errno = 4242;
    auto answer = call();
    const int after = errno;
    CHECK(after == 4242);
    return answer;
}

}  // namespace support
