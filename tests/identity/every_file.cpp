// Every file mapped on the machine, compared with readelf and eu-addr2line.
#include "files.hpp"
#include "looking.hpp"
#include "../support/elf_files.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/mounts.hpp"
#include "../support/printed.hpp"
#include "../support/processes.hpp"
#include "../support/raw_maps.hpp"
#include "../support/records.hpp"
#include "../support/skipping.hpp"
#include "../support/tools.hpp"

#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>

using namespace support;
using procmap::build_id;
using procmap::build_id_choice;
using procmap::build_id_source;
using procmap::maps;
using procmap::normalizer;

namespace {

std::string map_files_path(pid_t pid, const record& r) {
    char name[64];
    std::snprintf(name, sizeof name, "/map_files/%llx-%llx", static_cast<unsigned long long>(r.start),
                  static_cast<unsigned long long>(r.end));
    return "/proc/" + std::to_string(pid) + name;
}

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
        for (const pid_t pid : all_pids()) {
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
    for (const pid_t pid : all_pids()) {
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

}  // namespace
