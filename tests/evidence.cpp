// Whose directory of procfs it is: pids that are used again, other namespaces and mounts, children that share memory until they call
// exec. What is found below another process's directory is never given as the handle's.
#include "support.hpp"
#include "support/elf_files.hpp"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/fuse.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstddef>
#include <functional>
#include <thread>

using namespace support;
using procmap::backend;
using procmap::build_id_source;
using procmap::errc;
using procmap::file_state;
using procmap::maps;
using procmap::normalizer;

namespace {

std::function<void(const char* path)> before_open;  // called by the library's openat

/// What is set for as long as this lives.
struct at_open {
    explicit at_open(std::function<void(const char*)> call) { before_open = std::move(call); }
    ~at_open() { before_open = nullptr; }
    at_open(const at_open&) = delete;
    at_open& operator=(const at_open&) = delete;
};

int open_at(int at, const char* path, int flags, mode_t mode) {
    if (before_open) before_open(path);
    return static_cast<int>(::syscall(SYS_openat, at, path, flags, mode));
}

}  // namespace

extern "C" {
int openat(int at, const char* path, int flags, ...) { return open_at(at, path, flags, 0); }
#ifdef __GLIBC__
int openat64(int at, const char* path, int flags, ...) { return open_at(at, path, flags, 0); }
#endif
}

/// As `evidence --map FILE ADDRESS`, the program that a child executes: it maps that file there, and waits.
int main(int argc, char** argv) {
    if (argc != 4 || std::string_view{argv[1]} != "--map") return support::run(argc, argv);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::alarm(30);
    map_file(argv[2], reinterpret_cast<void*>(std::strtoull(argv[3], nullptr, 16)));
    for (;;) ::pause();
}

namespace {

bool kernel_ids(const maps& of) { return of.backend() == backend::ioctl && procmap::safe_to_ask(procmap::known_hazards(procmap::running_kernel())); }

/// Whether the directory of a handle's task is found.
bool has_directory(const maps& of) { return static_cast<bool>(procmap::detail::find_task(procmap::detail::handle_of::get(of))); }

/// One address's location and file, kept.
struct located {
    bool resolved = false, id_known = false, elf_known = false;
    std::string path{};
    std::string id{};
    build_id_source source = build_id_source::none;
    file_state state = file_state::unknown;
    std::uint64_t elf_address = 0;
};

located locate(const maps& of, std::uint64_t address) {
    normalizer n{{.build_ids = true, .elf_addresses = true, .file_states = true}};
    const std::array addresses{address};
    const auto got = n.normalize(of, addresses);
    if (!got || !got->locations[0]) return {};
    const procmap::location& l = got->locations[0];
    const procmap::mapped_file& f = got->files[l.file];
    return {.resolved = true, .id_known = f.build_id_known, .elf_known = l.elf_address_known, .path = std::string{f.path}, .id = hex_of(f.build_id),
            .source = f.build_id.source(), .state = f.state, .elf_address = l.elf_address};
}

/// Starts a process of that pid, as clone3 does; -1 where that is not permitted.
template <class Body>
pid_t start_as(pid_t pid, Body body) {
    pid_t wanted[1] = {pid};
    clone_args how{};
    how.exit_signal = SIGCHLD;
    how.set_tid = reinterpret_cast<std::uintptr_t>(wanted);
    how.set_tid_size = 1;
    const pid_t parent = ::getpid();
    const auto made = static_cast<pid_t>(::syscall(SYS_clone3, &how, sizeof how));
    if (made == 0) {
        end_with(parent);
        body();
        ::_exit(0);
    }
    return made;
}

std::uint64_t vdso_address() { return ::getauxval(AT_SYSINFO_EHDR); }

/// In a child: puts an image of its own where the vDSO was.
void forge_vdso() {
    const auto at = reinterpret_cast<void*>(vdso_address());
    ::munmap(at, 2 * page);
    void* const memory = ::mmap(at, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    const std::string forged = small_elf(twenty('\xee'));
    std::memcpy(memory, forged.data(), forged.size());
}

[[noreturn]] void wait_for_ever() {
    for (;;) ::pause();
}

TEST_CASE("the vDSO of a handle is not read from a process that has its pid by now") {
    NEEDS_LIVE_MAPS();
    if (vdso_address() == 0) SKIP("no vDSO");
    for (const backend use : backends()) {
        // The victim's memory lives on in a child that shares it.
        alignas(16) static char stack[65536];
        child victim{[&](channel& parent) {
            const auto other = ::clone([](void*) -> int { ::prctl(PR_SET_PDEATHSIG, 0), ::alarm(20), wait_for_ever(); }, stack + sizeof stack,
                                       CLONE_VM | SIGCHLD, nullptr);
            parent.send(other);
            parent.await();
            ::syscall(SYS_exit_group, 0);
        }};
        const process sibling{victim->receive<pid_t>()};
        const maps of = need(maps::open(victim.pid(), {.use = use}));
        CHECK(has_directory(of));
        const located before = locate(of, vdso_address() + 0x100);
        CHECK(before.resolved);
        CHECK(before.id_known);
        CHECK(before.source == build_id_source::memory);
        victim->signal();
        victim.reap();
        const pid_t number = victim.pid();
        const pid_t made = start_as(number, [] { forge_vdso(), wait_for_ever(); });
        if (made != number) SKIP("no process of a chosen pid");
        const process impostor{made};
        ::usleep(50000);
        CHECK_FALSE(has_directory(of));
        const located after = locate(of, vdso_address() + 0x100);
        if (use == backend::ioctl) CHECK(after.resolved);
        CHECK_FALSE(after.id_known);
        CHECK_FALSE(after.elf_known);
    }
}

TEST_CASE("a handle from another pid namespace is not looked up by its number here") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("box/proc/x", "");
    dir.write("box/lib.so", small_elf(twenty('c')));
    child bystander{[](channel& parent) {
        if (vdso_address() != 0) forge_vdso();
        parent.signal();
        parent.pause();
    }};
    bystander->await();
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const procmap::unique_fd here{ends[0]}, there{ends[1]};
    const pid_t number = bystander.pid();
    child box{[&](channel& parent) {
        if (::unshare(CLONE_NEWPID) != 0 || !own_namespace()) ::_exit(0);
        const pid_t init = ::fork();
        if (init != 0) {
            ::waitpid(init, nullptr, 0);
            ::_exit(0);
        }
        end_with(0);
        const std::string root = dir / "box";
        ensure(::mount(root.c_str(), root.c_str(), nullptr, MS_BIND, nullptr) == 0 && ::chdir(root.c_str()) == 0, "bind");
        ensure(::syscall(SYS_pivot_root, ".", ".") == 0 && ::umount2(".", MNT_DETACH) == 0, "pivot");
        ensure(::mount("proc", "/proc", "proc", 0, nullptr) == 0, "proc");
        const pid_t app = start_as(number, [&] {
            char* const at = map_file("/lib.so");
            const auto self = maps::open_self();
            ensure(at != nullptr && self.has_value(), "the application");
            parent.send(address_of(at));
            (void)procmap::send_maps(there.get(), *self);
            wait_for_ever();
        });
        ensure(app == number, "a process of a chosen pid");
        wait_for_ever();
    }};
    std::uint64_t mapped = 0;
    {
        const timeval patience{.tv_sec = 5, .tv_usec = 0};
        ::setsockopt(here.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    }
    const maps of = need(procmap::receive_maps(here.get()));
    mapped = box->receive<std::uint64_t>();
    CHECK_FALSE(has_directory(of));
    const located file = locate(of, mapped);
    CHECK(file.resolved);
    CHECK(file.path == "/lib.so");
    CHECK(file.state == file_state::unknown);
    CHECK(file.id_known == kernel_ids(of));
    if (file.id_known) CHECK(file.id == hex_of(id_of(twenty('c'))));
    CHECK_FALSE(file.elf_known);
    if (vdso_address() != 0) CHECK_FALSE(locate(of, vdso_address() + 0x100).id_known);
}

/// How many reads this process has made, with those that tell it (proc_pid_io(5)); -1 where it is not told.
long reads_made() {
    const auto text = slurp("/proc/self/io");
    const std::size_t at = text ? text->find("syscr: ") : std::string::npos;
    return at == std::string::npos ? -1 : std::strtol(text->c_str() + at + 7, nullptr, 10);
}

TEST_CASE("a capture reads text only in the process that opened the handle, which its pid does not tell") {
    NEEDS_LIVE_MAPS();
    if (backends().size() < 2) SKIP("no ioctl");
    struct verdict {
        pid_t pid = 0;
        bool reads = false, whole = false;
    };
    for (const std::uint64_t flags : {std::uint64_t{0}, std::uint64_t{CLONE_NEWPID}}) {
        CAPTURE(flags);
        child agent{[&](channel& parent) {
            const bool own = ::unshare(CLONE_NEWPID) == 0 && own_namespace();
            const pid_t init = own ? ::fork() : -1;
            if (init < 0) return parent.send(false);
            if (init != 0) return static_cast<void>(::waitpid(init, nullptr, 0));
            end_with(0);
            ensure(::mount("proc", "/proc", "proc", 0, nullptr) == 0, "proc");
            const maps of = *maps::open_self();
            const auto look = [&] {
                const auto capture = [&] { return procmap::snapshot::capture(of).has_value(); };
                verdict v{.pid = ::getpid(), .reads = false, .whole = capture()};
                const long none = reads_made(), before = reads_made();
                v.whole = v.whole && capture();
                v.reads = reads_made() - before > before - none;
                parent.send(true);
                parent.send(v);
            };
            clone_args how{};
            how.flags = flags;
            how.exit_signal = SIGCHLD;
            const auto made = static_cast<pid_t>(::syscall(SYS_clone3, &how, sizeof how));
            if (made < 0) return parent.send(false);
            if (made == 0) look(), ::_exit(0);
            ::waitpid(made, nullptr, 0);
            look();
        }};
        if (!agent->receive<bool>()) SKIP("no pid namespace of one's own");
        const auto forked = agent->receive<verdict>();
        CHECK(agent->receive<bool>());
        const auto opener = agent->receive<verdict>();
        CHECK(opener.pid == 1);
        CHECK((forked.pid == 1) == (flags != 0));
        CHECK(opener.whole);
        CHECK(opener.reads);
        CHECK(forked.whole);
        CHECK_FALSE(forked.reads);
    }
}

/// In a child: makes a system call fail with EPERM from now on.
void refuse(long number) {
    const sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                                  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1),
                                  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const sock_fprog program{std::size(filter), const_cast<sock_filter*>(filter)};
    ensure(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp");
}

TEST_CASE("a pidfd whose process is replaced while it is opened opens nothing, also in a sandbox that refuses signals or polling") {
    NEEDS_LIVE_MAPS();
    constexpr long no_call = -1;
#if defined(SYS_poll)
    constexpr long polling = SYS_poll;
#else
    constexpr long polling = SYS_ppoll;
#endif
    for (const long refused : {no_call, long{SYS_pidfd_send_signal}, polling})
        for (const bool replaced : {false, true}) {
            CAPTURE(refused);
            CAPTURE(replaced);
            child agent{[&](channel& parent) {
                const pid_t own = ::getpid(), victim = ::fork();
                if (victim == 0) end_with(own), wait_for_ever();
                const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, victim, 0));
                if (refused != no_call) refuse(refused);
                pid_t impostor = -1;
                bool armed = replaced;
                const std::string wanted = "/proc/" + std::to_string(victim) + "/maps";
                const at_open replace{[&](const char* path) {
                    if (!armed || wanted != path) return;
                    armed = false;
                    ::kill(victim, SIGKILL);
                    ::waitpid(victim, nullptr, 0);
                    impostor = start_as(victim, [] { wait_for_ever(); });
                    ::usleep(50000);
                }};
                const auto opened = maps::open(procmap::borrowed_fd{pidfd});
                const errc code = opened ? errc::none : opened.error().code;
                parent.send(replaced && impostor != victim ? errc::unsupported : code);
                ::kill(impostor > 0 ? impostor : victim, SIGKILL);
            }};
            const auto code = agent->receive<errc>();
            if (code == errc::unsupported) SKIP("no process of a chosen pid");
            const bool blind = refused == polling;
            if (replaced)
                CHECK((code == errc::gone || (blind && code == errc::denied)));
            else
                CHECK(code == (blind ? errc::denied : errc::none));
        }
}

TEST_CASE("of a child that shares memory and calls exec, files and the vDSO are the handle's, or not known") {
    NEEDS_LIVE_MAPS();
    const std::uint64_t here = address_of(reinterpret_cast<const void*>(&wait_for_ever));
    const maps self = need(maps::open_self());
    const located own = locate(self, here), own_vdso = locate(self, vdso_address() + 0x100);
    for (const bool randomized : {true, false})
        for (const backend use : backends()) {
            CAPTURE(randomized);
            CAPTURE(use);
            alignas(16) static char stack[65536];
            static int go[2];
            REQUIRE(::pipe2(go, O_CLOEXEC) == 0);
            const auto body = [](void* random) -> int {
                char byte = 0;
                (void)!::read(go[0], &byte, 1);
                if (random == nullptr) ::personality(ADDR_NO_RANDOMIZE);
                ::execl("/bin/sleep", "sleep", "20", static_cast<char*>(nullptr));
                return 1;
            };
            static int yes;
            const process program{::clone(body, stack + sizeof stack, CLONE_VM | SIGCHLD, randomized ? &yes : nullptr)};
            const maps of = need(maps::open(program.pid(), {.use = use}));
            normalizer warm{{.build_ids = true, .elf_addresses = true, .file_states = true}};
            const std::array addresses{here, vdso_address() + 0x100};
            CHECK(need(warm.normalize(of, addresses)).complete());
            CHECK(has_directory(of));
            REQUIRE(::write(go[1], "x", 1) == 1);
            for (int tries = 0; tries < 500 && maps::open(program.pid()) && slurp("/proc/" + std::to_string(program.pid()) + "/comm") != "sleep\n"; ++tries)
                ::usleep(10000);
            ::usleep(50000);
            CHECK(has_directory(of));  // of the task: its address space is another
            for (int again = 0; again < 2; ++again) {
                const auto got = need(warm.normalize(of, addresses));
                const auto& file = got.files[got.locations[0].file];
                CHECK(std::string{file.path} == own.path);
                if (file.build_id_known) CHECK(hex_of(file.build_id) == own.id);
                if (got.locations[0].elf_address_known) CHECK(got.locations[0].elf_address == own.elf_address);
            }
            const located fresh = locate(of, here), vdso = locate(of, vdso_address() + 0x100);
            CHECK(fresh.path == own.path);
            if (fresh.id_known) CHECK(fresh.id == own.id);
            if (kernel_ids(of)) CHECK(fresh.id_known);
            if (fresh.elf_known) CHECK(fresh.elf_address == own.elf_address);
            if (vdso.id_known) CHECK(vdso.id == own_vdso.id);
            ::close(go[0]);
            ::close(go[1]);
        }
}

/// A process that shares this one's memory until it executes this program, which maps `file` at `at`.
class mapper : public process {
public:
    mapper(const std::string& file, const void* at) : process(start(file, at)) {}
    ~mapper() {
        ::close(go_[0]);
        ::close(go_[1]);
    }
    void execute() {
        REQUIRE(::write(go_[1], "x", 1) == 1);
        for (int tries = 0; tries < 1000; ++tries, ::usleep(5000)) {
            const auto text = slurp(maps_path(pid()));
            if (text && text->find(at_) != std::string::npos && slurp("/proc/" + std::to_string(pid()) + "/cmdline")->find("--map") != std::string::npos) return;
        }
        FAIL("it did not map the file");
    }

private:
    static inline int go_[2];
    static inline std::string file_, at_;
    static pid_t start(const std::string& file, const void* at) {
        alignas(16) static char stack[65536];
        REQUIRE(::pipe2(go_, O_CLOEXEC) == 0);
        char digits[32];
        std::snprintf(digits, sizeof digits, "%llx", static_cast<unsigned long long>(address_of(at)));
        file_ = file;
        at_ = digits;
        const auto body = [](void*) -> int {
            char byte = 0;
            (void)!::read(go_[0], &byte, 1);
            ::execl("/proc/self/exe", "evidence", "--map", file_.c_str(), at_.c_str(), static_cast<char*>(nullptr));
            return 1;
        };
        const pid_t made = ::clone(body, stack + sizeof stack, CLONE_VM | SIGCHLD, nullptr);
        REQUIRE(made > 0);
        return made;
    }
};

TEST_CASE("the memory of the program that a child executes is not taken for the handle's, whatever it maps at the same place") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("a.so", small_elf(twenty('a')));
    dir.write("b.so", small_elf(twenty('b')));
    void* const at = map_pages(file_pages, PROT_NONE, MAP_PRIVATE | MAP_FIXED_NOREPLACE, reinterpret_cast<void*>(0x10'0000'0000));
    REQUIRE(at != nullptr);
    for (const bool same_file : {false, true}) {
        CAPTURE(same_file);
        char* const memory = map_file(dir / "a.so", at, PROT_READ | PROT_WRITE);
        REQUIRE(memory == at);
        const std::string own_id = twenty('x');  // in this memory alone
        if (same_file) std::memcpy(memory + id_offset, own_id.data(), own_id.size());
        if (same_file) ::mprotect(memory, file_pages * page, PROT_READ | PROT_EXEC);
        if (!same_file) map_file(dir / "a.so", at, PROT_READ | PROT_EXEC);
        mapper other{dir / (same_file ? "a.so" : "b.so"), at};
        const maps of = need(maps::open(other.pid(), {.use = backend::text}));
        if (!same_file) ::unlink((dir / "a.so").c_str());  // so that only memory can tell
        const located before = locate(of, address_of(at));
        CHECK(before.id == hex_of(id_of(twenty('a'))));
        other.execute();
        const located after = locate(of, address_of(at));
        CHECK(after.resolved);
        if (!same_file) CHECK_FALSE(after.id_known);
        if (!same_file) dir.write("a.so", small_elf(twenty('a')));
        // The task shows the same mapping, in another address space.
        const auto there = need(of.find(address_of(at)));
        procmap::name_buffer name;
        procmap::detail::task_files task{procmap::detail::handle_of::get(of)};
        CHECK_FALSE(task.address_space(need(of.find(there.start, {.name = name}))));
        CHECK(task.memory(need(of.find(there.start, {.name = name}))).get() < 0);
    }
    ::munmap(at, file_pages * page);
}

TEST_CASE("a directory of recorded files is no task's: nothing is looked up in it") {
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    dir.write("recorded/7/maps", "");
    std::filesystem::create_symlink("/", dir / "recorded/7/root");
    std::filesystem::create_symlink("/proc/self/map_files", dir / "recorded/7/map_files");
    char* const memory = map_file(dir / "lib.so");
    dir.write("recorded/7/maps", *slurp("/proc/self/maps"));
    const std::string proc = dir / "recorded";
    const maps of = need(maps::open(7, {.proc = proc.c_str()}));
    CHECK_FALSE(has_directory(of));
    const located l = locate(of, address_of(memory));
    CHECK(l.resolved);
    CHECK_FALSE(l.id_known);
    CHECK_FALSE(l.elf_known);
    CHECK(l.state == file_state::unknown);
    ::munmap(memory, file_pages * page);
}

TEST_CASE("the path of a descriptor that was sent here is not waited for") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("stuck/proc/x", "");
    child agent{[&](channel& parent) {
        int ends[2];
        const int fuse = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
        if (fuse < 0 || !own_namespace() || ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) parent.send(-1);
        const pid_t own = ::getpid(), sender = ::fork();
        if (sender == 0) {
            end_with(own);
            const std::string proc = dir / "stuck/proc";
            ensure(own_namespace() && ::mount("proc", proc.c_str(), "proc", 0, nullptr) == 0, "proc");
            const auto self = maps::open(::getpid(), {.proc = proc.c_str()});
            ensure(self.has_value(), "its own maps");
            (void)procmap::send_maps(ends[1], *self);
            wait_for_ever();
        }
        auto of = procmap::receive_maps(ends[0]);
        if (!of) parent.send(1);
        // Here the same path leads to a server that never answers.
        const std::string options = "fd=" + std::to_string(fuse) + ",rootmode=40000,user_id=0,group_id=0";
        if (::mount("fuse", (dir / "stuck").c_str(), "fuse", MS_NOSUID, options.c_str()) != 0) parent.send(-1);
        ::alarm(10);  // ends this process, and the test fails
        const located l = locate(*of, address_of(reinterpret_cast<const void*>(&wait_for_ever)));
        parent.send(!l.resolved || has_directory(*of) ? 2 : 0);
        ::close(fuse);
        ::kill(sender, SIGKILL);
    }};
    const int verdict = agent->receive<int>();
    if (verdict < 0) SKIP("no FUSE here");
    CHECK(verdict == 0);
}

/// Answers what the kernel asks of a FUSE file system with one file until that has been opened, and then nothing any more.
void serve_one_open(int fuse) {
    static char request[128 * 1024];
    for (bool opened = false; !opened;) {
        const ssize_t n = ::read(fuse, request, sizeof request);
        if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN)) continue;
        ensure(n >= static_cast<ssize_t>(sizeof(fuse_in_header)), "a request");
        fuse_in_header in;
        std::memcpy(&in, request, sizeof in);
        struct {
            fuse_out_header header{};
            union {
                fuse_init_out init;
                fuse_entry_out entry;
                fuse_attr_out attr;
                fuse_open_out open;
            };
        } out{};
        fuse_attr file{};
        file.ino = 77;
        file.mode = in.nodeid == FUSE_ROOT_ID && in.opcode == FUSE_GETATTR ? S_IFDIR | 0755 : S_IFREG | 0444;
        file.nlink = 1;
        file.blksize = 1024;
        std::size_t size = 0;
        switch (in.opcode) {
            case FUSE_INIT:
                out.init = {};
                out.init.major = FUSE_KERNEL_VERSION;
                out.init.minor = FUSE_KERNEL_MINOR_VERSION;
                out.init.max_write = 4096;
                size = sizeof out.init;
                break;
            case FUSE_LOOKUP:
                out.entry = {};
                out.entry.nodeid = 2;
                out.entry.attr = file;
                size = sizeof out.entry;
                break;
            case FUSE_GETATTR:
                out.attr = {};
                out.attr.attr = file;
                size = sizeof out.attr;
                break;
            case FUSE_OPEN:
                out.open = {};
                size = sizeof out.open;
                opened = true;
                break;
            default: out.header.error = -ENOSYS;
        }
        out.header.unique = in.unique;
        out.header.len = static_cast<std::uint32_t>(sizeof out.header + size);
        (void)!::write(fuse, &out, out.header.len);
    }
}

/// A file of a server that does not answer, and the server's pid; -1 where there is no FUSE.
int open_unanswered(const std::string& directory, pid_t& server) {
    const int fuse = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
    const std::string options = "fd=" + std::to_string(fuse) + ",rootmode=40000,user_id=0,group_id=0,allow_other";
    if (fuse < 0 || !own_namespace() || ::mount("fuse", directory.c_str(), "fuse", 0, options.c_str()) != 0) return -1;
    server = ::fork();
    if (server == 0) {
        ::alarm(30);
        serve_one_open(fuse);
        wait_for_ever();
    }
    ::close(fuse);
    const int fd = ::open((directory + "/maps").c_str(), O_RDONLY | O_CLOEXEC);
    ensure(fd >= 0, "a file of FUSE");
    return fd;
}

/// A socket with data that its peer does not take, and which lingers.
int connect_lingering() {
    const int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int small = 1;
    ::setsockopt(listening, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listening, reinterpret_cast<sockaddr*>(&address), size) != 0) return -1;
    ::getsockname(listening, reinterpret_cast<sockaddr*>(&address), &size);
    if (::listen(listening, 1) != 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&address), size) != 0) return -1;
    static char data[1 << 20];
    while (::send(fd, data, sizeof data, MSG_DONTWAIT) > 0) {}
    const linger long_time{.l_onoff = 1, .l_linger = 30};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &long_time, sizeof long_time);
    return fd;
}

TEST_CASE("what a sender passes cannot make a receiver wait: a file whose server does not answer, a socket that lingers, or several") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("mount/x", "");
    enum class what { fuse, socket, both, sockets };
    constexpr int most = 8;
    for (const what passed : {what::fuse, what::socket, what::both, what::sockets}) {
        CAPTURE(static_cast<int>(passed));
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        const procmap::unique_fd here{ends[0]}, there{ends[1]};
        child sender{[&](channel& parent) {
            ::close(here.get());
            std::vector<int> fds;
            pid_t server = 0;
            if (passed == what::fuse || passed == what::both) fds.push_back(open_unanswered(dir / "mount", server));
            for (int i = 0; passed != what::fuse && i < (passed == what::sockets ? most : 1); ++i) fds.push_back(connect_lingering());
            const bool able = std::find(fds.begin(), fds.end(), -1) == fds.end();
            if (able) ensure(pass_descriptors(there.get(), fds), "send");
            for (const int fd : fds)
                if (passed != what::fuse && (passed != what::both || fd != fds.front())) ::close(fd);  // so that the receiver's is the last
            parent.send(server);
            parent.send(able);
            parent.pause();
        }};
        const struct server {  // ends before the sender, which waits for it when it closes its file
            pid_t pid;
            ~server() {
                if (pid > 0) ::kill(pid, SIGKILL);
            }
        } of_sender{sender->receive<pid_t>()};
        if (!sender->receive<bool>()) {
            not_included("no FUSE, or no network");
            continue;
        }
        child receiver{[&](channel& parent) {
            ::alarm(10);  // ends it, and the test fails
            ::prctl(PR_SET_CHILD_SUBREAPER, 1);
            static int ended = 0;
            ::signal(SIGCHLD, [](int) { ++ended; });
            const auto open_before = std::distance(std::filesystem::directory_iterator{"/proc/self/fd"}, {});
            const auto refused = procmap::receive_maps(here.get());
            parent.send(refused.error().code);
            parent.send(std::distance(std::filesystem::directory_iterator{"/proc/self/fd"}, {}) == open_before);
            ::usleep(50000);  // what lingers is killed
            const bool of_fuse = passed == what::fuse || passed == what::both;  // that one still waits
            parent.send(of_fuse ? ::waitpid(-1, nullptr, WNOHANG) == 0 : ::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD && ended == 0);
            parent.send(procmap::maps::open_self().has_value());
            ::_exit(0);
        }};
        CHECK(receiver->receive<errc>() == (passed == what::both || passed == what::sockets ? errc::malformed : errc::not_maps));
        CHECK(receiver->receive<bool>());  // every number is free
        CHECK(receiver->receive<bool>());  // and no child is left to be waited for
        CHECK(receiver->receive<bool>());
    }
}

TEST_CASE("a maps file that is mounted into a directory brings none of that directory's files along") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    dir.write("forged.so", small_elf(twenty('f')));
    dir.write("fake/777/maps", "");
    dir.write("fake/777/root" + dir.path() + "/lib.so", small_elf(twenty('f')));
    child target{[&](channel& parent) {
        parent.send(address_of(map_file(dir / "lib.so")));
        parent.pause();
    }};
    const auto address = target->receive<std::uint64_t>();
    child other{[&](channel& parent) {
        map_file(dir / "forged.so");
        parent.pause();
    }};
    struct verdict {
        bool mounted = false, opened = true, directory = false, forged = false, known_by_kernel = true;
    };
    for (const bool real_procfs : {false, true})  // over the file of another process's own directory
        for (const backend use : backends()) {
            CAPTURE(real_procfs);
            CAPTURE(use);
            child agent{[&](channel& parent) {
                verdict v;
                const std::string proc = real_procfs ? "/proc" : dir / "fake";
                const pid_t number = real_procfs ? other.pid() : 777;
                const std::string over = proc + '/' + std::to_string(number) + "/maps";
                if (!own_namespace() || ::mount(maps_path(target.pid()).c_str(), over.c_str(), nullptr, MS_BIND, nullptr) != 0) parent.send(v);
                v.mounted = true;
                const auto of = maps::open(number, {.use = use, .proc = proc.c_str()});
                if (!(v.opened = of.has_value())) parent.send(v);
                v.directory = has_directory(*of);
                const located l = locate(*of, address);
                v.forged = l.id == hex_of(id_of(twenty('f')));
                v.known_by_kernel = !kernel_ids(*of) || l.id == hex_of(id_of(twenty('a')));
                parent.send(v);
            }};
            const auto v = agent->receive<verdict>();
            if (!v.mounted) SKIP("no mount namespace of one's own");
            CHECK(v.opened);
            CHECK_FALSE(v.directory);
            CHECK_FALSE(v.forged);
            CHECK(v.known_by_kernel);
        }
}

TEST_CASE("a procfs that is mounted elsewhere, also below a directory called task, gives the files of its processes") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    for (const char* where : {"task/x", "proc/x", "99/task/77/x"}) dir.write(where, "");
    child target{[&](channel& parent) {
        parent.send(address_of(map_file(dir / "lib.so")));
        parent.pause();
    }};
    const auto address = target->receive<std::uint64_t>();
    struct verdict {
        bool mounted = false, opened = false, adopted = false, thread = false, unreachable = false;
    };
    for (const char* where : {"task", "proc", "99/task", "99/task/77"}) {
        CAPTURE(std::string{where});
        child agent{[&](channel& parent) {
            verdict v;
            const std::string proc = dir / where;
            if (!own_namespace() || ::mount("proc", proc.c_str(), "proc", 0, nullptr) != 0) parent.send(v);
            v.mounted = true;
            const auto right = [&](const maps& of) {
                const located l = locate(of, address);
                return has_directory(of) && l.id == hex_of(id_of(twenty('a'))) && l.state == file_state::linked && l.elf_known;
            };
            const pid_t pid = target.pid();
            const std::string path = proc + '/' + std::to_string(pid) + "/maps";
            const auto opened = maps::open(pid, {.use = backend::text, .proc = proc.c_str()});
            const auto thread = maps::open(pid, pid, {.use = backend::text, .proc = proc.c_str()});
            const auto adopted = maps::adopt(procmap::unique_fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)}, {.use = backend::text});
            v.opened = opened && right(*opened);
            v.thread = thread && right(*thread);
            v.adopted = adopted && (right(*adopted) || !kernel_at_least(5, 17));  // a path that may not be waited for
            ::umount2(proc.c_str(), MNT_DETACH);
            v.unreachable = opened && !has_directory(*opened) && !locate(*opened, vdso_address() + 0x100).id_known;
            parent.send(v);
        }};
        const auto v = agent->receive<verdict>();
        if (!v.mounted) SKIP("no mount namespace of one's own");
        CHECK(v.opened);
        CHECK(v.thread);
        CHECK(v.adopted);
        CHECK(v.unreachable);
    }
}

TEST_CASE("where the main thread has exited, files are found through the others, also by a handle that is older") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    child headless{[&](channel& parent) {
        parent.send(address_of(map_file(dir / "lib.so")));
        parent.await();
        std::thread{[&parent] {
            parent.signal();
            parent.pause();
        }}.detach();
        ::syscall(SYS_exit, 0);
    }};
    const auto address = headless->receive<std::uint64_t>();
    std::vector<maps> older;
    for (const backend use : backends()) older.push_back(need(maps::open(headless.pid(), {.use = use})));
    headless->signal();
    headless->await();
    while (!slurp(maps_path(headless.pid())).value_or("").empty()) ::usleep(1000);
    const auto check = [&](const maps& of) {
        const located l = locate(of, address);
        CHECK(l.id == hex_of(id_of(twenty('a'))));
        CHECK(l.state == file_state::linked);
        CHECK(l.elf_known);
    };
    for (const maps& of : older)
        if (of.backend() == backend::ioctl) check(of);  // the text ends with the task that it was opened through
    for (const backend use : backends()) check(need(maps::open(headless.pid(), {.use = use})));
}

TEST_CASE("a handle by a thread, and one that was adopted, find the files of the process") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    struct where {
        std::uint64_t address;
        pid_t thread;
    };
    child threaded{[&](channel& parent) {
        char* const at = map_file(dir / "lib.so");
        std::thread{[&] {
            parent.send(where{address_of(at), static_cast<pid_t>(::syscall(SYS_gettid))});
            parent.pause();
        }}.join();
    }};
    const auto [address, thread] = threaded->receive<where>();
    for (const backend use : backends()) {
        const std::string path = "/proc/" + std::to_string(threaded.pid()) + "/task/" + std::to_string(thread) + "/maps";
        for (const maps& of : {need(maps::open(threaded.pid(), thread, {.use = use})),
                               need(maps::adopt(procmap::unique_fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)}, {.use = use})),
                               need(maps::adopt(procmap::unique_fd{::open(maps_path(threaded.pid()).c_str(), O_RDONLY | O_CLOEXEC)}, {.use = use}))}) {
            const located l = locate(of, address);
            CHECK(has_directory(of));
            CHECK(l.id == hex_of(id_of(twenty('a'))));
            CHECK(l.state == file_state::linked);
            if (is_root() && use == backend::text) CHECK(l.source == build_id_source::map_files);
        }
    }
}

TEST_CASE("in a thread with descriptors of its own, no file is read that is not the handle's") {
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    dir.write("other.so", small_elf(twenty('b')));
    child several{[&](channel& parent) {
        char* const at = map_file(dir / "lib.so");
        // What has the number of the thread's descriptors in the others' table: the wrong file, and another process's maps.
        int wrong = 0;
        std::thread{[&] {
            if (::unshare(CLONE_FILES) != 0) return;
            for (const backend use : {backend::automatic, backend::text}) {
                const auto self = maps::open_self({.use = use});
                const located l = locate(*self, address_of(at));
                wrong += !l.id_known || l.id != hex_of(id_of(twenty('a')));
            }
        }}.join();
        parent.send(wrong);
    }};
    CHECK(several->receive<int>() == 0);
}

TEST_CASE("the file of a task keeps what it is told by, whatever the caches drop") {
    NEEDS_LIVE_MAPS();
    child target{[](channel& parent) { parent.pause(); }};
    const maps of = need(maps::open(target.pid()));
    CHECK(has_directory(of));
    if (is_root()) {
        const procmap::unique_fd drop{::open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC)};
        (void)!::write(drop.get(), "2", 1);
    }
    CHECK(has_directory(of));
    target.kill();
    target.await_zombie();
    CHECK(has_directory(of));  // not yet reaped, it is its own
    target.reap();
    CHECK_FALSE(has_directory(of));
}

}  // namespace
