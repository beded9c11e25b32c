// ELF files that are mapped.
#pragma once

#include "kind.hpp"
#include "machine.hpp"
#include "../support/memory.hpp"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include <procmap/fd.hpp>

namespace support {

using procmap::unique_fd;

inline const std::string an_id = "\x01\x23\x45\x67\x89\xab\xcd\xef twelve more";

/// A small ELF file in this machine's byte order: one segment to load, and a build-ID note or another one.
inline std::string small_elf(std::string_view id) {
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
    head.e_phnum = 2;
    Elf64_Phdr load{}, note{};
    load.p_type = PT_LOAD;
    load.p_flags = PF_R | PF_X;
    load.p_vaddr = 0x400000;
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

inline constexpr std::size_t elf_pages = 2;

/// Writes an ELF file and maps it.
inline std::optional<kind> elf_file(const char* name, named by_name, const std::string& path, std::string_view id) {
    kind k{name, by_name, proof::by_path};
    k.id = id;
    const std::string contents = small_elf(id);
    unique_fd file{::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644)};
    if (!file) return cannot_make(name, why()), std::nullopt;
    k.undo.emplace_back([path] { ::unlink(path.c_str()); });
    if (::write(file.get(), contents.data(), contents.size()) != static_cast<ssize_t>(contents.size()))
        return cannot_make(name, why()), std::nullopt;
    if (!k.map(file.get(), elf_pages * page, MAP_PRIVATE)) return cannot_make(name, why()), std::nullopt;
    k.watch_file(path);
    return k;
}

}  // namespace support
