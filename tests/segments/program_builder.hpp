// Builds programs and libraries with each linker and layout of segments.
#pragma once

#include "described.hpp"
#include "../support/files.hpp"
#include "../support/skipping.hpp"
#include "../support/tools.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace support {

/// What a source is made of: functions and objects of each kind, and bytes that fill up its sections.
struct source {
    const char* name;
    int count;
    int text = 0, constants = 0, relocated = 0, data = 0, bss = 0;
    bool own_sections = false;  // each function and object has a section of its own
};

inline constexpr source tiny{"tiny", 1};
inline constexpr source medium{"medium", 60, 3000, 5000, 300, 2000, 1000};
inline constexpr source large{"large", 60, 100'000, 50'000, 9000, 300'000, 1'000'000};
inline constexpr source many_sections{"many_sections", 100, 0, 0, 0, 0, 0, true};
inline constexpr source sizes[] = {
    {"sizes1", 8, 9000, 100, 100, 100, 100},    {"sizes2", 8, 100, 9000, 1000, 5000, 9000},
    {"sizes3", 8, 5000, 5000, 100, 9000, 100},  {"sizes4", 8, 100, 100, 2000, 13000, 100},
    {"sizes5", 8, 20000, 100, 600, 100, 20000}, {"sizes6", 8, 4096, 4096, 512, 4096, 4096},
};

/// A C source with functions and objects in all kinds of sections.
inline std::string text_of(const source& s) {
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
inline constexpr const char* agent_text = R"(
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
class program_builder {
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

inline std::unique_ptr<program_builder> the_shop;
inline program_builder& shop() {
    if (!the_shop) the_shop = std::make_unique<program_builder>();
    return *the_shop;
}

inline constexpr const char* linkers[] = {"bfd", "gold", "lld", "mold"};

inline bool has_linker(const std::string& name) {
    return !shop().link("-fuse-ld=" + name + " -shared " + shop().object(tiny, "-fPIC"), ".so").empty();
}

/// Options that change where the linker puts segments, and the linkers that have them.
struct layout {
    const char* options;
    const char* of;
};
inline constexpr layout layouts[] = {
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
inline std::vector<library> libraries(std::span<const source> sources, std::span<const layout> of, const std::string& machine = "",
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

}  // namespace support
