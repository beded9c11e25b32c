// Tells a process from the children that fork makes of it.
#pragma once

#include <procmap/version.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

#include <procmap/detail/guards.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// A page that distinguishes a process from its forked children: the kernel clears it in the child (MADV_WIPEONFORK, Linux 4.14). A pid
/// does not, because two processes in different pid namespaces can have the same one.
struct process_page {
    std::uint32_t generation;  // how often the page was found cleared, by this process and its ancestors; 0: cleared
    std::int32_t pid;          // of the process that set `generation`
};
inline process_page* this_process_page = nullptr;   // mapped on first use, never unmapped
inline std::uint32_t last_generation = 0;           // in ordinary memory, so a child inherits it
inline bool no_process_page = false;                // the page could not be mapped
inline constexpr std::size_t process_page_size = 4096;
inline constexpr std::uint32_t most_generations = process_page_size - 1;

/// Returns the page, or null if the kernel cannot clear it on fork. Three system calls on first use, one in a child, none later.
[[nodiscard]] inline process_page* page_of_process() noexcept {
    process_page* page = __atomic_load_n(&this_process_page, __ATOMIC_ACQUIRE);
    if (page == nullptr && !__atomic_load_n(&no_process_page, __ATOMIC_RELAXED)) {
        constexpr int wipe_on_fork = 18;  // MADV_WIPEONFORK
        const errno_kept keep;
        void* const memory = ::mmap(nullptr, process_page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        const bool mapped = memory != MAP_FAILED;
        if (mapped && ::madvise(memory, process_page_size, wipe_on_fork) == 0) {
            page = static_cast<process_page*>(memory);
            process_page* none = nullptr;
            if (!__atomic_compare_exchange_n(&this_process_page, &none, page, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
                (void)::munmap(memory, process_page_size);  // another thread was first
                page = none;
            }
        } else {
            if (mapped) (void)::munmap(memory, process_page_size);
            __atomic_store_n(&no_process_page, true, __ATOMIC_RELAXED);
        }
    }
    if (page != nullptr && __atomic_load_n(&page->generation, __ATOMIC_ACQUIRE) == 0) {
        const std::uint32_t next = __atomic_add_fetch(&last_generation, 1, __ATOMIC_RELAXED);
        std::uint32_t cleared = 0;
        __atomic_store_n(&page->pid, ::getpid(), __ATOMIC_RELAXED);
        (void)__atomic_compare_exchange_n(&page->generation, &cleared, next, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    return page;
}

/// Returns a nonzero number that differs between this process and its ancestors, up to `most_generations` of them. System calls as for
/// page_of_process(); one on each call before Linux 4.14.
[[nodiscard]] inline std::uintptr_t this_process() noexcept {
    const process_page* const page = page_of_process();
    // The address is added because several shared objects of a program can have a page each.
    if (page == nullptr) return static_cast<std::uintptr_t>(::getpid());
    const std::uint32_t generation = __atomic_load_n(&page->generation, __ATOMIC_ACQUIRE);
    return reinterpret_cast<std::uintptr_t>(page) + (generation < most_generations ? generation : most_generations);
}

/// Returns true if `number` is proven to be that of an ancestor of this process, whose own number is `own`.
[[nodiscard]] inline bool is_ancestor(std::uintptr_t number, std::uintptr_t own) noexcept {
    return number != own && number / process_page_size == own / process_page_size && page_of_process() != nullptr;
}

/// Returns true if `number` is proven to be that of this process. One system call.
[[nodiscard]] inline bool is_this_process(std::uintptr_t number) noexcept {
    const process_page* const page = page_of_process();
    // The pid is compared too: another process may share this memory (CLONE_VM), and an emulator may not clear pages.
    return page != nullptr && number == this_process() && __atomic_load_n(&page->generation, __ATOMIC_ACQUIRE) < most_generations &&
           __atomic_load_n(&page->pid, __ATOMIC_RELAXED) == ::getpid();
}

}  // namespace procmap::inline PROCMAP_ABI::detail
