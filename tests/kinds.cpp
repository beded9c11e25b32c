// Every kind of mapping, asked about in every way: nothing is read that is not a regular file, nothing hangs, and each answer
// is the one that the kind deserves.
//
// The test process makes the mapping. Each way runs in a child that looks at the test process and has a deadline. What was read
// shows in three places: the build-ID queries that this executable's own ioctl counts, an inotify watch on the mapped file, and
// what the kind itself can tell (bytes waiting in a socket, READ requests to a FUSE server, ...).
#include "support.hpp"

#include <elf.h>
#include <linux/bpf.h>
#include <linux/fuse.h>
#include <linux/if_packet.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <linux/perf_event.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <atomic>
#include <cstdarg>
#include <cstddef>
#include <functional>
#include <map>
#include <type_traits>

#include <procmap/bpf.hpp>
#include <procmap/cached_maps.hpp>
#include <procmap/normalizer.hpp>

using namespace support;
using procmap::backend;
using procmap::build_id_choice;
using procmap::mapping;
using procmap::maps;
using procmap::unique_fd;

namespace {

// ---- what a child reports, in memory that it shares with the test

struct report {
    std::uint64_t start = 0, end = 0;  // of the mapping that is asked about
    int queries = 0;                   // PROCMAP_QUERY calls
    int id_queries = 0;                // those with room for a build ID
    int id_queries_of_it = 0;          // those of them that ask about this mapping
    std::uint64_t asking = 0;          // the address of the query that is under way, if it has room for a build ID
    bool failed = false;               // no answer at all
    bool has_file = true;
    bool known = false;
    std::size_t id_size = 0;
    unsigned char id[procmap::build_id::capacity] = {};
};

report* counted = nullptr;

}  // namespace

#ifdef __GLIBC__
#define NOEXCEPT noexcept
#else  // musl declares it without
#define NOEXCEPT
#endif

// Counts the queries, and lets the kernel answer them.
extern "C" int ioctl(int fd, std::remove_const_t<decltype(procmap::detail::ioctl_request)> request, ...) NOEXCEPT {
    va_list more;
    va_start(more, request);
    void* const argument = va_arg(more, void*);
    va_end(more);
    using procmap::uapi::procmap_query;
    const auto* const query = static_cast<const procmap_query*>(argument);
    const bool is_query = counted != nullptr && request == procmap::detail::ioctl_request;
    const bool with_id = is_query && query->size >= sizeof(procmap_query) && query->build_id_size != 0;
    const std::uint64_t address = is_query ? query->query_addr : 0;
    if (is_query) ++counted->queries;
    if (with_id) ++counted->id_queries, counted->asking = address;
    const int answer = static_cast<int>(syscall(SYS_ioctl, fd, request, argument));
    if (with_id) {
        const bool inside = counted->start <= address && address < counted->end;
        const bool answered = answer == 0 && counted->end != 0 && query->vma_start == counted->start;
        if (inside || answered) ++counted->id_queries_of_it;
        counted->asking = 0;
    }
    return answer;
}

namespace {

// ---- the ways to ask

/// Who answers, for the columns of the table.
enum class column : unsigned char { find, walk, capture, normalizer, cached_maps };

struct way {
    const char* name;
    column of;
    build_id_choice choice;
    bool elf_addresses;
    void (*ask)(const maps&, std::uint64_t, const way&, report&);

    /// Whether it decides by a mapping's name alone: it opens no file.
    bool by_name() const {
        if (of == column::find || of == column::walk) return true;
        return choice == build_id_choice::kernel && !elf_addresses;
    }
    bool opens_files() const {
        if (of == column::find || of == column::walk) return false;
        return choice != build_id_choice::kernel || elf_addresses;
    }
};

void take(const mapping& m, report& to) {
    to.known = m.build_id_known;
    to.id_size = std::min(m.build_id.size(), sizeof to.id);
    std::memcpy(to.id, m.build_id.bytes().data(), to.id_size);
}

void ask_find(const maps& of, std::uint64_t at, const way&, report& to) {
    procmap::name_buffer name;
    procmap::build_id_buffer id;
    const auto m = of.find(at, {.name = name, .build_id = id});
    m ? take(*m, to) : void(to.failed = true);
}

void ask_find_without_name(const maps& of, std::uint64_t at, const way&, report& to) {
    procmap::build_id_buffer id;
    const auto m = of.find(at, {.build_id = id});
    m ? take(*m, to) : void(to.failed = true);
}

void ask_find_from(const maps& of, std::uint64_t at, const way&, report& to) {
    procmap::name_buffer name;
    procmap::build_id_buffer id;
    const auto m = of.find_from(at, {.name = name, .build_id = id});
    m ? take(*m, to) : void(to.failed = true);
}

template <bool Names>
void ask_walk(const maps& of, std::uint64_t at, const way&, report& to) {
    to.failed = true;
    auto walk = of.walk({.names = Names, .build_ids = true});
    for (const mapping& m : walk)
        if (m.contains(at)) take(m, to), to.failed = false;
    to.failed |= !walk.complete();
}

void ask_capture(const maps& of, std::uint64_t at, const way& w, report& to) {
    const auto all = procmap::snapshot::capture(of, {.build_ids = true, .page_sizes = true, .build_ids_from = w.choice});
    const auto m = all ? all->find(at) : procmap::result<mapping>{all.error()};
    m ? take(*m, to) : void(to.failed = true);
}

void ask_normalizer(const maps& of, std::uint64_t at, const way& w, report& to) {
    procmap::normalizer n{{.build_ids = true, .elf_addresses = w.elf_addresses, .build_ids_from = w.choice}};
    for (int again = 0; again < 2; ++again) {  // the second time it remembers
        const auto answer = n.normalize(of, {{at}});
        to.failed = !answer || !answer->complete();
        if (to.failed) return;
        to.has_file = static_cast<bool>(answer->locations[0]);
        if (!to.has_file) continue;
        const auto& file = answer->files[answer->locations[0].file];
        take({.build_id_known = file.build_id_known, .build_id = file.build_id}, to);
    }
}

void ask_cached_maps(const maps& of, std::uint64_t at, const way& w, report& to) {
    procmap::cached_maps cache{of, {.build_ids = true, .build_ids_from = w.choice}};
    for (int again = 0; again < 2; ++again) {
        const auto m = cache.find(at);
        to.failed = !m;
        if (m) take(*m, to);
    }
}

void ask_resolve(const maps& of, std::uint64_t at, const way&, report& to) {
    procmap::normalizer n{{.build_ids = true}};
    procmap::bpf::stack_build_id stack{.status = procmap::bpf::stack_status::ip, .build_id = {}, .ip = at};
    to.failed = !procmap::bpf::resolve(n, of, {&stack, 1});
    to.known = stack.status == procmap::bpf::stack_status::valid;
    if (to.known) std::memcpy(to.id, stack.build_id, to.id_size = sizeof stack.build_id);
}

constexpr way ways[] = {
    {"find", column::find, build_id_choice::automatic, false, ask_find},
    {"find without a name", column::find, build_id_choice::automatic, false, ask_find_without_name},
    {"find_from", column::find, build_id_choice::automatic, false, ask_find_from},
    {"walk", column::walk, build_id_choice::automatic, false, ask_walk<true>},
    {"walk without names", column::walk, build_id_choice::automatic, false, ask_walk<false>},
    {"capture", column::capture, build_id_choice::automatic, false, ask_capture},
    {"capture, IDs from files", column::capture, build_id_choice::file, false, ask_capture},
    {"capture, IDs from the kernel", column::capture, build_id_choice::kernel, false, ask_capture},
    {"normalizer", column::normalizer, build_id_choice::automatic, true, ask_normalizer},
    {"normalizer, IDs from the kernel", column::normalizer, build_id_choice::kernel, true, ask_normalizer},
    {"normalizer, IDs from files", column::normalizer, build_id_choice::file, true, ask_normalizer},
    {"normalizer, no ELF addresses", column::normalizer, build_id_choice::automatic, false, ask_normalizer},
    {"normalizer, no ELF addresses, IDs from the kernel", column::normalizer, build_id_choice::kernel, false, ask_normalizer},
    {"cached_maps", column::cached_maps, build_id_choice::automatic, false, ask_cached_maps},
    {"cached_maps, IDs from the kernel", column::cached_maps, build_id_choice::kernel, false, ask_cached_maps},
    {"cached_maps, IDs from files", column::cached_maps, build_id_choice::file, false, ask_cached_maps},
    {"bpf::resolve", column::normalizer, build_id_choice::automatic, false, ask_resolve},
};
constexpr const way& default_normalizer = ways[8];
constexpr const way& default_cached_maps = ways[13];
static_assert(std::string_view{default_normalizer.name} == "normalizer" &&
              std::string_view{default_cached_maps.name} == "cached_maps");

struct back_end {
    const char* name;
    procmap::open_options how;
    bool kernel_asked;    // about regular files
    bool hidden = false;  // the kernel's release: none that is known to be safe
};

const std::vector<back_end>& back_ends() {
    static const std::vector<back_end> all = [] {
        std::vector<back_end> found;
        const bool safe = procmap::safe_to_ask(procmap::known_hazards(procmap::running_kernel()));
        if (kernel_has_ioctl()) {
            found.push_back({"ioctl", {.use = backend::ioctl}, safe});
            if (safe) found.push_back({"ioctl, release hidden", {.use = backend::ioctl}, false, true});
            if (safe)
                found.push_back(
                    {"ioctl, release hidden, trusting", {.use = backend::ioctl, .trust_kernel_build_ids = true}, true, true});
        }
        found.push_back({"text", {.use = backend::text}, false});
        return found;
    }();
    return all;
}

// ---- the kinds

/// What a mapping's name says of it.
enum class named : unsigned char {
    file,     ///< a regular file
    nothing,  ///< that there is no ELF file: no name, a socket, an anonymous inode
    unsure,   ///< neither
};

/// Whether it can be found out that a regular file is mapped.
enum class proof : unsigned char {
    none,
    by_map_files,  ///< it has no path: with privileges only
    by_path,
};

/// A mapping, and what holds it.
struct kind {
    std::string name;
    named by_name = named::unsure;
    proof regular = proof::none;
    std::string id{};  // the build ID that is in the file
    std::uint64_t at = 0;
    bool vdso = false;
    bool never_by_name = false;                // to ask by name would wait for ever
    std::function<void()> free_waiting{};      // ends the wait of what hangs: it can hold a lock that this process needs
    std::string allowed{};                     // what the kind may tell after a way that asks by name
    std::function<void()> before{};            // each way
    std::function<std::string()> disturbed{};  // what was done to it; empty: nothing
    unique_fd watch{};                         // inotify, of opens and reads
    std::vector<std::function<void()>> undo{};

    kind(std::string n, named b, proof r = proof::none) : name(std::move(n)), by_name(b), regular(r) {}
    kind(kind&&) = default;
    kind(const kind&) = delete;
    ~kind() {
        for (auto i = undo.rbegin(); i != undo.rend(); ++i) (*i)();
    }
    bool no_file() const { return by_name == named::nothing && !anonymous_file; }
    bool anonymous_file = false;  // a socket or an anonymous inode

    /// Maps `fd`; false where that fails.
    bool map(int fd, std::size_t size, int flags = MAP_SHARED, off_t offset = 0, int protection = PROT_READ) {
        void* const memory = ::mmap(nullptr, size, protection, flags, fd, offset);
        if (memory == MAP_FAILED) return false;
        at = address_of(memory);
        undo.emplace_back([memory, size] { ::munmap(memory, size); });
        return true;
    }
    /// Watches what `path` leads to.
    void watch_file(const std::string& path) {
        watch.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
        if (::inotify_add_watch(watch.get(), path.c_str(), IN_OPEN | IN_ACCESS) < 0) watch.reset();
    }
    void watch_fd(int fd) { watch_file("/proc/self/fd/" + std::to_string(fd)); }
};

/// Older kernels tell of opens by O_PATH too, which touch nothing.
bool path_opens_are_seen() {
    static const bool seen = [] {
        const temporary_directory directory;
        directory.write("file", "");
        const unique_fd watch{::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
        ::inotify_add_watch(watch.get(), (directory / "file").c_str(), IN_OPEN);
        const unique_fd by_path{::open((directory / "file").c_str(), O_PATH | O_CLOEXEC)};
        char events[4096];
        return ::read(watch.get(), events, sizeof events) > 0;
    }();
    return seen;
}

/// What the watch saw since the last call.
std::string events_of(const kind& k) {
    bool opened = false, accessed = false;
    alignas(inotify_event) char events[4096];
    for (ssize_t n; k.watch && (n = ::read(k.watch.get(), events, sizeof events)) > 0;)
        for (ssize_t i = 0; i < n;) {
            const auto* const e = reinterpret_cast<const inotify_event*>(events + i);
            opened |= (e->mask & IN_OPEN) != 0 && !path_opens_are_seen();
            accessed |= (e->mask & IN_ACCESS) != 0;
            i += static_cast<ssize_t>(sizeof *e + e->len);
        }
    return accessed ? "read" : opened ? "opened" : "";
}

void cannot_make(const std::string& name, const std::string& what) {
    not_included(name + ": " + what);
}

// ---- what the answers are to be

std::string hex(std::string_view bytes) {
    std::string text;
    char digits[3];
    for (const char c : bytes) std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(c)), text += digits;
    return text;
}

std::string answer_of(const kind& k, const report& r) {
    if (r.failed) return "no answer";
    if (!r.has_file) return "no file";
    if (!r.known)
        return r.id_size == 0 ? "not known" : "not known, but " + hex({reinterpret_cast<const char*>(r.id), r.id_size});
    if (r.id_size == 0) return "none";
    const std::string_view id{reinterpret_cast<const char*>(r.id), r.id_size};
    return k.vdso || id == k.id ? "ID" : "ID " + hex(id);
}

/// What the kernel may be asked for by the mapping's name.
std::string by_name_answer(const kind& k, const back_end& b) {
    if (b.how.use == backend::text) return "not known";
    if (k.by_name == named::nothing) return "none";
    return b.kernel_asked && k.by_name == named::file && !k.id.empty() ? "ID" : "not known";
}

/// Whether map_files can be opened here; where it cannot, what has no path may be not known.
bool map_files_open() {
    static const bool open = [] {
        for (const raw_line& raw : raw_lines(slurp(maps_path(::getpid())).value())) {
            if (!raw.name.starts_with('/')) continue;
            const std::string range = raw.line.substr(0, raw.line.find(' '));
            return static_cast<bool>(unique_fd{::open(("/proc/self/map_files/" + range).c_str(), O_PATH | O_CLOEXEC)});
        }
        return false;
    }();
    return open;
}

std::string opened_answer(const kind& k, const back_end& b, build_id_choice choice) {
    if (k.by_name == named::nothing) return "none";
    if (k.regular == proof::none) return "not known";
    if (choice == build_id_choice::kernel) return b.kernel_asked && !k.id.empty() ? "ID" : "not known";
    return k.id.empty() ? "none" : "ID";
}

std::string expected_answer(const kind& k, const back_end& b, const way& w) {
    const std::string opened = w.opens_files()               ? opened_answer(k, b, w.choice)
                               : k.by_name == named::nothing ? "none"
                                                             : by_name_answer(k, b);
    switch (w.of) {
        case column::find:
        case column::walk: return by_name_answer(k, b);
        case column::normalizer:
            if (w.ask == ask_resolve) return opened == "ID" || k.vdso ? "ID" : "not known";
            return k.vdso ? "ID" : k.no_file() ? "no file" : opened;
        case column::cached_maps: return k.vdso ? "ID" : opened;
        case column::capture:
            return k.vdso ? "ID" : k.no_file() ? "not known" : opened;  // a text says nothing of memory without a file
    }
    return {};
}

/// Whether the way may ask the kernel for the build ID, and so have it read the mapped file.
bool may_ask(const kind& k, const back_end& b, const way& w) {
    if (!b.kernel_asked) return false;
    if (w.by_name() && k.by_name == named::file) return true;
    return w.of != column::find && w.of != column::walk && w.choice != build_id_choice::file && w.opens_files() &&
           k.regular != proof::none;
}

// ---- asking, and looking at what came of it

struct row {
    std::string kind, find = "–", walk = "–", normalizer = "–", cached_maps = "–";
    std::map<std::string, std::vector<std::string>> touched{};  // what happened, by whom
    void note(const std::string& what, const std::string& by) {
        auto& all = touched[what];
        if (std::find(all.begin(), all.end(), by) == all.end()) all.push_back(by);
    }
};
std::vector<row> table;

report* shared_report() {
    static auto* const memory = reinterpret_cast<report*>(map_pages(1, PROT_READ | PROT_WRITE, MAP_SHARED));
    return memory;
}

/// Runs `ask` in a child, which counts into `r`. What kept it from its end; empty: nothing.
template <class Ask>
std::string in_child(report& r, const Ask& ask) {
    constexpr int patience = 15'000;  // ms
    int line[2] = {-1, -1};
    if (::pipe2(line, O_CLOEXEC) != 0) return "no pipe";
    std::fflush(nullptr);
    const pid_t own = ::getpid(), pid = ::fork();
    if (pid == 0) {
        end_with(own);
        counted = &r;
        ask();
        ::_exit(0);
    }
    ::close(line[1]);
    pollfd ended{.fd = line[0], .events = POLLIN, .revents = 0};
    const int answered = ::poll(&ended, 1, patience);
    ::close(line[0]);
    if (answered != 1) ::kill(pid, SIGKILL);
    int status = 0;
    pid_t reaped = 0;
    for (int tries = 0; (reaped = ::waitpid(pid, &status, WNOHANG)) == 0 && tries < 2000; ++tries) ::usleep(1000);
    if (answered != 1)
        return std::string{"hangs"} + (r.asking != 0 ? " in a query for a build ID" : "") +
               (reaped == pid ? "" : " and cannot be killed");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "" : "the child was killed";
}

std::string ask_in_child(const kind& k, const back_end& b, const way& w, report& r) {
    return in_child(r, [&, looked_at = ::getpid()] {
        if (b.hidden) ::personality(UNAME26);
        const auto of = maps::open(looked_at, b.how);
        of ? w.ask(*of, k.at, w, r) : void(r.failed = true);
    });
}

/// Asks about `k` in every way.
void ask_everyhow(const kind& k) {
    CAPTURE(k.name);
    row line{.kind = k.name};
    int hung = 0;
    std::uint64_t start = 0, end = 0;
    for (const raw_line& raw : raw_lines(slurp(maps_path(::getpid())).value()))
        if (raw.start <= k.at && k.at < raw.end) start = raw.start, end = raw.end;
    REQUIRE(end != 0);
    for (const back_end& b : back_ends()) {
        for (const way& w : ways) {
            constexpr int enough = 2;
            if (hung == enough) break;
            const bool asks = may_ask(k, b, w);
            if (k.never_by_name && asks) continue;
            report& r = *new (shared_report()) report{};
            r.start = start;
            r.end = end;
            if (k.before) k.before();
            (void)events_of(k);
            const std::string kept = ask_in_child(k, b, w, r);
            if (kept.starts_with("hangs")) ++hung;
            if (hung != 0 && k.free_waiting) k.free_waiting(), hung = enough;
            const std::string answer = kept.empty() ? answer_of(k, r) : kept;
            const std::string seen = events_of(k);
            const std::string disturbed = k.disturbed ? k.disturbed() : std::string{};

            // No CHECK with each: a message names the way.
            const std::string which = k.name + ", " + w.name + " (" + b.name + "): ";
            const std::string expected = expected_answer(k, b, w);
            const bool hidden = k.regular == proof::by_map_files && !map_files_open() && w.opens_files();
            const bool same = answer == expected || (hidden && answer == "not known");
            CHECK_MESSAGE(same, which << answer << ", not " << expected);
            CHECK_MESSAGE((r.id_queries_of_it == 0 || asks),
                          which << "the kernel was asked for the build ID, " << r.id_queries_of_it << " times");
            const bool may_open = k.regular != proof::none && w.opens_files();
            CHECK_MESSAGE((seen.empty() || may_open || asks), which << "it was " << seen);
            CHECK_MESSAGE((disturbed.empty() || (asks && disturbed == k.allowed)), which << disturbed);

            constexpr const char* columns[] = {"find", "walk", "capture", "normalizer", "cached_maps"};
            const bool chosen = w.choice == build_id_choice::kernel && w.by_name();
            const std::string who = std::string{columns[static_cast<std::size_t>(w.of)]} + (chosen ? "*" : "");
            if (r.id_queries_of_it != 0) line.note("kernel asked", who);
            if (!seen.empty() && r.id_queries_of_it == 0) line.note(seen, who);
            if (!disturbed.empty()) line.note(disturbed, who);
            if (!kept.empty()) line.note(kept, w.name);
            if (&b != &back_ends().front()) continue;
            if (&w == &ways[0]) line.find = answer;
            if (w.ask == ask_walk<true>) line.walk = answer;
            if (&w == &default_normalizer) line.normalizer = answer;
            if (&w == &default_cached_maps) line.cached_maps = answer;
        }
    }
    CHECK_MESSAGE(hung == 0, "ways that hang, after which no other was tried");
    table.push_back(std::move(line));
}

void print_table() {
    if (table.empty()) return;
    std::printf("\n| kind | find | walk | normalizer | cached_maps | read anything? |\n|---|---|---|---|---|---|\n");
    for (const row& r : table) {
        std::string touched;
        for (const auto& [what, all] : r.touched) {
            touched += (touched.empty() ? "" : "; ") + what;
            for (const std::string& by : all) touched += (&by == &all.front() ? ": " : ", ") + by;
        }
        std::printf("| %s | %s | %s | %s | %s | %s |\n", r.kind.c_str(), r.find.c_str(), r.walk.c_str(), r.normalizer.c_str(),
                    r.cached_maps.c_str(), touched.empty() ? "no" : touched.c_str());
    }
    std::printf(
        "The answers are those of the %s back-end. *: told to ask the kernel only (build_id_choice::kernel), by the name "
        "alone.\n",
        back_ends().front().name);
}

// ---- the machine

/// Mounts and sockets of its own, where that is permitted: what the test mounts vanishes with it, and nobody else's packets are
/// seen.
bool own_mounts = false;

void set_up_lo() {
    const unique_fd socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    ifreq interface {};
    std::strcpy(interface.ifr_name, "lo");
    if (::ioctl(socket.get(), SIOCGIFFLAGS, &interface) != 0 || (interface.ifr_flags & IFF_UP) != 0) return;
    interface.ifr_flags |= IFF_UP;
    ::ioctl(socket.get(), SIOCSIFFLAGS, &interface);
}

void isolate() {
    own_mounts = ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    ::unshare(CLONE_NEWNET);
    set_up_lo();
}

std::string why() {
    return std::strerror(errno);
}

/// A file system mounted on a directory of its own.
class mounted {
public:
    mounted(const char* type, const char* options)
        : mounted_(own_mounts && ::mount(type, path().c_str(), type, 0, options) == 0) {}
    mounted(const mounted&) = delete;
    mounted& operator=(const mounted&) = delete;
    ~mounted() {
        if (mounted_) ::umount2(path().c_str(), MNT_DETACH);
    }
    explicit operator bool() const { return mounted_; }
    const std::string& path() const { return directory_.path(); }
    std::string operator/(const std::string& name) const { return directory_ / name; }

private:
    temporary_directory directory_;
    bool mounted_;
};

// ---- ELF files

const std::string an_id = "\x01\x23\x45\x67\x89\xab\xcd\xef twelve more";

/// A small ELF file in this machine's byte order: one segment to load, and a build-ID note or another one.
std::string small_elf(std::string_view id) {
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
    head.e_phnum = 2;
    Elf64_Phdr load{}, note{};
    load.p_type = PT_LOAD;
    load.p_flags = PF_R | PF_X;
    load.p_vaddr = 0x400000;
    load.p_filesz = load.p_memsz = 2 * page;
    load.p_align = page;
    note.p_type = PT_NOTE;
    note.p_offset = sizeof head + 2 * sizeof note;
    note.p_filesz = note.p_memsz = sizeof(Elf64_Nhdr) + 4 + id.size();
    note.p_align = 4;
    Elf64_Nhdr words{};
    words.n_namesz = 4;
    words.n_descsz = static_cast<Elf64_Word>(id.size());
    words.n_type = id.empty() ? NT_GNU_ABI_TAG : NT_GNU_BUILD_ID;
    std::string file;
    const auto put = [&file](const auto& part) { file.append(reinterpret_cast<const char*>(&part), sizeof part); };
    put(head), put(load), put(note), put(words);
    file.append("GNU\0", 4).append(id);
    file.resize(2 * page);
    return file;
}

constexpr std::size_t elf_pages = 2;

/// Writes an ELF file and maps it.
std::optional<kind> elf_file(const char* name, named by_name, const std::string& path, std::string_view id) {
    kind k{name, by_name, proof::by_path};
    k.id = id;
    const std::string contents = small_elf(id);
    unique_fd file{::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644)};
    if (!file) return cannot_make(name, why()), std::nullopt;
    k.undo.emplace_back([path] { ::unlink(path.c_str()); });
    if (::write(file.get(), contents.data(), contents.size()) != static_cast<ssize_t>(contents.size()))
        return cannot_make(name, why()), std::nullopt;
    if (!k.map(file.get(), elf_pages * page, MAP_PRIVATE)) return cannot_make(name, why()), std::nullopt;
    k.watch_file(path);
    return k;
}

std::string own_name() {
    return "procmap-kinds." + std::to_string(::getpid());
}

}  // namespace

int main(int argc, char** argv) {
    isolate();
    const int status = support::run(argc, argv);
    print_table();
    return status;
}

namespace {

// ---- files

TEST_CASE("a regular file is asked about and read, and its build ID known; one without has none") {
    NEEDS_LIVE_MAPS();
    const temporary_directory directory;
    if (const auto k = elf_file("regular file", named::file, directory / "with", an_id)) ask_everyhow(*k);
    if (const auto k = elf_file("regular file, without an ID", named::file, directory / "without", "")) ask_everyhow(*k);
    if (const auto k = elf_file("regular file, deleted", named::file, directory / "deleted", an_id)) {
        ::unlink((directory / "deleted").c_str());
        kind deleted{k->name, named::file, proof::by_map_files};
        deleted.id = an_id;
        deleted.at = k->at;
        ask_everyhow(deleted);
    }
    if (const auto k = elf_file("file in /dev/shm (tmpfs)", named::file, "/dev/shm/" + own_name(), an_id)) ask_everyhow(*k);
    if (is_root())
        if (const auto k = elf_file("regular file in /dev", named::unsure, "/dev/" + own_name(), an_id)) ask_everyhow(*k);
    const unique_fd memory{::memfd_create("kinds", MFD_CLOEXEC)};
    kind k{"memfd", named::file, proof::by_map_files};
    k.id = an_id;
    const std::string contents = small_elf(an_id);
    REQUIRE(::write(memory.get(), contents.data(), contents.size()) == static_cast<ssize_t>(contents.size()));
    REQUIRE(k.map(memory.get(), elf_pages * page));
    k.watch_fd(memory.get());
    ask_everyhow(k);
}

// ---- memory

TEST_CASE("memory without a file is known to have no build ID; the vDSO has the one in its image") {
    NEEDS_LIVE_MAPS();
    for (const int flags : {MAP_PRIVATE, MAP_PRIVATE | MAP_GROWSDOWN}) {
        kind k{flags == MAP_PRIVATE ? "anonymous memory" : "anonymous memory that grows", named::nothing};
        k.at = address_of(map_pages(4, PROT_READ | PROT_WRITE, flags));
        k.undo.emplace_back([at = k.at] { ::munmap(reinterpret_cast<void*>(static_cast<std::uintptr_t>(at)), 4 * page); });
        ask_everyhow(k);
    }
    kind stack{"[stack]", named::nothing};
    stack.at = address_of(&stack);
    ask_everyhow(stack);
    const auto image = ::getauxval(AT_SYSINFO_EHDR);
    kind vdso{"[vdso]", named::unsure};
    vdso.vdso = true;
    vdso.at = image;
    image != 0 ? ask_everyhow(vdso) : cannot_make(vdso.name, "this kernel has none");
}

TEST_CASE("[vvar] is known to have no build ID, and not read") {
    NEEDS_LIVE_MAPS();
    for (const raw_line& raw : raw_lines(slurp(maps_path(::getpid())).value())) {
        if (!raw.name.starts_with("[vvar")) continue;
        kind k{raw.name, named::nothing};
        k.at = raw.start;
        ask_everyhow(k);
    }
}

TEST_CASE("shared memory that only the kernel has a name for is not known by its name") {
    NEEDS_LIVE_MAPS();
    kind shared{"shared anonymous memory", named::unsure, proof::by_map_files};
    REQUIRE(shared.map(-1, 2 * page, MAP_SHARED | MAP_ANONYMOUS));
    ask_everyhow(shared);

    kind segment{"SysV shared memory", named::unsure, proof::by_map_files};
    const int number = ::shmget(IPC_PRIVATE, page, IPC_CREAT | 0600);
    if (number < 0) {
        cannot_make(segment.name, why());
    } else {
        void* const memory = ::shmat(number, nullptr, SHM_RDONLY);
        ::shmctl(number, IPC_RMID, nullptr);
        REQUIRE(memory != reinterpret_cast<void*>(-1));
        segment.at = address_of(memory);
        segment.undo.emplace_back([memory] { ::shmdt(memory); });
        ask_everyhow(segment);
    }

    kind huge{"huge pages", named::unsure, proof::by_map_files};
    constexpr std::size_t most = std::size_t{1} << 30;
    std::size_t size = 0;
    std::ifstream sizes{"/proc/meminfo"};
    for (std::string line; std::getline(sizes, line);)
        if (std::size_t kb = 0; std::sscanf(line.c_str(), "Hugepagesize: %zu kB", &kb) == 1) size = kb * 1024;
    if (size == 0 || size > most || !huge.map(-1, size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE))
        cannot_make(huge.name, size == 0 ? "no hugetlbfs" : why());
    else
        ask_everyhow(huge);
}

TEST_CASE("the kernel's own files, a ring of asynchronous I/O and secret memory, are not known and not asked about") {
    NEEDS_LIVE_MAPS();
    kind ring{"AIO ring", named::unsure};
    unsigned long context = 0;
    if (::syscall(SYS_io_setup, 1, &context) != 0) {
        cannot_make(ring.name, why());
    } else {
        ring.at = context;
        ring.undo.emplace_back([context] { ::syscall(SYS_io_destroy, context); });
        ask_everyhow(ring);
    }

    constexpr long memfd_secret = 447;
    kind secret{"memfd_secret", named::unsure};
    const unique_fd memory{static_cast<int>(::syscall(memfd_secret, O_CLOEXEC))};
    if (!memory || ::ftruncate(memory.get(), static_cast<off_t>(page)) != 0 || !secret.map(memory.get(), page))
        cannot_make(secret.name, why());
    else
        ask_everyhow(secret);
}

// ---- devices

std::optional<kind> device(const std::string& path, named by_name, int flags, off_t offset = 0) {
    kind k{path + (flags == MAP_SHARED ? ", shared" : ", private"), by_name};
    const bool writable =
        path == "/dev/zero" && flags == MAP_SHARED;  // opened for reading only, it would be mapped as if private
    const unique_fd file{::open(path.c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC)};
    if (!file || !k.map(file.get(), page, flags, offset)) return cannot_make(k.name, why()), std::nullopt;
    return k;
}

/// A node of /dev/zero.
std::optional<kind> own_node(const char* name, const std::string& path, named by_name) {
    if (::mknod(path.c_str(), S_IFCHR | 0600, ::makedev(1, 5)) != 0) return cannot_make(name, why()), std::nullopt;
    auto k = device(path, by_name, MAP_PRIVATE);
    if (!k) return ::unlink(path.c_str()), std::nullopt;
    k->name = name;
    k->undo.emplace_back([path] { ::unlink(path.c_str()); });
    k->watch_file(path);
    return k;
}

TEST_CASE("a mapped device is not known, not opened, and not asked about") {
    NEEDS_LIVE_MAPS();
    if (const auto k = device("/dev/zero", named::unsure, MAP_PRIVATE)) ask_everyhow(*k);
    if (auto k = device("/dev/zero", named::unsure, MAP_SHARED)) {
        k->regular = proof::by_map_files;  // shared memory: what is mapped is a file of tmpfs
        ask_everyhow(*k);
    }
#if defined(__i386__) || defined(__x86_64__)
    constexpr off_t bios = 0xf0000;
    if (const auto k = device("/dev/mem", named::unsure, MAP_SHARED, bios)) ask_everyhow(*k);
#endif
    if (const auto k = own_node("device node", "/dev/" + own_name(), named::unsure)) ask_everyhow(*k);
}

TEST_CASE("a device node outside /dev is not opened, and asked about only where a name alone decides") {
    NEEDS_LIVE_MAPS();
    const mounted directory{"tmpfs", "mode=755"};  // that /tmp may have no devices is of no account
    if (const auto k = own_node("device node outside /dev", directory / "node", named::file)) ask_everyhow(*k);
}

// ---- sockets

struct connection {
    unique_fd here, there;
};

std::optional<connection> connected() {
    const unique_fd listening{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    connection c{.here = {}, .there = unique_fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)}};
    if (::bind(listening.get(), generic, size) != 0 || ::listen(listening.get(), 1) != 0 ||
        ::getsockname(listening.get(), generic, &size) != 0 || ::connect(c.there.get(), generic, size) != 0)
        return std::nullopt;
    c.here.reset(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    return c;
}

std::string waiting_in(int fd) {
    char bytes[8192];
    const ssize_t n = ::recv(fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    return {bytes, n > 0 ? static_cast<std::size_t>(n) : 0};
}

TEST_CASE("a mapped TCP socket is never read, and is known to have no build ID") {
    NEEDS_LIVE_MAPS();
    for (const bool with_data : {true, false}) {
        kind k{with_data ? "TCP socket with data" : "TCP socket without data", named::nothing};
        k.anonymous_file = true;
        const auto c = connected();
        if (!c || !k.map(c->here.get(), 4 * page)) {
            cannot_make(k.name, why());
            continue;
        }
        k.watch_fd(c->here.get());
        std::string data;
        for (int i = 0; with_data && i < 1000; ++i) data += static_cast<char>('a' + i % 26);
        k.before = [&] {
            const std::string now = waiting_in(c->here.get());
            if (now == data) return;
            char rest[8192];
            while (::recv(c->here.get(), rest, sizeof rest, MSG_DONTWAIT) > 0) {
            }
            REQUIRE(::send(c->there.get(), data.data(), data.size(), 0) == static_cast<ssize_t>(data.size()));
            for (int tries = 0; waiting_in(c->here.get()) != data && tries < 1000; ++tries) ::usleep(1000);
            REQUIRE(waiting_in(c->here.get()) == data);
        };
        k.disturbed = [&]() -> std::string {
            const std::string now = waiting_in(c->here.get());
            return now == data ? std::string{} : std::to_string(data.size() - now.size()) + " bytes were taken";
        };
        ask_everyhow(k);
    }
}

/// A ring of packets that come through lo.
struct packet_ring {
    static constexpr unsigned block = 65536, frame = 256;
    unique_fd socket{};
    char* memory = nullptr;

    bool make(kind& k, int version) {
        socket.reset(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
        if (!socket) return false;
        const int copies = 1;  // a packet that does not fit into its frame is queued in whole, for read()
        tpacket_req3 ring{};
        ring.tp_block_size = block;
        ring.tp_block_nr = 2;
        ring.tp_frame_size = frame;
        ring.tp_frame_nr = 2 * block / frame;
        ring.tp_retire_blk_tov = 1;  // ms
        const auto size = static_cast<socklen_t>(version == TPACKET_V3 ? sizeof ring : sizeof(tpacket_req));
        sockaddr_ll lo{};
        lo.sll_family = AF_PACKET;
        lo.sll_protocol = htons(ETH_P_ALL);
        lo.sll_ifindex = static_cast<int>(::if_nametoindex("lo"));
        const bool made = ::setsockopt(socket.get(), SOL_PACKET, PACKET_VERSION, &version, sizeof version) == 0 &&
                          ::setsockopt(socket.get(), SOL_PACKET, PACKET_COPY_THRESH, &copies, sizeof copies) == 0 &&
                          ::setsockopt(socket.get(), SOL_PACKET, PACKET_RX_RING, &ring, size) == 0 &&
                          k.map(socket.get(), 2 * block, MAP_SHARED, 0, PROT_READ | PROT_WRITE) &&
                          ::bind(socket.get(), reinterpret_cast<sockaddr*>(&lo), sizeof lo) == 0;
        memory = reinterpret_cast<char*>(static_cast<std::uintptr_t>(k.at));
        return made;
    }
    /// Whether the kernel has given the first frame, or the first block, to its reader.
    bool has_packets(int version) const {
        const std::uint32_t* const status = version == TPACKET_V3
                                                ? &reinterpret_cast<const tpacket_block_desc*>(memory)->hdr.bh1.block_status
                                                : &reinterpret_cast<const tpacket2_hdr*>(memory)->tp_status;
        return (__atomic_load_n(status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) != 0;
    }
    /// What is in the ring, up to where the kernel adds, and in the queue.
    std::string contents() const { return std::string{memory, frame} + waiting_in(socket.get()); }
};

TEST_CASE("a mapped ring of packets is never read, and is known to have no build ID") {
    NEEDS_LIVE_MAPS();
    for (const int version : {TPACKET_V2, TPACKET_V3}) {
        for (const bool with_packets : {true, false}) {
            kind k{std::string{"packet ring, "} + (version == TPACKET_V3 ? "TPACKET_V3" : "TPACKET_V2") +
                       (with_packets ? ", with packets" : ", without packets"),
                   named::nothing};
            k.anonymous_file = true;
            packet_ring ring;
            if (!ring.make(k, version)) {
                cannot_make(k.name, why());
                continue;
            }
            if (with_packets) {
                const unique_fd sender{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
                sockaddr_in discard{};
                discard.sin_family = AF_INET;
                discard.sin_port = htons(9);
                discard.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
                const std::string large(2 * packet_ring::frame, 'p');
                if (::sendto(sender.get(), large.data(), large.size(), 0, reinterpret_cast<sockaddr*>(&discard),
                             sizeof discard) < 0) {
                    cannot_make(k.name, "lo: " + why());
                    continue;
                }
                for (int tries = 0; !ring.has_packets(version) && tries < 5000; ++tries) ::usleep(1000);
                CHECK(ring.has_packets(version));
                if (version == TPACKET_V2) CHECK_FALSE(waiting_in(ring.socket.get()).empty());
            }
            k.watch_fd(ring.socket.get());
            const std::string before = ring.contents();
            k.disturbed = [&]() -> std::string { return ring.contents() == before ? "" : "packets were taken"; };
            ask_everyhow(k);
        }
    }
}

// ---- anonymous inodes

TEST_CASE("an anonymous inode is never asked about, and is known to have no build ID") {
    NEEDS_LIVE_MAPS();
    const auto ask = [](kind& k, const unique_fd& fd, std::size_t size, off_t offset = 0) {
        k.anonymous_file = true;
        if (!fd || !k.map(fd.get(), size, MAP_SHARED, offset)) return cannot_make(k.name, why());
        k.watch_fd(fd.get());
        ask_everyhow(k);
    };
    kind io{"io_uring", named::nothing};
    io_uring_params parameters{};
    const unique_fd io_fd{static_cast<int>(::syscall(SYS_io_uring_setup, 1, &parameters))};
    ask(io, io_fd, page, static_cast<off_t>(IORING_OFF_SQ_RING));

    kind perf{"perf ring", named::nothing};
    perf_event_attr clock{};
    clock.type = PERF_TYPE_SOFTWARE;
    clock.size = sizeof clock;
    clock.config = PERF_COUNT_SW_CPU_CLOCK;
    clock.sample_period = 1'000'000;
    const unique_fd perf_fd{static_cast<int>(::syscall(SYS_perf_event_open, &clock, 0, -1, -1, 0UL))};
    ask(perf, perf_fd, 2 * page);

    kind bpf{"BPF ring buffer", named::nothing};
    bpf_attr ring{};
    ring.map_type = BPF_MAP_TYPE_RINGBUF;
    ring.max_entries = static_cast<std::uint32_t>(page);
    const unique_fd bpf_fd{static_cast<int>(::syscall(SYS_bpf, BPF_MAP_CREATE, &ring, sizeof ring))};
    ask(bpf, bpf_fd, page);

    const unique_fd hypervisor{::open("/dev/kvm", O_RDWR | O_CLOEXEC)};
    const unique_fd machine{::ioctl(hypervisor.get(), KVM_CREATE_VM, 0)};
    kind processor{"KVM processor", named::nothing};
    const unique_fd processor_fd{::ioctl(machine.get(), KVM_CREATE_VCPU, 0)};
    ask(processor, processor_fd, page);

    kind guest{"KVM guest_memfd", named::nothing};
    struct {
        std::uint64_t size = 16 * page, flags = 1 /* GUEST_MEMFD_FLAG_MMAP, Linux 6.18 */, reserved[6] = {};
    } wanted;
    using request = std::remove_const_t<decltype(procmap::detail::ioctl_request)>;
    constexpr auto create_guest_memfd = static_cast<request>(_IOWR(KVMIO, 0xd4, decltype(wanted)));  // KVM_CREATE_GUEST_MEMFD
    const unique_fd guest_fd{::ioctl(machine.get(), create_guest_memfd, &wanted)};
    ask(guest, guest_fd, wanted.size);
}

// ---- FUSE

/// What a FUSE server and its test share.
struct served {
    std::atomic<int> reads{0};
    std::atomic<bool> stuck{false};  // it does not answer READ any more
};

/// Serves a directory with one file, "file", until the connection is gone.
void serve(int fd, const std::string& contents, served& state) {
    constexpr std::uint64_t file = 2;
    constexpr std::uint64_t for_ever = 1'000'000;
    const auto attributes = [&](std::uint64_t node) {
        fuse_attr a{};
        a.ino = node;
        a.mode = node == file ? S_IFREG | 0644 : S_IFDIR | 0755;
        a.nlink = 1;
        a.size = node == file ? contents.size() : 0;
        a.blksize = 4096;
        return a;
    };
    std::vector<char> room(1 << 17);
    for (;;) {
        const ssize_t n = ::read(fd, room.data(), room.size());
        if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN)) continue;
        if (n < static_cast<ssize_t>(sizeof(fuse_in_header))) return;
        fuse_in_header in;
        std::memcpy(&in, room.data(), sizeof in);
        const char* const body = room.data() + sizeof in;
        const auto reply = [&](int failure, const void* data = nullptr, std::size_t size = 0) {
            fuse_out_header out{.len = static_cast<std::uint32_t>(sizeof out + size), .error = -failure, .unique = in.unique};
            std::string message{reinterpret_cast<const char*>(&out), sizeof out};
            message.append(static_cast<const char*>(data), size);
            (void)!::write(fd, message.data(), message.size());
        };
        switch (in.opcode) {
            case FUSE_INIT: {
                fuse_init_in asked{};
                std::memcpy(&asked, body, std::min(sizeof asked, static_cast<std::size_t>(n) - sizeof in));
                fuse_init_out init{};
                init.major = FUSE_KERNEL_VERSION;
                init.minor = std::min<std::uint32_t>(asked.minor, 31);
                init.max_write = 4096;
                init.time_gran = 1;
                reply(0, &init, sizeof init);
                break;
            }
            case FUSE_LOOKUP: {
                fuse_entry_out entry{};
                entry.nodeid = file;
                entry.entry_valid = entry.attr_valid = for_ever;
                entry.attr = attributes(file);
                std::string_view{body} == "file" ? reply(0, &entry, sizeof entry) : reply(ENOENT);
                break;
            }
            case FUSE_GETATTR: {
                fuse_attr_out out{};
                out.attr_valid = for_ever;
                out.attr = attributes(in.nodeid);
                reply(0, &out, sizeof out);
                break;
            }
            case FUSE_OPEN: {
                fuse_open_out opened{};
                opened.open_flags = FOPEN_KEEP_CACHE;
                reply(0, &opened, sizeof opened);
                break;
            }
            case FUSE_READ: {
                fuse_read_in asked;
                std::memcpy(&asked, body, sizeof asked);
                ++state.reads;
                if (state.stuck) break;
                const std::size_t from = std::min<std::size_t>(static_cast<std::size_t>(asked.offset), contents.size());
                reply(0, contents.data() + from, std::min<std::size_t>(asked.size, contents.size() - from));
                break;
            }
            case FUSE_STATFS: {
                fuse_statfs_out out{};
                out.st.bsize = out.st.frsize = 4096;
                out.st.namelen = 255;
                reply(0, &out, sizeof out);
                break;
            }
            case FUSE_FLUSH:
            case FUSE_RELEASE:
            case FUSE_ACCESS: reply(0); break;
            case FUSE_FORGET:
            case FUSE_BATCH_FORGET:
            case FUSE_INTERRUPT: break;
            default: reply(ENOSYS);
        }
    }
}

TEST_CASE("a file of FUSE is not read by what opens files, and by the kernel only where a name alone decides") {
    NEEDS_LIVE_MAPS();
    enum class pages { cached, uncached, stuck };
    const std::string contents = small_elf(an_id);
    for (const pages first : {pages::cached, pages::uncached, pages::stuck}) {
        kind k{std::string{"FUSE file, "} + (first == pages::cached     ? "cached"
                                             : first == pages::uncached ? "not cached"
                                                                        : "server does not answer"),
               named::file};
        k.id = an_id;
        const temporary_directory directory;
        unique_fd connection{::open("/dev/fuse", O_RDWR | O_CLOEXEC)};
        const std::string options = "fd=" + std::to_string(connection.get()) + ",rootmode=40000,user_id=0,group_id=0";
        if (!connection || !own_mounts || ::mount("fuse", directory.path().c_str(), "fuse", 0, options.c_str()) != 0) {
            cannot_make(k.name, connection && !own_mounts ? "no mounts of its own" : why());
            continue;
        }
        auto& state = *new (map_pages(1, PROT_READ | PROT_WRITE, MAP_SHARED)) served;
        {
            child server{[&](channel&) { serve(connection.get(), contents, state); }};
            connection.reset();
            const std::string path = directory / "file";
            unique_fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
            REQUIRE(file);
            REQUIRE(k.map(file.get(), elf_pages * page, MAP_PRIVATE));
            CHECK(slurp(path) == contents);
            CHECK(state.reads != 0);
            state.stuck = first == pages::stuck;
            k.never_by_name = first == pages::stuck;
            k.free_waiting = [&] { server.kill(); };
            if (first == pages::uncached) k.allowed = "READ requests";
            k.before = [&] {
                if (first != pages::cached) {
                    unsigned char resident[elf_pages] = {1, 1};
                    ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
                    ::mincore(reinterpret_cast<void*>(static_cast<std::uintptr_t>(k.at)), elf_pages * page, resident);
                    CHECK((resident[0] & 1) == 0);
                }
                state.reads = 0;
            };
            k.disturbed = [&]() -> std::string { return state.reads == 0 ? "" : "READ requests"; };
            k.watch_file(path);
            ask_everyhow(k);
        }
        ::umount2(directory.path().c_str(), MNT_DETACH);
        ::munmap(&state, page);
    }
}

// ---- tracefs

/// Writes into a file that is there; false where that fails.
bool put(const std::string& path, std::string_view text) {
    const unique_fd file{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
    return file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

void ask_trace(const std::string& name, named by_name, const std::string& tracing) {
    kind k{name, by_name};
    const std::string instance = tracing + "/instances/" + own_name();
    if (::mkdir(instance.c_str(), 0700) != 0) return cannot_make(name, why());
    {
        cpu_set_t before, first;
        CPU_ZERO(&first);
        CPU_SET(0, &first);
        ::sched_getaffinity(0, sizeof before, &before);
        ::sched_setaffinity(0, sizeof first, &first);
        bool written = true;
        for (int i = 0; i < 10; ++i) written &= put(instance + "/trace_marker", "event " + std::to_string(i) + '\n');
        ::sched_setaffinity(0, sizeof before, &before);
        const std::string of_first = instance + "/per_cpu/cpu0/";
        const unique_fd pipe{::open((of_first + "trace_pipe_raw").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
        if (!written || !pipe || !k.map(pipe.get(), page)) {
            cannot_make(name, why());
        } else {
            const auto state = [&] {
                std::string all;
                const std::string stats = slurp(of_first + "stats").value_or("");
                for (const char* const line : {"entries: ", "overrun: ", "bytes: ", "read events: "})
                    if (const auto at = stats.find(line); at != std::string::npos)
                        all += stats.substr(at, stats.find('\n', at) + 1 - at);
                return all + slurp(instance + "/trace").value_or("");
            };
            const std::string at_first = state();
            CHECK(at_first.find("event 9") != std::string::npos);
            CHECK(at_first.find("read events: 0") != std::string::npos);
            k.disturbed = [=]() -> std::string { return state() == at_first ? "" : "events were taken"; };
            k.watch_fd(pipe.get());
            ask_everyhow(k);
        }
        k.undo.clear();
        ::munmap(reinterpret_cast<void*>(static_cast<std::uintptr_t>(k.at)), k.at != 0 ? page : 0);
    }
    ::rmdir(instance.c_str());
}

TEST_CASE("a mapped trace buffer is not read; outside /sys it is asked about only where a name alone decides") {
    NEEDS_LIVE_MAPS();
    const mounted outside{"tracefs", ""};
    if (!outside) return cannot_make("trace_pipe_raw", own_mounts ? why() : "no mounts of its own");
    ask_trace("trace_pipe_raw outside /sys", named::file, outside.path());
    const std::string usual = "/sys/kernel/tracing";
    if (::mount("tracefs", usual.c_str(), "tracefs", 0, nullptr) != 0) return cannot_make("trace_pipe_raw in /sys", why());
    ask_trace("trace_pipe_raw in /sys", named::unsure, usual);
    ::umount2(usual.c_str(), MNT_DETACH);
}

// ---- what it costs

/// The queries that a call makes about this process, in a child.
template <class Call>
report counting(Call call) {
    report& r = *new (shared_report()) report{};
    const std::string kept = in_child(r, [&] { r.failed = !call(); });
    CHECK_MESSAGE(kept.empty(), kept);
    CHECK_FALSE(r.failed);
    return r;
}

TEST_CASE(
    "find with a build ID costs two queries, one of them with an ID, and one where there is no file; without it costs one") {
    NEEDS_LIVE_MAPS();
    if (!kernel_has_ioctl()) return skip("no ioctl");
    const back_end& b = back_ends().front();
    const maps self = need(maps::open_self(b.how));
    const temporary_directory directory;
    const auto file = elf_file("regular file", named::file, directory / "file", an_id);
    REQUIRE(file);
    procmap::name_buffer name;
    procmap::build_id_buffer id;
    for (const bool with_name : {true, false}) {
        const std::span<char> to = with_name ? std::span<char>{name} : std::span<char>{};
        const report with = counting([&] { return self.find(file->at, {.name = to, .build_id = id}).has_value(); });
        CHECK(with.queries == (b.kernel_asked ? 2 : 1));
        CHECK(with.id_queries == (b.kernel_asked ? 1 : 0));
        const report from = counting([&] { return self.find_from(file->at, {.name = to, .build_id = id}).has_value(); });
        CHECK(from.queries == with.queries);
        CHECK(from.id_queries == with.id_queries);
        const report without = counting([&] { return self.find(file->at, {.name = to}).has_value(); });
        CHECK(without.queries == 1);
        CHECK(without.id_queries == 0);
        const report of_stack =
            counting([&] { return self.find(address_of(&name), {.name = to, .build_id = id}).has_value(); });
        CHECK(of_stack.queries == 1);
        CHECK(of_stack.id_queries == 0);
    }
}

TEST_CASE(
    "a walk with build IDs costs one query for each mapping, one for the end, and one more for each mapping of a regular "
    "file") {
    NEEDS_LIVE_MAPS();
    if (!kernel_has_ioctl()) return skip("no ioctl");
    const back_end& b = back_ends().front();
    const temporary_directory directory;
    const auto file = elf_file("regular file", named::file, directory / "file", an_id);
    REQUIRE(file);
    kind socket{"TCP socket", named::nothing}, memory{"shared memory", named::unsure}, zero{"/dev/zero", named::unsure};
    const auto c = connected();
    if (!c || !socket.map(c->here.get(), page)) cannot_make(socket.name, why());
    REQUIRE(memory.map(-1, page, MAP_SHARED | MAP_ANONYMOUS));
    const unique_fd node{::open("/dev/zero", O_RDONLY | O_CLOEXEC)};
    REQUIRE(zero.map(node.get(), page, MAP_PRIVATE));
    const maps self = need(maps::open_self(b.how));
    for (const bool names : {true, false}) {
        const auto walk = [&](bool ids) {
            return counting([&] {
                auto all = self.walk({.names = names, .build_ids = ids});
                for (const mapping& m : all) static_cast<void>(m);
                return all.complete();
            });
        };
        report with, without;
        std::vector<raw_line> seen;
        for (int tries = 0; tries < 5; ++tries) {  // the heap may grow meanwhile
            seen = raw_lines(slurp(maps_path(::getpid())).value());
            with = walk(true);
            without = walk(false);
            if (seen.size() == raw_lines(slurp(maps_path(::getpid())).value()).size()) break;
        }
        const auto mappings = static_cast<int>(seen.size());
        int files = 0;
        for (const raw_line& raw : seen) files += raw.name.starts_with('/') && !raw.name.starts_with("/dev/zero");
        CHECK(files != 0);
        CHECK(with.queries == mappings + 1 + (b.kernel_asked ? files : 0));
        CHECK(with.id_queries == (b.kernel_asked ? files : 0));
        CHECK(without.queries == mappings + 1);
        CHECK(without.id_queries == 0);
    }
}

}  // namespace
