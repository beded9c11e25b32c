// What is asked about the file of a mapping: its build ID, its segments, the state of its path. Found by the evidence that there is, and
// cached.
#pragma once

#include <procmap/version.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <procmap/detail/file_cache.hpp>
#include <procmap/detail/mapped_file.hpp>
#include <procmap/detail/memory_image.hpp>
#include <procmap/kind.hpp>
#include <procmap/location.hpp>
#include <procmap/maps.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

/// What was found out about the file of one mapping.
struct file_answer {
    build_id id{};
    bool id_known = false;
    file_state state = file_state::unknown;
    bool by_number = false;  // all mappings of this device and inode are of this file, if they are seen from now on
    bool if_agreed = false;  // `loads` count only where all of them are mapped so: their file is known by its build ID alone
    std::vector<elf::segment> loads{};

    void clear() noexcept {
        id = {};
        id_known = by_number = if_agreed = false;
        state = file_state::unknown;
        loads.clear();
    }
};

/// What is to be found out.
struct file_question {
    bool id = false;
    bool loads = false;
    bool state = false;
    build_id_choice ids_from = build_id_choice::automatic;
    std::uint64_t seen_at = UINT64_MAX;  // the memory's time when the mapping was seen, if that was not just now
    [[nodiscard]] bool opens_files() const noexcept { return loads || (id && ids_from != build_id_choice::kernel); }
};

/// Finds out about the files of mappings. It caches at most `capacity` files, and one at the least; each costs at most one descriptor.
class file_finder {
public:
    explicit file_finder(std::size_t capacity) noexcept : cache_(capacity) {}

    /// Finds out about the file of `m`, whose name is known. False: something else is mapped there by now, and nothing is known.
    [[nodiscard]] bool ask(const maps& from, task_files& task, const mapping& m, const file_question& q, file_answer& a) {
        const uncancelled whole;
        const int saved = errno;
        a.clear();
        const id_rule rule = id_rule_of(m);
        known_file* const held = q.opens_files() && rule != id_rule::none ? cache_.find_number(m) : nullptr;
        if (rule == id_rule::none) a.id_known = q.id;
        bool still = rule == id_rule::none || (!q.opens_files() ? ask_by_name(from, m, q, rule, a)
                                               : held != nullptr ? ask_held(from, m, q, *held, a)
                                                                 : ask_found(from, task, m, q, rule, a));
        if (still && q.state) still = ask_state(from, task, m, a);
        if (!still) a.clear();
        errno = saved;
        return still;
    }

    /// The same of an image that is only in memory: the vDSO.
    void ask_memory(task_files& task, const mapping& m, const file_question& q, file_answer& a) {
        const uncancelled whole;
        const int saved = errno;
        a.clear();
        image_facts facts;
        if ((q.id || q.loads) && read_from_memory(task, m, facts)) {
            if (q.id) {
                a.id = facts.id;
                a.id_known = facts.id_known;
            }
            a.loads.swap(facts.loads);
        }
        errno = saved;
    }

    [[nodiscard]] file_cache& cache() noexcept { return cache_; }
    [[nodiscard]] const file_cache& cache() const noexcept { return cache_; }
    [[nodiscard]] std::uint64_t reads() const noexcept { return reads_; }          ///< files that were read

private:
    /// Reads the file's ELF headers and note, once for each version of it. The kernel's own word on the ID stands.
    void read(known_file& f) {
        if (f.read) return;
        image_facts facts;
        if (!read_file(f.pin.borrow(), f.way, facts)) return;  // nothing is known, and it is tried again the next time
        f.read = true;
        f.facts.loads.swap(facts.loads);
        if (f.facts.id_known && !f.facts.id.empty()) return;
        f.facts.id = facts.id;
        f.facts.id_known = facts.id_known;
    }

    bool read_file(borrowed_fd path_fd, build_id_source way, image_facts& facts) {
        const unique_fd file = reopen(path_fd);
        if (!file) return false;  // not permitted, or no descriptor free
        ++reads_;
        return read_image(file_source{file.borrow()}, way, facts);
    }

    /// Asks the kernel about the mapping once more, with its build ID where `id` says that it may be. False: it is another one by now.
    bool ask_again(const maps& from, const mapping& m, bool id, file_answer& a) {
        const handle& h = handle_of::get(from);
        const find_options asked{.name = name_, .build_id = id ? std::span<std::byte>{id_} : std::span<std::byte>{}};
        const auto again = h.backend == backend::ioctl ? lookup_ioctl(h, m.start, asked, false) : lookup(h, m.start, {.name = name_}, false);
        if (!again || !same_mapping(*again, m)) return false;
        if (id && !again->build_id.empty()) {
            a.id = build_id{again->build_id.bytes(), build_id_source::kernel};
            a.id_known = true;
        }
        return true;
    }

    /// Whether the kernel may be asked about a mapping by its rule.
    static bool may_ask(const maps& from, const file_question& q, bool regular) noexcept {
        return q.id && regular && q.ids_from != build_id_choice::file && handle_of::get(from).kernel_build_ids;
    }

    /// Looks at the mapping's path. False: it is another mapping by now.
    bool ask_state(const maps& from, task_files& task, const mapping& m, file_answer& a) {
        a.state = state_of_path(task, m);
        // The file at the path is the mapped one only if its number cannot have become another file's: the mapping is still there, or a
        // descriptor holds the file.
        return a.state != file_state::linked || a.by_number || ask_again(from, m, false, a);
    }

    bool ask_by_name(const maps& from, const mapping& m, const file_question& q, id_rule rule, file_answer& a) {
        return !may_ask(from, q, rule == id_rule::ask) || ask_again(from, m, true, a);
    }

    /// Of a file that is held: its number says that the mapping is of it.
    bool ask_held(const maps& from, const mapping& m, const file_question& q, known_file& f, file_answer& a) {
        a.by_number = true;
        // What the kernel says is kept only because the file's version was looked at before.
        const bool kernel_only = q.ids_from == build_id_choice::kernel;
        const bool ask_id = (kernel_only || !f.facts.id_known) && may_ask(from, q, f.version.regular);
        if (ask_id || f.since > q.seen_at) {
            if (!ask_again(from, m, ask_id, a)) return false;
            if (a.id_known && !kernel_only) {
                f.facts.id = a.id;
                f.facts.id_known = true;
            }
        }
        complete(q, f, a);
        return true;
    }

    /// Reads what is still missing, and takes it.
    void complete(const file_question& q, known_file& f, file_answer& a) {
        const bool ids = q.id && q.ids_from != build_id_choice::kernel;
        if (q.loads || (ids && !f.facts.id_known)) read(f);
        if (ids && !a.id_known && f.facts.id_known) {
            a.id = f.facts.id;
            a.id_known = true;
        }
        if (q.loads) a.loads.assign(f.facts.loads.begin(), f.facts.loads.end());
    }

    bool ask_found(const maps& from, task_files& task, const mapping& m, const file_question& q, id_rule rule, file_answer& a) {
        found_file found = file_search{task, m}.run();
        if (found.by == proof::number) {
            // It was not held when `m` was asked for, and may not be the mapped one any more: now that it is, look again.
            known_file& f = cache_.remember(std::move(found), key::number, m);
            if (!ask_again(from, m, may_ask(from, q, true), a)) return false;
            if (a.id_known && q.ids_from != build_id_choice::kernel) {
                f.facts.id = a.id;
                f.facts.id_known = true;
            }
            a.by_number = true;
            complete(q, f, a);
            return true;
        }
        if (found.by == proof::descriptor && task.address_space(m)) {
            if (!ask_again(from, m, may_ask(from, q, true), a)) return false;
            known_file unkept;
            known_file* known = found.remembered ? cache_.find_descriptor(found.version) : &unkept;
            if (known == &unkept)
                unkept = {.pin = std::move(found.path_fd), .version = found.version, .way = found.way};
            else if (known == nullptr)
                known = &cache_.remember(std::move(found), key::descriptor, m);
            if (a.id_known && q.ids_from != build_id_choice::kernel) {
                known->facts.id = a.id;
                known->facts.id_known = true;
            }
            complete(q, *known, a);
            return true;
        }
        return ask_candidate(from, task, m, q, rule, found, a);
    }

    /// Nothing proves a file to be the mapped one: its build ID may, or the mapping's own memory says what is in it.
    bool ask_candidate(const maps& from, task_files& task, const mapping& m, const file_question& q, id_rule rule, found_file& found, file_answer& a) {
        if (found.by != proof::none) found = {};  // of another address space
        const bool file_by_name = rule == id_rule::ask && !found.never_read;
        if (!ask_again(from, m, may_ask(from, {.id = q.id || q.loads, .ids_from = q.ids_from}, file_by_name), a)) return false;
        if (const known_file* known = q.loads && a.id_known ? cache_.find_id(m, a.id) : nullptr; known != nullptr)
            a.loads.assign(known->facts.loads.begin(), known->facts.loads.end());
        const auto missing = [&] { return (q.id && !a.id_known && q.ids_from != build_id_choice::kernel) || (q.loads && a.loads.empty()); };
        if (missing() && file_by_name) {
            mapping header;
            name_buffer header_name;
            image_facts facts;
            // The kernel's word is of `m` itself; the header below it can be that of other contents.
            if (find_header(from, task, m, header_name, header) && read_from_memory(task, header, facts) && belongs(header, m, facts.loads) &&
                (!a.id_known || facts.id == a.id))
                take(q, facts, m, a);
        }
        // Of a file of that build ID the segments may be others than the mapped ones, which the mappings show.
        if (image_facts facts; missing() && a.id_known && found.path_fd && !found.never_read &&
                               read_file(found.path_fd.borrow(), found.way, facts) && facts.id == a.id)
            take(q, facts, m, a);
        a.if_agreed = true;
        if (!q.id) {
            a.id = {};
            a.id_known = false;
        }
        return true;
    }

    /// Takes what is still missing, and remembers the segments of an image that its build ID tells again.
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
    name_buffer name_;  // of the mapping that is asked about again
    build_id_buffer id_;
};

}  // namespace procmap::inline PROCMAP_ABI::detail
