// A handle on this process that is kept across fork.
//
//   thread_local procmap::self_maps self;
//   if (const auto& opened = self.get()) use(opened->find(address));
#pragma once

#include <procmap/version.hpp>

#include <procmap/detail/process_page.hpp>
#include <procmap/maps.hpp>

namespace procmap::inline PROCMAP_ABI {

/// The maps of the process that asks. A handle from maps::open_self that is inherited by fork answers for the parent; this notices that it
/// is in a child, by a page that the kernel clears there (MADV_WIPEONFORK), and opens the child's own maps.
///
/// One thread at a time: make it thread_local, or protect it by a lock. Not for signal handlers, which may interrupt the opening: these
/// call maps::open_self. Not for a child of vfork, which shares this object with its parent.
class self_maps {
public:
    explicit self_maps(const open_options& how = {}) noexcept : how_(how) {}  ///< opens nothing yet; keeps `how.proc` as a pointer

    /// Returns the handle of this process. Opens it in the first call, in the first call after fork, and if the last attempt failed; see
    /// maps::open_self. Otherwise it compares two numbers in memory (before Linux 4.14: and calls getpid). The handle holds until a call of
    /// get() in a child.
    [[nodiscard]] const result<maps>& get() noexcept PROCMAP_LIFETIMEBOUND {
        const std::uintptr_t process = detail::this_process();
        // Beyond the most generations of forks that are counted, numbers are equal.
        const bool countable = process % detail::process_page_size != detail::most_generations;
        if (!opened_ || detail::handle_of(*opened_).opener != process || !countable) [[unlikely]]
            opened_ = maps::open_self(how_);
        return opened_;
    }

private:
    open_options how_;
    result<maps> opened_ = error{.code = errc::invalid, .at = step::open, .pid = error::this_process};
};

}  // namespace procmap::inline PROCMAP_ABI
