// Which file is mapped, and which build ID it has: real files, processes, mount namespaces and attempts to mislead, compared
// with readelf, eu-addr2line, and what a fresh query of the kernel says.
#include "support.hpp"
#include "support/elf_files.hpp"

#include <dlfcn.h>
#include <linux/bpf.h>
#include <sys/auxv.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <functional>
#include <map>
#include <new>
#include <random>
#include <set>
#include <thread>
#include <type_traits>

#include <procmap/bpf.hpp>
#include <procmap/cached_maps.hpp>
#include <procmap/normalizer.hpp>

using namespace support;
using procmap::backend;
using procmap::build_id;
using procmap::build_id_choice;
using procmap::build_id_source;
using procmap::cached_maps;
using procmap::errc;
using procmap::file_state;
using procmap::mapping;
using procmap::maps;
using procmap::normalizer;
using procmap::reason;

#if !defined(PROCMAP_TEST_SANITIZED)
namespace {
std::atomic<long> allocations = 0;
}

// Counts what is allocated with new. Not in line: GCC would see new and free meet, and warn.
[[gnu::noinline]] void* operator new(std::size_t size) {
    ++allocations;
    void* const memory = std::malloc(size);
    return memory != nullptr ? memory : throw std::bad_alloc{};
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

int main(int argc, char** argv) { return support::run(argc, argv); }

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

bool succeeds(const std::string& command) { return ::system((command + " >/dev/null 2>&1").c_str()) == 0; }

std::string quoted(const std::string& word) {
    std::string text = "'";
    for (const char c : word) c == '\'' ? text += "'\\''" : text += c;
    return text + '\'';
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    for (std::size_t at = 0, newline; (newline = text.find('\n', at)) != std::string::npos; at = newline + 1)
        lines.push_back(text.substr(at, newline - at));
    return lines;
}

/// The build IDs that readelf prints, of the files that have one.
std::map<std::string, std::string> readelf_ids(const std::vector<std::string>& files) {
    std::map<std::string, std::string> ids;
    constexpr std::size_t at_once = 200;
    for (std::size_t i = 0; i < files.size(); i += at_once) {
        std::string command = "readelf -nW /dev/null";  // of more than one file, it prints the names
        for (std::size_t j = i; j < std::min(files.size(), i + at_once); ++j) command += ' ' + quoted(files[j]);
        std::string file;
        for (const std::string& line : lines_of(output_of(command + " 2>/dev/null"))) {
            if (line.starts_with("File: ")) file = line.substr(6);
            if (const auto at = line.find("Build ID: "); at != std::string::npos) ids.try_emplace(file, line.substr(at + 10));
        }
    }
    return ids;
}

std::vector<pid_t> processes() {
    std::vector<pid_t> pids;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc", ignored})
        if (const int pid = std::atoi(entry.path().filename().c_str()); pid > 0) pids.push_back(pid);
    return pids;
}

std::string map_files_path(pid_t pid, const record& r) {
    char name[64];
    std::snprintf(name, sizeof name, "/map_files/%llx-%llx", static_cast<unsigned long long>(r.start),
                  static_cast<unsigned long long>(r.end));
    return "/proc/" + std::to_string(pid) + name;
}

/// Writes a new file and gives it the name of an old one.
void replace(const temporary_directory& in, const std::string& name, std::string_view text) {
    in.write(name + ".new", text);
    REQUIRE(::rename((in / (name + ".new")).c_str(), (in / name).c_str()) == 0);
}

/// A file that is mapped as long as this lives.
class mapped {
public:
    explicit mapped(const std::string& path) : memory_(map_file(path)) { REQUIRE(memory_ != nullptr); }
    mapped(const mapped&) = delete;
    mapped& operator=(const mapped&) = delete;
    ~mapped() { ::munmap(memory_, file_pages * page); }
    std::uint64_t address() const { return support::address_of(memory_) + 64; }

private:
    char* memory_;
};

/// Makes a shared library with the build ID that the linker's option names. False where there is no compiler.
bool link_library(const std::string& path, const std::string& build_id_option) {
    return succeeds("echo 'int answer(void) { return 42; }' | cc -shared -nostdlib -fPIC -Wl,--build-id=" + build_id_option +
                    " -x c -o " + quoted(path) + " -");
}

// ---- what the library sees

bool kernel_ids() { return kernel_has_ioctl() && procmap::safe_to_ask(procmap::known_hazards(procmap::running_kernel())); }

/// One address's location with its file, as a value that a child can send.
struct seen {
    bool resolved = false;
    bool id_known = false;
    reason why = reason::none;
    file_state state = file_state::unknown;
    build_id id{};
    std::uint64_t offset = 0;
    std::uint64_t elf_address = 0;
    bool elf_address_known = false;
};

seen look(const maps& at, std::uint64_t address, build_id_choice from = build_id_choice::automatic) {
    normalizer n{{.build_ids = true, .elf_addresses = from != build_id_choice::kernel, .build_ids_from = from, .file_states = true}};
    const std::array addresses{address};
    const auto got = n.normalize(at, addresses);
    if (!got) return {.why = got.error() == errc::gone ? reason::gone : reason::failed};
    const procmap::location& l = got->locations[0];
    if (!l) return {.why = l.reason};
    const procmap::mapped_file& f = got->files[l.file];
    return {.resolved = true, .id_known = f.build_id_known, .why = l.reason, .state = f.state, .id = f.build_id,
            .offset = l.offset, .elf_address = l.elf_address, .elf_address_known = l.elf_address_known};
}

/// What each way to ask gives.
struct views {
    seen file, automatic, text;
};

/// Also called in children: nothing is asserted.
views look_all_ways(pid_t pid, std::uint64_t address) {
    const auto any = maps::open(pid);
    const auto text = maps::open(pid, {.use = backend::text});
    if (!any || !text) return {};
    return {look(*any, address, build_id_choice::file), look(*any, address), look(*text, address)};
}

[[maybe_unused]] const char* name_of(file_state s) {
    constexpr const char* names[] = {"unknown", "linked", "deleted", "replaced", "unreadable"};
    return names[static_cast<int>(s)];
}

/// The build ID is this one, and the file and (where it may be asked) the kernel say so.
void check_found(const views& v, std::string_view id, build_id_source file_way, file_state state = file_state::linked) {
    for (const seen* s : {&v.file, &v.automatic, &v.text}) {
        CHECK(s->resolved);
        CHECK(s->id_known);
        CHECK(hex_of(s->id) == hex_of(id_of(id)));
        CHECK(std::string{name_of(s->state)} == name_of(state));
        CHECK(s->elf_address_known);
        CHECK(s->elf_address == elf_base + s->offset);
    }
    CHECK(v.file.id.source() == file_way);
    CHECK(v.text.id.source() == file_way);
    CHECK(v.automatic.id.source() == (kernel_ids() && id.size() <= 20 ? build_id_source::kernel : file_way));
}

/// The file cannot be had, and says why; the kernel knows the build ID, and so does the process's memory.
void check_lost(const views& v, std::string_view id, file_state state) {
    for (const seen* s : {&v.file, &v.automatic, &v.text}) {
        CHECK(s->resolved);
        CHECK(std::string{name_of(s->state)} == name_of(state));
        CHECK(s->id_known);
        CHECK(hex_of(s->id) == hex_of(id_of(id)));
        CHECK(s->elf_address_known);
        CHECK(s->elf_address == elf_base + s->offset);
    }
    CHECK(v.file.id.source() == build_id_source::memory);
    CHECK(v.text.id.source() == build_id_source::memory);
    CHECK(v.automatic.id.source() == (kernel_ids() ? build_id_source::kernel : build_id_source::memory));
}

/// In a child: an ordinary user, whose process can be looked at by others of that user.
void become_nobody() {
    drop_privileges();
    ensure(::prctl(PR_SET_DUMPABLE, 1) == 0, "dumpable");
    ::alarm(30);
}

/// What an ordinary user, who may not use map_files, sees of a file that a process of his maps; `meanwhile` runs here between.
template <class Meanwhile>
views seen_by_nobody(const std::string& path, Meanwhile meanwhile) {
    child user{[&](channel& parent) {
        become_nobody();
        char* const at = map_file(path);
        ensure(at != nullptr, "map");
        parent.signal();
        parent.await();
        parent.send(look_all_ways(::getpid(), support::address_of(at)));
    }};
    user->await();
    meanwhile();
    user->signal();
    return user->receive<views>();
}

/// What an ordinary user sees of another process of that user.
views nobody_looks_at(pid_t pid, std::uint64_t address) {
    child user{[&](channel& parent) {
        become_nobody();
        parent.send(look_all_ways(pid, address));
    }};
    return user->receive<views>();
}

// ---- every mapped file

/// A file as a process maps it, and what readelf says about it.
struct file_seen {
    std::string path;  // in map_files
    struct stat info {};
    bool several = false;  // files of one pair, as of two subvolumes of btrfs
    bool foreign = false;  // of the other byte order (an emulator's program or firmware): the kernel does not read those
    std::string id;
};

bool same_file(const struct stat& a, const struct stat& b) {
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size && a.st_ctim.tv_sec == b.st_ctim.tv_sec &&
           a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

/// The regular files that a process maps, by the pair in maps, and an address in each.
std::map<std::pair<procmap::device_number, std::uint64_t>, file_seen> files_of(const maps& of, pid_t pid,
                                                                               std::vector<std::uint64_t>& addresses) {
    std::map<std::pair<procmap::device_number, std::uint64_t>, file_seen> files;
    for (const record& r : walk_all(of, {.only = procmap::file_backed}).records) {
        file_seen file{.path = map_files_path(pid, r), .id = {}};
        if (::stat(file.path.c_str(), &file.info) != 0 || !S_ISREG(file.info.st_mode)) continue;
        addresses.push_back(r.start);
        char head[6] = {};
        std::ifstream{file.path, std::ios::binary}.read(head, sizeof head);
        constexpr char ours = std::endian::native == std::endian::big ? 2 : 1;  // ELFDATA2MSB, ELFDATA2LSB
        file.foreign = std::string_view{head, 4} == "\x7f" "ELF" && head[5] != ours;
        const auto [at, is_new] = files.try_emplace({r.device, r.inode}, file);
        if (!is_new && !same_file(at->second.info, file.info)) at->second.several = true;
    }
    std::vector<std::string> paths;
    for (const auto& [key, file] : files) paths.push_back(file.path);
    const auto ids = readelf_ids(paths);
    for (auto& [key, file] : files)
        if (const auto id = ids.find(file.path); id != ids.end()) file.id = id->second;
    return files;
}

/// What differs between the library's build IDs and readelf's in one process; nothing where the process changed meanwhile.
std::optional<std::string> different_ids(pid_t pid, normalizer& n, build_id_choice from, int& compared) {
    const auto before = slurp(maps_path(pid));
    const auto of = maps::open(pid);
    if (!of) return std::nullopt;
    std::vector<std::uint64_t> addresses;
    const auto files = files_of(*of, pid, addresses);
    const auto got = n.normalize(*of, addresses);
    if (!got || slurp(maps_path(pid)) != before) return std::nullopt;
    const bool by_kernel = from != build_id_choice::file && kernel_ids();
    std::error_code none;
    const bool ours = std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/ns/mnt", none) ==
                      std::filesystem::read_symlink("/proc/self/ns/mnt", none);
    int equal = 0;
    for (const procmap::mapped_file& f : got->files) {
        const auto seen = files.find({f.device, f.inode});
        if (seen == files.end()) return std::nullopt;
        const file_seen& file = seen->second;
        struct stat now {};
        if (::stat(file.path.c_str(), &now) != 0 || !same_file(now, file.info)) return std::nullopt;
        // On overlayfs old and new contents share a pair and a name, and not every file can be proven: file_systems is about those.
        if (file.several || (on_overlayfs(file.path) && (!ours || !f.build_id_known))) continue;
        const bool unread = by_kernel && file.foreign;
        const std::string expected = unread && from == build_id_choice::kernel ? "" : file.id;
        const std::string which = std::string{f.path} + " of " + std::to_string(pid) + ": ";
        if (f.build_id_known != (from != build_id_choice::kernel || !expected.empty()))  // the kernel does not say "none"
            return which + (f.build_id_known ? "known" : "not known");
        if (hex_of(f.build_id) != expected) return which + hex_of(f.build_id) + " instead of " + expected;
        if (expected.empty()) continue;
        if (f.build_id.source() == build_id_source::memory && support::on_overlayfs(file.path)) continue;
        if (f.build_id.source() != (by_kernel && !unread ? build_id_source::kernel : build_id_source::map_files))
            return which + "from another source";
        ++equal;
    }
    compared += equal;
    return "";
}

TEST_CASE("the build ID of every file that is mapped on the machine is the one that readelf prints, whoever is asked") {
    NEEDS_LIVE_MAPS();
    if (!succeeds("readelf --version")) SKIP("no readelf");
    if (!is_root()) SKIP("map_files needs root");
    child still{[](channel& parent) {
        parent.signal();
        parent.pause();
    }};
    still->await();
    int compared = 0, restless = 0;
    for (const build_id_choice from : {build_id_choice::automatic, build_id_choice::file, build_id_choice::kernel}) {
        if (from == build_id_choice::kernel && !kernel_ids()) continue;
        normalizer n{{.build_ids = true, .build_ids_from = from}};
        for (const pid_t pid : processes()) {
            std::optional<std::string> different;
            int tries = 0;  // in a process that changes there and back, a difference may be none: it has to come back
            while ((!different || !different->empty()) && ++tries <= 5) different = different_ids(pid, n, from, compared);
            restless += !different;
            if (pid == still.pid()) CHECK(different.has_value());
            if (different) CHECK(*different == "");
        }
    }
    std::printf("%d build IDs compared, %d times a process was gone or never at rest\n", compared, restless);
    CHECK(compared >= 4);  // a machine has two files at the least, which are compared in two ways
}

/// Random addresses in the executable file mappings of a process.
std::vector<std::uint64_t> code_addresses(const maps& of, std::size_t count, std::mt19937_64& random) {
    const auto code = walk_all(of, {.only = procmap::file_backed | procmap::executable}).records;
    std::vector<std::uint64_t> addresses;
    for (std::size_t i = 0; i < count && !code.empty(); ++i) {
        const record& r = code[static_cast<std::size_t>(random() % code.size())];
        addresses.push_back(r.start + random() % (r.end - r.start));
    }
    return addresses;
}

/// The functions that eu-addr2line names, for each address; empty where it knows none.
std::vector<std::string> functions(const std::string& where, const std::vector<std::uint64_t>& addresses) {
    std::string command = "DEBUGINFOD_URLS= eu-addr2line -f " + where;
    for (const std::uint64_t a : addresses) {
        char text[24];
        std::snprintf(text, sizeof text, " 0x%llx", static_cast<unsigned long long>(a));
        command += text;
    }
    const auto lines = lines_of(output_of(command + " 2>/dev/null"));
    std::vector<std::string> names(addresses.size());
    for (std::size_t i = 0; i < names.size() && 2 * i < lines.size(); ++i)
        if (lines[2 * i] != "??") names[i] = lines[2 * i];
    return names;
}

/// How many functions at random addresses of a process have one name by file and ELF address and in the process; `different`: a
/// name that is not.
int compare_functions(normalizer& n, pid_t pid, std::size_t count, std::mt19937_64& random, std::string& different) {
    different.clear();
    const auto of = maps::open(pid);
    if (!of) return 0;
    const auto addresses = code_addresses(*of, count, random);
    const auto got = n.normalize(*of, addresses);
    if (addresses.empty() || !got || !got->complete()) return 0;
    const auto expected = functions("-p " + std::to_string(pid), addresses);
    int compared = 0;
    for (std::uint32_t file = 0; file < got->files.size(); ++file) {
        std::vector<std::size_t> which;
        std::vector<std::uint64_t> inside;
        for (std::size_t i = 0; i < addresses.size(); ++i)
            if (const procmap::location& l = got->locations[i]; l.file == file && l.elf_address_known)
                which.push_back(i), inside.push_back(l.elf_address);
        if (which.empty()) continue;
        const std::string path{got->files[file].path};
        const auto names = functions("-e " + quoted("/proc/" + std::to_string(pid) + "/root" + path), inside);
        for (std::size_t i = 0; i < which.size(); ++i) {
            if (names[i].empty() || expected[which[i]].empty()) continue;
            ++compared;
            if (names[i] != expected[which[i]])
                different = path + " of " + std::to_string(pid) + ": " + names[i] + " instead of " + expected[which[i]];
        }
    }
    return compared;
}

TEST_CASE("a code address's file and ELF address name the function that eu-addr2line finds in the process") {
    if (!succeeds("eu-addr2line --version")) SKIP("no eu-addr2line");
    if (!is_root()) SKIP("other processes need root");
    child loads{[](channel& parent) {
        for (const char* name : {"libm.so.6", "libstdc++.so.6", "libz.so.1", "libelf.so.1", "libcrypto.so.3", "libutil.so.1"})
            ::dlopen(name, RTLD_NOW);
        parent.signal();
        parent.pause();
    }};
    loads->await();
    std::vector<pid_t> pids{loads.pid(), ::getpid()};
    for (const pid_t pid : processes()) {
        std::error_code none;  // eu-addr2line looks for files below its own root
        if (pids.size() == 10 || !std::filesystem::equivalent("/proc/" + std::to_string(pid) + "/root", "/", none)) continue;
        if (const auto of = maps::open(pid); of && of->find_from(0)) pids.push_back(pid);
    }
    std::mt19937_64 random{1};
    normalizer n{{.elf_addresses = true}};
    int compared = 0;
    for (const pid_t pid : pids) {
        std::string different;
        int tries = 0;  // other processes may exec or load a library meanwhile: a difference has to come back
        do compared += compare_functions(n, pid, pid == loads.pid() ? 4000 : 400, random, different);
        while (!different.empty() && ++tries < 5);
        CHECK(different == "");
    }
    std::printf("%d functions compared\n", compared);
    CHECK(compared >= 200);  // some thousand where symbols are not stripped
}

// ---- strange files

TEST_CASE("a file that is where it was has the build ID of its note, by either way to open it") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    const mapped m{dir / "lib.so"};
    check_found(look_all_ways(::getpid(), m.address()), twenty('a'),
                is_root() ? build_id_source::map_files : build_id_source::root_path);
    if (!is_root()) SKIP("an ordinary user's view needs a change of user");
    check_found(seen_by_nobody(dir / "lib.so", [] {}), twenty('a'), build_id_source::root_path);
}

TEST_CASE("a library that was replaced keeps the build ID of the file that is mapped, never the new one's") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    const mapped m{dir / "lib.so"};
    const views ordinary = seen_by_nobody(dir / "lib.so", [&] { replace(dir, "lib.so", small_elf(twenty('b'))); });
    check_lost(ordinary, twenty('a'), file_state::replaced);
    check_found(look_all_ways(::getpid(), m.address()), twenty('a'), build_id_source::map_files, file_state::replaced);
}

TEST_CASE("a library that was renamed away and replaced is found under its new name") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    const views ordinary = seen_by_nobody(dir / "lib.so", [&] {
        REQUIRE(::rename((dir / "lib.so").c_str(), (dir / "old.so").c_str()) == 0);
        dir.write("lib.so", small_elf(twenty('b')));
    });
    check_found(ordinary, twenty('a'), build_id_source::root_path);
}

TEST_CASE("a deleted file says so, whatever else has its name and the mark") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("lib.so", small_elf(twenty('a')));
    const mapped m{dir / "lib.so"};
    const views gone = seen_by_nobody(dir / "lib.so", [&] { ::unlink((dir / "lib.so").c_str()); });
    check_lost(gone, twenty('a'), file_state::deleted);
    check_found(look_all_ways(::getpid(), m.address()), twenty('a'), build_id_source::map_files, file_state::deleted);

    dir.write("x", small_elf(twenty('c')));
    dir.write("x (deleted)", small_elf(twenty('d')));
    const views marked = seen_by_nobody(dir / "x", [&] { ::unlink((dir / "x").c_str()); });
    check_lost(marked, twenty('c'), file_state::deleted);
    check_found(seen_by_nobody(dir / "x (deleted)", [] {}), twenty('d'), build_id_source::root_path);
    const mapped named{dir / "x (deleted)"};
    check_found(look_all_ways(::getpid(), named.address()), twenty('d'), build_id_source::map_files);
}

TEST_CASE("a file whose path was unlinked is deleted, though it has another name left") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("a", small_elf(twenty('a')));
    REQUIRE(::link((dir / "a").c_str(), (dir / "b").c_str()) == 0);
    const mapped m{dir / "a"};
    const views ordinary = seen_by_nobody(dir / "a", [&] { ::unlink((dir / "a").c_str()); });
    check_lost(ordinary, twenty('a'), file_state::deleted);
    check_found(look_all_ways(::getpid(), m.address()), twenty('a'), build_id_source::map_files, file_state::deleted);
}

TEST_CASE("an executable memfd has its build ID") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("map_files needs root");
    const int fd = ::memfd_create("code", MFD_CLOEXEC);
    const std::string elf = small_elf(twenty('m'));
    REQUIRE(::write(fd, elf.data(), elf.size()) == static_cast<ssize_t>(elf.size()));
    char* const at = map_fd(fd);
    ::close(fd);
    REQUIRE(at != nullptr);
    check_found(look_all_ways(::getpid(), support::address_of(at)), twenty('m'), build_id_source::map_files,
                file_state::deleted);
    ::munmap(at, file_pages * page);
}

TEST_CASE("two paths of one file are one file, and two files of one path are two") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("one", small_elf(twenty('1')));
    REQUIRE(::link((dir / "one").c_str(), (dir / "other").c_str()) == 0);
    const mapped one{dir / "one"}, other{dir / "other"};
    replace(dir, "one", small_elf(twenty('2')));
    const mapped two{dir / "one"};
    const std::array addresses{one.address(), two.address(), other.address()};
    for (const backend use : backends()) {
        const maps self = need(maps::open_self({.use = use}));
        normalizer n{{.build_ids = true}};
        for (int again = 0; again < 3; ++again) {
            const auto got = need(n.normalize(self, addresses));
            CHECK(got.files.size() == 2);
            CHECK(got.locations[0].file == got.locations[2].file);
            CHECK(got.locations[0].file != got.locations[1].file);
            if (use == backend::text && !is_root()) continue;
            CHECK(got.files[got.locations[0].file].build_id == id_of(twenty('1')));
            CHECK(got.files[got.locations[1].file].build_id == id_of(twenty('2')));
        }
    }
}

TEST_CASE("a file without a build ID is known to have none") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("text", std::string(2 * page, 'x'));
    dir.write("empty", "");
    std::vector<std::string> files{"text", "empty"};
    if (link_library(dir / "none.so", "none"))
        files.push_back("none.so");
    else
        not_included("a linked library without build ID: no compiler");
    for (const std::string& name : files) {
        const mapped m{dir / name};
        const views v = look_all_ways(::getpid(), m.address());
        for (const seen* s : {&v.file, &v.automatic, &v.text}) {
            INFO(name);
            CHECK(s->resolved);
            CHECK(s->id_known);
            CHECK(s->id.empty());
            CHECK(s->id.source() == build_id_source::none);
            CHECK(s->state == file_state::linked);
            CHECK(s->elf_address_known == (name == "none.so"));
        }
    }
}

TEST_CASE("build IDs of 8, 16, 20 and 32 bytes are found, those that the kernel does not return in the file") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    const std::string digits = "00112233445566778899aabbccddeeff0123456789abcdef0f1e2d3c4b5a6978";
    const build_id_source way = is_root() ? build_id_source::map_files : build_id_source::root_path;
    for (const std::size_t size : {std::size_t{8}, std::size_t{16}, std::size_t{20}, std::size_t{32}}) {
        INFO(size);
        const std::string hex = digits.substr(0, 2 * size);
        if (!link_library(dir / hex, "0x" + hex)) SKIP("no compiler");
        CHECK(readelf_ids({dir / hex})[dir / hex] == hex);
        const mapped m{dir / hex};
        const views v = look_all_ways(::getpid(), m.address());
        for (const seen* s : {&v.file, &v.automatic, &v.text}) {
            CHECK(s->id_known);
            CHECK(hex_of(s->id) == hex);
        }
        CHECK(v.file.id.source() == way);
        CHECK(v.text.id.source() == way);
        CHECK(v.automatic.id.source() == (kernel_ids() && size <= 20 ? build_id_source::kernel : way));
        if (!kernel_ids()) continue;
        const seen by_kernel = look(need(maps::open_self()), m.address(), build_id_choice::kernel);
        CHECK(by_kernel.id_known == (size <= 20));  // that the kernel gives none does not say that there is none
        CHECK(hex_of(by_kernel.id) == (size <= 20 ? hex : ""));
        CHECK(by_kernel.state == file_state::linked);
    }
}

/// The same as small_elf, but the note is named by a section header alone.
std::string elf_with_section(std::string_view id) {
    std::string file = small_elf(id);
    auto* const head = reinterpret_cast<Elf64_Ehdr*>(file.data());
    auto* const segments = reinterpret_cast<Elf64_Phdr*>(file.data() + head->e_phoff);
    Elf64_Shdr section{};
    section.sh_type = SHT_NOTE;
    section.sh_offset = segments[1].p_offset;
    section.sh_size = segments[1].p_filesz;
    section.sh_addralign = 4;
    segments[1].p_type = PT_NULL;
    head->e_shoff = page;
    head->e_shentsize = sizeof section;
    head->e_shnum = 1;
    std::memcpy(file.data() + page, &section, sizeof section);
    return file;
}

TEST_CASE("a build ID that only a section header names is read from the file, and not known from memory") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    for (const std::size_t size : {std::size_t{20}, std::size_t{32}}) {
        const std::string id(size, 's');
        dir.write("lib.so", elf_with_section(id));
        const mapped m{dir / "lib.so"};
        const build_id_source way = is_root() ? build_id_source::map_files : build_id_source::root_path;
        const views v = look_all_ways(::getpid(), m.address());
        for (const seen* s : {&v.file, &v.automatic, &v.text}) {
            CHECK(s->id_known);
            CHECK(hex_of(s->id) == hex_of(id_of(id)));
            CHECK(s->id.source() == way);
            CHECK(s->elf_address_known);
        }
        if (kernel_ids()) CHECK_FALSE(look(need(maps::open_self()), m.address(), build_id_choice::kernel).id_known);
        if (!is_root()) continue;
        const views lost = seen_by_nobody(dir / "lib.so", [&] { replace(dir, "lib.so", small_elf(twenty('b'))); });
        for (const seen* s : {&lost.file, &lost.automatic, &lost.text}) {
            CHECK_FALSE(s->id_known);
            CHECK(s->id.empty());
            CHECK(s->elf_address_known);
        }
    }
}

TEST_CASE("a path over PATH_MAX among good ones is name_unknown, and fails no other") {
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("good", small_elf(twenty('g')));
    const std::string part(250, 'p');
    int at = ::open(dir.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 20; ++i) {
        REQUIRE(::mkdirat(at, part.c_str(), 0755) == 0);
        const int below = ::openat(at, part.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
        ::close(at);
        at = below;
    }
    const int fd = ::openat(at, "deep", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    ::close(at);
    const std::string elf = small_elf(twenty('d'));
    REQUIRE(::write(fd, elf.data(), elf.size()) == static_cast<ssize_t>(elf.size()));
    char* const deep = map_fd(fd);
    ::close(fd);
    REQUIRE(deep != nullptr);
    const mapped good{dir / "good"};
    const std::array addresses{good.address(), support::address_of(deep), good.address() + 1};
    for (const backend use : backends()) {
        normalizer n{{.build_ids = true}};
        const auto got = need(n.normalize(need(maps::open_self({.use = use})), addresses));
        CHECK(got.complete());
        CHECK(got.locations[0].reason == reason::none);
        CHECK(got.locations[2].reason == reason::none);
        REQUIRE(got.locations[1]);
        CHECK(got.locations[1].offset == 0);
        const procmap::mapped_file& lost = got.files[got.locations[1].file];
        if (use == backend::ioctl || lost.path.empty()) CHECK(got.locations[1].reason == reason::name_unknown);
        CHECK(got.files[got.locations[0].file].build_id == id_of(twenty('g')));
        if (is_root()) CHECK(lost.build_id == id_of(twenty('d')));
    }
    ::munmap(deep, file_pages * page);
}

// ---- other roots

/// A process of an ordinary user that maps `path` after `prepare`, which may say that it cannot.
template <class Prepare>
child maps_it(const std::string& path, Prepare prepare) {
    return child{[=](channel& parent) {
        const bool can = prepare();
        char* at = nullptr;
        if (can) {
            become_nobody();
            ::alarm(120);
            ensure((at = map_file(path)) != nullptr, path.c_str());
        }
        parent.send(support::address_of(at));
        parent.pause();
    }};
}

TEST_CASE("a file of another mount namespace is the one that is mapped there, not the one at that path here") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    dir.write("in/lib.so", small_elf(twenty('o')));
    const std::string in = dir / "in", path = in + "/lib.so";
    child inside = maps_it(path, [&] {
        if (!own_namespace() || ::mount("tmpfs", in.c_str(), "tmpfs", 0, "mode=755") != 0) return false;
        write_file(path, small_elf(twenty('i')));
        return true;
    });
    const auto address = inside->receive<std::uint64_t>();
    if (address == 0) SKIP("no mount namespace of one's own");
    check_found(look_all_ways(inside.pid(), address), twenty('i'), build_id_source::map_files);
    check_found(nobody_looks_at(inside.pid(), address), twenty('i'), build_id_source::root_path);
}

TEST_CASE("a file in a chroot is the one that is mapped there, not the one at that path here or there") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    const std::string root = dir / "root";
    dir.write("root/lib.so", small_elf(twenty('i')));
    dir.write("root/" + root.substr(1) + "/lib.so", small_elf(twenty('t')));  // where the printed path leads below that root
    child inside = maps_it("/lib.so", [&] { return ::chroot(root.c_str()) == 0 && ::chdir("/") == 0; });
    const auto address = inside->receive<std::uint64_t>();
    check_found(look_all_ways(inside.pid(), address), twenty('i'), build_id_source::map_files);
    check_found(nobody_looks_at(inside.pid(), address), twenty('i'), build_id_source::root_path);
}

TEST_CASE("a file in a chroot of another mount namespace is never taken for the one at that path here") {
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    const std::string root = dir / "root";
    dir.write("root/lib.so", small_elf(twenty('o')));
    child inside = maps_it("/lib.so", [&] {
        if (!own_namespace() || ::mount("tmpfs", root.c_str(), "tmpfs", 0, "mode=755") != 0) return false;
        write_file(root + "/lib.so", small_elf(twenty('i')));
        return ::chroot(root.c_str()) == 0 && ::chdir("/") == 0;
    });
    const auto address = inside->receive<std::uint64_t>();
    if (address == 0) SKIP("no mount namespace of one's own");
    check_found(look_all_ways(inside.pid(), address), twenty('i'), build_id_source::map_files);
    const views ordinary = nobody_looks_at(inside.pid(), address);
    for (const seen* s : {&ordinary.file, &ordinary.automatic, &ordinary.text}) {
        CHECK(s->resolved);
        if (s->id_known) CHECK(hex_of(s->id) == hex_of(id_of(twenty('i'))));
    }
}

// btrfs, whose maps show another device than stat does as well, is left to machines that have one: it takes a block device.
TEST_CASE("a file on overlayfs, whose identity in maps may be another than in stat, has its own build ID") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    for (const char* xino : {"xino=off", "xino=auto"}) {
        INFO(xino);
        temporary_directory dir;
        for (const char* name : {"a/x", "b/x", "up/x", "merged/x"}) dir.write(name, "");
        const std::string path = dir / "merged/lib.so";
        child inside = maps_it(path, [&] {
            if (!own_namespace()) return false;
            for (const char* layer : {"a", "b", "up"})
                if (::mount("tmpfs", (dir / layer).c_str(), "tmpfs", 0, "mode=755") != 0) return false;
            ensure(::mkdir((dir / "up/u").c_str(), 0755) == 0 && ::mkdir((dir / "up/w").c_str(), 0755) == 0, "mkdir");
            write_file(dir / "a/lib.so", small_elf(twenty('i')));
            write_file(dir / "b/other.so", small_elf(twenty('j')));
            const std::string options = "lowerdir=" + (dir / "a") + ':' + (dir / "b") + ",upperdir=" + (dir / "up/u") +
                                        ",workdir=" + (dir / "up/w") + ',' + xino;
            return ::mount("overlay", (dir / "merged").c_str(), "overlay", 0, options.c_str()) == 0;
        });
        const auto address = inside->receive<std::uint64_t>();
        if (address == 0) SKIP("no overlayfs here");
        // Neither the path nor map_files proves which contents are mapped: those in memory do.
        check_found(look_all_ways(inside.pid(), address), twenty('i'), build_id_source::memory, file_state::unknown);
        check_found(nobody_looks_at(inside.pid(), address), twenty('i'), build_id_source::memory, file_state::unknown);
    }
}

TEST_CASE("old and new contents of a file on overlayfs, mapped as one inode, each keep their build ID") {
    if (!is_root()) SKIP("needs all rights of root");
    if (!kernel_ids()) SKIP("only the kernel can tell them apart");
    temporary_directory dir;
    dir.write("layers/x", "");
    dir.write("merged/x", "");
    struct answers {
        bool mounted = false;
        int wrong = 0;
    };
    child inside{[&](channel& parent) {
        const std::string path = dir / "merged/lib.so", layers = dir / "layers";
        if (!own_namespace() || ::mount("tmpfs", layers.c_str(), "tmpfs", 0, "mode=755") != 0) parent.send(answers{});
        for (const char* layer : {"/low", "/up", "/work"}) ::mkdir((layers + layer).c_str(), 0755);
        write_file(layers + "/low/lib.so", small_elf(twenty('i')));
        const std::string options = "lowerdir=" + layers + "/low,upperdir=" + layers + "/up,workdir=" + layers + "/work";
        if (::mount("overlay", (dir / "merged").c_str(), "overlay", 0, options.c_str()) != 0) parent.send(answers{});
        answers sum{.mounted = true};
        const auto self = maps::open_self();
        cached_maps cache{*self, {.build_ids = true}};
        normalizer n{{.build_ids = true}};
        const auto expect = [&](const char* at, char letter) {
            const std::array address{support::address_of(at)};
            const auto m = cache.find(address[0]);
            sum.wrong += !m || build_id{m->build_id.bytes()} != id_of(twenty(letter));
            const auto got = n.normalize(*self, address);
            sum.wrong += !got || got->files[0].build_id != id_of(twenty(letter));
        };
        char* const old = map_file(path);
        ::usleep(50000);
        expect(old, 'i');
        const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);  // copied to the upper layer
        (void)!::pwrite(fd, twenty('j').data(), 20, id_offset);
        ::close(fd);
        char* const fresh = map_file(path);
        for (int i = 0; i < 3; ++i) {
            expect(old, 'i');
            expect(fresh, 'j');
            ::usleep(50000);
        }
        parent.send(sum);
    }};
    const auto sum = inside->receive<answers>();
    if (!sum.mounted) SKIP("no overlayfs here");
    CHECK(sum.wrong == 0);
}

TEST_CASE("a FIFO, a device, a directory or a link out of the root at the path is never opened") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    const std::string path = dir / "lib.so";
    dir.write("elsewhere", small_elf(twenty('e')));
    const int watch = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    for (const char* what : {"fifo", "device", "directory", "link", "loop"}) {
        INFO(what);
        std::filesystem::remove_all(path);
        dir.write("lib.so", small_elf(twenty('a')));
        int watched = -1;
        const views v = seen_by_nobody(path, [&] {
            ::unlink(path.c_str());
            const std::string kind = what;
            if (kind == "fifo") REQUIRE(::mkfifo(path.c_str(), 0666) == 0);
            if (kind == "device") REQUIRE(::mknod(path.c_str(), S_IFCHR | 0666, ::makedev(1, 5)) == 0);
            if (kind == "directory") REQUIRE(::mkdir(path.c_str(), 0755) == 0);
            if (kind == "link") REQUIRE(::symlink((dir / "elsewhere").c_str(), path.c_str()) == 0);
            if (kind == "loop") REQUIRE(::symlink(path.c_str(), path.c_str()) == 0);
            watched = ::inotify_add_watch(watch, path.c_str(), IN_OPEN | (kind == "link" ? 0u : IN_DONT_FOLLOW));
        });
        check_lost(v, twenty('a'), std::string_view{what} == "loop" ? file_state::unreadable : file_state::replaced);
        char events[4096];
        if (std::string_view{what} != "link")
            CHECK(::read(watch, events, sizeof events) < 0);  // a regular file is opened to be compared
        if (watched >= 0) ::inotify_rm_watch(watch, watched);
        while (::read(watch, events, sizeof events) > 0) {}
    }
    ::close(watch);
}

TEST_CASE("the path of a process in a chroot is resolved below its root, and a link does not lead out") {
    if (!is_root()) SKIP("needs all rights of root");
    temporary_directory dir;
    const std::string root = dir / "root";
    dir.write("root/lib.so", small_elf(twenty('i')));
    dir.write("outside.so", small_elf(twenty('o')));
    child inside = maps_it("/lib.so", [&] { return ::chroot(root.c_str()) == 0 && ::chdir("/") == 0; });
    const auto address = inside->receive<std::uint64_t>();
    ::unlink((root + "/lib.so").c_str());
    REQUIRE(::symlink("../../../outside.so", (root + "/lib.so").c_str()) == 0);
    check_lost(nobody_looks_at(inside.pid(), address), twenty('i'), file_state::deleted);
}

// ---- where a path leads

/// The state that one normalizer, which looked before, and a new one give of a mapping; by both back-ends, and with nothing else asked.
struct states {
    file_state all[6] = {};
    std::size_t count = 0;
    [[nodiscard]] bool all_are(file_state s) const {
        return count != 0 && std::all_of(all, all + count, [s](file_state one) { return one == s; });
    }
};

/// Looks at a mapping when it is told to, as root or as an ordinary user.
class state_observer {
public:
    state_observer(pid_t pid, std::uint64_t address, bool nobody)
        : child_([=](channel& parent) {
              if (nobody) become_nobody();
              const std::array addresses{address};
              normalizer warm[2] = {normalizer{{.build_ids = true, .file_states = true}}, normalizer{{.build_ids = true, .file_states = true}}};
              for (;;) {
                  states s;
                  for (const backend use : {backend::ioctl, backend::text}) {
                      if (use == backend::ioctl && !kernel_has_ioctl()) continue;
                      const auto of = maps::open(pid, {.use = use});
                      ensure(of.has_value(), "open");
                      normalizer fresh{{.build_ids = true, .elf_addresses = true, .file_states = true}};
                      normalizer only{{.file_states = true}};
                      for (normalizer* n : {&warm[use == backend::text], &fresh, &only}) {
                          const auto got = n->normalize(*of, addresses);
                          ensure(got && got->files.size() == 1, "normalize");
                          s.all[s.count++] = got->files[0].state;
                      }
                  }
                  parent.send(s);
                  parent.await();
              }
          }) {}
    states first() { return child_->receive<states>(); }
    states again() {
        child_->signal();
        return child_->receive<states>();
    }

private:
    child child_;
};

TEST_CASE("where the path of a mapping leads is the same for root and for a user without rights, before and after") {
    NEEDS_LIVE_MAPS();
    if (!is_root()) SKIP("needs all rights of root");
    struct kind {
        const char* name;
        std::function<void(const temporary_directory&)> change;
        file_state expected;
        file_state for_nobody;
    };
    const auto in = [](const temporary_directory& dir, const char* name) { return dir / name; };
    const auto write_new = [](const temporary_directory& dir) { dir.write("d/lib.so", small_elf(twenty('b'))); };
    const auto one = [](const char* name, std::function<void(const temporary_directory&)> change, file_state s) {
        return kind{name, std::move(change), s, s};
    };
    const kind kinds[] = {
        one("linked", [](const temporary_directory&) {}, file_state::linked),
        one("renamed", [&](const auto& dir) { REQUIRE(::rename(in(dir, "d/lib.so").c_str(), in(dir, "d/away.so").c_str()) == 0); }, file_state::linked),
        one("renamed away, another file in its place", [&](const auto& dir) {
            REQUIRE(::rename(in(dir, "d/lib.so").c_str(), in(dir, "d/away.so").c_str()) == 0);
            write_new(dir);
        }, file_state::linked),
        one("its directory renamed away and another in its place", [&](const auto& dir) {
            REQUIRE(::rename(in(dir, "d").c_str(), in(dir, "e").c_str()) == 0);
            write_new(dir);
        }, file_state::linked),
        one("replaced", [&](const auto& dir) { replace(dir, "d/lib.so", small_elf(twenty('b'))); }, file_state::replaced),
        one("replaced, with a hard link that keeps the inode", [&](const auto& dir) {
            REQUIRE(::link(in(dir, "d/lib.so").c_str(), in(dir, "d/kept.so").c_str()) == 0);
            replace(dir, "d/lib.so", small_elf(twenty('b')));
        }, file_state::replaced),
        one("unlinked", [&](const auto& dir) { REQUIRE(::unlink(in(dir, "d/lib.so").c_str()) == 0); }, file_state::deleted),
        one("unlinked, with a hard link", [&](const auto& dir) {
            REQUIRE(::link(in(dir, "d/lib.so").c_str(), in(dir, "d/kept.so").c_str()) == 0);
            REQUIRE(::unlink(in(dir, "d/lib.so").c_str()) == 0);
        }, file_state::deleted),
        one("unlinked, and the same file linked there again", [&](const auto& dir) {
            REQUIRE(::link(in(dir, "d/lib.so").c_str(), in(dir, "d/kept.so").c_str()) == 0);
            REQUIRE(::unlink(in(dir, "d/lib.so").c_str()) == 0);
            REQUIRE(::link(in(dir, "d/kept.so").c_str(), in(dir, "d/lib.so").c_str()) == 0);
        }, file_state::linked),
        one("unlinked and created again", [&](const auto& dir) {
            REQUIRE(::unlink(in(dir, "d/lib.so").c_str()) == 0);
            write_new(dir);
        }, file_state::replaced),
        one("unlinked, and another file has its name with the mark", [&](const auto& dir) {
            REQUIRE(::unlink(in(dir, "d/lib.so").c_str()) == 0);
            dir.write("d/lib.so (deleted)", small_elf(twenty('b')));
        }, file_state::deleted),
        one("its directory removed", [&](const auto& dir) { std::filesystem::remove_all(dir / "d"); }, file_state::deleted),
        one("a directory at its path", [&](const auto& dir) {
            REQUIRE(::unlink(in(dir, "d/lib.so").c_str()) == 0);
            REQUIRE(::mkdir(in(dir, "d/lib.so").c_str(), 0755) == 0);
        }, file_state::replaced),
        one("a link to it at its path", [&](const auto& dir) {
            REQUIRE(::link(in(dir, "d/lib.so").c_str(), in(dir, "d/kept.so").c_str()) == 0);
            REQUIRE(::unlink(in(dir, "d/lib.so").c_str()) == 0);
            REQUIRE(::symlink("kept.so", in(dir, "d/lib.so").c_str()) == 0);
        }, file_state::linked),
        one("a directory that can be searched but not read", [&](const auto& dir) { REQUIRE(::chmod(in(dir, "d").c_str(), 0711) == 0); }, file_state::linked),
        one("a file that may not be read", [&](const auto& dir) { REQUIRE(::chmod(in(dir, "d/lib.so").c_str(), 0) == 0); }, file_state::linked),
        // Who may not look says so, and nothing else.
        {"a directory that may not be searched", [&](const auto& dir) { REQUIRE(::chmod(in(dir, "d").c_str(), 0700) == 0); }, file_state::linked,
         file_state::unreadable},
    };
    struct place {
        const char* name;
        bool own_mounts, own_root;
    };
    for (const place& p : {place{"here", false, false}, place{"in a chroot", false, true}, place{"in another mount namespace", true, false}})
        for (const kind& k : kinds) {
            INFO((std::string{p.name} + ": " + k.name));
            temporary_directory dir;
            dir.write("d/lib.so", small_elf(twenty('a')));
            ::chmod((dir / "d").c_str(), 0755);
            child inside = maps_it(p.own_root ? "/d/lib.so" : dir / "d/lib.so", [&] {
                if (p.own_mounts) {  // the same file, and other mounts elsewhere
                    ::mkdir((dir / "hidden").c_str(), 0755);
                    if (!own_namespace() || ::mount("tmpfs", (dir / "hidden").c_str(), "tmpfs", 0, nullptr) != 0) return false;
                }
                return !p.own_root || (::chroot(dir.path().c_str()) == 0 && ::chdir("/") == 0);
            });
            const auto address = inside->receive<std::uint64_t>();
            if (address == 0) {
                not_included(p.name);
                continue;
            }
            state_observer root{inside.pid(), address, false}, nobody{inside.pid(), address, true};
            CHECK(root.first().all_are(file_state::linked));
            CHECK(nobody.first().all_are(file_state::linked));
            k.change(dir);
            const states by_root = root.again(), by_nobody = nobody.again();
            CHECK(std::string{name_of(by_root.all[0])} == name_of(k.expected));
            CHECK(by_root.all_are(k.expected));
            CHECK(std::string{name_of(by_nobody.all[0])} == name_of(k.for_nobody));
            CHECK(by_nobody.all_are(k.for_nobody));
            ::chmod((dir / "d").c_str(), 0755);
        }
}

TEST_CASE("memory with a name that is no path has no state, and a memfd never had a path") {
    NEEDS_LIVE_MAPS();
    char* const shared = map_pages(1, PROT_READ | PROT_WRITE, MAP_SHARED);
    const int fd = ::memfd_create("state", MFD_CLOEXEC);
    REQUIRE(::ftruncate(fd, static_cast<off_t>(file_pages * page)) == 0);
    char* const memfd = map_fd(fd);
    ::close(fd);
    for (const backend use : backends()) {
        const maps self = need(maps::open_self({.use = use}));
        normalizer n{{.file_states = true}};
        const std::array addresses{support::address_of(shared), support::address_of(memfd)};
        const auto got = need(n.normalize(self, addresses));
        CHECK(std::string{name_of(got.files[got.locations[0].file].state)} == "unknown");
        CHECK(std::string{name_of(got.files[got.locations[1].file].state)} == "deleted");
    }
    ::munmap(shared, page);
    ::munmap(memfd, file_pages * page);
}

TEST_CASE("a 32-bit process is resolved, its vDSO too") {
#if defined(__x86_64__)
    temporary_directory dir;
    const std::string path = dir / "small";
    if (!succeeds(
            "echo 'void _start(void) { for (;;) __asm__ volatile(\"int $0x80\" ::\"a\"(29)); }' | cc -m32 -nostdlib -static "
            "-fno-pie -no-pie -Wl,--build-id=sha1 -x c -o " +
            quoted(path) + " -"))
        SKIP("no 32-bit compiler");
    const pid_t pid = ::fork();
    if (pid == 0) ::execl(path.c_str(), path.c_str(), nullptr), ::_exit(1);
    process small{pid};
    std::vector<record> all;
    for (int tries = 0; tries < 500; ++tries) {
        ::usleep(10000);
        if (auto of = maps::open(pid)) all = walk_all(*of, {.names = true}).records;
        if (!all.empty() && all[0].name == path) break;
    }
    if (all.empty() || all[0].name != path) SKIP("the kernel does not run 32-bit programs");
    for (const record& r : all) {
        if (r.name == path && r.permissions.has(procmap::perm::execute)) {
            const seen s = look(need(maps::open(pid)), r.start, build_id_choice::file);
            CHECK(hex_of(s.id) == readelf_ids({path})[path]);
            CHECK(s.elf_address == r.start);  // where it was linked to run
        }
        if (r.name == "[vdso]") {
            const seen s = look(need(maps::open(pid)), r.start);
            CHECK(s.id.source() == build_id_source::memory);
            CHECK(s.id.size() == 20);
            CHECK(s.elf_address_known);
        }
    }
#else
    SKIP("for x86-64");
#endif
}

// ---- memory without a file

/// The build ID of this process's vDSO, read from its own memory.
build_id own_vdso_id(std::uint64_t& start) {
    start = ::getauxval(AT_SYSINFO_EHDR);
    const auto* const image = reinterpret_cast<const std::byte*>(start);
    const auto m = need(need(maps::open_self()).find(start));
    const procmap::elf::bytes_source source{{image, static_cast<std::size_t>(m.size())}};
    std::byte id[build_id::capacity];
    return build_id{std::span{id}.first(procmap::elf::image{source}.build_id(id))};
}

TEST_CASE("an address in the vDSO has the build ID of the vDSO's own image") {
    NEEDS_LIVE_MAPS();
    std::uint64_t vdso = 0;
    const build_id expected = own_vdso_id(vdso);
    if (vdso == 0 || expected.empty()) SKIP("no vDSO with a build ID");
    child other{[](channel& parent) { parent.pause(); }};
    for (const backend use : backends())
        for (const pid_t pid : {::getpid(), other.pid()}) {
            const maps of = need(maps::open(pid, {.use = use}));
            normalizer n{{.build_ids = true, .elf_addresses = true}};
            const std::array addresses{vdso + 1000, vdso};
            for (int again = 0; again < 2; ++again) {
                const auto got = need(n.normalize(of, addresses));
                REQUIRE(got.files.size() == 1);
                CHECK(got.files[0].path == "[vdso]");
                CHECK(got.files[0].build_id_known);
                CHECK(got.files[0].build_id == expected);
                CHECK(got.files[0].build_id.source() == build_id_source::memory);
                CHECK(got.locations[0].offset == 1000);
                CHECK(got.locations[0].elf_address_known);
                CHECK(got.locations[0].elf_address == 1000);
            }
            CHECK(n.file_reads() == 0);
        }
}

TEST_CASE("memory without a file says what it is") {
    char* const anonymous = map_pages(3);
    ::munmap(anonymous + page, page);
    const std::vector<char> heap(100);
    const char on_stack = 0;
    for (const backend use : backends()) {
        const maps self = need(maps::open_self({.use = use}));
        std::vector<std::uint64_t> addresses{support::address_of(anonymous), support::address_of(anonymous + page),
                                             support::address_of(heap.data()), support::address_of(&on_stack), 0, UINT64_MAX};
        for (const record& r : walk_all(self, {.names = true}).records)
            if (r.name == "[vvar]") addresses.push_back(r.start);
        normalizer n{{.build_ids = true, .elf_addresses = true}};
        const auto got = need(n.normalize(self, addresses));
        CHECK(got.complete());
        CHECK(got.files.empty());
        const reason expected[] = {reason::not_file_backed, reason::not_mapped, reason::not_file_backed,
                                   reason::not_file_backed, reason::not_mapped, reason::not_mapped,
                                   reason::special};
        for (std::size_t i = 0; i < addresses.size(); ++i) {
            INFO(i);
            CHECK(got.locations[i].reason == expected[i]);
            CHECK_FALSE(got.locations[i]);
        }
    }
    ::munmap(anonymous, 3 * page);
}

void check_equal(const procmap::normalized& a, const procmap::normalized& b) {
    REQUIRE(a.locations.size() == b.locations.size());
    REQUIRE(a.files.size() == b.files.size());
    bool same = true;
    for (std::size_t i = 0; i < a.locations.size(); ++i) {
        const procmap::location &l = a.locations[i], &r = b.locations[i];
        const bool equal = l.offset == r.offset && l.elf_address == r.elf_address && l.elf_address_known == r.elf_address_known &&
                           l.file == r.file && l.reason == r.reason;
        if (!equal && same)
            MESSAGE("address ", i, ": ", l.file, '+', l.offset, " elf ", l.elf_address_known, ' ', l.elf_address, ", and ", r.file, '+', r.offset, " elf ",
                    r.elf_address_known, ' ', r.elf_address, l ? a.files[l.file].path : std::string_view{});
        same = same && equal;
    }
    CHECK(same);
    for (std::size_t i = 0; i < a.files.size(); ++i) {
        const procmap::mapped_file &l = a.files[i], &r = b.files[i];
        INFO(std::string{l.path});
        CHECK(l.path == r.path);
        CHECK(l.build_id == r.build_id);
        CHECK(l.build_id_known == r.build_id_known);
        CHECK(l.build_id.source() == r.build_id.source());
        CHECK(l.state == r.state);
        CHECK(l.inode == r.inode);
        CHECK(l.device == r.device);
    }
}

TEST_CASE("both back-ends give equal locations and files, for addresses in any order, some twice, some nowhere") {
    if (!kernel_has_ioctl()) SKIP("one back-end only");
    child other{[](channel& parent) { parent.pause(); }};
    std::mt19937_64 random{2};
    for (const pid_t pid : {::getpid(), other.pid()}) {
        const maps ioctl = need(maps::open(pid)), text = need(maps::open(pid, {.use = backend::text}));
        std::vector<std::uint64_t> addresses;
        for (const record& r : walk_all(ioctl).records)
            for (const std::uint64_t a : {r.start, r.start - 1, r.end - 1, r.end, r.start + random() % (r.end - r.start)})
                addresses.push_back(a), addresses.push_back(a);
        for (int i = 0; i < 100; ++i) addresses.push_back(random());
        std::shuffle(addresses.begin(), addresses.end(), random);
        normalizer a{{.build_ids = true, .elf_addresses = true, .build_ids_from = build_id_choice::file}};
        normalizer b{{.build_ids = true, .elf_addresses = true, .build_ids_from = build_id_choice::file}};
        // What the normalizers allocate here may change this very process's map.
        for (int warm = 0; warm < 3; ++warm) (void)a.normalize(ioctl, addresses), (void)b.normalize(text, addresses);
        check_equal(need(a.normalize(ioctl, addresses)), need(b.normalize(text, addresses)));
        CHECK(need(a.normalize(ioctl, {})).locations.empty());
        CHECK(need(b.normalize(text, {})).files.empty());
    }
}

TEST_CASE("each address of a batch has the location that it has alone") {
    const maps self = need(maps::open_self());
    std::mt19937_64 random{3};
    normalizer n{{.build_ids = true, .elf_addresses = true}}, alone{{.build_ids = true, .elf_addresses = true}};
    for (const std::size_t count : {std::size_t{10}, std::size_t{100}, std::size_t{2000}}) {  // few are compared, many are sorted byte by byte
        auto addresses = code_addresses(self, count, random);
        addresses.push_back(1), addresses.push_back(addresses.front());
        for (std::size_t i = 0; i < count; ++i) addresses.push_back(random() >> i % 64);
        std::shuffle(addresses.begin(), addresses.end(), random);
        const auto got = need(n.normalize(self, addresses));
        bool same = true;
        for (std::size_t i = 0; i < addresses.size(); ++i) {
            const auto one = need(alone.normalize(self, std::span{addresses}.subspan(i, 1)));
            const procmap::location &l = got.locations[i], &r = one.locations[0];
            same = same && static_cast<bool>(l) == static_cast<bool>(r) && l.reason == r.reason && l.offset == r.offset &&
                   l.elf_address == r.elf_address && (!r || one.files[0].build_id == got.files[l.file].build_id);
        }
        CHECK(same);
    }
}

TEST_CASE("a process that is gone between two calls is gone, on both back-ends") {
    for (const backend use : backends()) {
        child other{[](channel& parent) { parent.pause(); }};
        const maps of = need(maps::open(other.pid(), {.use = use}));
        normalizer n{{.build_ids = true, .elf_addresses = true}};
        cached_maps cache{of, {.build_ids = true}};
        const std::array addresses{need(of.find_from(0)).start, std::uint64_t{1}};
        CHECK(need(n.normalize(of, addresses)).complete());
        CHECK(cache.find(addresses[0]).has_value());
        other.kill();
        other.await_zombie();
        CHECK(n.normalize(of, addresses).error() == errc::gone);
        CHECK(cache.find(addresses[0]).error() == errc::gone);
        other.reap();
        const procmap::error reaped = n.normalize(of, addresses).error();
        CHECK((reaped == errc::gone || reaped == errc::task_gone));
    }
}

// ---- what it costs

long open_descriptors() {
    std::error_code ignored;
    return std::distance(std::filesystem::directory_iterator{"/proc/self/fd", ignored}, {});
}

TEST_CASE("a warm normalizer allocates nothing and reads no file again") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    for (const char* name : {"a", "b"}) dir.write(name, small_elf(twenty(*name)));
    const mapped a{dir / "a"}, b{dir / "b"};
    ::usleep(50000);  // until a change of theirs must show
    for (const backend use : backends())
        for (const build_id_choice from : {build_id_choice::automatic, build_id_choice::file}) {
            const maps self = need(maps::open_self({.use = use}));
            normalizer n{{.build_ids = true, .elf_addresses = true, .build_ids_from = from}};
            const std::array addresses{b.address(), a.address(), a.address() + 1, b.address() + 2, a.address() + 3};
            for (int i = 0; i < 3; ++i) REQUIRE(need(n.normalize(self, addresses)).files.size() == 2);
            CHECK(n.file_reads() == 2);
#if !defined(PROCMAP_TEST_SANITIZED)
            const long before = allocations;
            bool good = true;
            for (int i = 0; i < 1000; ++i) {
                const auto got = n.normalize(self, addresses);
                good = good && got && got->files.size() == 2;
            }
            CHECK(allocations == before);
            CHECK(good);
#endif
            CHECK(n.file_reads() == 2);
        }
}

TEST_CASE("a file of many mappings is read once") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("a", small_elf(twenty('a')));
    std::vector<char*> all;
    std::vector<std::uint64_t> addresses;
    for (int i = 0; i < 50; ++i) {
        all.push_back(map_file(dir / "a"));
        map_pages(1);
        addresses.push_back(support::address_of(all.back()));
    }
    ::usleep(50000);
    normalizer n{{.build_ids = true, .build_ids_from = build_id_choice::file}};
    for (int i = 0; i < 3; ++i) CHECK(need(n.normalize(need(maps::open_self()), addresses)).files.size() == 1);
    CHECK(n.file_reads() == 1);
    for (char* const memory : all) ::munmap(memory, file_pages * page);
}

TEST_CASE("descriptors are bounded by most_files, and none is left") {
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    std::vector<char*> all;
    std::vector<std::uint64_t> addresses;
    for (char c = 'a'; c < 'k'; ++c) {
        dir.write(std::string{c}, small_elf(twenty(c)));
        all.push_back(map_file(dir / std::string{c}));
        addresses.push_back(support::address_of(all.back()));
    }
    const maps self = need(maps::open_self());
    const long before = open_descriptors();
    for (const std::size_t most : {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{100}}) {
        normalizer n{{.build_ids = true, .build_ids_from = build_id_choice::file, .most_files = most}};
        cached_maps cache{self, {.build_ids = true, .build_ids_from = build_id_choice::file, .most_files = most}};
        for (int i = 0; i < 3; ++i) {
            const auto got = need(n.normalize(self, addresses));
            REQUIRE(got.files.size() == 10);
            CHECK(open_descriptors() <= before + static_cast<long>(2 * std::max<std::size_t>(most, 1)));
            for (std::size_t j = 0; j < addresses.size(); ++j) {
                CHECK(got.files[got.locations[j].file].build_id == id_of(twenty(static_cast<char>('a' + j))));
                CHECK(hex_of(build_id{need(cache.find(addresses[j])).build_id.bytes()}) ==
                      hex_of(id_of(twenty(static_cast<char>('a' + j)))));
            }
            CHECK(open_descriptors() <= before + static_cast<long>(2 * std::max<std::size_t>(most, 1)));
        }
    }
    CHECK(open_descriptors() == before);
    for (char* const memory : all) ::munmap(memory, file_pages * page);
}

// ---- never stale

/// A place of its own where files are mapped over one another, and those who remember what they saw there.
class witness {
public:
    explicit witness(const maps& self) : self_(self) {}

    /// Compares every memory with a fresh answer of the kernel; false if one was stale.
    bool agree(std::span<const std::uint64_t> addresses) {
        std::vector<record> fresh;
        std::vector<bool> is_mapped;
        procmap::name_buffer name;
        procmap::build_id_buffer id;
        for (const std::uint64_t a : addresses) {
            const auto m = self_.find(a, {.name = name, .build_id = id});
            is_mapped.push_back(m.has_value());
            fresh.emplace_back(m ? *m : mapping{});
        }
        for (cached_maps* c : {&automatic_, &file_, &small_})
            for (std::size_t i = 0; i < addresses.size(); ++i) {
                const auto m = c->find(addresses[i]);
                ++lookups;
                if (m.has_value() != is_mapped[i] || (m && !equal(record{*m}, fresh[i])))
                    return complain("cache", addresses[i], fresh[i], m ? record{*m}.build_id : "-");
            }
        for (normalizer* n : {&by_automatic_, &by_file_, &by_kernel_}) {
            const auto got = n->normalize(self_, addresses);
            for (std::size_t i = 0; i < addresses.size(); ++i) {
                ++lookups;
                if (!got) return complain("normalizer", addresses[i], fresh[i], "error");
                const procmap::location& l = got->locations[i];
                const bool file = fresh[i].inode != 0;
                const reason without = is_mapped[i] ? reason::not_file_backed : reason::not_mapped;
                if (static_cast<bool>(l) != file || (!file && l.reason != without))
                    return complain("location", addresses[i], fresh[i], "");
                if (!file) continue;
                const procmap::mapped_file& f = got->files[l.file];
                const auto one_of_its_paths = [&](const record& r) {
                    return r.inode == f.inode && r.device == f.device && r.name == f.path;
                };
                if (std::none_of(fresh.begin(), fresh.end(), one_of_its_paths) || f.inode != fresh[i].inode ||
                    !(f.build_id_known ? hex_of(f.build_id) == fresh[i].build_id
                                       : may_be_unknown(fresh[i]) || (n == &by_kernel_ && !fresh[i].build_id_known)) ||
                    l.offset != addresses[i] - fresh[i].start + fresh[i].offset)
                    return complain("file", addresses[i], fresh[i], hex_of(f.build_id) + ' ' + std::string{f.path});
            }
        }
        return true;
    }
    std::uint64_t hits() const { return automatic_.statistics().hits + file_.statistics().hits + small_.statistics().hits; }
    std::uint64_t reads() const {
        return automatic_.statistics().file_reads + by_automatic_.file_reads() + by_file_.file_reads();
    }

    std::uint64_t lookups = 0;
    std::string complaint;

private:
    /// A file without a name can be opened by root alone: it is not known to be a regular one, for whose build ID the kernel is asked.
    static bool may_be_unknown(const record& fresh) { return !is_root() && fresh.name.ends_with(" (deleted)"); }

    /// Where the kernel finds no build ID, the file can say that there is none.
    static bool equal(record got, record fresh) {
        if (!got.build_id_known && may_be_unknown(fresh)) fresh.build_id_known = false, fresh.build_id.clear();
        if (!fresh.build_id_known && got.build_id.empty()) got.build_id_known = false;
        return got == fresh;
    }

    bool complain(const char* who, std::uint64_t address, const record& fresh, const std::string& got) {
        char text[64];
        std::snprintf(text, sizeof text, " at %llx: got ", static_cast<unsigned long long>(address));
        complaint = who + (text + got) + ", fresh " + line_of(fresh) + ' ' + fresh.build_id;
        return false;
    }

    const maps& self_;
    cached_maps automatic_{self_, {.build_ids = true}};
    cached_maps file_{self_, {.build_ids = true, .build_ids_from = build_id_choice::file}};
    cached_maps small_{self_, {.build_ids = true, .most_mappings = 3, .most_files = 2}};
    normalizer by_automatic_{{.build_ids = true}};
    normalizer by_file_{{.build_ids = true, .build_ids_from = build_id_choice::file}};
    normalizer by_kernel_{{.build_ids = true, .build_ids_from = build_id_choice::kernel}};
};

/// What a run of changes and lookups came to, as a value that a child can send.
struct tally {
    std::uint64_t lookups = 0, changes = 0, hits = 0, reads = 0, reused_inodes = 0;
    char complaint[300] = {};
};

/// Random changes to mappings and files in `dir`, and lookups after each. Nothing is asserted: a child can run it.
tally change_and_look(const std::string& dir, unsigned seed, std::uint64_t lookups) {
    constexpr std::size_t slots = 8;
    constexpr int files = 5;
    tally sum;
    const auto self = maps::open_self();
    if (!self) return sum;
    char* const arena = map_pages(slots * 4, PROT_NONE);  // with room between the slots
    std::mt19937 random{seed};
    const auto path = [&](int file) { return dir + '/' + std::to_string(file); };
    const auto slot = [&] { return arena + random() % slots * 4 * page; };
    const auto fresh_elf = [&] { return small_elf(twenty(static_cast<char>('a' + random() % 26))); };
    const auto put = [](const std::string& name, const std::string& text, int flags) {
        const int fd = ::open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
        (void)!::write(fd, text.data(), text.size());
        struct stat info {};
        ::fstat(fd, &info);
        ::close(fd);
        return info.st_ino;
    };
    const auto overwrite_id = [&](const std::string& name) {
        const int fd = ::open(name.c_str(), O_WRONLY | O_CLOEXEC);
        const std::string id = twenty(static_cast<char>('A' + random() % 26));
        if (fd >= 0) (void)!::pwrite(fd, id.data(), id.size(), id_offset);
        ::close(fd);
    };
    for (int i = 0; i < files; ++i) put(path(i), fresh_elf(), 0);
    witness all{*self};
    std::vector<std::uint64_t> addresses;
    const auto look = [&](std::size_t count) {
        addresses.clear();
        for (std::size_t i = 0; i < count; ++i)
            addresses.push_back(support::address_of(arena) + random() % (slots * 4) * page + random() % page);
        return all.agree(addresses);
    };
    bool good = true;
    while (good && all.lookups < lookups) {
        ++sum.changes;
        const int file = static_cast<int>(random() % files);
        char* const at = slot();
        switch (random() % 12) {
            case 0:
            case 1: map_file(path(file), at, random() % 2 == 0 ? PROT_READ : PROT_READ | PROT_EXEC); break;
            case 2: ::mmap(at, file_pages * page, PROT_READ, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0); break;
            case 3: ::munmap(at, file_pages * page); break;
            case 4: {  // anonymous memory whose name alone changes
                ::mmap(at, file_pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
                for (int i = 0; i < 3 && good; ++i) {
                    const std::string name = "name" + std::to_string(random() % 5);
                    ::prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, at, file_pages * page, name.c_str());
                    good = look(4);
                }
                break;
            }
            case 5: {  // a rename, and back
                ::rename(path(file).c_str(), (path(file) + ".away").c_str());
                good = look(8);
                ::rename((path(file) + ".away").c_str(), path(file).c_str());
                break;
            }
            case 6: overwrite_id(path(file)); break;
            case 7:  // within one tick of the clock
                for (int i = 0; i < 4 && good; ++i) {
                    overwrite_id(path(file));
                    good = look(4);
                }
                break;
            case 8: {  // cut short, and whole again
                (void)!::truncate(path(file).c_str(), random() % 2 == 0 ? 0 : 100);
                good = look(8);
                put(path(file), fresh_elf(), 0);
                break;
            }
            case 9: {  // replaced, and mapped again
                put(path(file) + ".new", fresh_elf(), O_EXCL);
                ::rename((path(file) + ".new").c_str(), path(file).c_str());
                good = look(4);
                map_file(path(file), at);
                break;
            }
            case 10: {  // unlinked, and its number given to another file at the same place
                struct stat info {};
                map_file(path(file), at);
                good = look(8);
                ::stat(path(file).c_str(), &info);
                for (std::size_t s = 0; s < slots; ++s) {  // nobody else may hold it
                    procmap::name_buffer name;
                    const auto m = self->find(support::address_of(arena + s * 4 * page), {.name = name});
                    if (m && m->inode == info.st_ino)
                        ::mmap(arena + s * 4 * page, file_pages * page, PROT_NONE, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1,
                               0);
                }
                ::unlink(path(file).c_str());
                for (int tries = 0; tries < 3; ++tries) {
                    const bool reused = put(path(file), fresh_elf(), O_EXCL) == info.st_ino;
                    sum.reused_inodes += reused;
                    if (reused) break;
                    if (tries < 2) ::unlink(path(file).c_str());
                }
                map_file(path(file), at);
                break;
            }
            default: {  // another name, and one less
                const std::string other = path(file) + ".link";
                if (::link(path(file).c_str(), other.c_str()) == 0) {
                    good = look(4);
                    map_file(other, at);
                    good = good && look(4);
                    ::unlink(other.c_str());
                }
            }
        }
        good = good && look(8);
        if (sum.changes % 50 == 0) {  // until everything is old enough to be believed without being read
            ::usleep(30000);
            for (int i = 0; i < 20 && good; ++i) good = look(8);
            overwrite_id(path(file));
            good = good && look(16);
        }
    }
    ::munmap(arena, slots * 4 * page);
    for (int i = 0; i < files; ++i) ::unlink(path(i).c_str());
    sum.lookups = all.lookups;
    sum.hits = all.hits();
    sum.reads = all.reads();
    std::snprintf(sum.complaint, sizeof sum.complaint, "%s", all.complaint.c_str());
    return sum;
}

std::uint64_t wanted_lookups() {
    const char* const text = std::getenv("PROCMAP_STALE_LOOKUPS");
    return text != nullptr ? std::strtoull(text, nullptr, 10) : 300'000;
}

void report(const char* where, const tally& sum, std::uint64_t wanted) {
    std::printf("%s: %llu lookups, %llu changes, %llu hits, %llu file reads, %llu inodes reused\n", where,
                static_cast<unsigned long long>(sum.lookups), static_cast<unsigned long long>(sum.changes),
                static_cast<unsigned long long>(sum.hits), static_cast<unsigned long long>(sum.reads),
                static_cast<unsigned long long>(sum.reused_inodes));
    CHECK(std::string{sum.complaint}.empty());
    INFO(sum.complaint);
    CHECK(sum.lookups >= wanted);
    CHECK(sum.hits > sum.lookups / 20);
}

TEST_CASE("whatever changes between two lookups is seen: disk") {
    NEEDS_PROVABLE_FILES();
    if (!kernel_ids()) SKIP("the kernel may not be asked for build IDs");
    temporary_directory dir;
    report("temporary directory", change_and_look(dir.path(), 10, wanted_lookups() / 3), wanted_lookups() / 3);
}

TEST_CASE("whatever changes between two lookups is seen: memory, and a file system whose times are the clock's ticks") {
    if (!kernel_ids()) SKIP("the kernel may not be asked for build IDs");
    if (!is_root()) SKIP("needs all rights of root");
    for (const char* type : {"tmpfs", "ramfs"}) {
        temporary_directory dir;
        child other{[&](channel& parent) {
            tally sum;
            if (own_namespace() && ::mount(type, dir.path().c_str(), type, 0, nullptr) == 0)
                sum = change_and_look(dir.path(), 11, wanted_lookups() / 3);
            parent.send(sum);
        }};
        const tally sum = other->receive<tally>();
        if (sum.lookups == 0)
            not_included(std::string{type} + ": no mount namespace of one's own");
        else
            report(type, sum, wanted_lookups() / 3);
    }
}

TEST_CASE("an inode number that is given to the next file, mapped at the same place, is not taken for the first file") {
    if (!kernel_ids()) SKIP("the kernel may not be asked for build IDs");
    temporary_directory dir;
    const maps self = need(maps::open_self());
    // Neither opens a file, so nothing keeps the number from being given away.
    cached_maps cache{self, {.build_ids = true, .build_ids_from = build_id_choice::kernel}};
    normalizer n{{.build_ids = true, .build_ids_from = build_id_choice::kernel}};
    char* const at = map_pages(file_pages);
    const std::array addresses{support::address_of(at)};
    std::uint64_t last = 0;
    int reused = 0;
    for (int i = 0; i < 300; ++i) {
        const char letter = static_cast<char>('a' + i % 26);
        dir.write("lib.so", small_elf(twenty(letter)));
        REQUIRE(map_file(dir / "lib.so", at) != nullptr);
        for (int again = 0; again < 2; ++again) {
            const mapping m = need(cache.find(addresses[0]));
            CHECK(id_of(twenty(letter)) == m.build_id);
            CHECK(need(n.normalize(self, addresses)).files[0].build_id == id_of(twenty(letter)));
            reused += m.inode == last;
            last = again == 0 ? 0 : m.inode;
        }
        map_pages(file_pages, PROT_NONE, MAP_PRIVATE | MAP_FIXED, at);
        ::unlink((dir / "lib.so").c_str());
    }
    std::printf("%d inode numbers given to the next file\n", reused);
    if (reused == 0) not_included("the file system gives no inode number twice");
    ::munmap(at, file_pages * page);
}

/// In a thread: maps one file after another over the same place, each with a name that tells its build ID, and each likely to
/// have the inode of the last.
void remap_for_ever(const std::string& dir, char* at, const std::atomic<bool>& stop) {
    std::string last;
    for (int i = 0; !stop; ++i) {
        const char letter = static_cast<char>('a' + i % 26);
        ::mmap(at, file_pages * page, PROT_NONE, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
        if (!last.empty()) ::unlink(last.c_str());
        last = dir + '/' + letter + std::to_string(i / 26);
        const std::string elf = small_elf(twenty(letter));
        const int fd = ::open(last.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        (void)!::write(fd, elf.data(), elf.size());
        map_fd(fd, at);
        ::close(fd);
        if (i % 4 == 0) ::usleep(100);
    }
    ::unlink(last.c_str());
}

TEST_CASE("beside a thread that remaps, an answer's path and build ID belong together") {
    NEEDS_PROVABLE_FILES();
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    char* const at = map_pages(file_pages);
    const std::array addresses{support::address_of(at)};
    const maps self = need(maps::open_self());
    std::atomic<bool> stop = false;
    std::thread other{[&] { remap_for_ever(dir.path(), at, stop); }};
    long answers = 0, wrong = 0;
    std::string example;
    const auto judge = [&](std::string_view path, const build_id& id, const char* who) {
        if (id.empty()) return;
        ++answers;
        const char letter = path.size() > dir.path().size() + 1 ? path[dir.path().size() + 1] : '?';
        if (id == id_of(twenty(letter))) return;
        ++wrong;
        example = std::string{who} + ' ' + std::string{path} + ' ' + hex_of(id);
    };
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{4};
    normalizer warm{{.build_ids = true, .build_ids_from = build_id_choice::file}}, automatic{{.build_ids = true}};
    while (std::chrono::steady_clock::now() < end || answers < 100) {
        normalizer cold{{.build_ids = true, .build_ids_from = build_id_choice::file}};
        cached_maps cache{self, {.build_ids = true, .build_ids_from = build_id_choice::file}};
        for (normalizer* n : {&cold, &warm, &automatic})
            if (const auto got = n->normalize(self, addresses); got && got->locations[0])
                judge(got->files[0].path, got->files[0].build_id, n == &cold ? "cold" : n == &warm ? "warm" : "automatic");
        if (const auto m = cache.find(addresses[0])) judge(m->name, build_id{m->build_id.bytes()}, "cache");
    }
    stop = true;
    other.join();
    std::printf("%ld answers beside a thread that remaps, %ld wrong\n", answers, wrong);
    INFO(example);
    CHECK(wrong == 0);
    ::munmap(at, file_pages * page);
}

// ---- the cache itself

static_assert(std::is_constructible_v<cached_maps, const maps&>);
static_assert(!std::is_constructible_v<cached_maps, maps>);
static_assert(!std::is_constructible_v<cached_maps, maps, procmap::cached_maps_options>);

TEST_CASE("hits, misses and evictions are counted, and the capacity holds") {
    char* const memory = map_alternating(20);
    REQUIRE(memory != nullptr);
    const auto at = [&](std::size_t i) { return support::address_of(memory) + i * page; };
    const maps self = need(maps::open_self());
    const bool confirms = self.backend() == backend::ioctl;
    cached_maps cache{self, {.most_mappings = 8}};
    for (std::size_t i = 1; i < 9; ++i) REQUIRE(cache.find(at(i)).has_value());
    CHECK(cache.statistics().misses == 8);
    CHECK(cache.statistics().hits == 0);
    CHECK(cache.statistics().evictions == 0);
    for (std::size_t i = 1; i < 9; ++i) REQUIRE(cache.find(at(i)).has_value());
    CHECK(cache.statistics().hits == (confirms ? 8 : 0));
    CHECK(cache.statistics().evictions == 0);
    REQUIRE(cache.find(at(10)).has_value());  // the one that was not used for longest goes
    CHECK(cache.statistics().evictions == 1);
    const auto before = cache.statistics();
    REQUIRE(cache.find(at(2)).has_value());
    CHECK(cache.statistics().hits == before.hits + (confirms ? 1 : 0));
    REQUIRE(cache.find(at(1)).has_value());
    CHECK(cache.statistics().misses == before.misses + (confirms ? 1 : 2));
    CHECK(cache.find(8).error() == errc::not_mapped);
    for (std::size_t i = 1; i < 19; ++i) REQUIRE(cache.find(at(i)).has_value());
    CHECK(cache.statistics().evictions <= cache.statistics().misses - 8);
    ::munmap(memory, 20 * page);
}

TEST_CASE("a cache on the text back-end has no hits, and sees what changes") {
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("a", small_elf(twenty('a')));
    dir.write("b", small_elf(twenty('b')));
    const maps self = need(maps::open_self({.use = backend::text}));
    cached_maps cache{self, {.build_ids = true}};
    char* const at = map_file(dir / "a");
    for (int i = 0; i < 20; ++i) {
        const std::string name = i % 2 == 0 ? "a" : "b";
        map_file(dir / name, at);
        for (int again = 0; again < 2; ++again) {
            const mapping m = need(cache.find(support::address_of(at)));
            CHECK(m.name == dir / name);
            CHECK(id_of(twenty(name[0])) == m.build_id);
        }
    }
    CHECK(cache.statistics().hits == 0);
    ::munmap(at, file_pages * page);
}

TEST_CASE("a second thread in the cache is answered contended") {
    const maps self = need(maps::open_self());
    cached_maps cache{self, {.build_ids = true}};
    std::atomic<long> good = 0, contended = 0, other = 0;
    const auto hammer = [&] {
        const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds{700};
        const std::uint64_t address = support::address_of(reinterpret_cast<const void*>(&::getpid));
        while (std::chrono::steady_clock::now() < end) {
            const auto m = cache.find(address);
            ++(m ? good : m.error() == errc::contended ? contended : other);
        }
    };
    std::thread one{hammer}, two{hammer};
    one.join();
    two.join();
    std::printf("%ld answers, %ld contended\n", good.load(), contended.load());
    CHECK(good > 0);
    CHECK(contended > 0);
    CHECK(other == 0);
}

// ---- stacks of build IDs

namespace bpf = procmap::bpf;
static_assert(sizeof(bpf::stack_build_id) == sizeof(::bpf_stack_build_id));
static_assert(alignof(bpf::stack_build_id) == alignof(::bpf_stack_build_id));
static_assert(offsetof(bpf::stack_build_id, status) == offsetof(::bpf_stack_build_id, status));
static_assert(offsetof(bpf::stack_build_id, build_id) == offsetof(::bpf_stack_build_id, build_id));
static_assert(offsetof(bpf::stack_build_id, offset) == offsetof(::bpf_stack_build_id, offset));
static_assert(offsetof(bpf::stack_build_id, ip) == offsetof(::bpf_stack_build_id, ip));
static_assert(sizeof bpf::stack_build_id::build_id == BPF_BUILD_ID_SIZE);
static_assert(static_cast<int>(bpf::stack_status::empty) == BPF_STACK_BUILD_ID_EMPTY);
static_assert(static_cast<int>(bpf::stack_status::valid) == BPF_STACK_BUILD_ID_VALID);
static_assert(static_cast<int>(bpf::stack_status::ip) == BPF_STACK_BUILD_ID_IP);

TEST_CASE("bare addresses of a stack are resolved, and nothing else is touched") {
    NEEDS_LIVE_MAPS();
    temporary_directory dir;
    dir.write("short", small_elf("12345678"));
    dir.write("long", small_elf(std::string(32, 'l')));
    const mapped brief{dir / "short"}, large{dir / "long"};
    bpf::stack_build_id stack[5];
    std::memset(stack, 0x5a, sizeof stack);
    const auto set = [&](int i, bpf::stack_status status, std::uint64_t value) {
        stack[i].status = status;
        stack[i].ip = value;
    };
    set(0, bpf::stack_status::valid, brief.address());
    set(1, bpf::stack_status::ip, brief.address());
    set(2, bpf::stack_status::ip, large.address());
    set(3, bpf::stack_status::ip, 1);
    set(4, bpf::stack_status::empty, brief.address());
    bpf::stack_build_id before[5];
    std::memcpy(before, stack, sizeof stack);
    normalizer n{{.build_ids = true}};
    CHECK(need(bpf::resolve(n, need(maps::open_self()), stack)) == 1);
    for (const int i : {0, 2, 3, 4}) CHECK(std::memcmp(&stack[i], &before[i], sizeof stack[i]) == 0);
    CHECK(stack[1].status == bpf::stack_status::valid);
    CHECK(stack[1].offset == 64);
    CHECK(std::memcmp(stack[1].build_id, "12345678\0\0\0\0\0\0\0\0\0\0\0", 20) == 0);
}

TEST_CASE("a location is written as a stack's entry if its build ID has room there") {
    procmap::mapped_file files[3]{};
    files[0].build_id = id_of(twenty('a'));
    files[1].build_id = id_of(std::string(21, 'b'));
    for (std::uint32_t file = 0; file < 3; ++file) {
        bpf::stack_build_id entry{};
        procmap::location l;
        l.file = file;
        l.offset = 77;
        CHECK(bpf::to_stack(l, files, entry) == (file == 0));
        CHECK(entry.offset == (file == 0 ? 77 : 0));
        CHECK(entry.status == (file == 0 ? bpf::stack_status::valid : bpf::stack_status::empty));
    }
    bpf::stack_build_id entry{};
    CHECK_FALSE(bpf::to_stack(procmap::location{}, files, entry));
}

}  // namespace
