// The files in the directory of a handle's task: its root, its memory, the entries of map_files.
#pragma once

#include <procmap/version.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <procmap/detail/task_directory.hpp>
#include <procmap/walk.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// The files below a handle's task, for the time of one call. Nothing is opened before it is asked for.
class task_files {
public:
    explicit task_files(const handle& h) noexcept : handle_(&h) {}

    /// Whether the task's directory was found and proven.
    [[nodiscard]] bool proven() noexcept { return find(); }

    /// Whether one more walk through all mappings may be made for this call: many mappings of one file must not cost one each.
    [[nodiscard]] bool may_walk() noexcept { return walks_-- > 0; }

    /// Opens the entry of map_files for a mapping (CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN): what the task has mapped there.
    [[nodiscard]] unique_fd open_map_file(const mapping& m) noexcept {
        if (!find()) return {};
        for (const char* const where : {"map_files/", "../../map_files/"}) {  // a thread's directory has none
            path_buffer entry;
            entry.put(where).put(m.start, 16).put("-").put(m.end, 16);
            unique_fd fd{::openat(directory_.get(), entry.c_str(), O_PATH | O_CLOEXEC)};
            if (fd || errno != ENOENT) return fd;
        }
        return {};
    }

    /// The task's root directory, O_PATH, and its path as this process sees it, or empty.
    [[nodiscard]] borrowed_fd root(std::string_view& path) noexcept {
        if (!root_ && find()) {
            open_root(directory_.borrow());
            // A main thread that has exited has no root any more; its other threads do.
            if (!root_ && errno != EACCES && errno != EPERM)
                (void)any_thread(directory_.get(), "task", [this](std::int32_t tid) {
                    path_buffer name;
                    name.put("task/").put(static_cast<std::uint64_t>(tid));
                    const unique_fd thread{::openat(directory_.get(), name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
                    open_root(thread.borrow());
                    if (root_) root_thread_ = tid;
                    return static_cast<bool>(root_);
                });
        }
        path = {root_path_, root_path_size_};
        return root_.borrow();
    }

    /// Whether the root, once it is open, is that of a task in the handle's address space: see address_space(). Once a call.
    [[nodiscard]] bool root_is_the_handles(const mapping& m) noexcept {
        if (!root_ || root_proven_) return root_proven_;
        path_buffer maps;
        if (root_thread_ != 0) maps.put("task/").put(static_cast<std::uint64_t>(root_thread_)).put("/");
        root_proven_ = shows(maps.put("maps").c_str(), m);
        return root_proven_;
    }

    /// Whether the task still shows a mapping as the handle does, in an address space that is the handle's: the lowest mappings agree,
    /// which the randomization of addresses makes different in another program. What was opened before the call is then of it.
    [[nodiscard]] bool address_space(const mapping& m) noexcept {
        return find() && shows("maps", m);
    }

    /// Reads from the memory of the address space in which `m` is; nothing is read where that is not the handle's. `mem` needs ptrace
    /// access mode ATTACH.
    [[nodiscard]] borrowed_fd memory(const mapping& m) noexcept {
        if (!mem_ && find()) mem_.reset(::openat(directory_.get(), "mem", O_RDONLY | O_CLOEXEC | O_LARGEFILE));
        // It is of the address space that the task had when it was opened, which may be another by now: looked at afterwards each time.
        if (!mem_ || !address_space(m)) return borrowed_fd{-1};
        return mem_.borrow();
    }

private:
    bool find() noexcept {
        if (!sought_) directory_ = find_task(*handle_);
        sought_ = true;
        return static_cast<bool>(directory_);
    }

    void open_root(borrowed_fd task) noexcept {
        root_.reset(::openat(task.get(), "root", O_PATH | O_DIRECTORY | O_CLOEXEC));
        root_path_size_ = root_ ? read_link(task.get(), "root", root_path_).size() : 0;
        if (root_path_size_ == 1) root_path_size_ = 0;  // "/"
    }

    /// Whether a maps file below the directory shows a mapping as the handle does, and the lowest ones.
    bool shows(const char* maps, const mapping& m) const noexcept {
        handle now{.fd = unique_fd{::openat(directory_.get(), maps, O_RDONLY | O_CLOEXEC)}, .backend = handle_->backend};
        return now.fd && agree(*handle_, now, m);
    }

    /// Whether two handles show one mapping, and agree on the lowest ones.
    static bool agree(const handle& a, const handle& b, const mapping& m) noexcept {
        constexpr int enough = 16;  // the program, its heap, and libraries or threads: each at a random place
        name_buffer name;
        const auto there = lookup(b, m.start, {.name = m.name_status == name_state::not_asked ? std::span<char>{} : std::span<char>{name}}, false);
        if (!there || !same_mapping(*there, m) || there->permissions != m.permissions) return false;
        for (int tries = 0; tries < 3; ++tries) {  // what changes meanwhile is looked at again
            auto one = walk_over(a, {}, a.backend), other = walk_over(b, {}, b.backend);
            auto i = one.begin();
            auto j = other.begin();
            int same = 0;
            for (; same < enough && i != one.end() && j != other.end(); ++same, ++i, ++j)
                if (!same_mapping(*i, *j) || i->permissions != j->permissions) break;
            if (same == enough || (same != 0 && one.complete() && other.complete())) return true;
        }
        return false;
    }

    const handle* handle_;
    bool sought_ = false;
    bool root_proven_ = false;
    std::int32_t root_thread_ = 0;  // through which the root was opened; 0: the task itself
    int walks_ = 16;
    unique_fd directory_{};
    unique_fd root_{};
    unique_fd mem_{};
    std::size_t root_path_size_ = 0;
    char root_path_[4096];
};

}  // namespace procmap::inline PROCMAP_ABI::detail
