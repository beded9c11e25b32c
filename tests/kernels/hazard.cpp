// What asking a kernel for build IDs can do to the caller, and that the library's defaults do not let it happen.
// hazard: asks through the library, in the situations in which some kernels oops, and checks the answers.
// hazard --direct: then asks the kernel itself, in children that it may kill. Only for a machine that may crash: tests/kernels/run.
// Exit status: 0 when the defaults gave the right answers and the kernel did nothing that known_hazards() does not know of.
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <procmap/procmap.hpp>

namespace {

constexpr std::size_t page = 4096;  // or more: what is mapped is only compared by its start

std::uint64_t address_of(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

/// The build ID that is in this program's memory, found without the library.
procmap::build_id own_build_id() {
    procmap::build_id found;
    const auto read_notes = [](dl_phdr_info* object, std::size_t, void* to) {
        for (int i = 0; i < object->dlpi_phnum; ++i) {
            const auto& segment = object->dlpi_phdr[i];
            if (segment.p_type != PT_NOTE) continue;
            const auto* at = reinterpret_cast<const char*>(object->dlpi_addr + segment.p_vaddr);
            const char* const end = at + segment.p_memsz;
            while (at + sizeof(ElfW(Nhdr)) <= end) {
                ElfW(Nhdr) note;
                std::memcpy(&note, at, sizeof note);
                const char* const name = at + sizeof note;
                const char* const id = name + (note.n_namesz + 3) / 4 * 4;
                if (note.n_type == NT_GNU_BUILD_ID && std::string_view{name, note.n_namesz} == std::string_view{"GNU", 4})
                    *static_cast<procmap::build_id*>(to) = procmap::build_id{std::as_bytes(std::span{id, note.n_descsz})};
                at = id + (note.n_descsz + 3) / 4 * 4;
            }
        }
        return 1;  // the first object is the program
    };
    ::dl_iterate_phdr(read_notes, &found);
    return found;
}

// ---- mappings of files whose first page is in no cache

struct situation {
    const char* name;
    void* memory;
};

void* map_shared(int fd) { return ::mmap(nullptr, page, PROT_READ, MAP_SHARED, fd, 0); }

std::vector<situation> nothing_cached() {
    const int sparse = ::memfd_create("sparse", MFD_CLOEXEC);
    const bool sized = ::ftruncate(sparse, 4 * page) == 0;
    const int truncated = ::memfd_create("truncated", MFD_CLOEXEC);
    const bool written = ::write(truncated, "\177ELF", 4) == 4;
    void* const of_truncated = map_shared(truncated);
    const bool cut = ::ftruncate(truncated, 0) == 0;
    std::vector<situation> all{{"a sparse memfd", map_shared(sparse)},
                               {"a truncated file", of_truncated},
                               {"shared memory", ::mmap(nullptr, page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0)}};
    for (const auto& s : all)
        if (!sized || !written || !cut || s.memory == MAP_FAILED) std::perror(s.name), std::exit(1);
    return all;
}

// ---- by the library's defaults

int wrong = 0;

void check(bool holds, const char* who, const char* of) {
    if (holds) return;
    ++wrong;
    std::printf("wrong: %s, of %s\n", who, of);
}

void ask_library(const procmap::maps& self, std::uint64_t at, const procmap::build_id& id, const char* of) {
    const procmap::build_id_view expected = id;
    procmap::name_buffer name;
    std::byte bytes[20];
    const auto found = self.find(at, {.name = name, .build_id = bytes});
    check(found && found->contains(at) && !found->name.empty(), "find", of);
    check(found && (found->build_id_known ? found->build_id == expected : found->build_id.empty()), "find's build ID", of);

    bool seen = false;
    auto walk = self.walk({.names = true, .build_ids = true});
    for (const auto& m : walk)
        if (m.contains(at)) {
            seen = true;
            check(m.build_id_known ? m.build_id == expected : m.build_id.empty(), "walk's build ID", of);
        }
    check(seen && walk.complete(), "walk", of);

    procmap::normalizer normalizer{{.build_ids = true, .elf_addresses = true}};
    const auto normalized = normalizer.normalize(self, {{at}});
    const bool located = normalized && normalized->complete() && normalized->locations[0];
    check(located, "normalizer", of);
    if (located) check(normalized->files[normalized->locations[0].file].build_id == expected, "normalizer's build ID", of);

    const auto taken = procmap::snapshot::capture(self, {.build_ids = true});
    const auto in_snapshot = taken->find(at);
    check(taken && in_snapshot, "snapshot", of);
    check(in_snapshot && in_snapshot->build_id == expected, "snapshot's build ID", of);
}

// ---- without the library

/// What became of a query for a build ID that a child made.
std::string ask_kernel(std::uint64_t at, std::uint32_t room, int expected) {
    const pid_t child = ::fork();
    if (child == 0) {
        const int fd = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
        unsigned char id[64];
        procmap::uapi::procmap_query query{};
        query.size = sizeof query;
        query.query_addr = at;
        query.build_id_addr = address_of(id);
        query.build_id_size = room;
        ::_exit(::ioctl(fd, procmap::uapi::procmap_query_request, &query) == 0 ? 0 : errno);
    }
    constexpr int patience = 20;  // seconds
    int status = 0;
    for (int tries = 0; ::waitpid(child, &status, WNOHANG) == 0; ++tries, ::usleep(10'000)) {
        if (tries < patience * 100) continue;
        ::kill(child, SIGKILL);
        ::sleep(2);
        return ::waitpid(child, &status, WNOHANG) == child ? "hangs" : "hangs and cannot be killed";
    }
    if (WIFSIGNALED(status)) return "killed";
    if (WEXITSTATUS(status) == expected) return "fine";
    return "answers " + std::to_string(WEXITSTATUS(status)) + ", not " + std::to_string(expected);
}

// ---- a socket with data

/// Two ends of a connection, one of them mapped, with bytes waiting in it.
struct mapped_socket {
    int here = -1;
    void* memory = MAP_FAILED;
    ssize_t sent = 0;

    mapped_socket() {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* const generic = reinterpret_cast<sockaddr*>(&address);
        const int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const int there = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ifreq lo{};
        std::strcpy(lo.ifr_name, "lo");
        if (::ioctl(there, SIOCGIFFLAGS, &lo) == 0 && (lo.ifr_flags & IFF_UP) == 0) {  // nobody else sets it up in a guest
            lo.ifr_flags |= IFF_UP;
            ::ioctl(there, SIOCSIFFLAGS, &lo);
        }
        if (::bind(listening, generic, size) != 0 || ::listen(listening, 1) != 0 || ::getsockname(listening, generic, &size) != 0 ||
            ::connect(there, generic, size) != 0 || (here = ::accept(listening, nullptr, nullptr)) < 0)
            std::perror("a TCP connection"), std::exit(1);
        memory = ::mmap(nullptr, page, PROT_READ, MAP_SHARED, here, 0);
        const std::string data(1000, 'x');
        sent = ::send(there, data.data(), data.size(), 0);
        for (int tries = 0; waiting() != sent && tries < 1000; ++tries) ::usleep(1000);
        if (memory == MAP_FAILED || waiting() != sent) std::perror("a mapped socket"), std::exit(1);
    }
    ssize_t waiting() const {
        char bytes[2000];
        return ::recv(here, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    }
};

/// The flags that this kernel accepts in a query: all others are EINVAL.
std::uint64_t accepted_flags() {
    const int fd = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    std::uint64_t accepted = 0;
    for (int bit = 0; bit < 64; ++bit) {
        procmap::uapi::procmap_query query{};
        query.size = sizeof query;
        query.query_flags = std::uint64_t{1} << bit;
        if (::ioctl(fd, procmap::uapi::procmap_query_request, &query) == 0 || errno != EINVAL) accepted |= query.query_flags;
    }
    ::close(fd);
    return accepted;
}

/// Prints it; whether it is what is known of this kernel.
bool report(const char* what, const std::string& became, bool known) {
    std::printf("direct: %s: %s\n", what, became.c_str());
    std::fflush(stdout);
    return became == "fine" || known;
}

}  // namespace

int main(int argc, char** argv) {
    const auto can = procmap::probe();
    std::printf("ioctl: %zu\n", can.struct_size);
    if (can.ioctl) std::printf("flags: %llx\n", static_cast<unsigned long long>(accepted_flags()));
    std::printf("hazards:");
    if (can.build_id_hazards.empty()) std::printf(" none");
    if (can.build_id_hazards.has(procmap::hazard::cve_2026_23002)) std::printf(" CVE-2026-23002");
    if (can.build_id_hazards.has(procmap::hazard::cve_2026_43178)) std::printf(" CVE-2026-43178");
    if (can.build_id_hazards.has(procmap::hazard::cve_2026_23199)) std::printf(" CVE-2026-23199");
    if (can.build_id_hazards.has(procmap::hazard::reads_what_is_mapped)) std::printf(" reads-what-is-mapped");
    std::printf("\n");

    const procmap::build_id own = own_build_id();
    if (own.empty()) return std::printf("wrong: this program was linked without a build ID\n"), 1;
    const auto self = procmap::maps::open_self();
    if (!self) return std::perror("open_self"), 1;
    const auto situations = nothing_cached();
    for (const auto& s : situations) ask_library(*self, address_of(s.memory), {}, s.name);
    const auto code = address_of(reinterpret_cast<const void*>(&own_build_id));
    ask_library(*self, code, own, "this program");
    std::printf("defaults: %s\n", wrong == 0 ? "right" : "wrong");
    std::fflush(stdout);
    if (argc < 2 || std::string_view{argv[1]} != "--direct") return wrong != 0;

    bool expected = wrong == 0;
    if (!can.ioctl) return !expected;
    // The situations are mapped afresh: the library's defaults read files, and so have filled a cache.
    for (const auto& s : nothing_cached())
        expected &= report(s.name, ask_kernel(address_of(s.memory), 20, 0), can.build_id_hazards.has(procmap::hazard::cve_2026_23002));
    const mapped_socket socket;
    std::string became = ask_kernel(address_of(socket.memory), 20, 0);
    if (socket.waiting() != socket.sent) became = "reads it";
    const bool reads = can.build_id_hazards.has(procmap::hazard::reads_what_is_mapped);
    expected &= report("a socket with data", became, became == "reads it" ? reads : can.build_id_hazards.has(procmap::hazard::cve_2026_23002));
    if (reads && became != "reads it") expected = false, std::printf("wrong: a hazard is said of this kernel that it does not have\n");
    expected &= report("a buffer shorter than the ID", ask_kernel(code, 8, ENAMETOOLONG), can.build_id_hazards.has(procmap::hazard::cve_2026_43178));
    return !expected;
}
