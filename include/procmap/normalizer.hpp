// Addresses in; file, file offset, ELF address and build ID out: what a profiler or a crash reporter ships to where symbols are.
#pragma once

#include <procmap/version.hpp>

#include <cstdint>
#include <span>

#include <procmap/detail/resolver.hpp>
#include <procmap/location.hpp>
#include <procmap/maps.hpp>
#include <procmap/options.hpp>

namespace procmap::inline PROCMAP_ABI {

/// Turns addresses into locations. It remembers files between calls, of any number of processes. What it remembers is used only while a
/// descriptor holds the inode and the file's change time and size are unchanged; mappings are never remembered.
/// (Writing to an ELF file through a shared mapping changes neither at once; build_id_choice::kernel remembers no build ID.)
///
/// A descriptor keeps its file system from being unmounted (umount says EBUSY). At a call, files are dropped that no call used for a minute;
/// release_files() drops all of them at once.
///
/// What an answer rests on: a file is taken for the mapped one only where its device and inode, a descriptor from map_files, or its
/// build ID prove it (docs/semantics.md). What cannot be proven is not known. Files are looked for below the process's own directory
/// of procfs and its root, never below this process's.
///
/// Cost: ioctl: one query for each mapping that an address lies in (0.4 µs), one for each file's name, one statx for each file that is
/// known already; and for an image in which an ELF address is ambiguous one or two for each segment and one for each other bias. A new file costs some thirty system calls, once. On a
/// file system where numbers do not name files, each mapping costs a named query, one for its build ID, and for an ELF address one for
/// each segment; without a build ID, the process's memory is read (some eighty system calls). File states cost four to eight system calls
/// a file and some fifty a call. Text: one walk, to the end where ELF
/// addresses are asked for, and the text once more, up to the mapping, for each new file. Nothing is allocated once warm. It opens files
/// where build IDs or ELF addresses are asked for: not async-signal-safe. One thread at a time.
class normalizer {
public:
    /// Opens nothing yet.
    explicit normalizer(const normalizer_options& options = {}) noexcept : resolver_(options) {}

    /// Looks up every address, in any order. One bad mapping never fails the others. An error only where nothing could be
    /// resolved at all; what breaks off later is in normalized::error, and the reason of each address that it concerns.
    [[nodiscard]] result<normalized> normalize(const maps& from, std::span<const std::uint64_t> addresses) {
        return resolver_.run(from, addresses);
    }

    /// Drops all cached file data and closes the descriptors that it holds; the next call reads the files again.
    void release_files() noexcept { resolver_.finder().cache().release(); }

    /// How many files were read for their build ID or ELF headers so far.
    [[nodiscard]] std::uint64_t file_reads() const noexcept { return resolver_.finder().reads(); }

private:
    detail::resolver resolver_;
};

}  // namespace procmap::inline PROCMAP_ABI
