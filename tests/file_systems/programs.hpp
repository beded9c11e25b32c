// Small ELF files, mapped as a loader does.
#pragma once

#include "../support/elf_files.hpp"
#include "../support/memory.hpp"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include <procmap/build_id.hpp>

namespace support {

using procmap::build_id;

/// An ELF file of three pages, each a segment. Its letter fills its build ID and decides its ELF addresses.
struct program {
    char letter = 'a';
    std::size_t id_size = 20;  // 0: no build ID
    bool apart = false;        // the second and third segment lie one page further up than in the file

    std::string id() const { return std::string(id_size, letter); }
    std::uint64_t base() const { return static_cast<std::uint64_t>(letter) << 20; }
    std::uint64_t place(std::size_t segment) const { return (segment + (apart && segment != 0 ? 1 : 0)) * page; }
};

inline constexpr std::size_t segments = 3;
inline constexpr int protections[segments] = {PROT_READ, PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE};

inline std::string elf_of(const program& p) {
    const Elf64_Ehdr head = elf_header(segments + (p.id_size != 0));
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
inline std::int64_t load(const char* path, bool apart, std::uint64_t at, std::uint64_t only = 0) {
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

}  // namespace support
