// Caches see every change between two lookups.
#include "looking.hpp"
#include "../support/calls.hpp"
#include "../support/elf_files.hpp"
#include "../support/files.hpp"
#include "../support/machine.hpp"
#include "../support/memory.hpp"
#include "../support/mounts.hpp"
#include "../support/printed.hpp"
#include "../support/processes.hpp"
#include "../support/records.hpp"
#include "../support/skipping.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <procmap/build_id.hpp>
#include <procmap/cached_maps.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>

using namespace support;
using procmap::build_id;
using procmap::build_id_choice;
using procmap::cached_maps;
using procmap::mapping;
using procmap::maps;
using procmap::normalizer;
using procmap::reason;

namespace {

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

}  // namespace
