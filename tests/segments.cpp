// Which ELF address a byte of a mapped file has. Real programs and libraries of four linkers are run, patched, torn apart and
// mapped as data, and compared with nm; where an image lies is known from the process itself. load_bias() alone is given
// invented layouts.
#include "support.hpp"

#include <array>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <sstream>

#include <procmap/load_bias.hpp>
#include <procmap/normalizer.hpp>

using namespace support;
using namespace std::string_literals;
using procmap::backend;
using procmap::maps;
using procmap::normalizer;
namespace elf = procmap::elf;

// Runs a check, a lambda that returns whether it holds, at compile time and again at run time.
#define CHECK_TWICE(...)                     \
    do {                                     \
        constexpr auto proved = __VA_ARGS__; \
        static_assert(proved());             \
        CHECK(proved());                     \
    } while (false)

// For a test case that builds programs and looks at them with other tools.
#define NEEDS_TOOLS()                                                                                                      \
    do {                                                                                                                   \
        NEEDS_LIVE_MAPS();                                                                                                 \
        if (!succeeds("command -v cc && command -v nm && command -v readelf")) SKIP("needs a C compiler, nm and readelf"); \
        if (agent_program().empty()) SKIP("the C compiler does not work");                                                 \
    } while (false)

namespace {

// ---- other tools

std::string output_of(const std::string& command) {
    FILE* const pipe = ::popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string text;
    char piece[65536];
    for (std::size_t n; (n = std::fread(piece, 1, sizeof piece, pipe)) > 0;) text.append(piece, n);
    ::pclose(pipe);
    return text;
}

bool succeeds(const std::string& command) {
    return ::system(("{ " + command + "; } >/dev/null 2>&1").c_str()) == 0;
}

/// A PT_LOAD by readelf.
struct load {
    std::uint64_t offset, address, file_size, memory_size;
    int protection;
    std::uint64_t first() const { return address - address % page; }                               // page in memory
    std::uint64_t first_offset() const { return offset - offset % page; }                          // page in the file
    std::uint64_t end() const { return (address + file_size + page - 1) / page * page; }           // of the file's pages
    std::uint64_t memory_end() const { return (address + memory_size + page - 1) / page * page; }  // with .bss
    bool holds(std::uint64_t value) const { return value >= first() && value < end(); }            // in its pages
    bool has_byte_at(std::uint64_t at) const { return at >= offset && at - offset < file_size; }
};

struct symbol {
    std::string name;
    std::uint64_t value, size;
};

/// What readelf and nm say of a file.
struct described {
    std::vector<load> loads;  // the PT_LOADs that have bytes in the file
    std::vector<symbol>
        symbols;  // those that have an address: neither undefined nor absolute, and no offset in thread-local storage
};
std::map<std::string, described> all_described;

/// Asks readelf and nm about many files at once.
void describe(const std::vector<std::string>& files, bool dynamic = false) {
    std::string names;
    for (const std::string& file : files)
        if (all_described.try_emplace(file).second) names += " '" + file + '\'';
    if (names.empty()) return;
    std::string line;
    described* of = nullptr;
    for (std::istringstream lines{output_of("readelf -lW /dev/null" + names + " 2>/dev/null")}; std::getline(lines, line);) {
        if (line.starts_with("File: ")) of = &all_described[line.substr(6)];  // printed of more than one
        unsigned long long offset = 0, address = 0, file_size = 0, memory_size = 0;
        int flags = 0;
        if (std::sscanf(line.c_str(), " LOAD %llx %llx %*x %llx %llx %n", &offset, &address, &file_size, &memory_size, &flags) <
            4)
            continue;
        const std::string letters = line.substr(static_cast<std::size_t>(flags), 3);
        const auto has = [&](char c, int protection) { return letters.find(c) != std::string::npos ? protection : 0; };
        const int protection = has('R', PROT_READ) | has('W', PROT_WRITE) | has('E', PROT_EXEC);
        if (file_size != 0) of->loads.push_back({offset, address, file_size, memory_size, protection});
    }
    for (std::istringstream lines{
             output_of("nm --format=sysv --defined-only "s + (dynamic ? "-D" : "") + names + " 2>/dev/null")};
         std::getline(lines, line);) {
        constexpr std::string_view head = "Symbols from ";
        if (line.starts_with(head)) of = &all_described[line.substr(head.size(), line.size() - head.size() - 1)];
        std::vector<std::string> fields;
        std::istringstream cells{line};
        for (std::string cell; std::getline(cells, cell, '|');) {
            const auto begin = std::min(cell.find_first_not_of(' '), cell.size());
            fields.push_back(cell.substr(begin, cell.find_last_not_of(' ') + 1 - begin));
        }
        if (fields.size() < 7 || fields[2].size() != 1 || fields[3] == "TLS" ||
            "aANnUw?-"s.find(fields[2]) != std::string::npos)
            continue;
        of->symbols.push_back(
            {fields[0], std::strtoull(fields[1].c_str(), nullptr, 16), std::strtoull(fields[4].c_str(), nullptr, 16)});
    }
}

const std::vector<load>& loads_of(const std::string& file) {
    return describe({file}), all_described[file].loads;
}
const std::vector<symbol>& symbols_of(const std::string& file) {
    return describe({file}), all_described[file].symbols;
}

std::uint64_t value_of(const std::string& file, const std::string& name) {
    for (const symbol& s : symbols_of(file))
        if (s.name == name) return s.value;
    FAIL("no symbol " << name << " in " << file);
    return 0;
}

// ---- programs and libraries, made here

/// What a source is made of: functions and objects of each kind, and bytes that fill up its sections.
struct source {
    const char* name;
    int count;
    int text = 0, constants = 0, relocated = 0, data = 0, bss = 0;
    bool own_sections = false;  // each function and object has a section of its own
};

constexpr source tiny{"tiny", 1};
constexpr source medium{"medium", 60, 3000, 5000, 300, 2000, 1000};
constexpr source large{"large", 60, 100'000, 50'000, 9000, 300'000, 1'000'000};
constexpr source many_sections{"many_sections", 100, 0, 0, 0, 0, 0, true};
constexpr source sizes[] = {
    {"sizes1", 8, 9000, 100, 100, 100, 100},    {"sizes2", 8, 100, 9000, 1000, 5000, 9000},
    {"sizes3", 8, 5000, 5000, 100, 9000, 100},  {"sizes4", 8, 100, 100, 2000, 13000, 100},
    {"sizes5", 8, 20000, 100, 600, 100, 20000}, {"sizes6", 8, 4096, 4096, 512, 4096, 4096},
};

/// A C source with functions and objects in all kinds of sections.
std::string text_of(const source& s) {
    std::ostringstream c;
    c << "int anchor = 1;\n";
    for (int i = 0; i < s.count; ++i) {
        const auto in = [&](const char* kind) {
            return s.own_sections ? "__attribute__((section(\"" + std::string{kind} + '_' + std::to_string(i) + "\"))) "
                                  : std::string{};
        };
        c << in("data") << "int d" << i << " = " << i + 1 << ";\n"
          << "static __attribute__((used)) long e" << i << "[2] = {1, 2};\n"
          << "int b" << i << "; static __attribute__((used)) char c" << i << "[" << i % 7 + 1 << "];\n"
          << in("constant") << "const int r" << i << "[3] = {" << i << ", 1, 2};\n"
          << "static __attribute__((used)) const short k" << i << " = 3;\n"
          << "void* const p" << i << " = &d" << i << "; void* q" << i << " = &anchor;\n"
          << in("code") << "__attribute__((noinline)) int f" << i << "(int x) { return x * " << i + 3 << " + d" << i << "; }\n"
          << "static __attribute__((used, noinline)) int g" << i << "(int x) { return x + b" << i << "; }\n"
          << "__attribute__((weak)) int w" << i << "(int x) { return x - " << i << "; }\n"
          << "__thread int t" << i << " = 1, u" << i << ";\n";
    }
    if (s.text != 0) c << "__asm__(\".text\\n.globl text_filler\\ntext_filler:\\n.skip " << s.text << "\\n\");\n";
    if (s.constants != 0) c << "const char constants_filler[" << s.constants << "] = {1};\n";
    if (s.relocated != 0) c << "void* const relocated_filler[" << s.relocated << "] = {&anchor};\n";
    if (s.data != 0) c << "char data_filler[" << s.data << "] = {1};\n";
    if (s.bss != 0) c << "char bss_filler[" << s.bss << "];\n";
    return c.str();
}

/// What the programs do: a letter, three numbers, a protection and a path a line; the answer is a number, 0 where it fails.
constexpr const char* agent_text = R"(
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
extern int anchor;
#ifndef ALONE
#include <dlfcn.h>
#include <link.h>
static int show(struct dl_phdr_info* i, size_t size, void* to) {
    (void)size, (void)to;
    printf("%llx %s;", (unsigned long long)i->dlpi_addr, i->dlpi_name);
    return 0;
}
static unsigned long anchor_in(void* library) { return library ? (unsigned long)dlsym(library, "anchor") : 0; }
#endif
int main(void) {
    char line[8192], path[4097], last[4097] = "", what;
    unsigned long long at, length, offset;
    int protection, fd = -1;
    while (fgets(line, sizeof line, stdin)) {
        unsigned long result = 0;
        void* p = MAP_FAILED;
        path[0] = 0;
        if (sscanf(line, "%c %llx %llx %llx %d %4096[^\n]", &what, &at, &length, &offset, &protection, path) < 5) return 1;
        switch (what) {
            case 'b': result = (unsigned long)&anchor; break;
#ifndef ALONE
            case 'o': result = anchor_in(dlopen(path, RTLD_NOW)); break;
#ifdef LM_ID_NEWLM
            case 'n': result = anchor_in(dlmopen(LM_ID_NEWLM, path, RTLD_NOW)); break;
#endif
            case 'l': dl_iterate_phdr(show, 0); break;
#endif
            case 'm':
                if (strcmp(last, path) != 0) {  // by one descriptor, so that the kernel can make one mapping of two
                    close(fd);
                    fd = open(strcpy(last, path), O_RDONLY);
                }
                p = mmap((void*)(unsigned long)at, length, protection, MAP_PRIVATE | (at ? MAP_FIXED : 0), fd, (off_t)offset);
                break;
            case 'a':
                p = mmap((void*)(unsigned long)at, length, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at ? MAP_FIXED : 0), -1, 0);
                break;
            case 'u': result = munmap((void*)(unsigned long)at, length) == 0; break;
            case 'p': result = mprotect((void*)(unsigned long)at, length, protection) == 0; break;
        }
        printf("%lx\n", p != MAP_FAILED ? (unsigned long)p : result);
        fflush(stdout);
    }
    return 0;
}
)";

/// A directory of object files, programs and libraries. Each is made once.
class workshop {
public:
    /// The object file of a source; empty where the compiler refuses.
    std::string object(const source& s, const std::string& options) { return compile(s.name, text_of(s), options); }
    std::string agent(const std::string& options) { return compile("agent", agent_text, options); }

    /// What `cc` makes of arguments (` -o FILE` is added); empty where it refuses.
    std::string link(const std::string& arguments, const std::string& kind) { return link_all({arguments}, kind).front(); }
    /// The same of many, two at a time.
    std::vector<std::string> link_all(const std::vector<std::string>& arguments, const std::string& kind) {
        std::string commands[2];
        std::vector<std::pair<std::string*, std::string>> fresh;
        for (const std::string& a : arguments) {
            const auto [at, is_new] = made_.try_emplace(a + kind);
            if (!is_new) continue;
            fresh.emplace_back(&at->second, dir_ / (std::to_string(made_.size()) + kind));
            commands[fresh.size() % 2] += "cc " + a + " -o " + fresh.back().second + "; ";
        }
        if (!fresh.empty()) (void)succeeds("( " + commands[0] + " : ) & ( " + commands[1] + " : ) & wait");
        for (const auto& [name, file] : fresh)
            if (std::filesystem::exists(file)) *name = file;
        std::vector<std::string> files;
        for (const std::string& a : arguments) files.push_back(made_[a + kind]);
        return files;
    }
    std::string compile(const std::string& name, const std::string& text, const std::string& options) {
        if (is_new_source(name)) dir_.write(name + ".c", text);
        return link("-O1 -w -c " + options + ' ' + dir_ / (name + ".c"), ".o");
    }
    std::string operator/(const std::string& name) const { return dir_ / name; }

private:
    bool is_new_source(const std::string& name) { return sources_.emplace(name, true).second; }
    temporary_directory dir_;
    std::map<std::string, bool> sources_;
    std::map<std::string, std::string> made_;
};

std::unique_ptr<workshop> the_shop;
workshop& shop() {
    if (!the_shop) the_shop = std::make_unique<workshop>();
    return *the_shop;
}

constexpr const char* linkers[] = {"bfd", "gold", "lld", "mold"};

bool has_linker(const std::string& name) {
    return !shop().link("-fuse-ld=" + name + " -shared " + shop().object(tiny, "-fPIC"), ".so").empty();
}

/// Options that change where the linker puts segments, and the linkers that have them.
struct layout {
    const char* options;
    const char* of;
};
constexpr layout layouts[] = {
    {"", "bfd gold lld mold"},
    {"-Wl,-z,max-page-size=65536", "bfd gold lld mold"},
    {"-Wl,-z,max-page-size=0x200000", "bfd gold lld mold"},
    {"-Wl,-z,norelro", "bfd gold lld mold"},
    {"-Wl,-z,relro,-z,now", "bfd gold lld mold"},
    {"-Wl,-z,separate-code", "bfd lld mold"},
    {"-Wl,-z,noseparate-code", "bfd lld mold"},
    {"-Wl,-z,noseparate-code,-z,max-page-size=65536", "bfd"},
    {"-Wl,-z,noseparate-code,-z,norelro", "bfd"},
    {"-Wl,-z,separate-loadable-segments", "lld mold"},
    {"-Wl,-z,separate-loadable-segments,-z,max-page-size=65536", "lld"},
    {"-Wl,--rosegment", "gold"},
    {"-Wl,--rosegment,-z,max-page-size=65536", "gold"},
    {"-Wl,--no-rosegment", "lld mold"},
    {"-Wl,--no-rosegment,-z,max-page-size=65536", "lld"},
    {"-Wl,--image-base=0x7fffffe00000", "lld"},  // above where it is loaded: the load bias is negative
    {"-Wl,-Ttext-segment=0x7fffffe00000", "bfd gold"},
};

struct library {
    std::string file, what;
    const source* of;
};

/// Libraries of a source by each linker with each layout. What is missing is reported.
std::vector<library> libraries(std::span<const source> sources, std::span<const layout> of, const std::string& machine = "",
                               bool say = true) {
    std::vector<library> all;
    std::vector<std::string> commands;
    for (const std::string linker : linkers) {
        if (!has_linker(linker)) {
            if (say) not_included("no linker " + linker);
            continue;
        }
        for (const layout& l : of) {
            if ((' ' + std::string{l.of} + ' ').find(' ' + linker + ' ') == std::string::npos) continue;
            if (!machine.empty() && std::string{l.options}.find("0x7fffffe00000") != std::string::npos) continue;
            for (const source& s : sources) {
                all.push_back({"", linker + ' ' + l.options + ' ' + machine + ' ' + s.name, &s});
                commands.push_back(machine + " -shared -fuse-ld=" + linker + ' ' + l.options + ' ' +
                                   shop().object(s, machine + " -fPIC"));
            }
        }
    }
    const auto files = shop().link_all(commands, ".so");
    for (std::size_t i = 0; i < all.size(); ++i) {
        all[i].file = files[i];
        if (files[i].empty() && say) not_included("does not link: " + all[i].what);
    }
    std::erase_if(all, [](const library& l) { return l.file.empty(); });
    std::vector<std::string> there;
    for (const library& l : all) there.push_back(l.file);
    describe(there);
    return all;
}

// ---- processes that do as they are told

class agent : public process {
public:
    explicit agent(const std::string& program, channel_ends ends = {}) : process(start(program, ends)), fd_(ends.parent) {
        ::close(ends.child);
    }
    ~agent() { ::close(fd_); }

    std::string answer(const std::string& command) {
        const std::string line = command + '\n';
        if (::send(fd_, line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
            FAIL("the program is gone");
        std::string text;
        char piece[65536];
        while (text.empty() || text.back() != '\n') {
            const ssize_t n = ::recv(fd_, piece, sizeof piece, 0);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) FAIL("the program is gone, or does not answer: " << command);
            text.append(piece, static_cast<std::size_t>(n));
        }
        return text;
    }

    /// Whether it came as far as reading its commands.
    bool runs() {
        if (::send(fd_, "b 0 0 0 0\n", 10, MSG_NOSIGNAL) != 10) return false;
        char piece[64];
        ssize_t n = -1;
        for (char last = 0; last != '\n'; last = n > 0 ? piece[n - 1] : '\n')
            while ((n = ::recv(fd_, piece, sizeof piece, 0)) < 0 && errno == EINTR) {
            }
        return n > 0;
    }
    std::uint64_t anchor() { return ask('b'); }
    std::uint64_t open(const std::string& library) { return ask('o', 0, 0, 0, 0, library); }
    std::uint64_t open_apart(const std::string& library) { return ask('n', 0, 0, 0, 0, library); }
    std::uint64_t map(std::uint64_t at, std::uint64_t length, const std::string& file, std::uint64_t offset,
                      int protection = PROT_READ) {
        return done(ask('m', at, length, offset, protection, file));
    }
    std::uint64_t anonymous(std::uint64_t at, std::uint64_t length, int protection = PROT_NONE) {
        return done(ask('a', at, length, 0, protection));
    }
    void unmap(std::uint64_t at, std::uint64_t length) { done(ask('u', at, length)); }
    void protect(std::uint64_t at, std::uint64_t length, int protection) { done(ask('p', at, length, 0, protection)); }

private:
    static pid_t start(const std::string& program, const channel_ends& ends) {
        std::fflush(nullptr);
        const pid_t own = ::getpid(), pid = ::fork();
        REQUIRE(pid >= 0);
        if (pid != 0) return pid;
        end_with(own);
        ::dup2(ends.child, 0);
        ::dup2(ends.child, 1);
        ::execl(program.c_str(), program.c_str(), static_cast<char*>(nullptr));
        ::_exit(127);
    }
    std::uint64_t ask(char what, std::uint64_t at = 0, std::uint64_t length = 0, std::uint64_t offset = 0, int protection = 0,
                      const std::string& path = {}) {
        std::ostringstream command;
        command << what << std::hex << ' ' << at << ' ' << length << ' ' << offset << ' ' << std::dec << protection << ' '
                << path;
        return std::strtoull(answer(command.str()).c_str(), nullptr, 16);
    }
    static std::uint64_t done(std::uint64_t result) {
        REQUIRE(result != 0);
        return result;
    }
    int fd_;
};

std::string agent_program() {
    return shop().link("-pie " + shop().agent("-fPIE") + ' ' + shop().object(tiny, "-fPIE") + " -ldl", "");
}

/// A mapping, by the text of maps.
struct vma {
    unsigned long long start = 0, end = 0, offset = 0;
    std::string file;  // empty: none
};

std::vector<vma> vmas_of(pid_t pid) {
    std::vector<vma> all;
    std::istringstream lines{slurp(maps_path(pid)).value_or("")};
    for (std::string line; std::getline(lines, line);) {
        vma v;
        unsigned long long inode = 0;
        if (std::sscanf(line.c_str(), "%llx-%llx %*s %llx %*x:%*x %llu", &v.start, &v.end, &v.offset, &inode) != 4) continue;
        if (inode != 0) v.file = line.substr(line.find('/'));
        all.push_back(std::move(v));
    }
    return all;
}

const vma* find(const std::vector<vma>& all, std::uint64_t address) {
    const auto at = std::upper_bound(all.begin(), all.end(), address, [](std::uint64_t a, const vma& v) { return a < v.end; });
    return at != all.end() && at->start <= address ? &*at : nullptr;
}

// ---- the comparison

struct tally {
    long symbols = 0, answers = 0, wrong = 0, unknown = 0;
    tally& operator+=(const tally& other) {
        symbols += other.symbols, answers += other.answers, wrong += other.wrong, unknown += other.unknown;
        return *this;
    }
};
tally total;

enum class expect {
    known,        // every address
    right_if_any  // no wrong one
};

/// An address in memory, and the ELF address there.
struct sample {
    std::uint64_t address, elf_address;
    bool is_symbol;
    const std::string* what;
    const std::string* where;
};

/// Asks about all of them, on both back-ends, with and without build IDs.
tally ask_about(pid_t pid, const std::vector<sample>& samples, expect how) {
    if (samples.empty()) return {};  // nor has the process been asked for anything: it may not have called exec yet
    tally sum;
    std::vector<std::uint64_t> addresses;
    for (const sample& s : samples) addresses.push_back(s.address), sum.symbols += s.is_symbol;
    std::string complaints;
    int complained = 0;
    for (const backend b : backends())
        for (const bool ids : {false, true}) {
            const maps of = need(maps::open(pid, {.use = b}));
            REQUIRE(of.backend() == b);
            normalizer n{{.build_ids = ids, .elf_addresses = true}};
            const auto got = need(n.normalize(of, addresses));
            REQUIRE(got.complete());
            for (std::size_t i = 0; i < samples.size(); ++i) {
                const procmap::location& l = got.locations[i];
                const bool wrong = l.elf_address_known && l.elf_address != samples[i].elf_address;
                ++sum.answers;
                sum.wrong += wrong;
                sum.unknown += !l.elf_address_known;
                if ((!wrong && (l.elf_address_known || how == expect::right_if_any)) || complained++ >= 5) continue;
                std::ostringstream text;
                text << std::hex << samples[i].address << ": " << *samples[i].what << " of " << *samples[i].where
                     << " is at ELF address " << samples[i].elf_address << ", not ";
                l.elf_address_known ? text << l.elf_address : text << "unknown";
                complaints += text.str() + (b == backend::text ? " (text)\n" : " (ioctl)\n");
            }
        }
    if (complained != 0) complaints += *slurp(maps_path(pid));
    INFO(complaints);
    CHECK(sum.wrong == 0);
    if (how == expect::known) CHECK(sum.unknown == 0);
    total += sum;
    return sum;
}

int reports = 0;

void report(const tally& t) {
    ++reports;
    std::printf("%s: %ld symbols compared, %ld answers, %ld wrong, %ld not known\n", test_name(), t.symbols, t.answers, t.wrong,
                t.unknown);
}

/// A file that is loaded, and what is added to its ELF addresses.
struct image {
    std::string file;
    std::uint64_t bias;
    std::string what;
};

/// The symbols of images, and the first and last byte of each segment and of each of its pages: those that are still mapped
/// from the file, where the image has them.
std::vector<sample> samples_of(pid_t pid, const std::vector<image>& images) {
    const auto all = vmas_of(pid);
    std::vector<sample> samples;
    for (const image& i : images) {
        const auto& loads = loads_of(i.file);
        const auto add = [&](std::uint64_t value, bool is_symbol, const std::string& what) {
            const auto in = std::find_if(loads.begin(), loads.end(), [&](const load& l) { return l.holds(value); });
            if (in == loads.end()) return;
            const vma* const v = find(all, i.bias + value);
            if (v == nullptr || v->file != i.file ||
                v->offset + (i.bias + value - v->start) - in->first_offset() != value - in->first())
                return;
            samples.push_back({i.bias + value, value, is_symbol, &what, &i.what});
        };
        for (const symbol& s : symbols_of(i.file)) {
            add(s.value, true, s.name);
            if (s.size > 1) add(s.value + s.size - 1, false, s.name);
        }
        for (const load& l : loads) {
            add(l.address, false, i.what);
            add(l.address + l.file_size - 1, false, i.what);
            for (std::uint64_t at = l.first() + page; at < l.end(); at += page)
                add(at, false, i.what), add(at - 1, false, i.what);
        }
    }
    return samples;
}

tally compare(const process& of, const std::vector<image>& images, expect how) {
    return ask_about(of.pid(), samples_of(of.pid(), images), how);
}

// ---- programs

struct program_kind {
    const char* compile;
    const char* link;
};
constexpr program_kind program_kinds[] = {
    {"-fPIE", "-pie"},
    {"-fno-pie", "-no-pie"},
    {"-fPIE -DALONE", "-static-pie"},
    {"-fno-pie -DALONE", "-static"},
};

tally compare_programs(const source& s, std::span<const char* const> options, const std::string& machine = "") {
    tally sum;
    std::vector<std::string> commands, how;
    for (const std::string linker : linkers) {
        if (!has_linker(linker)) {
            not_included("no linker " + linker);
            continue;
        }
        for (const program_kind& kind : program_kinds)
            for (const char* const option : options) {
                const std::string compile = machine + ' ' + kind.compile;
                how.push_back(machine + ' ' + kind.link + " -fuse-ld=" + linker + ' ' + option);
                commands.push_back(how.back() + ' ' + shop().agent(compile) + ' ' + shop().object(s, compile));
            }
    }
    const auto files = shop().link_all(commands, "");
    std::vector<std::string> there;
    std::copy_if(files.begin(), files.end(), std::back_inserter(there), [](const std::string& file) { return !file.empty(); });
    describe(there);
    for (std::size_t i = 0; i < how.size(); ++i) {
        if (files[i].empty()) {
            not_included("does not link: " + how[i]);
            continue;
        }
        INFO(how[i]);
        agent a{files[i]};
        if (!a.runs()) {  // lld's -static-pie of 32 bits crashes before main
            not_included("does not run: " + how[i]);
            continue;
        }
        const std::uint64_t bias = a.anchor() - value_of(files[i], "anchor");
        const tally t = compare(a, {{files[i], bias, how[i]}}, expect::known);
        CHECK(t.symbols > 8 * s.count);
        sum += t;
    }
    return sum;
}

TEST_CASE("programs: position independent or not, dynamic or static, by each linker and with each page size") {
    NEEDS_TOOLS();
    report(compare_programs(medium, std::array{"", "-Wl,-z,max-page-size=65536", "-Wl,-z,max-page-size=0x200000"}));
}

TEST_CASE("programs with large data, with many sections, without RELRO, and with a stack that is executable") {
    NEEDS_TOOLS();
    tally sum = compare_programs(large, std::array{"-Wl,-z,norelro"});
    sum += compare_programs(many_sections, std::array{"-Wl,-z,execstack"});
    report(sum);
}

TEST_CASE("programs of 32 bits") {
    NEEDS_TOOLS();
    if (shop().link("-m32 " + shop().agent("-m32 -DALONE") + ' ' + shop().object(tiny, "-m32"), "").empty())
        return not_included("no C library of 32 bits");
    report(compare_programs(sizes[0], std::array{"", "-Wl,-z,max-page-size=65536"}, "-m32"));
}

TEST_CASE("programs with copies of a library's constants") {
    NEEDS_TOOLS();
    const std::string object =
        shop().compile("constants", "extern const int there[]; const int there[700] = {1, 2}; int anchor;", "-fPIC");
    const std::string program =
        shop().compile("copies", "extern const int there[700]; int elsewhere(int i) { return there[i]; }", "-fno-pie");
    tally sum;
    for (const std::string linker : linkers) {
        if (!has_linker(linker)) continue;
        const std::string of = shop().link("-shared -fuse-ld=" + linker + ' ' + object, ".so");
        const std::string how = "-no-pie -fuse-ld=" + linker;
        const std::string objects =
            ' ' + shop().agent("-fno-pie") + ' ' + program + ' ' + shop().object(sizes[0], "-fno-pie") + ' ';
        const std::string file = of.empty() ? "" : shop().link(how + objects + of, "");
        if (file.empty()) {
            not_included("does not link: " + how);
            continue;
        }
        (void)value_of(file, "there");
        agent a{file};
        sum += compare(a, {{file, a.anchor() - value_of(file, "anchor"), how}}, expect::known);
    }
    report(sum);
}

// ---- libraries

/// Loads libraries with dlopen.
std::vector<image> open_all(agent& a, const std::vector<library>& all) {
    std::vector<image> images;
    for (const library& l : all) {
        INFO(l.what);
        const std::uint64_t anchor = a.open(l.file);
        REQUIRE(anchor != 0);
        images.push_back({l.file, anchor - value_of(l.file, "anchor"), l.what});
    }
    return images;
}

TEST_CASE("libraries: by each linker with each layout of segments") {
    NEEDS_TOOLS();
    agent a{agent_program()};
    const auto images = open_all(a, libraries(std::array{medium, tiny, sizes[0], sizes[3]}, layouts));
    for (const image& i : images) CHECK_MESSAGE(!samples_of(a.pid(), {i}).empty(), i.what);
    report(compare(a, images, expect::known));
}

TEST_CASE("libraries with large data, with many sections, and of sizes that leave segments one page or several") {
    NEEDS_TOOLS();
    agent a{agent_program()};
    const auto all =
        libraries(std::array{large, many_sections, sizes[1], sizes[2], sizes[4], sizes[5]}, std::span{layouts}.first(2));
    report(compare(a, open_all(a, all), expect::known));
}

TEST_CASE("libraries of 32 bits") {
    NEEDS_TOOLS();
    const std::string program =
        shop().link("-m32 -pie " + shop().agent("-m32 -fPIE") + ' ' + shop().object(tiny, "-m32 -fPIE") + " -ldl", "");
    if (program.empty()) return not_included("no C library of 32 bits");
    agent a{program};
    report(compare(a, open_all(a, libraries(std::array{sizes[0], tiny}, layouts, "-m32", false)), expect::known));
}

TEST_CASE("libraries of this system, by their dynamic symbols") {
    NEEDS_TOOLS();
    agent a{agent_program()};
    for (const char* name :
         {"libm.so.6", "libstdc++.so.6", "libcrypto.so.3", "libssl.so.3", "libz.so.1", "libpython3.11.so.1.0"})
        (void)a.open(name);  // has no anchor
    std::istringstream loaded{a.answer("l 0 0 0 0")};
    std::vector<image> images;
    for (std::string entry; std::getline(loaded, entry, ';');) {
        const auto blank = entry.find(' ');
        const std::string name = blank == std::string::npos ? "" : entry.substr(blank + 1);
        std::error_code none;
        if (!name.starts_with('/')) continue;
        const std::string file = std::filesystem::canonical(name, none);
        images.push_back({file, std::strtoull(entry.c_str(), nullptr, 16), file});
        describe({file}, true);  // most have no other symbols
    }
    const tally t = compare(a, images, expect::known);
    report(t);
    CHECK(images.size() >= 2);
    CHECK(t.symbols > 1000);
}

/// Some libraries of each linker with each layout: few symbols, segments of one page and of several.
std::vector<library> some_libraries() {
    return libraries(std::array{tiny, sizes[0], sizes[3]}, layouts, "", false);
}

std::uint64_t first_page(const library& l) {
    return loads_of(l.file).front().first();
}

TEST_CASE("code that is patched, and data that is executable: permissions say nothing") {
    NEEDS_TOOLS();
    agent a{agent_program()};
    const auto images = open_all(a, some_libraries());
    constexpr int protections[] = {PROT_READ | PROT_WRITE | PROT_EXEC, PROT_READ | PROT_WRITE, PROT_NONE, PROT_READ,
                                   PROT_READ | PROT_EXEC};
    std::size_t next = 0;
    for (const image& i : images)
        for (const load& l : loads_of(i.file))
            a.protect(i.bias + l.first(), l.end() - l.first(), PROT_READ | PROT_WRITE | PROT_EXEC);
    tally sum = compare(a, images, expect::known);
    for (const image& i : images)
        for (const load& l : loads_of(i.file))
            for (std::uint64_t at = l.first(); at < l.end(); at += page)
                a.protect(i.bias + at, page, protections[next++ % std::size(protections)]);
    sum += compare(a, images, expect::known);
    report(sum);
}

TEST_CASE("a library that is loaded twice, under one name, two names of one file, and as a copy") {
    NEEDS_TOOLS();
    tally sum;
    const auto all = libraries(std::array{tiny, sizes[3]}, std::span{layouts}.first(1), "", false);
    for (const library& l : all) {
        INFO(l.what);
        const std::string other = l.file + ".link.so", copy = l.file + ".copy.so";
        std::filesystem::create_hard_link(l.file, other);
        std::filesystem::copy_file(l.file, copy);
        const std::uint64_t anchor = value_of(l.file, "anchor");
        agent a{agent_program()};
        std::vector<image> images;
        const auto add = [&](const std::string& file, std::uint64_t at) {
            if (at != 0) images.push_back({file, at - anchor, l.what});
        };
        add(l.file, a.open(l.file));
        add(copy, a.open(copy));
        add(l.file, a.open_apart(l.file));
        add(other, a.open_apart(other));
        CHECK(images.size() >= 2);
        if (images.size() < 4) not_included("no other namespace of the dynamic linker");
        sum += compare(a, images, expect::known);
    }
    report(sum);
}

// ---- images that this file loads itself

/// What a loader that maps the whole image at first leaves in the holes between segments.
enum class holes { empty, readable, protected_pages };

std::uint64_t span_of(const library& l) {
    return loads_of(l.file).back().memory_end() - first_page(l);
}

/// Loads a library so that its first page is `at`.
image load_at(agent& a, const library& l, std::uint64_t at, holes h = holes::empty) {
    const auto& loads = loads_of(l.file);
    const std::uint64_t bias = at - first_page(l);
    if (h != holes::empty) a.map(at, span_of(l), l.file, loads.front().first_offset(), loads.front().protection);
    if (h == holes::protected_pages)
        for (std::size_t k = 0; k + 1 < loads.size(); ++k)
            if (loads[k].memory_end() < loads[k + 1].first())
                a.protect(bias + loads[k].memory_end(), loads[k + 1].first() - loads[k].memory_end(), PROT_NONE);
    for (const load& s : loads) {
        if (h == holes::empty || &s != &loads.front())
            a.map(bias + s.first(), s.end() - s.first(), l.file, s.first_offset(), s.protection);
        if (s.memory_end() > s.end()) a.anonymous(bias + s.end(), s.memory_end() - s.end(), s.protection);
    }
    return {l.file, bias, l.what};
}

constexpr std::uint64_t room = 16 << 20;  // more than two possible images are apart

/// Loads each library in a region of its own, lets `change(agent, library, image)` do something to it, and compares.
template <class Change>
tally compare_changed(const std::vector<library>& all, expect how, Change change, holes h = holes::empty) {
    agent a{agent_program()};
    std::vector<image> images;
    for (const library& l : all) {
        const std::uint64_t region = a.anonymous(0, span_of(l) + 2 * room);
        images.push_back(load_at(a, l, region + room, h));
        change(a, l, images.back());
    }
    return compare(a, images, how);
}

constexpr auto nothing = [](agent&, const library&, const image&) {};

TEST_CASE("loaders that map the whole image at first, and leave more of the file in its holes") {
    NEEDS_TOOLS();
    const auto all = libraries(std::array{tiny, sizes[0], sizes[3], sizes[1], large}, layouts, "", false);
    tally sum = compare_changed(all, expect::known, nothing);
    sum += compare_changed(all, expect::known, nothing, holes::readable);
    sum += compare_changed(all, expect::known, nothing, holes::protected_pages);
    report(sum);
}

TEST_CASE("in the holes of an image, no byte has an address that is not its own") {
    NEEDS_TOOLS();
    agent a{agent_program()};
    std::vector<sample> samples;
    const auto all = libraries(std::array{sizes[0], sizes[3], large}, layouts, "", false);
    for (const library& l : all) {
        const image i = load_at(a, l, a.anonymous(0, span_of(l) + 2 * room) + room, holes::readable);
        const auto& loads = loads_of(l.file);
        for (std::size_t k = 0; k + 1 < loads.size(); ++k)
            for (std::uint64_t at = loads[k].memory_end(); at < loads[k + 1].first();
                 at += std::max<std::uint64_t>(page, (loads[k + 1].first() - loads[k].memory_end()) / 16 / page * page)) {
                const std::uint64_t offset = at - loads[0].first() + loads[0].first_offset() + 99;
                sample s{i.bias + at + 99, UINT64_MAX, false, &l.what, &l.what};
                for (const load& o : loads)
                    if (o.has_byte_at(offset)) s.elf_address = offset - o.offset + o.address;
                samples.push_back(s);
            }
    }
    report(ask_about(a.pid(), samples, expect::right_if_any));
}

TEST_CASE("an image whose first, last or other segment is unmapped, as a whole or in part") {
    NEEDS_TOOLS();
    const auto all = some_libraries();
    tally sum;
    for (const bool anonymous : {false, true})
        for (std::size_t k = 0; k < 4; ++k)
            for (const char* part : {"all", "first page", "last page", "middle"}) {
                if (anonymous && part != "all"s) continue;
                sum += compare_changed(all, expect::right_if_any, [&](agent& a, const library& l, const image& i) {
                    const auto& loads = loads_of(l.file);
                    if (k < 3 && k + 1 >= loads.size()) return;  // 3: the last
                    const load& s = k == 3 ? loads.back() : loads[k];
                    std::uint64_t at = s.first(), length = s.end() - s.first();
                    if (part == "first page"s) length = page;
                    if (part == "last page"s) at = s.end() - page, length = page;
                    if (part == "middle"s) at += length / page / 2 * page, length = page;
                    anonymous ? (void)a.anonymous(i.bias + at, length, PROT_READ) : a.unmap(i.bias + at, length);
                });
            }
    report(sum);
}

TEST_CASE("pages in the middle of segments that are unmapped or replaced leave the others known") {
    NEEDS_TOOLS();
    const auto all = libraries(std::array{large, sizes[0]}, layouts, "", false);
    tally sum;
    for (const bool anonymous : {false, true})
        sum += compare_changed(all, expect::known, [&](agent& a, const library& l, const image& i) {
            for (const load& s : loads_of(l.file)) {
                if (s.end() - s.first() < 3 * page) continue;
                const std::uint64_t at = i.bias + s.first() + (s.end() - s.first()) / page / 2 * page;
                anonymous ? (void)a.anonymous(at, page, PROT_READ) : a.unmap(at, page);
            }
        });
    report(sum);
}

/// The distances between the load biases that a library's segments leave possible.
std::vector<std::uint64_t> shifts_of(const library& l) {
    const auto& loads = loads_of(l.file);
    std::vector<std::uint64_t> all;
    for (const load& a : loads)
        for (const load& b : loads)
            if (a.address - a.offset > b.address - b.offset) all.push_back((a.address - a.offset) - (b.address - b.offset));
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
}

/// The bytes of a file that one segment has, which is mapped as data from `offset` on at `at`.
std::vector<sample> data_samples(const library& l, std::uint64_t at, std::uint64_t offset, std::uint64_t length) {
    std::vector<sample> samples;
    const auto& loads = loads_of(l.file);
    const auto add = [&](std::uint64_t value, bool is_symbol, const std::string& what) {
        for (const load& s : loads) {
            const std::uint64_t byte = s.offset + (value - s.address);
            if (value < s.address || value - s.address >= s.file_size || byte < offset || byte - offset >= length) continue;
            if (std::count_if(loads.begin(), loads.end(), [&](const load& o) { return o.has_byte_at(byte); }) == 1)
                samples.push_back({at + (byte - offset), value, is_symbol, &what, &l.what});
        }
    };
    for (const symbol& s : symbols_of(l.file)) add(s.value, true, s.name);
    for (const load& s : loads) {
        add(s.address, false, l.what);
        add(s.address + s.file_size - 1, false, l.what);
    }
    return samples;
}

TEST_CASE("the first page of the file mapped as data where another image would begin") {
    NEEDS_TOOLS();
    const auto all = some_libraries();
    tally sum;
    for (std::size_t which = 0; which < 4; ++which)
        for (const bool above : {false, true})
            sum += compare_changed(all, expect::right_if_any, [&](agent& a, const library& l, const image& i) {
                const auto shifts = shifts_of(l);
                if (which >= shifts.size()) return;
                const std::uint64_t at = i.bias + first_page(l) + (above ? shifts[which] : -shifts[which]);
                const auto vmas = vmas_of(a.pid());
                if (const vma* v = find(vmas, at); v == nullptr || v->file.empty())
                    a.map(at, page, l.file, loads_of(l.file)[0].first_offset());
            });
    report(sum);
}

TEST_CASE("the first page of the file mapped as data below an image, and asked about together with it") {
    NEEDS_TOOLS();
    tally sum;
    for (std::size_t which = 0; which < 4; ++which) {
        agent a{agent_program()};
        std::vector<image> images;
        std::vector<sample> samples;
        const auto all = some_libraries();
        for (const library& l : all) {
            const auto shifts = shifts_of(l);
            if (which >= shifts.size()) continue;
            const load& first = loads_of(l.file).front();
            images.push_back(load_at(a, l, a.anonymous(0, span_of(l) + 2 * room) + room));
            const std::uint64_t at = images.back().bias + first.first() - shifts[which];
            a.map(at, page, l.file, first.first_offset());
            for (const sample& s : data_samples(l, at, first.first_offset(), page))
                if (first.holds(s.elf_address)) samples.push_back(s);
        }
        const auto of_images = samples_of(a.pid(), images);
        samples.insert(samples.end(), of_images.begin(), of_images.end());
        sum += ask_about(a.pid(), samples, expect::right_if_any);
    }
    report(sum);
}

TEST_CASE("the first page of the file mapped as data below an image that lacks its first or last segment") {
    NEEDS_TOOLS();
    tally sum;
    for (const bool last : {false, true})
        for (std::size_t which = 0; which < 4; ++which)
            sum += compare_changed(libraries(std::array{sizes[0], sizes[3]}, layouts, "", false), expect::right_if_any,
                                   [&](agent& a, const library& l, const image& i) {
                                       const auto shifts = shifts_of(l);
                                       if (which >= shifts.size()) return;
                                       const load& s = last ? loads_of(l.file).back() : loads_of(l.file).front();
                                       a.unmap(i.bias + s.first(), s.end() - s.first());
                                       a.map(i.bias + first_page(l) - shifts[which], page, l.file,
                                             loads_of(l.file)[0].first_offset());
                                   });
    report(sum);
}

TEST_CASE("a symbolizer that maps the first page of a library right below it") {
    NEEDS_TOOLS();
    const auto all = libraries(std::array{sizes[0], sizes[3]}, layouts, "", false);
    report(compare_changed(all, expect::known, [&](agent& a, const library& l, const image& i) {
        a.map(i.bias + first_page(l) - page, page, l.file, loads_of(l.file)[0].first_offset());
    }));
}

TEST_CASE("other images and data of the same file directly below and above an image") {
    NEEDS_TOOLS();
    const auto all = some_libraries();
    tally sum;
    for (const std::uint64_t gap : {std::uint64_t{0}, std::uint64_t{page}})
        for (const char* what : {"images", "whole files", "last pages"})
            sum += compare_changed(all, expect::right_if_any, [&](agent& a, const library& l, const image& i) {
                const std::uint64_t size = (std::filesystem::file_size(l.file) + page - 1) / page * page;
                const std::uint64_t begin = i.bias + first_page(l);
                const std::uint64_t end = i.bias + loads_of(l.file).back().end();
                const std::uint64_t file_end = loads_of(l.file).back().end() - first_page(l);
                if (what == "images"s) {
                    load_at(a, l, begin - gap - file_end);
                    load_at(a, l, end + gap);
                } else if (what == "whole files"s) {
                    a.map(begin - gap - size, size, l.file, 0);
                    a.map(end + gap, size, l.file, 0);
                } else {
                    a.map(begin - gap - page, page, l.file, size - page);
                    a.map(end + gap, page, l.file, size - page);
                }
            });
    report(sum);
}

// ---- files that are mapped as data

TEST_CASE("a whole file that is mapped as data: each byte of a segment has its address there") {
    NEEDS_TOOLS();
    agent a{agent_program()};
    std::vector<sample> samples;
    const auto all = some_libraries();
    for (const library& l : all) {
        const std::uint64_t size = (std::filesystem::file_size(l.file) + page - 1) / page * page;
        const std::uint64_t at = a.anonymous(0, size + 2 * room) + room;
        a.map(at, size, l.file, 0);
        const auto more = data_samples(l, at, 0, size);
        samples.insert(samples.end(), more.begin(), more.end());
    }
    // Not known where the whole file fits into the pages of two segments, each of which it could be.
    const tally t = ask_about(a.pid(), samples, expect::right_if_any);
    CHECK(t.unknown < t.answers / 20);
    report(t);
}

TEST_CASE("any pages of a file that are mapped as data") {
    NEEDS_TOOLS();
    agent a{agent_program()};
    tally sum;
    const auto all = some_libraries();
    for (const std::uint64_t pages : {1u, 2u, 3u}) {
        std::vector<sample> samples;
        for (const library& l : all) {
            const std::uint64_t size = (std::filesystem::file_size(l.file) + page - 1) / page * page;
            if (size > 64 * page) continue;
            std::uint64_t at = a.anonymous(0, size / page * 5 * page + 2 * room) + room;
            for (std::uint64_t offset = 0; offset + pages * page <= size; offset += page, at += (pages + 1) * page) {
                a.map(at, pages * page, l.file, offset);
                const auto more = data_samples(l, at, offset, pages * page);
                samples.insert(samples.end(), more.begin(), more.end());
            }
        }
        const tally t = ask_about(a.pid(), samples, expect::right_if_any);
        CHECK(t.unknown < t.answers);  // a page that two segments share could be of either
        sum += t;
    }
    report(sum);
}

TEST_CASE("of all, more than ten thousand symbols were compared") {
    NEEDS_TOOLS();
    if (reports < 18) return not_included("not all test cases were run");
    CHECK(total.symbols > 10'000);
    CHECK(total.wrong == 0);
}

// ---- load_bias() alone, in invented address spaces

constexpr std::uint64_t kb4 = 0x1000;
constexpr std::uint64_t base = 0x7f00'0000'0000;

constexpr elf::segment segment_of(std::uint64_t offset, std::uint64_t address, std::uint64_t size) {
    return {.type = elf::segment::load, .offset = offset, .address = address, .file_size = size};
}

/// Segments as lld packs them: each begins in the file's page that the one before it ends in, or in the next.
/// Pages of the file: 0 and 1, 1 and 2, 3, 3 and 4. In memory: from 0, 2, 5 and 6 pages on.
constexpr std::array packed{segment_of(0, 0, 0x1800), segment_of(0x1800, 0x2800, 0x1800), segment_of(0x3000, 0x5000, 0x900),
                            segment_of(0x3900, 0x6900, 0x1000)};
/// All segments in the file's first page.
constexpr std::array in_one_page{segment_of(0, 0, 0x300), segment_of(0x300, 0x1300, 0x300), segment_of(0x600, 0x2600, 0x300),
                                 segment_of(0x900, 0x3900, 0x300)};
/// The same with pages of 64 kB, the last segment longer.
constexpr std::array wide_apart{segment_of(0, 0, 0x1800), segment_of(0x1800, 0x11800, 0x1900),
                                segment_of(0x3100, 0x23100, 0x900), segment_of(0x3a00, 0x33a00, 0x1000)};

/// Mappings, ascending.
struct space {
    static constexpr std::size_t most = 200;
    elf::neighbour mapped[most] = {};
    std::size_t count = 0;

    constexpr space& add(std::uint64_t start, std::uint64_t pages, std::uint64_t offset, bool same_file = true) {
        std::size_t i = count++;
        for (; i > 0 && mapped[i - 1].start > start; --i) mapped[i] = mapped[i - 1];
        mapped[i] = {.start = start, .end = start + pages * kb4, .offset = offset, .same_file = same_file};
        return *this;
    }
    constexpr space& load(std::span<const elf::segment> loads, std::uint64_t bias, std::size_t first = 0,
                          std::size_t last = SIZE_MAX) {
        for (std::size_t k = first; k < loads.size() && k <= last; ++k) {
            const auto& s = loads[k];
            const std::uint64_t begin = s.offset / kb4 * kb4;
            add(bias + s.address / kb4 * kb4, (s.offset + s.file_size - 1 - begin) / kb4 + 1, begin);
        }
        return *this;
    }
    constexpr bool next(std::uint64_t address, elf::neighbour& n) const {
        for (std::size_t i = 0; i < count; ++i)
            if (mapped[i].end - 1 >= address) return n = mapped[i], true;
        return false;
    }
};

/// What is found of a mapping at `start`, which has `pages` and begins at `offset` in the file.
constexpr elf::placement placed(std::span<const elf::segment> loads, const space& s, std::uint64_t start, std::uint64_t pages,
                                std::uint64_t offset, bool confirm = false, int* asked = nullptr) {
    return elf::load_bias(
        loads, start, start + pages * kb4, offset, kb4,
        [&](std::uint64_t address, elf::neighbour& n) {
            if (asked != nullptr) ++*asked;
            return s.next(address, n);
        },
        confirm);
}
/// The same of a mapping of the space, which must be there.
constexpr elf::placement placed(std::span<const elf::segment> loads, const space& s, std::uint64_t start,
                                bool confirm = false) {
    for (std::size_t i = 0; i < s.count; ++i)
        if (s.mapped[i].start == start)
            return placed(loads, s, start, (s.mapped[i].end - start) / kb4, s.mapped[i].offset, confirm);
    return {.how = elf::placing::data, .bias = 1};
}

constexpr bool is(const elf::placement& p, elf::placing how, std::uint64_t bias = 0) {
    return p.how == how && p.bias == bias;
}
using enum elf::placing;

TEST_CASE("of two segments that share a page, each mapping of it has the bias of its own") {
    CHECK_TWICE([] {
        const space s = space{}.load(packed, base);
        return is(placed(packed, s, base + 0x5000), loaded, base)           // the page alone: segment 2, or the head of 3
               && is(placed(packed, s, base + 0x6000, true), loaded, base)  // two pages: segment 3
               && is(placed(packed, s, base + 0x6000, 1, 0x3000), loaded, base) &&
               is(placed(packed, s, base + 0x1000, 1, 0x1000), loaded, base)      // the tail of 0
               && is(placed(packed, s, base + 0x2000, 1, 0x1000), loaded, base);  // the head of 1
    });
}

TEST_CASE("where one bias is possible nothing is asked, unless it is to be confirmed") {
    CHECK_TWICE([] {
        const space s = space{}.load(packed, base);
        int asked = 0;
        const bool unasked = is(placed(packed, s, base, 2, 0, false, &asked), possible, base) &&
                             is(placed(packed, s, base + 0x7000, 1, 0x4000, false, &asked), possible, base) &&
                             is(placed(packed, s, base, 100, 0, false, &asked), data) && asked == 0;
        return unasked && is(placed(packed, s, base, 2, 0, true, &asked), loaded, base) && asked != 0 && asked <= 10 &&
               is(placed(packed, space{}, base, 2, 0, true), possible, base);
    });
}

TEST_CASE("several distances between address and offset: each segment of one page is told from the others") {
    CHECK_TWICE([] {
        const space s = space{}.load(in_one_page, base);
        for (std::uint64_t k = 0; k < 4; ++k)
            if (!is(placed(in_one_page, s, base + k * kb4), loaded, base)) return false;
        return true;
    });
}

TEST_CASE("the file's first page directly below an image does not move it, nor does it above") {
    CHECK_TWICE([] {
        for (const std::uint64_t at : {base - kb4, base - 2 * kb4, base + 8 * kb4}) {
            const space s = space{}.load(packed, base).add(at, 1, 0);
            for (const std::uint64_t k : {5u, 2u, 1u, 6u})
                if (!is(placed(packed, s, base + k * kb4, 1, k == 1 || k == 2 ? 0x1000 : 0x3000), loaded, base)) return false;
        }
        return true;
    });
}

TEST_CASE("the first page below, and each page of the image a mapping of its own: never another bias") {
    CHECK_TWICE([] {
        for (std::size_t without = 0; without <= 4; ++without) {
            space s = space{}.add(base - kb4, 1, 0);
            for (std::size_t k = 0; k < 4; ++k)
                for (std::uint64_t p = packed[k].offset / kb4; k != without && p * kb4 < packed[k].offset + packed[k].file_size;
                     ++p)
                    s.add(base + (packed[k].address - packed[k].offset) + p * kb4, 1, p * kb4);
            for (std::size_t i = 1; i < s.count; ++i)
                if (const auto p = placed(packed, s, s.mapped[i].start); p.how == loaded && p.bias != base) return false;
            if (without == 4 && !is(placed(packed, s, base + 0x5000), loaded, base)) return false;
        }
        return true;
    });
}

TEST_CASE("two images without a gap: where both biases could be, none is given") {
    CHECK_TWICE([] {
        const space s = space{}.load(in_one_page, base).load(in_one_page, base + 4 * kb4);
        for (std::uint64_t k = 0; k < 8; ++k) {
            const auto p = placed(in_one_page, s, base + k * kb4);
            if (p.how == loaded && p.bias != base + k / 4 * 4 * kb4) return false;
        }
        const space other = space{}.load(packed, base).load(packed, base + 8 * kb4).load(packed, base - 8 * kb4);
        for (const std::uint64_t bias : {base - 8 * kb4, base, base + 8 * kb4})
            if (!is(placed(packed, other, bias + 0x5000), loaded, bias)) return false;
        return true;
    });
}

TEST_CASE("without the first segment, or with any other unmapped, an ambiguous mapping is not known") {
    CHECK_TWICE([] {
        for (std::size_t without = 0; without < 4; ++without) {
            space s;
            for (std::size_t k = 0; k < 4; ++k)
                if (k != without) s.load(packed, base, k, k);
            if (!is(placed(packed, s, base + 0x5000, 1, 0x3000), unknown)) return false;
        }
        return true;
    });
}

TEST_CASE("a mapping of another file confirms nothing") {
    CHECK_TWICE([] {
        for (std::size_t other = 0; other < 4; ++other) {
            space s = space{}.load(packed, base);
            s.mapped[other].same_file = false;
            if (!is(placed(packed, s, base + 0x5000), unknown)) return false;
        }
        return true;
    });
}

TEST_CASE("a segment with other contents confirms nothing") {
    CHECK_TWICE([] {
        for (std::size_t other = 0; other < 4; ++other) {
            space s = space{}.load(packed, base);
            s.mapped[other].offset += kb4;
            if (!is(placed(packed, s, base + 0x5000, 1, 0x3000), unknown)) return false;
        }
        return true;
    });
}

TEST_CASE("a last page of a segment that is elsewhere, or gone, confirms nothing") {
    CHECK_TWICE([] {
        for (const std::size_t k : {std::size_t{0}, std::size_t{1}, std::size_t{3}}) {
            space s = space{}.load(packed, base);
            s.mapped[k].end -= kb4;
            if (!is(placed(packed, s, base + 0x5000), unknown)) return false;
            s.add(s.mapped[k].end, 1, 0x9000);
            if (!is(placed(packed, s, base + 0x5000), unknown)) return false;
        }
        return true;
    });
}

TEST_CASE("no more biases than the bound are weighed") {
    CHECK_TWICE([] {
        std::array<elf::segment, elf::most_biases + 1> many{};
        for (std::size_t i = 0; i < many.size(); ++i) many[i] = segment_of(i * 16, i * kb4 + i * 16, 16);
        const auto fewer = std::span{many}.first(elf::most_biases);
        const space s = space{}.load(many, base), t = space{}.load(fewer, base);
        for (std::size_t i = 0; i < many.size(); ++i) {
            if (!is(placed(many, s, base + i * kb4), unknown)) return false;
            if (i < fewer.size() && !is(placed(fewer, t, base + i * kb4), loaded, base)) return false;
        }
        return true;
    });
}

TEST_CASE("segments that cannot be used leave everything unknown") {
    CHECK_TWICE([] {
        const auto bad = [](auto change) {
            auto loads = packed;
            change(loads);
            const space s = space{}.load(packed, base);
            return !elf::loadable(loads, kb4) && is(placed(loads, s, base + 0x6000, 2, 0x3000), unknown) &&
                   is(placed(loads, s, base, 2, 0), unknown) && is(placed(loads, s, base, 100, 0), unknown);
        };
        const space s = space{}.load(packed, base);
        return elf::loadable(packed, kb4) && bad([](auto& l) { std::swap(l[0], l[1]); })  // not ascending
               && bad([](auto& l) { l[2].address += 16; })                                // not congruent
               && bad([](auto& l) { l[1].file_size = 0; }) && bad([](auto& l) { l[3].type = elf::segment::note; }) &&
               bad([](auto& l) { l[3].file_size = UINT64_MAX - 100; }) &&
               bad([](auto& l) { l[3].file_size = UINT64_MAX - 0x3900 - kb4 + 1; }) && is(placed({}, s, base, 2, 0), unknown) &&
               is(placed(packed, s, base, 0, 0), unknown) && !elf::loadable({}, kb4) &&
               !elf::loadable(packed, 0x10000);  // linked for smaller pages
    });
}

TEST_CASE("a load bias is modulo 2^64: addresses in the file above those in memory, and the highest addresses") {
    CHECK_TWICE([] {
        auto high = packed;
        for (auto& s : high) s.address += 0x7fff'fff0'0000;
        auto top = packed;
        for (auto& s : top) s.address += UINT64_MAX - 0x7fff;  // the last byte of the last page is the last address
        std::uint64_t found = 0;
        for (const auto& loads : {high, top}) {
            const std::uint64_t bias = base - loads[0].address;
            const space s = space{}.load(loads, bias);
            if (!is(placed(loads, s, base + 0x5000), loaded, bias) || !is(placed(loads, s, base, true), loaded, bias))
                return false;
            const auto p = placed(loads, s, base + 0x5000);
            if (!elf::address_of(loads, p, base + 0x5010, 0x3010, kb4, found) || found != loads[2].address + 0x10) return false;
            if (!elf::in_image(loads, loads[3].address + 0x16ff, kb4) || elf::in_image(loads, loads[0].address - 1, kb4))
                return false;
        }
        // An image at the end of the address space, and one at its beginning: a possible image would wrap.
        const space last = space{}.load(packed, UINT64_MAX - 0x7fff), first = space{}.load(packed, 0);
        return is(placed(packed, last, UINT64_MAX - 0x2fff, 1, 0x3000), loaded, UINT64_MAX - 0x7fff) &&
               is(placed(packed, first, 0x1000, 1, 0x1000).how == loaded ? placed(packed, first, 0x1000, 1, 0x1000)
                                                                         : elf::placement{loaded, 0},
                  loaded, 0);
    });
}

TEST_CASE("more of the file in the hole after the first segment belongs to the image, where its segments confirm that") {
    CHECK_TWICE([] {
        space s = space{}.load(wide_apart, base, 1);
        s.add(base, 16, 0);  // segment 0, and more of the file up to segment 1
        const bool image = is(placed(wide_apart, s, base), loaded, base);
        space alone;
        alone.add(base, 16, 0);
        std::uint64_t found = 0;
        const auto nowhere = placed(wide_apart, alone, base);
        return image && is(nowhere, data)  // a whole file that is mapped as data
               && elf::address_of(wide_apart, nowhere, base + 0x1900, 0x1900, kb4, found) && found == 0x11900 &&
               !elf::address_of(wide_apart, nowhere, base + 0x5000, 0x5000, kb4, found) &&
               is(placed(wide_apart, s, base, 17, 0), loaded, base) &&
               is(placed(wide_apart, s, base, 18, 0), data);  // over the next segment
    });
}

TEST_CASE("data where another image would begin, below one that has more of the file in its hole: that image is not found") {
    CHECK_TWICE([] {
        // One hole lower, the first segment's hole has all of segment 1, and the pages of 2 and 3 are the last of 1 and 2.
        constexpr std::array loads{segment_of(0, 0, 0x1800), segment_of(0x1800, 0x11800, 0x1900),
                                   segment_of(0x3100, 0x23100, 0x500), segment_of(0x3600, 0x33600, 0x900)};
        space s = space{}.load(loads, base, 1).add(base, 17, 0).add(base - 0x10000, 2, 0);
        bool good = true;
        for (const std::uint64_t at : {0x23000u, 0x33000u}) good = good && is(placed(loads, s, base + at), loaded, base);
        s.count -= 1;  // without the last segment
        return good && is(placed(loads, s, base + 0x23000), unknown);
    });
}

TEST_CASE("segments of one distance are one mapping with what lies between them") {
    CHECK_TWICE([] {
        // As bfd links for pages of 64 kB: the first three segments lie in the file as in memory.
        constexpr std::array loads{segment_of(0, 0, 0x500), segment_of(0x10000, 0x10000, 0x100),
                                   segment_of(0x20000, 0x20000, 0x100), segment_of(0x2fe00, 0x3fe00, 0x400)};
        const space apart = space{}.load(loads, base);
        const space whole = space{}.add(base, 47, 0).load(loads, base, 3);  // one mapping from 0 to 2, and the rest of its hole
        space some = space{}.load(loads, base, 1, 1).load(loads, base, 3);
        some.add(base, 16, 0).add(base + 0x11000, 0x1e, 0x11000);  // 2 begins in the middle of a mapping
        for (const space& s : {apart, whole, some})
            if (!is(placed(loads, s, base + 0x3f000), loaded, base)) return false;
        return is(placed(loads, whole, base), loaded, base) && is(placed(loads, some, base + 0x11000), loaded, base);
    });
}

TEST_CASE("an address is in the image where a page of a segment is, and not in a hole") {
    CHECK_TWICE([] {
        for (const auto [address, inside] : {std::pair{0x0u, true},
                                             {0x1fffu, true},
                                             {0x2000u, true},
                                             {0x3fffu, true},
                                             {0x4000u, false},
                                             {0x4fffu, false},
                                             {0x5000u, true},
                                             {0x7fffu, true},
                                             {0x8000u, false}})
            if (elf::in_image(packed, address, kb4) != inside) return false;
        return !elf::in_image({}, 0, kb4) && elf::in_image(packed, 0xffff, 0x10000);
    });
}

TEST_CASE("a byte of a file that is mapped as data has the address of the one segment that has it") {
    CHECK_TWICE([] {
        std::uint64_t a = 0;
        const auto at = [&a](std::uint64_t offset, std::uint64_t address) {
            return a = 0, elf::address_in_file(packed, offset, a) && a == address;
        };
        auto two = packed;
        two[2].offset = 0x2fff, two[2].address = 0x4fff;  // its first byte is also the last of segment 1
        auto other = packed;
        for (auto& s : other) s.type = elf::segment::note;
        return at(0, 0) && at(0x17ff, 0x17ff) && at(0x1800, 0x2800) && at(0x2fff, 0x3fff) && at(0x3000, 0x5000) &&
               at(0x38ff, 0x58ff) && at(0x3900, 0x6900) && at(0x48ff, 0x78ff) && !elf::address_in_file(packed, 0x4900, a) &&
               !elf::address_in_file(two, 0x2fff, a) && elf::address_in_file(two, 0x2ffe, a) &&
               !elf::address_in_file(other, 0, a) && !elf::address_in_file({}, 0, a);
    });
}

TEST_CASE("a mapping that is only possibly an image gives the addresses that it has as data too") {
    CHECK_TWICE([] {
        const elf::placement maybe{possible, base}, certain{loaded, base}, file{data, 0}, none{};
        std::uint64_t a = 0;
        const auto knows = [&](const elf::placement& p, std::uint64_t value, std::uint64_t offset) {
            return elf::address_of(packed, p, base + value, offset, kb4, a) && a == value;
        };
        // In the page that segments 0 and 1 share, mapped with 0: the last byte of 0 and the first of 1.
        return knows(maybe, 0x17ff, 0x17ff) && !elf::address_of(packed, maybe, base + 0x1800, 0x1800, kb4, a) &&
               knows(certain, 0x1800, 0x1800) && knows(certain, 0x17ff, 0x17ff) && !knows(maybe, 0x7900, 0x4900) &&
               knows(certain, 0x7900, 0x4900) &&  // padding of the last page
               !knows(certain, 0x4000, 0x4000) && !knows(none, 0, 0) && elf::address_of(packed, file, 0, 0x1800, kb4, a) &&
               a == 0x2800;
    });
}

TEST_CASE("all segments agree with a bias, or it is none") {
    CHECK_TWICE([] {
        const auto agree = [](const space& s, std::uint64_t bias) {
            return elf::agrees(packed, bias, kb4, [&](std::uint64_t address, elf::neighbour& n) { return s.next(address, n); });
        };
        const space s = space{}.load(packed, base);
        bool good = agree(s, base) && !agree(s, base + kb4) && !agree(s, base - kb4) && !agree(space{}, base);
        for (std::size_t without = 0; without < 4; ++without) {
            space t;
            for (std::size_t k = 0; k < 4; ++k)
                if (k != without) t.load(packed, base, k, k);
            good = good && !agree(t, base);
        }
        return good && !elf::agrees({}, base, kb4, [](std::uint64_t, elf::neighbour&) { return true; });
    });
}

// ---- random layouts and address spaces

/// Pages in memory: what of the file each shows, and a number that is equal for pages that the kernel makes one mapping of.
struct world {
    struct shown {
        std::uint64_t offset;
        int kind;
        bool same_file, of_image;
    };
    std::vector<elf::segment> loads;
    std::uint64_t bias = 0;
    std::map<std::uint64_t, shown> pages;
    int kinds = 100;

    std::vector<std::pair<elf::neighbour, bool>> mappings() const {
        std::vector<std::pair<elf::neighbour, bool>> all;
        int kind = 0;
        for (const auto& [at, p] : pages) {
            if (!all.empty() && all.back().first.end == at && kind == p.kind && all.back().first.same_file == p.same_file &&
                all.back().first.offset + (at - all.back().first.start) == p.offset) {
                all.back().first.end += kb4;
                all.back().second = all.back().second || p.of_image;
            } else {
                all.push_back({{.start = at, .end = at + kb4, .offset = p.offset, .same_file = p.same_file}, p.of_image});
            }
            kind = p.kind;
        }
        return all;
    }
};

class maker {
public:
    explicit maker(unsigned seed) : random_(seed) {}
    std::uint64_t below(std::uint64_t n) { return random_() % n; }

    /// One to five segments, packed or not, of pages of 4 or 64 kB, loaded, with or without more of the file in the holes.
    world image() {
        world w;
        const std::uint64_t step = below(3) == 0 ? 16 * kb4 : kb4;
        std::uint64_t offset = 0, address = below(4) == 0 ? 0x40'0000 : 0;
        const bool are_packed = below(3) != 0;
        for (std::uint64_t k = 0, count = 1 + below(5); k < count; ++k) {
            const std::uint64_t size = 16 * (1 + below(below(2) == 0 ? 40 : 700));
            w.loads.push_back(segment_of(offset, address, size));
            offset += size, address += size;
            if (!are_packed || below(8) == 0) {  // each begins a page of the file, as in memory
                const std::uint64_t padding = -offset % (below(2) == 0 ? kb4 : step);
                offset += padding, address += padding;
                if (offset % kb4 != 0) address += step;
            } else {
                address += step;
            }
        }
        w.bias = base + below(1000) * kb4;
        const std::uint64_t mode = below(3);
        if (mode != 0)
            for (std::uint64_t at = w.loads[0].address / kb4 * kb4; at < w.loads.back().address; at += kb4)
                w.pages[w.bias + at] = {at - w.loads[0].address, mode == 1 ? 0 : 50, true, false};
        for (std::size_t k = 0; k < w.loads.size(); ++k) {
            const auto& s = w.loads[k];
            const int kind = k == 0 ? 0 : static_cast<int>(below(3));
            for (std::uint64_t at = s.address / kb4 * kb4; at < s.address + s.file_size; at += kb4)
                w.pages[w.bias + at] = {s.offset / kb4 * kb4 + (at - s.address / kb4 * kb4), kind, true, true};
        }
        return w;
    }
    /// Pages become mappings of their own.
    void split(world& w) {
        for (auto& [at, p] : w.pages)
            if (below(3) == 0) p.kind = w.kinds++;
    }
    /// Maps data and other files around the image.
    void add_data(world& w) {
        for (std::uint64_t n = 1 + below(6); n > 0; --n) {
            const std::uint64_t first = below(3) == 0 ? 0 : below(8), count = 1 + below(4);
            std::uint64_t at = w.bias + w.loads[0].address + (below(2) == 0 ? -kb4 * (1 + below(3)) : (below(80) - 40) * kb4);
            const int kind = w.kinds++;
            const bool same_file = below(5) != 0;
            for (std::uint64_t p = 0; p < count; ++p, at += kb4)
                w.pages.try_emplace(at, world::shown{(first + p) * kb4, kind, same_file, false});
        }
    }
    void take_away(world& w) {
        if (below(2) == 0) {
            const auto& s = w.loads[below(w.loads.size())];
            for (std::uint64_t at = s.address / kb4 * kb4; at < s.address + s.file_size; at += kb4) w.pages.erase(w.bias + at);
        } else {
            std::erase_if(w.pages, [&](const auto&) { return below(4) == 0; });
        }
    }

private:
    std::mt19937_64 random_;
};

struct outcome {
    long right = 0, wrong = 0, unknown = 0;
};

/// Asks about the bytes that segments have in each mapping of the image.
outcome judge(const world& w) {
    outcome sum;
    const auto all = w.mappings();
    const auto next = [&](std::uint64_t address, elf::neighbour& n) {
        const auto at =
            std::upper_bound(all.begin(), all.end(), address, [](std::uint64_t a, const auto& m) { return a < m.first.end; });
        if (at == all.end()) return false;
        n = at->first;
        return true;
    };
    for (const auto& [m, of_image] : all) {
        if (!of_image) continue;
        const auto maybe = elf::load_bias(w.loads, m.start, m.end, m.offset, kb4, next);
        const auto certain = elf::load_bias(w.loads, m.start, m.end, m.offset, kb4, next, true);
        for (const auto& s : w.loads)
            for (const std::uint64_t value : {s.address, s.address + s.file_size / 2, s.address + s.file_size - 1}) {
                const std::uint64_t address = w.bias + value;
                if (address < m.start || address >= m.end || !w.pages.at(address / kb4 * kb4).of_image) continue;
                for (const auto& p : {maybe, certain}) {
                    std::uint64_t found = 0;
                    const bool known = elf::address_of(w.loads, p, address, m.offset + (address - m.start), kb4, found);
                    ++(!known ? sum.unknown : found == value ? sum.right : sum.wrong);
                }
            }
    }
    return sum;
}

TEST_CASE("random images: every byte is known, whatever the layout and the loader") {
    maker make{1};
    outcome sum;
    for (int i = 0; i < 20'000; ++i) {
        world w = make.image();
        if (i % 2 == 0) make.split(w);
        const outcome o = judge(w);
        sum.right += o.right, sum.wrong += o.wrong, sum.unknown += o.unknown;
    }
    std::printf("random images: %ld right, %ld wrong, %ld not known\n", sum.right, sum.wrong, sum.unknown);
    CHECK(sum.wrong == 0);
    CHECK(sum.unknown == 0);
    CHECK(sum.right > 100'000);
}

TEST_CASE("random images with data of the same file around them, or with pages missing: no byte has a wrong address") {
    maker make{2};
    for (const bool missing : {false, true}) {
        outcome sum;
        for (int i = 0; i < 40'000; ++i) {
            world w = make.image();
            missing ? make.take_away(w) : make.add_data(w);
            if (i % 3 == 0) make.split(w);
            const outcome o = judge(w);
            sum.right += o.right, sum.wrong += o.wrong, sum.unknown += o.unknown;
        }
        std::printf("random images with %s: %ld right, %ld wrong, %ld not known\n",
                    missing ? "pages missing" : "data around them", sum.right, sum.wrong, sum.unknown);
        CHECK(sum.wrong == 0);
        CHECK(sum.right > sum.unknown);
    }
}

}  // namespace

int main(int argc, char** argv) {
    const int status = support::run(argc, argv);
    the_shop.reset();
    std::printf("%ld symbols compared, %ld answers, %ld wrong, %ld not known\n", total.symbols, total.answers, total.wrong,
                total.unknown);
    return status;
}
