// target MAPPINGS ADDRESSES UNIQUE HIT: a process to be queried. It creates MAPPINGS mappings, four for each file as the dynamic linker
// does (r--p r-xp r--p rw-p), and prints ADDRESSES addresses, UNIQUE of them different, in the code of HIT of the files. It exits at
// the end of its standard input.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <procmap/maps.hpp>

namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t code_pages = 16;

[[noreturn]] void fail(const char* what) {
    std::perror(what);
    std::exit(1);
}

void* map(void* at, std::size_t pages, int protection, int fd, std::size_t first) {
    void* const p = ::mmap(at, pages * page, protection, MAP_PRIVATE | (at ? MAP_FIXED : 0), fd, static_cast<off_t>(first * page));
    if (p == MAP_FAILED) fail("target: mmap");
    return p;
}

std::size_t mappings() {
    const auto self = procmap::maps::open_self();
    if (!self) fail("target: /proc/self/maps");
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& m : self->walk()) ++count;
    return count;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) return std::fputs("usage: target MAPPINGS ADDRESSES UNIQUE HIT\n", stderr), 2;
    const std::size_t wanted = std::strtoull(argv[1], nullptr, 10), addresses = std::strtoull(argv[2], nullptr, 10);
    const std::size_t unique = std::strtoull(argv[3], nullptr, 10), hit = std::strtoull(argv[4], nullptr, 10);

    // Allocate now, so that printing and storing create no mappings later.
    std::vector<char*> code;
    code.reserve(wanted);
    std::setvbuf(stdout, nullptr, _IOFBF, 1 << 16);
    std::size_t count = mappings();
    for (; count + 4 <= wanted; count += 4) {
        // A name as long as the path of a library.
        const std::string name = "lib/x86_64-linux-gnu/a-library-of-the-program-that-is-asked-about.so." + std::to_string(count);
        const int fd = ::memfd_create(name.c_str(), MFD_CLOEXEC);
        if (fd < 0 || ::ftruncate(fd, (code_pages + 3) * page) != 0) fail("target: memfd_create");
        char* const at = static_cast<char*>(map(nullptr, code_pages + 4, PROT_READ, fd, 0));
        map(at + page, code_pages, PROT_READ | PROT_EXEC, fd, 1);
        map(at + (code_pages + 1) * page, 1, PROT_READ, fd, code_pages + 1);
        map(at + (code_pages + 2) * page, 1, PROT_READ | PROT_WRITE, fd, code_pages + 2);
        ::munmap(at + (code_pages + 3) * page, page);  // a gap before the next
        ::close(fd);
        code.push_back(at + page);
    }
    for (; count < wanted; ++count) {  // the rest: one page each, between gaps
        char* const at = static_cast<char*>(::mmap(nullptr, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        ::munmap(at, page), ::munmap(at + 2 * page, page);
    }
    if (hit == 0 || hit > code.size() || unique == 0) return std::fputs("target: HIT or UNIQUE does not fit\n", stderr), 2;

    for (std::size_t i = 0; i < addresses; ++i) {
        const std::size_t one = i * 7919 % unique;  // unsorted
        const char* const in = code[code.size() * (one % hit) / hit];
        const std::uint64_t address = reinterpret_cast<std::uintptr_t>(in) + one * 61 % (code_pages * page);
        std::printf("%llx\n", static_cast<unsigned long long>(address));
    }
    if (mappings() != wanted) return std::fprintf(stderr, "target: has %zu mappings\n", mappings()), 1;
    std::fflush(stdout);
    ::close(STDOUT_FILENO);
    while (std::getchar() != EOF) {}
    return 0;
}
