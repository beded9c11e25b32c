// A kernel of our own: this executable defines the system calls that the library makes, so that every answer of every kernel
// can be given, also those that no kernel here gives.
#if !defined(__cpp_exceptions)
#define DOCTEST_CONFIG_NO_EXCEPTIONS_BUT_WITH_ALL_ASSERTS  // REQUIRE then goes on, and the test fails all the same
#endif
#include <doctest/doctest.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <procmap/procmap.hpp>

namespace uapi = procmap::uapi;
using procmap::errc;
using uapi::procmap_query;

namespace {

/// What answers instead of the kernel, where it is set. Each hook returns the call's value, or minus an errno.
struct fake_kernel {
    std::function<int(procmap_query&)> ioctl;
    std::function<long(char* to, std::size_t size, std::uint64_t position)> pread;
    std::function<int(const char* path)> openat;
    std::function<int(int fd)> close;
    std::function<void()> signals;  // called when signals are let through again: a handler that was held back
    const char* release = nullptr;
    int ioctls = 0;
    int preads = 0;
    int opens = 0;
    int closes = 0;
};
fake_kernel* fake = nullptr;

struct with_kernel : fake_kernel {
    with_kernel() { fake = this; }
    ~with_kernel() { fake = nullptr; }
    with_kernel(const with_kernel&) = delete;
    with_kernel& operator=(const with_kernel&) = delete;
};

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

namespace {

/// A kernel that has these mappings and answers as do_procmap_query() does, knowing `known` bytes of the struct.
struct vma {
    std::uint64_t start, end;
    std::uint32_t permissions = 1;
    std::uint64_t offset = 0;
    std::uint64_t inode = 0;
    std::string name{};
    std::string build_id{};
};

int answer(const std::vector<vma>& vmas, procmap_query& q, std::size_t known = sizeof(procmap_query)) {
    if (q.size > 4096) return -E2BIG;
    if (q.size < 24) return -EINVAL;
    const auto* bytes = reinterpret_cast<const unsigned char*>(&q);
    for (std::size_t i = known; i < q.size; ++i)
        if (bytes[i] != 0) return -E2BIG;
    procmap_query in{};
    std::memcpy(&in, &q, static_cast<std::size_t>(std::min<std::uint64_t>({q.size, known, sizeof in})));
    if ((in.query_flags & ~0x3fu) != 0 || (in.vma_name_size != 0) != (in.vma_name_addr != 0) ||
        (in.build_id_size != 0) != (in.build_id_addr != 0))
        return -EINVAL;
    for (const vma& v : vmas) {
        if (v.end <= in.query_addr) continue;
        const bool next = (in.query_flags & 0x10) != 0;
        if ((v.permissions & in.query_flags & 0xf) != (in.query_flags & 0xf) || ((in.query_flags & 0x20) != 0 && v.inode == 0)) {
            if (next) continue;
            return -ENOENT;
        }
        if (!next && v.start > in.query_addr) return -ENOENT;
        procmap_query out = in;
        out.vma_start = v.start;
        out.vma_end = v.end;
        out.vma_flags = v.permissions;
        out.vma_page_size = 4096;
        out.vma_offset = v.offset;
        out.inode = v.inode;
        out.dev_major = v.inode == 0 ? 0 : 0xfe;
        if (in.build_id_size != 0) {
            if (in.build_id_size < v.build_id.size()) return -ENAMETOOLONG;
            std::memcpy(reinterpret_cast<void*>(in.build_id_addr), v.build_id.data(), v.build_id.size());
            out.build_id_size = static_cast<std::uint32_t>(v.build_id.size());
        }
        if (in.vma_name_size != 0) {
            if (v.name.size() + 1 > std::min<std::size_t>(in.vma_name_size, 4096)) return -ENAMETOOLONG;
            out.vma_name_size = v.name.empty() ? 0 : static_cast<std::uint32_t>(v.name.size() + 1);
            if (out.vma_name_size != 0) std::memcpy(reinterpret_cast<void*>(in.vma_name_addr), v.name.c_str(), out.vma_name_size);
        }
        std::memcpy(&q, &out, static_cast<std::size_t>(std::min<std::uint64_t>({q.size, known, sizeof out})));
        return 0;
    }
    return -ENOENT;
}

const std::vector<vma> three{{0x1000, 0x3000, 5, 0x2000, 7, "/bin/a", std::string(20, '\xab')},
                             {0x3000, 0x4000, 3, 0, 0, "[heap]", {}},
                             {0x7000, 0x9000, 1, 0, 0, {}, {}}};
const std::string three_text =
    "00001000-00003000 r-xp 00002000 fe:00 7                                  /bin/a\n"
    "00003000-00004000 rw-p 00000000 00:00 0                                  [heap]\n"
    "00007000-00009000 r--p 00000000 00:00 0 \n";

/// A pread that serves `text`, at most `chunk` bytes at a time.
auto serve(const std::string& text, std::size_t chunk = 4096) {
    return [&text, chunk](char* to, std::size_t size, std::uint64_t position) -> long {
        if (position >= text.size()) return 0;
        const std::size_t n = std::min({chunk, size, text.size() - static_cast<std::size_t>(position)});
        std::memcpy(to, text.data() + position, n);
        return static_cast<long>(n);
    };
}

std::string line_of(const procmap::mapping& m) {
    std::string line;
    procmap::print([&](std::string_view part) { line += part; }, m);
    return line;
}

std::string walked(procmap::mapping_walk& walk) {
    std::string lines;
    for (const procmap::mapping& m : walk) lines += line_of(m) + '\n';
    return lines;
}

procmap::maps opened(procmap::backend use, bool trust = false) {
    const bool silent = use == procmap::backend::ioctl && !fake->ioctl;  // the real kernel may have no such ioctl
    if (silent) fake->ioctl = [](procmap_query&) { return -ENOENT; };
    auto maps = procmap::maps::open_self({.use = use, .trust_kernel_build_ids = trust});
    if (silent) fake->ioctl = nullptr;
    REQUIRE(maps);
    return std::move(*maps);
}

}  // namespace

TEST_CASE("each errno that says 'no such ioctl' means text, and a clear error where the ioctl was insisted on") {
    for (const int code : {ENOTTY, ENOSYS, EPERM, EACCES, EOPNOTSUPP, ENODEV, EINVAL, EIO, EPROTO}) {
        CAPTURE(code);
        with_kernel kernel;
        kernel.ioctl = [&](procmap_query&) { return -code; };
        CHECK(opened(procmap::backend::automatic).backend() == procmap::backend::text);
        const auto insisted = procmap::maps::open_self({.use = procmap::backend::ioctl});
        REQUIRE(!insisted);
        CHECK(insisted.error() == errc::unsupported);
        CHECK(insisted.error().errno_value == code);
        const auto can = procmap::probe();
        CHECK(!can.ioctl);
        CHECK(can.ioctl_errno == code);
        CHECK(can.text);
        CHECK(can.struct_size == 0);
        CHECK(can.build_id_hazards.empty());
    }
}

TEST_CASE("where no answer came for another reason it is read as text, too, and the error says what it was") {
    const std::pair<int, errc> meanings[] = {{ENOMEM, errc::failed}, {EINTR, errc::interrupted}, {EBADF, errc::invalid}};
    for (const auto& known : meanings) {
        const int code = known.first;
        CAPTURE(code);
        with_kernel kernel;
        kernel.ioctl = [&](procmap_query&) { return -code; };
        CHECK(opened(procmap::backend::automatic).backend() == procmap::backend::text);
        const auto insisted = procmap::maps::open_self({.use = procmap::backend::ioctl});
        CHECK(insisted.error() == known.second);
        CHECK(insisted.error().errno_value == code);
        CHECK(!procmap::probe().ioctl);
    }
}

TEST_CASE("once the ioctl has answered, no later error switches to text") {
    for (const int code : {ENOTTY, ENOSYS, EPERM, EACCES, EOPNOTSUPP, EINVAL, EIO, ENOMEM}) {
        CAPTURE(code);
        with_kernel kernel;
        kernel.ioctl = [&](procmap_query&) { return -ENOENT; };
        const auto maps = opened(procmap::backend::automatic);
        kernel.ioctl = [&](procmap_query&) { return -code; };
        kernel.preads = 0;
        CHECK(maps.find(0x1000).error().errno_value == code);
        CHECK(maps.find(0x1000).error().at == procmap::step::query);
        auto walk = maps.walk();
        CHECK(walked(walk).empty());
        CHECK(walk.error().errno_value == code);
        CHECK(kernel.preads == 0);
    }
}

TEST_CASE("an answer about the address space does not mean text") {
    with_kernel kernel;
    kernel.ioctl = [&](procmap_query&) { return -ENOENT; };
    CHECK(opened(procmap::backend::automatic).backend() == procmap::backend::ioctl);
    kernel.preads = 0;
    kernel.ioctl = [](procmap_query&) { return -ESRCH; };
    CHECK(procmap::maps::open_self().error() == errc::gone);
    CHECK(kernel.preads == 1);  // of /proc/self/stat, to tell why: the text was not asked instead
}

TEST_CASE("text sends no ioctl") {
    with_kernel kernel;
    auto maps = opened(procmap::backend::text);
    auto walk = maps.walk({.names = true});
    CHECK(!walked(walk).empty());
    CHECK(walk.complete());
    CHECK(kernel.ioctls == 0);
}

TEST_CASE("a lookup is one system call, a walk one for each mapping and one for the end") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::ioctl);
    kernel.ioctl = [](procmap_query& q) { return answer(three, q); };
    procmap::name_buffer name;
    kernel.ioctls = 0;
    CHECK(maps.find(0x2fff, {.name = name})->name == "/bin/a");
    CHECK(maps.find(0x2fff)->start == 0x1000);
    CHECK(maps.find_from(0x4000)->start == 0x7000);
    CHECK(maps.find(0x4000).error() == errc::not_mapped);
    CHECK(maps.find_from(0x9000).error() == errc::not_mapped);
    CHECK(kernel.ioctls == 5);
    kernel.ioctls = 0;
    auto walk = maps.walk({.names = true});
    CHECK(walked(walk) == three_text);
    CHECK(walk.complete());
    CHECK(kernel.ioctls == 4);
    CHECK(kernel.preads == 0);
}

TEST_CASE("a normalizer that opens no file asks for the name of each mapping before its build ID, whatever its number: that names no file") {
    std::vector<vma> vmas;
    std::vector<std::uint64_t> addresses;
    constexpr int mappings = 300;
    constexpr int files = 3;
    for (std::uint64_t i = 0; i < mappings; ++i) {
        const std::uint64_t file = i % files, start = 0x10000 * (i + 1);
        vmas.push_back({start, start + 0x8000, 5, 0x1000 * i, 7 + file, "/file" + std::to_string(file), std::string(20, static_cast<char>(file))});
        for (int again = 0; again < 3; ++again) addresses.push_back(start + 0x1234 * static_cast<std::uint64_t>(again));
    }
    std::reverse(addresses.begin(), addresses.end());
    with_kernel kernel;
    const auto maps = opened(procmap::backend::ioctl, true);
    int names = 0, ids = 0;
    kernel.ioctl = [&](procmap_query& q) {
        names += q.vma_name_size != 0;
        ids += q.build_id_size != 0;
        return answer(vmas, q);
    };
    procmap::normalizer n{{.build_ids = true, .build_ids_from = procmap::build_id_choice::kernel}};
    for (int call = 0; call < 3; ++call) {
        kernel.ioctls = names = ids = 0;
        const auto got = n.normalize(maps, addresses);
        REQUIRE(got);
        CHECK(got->files.size() == files);
        for (const auto& f : got->files) CHECK(f.build_id.size() == 20);
        CHECK(kernel.ioctls == mappings * (call == 0 ? 3 : 2));  // at first it cannot know where a file is mapped
        CHECK(names == 2 * mappings);
        CHECK(ids == mappings);
    }
    CHECK(kernel.preads == 0);
}

TEST_CASE("a warm normalizer that holds the files asks once for each mapping, and for the name of each file once") {
    with_kernel kernel;
    const auto maps = procmap::maps::open_self();
    if (!maps || maps->backend() != procmap::backend::ioctl) return;  // an older kernel: tests/identity/cost.cpp counts file reads there
    std::vector<std::uint64_t> addresses;
    int mappings = 0, files = 0;
    auto walk = maps->walk({.only = procmap::file_backed, .names = true});
    std::string last;
    for (const procmap::mapping& m : walk) {
        if (!m.name.starts_with("/usr/lib") && !m.name.starts_with("/lib")) continue;
        ++mappings;
        files += m.name != last;
        last = m.name;
        addresses.push_back(m.start + 1);
        addresses.push_back(m.end - 1);
    }
    if (mappings == 0) return;  // linked statically
    procmap::normalizer states{{.file_states = true}};
    const auto of_paths = states.normalize(*maps, addresses);
    REQUIRE(of_paths);
    for (const auto& f : of_paths->files)
        if (f.state != procmap::file_state::linked) return;  // overlayfs and the like: nothing is held there
    for (const bool elf_addresses : {false, true}) {
        procmap::normalizer n{{.build_ids = true, .elf_addresses = elf_addresses}};
        int names = 0, ids = 0;
        for (int call = 0; call < 3; ++call) {
            kernel.ioctls = names = ids = 0;
            kernel.ioctl = [&](procmap_query& q) {
                names += q.vma_name_size != 0;
                ids += q.build_id_size != 0;
                return syscall(SYS_ioctl, maps->fd().get(), procmap::detail::ioctl_request, &q) < 0 ? -errno : 0;
            };
            const auto got = n.normalize(*maps, addresses);
            REQUIRE(got);
            if (procmap::detail::file_system_of(maps->fd()) == 0) return;
            if (got->files.size() != static_cast<std::size_t>(files)) return;
        }
        CHECK(names == files);
        CHECK(ids == 0);
        if (elf_addresses)
            CHECK(kernel.ioctls <= 3 * mappings);  // two more where segments share a page of the file
        else
            CHECK(kernel.ioctls == mappings);
    }
}

TEST_CASE("a signal that interrupts is survived, and one that always does is an error") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::ioctl);
    int interruptions = 3;
    kernel.ioctl = [&](procmap_query& q) { return interruptions-- > 0 ? -EINTR : answer(three, q); };
    CHECK(maps.find(0x1000)->start == 0x1000);
    interruptions = 1'000'000;
    CHECK(maps.find(0x1000).error() == errc::interrupted);
    auto walk = maps.walk();
    CHECK(walked(walk).empty());
    CHECK(walk.error() == errc::interrupted);
    CHECK(!walk.complete());

    kernel.ioctl = nullptr;
    int opens = 2;
    kernel.openat = [&](const char*) { return opens-- > 0 ? -EINTR : 0; };
    CHECK(procmap::maps::open_self());
    opens = 1'000'000;
    CHECK(procmap::maps::open_self().error() == errc::interrupted);

    kernel.openat = nullptr;
    const auto text = opened(procmap::backend::text);
    int reads = 0;
    kernel.pread = [&, good = serve(three_text, 10)](char* to, std::size_t size, std::uint64_t at) -> long {
        return ++reads % 2 == 1 ? -EINTR : good(to, size, at);
    };
    auto lines = text.walk({.names = true});
    CHECK(walked(lines) == three_text);
    kernel.pread = [](char*, std::size_t, std::uint64_t) -> long { return -EINTR; };
    CHECK(text.find(0x1000).error() == errc::interrupted);
}

TEST_CASE("a name that the kernel cannot give is left out and said so, and the rest comes") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::ioctl, true);
    for (const int code : {ENAMETOOLONG, ENOMEM}) {
        kernel.ioctl = [&](procmap_query& q) { return q.vma_name_size != 0 && q.query_addr < 0x3000 ? -code : answer(three, q); };
        procmap::name_buffer name;
        procmap::build_id_buffer id;
        kernel.ioctls = 0;
        const auto m = maps.find(0x1000, {.name = name, .build_id = id});
        REQUIRE(m);
        CHECK(kernel.ioctls == 2);
        CHECK(m->name.empty());
        CHECK(m->name_status == (code == ENOMEM ? procmap::name_state::no_memory : procmap::name_state::too_long));
        CHECK(m->inode == 7);
        CHECK(m->build_id.empty());  // without its name nobody knows whether it may be read
        CHECK_FALSE(m->build_id_known);
        auto walk = maps.walk({.names = true});
        CHECK(walked(walk).find("[heap]") != std::string::npos);
        CHECK(walk.complete());
    }
    kernel.ioctl = [](procmap_query&) { return -ENAMETOOLONG; };
    procmap::name_buffer name;
    CHECK(maps.find(0x1000, {.name = name}).error() == errc::failed);
}

TEST_CASE("a query with a field that the kernel does not know degrades to the layout it knows, and names what it lost") {
    struct future_query {  // what a later kernel may define
        procmap_query known;
        std::uint64_t vma_shadow;
    };
    std::vector<uapi::field> future_fields(std::begin(uapi::fields), std::end(uapi::fields));
    future_fields.push_back({"vma_shadow", 104, 8});

    with_kernel kernel;
    for (const std::size_t known : {std::size_t{24}, std::size_t{104}, std::size_t{112}}) {
        CAPTURE(known);
        kernel.ioctl = [&](procmap_query& q) { return answer(three, q, known); };
        future_query q{};
        q.known.size = sizeof q;
        q.known.query_addr = 0x1000;
        q.known.vma_page_size = known < 104 ? 1 : 0;  // not zero, so that a kernel of 24 bytes refuses it
        q.vma_shadow = 1;
        const uapi::reply reply = uapi::send(procmap::borrowed_fd{-1}, q);
        CHECK(reply.error == 0);
        CHECK(reply.size == known);
        const auto lost = reply.lost(sizeof q, future_fields);
        if (known == 112) CHECK(lost.empty());
        if (known == 104) {
            REQUIRE(lost.size() == 1);
            CHECK(lost[0].name == "vma_shadow");
            CHECK(q.known.vma_start == 0x1000);
        }
        if (known == 24) {
            REQUIRE(lost.size() == 13);
            CHECK(lost[0].name == "vma_start");
            CHECK(lost[12].name == "vma_shadow");
        }
    }
    kernel.ioctl = nullptr;
    const auto maps = opened(procmap::backend::ioctl);
    kernel.ioctl = [&](procmap_query& q) { return answer(three, q, 24); };
    procmap::name_buffer name;
    CHECK(maps.find(0x1000, {.name = name}).error() == errc::unsupported);  // such a kernel tells nothing about a mapping
    kernel.ioctl = [&](procmap_query&) { return -E2BIG; };
    CHECK(maps.find(0x1000).error() == errc::unsupported);
}

TEST_CASE("the kernel's struct size is found, whatever it has grown or shrunk to") {
    with_kernel kernel;
    for (const std::size_t known : {24u, 40u, 96u, 104u, 112u, 128u, 1024u, 4096u}) {
        kernel.ioctl = [&](procmap_query& q) { return answer(three, q, known); };
        CHECK(procmap::probe().struct_size == known);
    }
}

TEST_CASE("an answer that contradicts the question is malformed, and never an endless walk") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::ioctl);
    procmap::name_buffer name;
    procmap::build_id_buffer id;
    const auto lie = [&](auto change) {
        kernel.ioctl = [change](procmap_query& q) {
            const int r = answer(three, q);
            change(q);
            return r;
        };
        return maps.find_from(0x1000, {.name = name, .build_id = id}).error().code;
    };
    CHECK(lie([](procmap_query&) {}) == errc::none);
    CHECK(lie([](procmap_query& q) { q.vma_end = q.vma_start; }) == errc::malformed);
    CHECK(lie([](procmap_query& q) { q.vma_start = q.vma_end + 1; }) == errc::malformed);
    CHECK(lie([](procmap_query& q) { q.vma_start = 0, q.vma_end = 0x1000; }) == errc::malformed);
    CHECK(lie([](procmap_query& q) { q.vma_name_size = 4097; }) == errc::malformed);
    CHECK(lie([](procmap_query& q) { q.build_id_size = 21; }) == errc::malformed);
    CHECK(lie([](procmap_query& q) { q.vma_start = 0x2000; }) == errc::none);  // above the address: find_from takes it,
    CHECK(maps.find(0x1000).error() == errc::malformed);                      // find does not

    kernel.ioctl = [](procmap_query& q) {  // the same mapping for ever
        q.vma_start = 0x1000;
        q.vma_end = 0x2000;
        return 0;
    };
    auto walk = maps.walk();
    CHECK(walked(walk) == "00001000-00002000 ---p 00000000 00:00 0 \n");
    CHECK(walk.error() == errc::malformed);
    CHECK(!walk.complete());
}

TEST_CASE("an address that a 32-bit kernel cuts to 32 bits is not mapped there") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::ioctl);
    kernel.ioctl = [](procmap_query& q) {
        q.query_addr &= 0xffffffff;
        return answer(three, q);
    };
    CHECK(maps.find(0x1'0000'1000).error() == errc::not_mapped);
    CHECK(maps.find_from(0x1'0000'1000).error() == errc::not_mapped);
    CHECK(maps.find(0x1000));
}

TEST_CASE("each errno of a query becomes the error that says what it means") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::ioctl);
    const std::pair<int, errc> meanings[] = {{ENOENT, errc::not_mapped},  {ESRCH, errc::gone},       {EPERM, errc::denied},
                                             {EACCES, errc::denied},      {ENOTTY, errc::unsupported}, {ENOSYS, errc::unsupported},
                                             {EBADF, errc::invalid},      {EFAULT, errc::invalid},   {EINVAL, errc::invalid},
                                             {ENOMEM, errc::failed},      {EIO, errc::failed}};
    for (const auto& known : meanings) {
        const int code = known.first;
        const errc meaning = known.second;
        CAPTURE(code);
        kernel.ioctl = [code](procmap_query&) { return -code; };
        errno = 4242;
        const auto m = maps.find(0x1000);
        CHECK(errno == 4242);
        CHECK(m.error() == meaning);
        CHECK(m.error().errno_value == code);
        CHECK(m.error().at == procmap::step::query);
        auto walk = maps.walk();
        CHECK(walked(walk).empty());
        CHECK(walk.complete() == (code == ENOENT));
        CHECK(walk.error() == (code == ENOENT ? errc::none : meaning));
    }
}

TEST_CASE("a walk clips what reaches back over the end of the mapping before it, offset included") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::ioctl);
    int asked = 0;
    kernel.ioctl = [&](procmap_query& q) {  // after the first answer the process maps more, and it merges downwards
        if (asked++ == 0) return answer(three, q);
        return answer({{0x1000, 0x6000, 5, 0x2000, 7, "/bin/a", {}}, {0x6000, 0x8000, 1, 0, 0, {}, {}}}, q);
    };
    auto walk = maps.walk();
    CHECK(walked(walk) ==
          "00001000-00003000 r-xp 00002000 fe:00 7 \n"
          "00003000-00006000 r-xp 00004000 fe:00 7 \n"
          "00006000-00008000 r--p 00000000 00:00 0 \n");

    const std::string text =
        "00001000-00003000 r-xp 00002000 fe:00 7 \n"
        "00001000-00006000 r-xp 00002000 fe:00 7 \n"
        "00005000-00006000 r-xp 00002000 fe:00 7 \n"
        "00002000-00008000 r--p 00000000 00:00 0 \n";
    kernel.pread = serve(text);
    const auto reader = opened(procmap::backend::text);
    auto lines = reader.walk();
    CHECK(walked(lines) ==
          "00001000-00003000 r-xp 00002000 fe:00 7 \n"
          "00003000-00006000 r-xp 00004000 fe:00 7 \n"
          "00006000-00008000 r--p 00000000 00:00 0 \n");
    CHECK(lines.complete());
}

TEST_CASE("a kernel that is not known to be safe is not asked for build IDs, unless it is trusted") {
    for (const char* release : {"6.11.0", "6.12.43", "6.12.74+deb13-amd64", "6.16.12", "6.17.13", "6.18.5", "6.18.15", "6.19.5",
                                "7.0.0-rc1", "2.6.78", "strange"}) {
        CAPTURE(release);
        with_kernel kernel;
        kernel.release = release;
        for (const bool trust : {false, true}) {
            kernel.ioctl = nullptr;
            const auto maps = opened(procmap::backend::ioctl, trust);
            bool asked = false;
            kernel.ioctl = [&](procmap_query& q) {
                asked |= q.build_id_size != 0 || q.build_id_addr != 0;
                return answer(three, q);
            };
            procmap::build_id_buffer id;
            const auto m = maps.find(0x1000, {.build_id = id});
            REQUIRE(m);
            CHECK(asked == trust);
            CHECK(m->build_id_known == trust);
            CHECK(m->build_id.empty() == !trust);
            asked = false;
            auto walk = maps.walk({.build_ids = true});
            walked(walk);
            CHECK(asked == trust);
        }
    }
    for (const char* release : {"6.12.75", "6.18.16", "6.19.6", "7.0.0", "7.3.1-deb14"}) {
        CAPTURE(release);
        with_kernel kernel;
        kernel.release = release;
        const auto maps = opened(procmap::backend::ioctl);
        int smallest = 1000;
        kernel.ioctl = [&](procmap_query& q) {
            if (q.build_id_size != 0) smallest = std::min(smallest, static_cast<int>(q.build_id_size));
            return answer(three, q);
        };
        procmap::build_id_buffer id;
        CHECK(maps.find(0x1000, {.build_id = id})->build_id.size() == 20);
        CHECK(smallest == 20);
        kernel.ioctls = 0;
        std::byte small[19];
        CHECK(maps.find(0x1000, {.build_id = small}).error() == errc::invalid);
        CHECK(kernel.ioctls == 0);  // refused before the call
        smallest = 1000;
        auto walk = maps.walk({.names = true});
        walked(walk);
        CHECK(smallest == 1000);  // never part of a walk that did not ask for it
    }
}

TEST_CASE("text is the same, however it is cut into reads") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::text);
    for (std::size_t chunk = 1; chunk <= three_text.size() + 1; ++chunk) {
        kernel.pread = serve(three_text, chunk);
        kernel.preads = 0;
        auto walk = maps.walk({.names = true});
        CHECK(walked(walk) == three_text);
        CHECK(walk.complete());
        const auto chunks = (three_text.size() + chunk - 1) / chunk;
        CHECK(kernel.preads == static_cast<int>(chunks) + 2);  // the end, and whether the process still lives
    }
}

TEST_CASE("a line longer than the buffer loses its name and nothing else, however it is cut") {
    const std::string text = "00001000-00003000 r-xp 00002000 fe:00 7                                  /" + std::string(1000, 'x') +
                             "\n00003000-00004000 rw-p 00000000 00:00 0                                  [heap]\n";
    with_kernel kernel;
    const auto maps = opened(procmap::backend::text);
    char buffer[256];
    for (const std::size_t chunk : {1u, 7u, 100u, 255u, 256u, 257u, 1073u, 1074u, 1075u, 4096u}) {
        CAPTURE(chunk);
        kernel.pread = serve(text, chunk);
        auto walk = maps.walk({.names = true, .buffer = buffer});
        auto i = walk.begin();
        REQUIRE(i != walk.end());
        CHECK(i->name.empty());
        CHECK(i->name_status == procmap::name_state::too_long);
        CHECK(i->inode == 7);
        ++i;
        REQUIRE(i != walk.end());
        CHECK(i->name == "[heap]");
        ++i;
        CHECK(i == walk.end());
        CHECK(walk.complete());
    }
    const std::string torn = text.substr(0, 900);  // and one that ends inside such a line is not the end of anything
    kernel.pread = serve(torn);
    auto walk = maps.walk({.names = true, .buffer = buffer});
    walked(walk);
    CHECK(walk.error() == errc::malformed);
}

TEST_CASE("find gives a name of up to one byte less than its buffer by text too, however long, cut, or disturbed") {
    for (const std::size_t length : {1u, 2u, 18u, 255u, 4095u, 4096u, 4200u, 4223u, 4224u, 5000u, 20000u}) {
        CAPTURE(length);
        const std::string long_name = '/' + std::string(length - 1, 'n');
        const std::string text = "00001000-00003000 r-xp 00002000 fe:00 7                                  /other\n"
                                 "00003000-00004000 r-xp 00002000 fe:00 8                                  " + long_name +
                                 "\n00004000-00005000 r-xp 00002000 fe:00 9                                  /next\n";
        for (const std::size_t chunk : {50u, 1000u, 4096u, 100000u}) {
            CAPTURE(chunk);
            with_kernel kernel;
            const auto maps = opened(procmap::backend::text);
            kernel.pread = serve(text, chunk);
            std::vector<char> buffer(length + 1);
            const auto fits = maps.find(0x3000, {.name = buffer});
            CHECK(fits->name == long_name);
            CHECK(fits->name_status == procmap::name_state::exact);
            CHECK(fits->inode == 8);
            CHECK(maps.find(0x4000, {.name = buffer})->name == (length >= 5 ? "/next" : ""));
            buffer.resize(length);
            const auto too_long = maps.find(0x3000, {.name = buffer});
            CHECK(too_long->name.empty());
            CHECK(too_long->name_status == procmap::name_state::too_long);
            CHECK(maps.find(0x4000)->inode == 9);
            buffer.resize(length + 1);
            int reads = 0;  // another reader, after each of the first reads
            bool inside = false;
            kernel.signals = [&] {
                if (inside || ++reads > 8) return;
                inside = true;
                CHECK(maps.find(0x1000)->inode == 7);
                inside = false;
            };
            CHECK(maps.find(0x3000, {.name = buffer})->name == long_name);
        }
    }
}

TEST_CASE("a mapping of zero length, which others write, is in no walk, lookup or capture, and breaks nothing off") {
    const std::string text = "00000000-00000000 ---p 00000000 00:00 0 \n"
                             "00001000-00001000 ---p 00000000 00:00 0                                  [guard]\n" + three_text +
                             "00009000-00009000 rw-S 00000000 fe:00 7                                  /x\n"
                             "0000a000-0000b000 r-x- 00000000 fe:00 7                                  /x\n";
    with_kernel kernel;
    const auto maps = opened(procmap::backend::text);
    kernel.pread = serve(text, 100);
    auto walk = maps.walk({.names = true});
    CHECK(walked(walk) == three_text + "0000a000-0000b000 r-xp 00000000 fe:00 7                                  /x\n");
    CHECK(walk.complete());
    CHECK(maps.find_from(0)->start == 0x1000);
    CHECK(maps.find(0x1000)->end == 0x3000);
    CHECK(maps.find(0x9000).error() == errc::not_mapped);
    CHECK(maps.find_from(0x9000)->start == 0xa000);
    CHECK(procmap::snapshot::capture(maps)->size() == 4);
}

TEST_CASE("malformed text is reported with its line and byte, and the lines before it are not lost") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::text);
    std::string text = three_text;
    text.insert(text.find('\n') + 1, "what is this\n");
    for (const std::size_t chunk : {1u, 50u, 4096u}) {
        kernel.pread = serve(text, chunk);
        auto walk = maps.walk({.names = true});
        CHECK(walked(walk) == three_text.substr(0, three_text.find('\n') + 1));
        CHECK(walk.error() == errc::malformed);
        CHECK(walk.error().line == 2);
        CHECK(walk.error().offset == text.find("what"));
        CHECK(maps.find(0x1000));
        CHECK(maps.find(0x3000).error() == errc::malformed);
    }
    const std::string torn = three_text.substr(0, three_text.size() - 1);
    kernel.pread = serve(torn);
    auto walk = maps.walk({.names = true});
    CHECK(walked(walk) == three_text.substr(0, three_text.rfind("00007000")));
    CHECK(walk.error() == errc::malformed);
    CHECK(walk.error().line == 3);
}

TEST_CASE("text that ends because the process does is not the end of the address space") {
    with_kernel kernel;
    const auto maps = opened(procmap::backend::text);
    bool alive = true;
    kernel.pread = [&, good = serve(three_text)](char* to, std::size_t size, std::uint64_t at) -> long {
        if (!alive) return 0;
        const long n = good(to, size, at);
        if (n == 0) alive = false;  // it exits as its text ends
        return n;
    };
    auto walk = maps.walk({.names = true});
    CHECK(walked(walk) == three_text);
    CHECK(!walk.complete());
    CHECK(walk.error() == errc::gone);
    CHECK(maps.find(0x1000).error() == errc::gone);
    alive = true;
    CHECK(maps.find(0x5000).error() == errc::not_mapped);
    alive = true;
    CHECK(maps.find(0x9000).error() == errc::gone);  // not "not mapped": nobody can say
}

TEST_CASE("ESRCH from text means gone or task_gone, and the ioctl knows which") {
    const struct {
        int ioctl;
        bool thread;
        errc meaning;
    } cases[] = {{0, false, errc::task_gone},  {-ENOENT, false, errc::task_gone}, {-ESRCH, false, errc::gone},
                 {-ENOTTY, false, errc::gone}, {-ENOTTY, true, errc::task_gone},  {-ESRCH, true, errc::gone}};
    for (const auto& c : cases) {
        CAPTURE(c.ioctl);
        with_kernel kernel;
        const auto opened_maps = c.thread ? procmap::maps::open(getpid(), getpid(), {.use = procmap::backend::text})
                                          : procmap::maps::open_self({.use = procmap::backend::text});
        REQUIRE(opened_maps);
        int reads = 0;
        kernel.pread = [&, good = serve(three_text, 100)](char* to, std::size_t size, std::uint64_t at) -> long {
            return ++reads == 1 ? good(to, size, at) : -ESRCH;
        };
        kernel.ioctl = [&](procmap_query&) { return c.ioctl; };
        auto walk = opened_maps->walk({.names = true});
        CHECK(walked(walk) == three_text.substr(0, three_text.find('\n') + 1));
        CHECK(walk.error() == c.meaning);
        CHECK(walk.error().errno_value == ESRCH);
    }
}

TEST_CASE("each errno of a read becomes the error that says what it means, and what was read before is kept") {
    const std::pair<int, errc> meanings[] = {{EACCES, errc::denied}, {EPERM, errc::denied}, {EBADF, errc::invalid},
                                             {EIO, errc::failed},    {ENOMEM, errc::failed}, {EISDIR, errc::failed}};
    for (const auto& known : meanings) {
        const int code = known.first;
        const errc meaning = known.second;
        CAPTURE(code);
        with_kernel kernel;
        const auto maps = opened(procmap::backend::text);
        kernel.pread = [&, code, good = serve(three_text, 100)](char* to, std::size_t size, std::uint64_t at) -> long {
            return at == 0 ? good(to, size, at) : -code;
        };
        auto walk = maps.walk({.names = true});
        errno = 4242;
        CHECK(walked(walk) == three_text.substr(0, three_text.find('\n') + 1));
        CHECK(errno == 4242);
        CHECK(walk.error() == meaning);
        CHECK(walk.error().errno_value == code);
        CHECK(walk.error().at == procmap::step::read);
        CHECK(!walk.complete());
    }
}

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

TEST_CASE("opening fails with what the kernel said") {
    const std::pair<int, errc> meanings[] = {{EACCES, errc::denied}, {EPERM, errc::denied}, {ESRCH, errc::gone},
                                             {EMFILE, errc::failed}, {ENFILE, errc::failed}, {ENOMEM, errc::failed}};
    for (const auto& known : meanings) {
        const int code = known.first;
        const errc meaning = known.second;
        CAPTURE(code);
        with_kernel kernel;
        kernel.openat = [code](const char*) { return -code; };
        errno = 4242;
        const auto maps = procmap::maps::open(1);
        CHECK(errno == 4242);
        REQUIRE(!maps);
        CHECK(maps.error() == meaning);
        CHECK(maps.error().errno_value == code);
        CHECK(maps.error().pid == 1);
        CHECK(maps.error().at == procmap::step::open);
        CHECK(procmap::probe().error == meaning);
    }
}

TEST_CASE("a descriptor is closed once, whatever close says, and errno is kept") {
    with_kernel kernel;
    kernel.close = [](int) { return -EINTR; };
    {
        procmap::unique_fd fd{open("/dev/null", O_RDONLY | O_CLOEXEC)};
        procmap::unique_fd moved{std::move(fd)};
        CHECK(!fd);
        errno = 4242;
    }
    CHECK(errno == 4242);
    CHECK(kernel.closes == 1);
    procmap::unique_fd released{open("/dev/null", O_RDONLY | O_CLOEXEC)};
    const int fd = released.release();
    released.reset();
    CHECK(kernel.closes == 1);
    kernel.close = nullptr;
    CHECK(close(fd) == 0);
}

TEST_CASE("what a pidfd's text says of its process decides, and afterwards whether the pidfd says that it has exited") {
    with_kernel kernel;
    kernel.ioctl = [](procmap_query&) { return -ENOENT; };
    std::vector<std::string> looks;  // what is read at each; the last again after that
    std::size_t look = 0;
    kernel.pread = [&](char* to, std::size_t size, std::uint64_t position) -> long {
        const std::string& text = looks[std::min(look, looks.size() - 1)];
        if (text == "EIO") return -EIO;
        if (position >= text.size()) return ++look, 0;
        return static_cast<long>(text.copy(to, size, static_cast<std::size_t>(position)));
    };
    // Of no pidfd, but of what is readable when it is told to, as a pidfd is.
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    const procmap::unique_fd none{ends[0]}, writer{ends[1]};
    const auto with = [&](std::vector<std::string> texts) {
        looks = std::move(texts);
        look = 0;
        errno = 4242;
        const auto opened = procmap::maps::open(none.borrow());
        CHECK(errno == 4242);
        return opened ? errc::none : opened.error().code;
    };
    const std::string living = "pos:\t0\nPid:\t" + std::to_string(getpid()) + "\nNSpid:\t1\n";
    CHECK(with({living}) == errc::none);
    CHECK(with({"pos:\t0\nPid:\t-1\nNSpid:\t-1\n"}) == errc::gone);
    CHECK(with({"pos:\t0\nPid:\t0\n"}) == errc::unsupported);
    for (const char* wrong : {"Pid:\t", "Pid:\tx\n", "Pid:\t2147483648\n", "Pid:\t99999999999999999999999\n"}) {
        CAPTURE(std::string{wrong});
        CHECK(with({wrong}) == errc::unsupported);
    }
    CHECK(with({""}) == errc::invalid);
    CHECK(with({"pos:\t0\n"}) == errc::invalid);
    CHECK(with({std::string(4096, 'x')}) == errc::invalid);
    CHECK(with({"EIO"}) == errc::failed);
    REQUIRE(write(writer.get(), "x", 1) == 1);
    CHECK(with({living}) == errc::gone);  // it has exited, so the number may be another's
    CHECK(with({living, "Pid:\t-1\n"}) == errc::gone);
    // Not yet reaped, it still has its number, and its task no address space.
    kernel.ioctl = [](procmap_query&) { return -ESRCH; };
    const std::string zombie = "1 (x) Z 1 1 1 0 -1 4194304 0\n";  // what its stat says; here each file has the text of both
    CHECK(with({living + zombie}) == errc::zombie);
    CHECK(with({living + zombie, "Pid:\t-1\n" + zombie}) == errc::gone);
}

TEST_CASE("what /proc/PID/stat says of a task without an address space is what the error says") {
    with_kernel kernel;
    kernel.ioctl = [](procmap_query&) { return -ESRCH; };
    const std::pair<const char*, errc> stats[] = {
        {"1 (a) Z 0 0 0 0 -1 64 0\n", errc::zombie},
        {"1 (a) X 0 0 0 0 -1 64 0\n", errc::zombie},
        {"1 (a) S 0 0 0 0 -1 2097216 0\n", errc::kernel_thread},
        {"1 (a) Z 0) S 0 0 0 0 -1 2097216 0\n", errc::kernel_thread},  // the name is the task's own choice
        {"1 (a) S 0 0 0 0 -1 64 0\n", errc::gone},
        {"1 (a) S 0 0 0 0 -1 x\n", errc::gone},
        {"1 (a) S 0 0", errc::gone},
        {"1 (a) ", errc::gone},
        {"1 (a)", errc::gone},
        {"1 (a", errc::gone},
        {"", errc::gone},
    };
    for (const auto& known : stats) {
        const std::string stat = known.first;
        CAPTURE(stat);
        kernel.pread = [&](char* to, std::size_t size, std::uint64_t) {
            return static_cast<long>(stat.copy(to, size));
        };
        errno = 4242;
        CHECK(procmap::maps::open(getpid()).error() == known.second);
        CHECK(errno == 4242);
    }
}

int main(int argc, char** argv) { return doctest::Context(argc, argv).run(); }
