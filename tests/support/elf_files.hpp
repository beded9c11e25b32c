// Small ELF files for tests of which file is mapped, and mappings of them.
#pragma once

#include "memory.hpp"
#include "processes.hpp"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include <procmap/build_id.hpp>

namespace support {

using procmap::build_id;

inline build_id id_of(std::string_view bytes) { return build_id{std::as_bytes(std::span{bytes.data(), bytes.size()})}; }

inline constexpr std::uint64_t elf_base = 0x400000;
inline constexpr off_t id_offset = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr) + sizeof(Elf64_Nhdr) + 4;

/// The header of an ELF file in this machine's byte order, with that many program headers after it.
inline Elf64_Ehdr elf_header(std::size_t program_headers) {
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
    head.e_phnum = static_cast<Elf64_Half>(program_headers);
    return head;
}

/// A small ELF file in this machine's byte order: one segment to load, and a build-ID note, or where `id` is empty another note.
inline std::string small_elf(std::string_view id) {
    const Elf64_Ehdr head = elf_header(2);
    Elf64_Phdr load{}, note{};
    load.p_type = PT_LOAD;
    load.p_flags = PF_R | PF_X;
    load.p_vaddr = elf_base;
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

inline std::string twenty(char c) { return std::string(20, c); }

inline constexpr std::size_t file_pages = 2;

/// Maps a file; null where that fails.
inline char* map_fd(int fd, void* at = nullptr, int protection = PROT_READ | PROT_EXEC) {
    void* const memory = ::mmap(at, file_pages * page, protection, MAP_PRIVATE | (at != nullptr ? MAP_FIXED : 0), fd, 0);
    return memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
}

inline char* map_file(const std::string& path, void* at = nullptr, int protection = PROT_READ | PROT_EXEC) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    char* const memory = fd < 0 ? nullptr : map_fd(fd, at, protection);
    ::close(fd);
    return memory;
}

/// In a child: writes a file.
inline void write_file(const std::string& path, std::string_view text) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ensure(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()), path.c_str());
    ::close(fd);
}

}  // namespace support
