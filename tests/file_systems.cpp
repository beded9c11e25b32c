// Which file is mapped, on real file systems: two files stay two, and each has its own path, build ID and ELF addresses,
// whatever device and inode say. Every way to ask is asked, by both back-ends, as root and as a user without rights. A wrong
// answer fails; so does "not known" where there is evidence.
#include "support.hpp"

#include <elf.h>
#include <linux/bpf.h>
#include <linux/fuse.h>
#include <linux/loop.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include <array>
#include <map>
#include <memory>
#include <tuple>

#include <procmap/cached_maps.hpp>
#include <procmap/normalizer.hpp>

using namespace support;
using procmap::backend;
using procmap::build_id;
using procmap::build_id_choice;
using procmap::build_id_source;
using procmap::cached_maps;
using procmap::file_state;
using procmap::mapping;
using procmap::maps;
using procmap::normalizer;

namespace {

// ---- programs that are mapped

/// An ELF file of three pages, each a segment. Its letter fills its build ID and decides its ELF addresses.
struct program {
    char letter = 'a';
    std::size_t id_size = 20;  // 0: no build ID
    bool apart = false;        // the second and third segment lie one page further up than in the file

    std::string id() const { return std::string(id_size, letter); }
    std::uint64_t base() const { return static_cast<std::uint64_t>(letter) << 20; }
    std::uint64_t place(std::size_t segment) const { return (segment + (apart && segment != 0 ? 1 : 0)) * page; }
};

constexpr std::size_t segments = 3;
constexpr int protections[segments] = {PROT_READ, PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE};

std::string elf_of(const program& p) {
    Elf64_Ehdr head{};
    std::memcpy(head.e_ident, ELFMAG, SELFMAG);
    head.e_ident[EI_CLASS] = ELFCLASS64;
    const std::uint16_t one = 1;
    head.e_ident[EI_DATA] = *reinterpret_cast<const unsigned char*>(&one) == 1 ? ELFDATA2LSB : ELFDATA2MSB;
    head.e_ident[EI_VERSION] = EV_CURRENT;
    head.e_type = ET_DYN;
    head.e_version = EV_CURRENT;
    head.e_phoff = sizeof head;
    head.e_ehsize = sizeof head;
    head.e_phentsize = sizeof(Elf64_Phdr);
    head.e_phnum = static_cast<Elf64_Half>(segments + (p.id_size != 0));
    std::string file;
    const auto put = [&file](const auto& part) { file.append(reinterpret_cast<const char*>(&part), sizeof part); };
    put(head);
    for (std::size_t i = 0; i < segments; ++i) {
        Elf64_Phdr load{};
        load.p_type = PT_LOAD;
        load.p_flags = i == 0 ? PF_R : i == 1 ? PF_R | PF_X : PF_R | PF_W;
        load.p_offset = i * page;
        load.p_vaddr = p.base() + p.place(i);
        load.p_filesz = load.p_memsz = load.p_align = page;
        put(load);
    }
    if (p.id_size != 0) {
        Elf64_Phdr note{};
        note.p_type = PT_NOTE;
        note.p_offset = sizeof head + (segments + 1) * sizeof note;
        note.p_filesz = note.p_memsz = sizeof(Elf64_Nhdr) + 4 + p.id_size;
        note.p_align = 4;
        put(note);
        Elf64_Nhdr words{};
        words.n_namesz = 4;
        words.n_descsz = static_cast<Elf64_Word>(p.id_size);
        words.n_type = NT_GNU_BUILD_ID;
        put(words);
        file.append("GNU\0", 4).append(p.id());
    }
    file.resize(segments * page);
    return file;
}

/// Maps a file's segments as a loader does, at an address or anywhere; the address, or an errno below zero. No page is touched.
/// `only`: bits of the segments that are mapped, over what is there; 0: all of them.
std::int64_t load(const char* path, bool apart, std::uint64_t at, std::uint64_t only = 0) {
    const program layout{.apart = apart};
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    void* const wanted = reinterpret_cast<void*>(static_cast<std::uintptr_t>(at));
    char* const memory = only != 0 ? static_cast<char*>(wanted)
                                   : map_pages(segments + 1, PROT_NONE, MAP_PRIVATE | (at != 0 ? MAP_FIXED : 0), wanted);
    if (fd < 0 || memory == nullptr) return -errno;
    for (std::size_t i = 0; i < segments; ++i)
        if ((only == 0 || (only >> i & 1) != 0) &&
            ::mmap(memory + layout.place(i), page, protections[i], MAP_PRIVATE | MAP_FIXED, fd, static_cast<off_t>(i * page)) ==
                MAP_FAILED) {
            const int failure = errno;
            ::close(fd);
            return -failure;
        }
    ::close(fd);
    return static_cast<std::int64_t>(support::address_of(memory));
}

std::string hex(std::string_view bytes) {
    std::string text;
    for (const char c : bytes) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
        text += digits;
    }
    return text;
}

std::string hex(const build_id& id) {
    std::string text;
    print([&text](std::string_view digits) { text += digits; }, id);
    return text;
}

// ---- a file system whose server counts

/// What the server of the file system does, and is told.
struct server_state {
    std::uint32_t reads;
    std::uint32_t armed;  // holds the n-th lookup of "gate" from now on
    std::uint32_t held;   // one is being held
    std::uint32_t go;     // it may go on
};

/// Shared with all children.
server_state& server() {
    static server_state* const shared = reinterpret_cast<server_state*>(map_pages(1, PROT_READ | PROT_WRITE, MAP_SHARED));
    return *shared;
}

std::uint32_t now(const std::uint32_t& word) {
    return __atomic_load_n(&word, __ATOMIC_SEQ_CST);
}
void set(std::uint32_t& word, std::uint32_t value) {
    __atomic_store_n(&word, value, __ATOMIC_SEQ_CST);
}

/// Its files. All show one inode number, and some one name in different directories.
struct served {
    std::uint64_t parent;
    const char* name;
    program content;
    bool directory;
};
constexpr std::uint64_t first_node = FUSE_ROOT_ID + 1;
const served files_served[] = {
    {FUSE_ROOT_ID, "one.so", {.letter = 'f'}, false},
    {FUSE_ROOT_ID, "two.so", {.letter = 'g'}, false},
    {FUSE_ROOT_ID, "none.so", {.letter = 'h', .id_size = 0}, false},
    {FUSE_ROOT_ID, "gate", {}, true},
};

fuse_attr attributes_of(std::uint64_t node) {
    fuse_attr a{};
    const bool directory = node < first_node || files_served[node - first_node].directory;
    a.ino = directory ? node : 77;
    a.size = directory ? 0 : segments * page;
    a.mode = directory ? S_IFDIR | 0755 : S_IFREG | 0755;
    a.nlink = 1;
    a.blksize = 4096;
    return a;
}

/// Answers the kernel, by its own protocol (fuse(4), include/uapi/linux/fuse.h).
[[noreturn]] void serve(int fd) {
    static char request[128 * 1024];
    for (;;) {
        const ssize_t n = ::read(fd, request, sizeof request);
        if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN)) continue;
        if (n < static_cast<ssize_t>(sizeof(fuse_in_header))) ::_exit(0);
        fuse_in_header in;
        std::memcpy(&in, request, sizeof in);
        const char* const body = request + sizeof in;
        std::string answer;
        int failure = 0;
        const auto put = [&answer](const auto& part) { answer.append(reinterpret_cast<const char*>(&part), sizeof part); };
        switch (in.opcode) {
            case FUSE_INIT: {
                fuse_init_out out{};
                out.major = FUSE_KERNEL_VERSION;
                out.minor = FUSE_KERNEL_MINOR_VERSION;
                out.max_write = 4096;
                put(out);
                break;
            }
            case FUSE_LOOKUP: {
                failure = ENOENT;
                for (std::uint64_t i = 0; i < std::size(files_served); ++i) {
                    if (files_served[i].parent != in.nodeid || std::string_view{files_served[i].name} != body) continue;
                    if (files_served[i].directory && now(server().armed) != 0) {
                        set(server().armed, now(server().armed) - 1);
                        if (now(server().armed) == 0) {
                            set(server().held, 1);
                            while (now(server().go) == 0) ::usleep(200);
                            set(server().held, 0);
                            set(server().go, 0);
                        }
                    }
                    fuse_entry_out out{};
                    out.nodeid = first_node + i;
                    out.attr = attributes_of(first_node + i);
                    put(out);
                    failure = 0;
                }
                break;
            }
            case FUSE_GETATTR: {
                fuse_attr_out out{};
                out.attr = attributes_of(in.nodeid);
                put(out);
                break;
            }
            case FUSE_OPEN:
            case FUSE_OPENDIR: put(fuse_open_out{}); break;
            case FUSE_READ: {
                __atomic_fetch_add(&server().reads, 1, __ATOMIC_SEQ_CST);
                fuse_read_in what;
                std::memcpy(&what, body, sizeof what);
                const std::string file = elf_of(files_served[in.nodeid - first_node].content);
                if (what.offset < file.size()) answer = file.substr(what.offset, what.size);
                break;
            }
            case FUSE_STATFS: put(fuse_statfs_out{}); break;
            case FUSE_FLUSH:
            case FUSE_RELEASE:
            case FUSE_RELEASEDIR:
            case FUSE_ACCESS: break;
            case FUSE_FORGET:
            case FUSE_BATCH_FORGET:
            case FUSE_INTERRUPT: continue;  // not answered
            default: failure = ENOSYS;
        }
        fuse_out_header out{};
        out.unique = in.unique;
        out.error = -failure;
        if (failure != 0) answer.clear();
        out.len = static_cast<std::uint32_t>(sizeof out + answer.size());
        answer.insert(0, reinterpret_cast<const char*>(&out), sizeof out);
        if (::write(fd, answer.data(), answer.size()) < 0 && errno == ENODEV) ::_exit(0);
    }
}

// ---- those who map

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

constexpr std::uint64_t common_place = 0x3000'0000;  // free in every process here

std::int64_t answer_or_errno(std::int64_t answer) {
    return answer < 0 ? -errno : answer;
}

/// Mounts an image through a loop device that goes with the mount.
std::int64_t mount_image(const char* image, const char* directory, const char* type, const char* options) {
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
std::int64_t map_ring(char kind) {
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

char** exec_arguments;
int exec_gate[2];

int exec_when_told(void*) {
    char byte = 0;
    (void)!::read(exec_gate[0], &byte, 1);
    ::execv("/proc/self/exe", exec_arguments);
    ::_exit(1);
}

/// Starts a child that shares this process's memory until it is told to exec this program, which then maps a file (see main).
std::int64_t start_sharing(const order& o) {
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

std::int64_t obey(const order& o) {
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
class actor {
public:
    actor()
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
    std::int64_t join(const actor& other) {
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

// ---- those who look

enum class asking : unsigned char { find, walk, capture, cache, normalize };

/// One way to ask.
struct way {
    asking by = asking::find;
    backend use = backend::text;
    build_id_choice from = build_id_choice::automatic;
    bool elf = false;       // with ELF addresses
    bool fresh = false;     // nothing is remembered
    bool alone = false;     // one address in each call
    bool one_file = false;  // at most one file is remembered
    [[nodiscard]] bool remembers() const { return by == asking::cache || (by == asking::normalize && !fresh); }
    [[nodiscard]] bool looks_at_files() const { return by > asking::walk && (elf || from != build_id_choice::kernel); }
    friend auto operator<=>(const way&, const way&) = default;
};

std::string name_of(const way& w) {
    constexpr const char* by[] = {"find", "walk", "capture", "cached_maps", "normalizer"};
    constexpr const char* from[] = {"automatic", "kernel", "file"};
    static_assert(static_cast<int>(build_id_choice::file) == 2);
    return std::string{w.use == backend::ioctl ? "ioctl" : "text"} + ' ' + by[static_cast<int>(w.by)] + ' ' +
           from[static_cast<int>(w.from)] + (w.elf ? " elf" : "") + (w.fresh ? " fresh" : "") + (w.alone ? " alone" : "") +
           (w.one_file ? " one_file" : "");
}

/// What it says of one address, as a value that a child can send.
struct answer {
    bool resolved = false;
    bool id_known = false;
    bool elf_known = false;
    file_state state = file_state::unknown;
    std::uint32_t file = 0;  // in one call, equal numbers are one file
    std::uint64_t offset = 0;
    std::uint64_t elf_address = 0;
    build_id id{};
    char path[320] = {};
};

struct report {
    way how;
    std::uint32_t call = 0;     // which call this is of
    std::uint32_t address = 0;  // which address
    answer said;
};

struct question {
    pid_t pid = 0;
    bool again = false;  // only those who remember
    bool one_way = false;
    way only{};
    std::uint32_t count = 0;
    std::uint64_t addresses[64] = {};
};

std::vector<way> all_ways() {
    std::vector<way> ways;
    for (const backend use : {backend::ioctl, backend::text}) {
        ways.push_back({.by = asking::find, .use = use});
        ways.push_back({.by = asking::walk, .use = use});
        for (const build_id_choice from : {build_id_choice::automatic, build_id_choice::file, build_id_choice::kernel}) {
            ways.push_back({.by = asking::capture, .use = use, .from = from});
            for (const bool one_file : {false, true})
                ways.push_back({.by = asking::cache, .use = use, .from = from, .one_file = one_file});
            for (const bool elf : {false, true}) {
                ways.push_back({.by = asking::normalize, .use = use, .from = from, .elf = elf});
                if (elf) ways.push_back({.by = asking::normalize, .use = use, .from = from, .elf = elf, .fresh = true});
                if (elf)
                    ways.push_back(
                        {.by = asking::normalize, .use = use, .from = from, .elf = elf, .fresh = true, .alone = true});
                ways.push_back({.by = asking::normalize, .use = use, .from = from, .elf = elf, .one_file = true});
            }
        }
    }
    return ways;
}

/// Asks in every way, and remembers from one question to the next, of any number of processes. Nothing is asserted.
class asker {
public:
    std::vector<report> look(const question& q) {
        std::vector<report> reports;
        desk& d = desk_of(q.pid);
        const std::span addresses{q.addresses, q.count};
        for (const way& w : q.one_way ? std::vector{q.only} : all_ways()) {
            if ((w.use == backend::ioctl && !kernel_has_ioctl()) || (q.again && !w.remembers())) continue;
            const auto& of = w.use == backend::ioctl ? d.ioctl : d.text;
            std::vector<answer> said(addresses.size());
            std::uint32_t call = ++calls_;
            if (of) ask(*of, d, w, addresses, said);
            for (std::uint32_t i = 0; i < said.size(); ++i)
                reports.push_back({.how = w, .call = w.alone ? call = ++calls_ : call, .address = i, .said = said[i]});
        }
        return reports;
    }

private:
    struct desk {
        std::optional<maps> ioctl, text;
        std::map<way, std::unique_ptr<cached_maps>> caches;
    };

    desk& desk_of(pid_t pid) {
        desk& d = desks_[pid];
        for (const bool ioctl : {false, true}) {
            auto& of = ioctl ? d.ioctl : d.text;
            if (of) continue;
            auto opened = maps::open(pid, {.use = ioctl ? backend::ioctl : backend::text});
            if (opened) of.emplace(std::move(*opened));
        }
        return d;
    }

    static void take(const mapping& m, std::uint64_t address, answer& a) {
        a.resolved = true;
        a.id_known = m.build_id_known;
        a.id = build_id{m.build_id.bytes()};
        a.offset = address - m.start + m.offset;
        std::snprintf(a.path, sizeof a.path, "%.*s", static_cast<int>(m.name.size()), m.name.data());
    }

    void ask(const maps& of, desk& d, const way& w, std::span<const std::uint64_t> addresses, std::span<answer> said) {
        switch (w.by) {
            case asking::find:
                for (std::size_t i = 0; i < addresses.size(); ++i) {
                    procmap::name_buffer name;
                    procmap::build_id_buffer id;
                    if (const auto m = of.find(addresses[i], {.name = name, .build_id = id})) take(*m, addresses[i], said[i]);
                }
                break;
            case asking::walk:
                for (const mapping& m : of.walk({.names = true, .build_ids = true}))
                    for (std::size_t i = 0; i < addresses.size(); ++i)
                        if (m.start <= addresses[i] && addresses[i] < m.end) take(m, addresses[i], said[i]);
                break;
            case asking::capture: {
                const auto all = procmap::snapshot::capture(of, {.build_ids = true, .build_ids_from = w.from});
                for (std::size_t i = 0; all && i < addresses.size(); ++i)
                    if (const auto m = all->find(addresses[i])) take(*m, addresses[i], said[i]);
                break;
            }
            case asking::cache: {
                auto& cache = d.caches[w];
                if (!cache)
                    cache = std::make_unique<cached_maps>(
                        of, procmap::cached_maps_options{
                                .build_ids = true, .build_ids_from = w.from, .most_files = w.one_file ? 1u : 128u});
                for (std::size_t i = 0; i < addresses.size(); ++i)
                    if (const auto m = cache->find(addresses[i])) take(*m, addresses[i], said[i]);
                break;
            }
            case asking::normalize: {
                const procmap::normalizer_options options{
                    .build_ids = true, .elf_addresses = w.elf, .build_ids_from = w.from, .most_files = w.one_file ? 1u : 128u, .file_states = true};
                const std::size_t at_once = w.alone ? 1 : addresses.size();
                for (std::size_t i = 0; i < addresses.size(); i += at_once) {
                    normalizer fresh{options};
                    normalizer& n = w.fresh ? fresh : normalizers_.try_emplace(w, options).first->second;
                    take(n.normalize(of, addresses.subspan(i, at_once)), said.subspan(i, at_once));
                }
            }
        }
    }

    static void take(const procmap::result<procmap::normalized>& got, std::span<answer> said) {
        for (std::size_t i = 0; got && i < said.size(); ++i) {
            const procmap::location& l = got->locations[i];
            if (!l) continue;
            const procmap::mapped_file& f = got->files[l.file];
            said[i] = {.resolved = true,
                       .id_known = f.build_id_known,
                       .elf_known = l.elf_address_known,
                       .state = f.state,
                       .file = l.file,
                       .offset = l.offset,
                       .elf_address = l.elf_address,
                       .id = f.build_id};
            std::snprintf(said[i].path, sizeof said[i].path, "%.*s", static_cast<int>(f.path.size()), f.path.data());
        }
    }

    std::map<pid_t, desk> desks_;
    std::map<way, normalizer> normalizers_;
    std::uint32_t calls_ = 0;
};

/// A process that looks at others: root, or a user without rights.
class observer {
public:
    explicit observer(bool nobody)
        : nobody_(nobody), child_([nobody](channel& to) {
              if (nobody) drop_privileges();
              asker all;
              for (;;) {
                  const auto reports = all.look(to.receive<question>());
                  to.send(reports.size());
                  for (const report& r : reports) to.send(r);
              }
          }) {}

    const char* name() const { return nobody_ ? "nobody" : "root"; }
    bool nobody() const { return nobody_; }
    void start(pid_t pid, std::span<const std::uint64_t> addresses, const way* only = nullptr, bool again = false) {
        question q{.pid = pid,
                   .again = again,
                   .one_way = only != nullptr,
                   .only = only != nullptr ? *only : way{},
                   .count = static_cast<std::uint32_t>(addresses.size())};
        REQUIRE(addresses.size() <= std::size(q.addresses));
        std::copy(addresses.begin(), addresses.end(), q.addresses);
        child_->send(q);
    }
    std::vector<report> finish() {
        std::vector<report> reports(child_->receive<std::size_t>());
        for (report& r : reports) r = child_->receive<report>();
        return reports;
    }
    std::vector<report> look(pid_t pid, std::span<const std::uint64_t> addresses, const way* only = nullptr,
                             bool again = false) {
        start(pid, addresses, only, again);
        return finish();
    }

private:
    bool nobody_;
    child child_;
};

// ---- what is true, and what can be known

/// What is mapped at an address.
struct truth {
    std::uint64_t address = 0;
    std::string path;
    int file = 0;  // equal numbers are one file
    std::string id{};
    std::uint64_t offset = 0;
    std::uint64_t elf_address = 0;
};

/// The three segments of a program.
std::vector<truth> truths_of(std::uint64_t at, const std::string& path, const program& p, int file) {
    std::vector<truth> all;
    for (std::size_t i = 0; i < segments; ++i)
        all.push_back({.address = at + p.place(i) + 64,
                       .path = path,
                       .file = file,
                       .id = p.id(),
                       .offset = i * page + 64,
                       .elf_address = p.base() + p.place(i) + 64});
    return all;
}

std::vector<truth> operator+(std::vector<truth> a, const std::vector<truth>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

/// What there is evidence of, for somebody who looks.
struct evidence {
    build_id_source way = build_id_source::none;  // what shows a build ID where the kernel is not asked
    file_state state = file_state::unknown;       // where the path leads
    bool at_path = true;                          // the file at the mapping's path is it
    bool kernel = true;                           // the kernel may be asked about the file
    bool elf = true;                              // there is evidence of the ELF addresses where there is of the build ID
    [[nodiscard]] bool file_proven() const { return way == build_id_source::map_files || way == build_id_source::root_path; }
};

constexpr evidence by_map_files{build_id_source::map_files, file_state::linked};
constexpr evidence by_path{build_id_source::root_path, file_state::linked};
constexpr evidence by_map_files_alone{build_id_source::map_files};  // numbers do not name files: nothing is known of the path
constexpr evidence by_memory{build_id_source::memory};
constexpr evidence by_memory_only{.way = build_id_source::memory, .at_path = false};
constexpr evidence by_kernel_only{.at_path = false};
constexpr evidence nothing{.state = file_state::unreadable, .at_path = false, .kernel = false};

bool kernel_ids() {
    return kernel_has_ioctl() && procmap::safe_to_ask(procmap::known_hazards(procmap::running_kernel()));
}

/// Whether a user may read the memory of another process of his that permits it.
bool users_trace() {
    const auto scope = slurp("/proc/sys/kernel/yama/ptrace_scope");
    return !scope || *scope < "2";
}

const char* name_of(file_state s) {
    constexpr const char* names[] = {"unknown", "linked", "deleted", "replaced", "unreadable"};
    return names[static_cast<int>(s)];
}

const char* name_of(build_id_source s) {
    return s == build_id_source::kernel      ? "kernel"
           : s == build_id_source::map_files ? "map_files"
           : s == build_id_source::root_path ? "root_path"
           : s == build_id_source::memory    ? "memory"
                                             : "none";
}

/// What is wrong with an answer; empty where nothing is.
std::string fault(const report& r, std::span<const truth> truths, const evidence& e) {
    const truth& t = truths[r.address];
    const answer& a = r.said;
    const way& w = r.how;
    const bool normalizes = w.by == asking::normalize;
    if (!a.resolved) return "no answer";
    const auto is_path = [&](const truth& x) { return x.path == a.path && (&x == &t || (normalizes && x.file == t.file)); };
    if (std::none_of(truths.begin(), truths.end(), is_path)) return std::string{"path "} + a.path;
    if (a.offset != t.offset) return "offset " + std::to_string(a.offset);
    if (!a.id.empty() && !a.id_known) return "a build ID that is not known";
    if (a.id_known && hex(a.id) != hex(t.id)) return "build ID \"" + hex(a.id) + '"';
    if (a.elf_known && a.elf_address != t.elf_address)
        return "ELF address " + std::to_string(a.elf_address - t.elf_address) + " off";

    const bool no_memory = e.way == build_id_source::memory && !users_trace();
    const bool by_kernel = w.use == backend::ioctl && w.from != build_id_choice::file && kernel_ids() && !t.id.empty() &&
                           t.id.size() <= 20 && (e.kernel || !w.looks_at_files());
    const bool by_file =
        w.looks_at_files() && w.from != build_id_choice::kernel && e.way != build_id_source::none && !no_memory;
    if ((by_kernel || by_file) && !a.id_known) return "build ID not known";
    if (!e.kernel && !by_kernel && a.id_known) return "a build ID without a source";
    if (!normalizes) return {};
    if (by_kernel && a.id.source() != build_id_source::kernel) return std::string{"build ID from "} + name_of(a.id.source());
    if (!by_kernel && by_file && !t.id.empty() && a.id.source() != e.way)
        return std::string{"build ID from "} + name_of(a.id.source());
    const bool elf = e.file_proven() || by_file || (by_kernel && e.at_path);
    if (w.elf && elf && e.elf && !a.elf_known) return "ELF address not known";
    if (a.state != e.state) return std::string{"state "} + name_of(a.state);
    return {};
}

/// Whether two answers of one call, which are of one file or not, are given so.
std::string merged(const report& r, const report& s, std::span<const truth> truths) {
    const truth &t = truths[r.address], &u = truths[s.address];
    const bool one = r.said.file == s.said.file;
    if (one && t.file != u.file) return "one file with the mapping of " + u.path;
    const bool by_id = t.path == u.path && r.said.id_known && !r.said.id.empty() && s.said.id_known;
    if (!one && t.file == u.file && by_id && !r.how.one_file)
        return "another file than that of " + u.path + " at " + std::to_string(u.offset);
    return {};
}

/// Judges what was reported; the answers that were not known in spite of evidence are wrong as well.
void judge(const char* who, const std::vector<report>& reports, std::span<const truth> truths, const evidence& e) {
    std::map<std::string, int> wrong;
    const auto complain = [&](const report& r, const std::string& what) {
        if (what.empty()) return;
        const truth& t = truths[r.address];
        ++wrong[std::string{who} + ": " + name_of(r.how) + ": " + t.path + " at " + std::to_string(t.offset) + " (\"" +
                hex(t.id) + "\"): " + what];
    };
    for (const report& r : reports) {
        complain(r, fault(r, truths, e));
        if (r.how.by != asking::normalize || !r.said.resolved) continue;
        for (const report* s = &r; s != reports.data(); --s) {
            if (s[-1].call != r.call) break;
            if (s[-1].said.resolved) complain(r, merged(r, s[-1], truths));
        }
    }
    CHECK(!reports.empty());
    int shown = 0;
    for (const auto& [what, times] : wrong)
        if (++shown <= 12) FAIL_CHECK(what);
    if (shown > 12) FAIL_CHECK("and " << shown - 12 << " more");
}

std::vector<std::uint64_t> addresses_of(std::span<const truth> truths) {
    std::vector<std::uint64_t> addresses;
    for (const truth& t : truths) addresses.push_back(t.address);
    return addresses;
}

/// Looks twice, the second time with what is remembered.
void check(observer& who, pid_t pid, const std::vector<truth>& truths, const evidence& e) {
    for (const bool again : {false, true}) judge(who.name(), who.look(pid, addresses_of(truths), nullptr, again), truths, e);
}

/// Root and nobody, who look at what a stage's actors map.
struct theatre {
    temporary_directory dir;
    actor stage;
    observer root{false}, nobody{true};
    bool ready = stage.own_namespace();

    /// A directory below, as the actors name it.
    std::string make(const std::string& name) {
        std::filesystem::create_directories(dir / name);
        return dir / name;
    }
    /// Makes an image by a shell command, in which $i is its path, and mounts it. Empty where that cannot be done.
    std::string image(const std::string& name, const std::string& command, const std::string& type,
                      const std::string& options = {}) {
        const std::string at = make(name), file = dir / (name + ".img");
        const std::string set = "i=" + file + " d=" + (dir / "content") + "; ";
        if (stage.run(set + command) != 0 || stage.image(file, at, type, options) != 0) return {};
        (void)stage.run("chmod 755 " + at);
        return at;
    }
    bool tmpfs(const std::string& name, const char* type = "tmpfs") {
        return stage.mount(type, make(name), type, std::string_view{type} == "tmpfs" ? "mode=755" : "") == 0;
    }
    bool overlay(const std::string& at, const std::string& lower, const std::string& upper, const std::string& work,
                 const std::string& more = {}) {
        std::string options = "lowerdir=" + lower;
        if (!upper.empty()) options += ",upperdir=" + upper + ",workdir=" + work;
        return stage.mount("overlay", make(at), "overlay", options + more) == 0;
    }
    /// Lets a new actor join the stage, as a user without rights.
    std::unique_ptr<actor> user(bool with_rights = false) {
        auto a = std::make_unique<actor>();
        REQUIRE(a->join(stage) == 0);
        if (!with_rights) a->become_nobody();
        return a;
    }
    void both(pid_t pid, const std::vector<truth>& truths, const evidence& for_root, const evidence& for_nobody) {
        check(root, pid, truths, for_root);
        check(nobody, pid, truths, for_nobody);
    }
};

#define NEEDS_STAGE(theatre_name)             \
    NEEDS_LIVE_MAPS();                        \
    if (!is_root()) SKIP("mounts need root"); \
    theatre theatre_name;                     \
    if (!theatre_name.ready) SKIP("no mount namespace of one's own")

constexpr const char* make_ext4 = "truncate -s 16M $i && mkfs.ext4 -q -F $i";
constexpr const char* make_ext4_of_seconds = "truncate -s 16M $i && mkfs.ext4 -q -F -I 128 $i";
constexpr const char* make_xfs = "truncate -s 304M $i && mkfs.xfs -q -f $i";
constexpr const char* make_f2fs = "truncate -s 64M $i && mkfs.f2fs -q -f $i";
constexpr const char* make_btrfs = "truncate -s 128M $i && mkfs.btrfs -q -f $i";
constexpr const char* make_squashfs = "mksquashfs $d $i -noappend -quiet -no-progress";
constexpr const char* make_erofs = "mkfs.erofs --quiet $i $d || mkfs.erofs $i $d";

const program with_id{.letter = 'a'}, without_id{.letter = 'n', .id_size = 0}, with_long_id{.letter = 'l', .id_size = 32};

// ---- one file

TEST_CASE("a file that is written here has the build ID that readelf prints") {
    if (::system("readelf --version >/dev/null 2>&1") != 0) SKIP("no readelf");
    temporary_directory dir;
    for (const program& p : {with_id, without_id, with_long_id}) {
        dir.write("p", elf_of(p));
        FILE* const pipe = ::popen(("readelf -n " + (dir / "p")).c_str(), "r");
        std::string text(4096, '\0');
        text.resize(std::fread(text.data(), 1, text.size(), pipe));
        ::pclose(pipe);
        const auto at = text.find("Build ID: ");
        CHECK((at == std::string::npos ? "" : text.substr(at + 10, 2 * p.id_size)) == hex(p.id()));
    }
}

TEST_CASE("on every file system, all ways to ask give the file, its build ID and its ELF addresses") {
    NEEDS_STAGE(t);
    struct kind {
        const char* name;
        const char* make;  // nullptr: it needs no image
        const char* type;
        evidence root, nobody;
    };
    const kind kinds[] = {
        {"ext4", make_ext4, "ext4", by_map_files, by_path},
        {"ext4 with inodes of 128 bytes", make_ext4_of_seconds, "ext4", by_map_files, by_path},
        {"ext2", "truncate -s 16M $i && mkfs.ext2 -q -F $i", "ext2", by_map_files, by_path},
        {"xfs", make_xfs, "xfs", by_map_files, by_path},
        {"f2fs", make_f2fs, "f2fs", by_map_files, by_path},
        {"tmpfs", nullptr, "tmpfs", by_map_files, by_path},
        {"squashfs", make_squashfs, "squashfs", by_map_files, by_path},
        {"erofs", make_erofs, "erofs", by_map_files, by_path},
        {"btrfs", make_btrfs, "btrfs", by_map_files_alone, by_memory},
        {"ramfs", nullptr, "ramfs", by_map_files_alone, by_memory},
    };
    const std::pair<const char*, program> files[] = {{"id.so", with_id}, {"none.so", without_id}, {"long.so", with_long_id}};
    for (const auto& [name, p] : files) t.dir.write(std::string{"content/"} + name, elf_of(p));
    (void)t.stage.run("chmod -R 755 " + (t.dir / "content"));
    int number = 0;
    for (const kind& k : kinds) {
        const std::string mount = std::string{"fs"} + std::to_string(++number);
        std::string at = t.dir / mount;
        if (k.make == nullptr ? !t.tmpfs(mount, k.type) : (at = t.image(mount, k.make, k.type)).empty()) {
            not_included(k.name);
            continue;
        }
        INFO(std::string{k.name});
        (void)t.stage.run("cp " + (t.dir / "content") + "/* " + at);
        const auto user = t.user();
        std::vector<truth> truths;
        for (int i = 0; i < 3; ++i) {
            const std::string path = at + '/' + files[i].first;
            truths = truths + truths_of(user->map(path, files[i].second), path, files[i].second, i);
        }
        t.both(user->pid(), truths, k.root, k.nobody);
    }
}

TEST_CASE("a file on overlayfs is known by the kernel and by the process's memory, in whatever layer it lies") {
    NEEDS_STAGE(t);
    struct kind {
        const char* name;
        const char* upper_type;  // nullptr: both layers are on one file system
        const char* options;
    };
    int number = 0;
    for (const kind& k : {kind{"one file system", nullptr, ""}, kind{"one, xino=off", nullptr, ",xino=off"},
                          kind{"two file systems, xino=off", "tmpfs", ",xino=off"}, kind{"two, xino=on", "tmpfs", ",xino=on"},
                          kind{"two, of different types", "ramfs", ""}}) {
        INFO(std::string{k.name});
        const std::string n = std::to_string(++number), low = "low" + n, up = k.upper_type == nullptr ? low : "up" + n;
        REQUIRE(t.tmpfs(low));
        if (k.upper_type != nullptr) REQUIRE(t.tmpfs(up, k.upper_type));
        const std::string lower = t.dir / (low + "/l"), upper = t.dir / (up + "/u"), work = t.dir / (up + "/w"),
                          at = t.dir / ("merged" + n);
        REQUIRE(t.stage.run("mkdir " + lower + ' ' + upper + ' ' + work) == 0);
        for (const auto& [name, p] :
             {std::pair{"id.so", with_id}, std::pair{"none.so", without_id}, std::pair{"long.so", with_long_id}})
            REQUIRE(t.stage.write(lower + '/' + name, p) > 0);
        if (!t.overlay("merged" + n, lower, upper, work, k.options)) {
            not_included(std::string{"overlayfs: "} + k.name);
            continue;
        }
        const program in_upper{.letter = 'u'};
        REQUIRE(t.stage.write(at + "/upper.so", in_upper) > 0);
        const auto user = t.user();
        const auto map = [&](const char* name, const program& p, int file) {
            const std::string path = at + '/' + name;
            return truths_of(user->map(path, p), path, p, file);
        };
        t.both(user->pid(),
               map("id.so", with_id, 0) + map("none.so", without_id, 1) + map("long.so", with_long_id, 2) +
                   map("upper.so", in_upper, 3),
               by_memory, by_memory);
    }
}

// ---- two files of one device and inode

/// The device and inode that maps shows at an address.
std::string pair_at(pid_t pid, std::uint64_t address) {
    char pair[64] = "";
    for (const raw_line& l : raw_lines(slurp(maps_path(pid)).value_or("")))
        if (l.start <= address && address < l.end) std::sscanf(l.line.c_str(), "%*s %*s %*s %31[0-9a-f: ]", pair);
    return pair;
}

TEST_CASE("the contents before and after a copy-up, one pair and one name in maps, stay two files") {
    NEEDS_STAGE(t);
    struct kind {
        bool one_file_system;
        std::string options;
        std::size_t id_size;
        bool old_first;
    };
    int number = 0;
    for (const kind& k :
         {kind{true, ",xino=off", 20, true}, kind{true, ",xino=off", 20, false}, kind{true, ",xino=on", 20, true},
          kind{false, ",xino=off", 20, true}, kind{false, ",xino=on", 20, false}, kind{true, ",xino=off", 0, true},
          kind{true, ",xino=off", 0, false}, kind{false, ",xino=on", 0, true}, kind{true, ",xino=off", 32, true}}) {
        INFO("one file system " << k.one_file_system << k.options << " size of the ID " << k.id_size << " old first "
                                << k.old_first);
        const std::string n = std::to_string(++number), low = "low" + n, up = k.one_file_system ? low : "up" + n;
        REQUIRE(t.tmpfs(low));
        if (!k.one_file_system) REQUIRE(t.tmpfs(up));
        const std::string lower = t.dir / (low + "/l"), upper = t.dir / (up + "/u"), work = t.dir / (up + "/w");
        const std::string path = t.dir / ("merged" + n + "/lib.so");
        const program old{.letter = 'o', .id_size = k.id_size}, fresh{.letter = 'p', .id_size = k.id_size};
        REQUIRE(t.stage.run("mkdir " + lower + ' ' + upper + ' ' + work) == 0);
        REQUIRE(t.stage.write(lower + "/lib.so", old) >= 0);
        if (!t.overlay("merged" + n, lower, upper, work, k.options)) {
            not_included("overlayfs" + k.options);
            continue;
        }
        const auto user = t.user();
        const std::uint64_t arena = user->reserve(2 * (segments + 1));
        const std::uint64_t second = arena + (segments + 1) * page;
        const auto before = truths_of(user->map(path, old, k.old_first ? arena : second), path, old, 0);
        t.both(user->pid(), before, by_memory, by_memory);
        REQUIRE(t.stage.write(path, fresh) >= 0);
        t.both(user->pid(), before, by_memory_only, by_memory_only);
        const auto after = truths_of(user->map(path, fresh, k.old_first ? second : arena), path, fresh, 1);
        t.both(user->pid(), before + after, by_memory_only, by_memory_only);
        CHECK(pair_at(user->pid(), before[0].address) == pair_at(user->pid(), after[0].address));
    }
}

TEST_CASE("a build ID that is still that of the file, whose layout is another by now, gives no wrong ELF address") {
    NEEDS_STAGE(t);
    REQUIRE(t.tmpfs("layers"));
    const std::string lower = t.dir / "layers/l", upper = t.dir / "layers/u", work = t.dir / "layers/w",
                      path = t.dir / "merged/lib.so";
    REQUIRE(t.stage.run("mkdir " + lower + ' ' + upper + ' ' + work) == 0);
    const program old{.letter = 'o'}, apart{.letter = 'o', .apart = true};
    REQUIRE(t.stage.write(lower + "/lib.so", old) > 0);
    if (!t.overlay("merged", lower, upper, work)) SKIP("no overlayfs");
    const auto user = t.user();
    const auto before = truths_of(user->map(path, old), path, old, 0);
    REQUIRE(t.stage.write(path, apart) > 0);
    t.both(user->pid(), before, by_memory_only, by_memory_only);
    const auto after = truths_of(user->map(path, apart), path, apart, 0);
    // Who remembers segments by the build ID finds that they disagree, and asks no more.
    constexpr evidence remembered{.way = build_id_source::memory, .at_path = false, .elf = false};
    t.both(user->pid(), after, remembered, remembered);
    observer newcomers[]{observer{false}, observer{true}}, others[]{observer{false}, observer{true}};
    for (observer& who : newcomers) check(who, user->pid(), after, by_memory);
    // Where the headers cannot be read in memory, the file at the path has the build ID, and only the mappings tell its
    // segments.
    user->hide(before[0].address - 64);
    user->hide(after[0].address - 64);
    for (observer& who : others) {
        check(who, user->pid(), {before[1], before[2]}, {.at_path = false});
        check(who, user->pid(), {after[1], after[2]}, {});
    }
}

/// A file system with two subvolumes, of which one is a snapshot of the other; then lib.so of the one is rewritten.
bool make_subvolumes(theatre& t, const program& a, const program& b) {
    const std::string at = t.image("btrfs", make_btrfs, "btrfs");
    if (at.empty()) return false;
    return t.stage.run("btrfs subvolume create " + at + "/a") == 0 && t.stage.write(at + "/a/lib.so", a) > 0 &&
           t.stage.write(at + "/a/none.so", {.letter = 'm', .id_size = 0}) > 0 &&
           t.stage.run("btrfs subvolume snapshot " + at + "/a " + at + "/b && chmod 755 " + at + "/a " + at + "/b") == 0 &&
           t.stage.write(at + "/b/lib.so", b) > 0 && t.stage.write(at + "/b/none.so", {.letter = 'n', .id_size = 0}) > 0;
}

TEST_CASE("a mapping is not taken for a part of the image below it") {
    NEEDS_STAGE(t);
    const program a{.letter = 'a'}, b{.letter = 'b'};
    constexpr std::uint64_t header = 1, code = 2, rest = 6;
    const auto user = t.user();
    const std::uint64_t arena = user->reserve(4 * (segments + 1));
    const auto only_by_kernel = [&](const std::string& path, std::uint64_t at) {
        t.both(user->pid(), {truths_of(at, path, b, 0)[1]}, by_kernel_only, by_kernel_only);
    };
    REQUIRE(t.tmpfs("layers"));
    const std::string lower = t.dir / "layers/l", upper = t.dir / "layers/u", work = t.dir / "layers/w", at = t.dir / "merged";
    REQUIRE(t.stage.run("mkdir " + lower + ' ' + upper + ' ' + work) == 0);
    for (const char* name : {"/lib.so", "/mixed.so"}) REQUIRE(t.stage.write(lower + name, a) > 0);
    REQUIRE(t.stage.write(lower + "/other.so", b) > 0);
    if (t.overlay("merged", lower, upper, work)) {
        // Of another file, where a part of the image would be.
        user->map(at + "/lib.so", a, arena, header);
        user->map(at + "/other.so", b, arena, code);
        only_by_kernel(at + "/other.so", arena);
        // Of the new contents, above the old ones.
        const std::uint64_t old = arena + (segments + 1) * page;
        user->map(at + "/lib.so", a, old);
        user->map(at + "/mixed.so", a, arena + 2 * (segments + 1) * page, header);
        REQUIRE(t.stage.write(at + "/lib.so", b) >= 0);
        REQUIRE(t.stage.write(at + "/mixed.so", b) >= 0);
        user->map(at + "/lib.so", b, old + 2 * page, code);
        only_by_kernel(at + "/lib.so", old + 2 * page);
        // Of the new contents, where a part of the old image would be. Without the kernel nothing shows it.
        const std::uint64_t mixed = arena + 2 * (segments + 1) * page;
        user->map(at + "/mixed.so", b, mixed, rest);
        const std::vector<truth> one{truths_of(mixed, at + "/mixed.so", b, 0)[1]};
        for (observer* who : {&t.root, &t.nobody}) {
            auto reports = who->look(user->pid(), addresses_of(one));
            std::erase_if(reports,
                          [](const report& r) { return r.how.use == backend::text || r.how.from == build_id_choice::file; });
            if (kernel_ids()) judge(who->name(), reports, one, by_kernel_only);
        }
    } else {
        not_included("overlayfs");
    }
    if (make_subvolumes(t, a, b)) {
        const std::string first = t.dir / "btrfs/a/lib.so", second = t.dir / "btrfs/b/lib.so";
        const std::uint64_t place = arena + 3 * (segments + 1) * page;
        user->map(first, a, place, header);
        user->map(second, b, place, code);
        check(t.root, user->pid(), {truths_of(place, second, b, 0)[1]},
              {.way = build_id_source::map_files, .elf = false});
        check(t.nobody, user->pid(), {truths_of(place, second, b, 0)[1]}, by_kernel_only);
    } else {
        not_included("btrfs");
    }
}

TEST_CASE("files of two subvolumes of btrfs with one inode number stay two, in one process and in two") {
    NEEDS_STAGE(t);
    const program a{.letter = 'a'}, b{.letter = 'b'}, m{.letter = 'm', .id_size = 0}, n{.letter = 'n', .id_size = 0};
    if (!make_subvolumes(t, a, b)) SKIP("no btrfs");
    const std::string at = t.dir / "btrfs";
    const auto map = [&](actor& by, const std::string& name, const program& p, int file) {
        return truths_of(by.map(at + name, p), at + name, p, file);
    };
    const auto one = t.user(), two = t.user();
    const auto all = map(*one, "/a/lib.so", a, 0) + map(*one, "/b/lib.so", b, 1) + map(*one, "/b/none.so", n, 2) +
                     map(*one, "/a/none.so", m, 3);
    t.both(one->pid(), all, by_map_files_alone, by_memory);
    // What is remembered of the one process is not given of the other.
    const auto other = map(*two, "/b/lib.so", b, 0) + map(*two, "/b/none.so", n, 1);
    t.both(two->pid(), other, by_map_files_alone, by_memory);
    t.both(one->pid(), map(*one, "/a/lib.so", a, 0), by_map_files_alone, by_memory);
}

TEST_CASE("one path in two mount namespaces, with one pair in maps, is two files") {
    NEEDS_STAGE(t);
    const program a{.letter = 'a'}, b{.letter = 'b'}, m{.letter = 'm', .id_size = 0}, n{.letter = 'n', .id_size = 0};
    std::vector<std::tuple<std::string, std::string, evidence, evidence>> pairs;
    if (make_subvolumes(t, a, b))
        pairs.push_back({t.dir / "btrfs/a", t.dir / "btrfs/b", by_map_files_alone, by_memory});
    else
        not_included("btrfs");
    const std::string low = t.make("low");
    REQUIRE(t.tmpfs("up"));
    REQUIRE(t.stage.write(low + "/lib.so", a) > 0);
    REQUIRE(t.stage.write(low + "/none.so", m) > 0);
    bool mounted = true;
    for (const char* name : {"1", "2"}) {
        const std::string up = t.dir / (std::string{"up/"} + name);
        REQUIRE(t.stage.run("mkdir -p " + up + "/u " + up + "/w") == 0);
        mounted = mounted && t.overlay(std::string{"merged"} + name, low, up + "/u", up + "/w");
    }
    if (mounted) {
        REQUIRE(t.stage.write(t.dir / "merged2/lib.so", b) > 0);
        REQUIRE(t.stage.write(t.dir / "merged2/none.so", n) > 0);
        pairs.push_back({t.dir / "merged1", t.dir / "merged2", by_memory, by_memory});
    } else {
        not_included("overlayfs");
    }
    for (const char* name : {"t1", "t2"}) {
        REQUIRE(t.tmpfs(name));
        REQUIRE(t.stage.write(t.dir / (std::string{name} + "/lib.so"), name[1] == '1' ? a : b) > 0);
        REQUIRE(t.stage.write(t.dir / (std::string{name} + "/none.so"), name[1] == '1' ? m : n) > 0);
    }
    pairs.push_back({t.dir / "t1", t.dir / "t2", by_map_files, by_path});
    const std::string place = t.make("place");
    for (const auto& pair : pairs) {
        INFO(std::get<0>(pair));
        const auto& [one, two, for_root, for_nobody] = pair;
        std::unique_ptr<actor> containers[2];
        std::vector<truth> truths[2];
        for (int i = 0; i < 2; ++i) {
            containers[i] = t.user(true);
            REQUIRE(containers[i]->own_namespace());
            REQUIRE(containers[i]->bind(i == 0 ? one : two, place) == 0);
            containers[i]->become_nobody();
            const program &p = i == 0 ? a : b, &q = i == 0 ? m : n;
            truths[i] = truths_of(containers[i]->map(place + "/lib.so", p), place + "/lib.so", p, 0) +
                        truths_of(containers[i]->map(place + "/none.so", q), place + "/none.so", q, 1);
        }
        for (const int i : {0, 1, 0}) t.both(containers[i]->pid(), truths[i], for_root, for_nobody);
    }
}

TEST_CASE("two file systems of one kind give the same inode number to two files, which stay two") {
    NEEDS_STAGE(t);
    struct kind {
        const char* type;
        const char* make;
    };
    const program a{.letter = 'a'}, b{.letter = 'b'};
    const auto user = t.user();
    std::vector<truth> all;
    int file = 0;
    for (const kind& k :
         {kind{"tmpfs", nullptr}, kind{"ext4", make_ext4}, kind{"xfs", make_xfs}, kind{"squashfs", make_squashfs}}) {
        INFO(std::string{k.type});
        std::string paths[2];
        for (int i = 0; i < 2; ++i) {
            const std::string name = std::string{k.type} + std::to_string(i);
            t.dir.write("content/lib.so", elf_of(i == 0 ? a : b));
            (void)t.stage.run("chmod -R 755 " + (t.dir / "content"));
            std::string at = t.dir / name;
            if (k.make == nullptr ? !t.tmpfs(name) : (at = t.image(name, k.make, k.type)).empty()) break;
            (void)t.stage.run("cp " + (t.dir / "content/lib.so ") + at);
            paths[i] = at + "/lib.so";
        }
        if (paths[1].empty()) {
            not_included(k.type);
            continue;
        }
        CHECK(t.stage.run("test $(stat -c %i " + paths[0] + ") = $(stat -c %i " + paths[1] + ')') == 0);
        for (int i = 0; i < 2; ++i)
            all = all + truths_of(user->map(paths[i], i == 0 ? a : b), paths[i], i == 0 ? a : b, file++);
        t.both(user->pid(), all, by_map_files, by_path);
    }
}

TEST_CASE("rings of anonymous inodes have no build ID, and none is taken for another") {
    NEEDS_STAGE(t);
    const auto user = t.user(true);
    std::vector<truth> all;
    int file = 0;
    for (const auto& [kind, name, size] :
         {std::tuple{'p', "anon_inode:[perf_event]", 2u}, std::tuple{'u', "anon_inode:[io_uring]", 1u},
          std::tuple{'b', "anon_inode:bpf-map", 1u}})
        for (int i = 0; i < 2; ++i) {
            const std::int64_t at = user->ring(kind);
            if (at < 0) {
                if (i == 0) not_included(std::string{name} + ": " + std::strerror(static_cast<int>(-at)));
                continue;
            }
            all.push_back({.address = static_cast<std::uint64_t>(at) + 64, .path = name, .file = file++, .offset = 64});
        }
    if (all.empty()) SKIP("no ring can be mapped");
    user->become_nobody();
    for (observer* who : {&t.root, &t.nobody}) {
        check(*who, user->pid(), all, {.at_path = false});
        for (const report& r : who->look(user->pid(), addresses_of(all))) {
            INFO(name_of(r.how));
            const bool by_name = r.how.by == asking::normalize || r.how.by == asking::cache || r.how.use == backend::ioctl;
            if (by_name) CHECK(r.said.id_known);
        }
    }
}

// ---- FUSE

/// All ways but those that ask the kernel by the mapping's name alone.
std::vector<way> ways_that_ask_no_server() {
    std::vector<way> ways;
    for (const way& w : all_ways())
        if (w.use == backend::text || w.looks_at_files()) ways.push_back(w);
    return ways;
}

TEST_CASE("the server of a FUSE file is asked to read nothing, and its files stay as many as they are") {
    NEEDS_STAGE(t);
    set(server().armed, 0);
    // Where its owner alone is let in, nobody else can even look at its files, not even root.
    int number = 0;
    for (const char* whose : {"user_id=0,group_id=0,allow_other", "user_id=0,group_id=0", "user_id=65534,group_id=65534"}) {
        INFO(std::string{whose});
        const std::string at = t.make("fuse" + std::to_string(++number));
        if (t.stage.fuse(at, whose) != 0) SKIP("no FUSE");
        const auto user = t.user(number != 3);
        std::vector<truth> all;
        const std::uint32_t unread = now(server().reads);
        for (int i = 0; i < 3; ++i) {
            const std::string path = at + '/' + files_served[i].name;
            all = all + truths_of(user->map(path, files_served[i].content), path, files_served[i].content, i);
        }
        if (number != 3) user->become_nobody();
        CHECK(now(server().reads) == unread);
        for (const bool touched : {false, true}) {
            INFO("touched " << touched);
            if (touched)
                for (std::size_t i = 0; i < all.size(); i += segments) user->touch(all[i].address);
            const std::uint32_t before = now(server().reads);
            CHECK((before != unread) == touched);
            for (observer* who : {&t.root, &t.nobody})
                for (const way& w : ways_that_ask_no_server())
                    for (int again = 0; again < 2; ++again) {
                        if (w.use == backend::ioctl && !kernel_has_ioctl()) continue;
                        judge(who->name(), who->look(user->pid(), addresses_of(all), &w), all, nothing);
                        INFO(std::string{who->name()} << ' ' << name_of(w));
                        REQUIRE(now(server().reads) == before);
                    }
            if (!touched) continue;
            t.both(user->pid(), all, nothing, nothing);  // what is in the page cache the kernel has without the server
            CHECK(now(server().reads) == before);
        }
        // Nowhere any more, and root may not look at it in map_files either.
        const std::uint32_t before = now(server().reads);
        if (number != 3 || t.stage.run("umount -l " + at) != 0) continue;
        for (truth& one : all) one.path.erase(0, at.size());
        check(t.root, user->pid(), all, nothing);
        CHECK(now(server().reads) == before);
    }
}

// ---- one file by several names, and files that go

TEST_CASE("hard links and bind mounts of one file are one file") {
    NEEDS_STAGE(t);
    const program a{.letter = 'a'}, n{.letter = 'n', .id_size = 0};
    struct kind {
        const char* type;
        const char* make;
        evidence root, nobody;
        bool one;  // also for those who have no descriptor of the mapped file
    };
    for (const kind& k :
         {kind{"ext4", make_ext4, by_map_files, by_path, true}, kind{"tmpfs", nullptr, by_map_files, by_path, true},
          kind{"btrfs", make_btrfs, by_map_files_alone, by_memory, false}}) {
        std::string at = t.dir / k.type;
        if (k.make == nullptr ? !t.tmpfs(k.type) : (at = t.image(k.type, k.make, k.type)).empty()) {
            not_included(k.type);
            continue;
        }
        INFO(std::string{k.type});
        REQUIRE(t.stage.write(at + "/lib.so", a) > 0);
        REQUIRE(t.stage.write(at + "/none.so", n) > 0);
        const std::string bound = t.make(std::string{k.type} + ".bound");
        REQUIRE(t.stage.run("ln " + at + "/lib.so " + at + "/link.so && ln " + at + "/none.so " + at +
                            "/none.link.so && chmod 755 " + at) == 0);
        REQUIRE(t.stage.bind(at, bound) == 0);
        const auto user = t.user();
        std::vector<truth> all;
        for (const std::string& path : {at + "/lib.so", at + "/link.so", bound + "/lib.so"})
            all = all + truths_of(user->map(path, a), path, a, 0);
        for (const std::string& path : {at + "/none.so", at + "/none.link.so", bound + "/none.so"})
            all = all + truths_of(user->map(path, n), path, n, 1);
        t.both(user->pid(), all, k.root, k.nobody);
        if (!k.one) continue;
        for (observer* who : {&t.root, &t.nobody})
            for (const report& r : who->look(user->pid(), addresses_of(all))) {
                if (r.how.by != asking::normalize || r.how.alone || r.how.one_file) continue;
                if (!r.how.looks_at_files()) continue;
                INFO(std::string{who->name()} << ' ' << name_of(r.how) << ' ' << all[r.address].path);
                CHECK(r.said.file <= 1);
            }
    }
}

TEST_CASE("a library that was renamed over or deleted is never taken for the one at its path") {
    NEEDS_STAGE(t);
    const program a{.letter = 'a'}, b{.letter = 'b'}, d{.letter = 'd', .id_size = 0};
    struct kind {
        const char* type;
        const char* make;
        evidence root;
        bool numbers;  // a number tells that a file is another
    };
    constexpr evidence gone{build_id_source::map_files, file_state::deleted, false};
    for (const kind& k : {kind{"ext4", make_ext4, gone, true}, kind{"xfs", make_xfs, gone, true},
                          kind{"tmpfs", nullptr, gone, true}, kind{"btrfs", make_btrfs, gone, false},
                          kind{"overlay", nullptr, {build_id_source::memory, file_state::deleted, false}, false}}) {
        std::string at = t.dir / k.type;
        const bool overlay = std::string_view{k.type} == "overlay";
        bool can = true;
        if (overlay)
            can = t.tmpfs("layers") && t.stage.run("cd " + (t.dir / "layers") + " && mkdir l u w") == 0 &&
                  t.overlay("overlay", t.dir / "layers/l", t.dir / "layers/u", t.dir / "layers/w");
        else if (k.make == nullptr)
            can = t.tmpfs(k.type);
        else
            can = !(at = t.image(k.type, k.make, k.type)).empty();
        if (!can) {
            not_included(k.type);
            continue;
        }
        INFO(std::string{k.type});
        const std::string first = overlay ? t.dir / "layers/l" : at;
        for (const char* name : {"/lib.so", "/away.so"}) REQUIRE(t.stage.write(first + name, a) > 0);
        REQUIRE(t.stage.write(first + "/none.so", d) > 0);
        const auto user = t.user();
        // Looked at before, so that all of it is remembered.
        const std::string lib = at + "/lib.so", away = at + "/away.so", none = at + "/none.so", mark = " (deleted)";
        auto of_lib = truths_of(user->map(lib, a), lib, a, 0), of_away = truths_of(user->map(away, a), away, a, 1),
             of_none = truths_of(user->map(none, d), none, d, 2);
        const evidence fine = overlay ? by_memory : k.numbers ? by_map_files : by_map_files_alone, fine_for_nobody = k.numbers ? by_path : by_memory;
        t.both(user->pid(), of_lib + of_away + of_none, fine, fine_for_nobody);
        REQUIRE(t.stage.write(at + "/new.so", b) > 0);
        REQUIRE(t.stage.run("mv -f " + at + "/new.so " + lib + " && rm -f " + away + ' ' + none) == 0);
        for (auto* group : {&of_lib, &of_away, &of_none})
            for (truth& one : *group) one.path += mark;
        // A file that cannot be told from the mapped one lies at its path.
        evidence renamed = k.root;
        renamed.state = k.numbers ? file_state::replaced : file_state::unknown;
        check(t.root, user->pid(), of_lib, renamed);
        check(t.root, user->pid(), of_away + of_none, k.root);
        observer newcomer{true};  // who holds nothing that he could know it by
        const auto nobody_knows = [&](file_state state) { return evidence{build_id_source::memory, state, false}; };
        check(newcomer, user->pid(), of_lib, nobody_knows(k.numbers ? file_state::replaced : file_state::unknown));
        check(newcomer, user->pid(), of_away + of_none, nobody_knows(file_state::deleted));
        const auto fresh = truths_of(user->map(lib, b), lib, b, 3);
        t.both(user->pid(), fresh, fine, fine_for_nobody);
    }
}

TEST_CASE("a number that is given to the next file does not give it what was remembered of the last") {
    NEEDS_STAGE(t);
    const std::string at = t.image("ext4", make_ext4, "ext4");
    if (at.empty()) SKIP("no ext4");
    const auto user = t.user();
    const std::uint64_t place = user->reserve(segments + 1);
    const program other{.letter = 'z'};
    REQUIRE(t.stage.write(at + "/other.so", other) > 0);
    const std::uint64_t other_at = user->map(at + "/other.so", other);
    const std::array other_address{other_at + 64};
    int reused = 0, held = 0;
    for (const way& w : all_ways()) {
        if (w.by != asking::normalize && w.by != asking::cache) continue;
        if (w.fresh || (w.use == backend::ioctl && !kernel_has_ioctl())) continue;
        for (const bool as_nobody : {false, true}) {
            observer who{as_nobody};
            std::int64_t last = 0;
            for (const char letter : {'p', 'q', 'r'}) {
                const program p{.letter = letter, .id_size = letter == 'r' ? 0u : 20u};
                const std::int64_t inode = t.stage.write(at + "/lib.so", p);
                REQUIRE(inode > 0);
                (inode == last ? reused : held) += last != 0;
                last = inode;
                const auto all = truths_of(user->map(at + "/lib.so", p, place), at + "/lib.so", p, 0);
                for (int again = 0; again < 2; ++again)
                    judge(who.name(), who.look(user->pid(), addresses_of(all), &w), all, as_nobody ? by_path : by_map_files);
                if (w.one_file) (void)who.look(user->pid(), other_address, &w);
                user->unmap(place);
                REQUIRE(t.stage.run("rm " + at + "/lib.so") == 0);
            }
        }
    }
    std::printf("%d inode numbers given to the next file, %d held\n", reused, held);
    CHECK(reused != 0);
    CHECK(held != 0);
}

TEST_CASE("contents that are written over are seen, on a file system that keeps times in whole seconds") {
    NEEDS_STAGE(t);
    const std::string seconds = t.image("seconds", make_ext4_of_seconds, "ext4"), fine = t.image("fine", make_ext4, "ext4");
    if (seconds.empty() || fine.empty()) SKIP("no ext4");
    const auto user = t.user();
    std::vector<std::string> paths{seconds + "/lib.so", fine + "/lib.so"};
    std::vector<std::uint64_t> places;
    for (const char letter : {'a', 'b', 'c'}) {
        const program p{.letter = letter, .id_size = letter == 'c' ? 0u : 20u};
        std::vector<truth> all;
        for (std::size_t i = 0; i < paths.size(); ++i) {
            REQUIRE(t.stage.write(paths[i], p) > 0);
            if (letter == 'a') places.push_back(user->map(paths[i], p));
            all = all + truths_of(places[i], paths[i], p, static_cast<int>(i));
        }
        t.both(user->pid(), all, by_map_files, by_path);
        if (letter != 'c') ::usleep(1'150'000);
        t.both(user->pid(), all, by_map_files, by_path);
        if (letter != 'c') continue;
        // What was read is not given of what may not be read any more.
        const program last{.letter = 'd'};
        REQUIRE(t.stage.write(paths[1], last) > 0);
        REQUIRE(t.stage.run("chmod 0 " + paths[1]) == 0);
        check(t.nobody, user->pid(), truths_of(places[1], paths[1], last, 1), {.state = file_state::linked, .at_path = false});
    }
}

/// Waits for the beginning of a second.
void await_second() {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    ::usleep(static_cast<useconds_t>((1'000'000'000 - now.tv_nsec) / 1000 + 20'000));
}

TEST_CASE("contents that are written over within the second of their change time are never given as before") {
    NEEDS_STAGE(t);
    const std::string at = t.image("seconds", make_ext4_of_seconds, "ext4");
    if (at.empty()) SKIP("no ext4");
    const auto user = t.user();
    const std::string path = at + "/lib.so";
    const program before{.letter = 'a'}, after{.letter = 'b'};
    REQUIRE(t.stage.write(path, before) > 0);
    const std::uint64_t place = user->map(path, before);
    for (const bool nobody : {false, true})
        for (const asking by : {asking::normalize, asking::cache})
            for (const backend use : {backend::ioctl, backend::text}) {
                if (use == backend::ioctl && !kernel_has_ioctl()) continue;
                const way w{.by = by, .use = use, .from = build_id_choice::file, .elf = by == asking::normalize};
                observer& who = nobody ? t.nobody : t.root;
                await_second();
                timespec begin{}, end{};
                ::clock_gettime(CLOCK_REALTIME, &begin);
                REQUIRE(t.stage.write(path, before) > 0);
                ::usleep(100'000);  // longer than the tick: of a file system with finer times, the file would be settled
                const auto old = truths_of(place, path, before, 0), fresh = truths_of(place, path, after, 0);
                judge(who.name(), who.look(user->pid(), addresses_of(old), &w), old, nobody ? by_path : by_map_files);
                REQUIRE(t.stage.write(path, after) > 0);
                ::clock_gettime(CLOCK_REALTIME, &end);
                CHECK(begin.tv_sec == end.tv_sec);  // or this proves nothing
                judge(who.name(), who.look(user->pid(), addresses_of(fresh), &w), fresh, nobody ? by_path : by_map_files);
            }
}

TEST_CASE("cached files keep a file system busy until they are released") {
    NEEDS_STAGE(t);
    for (const char* type : {"ext4", "btrfs"}) {
        const std::string at = t.image(type, std::string_view{type} == "ext4" ? make_ext4 : make_btrfs, type);
        if (at.empty()) {
            not_included(type);
            continue;
        }
        INFO(std::string{type});
        const program p{.letter = 'a'};
        REQUIRE(t.stage.write(at + "/lib.so", p) > 0);
        const auto user = t.user();
        const std::uint64_t place = user->map(at + "/lib.so", p);
        const maps of = need(maps::open(user->pid()));
        normalizer n{{.build_ids = true, .elf_addresses = true, .build_ids_from = build_id_choice::file, .file_states = true}};
        cached_maps c{of, {.build_ids = true, .build_ids_from = build_id_choice::file}};
        const std::array address{place + 64};
        CHECK(hex(need(n.normalize(of, address)).files[0].build_id) == hex(p.id()));
        CHECK(hex(build_id{need(c.find(address[0])).build_id.bytes()}) == hex(p.id()));
        user->unmap(place);
        const std::string unmount = "umount " + at + " 2>/dev/null";
        CHECK(t.stage.run(unmount) != 0);
        n.release_files();
        CHECK(t.stage.run(unmount) != 0);
        CHECK(c.release_files());
        CHECK(t.stage.run(unmount) == 0);
        CHECK(!need(n.normalize(of, address)).locations[0]);
        CHECK(!c.find(address[0]));
    }
}

TEST_CASE("more files than are remembered, each several times in one call, are not mixed up") {
    NEEDS_STAGE(t);
    struct kind {
        const char* type;
        const char* make;
        evidence root, nobody;
    };
    for (const kind& k : {kind{"ext4", make_ext4, by_map_files, by_path}, kind{"btrfs", make_btrfs, by_map_files_alone, by_memory},
                          kind{"overlay", nullptr, by_memory, by_memory}}) {
        std::string at = t.dir / k.type;
        const bool can = k.make != nullptr
                             ? !(at = t.image(k.type, k.make, k.type)).empty()
                             : t.tmpfs("layers") && t.stage.run("cd " + (t.dir / "layers") + " && mkdir l u w") == 0 &&
                                   t.overlay(k.type, t.dir / "layers/l", t.dir / "layers/u", t.dir / "layers/w");
        if (!can) {
            not_included(k.type);
            continue;
        }
        INFO(std::string{k.type});
        constexpr int files = 6, times = 3;
        for (int i = 0; i < files; ++i)
            REQUIRE(t.stage.write(at + '/' + static_cast<char>('a' + i),
                                  {.letter = static_cast<char>('a' + i), .id_size = i % 3 == 2 ? 0u : 20u}) > 0);
        const auto user = t.user();
        const std::uint64_t arena = user->reserve(files * times * (segments + 1));
        std::vector<truth> all;
        for (int i = 0; i < files * times; ++i) {
            const int file = i % files;
            const program p{.letter = static_cast<char>('a' + file), .id_size = file % 3 == 2 ? 0u : 20u};
            const std::string path = at + '/' + p.letter;
            const auto three =
                truths_of(user->map(path, p, arena + static_cast<std::uint64_t>(i) * (segments + 1) * page), path, p, file);
            all.push_back(three[static_cast<std::size_t>(i) % segments]);
            if (i % 2 == 0) all.push_back(three[1]);
        }
        t.both(user->pid(), all, k.root, k.nobody);
    }
}

// ---- who is looked at, and when

TEST_CASE("a file of the program that a child of shared memory became is never taken for the handle's") {
#if defined(PROCMAP_TEST_SANITIZED)
    SKIP("a sanitizer's memory cannot be shared with a child");
#endif
    NEEDS_STAGE(t);
    const program a{.letter = 'a'}, b{.letter = 'b'};
    const bool subvolumes = make_subvolumes(t, a, b);
    REQUIRE(t.tmpfs("layers"));
    REQUIRE(t.stage.run("cd " + (t.dir / "layers") + " && mkdir l u w") == 0);
    REQUIRE(t.stage.write(t.dir / "layers/l/lib.so", a) > 0);
    const std::string place = t.make("place");
    for (const bool overlay : {false, true}) {
        if (overlay ? !t.overlay("overlay", t.dir / "layers/l", t.dir / "layers/u", t.dir / "layers/w") : !subvolumes) {
            not_included(overlay ? "overlayfs" : "btrfs");
            continue;
        }
        INFO((overlay ? std::string{"overlayfs"} : std::string{"btrfs"}));
        const std::string from = overlay ? t.dir / "overlay" : t.dir / "btrfs/a", to = overlay ? from : t.dir / "btrfs/b";
        const auto parent = t.user(true);
        REQUIRE(parent->own_namespace());
        REQUIRE(parent->bind(from, place) == 0);
        const std::string path = place + "/lib.so";
        const auto all = truths_of(parent->map(path, a, common_place), path, a, 0);
        const std::int64_t pid = parent->share_memory(to, place, path);
        REQUIRE(pid > 0);
        observer who{false};
        (void)who.look(static_cast<pid_t>(pid), {});  // opens its maps: those of the memory that both share
        if (overlay) REQUIRE(t.stage.write(t.dir / "overlay/lib.so", b) > 0);
        REQUIRE(parent->let_it_exec() > 0);
        bool mapped = false;
        for (int tries = 0; tries < 500 && !mapped; ++tries) {
            ::usleep(2000);
            for (const raw_line& l : raw_lines(slurp(maps_path(static_cast<pid_t>(pid))).value_or("")))
                mapped = mapped || (l.start == common_place + 2 * page && l.name == path);
            if (mapped &&
                slurp("/proc/" + std::to_string(pid) + "/cmdline").value_or("").find("map-instead") == std::string::npos)
                mapped = false;
        }
        REQUIRE(mapped);
        check(who, static_cast<pid_t>(pid), all, by_kernel_only);
        if (!overlay) {  // what becomes of the other program's file is not said of this one
            REQUIRE(t.stage.run("rm " + to + "/lib.so") == 0);
            check(who, static_cast<pid_t>(pid), all, by_kernel_only);
        }
        ::kill(static_cast<pid_t>(pid), SIGKILL);
    }
}

/// A file system that is mounted below a directory of FUSE, so that a lookup of its files can be held; and once more beside it.
struct gate {
    theatre& t;
    std::string beside, behind;
    bool ready = false;

    explicit gate(theatre& of) : t(of) {
        set(server().armed, 0), set(server().go, 0);
        beside = t.image("beside", make_ext4, "ext4");
        const std::string at = t.make("fuse");
        behind = at + "/gate";
        ready = !beside.empty() && t.stage.fuse(at) == 0 && t.stage.bind(beside, behind) == 0;
    }
    ~gate() { set(server().go, 1); }

    /// Looks in one way, and does something while the lookup is held.
    template <class Meanwhile>
    std::vector<report> look(observer& who, pid_t pid, std::span<const std::uint64_t> addresses, const way& w,
                             Meanwhile meanwhile) {
        set(server().go, 0);
        set(server().armed, 1);
        who.start(pid, addresses, &w);
        bool held = false;
        for (int tries = 0; tries < 5000 && !held; ++tries) {
            ::usleep(1000);
            held = now(server().held) != 0;
        }
        REQUIRE(held);
        meanwhile();
        set(server().go, 1);
        return who.finish();
    }
};

std::vector<way> ways_that_look_at_files() {
    std::vector<way> ways;
    for (const way& w : all_ways()) {
        if (w.looks_at_files() && w.by != asking::capture && !w.alone && (w.use == backend::text || kernel_has_ioctl()))
            ways.push_back(w);
    }
    return ways;
}

TEST_CASE("what is mapped anew while the file is looked for is not mixed with it") {
    NEEDS_STAGE(t);
    gate g{t};
    if (!g.ready) SKIP("no ext4 below FUSE");
    const program a{.letter = 'a'}, b{.letter = 'b'};
    const auto user = t.user();
    const std::uint64_t place = user->reserve(segments + 1);
    const std::string path = g.behind + "/lib.so", other = g.beside + "/other.so";
    REQUIRE(t.stage.write(g.beside + "/lib.so", a) > 0);
    REQUIRE(t.stage.write(other, b) > 0);
    int known = 0;
    for (const way& w : ways_that_look_at_files()) {
        observer who{true};
        user->map(path, a, place);
        const std::array addresses{place + page + 64};
        const auto reports = g.look(who, user->pid(), addresses, w, [&] { user->map(other, b, place); });
        for (const report& r : reports) {
            INFO(name_of(w) << ' ' << r.said.path << ' ' << hex(r.said.id));
            if (!r.said.resolved) continue;
            const program& p = r.said.path == path ? a : b;
            CHECK((r.said.path == path || r.said.path == other));
            if (r.said.id_known) CHECK(hex(r.said.id) == hex(p.id()));
            if (r.said.elf_known) CHECK(r.said.elf_address == p.base() + page + 64);
            known += r.said.id_known;
        }
    }
    CHECK(known != 0);  // cached_maps tries again
}

TEST_CASE("a file that gets the number of the mapped one while that is looked for is not taken for it") {
    NEEDS_STAGE(t);
    gate g{t};
    if (!g.ready) SKIP("no ext4 below FUSE");
    const program a{.letter = 'a'}, b{.letter = 'b'};
    const auto user = t.user();
    const std::uint64_t place = user->reserve(segments + 1);
    const std::string path = g.behind + "/lib.so", here = g.beside + "/lib.so";
    int reused = 0;
    for (const way& w : ways_that_look_at_files())
        for (const bool mapped_again : {false, true}) {
            observer who{true};
            const std::int64_t inode = t.stage.write(here, a);
            user->map(path, a, place);
            const std::array addresses{place + page + 64};
            const auto reports = g.look(who, user->pid(), addresses, w, [&] {
                user->unmap(place);
                REQUIRE(t.stage.run("rm " + here) == 0);
                reused += t.stage.write(here, b) == inode;
                if (mapped_again) user->map(here, b, place);
            });
            for (const report& r : reports) {
                INFO(name_of(w) << " mapped again " << mapped_again);
                if (!r.said.resolved) continue;
                const program& p = r.said.path == path ? a : b;
                if (r.said.id_known) CHECK(hex(r.said.id) == hex(p.id()));
                if (r.said.elf_known) CHECK(r.said.elf_address == p.base() + page + 64);
            }
            if (mapped_again) user->unmap(place);
            REQUIRE(t.stage.run("rm " + here) == 0);
        }
    if (reused == 0) not_included("no inode number was given to the next file");
}

TEST_CASE("in one call, a number that is given to the next file does not give it the first one's entry") {
    NEEDS_STAGE(t);
    gate g{t};
    if (!g.ready) SKIP("no ext4 below FUSE");
    const program a{.letter = 'a'}, b{.letter = 'b'}, c{.letter = 'c'}, z{.letter = 'z'};
    const auto user = t.user();
    constexpr std::size_t slot = segments + 1;
    const std::uint64_t arena = user->reserve(4 * slot);
    const auto place = [&](std::size_t i) { return arena + i * slot * page; };
    const std::string lib = g.beside + "/lib.so", second = g.beside + "/second.so", gated = g.behind + "/third.so";
    REQUIRE(t.stage.write(second, b) > 0);
    REQUIRE(t.stage.write(g.beside + "/third.so", c) > 0);
    int reused = 0;
    for (const way& w : ways_that_look_at_files()) {
        if (w.by != asking::normalize || !w.one_file) continue;
        observer who{true};
        const std::int64_t inode = t.stage.write(lib, a);
        user->map(lib, a, place(0)), user->map(second, b, place(1)), user->map(gated, c, place(2)), user->map(lib, a, place(3));
        std::vector<truth> all;
        all.push_back(truths_of(place(0), lib, a, 0)[1]);
        all.push_back(truths_of(place(1), second, b, 1)[1]);
        all.push_back(truths_of(place(2), gated, c, 2)[1]);
        all.push_back(truths_of(place(3), lib, z, 3)[1]);
        const auto reports = g.look(who, user->pid(), addresses_of(all), w, [&] {
            user->unmap(place(0));
            user->unmap(place(3));
            REQUIRE(t.stage.run("rm " + lib) == 0);
            reused += t.stage.write(lib, z) == inode;
            user->map(lib, z, place(3));
        });
        judge("nobody", reports, all, by_path);
    }
    if (reused == 0) not_included("no inode number was given to the next file");
}

TEST_CASE("a mapping that a walk saw before its number was given to the next file is not taken for one of that") {
    NEEDS_STAGE(t);
    gate g{t};
    if (!g.ready) SKIP("no ext4 below FUSE");
    const program a{.letter = 'a'}, c{.letter = 'c'}, z{.letter = 'z'};
    const auto user = t.user();
    constexpr std::size_t slot = segments + 1;
    const std::uint64_t arena = user->reserve(3 * slot);
    const auto place = [&](std::size_t i) { return arena + i * slot * page; };
    const std::string lib = g.beside + "/lib.so", gated = g.behind + "/third.so";
    REQUIRE(t.stage.write(g.beside + "/third.so", c) > 0);
    int reused = 0;
    for (const way& w : ways_that_look_at_files()) {
        if (w.by != asking::normalize || w.use != backend::text) continue;
        observer who{true};
        const std::int64_t inode = t.stage.write(lib, a);
        user->map(gated, c, place(0)), user->map(lib, a, place(1)), user->map(lib, a, place(2));
        const std::array addresses{place(0) + page + 64, place(1) + page + 64, place(2) + page + 64};
        const auto reports = g.look(who, user->pid(), addresses, w, [&] {
            user->unmap(place(1));
            user->unmap(place(2));
            REQUIRE(t.stage.run("rm " + lib) == 0);
            reused += t.stage.write(lib, z) == inode;
            user->map(lib, z, place(1));
        });
        for (const report& r : reports) {
            if (r.address != 2 || !r.said.resolved) continue;
            INFO(name_of(w));
            if (r.said.id_known) CHECK(hex(r.said.id) == hex(a.id()));
            if (r.said.elf_known) CHECK(r.said.elf_address == a.base() + page + 64);
        }
    }
    if (reused == 0) not_included("no inode number was given to the next file");
}

// ---- real libraries, and the kernel's loader

/// Builds two libraries of one layout, and a program that loads what it is told and prints where their function is.
bool build_libraries(theatre& t) {
    t.dir.write("lib.c", "int fn(int x) { return x * 2; }\nint data = 5;\nconst char ro[100] = \"x\";\nint bss[3000];\n");
    t.dir.write("load.c",
                "#include <dlfcn.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
                "int main(int c, char **v) {\n"
                "  for (int i = 1; i < c; i++) {\n"
                "    if (v[i][0] == '!') { if (system(v[i] + 1) != 0) return 1; continue; }\n"
                "    void *h = dlmopen(LM_ID_NEWLM, v[i], RTLD_NOW | RTLD_LOCAL);\n"
                "    if (!h) return puts(dlerror()), 1;\n"
                "    printf(\"%lx\\n\", (unsigned long)dlsym(h, \"fn\"));\n"
                "  }\n  puts(\"done\"); fflush(stdout); alarm(60); pause(); return 0;\n}\n");
    return t.stage.run("cd " + t.dir.path() +
                       " && for i in 1 2; do cc -shared -fPIC -O1 lib.c -o lib$i.so -Wl,--build-id=0x$(printf \"$i%.0s\" 1 2 3 "
                       "4 5 6 7 8 9 10 11 12 13 14 15 16 17 "
                       "18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40) || exit 1; done; cc "
                       "-D_GNU_SOURCE load.c -o load -ldl; "
                       "nm lib1.so | sed -n 's/ T fn$//p' > address") == 0;
}

/// Runs it with some files as a user does; its pid, and the addresses that it prints.
pid_t run_load(theatre& t, const std::string& arguments, std::vector<std::uint64_t>& addresses) {
    if (t.stage.run("cd " + t.dir.path() + " && rm -f out pid; { ./load " + arguments + " > out & echo $! > pid; }") != 0)
        return 0;
    std::string out;
    for (int tries = 0; tries < 1000 && out.find("done") == std::string::npos; ++tries) {
        ::usleep(2000);
        out = slurp(t.dir / "out").value_or("");
    }
    if (out.find("done") == std::string::npos) return 0;
    for (const char* at = out.c_str(); *at != 'd';) {
        char* end = nullptr;
        addresses.push_back(std::strtoull(at, &end, 16));
        at = end + 1;
    }
    return static_cast<pid_t>(std::atoi(slurp(t.dir / "pid").value_or("0").c_str()));
}

/// Where nm finds the function, and the truth about an address that is it.
truth function_at(theatre& t, std::uint64_t address, const std::string& path, char digit, int file) {
    const std::uint64_t elf = std::strtoull(slurp(t.dir / "address").value_or("").c_str(), nullptr, 16);
    std::string id(20, static_cast<char>((digit - '0') * 17));
    return {.address = address, .path = path, .file = file, .id = std::move(id), .offset = elf, .elf_address = elf};
}

TEST_CASE("libraries of two subvolumes of btrfs, loaded into one process, keep their build IDs") {
    NEEDS_STAGE(t);
    if (!build_libraries(t)) SKIP("no compiler");
    const std::string at = t.image("btrfs", make_btrfs, "btrfs");
    if (at.empty()) SKIP("no btrfs");
    REQUIRE(t.stage.run("cd " + at +
                        " && btrfs subvolume create a && cp ../lib1.so a/lib.so && btrfs subvolume snapshot a b && cat "
                        "../lib2.so > b/lib.so") == 0);
    std::vector<std::uint64_t> where;
    const pid_t pid = run_load(t, at + "/a/lib.so " + at + "/b/lib.so", where);
    REQUIRE(where.size() == 2);
    const std::vector all{function_at(t, where[0], at + "/a/lib.so", '1', 0),
                          function_at(t, where[1], at + "/b/lib.so", '2', 1)};
    check(t.root, pid, all, by_map_files_alone);
    ::kill(pid, SIGKILL);
}

TEST_CASE("a library that is rewritten on overlayfs while it is loaded keeps its build ID, and the new one has its own") {
    NEEDS_STAGE(t);
    if (!build_libraries(t)) SKIP("no compiler");
    REQUIRE(t.tmpfs("t"));
    const std::string layers = t.dir / "t", path = t.dir / "merged/lib.so";
    REQUIRE(t.stage.run("cd " + layers + " && mkdir l u w && cp ../lib1.so l/lib.so") == 0);
    if (!t.overlay("merged", layers + "/l", layers + "/u", layers + "/w")) SKIP("no overlayfs");
    std::vector<std::uint64_t> where;
    const pid_t pid = run_load(t, path + " '!cat lib2.so > merged/lib.so' " + path, where);
    REQUIRE(where.size() == 2);
    const std::vector all{function_at(t, where[0], path, '1', 0), function_at(t, where[1], path, '2', 1)};
    check(t.root, pid, all, by_memory_only);
    for (const truth& one : all) check(t.root, pid, {one}, by_memory_only);
    ::kill(pid, SIGKILL);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 4 && std::string_view{argv[0]} == "--map-instead") {  // see start_sharing()
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ensure(own_namespace() &&
                   (std::strcmp(argv[1], argv[2]) == 0 || ::mount(argv[1], argv[2], nullptr, MS_BIND, nullptr) == 0),
               "namespace");
        ensure(load(argv[3], false, common_place) > 0, "map");
        ::alarm(60);
        for (;;) ::pause();
    }
    (void)server();  // before there are children
    return support::run(argc, argv);
}
