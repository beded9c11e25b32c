// Finds the build ID, the segments and the path state of a mapping's file, if it is proven to be the mapped one, and caches them.
#pragma once

#include <procmap/version.hpp>

#include <procmap/detail/file_cache.hpp>
#include <procmap/detail/file_search.hpp>
#include <procmap/detail/memory_image.hpp>
#include <procmap/kind.hpp>
#include <procmap/location.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

struct file_answer {
    build_id id{};
    bool id_known = false;
    file_state state = file_state::unknown;
    bool by_inode = false;  // mappings of this device and inode that are queried from now on are of this file
    bool if_agreed = false;  // use `loads` only if all segments are mapped accordingly: only a build ID or memory proves them
    std::vector<elf::segment> loads{};

    void clear() noexcept {
        id = {};
        id_known = by_inode = if_agreed = false;
        state = file_state::unknown;
        loads.clear();
    }
};

struct file_question {
    bool id = false;
    bool loads = false;
    bool state = false;
    build_id_choice ids_from = build_id_choice::automatic;
    std::uint64_t seen_at = UINT64_MAX;  // the cache's time() when the mapping was seen; the default: just now
    [[nodiscard]] bool opens_files() const noexcept { return loads || (id && ids_from != build_id_choice::kernel); }
};

/// Finds out about the files of mappings. See file_cache for `capacity`.
class file_finder {
public:
    explicit file_finder(std::size_t capacity) noexcept : cache_(capacity) {}

    /// Finds out about the file of `m`, which must have its name. Returns false, with nothing known, if the mapping has changed.
    [[nodiscard]] bool ask(const handle& from, task_files& task, const mapping& m, const file_question& q, file_answer& a) {
        const uncancelled whole;
        const errno_kept keep;
        a.clear();
        const id_rule rule = id_rule_of(m);
        known_file* const held = q.opens_files() && rule != id_rule::none ? cache_.find_inode(m) : nullptr;
        if (rule == id_rule::none) a.id_known = q.id;
        bool still = rule == id_rule::none || (!q.opens_files() ? ask_by_name(from, m, q, rule, a)
                                               : held != nullptr ? ask_held(from, m, q, *held, a)
                                                                 : ask_found(from, task, m, q, rule, a));
        if (still && q.state) still = ask_state(from, task, m, a);
        if (!still) a.clear();
        return still;
    }

    /// The same for an image that is only in memory: the vDSO.
    void ask_memory(task_files& task, const mapping& m, const file_question& q, file_answer& a) {
        const uncancelled whole;
        const errno_kept keep;
        a.clear();
        image_facts facts;
        if ((q.id || q.loads) && read_from_memory(task, m, facts)) {
            if (q.id) {
                a.id = facts.id;
                a.id_known = facts.id_known;
            }
            a.loads.swap(facts.loads);
        }
    }

    [[nodiscard]] file_cache& cache() noexcept { return cache_; }
    [[nodiscard]] const file_cache& cache() const noexcept { return cache_; }
    [[nodiscard]] std::uint64_t reads() const noexcept { return reads_; }  ///< how often a file was read

private:
    /// Reads the ELF headers and the build ID, once for each version of the file. Keeps a build ID that the kernel returned.
    void read(known_file& f) {
        if (f.read) return;
        image_facts facts;
        if (!read_file(f.pin.borrow(), f.source, facts)) return;  // retried on the next use
        f.read = true;
        f.facts.loads.swap(facts.loads);
        if (f.facts.id_known && !f.facts.id.empty()) return;
        f.facts.id = facts.id;
        f.facts.id_known = facts.id_known;
    }

    bool read_file(borrowed_fd path_fd, build_id_source way, image_facts& facts) {
        const unique_fd file = reopen(path_fd);
        if (!file) return false;  // not permitted, or no free descriptor
        ++reads_;
        return read_image(file_source{file.borrow()}, way, facts);
    }

    /// Queries the mapping again, if `id` with its build ID. Returns false if it is another mapping now.
    bool ask_again(const handle& from, const mapping& m, bool id, file_answer& a) {
        const find_options asked{.name = name_, .build_id = id ? std::span<std::byte>{id_} : std::span<std::byte>{}};
        const auto again = from.by_ioctl() ? lookup_ioctl(from, m.start, asked, false) : lookup(from, m.start, {.name = name_}, false);
        if (!again || !same_mapping(*again, m)) return false;
        if (id && !again->build_id.empty()) {
            a.id = build_id{again->build_id.bytes(), build_id_source::kernel};
            a.id_known = true;
        }
        return true;
    }

    /// Caches the build ID that the kernel returned, unless it is to be asked each time.
    static void keep_id(const file_question& q, const file_answer& a, known_file& f) {
        if (!a.id_known || q.ids_from == build_id_choice::kernel) return;
        f.facts.id = a.id;
        f.facts.id_known = true;
    }

    /// Returns true if the kernel is to be asked for the build ID, which is safe for regular files only.
    static bool may_ask(const handle& from, const file_question& q, bool regular) noexcept {
        return q.id && regular && q.ids_from != build_id_choice::file && from.kernel_build_ids;
    }

    /// Looks up the mapping's path. Returns false if it is another mapping now.
    bool ask_state(const handle& from, task_files& task, const mapping& m, file_answer& a) {
        a.state = state_of_path(task, m);
        // `linked` is true only if the inode was not reused: a descriptor holds the file, or the mapping still exists.
        return a.state != file_state::linked || a.by_inode || ask_again(from, m, false, a);
    }

    bool ask_by_name(const handle& from, const mapping& m, const file_question& q, id_rule rule, file_answer& a) {
        return !may_ask(from, q, rule == id_rule::ask) || ask_again(from, m, true, a);
    }

    /// For a cached file that device and inode identify.
    bool ask_held(const handle& from, const mapping& m, const file_question& q, known_file& f, file_answer& a) {
        a.by_inode = true;
        // The kernel's answer may be cached because the file's version was read before.
        const bool kernel_only = q.ids_from == build_id_choice::kernel;
        const bool ask_id = (kernel_only || !f.facts.id_known) && may_ask(from, q, f.version.regular);
        if (ask_id || f.since > q.seen_at) {
            if (!ask_again(from, m, ask_id, a)) return false;
            keep_id(q, a, f);
        }
        complete(q, f, a);
        return true;
    }

    /// Reads what is missing in `f`, and copies it to `a`.
    void complete(const file_question& q, known_file& f, file_answer& a) {
        const bool ids = q.id && q.ids_from != build_id_choice::kernel;
        if (q.loads || (ids && !f.facts.id_known)) read(f);
        if (ids && !a.id_known && f.facts.id_known) {
            a.id = f.facts.id;
            a.id_known = true;
        }
        if (q.loads) a.loads.assign(f.facts.loads.begin(), f.facts.loads.end());
    }

    bool ask_found(const handle& from, task_files& task, const mapping& m, const file_question& q, id_rule rule, file_answer& a) {
        found_file found = file_search{task, m}.run();
        if (found.by == proof::inode) {
            // No descriptor held the file when `m` was queried, so its inode may have been reused. Query again now that one does.
            known_file& f = cache_.remember(std::move(found), key::inode, m);
            if (!ask_again(from, m, may_ask(from, q, true), a)) return false;
            keep_id(q, a, f);
            a.by_inode = true;
            complete(q, f, a);
            return true;
        }
        if (found.by == proof::descriptor && task.has_same_address_space(m)) {
            if (!ask_again(from, m, may_ask(from, q, true), a)) return false;
            known_file unkept;
            known_file* known = found.remembered ? cache_.find_descriptor(found.version) : &unkept;
            if (known == &unkept)
                unkept = {.pin = std::move(found.path_fd), .version = found.version, .source = found.source};
            else if (known == nullptr)
                known = &cache_.remember(std::move(found), key::descriptor, m);
            keep_id(q, a, *known);
            complete(q, *known, a);
            return true;
        }
        return ask_candidate(from, task, m, q, rule, found, a);
    }

    /// For a file that is not proven: its build ID may prove it, or the image is read from the process's memory.
    bool ask_candidate(const handle& from, task_files& task, const mapping& m, const file_question& q, id_rule rule, found_file& found, file_answer& a) {
        if (found.by != proof::none) found = {};  // it belongs to another address space
        const bool file_by_name = rule == id_rule::ask && !found.never_read;
        if (!ask_again(from, m, may_ask(from, {.id = q.id || q.loads, .ids_from = q.ids_from}, file_by_name), a)) return false;
        if (const known_file* known = q.loads && a.id_known ? cache_.find_id(m, a.id) : nullptr; known != nullptr)
            a.loads.assign(known->facts.loads.begin(), known->facts.loads.end());
        const auto missing = [&] { return (q.id && !a.id_known && q.ids_from != build_id_choice::kernel) || (q.loads && a.loads.empty()); };
        if (missing() && file_by_name) {
            mapping header;
            name_buffer header_name;
            image_facts facts;
            // The kernel's build ID is that of `m` itself. The header found below it may belong to other contents.
            if (find_header(from, task, m, header_name, header) && read_from_memory(task, header, facts) && belongs(header, m, facts.loads) &&
                (!a.id_known || facts.id == a.id))
                take(q, facts, m, a);
        }
        // A file with that build ID can have other segments than the mapped ones, so if_agreed is set.
        if (image_facts facts; missing() && a.id_known && found.path_fd && !found.never_read &&
                               read_file(found.path_fd.borrow(), found.source, facts) && facts.id == a.id)
            take(q, facts, m, a);
        a.if_agreed = true;
        if (!q.id) {
            a.id = {};
            a.id_known = false;
        }
        return true;
    }

    /// Copies what is missing to `a`, and caches the segments if the build ID can identify the image again.
    void take(const file_question& q, image_facts& facts, const mapping& m, file_answer& a) {
        if (!a.id_known && q.ids_from != build_id_choice::kernel) {
            a.id = facts.id;
            a.id_known = facts.id_known;
        }
        if (!q.loads || !a.loads.empty()) return;
        a.loads.assign(facts.loads.begin(), facts.loads.end());
        if (a.id_known && !a.id.empty() && facts.id == a.id)
            (void)cache_.remember({.by = key::build_id, .device = m.device, .inode = m.inode, .name = std::string{m.name}, .facts = std::move(facts), .read = true});
    }

    file_cache cache_;
    std::uint64_t reads_ = 0;
    name_buffer name_;  // of the mapping that is queried again
    build_id_buffer id_;
};

}  // namespace procmap::inline PROCMAP_ABI::detail
