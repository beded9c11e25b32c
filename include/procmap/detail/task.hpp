// Access to the procfs files of a handle's task: its root directory, its memory, and map_files.
#pragma once

#include <procmap/version.hpp>

#include <procmap/detail/task_directory.hpp>
#include <procmap/walk.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// The files of a handle's task, for the duration of one call. They are opened on first use.
class task_files {
public:
    explicit task_files(const handle& h) noexcept : handle_(&h) {}

    [[nodiscard]] bool proven() noexcept { return find(); }

    /// Returns true if this call may walk all mappings once more. Limits the cost of many mappings of one file.
    [[nodiscard]] bool may_walk() noexcept { return walks_-- > 0; }

    /// Opens, O_PATH, the file that the task has mapped there, from map_files. Requires CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN.
    [[nodiscard]] unique_fd open_map_file(const mapping& m) noexcept {
        if (!find()) return {};
        for (const char* const where : {"map_files/", "../../map_files/"}) {  // the directory of a thread has no map_files
            path_buffer entry;
            entry.put(where).put(m.start, 16).put("-").put(m.end, 16);
            unique_fd fd{::openat(directory_.get(), entry.c_str(), O_PATH | O_CLOEXEC)};
            if (fd || errno != ENOENT) return fd;
        }
        return {};
    }

    /// Returns the task's root directory, O_PATH. Sets `path` to its path as this process sees it, empty for "/".
    [[nodiscard]] borrowed_fd root(std::string_view& path) noexcept {
        if (!root_ && find()) {
            open_root(directory_.borrow());
            // A main thread that has exited has no root directory; the other threads have.
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

    /// Returns true if the open root directory belongs to a task in the handle's address space; see has_same_address_space(). Caches a
    /// success.
    [[nodiscard]] bool root_has_same_address_space(const mapping& m) noexcept {
        if (!root_ || root_proven_) return root_proven_;
        path_buffer maps;
        if (root_thread_ != 0) maps.put("task/").put(static_cast<std::uint64_t>(root_thread_)).put("/");
        root_proven_ = shows(maps.put("maps").c_str(), m);
        return root_proven_;
    }

    /// Returns true if the task's address space is that of the handle: both show the same mapping, and the lowest mappings agree, which
    /// differ between programs by address randomization. Files that were opened before this call then belong to it.
    [[nodiscard]] bool has_same_address_space(const mapping& m) noexcept {
        return find() && shows("maps", m);
    }

    /// Returns a descriptor of the memory of the handle's address space, which has `m`, or -1. Requires ptrace access mode ATTACH.
    [[nodiscard]] borrowed_fd memory(const mapping& m) noexcept {
        if (!mem_ && find()) mem_.reset(::openat(directory_.get(), "mem", O_RDONLY | O_CLOEXEC | O_LARGEFILE));
        // `mem` is bound to the address space that the task had when it was opened, so verify after opening, on each call.
        if (!mem_ || !has_same_address_space(m)) return borrowed_fd{-1};
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

    bool shows(const char* maps, const mapping& m) const noexcept {
        handle now{.fd = unique_fd{::openat(directory_.get(), maps, O_RDONLY | O_CLOEXEC)}, .backend = handle_->backend};
        return now.fd && agree(*handle_, now, m);
    }

    /// Returns true if two handles show the same mapping `m` and the same lowest mappings.
    static bool agree(const handle& a, const handle& b, const mapping& m) noexcept {
        constexpr int enough = 16;  // the program, its heap, and libraries or threads, at random addresses
        name_buffer name;
        const auto there = lookup(b, m.start, {.name = m.name_status == name_state::not_asked ? std::span<char>{} : std::span<char>{name}}, false);
        if (!there || !same_mapping(*there, m) || there->permissions != m.permissions) return false;
        for (int tries = 0; tries < 3; ++tries) {  // mappings may change between the two walks
            auto one = walk_over(a), other = walk_over(b);
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
    std::int32_t root_thread_ = 0;  // the thread through which the root was opened; 0: the task itself
    int walks_ = 16;
    unique_fd directory_{};
    unique_fd root_{};
    unique_fd mem_{};
    std::size_t root_path_size_ = 0;
    char root_path_[4096];
};

}  // namespace procmap::inline PROCMAP_ABI::detail
