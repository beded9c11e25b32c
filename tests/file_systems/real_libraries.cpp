// Compiled libraries, loaded by the dynamic linker.
#include "truths.hpp"
#include "fixture.hpp"
#include "../support/files.hpp"
#include "../support/skipping.hpp"

#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using namespace support;

namespace {

/// Builds two libraries of one layout, and a program that loads what it is told and prints where their function is.
bool build_libraries(fixture& t) {
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
pid_t run_load(fixture& t, const std::string& arguments, std::vector<std::uint64_t>& addresses) {
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
truth function_at(fixture& t, std::uint64_t address, const std::string& path, char digit, int file) {
    const std::uint64_t elf = std::strtoull(slurp(t.dir / "address").value_or("").c_str(), nullptr, 16);
    std::string id(20, static_cast<char>((digit - '0') * 17));
    return {.address = address, .path = path, .file = file, .id = std::move(id), .offset = elf, .elf_address = elf};
}

TEST_CASE("libraries of two subvolumes of btrfs, loaded into one process, keep their build IDs") {
    NEEDS_FIXTURE(t);
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
    NEEDS_FIXTURE(t);
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
