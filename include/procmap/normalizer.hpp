// Converts addresses to file, file offset, ELF address and build ID, for a symbolizer.
//
//   procmap::normalizer normalizer{{.build_ids = true, .elf_addresses = true}};
//   auto found = normalizer.normalize(*self, addresses);
//   if (found) use(found->locations, found->files);
#pragma once

#include <procmap/version.hpp>

#include <cstdint>
#include <initializer_list>
#include <span>
#include <type_traits>
#include <vector>

#include <procmap/detail/resolver.hpp>
#include <procmap/location.hpp>
#include <procmap/maps.hpp>
#include <procmap/options.hpp>

namespace procmap::inline PROCMAP_ABI {

/// Converts addresses to locations. It caches data of files between calls, for any number of processes, but never mappings. Cached data is
/// used only while a descriptor holds the file's inode and the file's change time and size are unchanged, or, for segments, if the kernel
/// returns the same build ID for the mapping and all segments are mapped as they say. (Exception: a write to an ELF
/// file through a shared mapping changes neither at once. build_id_choice::kernel avoids this: it caches no build IDs.) The descriptors
/// keep file systems from being unmounted: umount(8) fails with EBUSY. Each call drops the files that no call has used for 60 s;
/// release_files() drops all of them.
///
/// A file is taken for the mapped one only if its device and inode, a descriptor from map_files, or its build ID proves it
/// (docs/semantics.md). What cannot be proven is not known. Files are looked up below the process's own procfs directory and root, never
/// below this process's root.
///
/// Cost by ioctl: one query for each mapping that contains an address, one for each file's name, one statx for each cached file,
/// and for an image in which an ELF address is ambiguous one or two queries for each segment and one for each other bias. A new file costs
/// about thirty system calls, once. On file systems where device and inode do not identify a file, each mapping costs a named query, a
/// search for the file (about ten system calls), one query for its build ID, and for an ELF address one for each segment; without a build
/// ID, the process's memory is read (about eighty system calls). File states cost four to eight system calls for each file and about fifty
/// for each call. Cost by text: one walk, to the end if ELF addresses are requested, and for each new file the text again up to the
/// mapping. Allocates nothing once warm. Opens files for build IDs and ELF addresses: not async-signal-safe. One thread at a time.
class normalizer {
public:
    explicit normalizer(const normalizer_options& options = {}) noexcept : resolver_(options) {}  ///< opens nothing yet

    /// Looks up all addresses, in any order. A mapping that fails does not affect the others. Fails only if nothing could be resolved. If
    /// the lookup ends early, normalized::error tells why, and each address that was not looked up has a reason.
    [[nodiscard]] result<normalized> normalize(const maps& from, std::span<const std::uint64_t> addresses) {
        return resolver_.run(detail::handle_of(from), addresses);
    }

    /// The same for a list of numbers and of pointers to objects and functions: `normalize(self, {&object, &function, 16})`.
    [[nodiscard]] result<normalized> normalize(const maps& from, std::initializer_list<any_address> addresses) {
        listed_.clear();
        for (const any_address& a : addresses) listed_.push_back(a.value());
        return normalize(from, std::span<const std::uint64_t>{listed_});
    }
    /// The same for one address. `locations` has one element.
    template <class Address>
        requires(std::is_integral_v<Address> || std::is_pointer_v<Address> || std::is_function_v<Address>)
    [[nodiscard]] result<normalized> normalize(const maps& from, const Address& address) {
        return normalize(from, {any_address{address}});
    }

    void release_files() noexcept { resolver_.finder().cache().release(); }  ///< drops all cached file data and closes its descriptors

    [[nodiscard]] std::uint64_t file_reads() const noexcept { return resolver_.finder().reads(); }  ///< files read for IDs or ELF headers

private:
    detail::resolver resolver_;
    std::vector<std::uint64_t> listed_{};
};

}  // namespace procmap::inline PROCMAP_ABI
