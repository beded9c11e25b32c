// The mappings of processes that have ended: loads exit_maps.bpf.c, and makes a snapshot of the records of each process.
#pragma once

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <procmap/snapshot.hpp>

#include "exit_maps.h"
#include "exit_maps.skel.h"

namespace bpf_exit {

/// A process that ended, and what was mapped in it when it did.
struct ended {
    pid_t pid = 0;
    std::string command;               // as in /proc/PID/comm
    std::vector<std::uint64_t> stack;  // of the thread that died last, innermost first, as far as frame pointers lead
    procmap::snapshot maps{};
    bool whole = false;  // all its mappings are in `maps`
};

/// The components, last one first, put together to a path as the kernel prints it.
inline std::string path_of(const exit_mapping& m) {
    std::string path;
    std::string_view names{m.path, m.path_size};
    while (!names.empty()) {
        const std::size_t end = names.find('\0');
        path.insert(0, names.substr(0, end)).insert(0, 1, '/');
        names.remove_prefix(end == names.npos ? names.size() : end + 1);
    }
    return m.deleted || m.name == EXIT_PSEUDO_PATH ? path + " (deleted)" : path;
}

/// Reads a mapping's record; the name goes to `name`, from which the mapping borrows.
inline procmap::mapping mapping_of(const exit_mapping& m, std::string& name) {
    constexpr std::uint64_t may_share = 0x80;
    constexpr std::uint64_t permissions = 0x07;  // the kernel's first flags are ours
    auto permitted = procmap::permission_set::from_bits(static_cast<std::uint32_t>(m.flags & permissions));
    if ((m.flags & may_share) != 0) permitted |= procmap::perm::shared;
    switch (m.name) {
        case EXIT_HEAP: name = "[heap]"; break;
        case EXIT_STACK: name = "[stack]"; break;
        case EXIT_VDSO: name = "[vdso]"; break;
        case EXIT_NO_NAME: name.clear(); break;
        default: name = m.too_long ? std::string{} : path_of(m);
    }
    return {.start = m.start,
            .end = m.end,
            .permissions = permitted,
            .name_status = m.too_long ? procmap::name_state::too_long : procmap::name_state::exact,
            .offset = m.offset * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)),
            .inode = m.inode,
            .device = {m.device >> 20, m.device & 0xfffff},
            .name = name};
}

class exit_maps {
public:
    using handler = std::function<void(const ended&)>;

    /// What this kernel does not have, in words; empty: it has all.
    [[nodiscard]] static std::string missing() {
        btf* const types = btf__load_vmlinux_btf();
        if (types == nullptr) return "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)";
        const int next = btf__find_by_name_kind(types, "bpf_iter_task_vma_next", BTF_KIND_FUNC);
        std::string lacks = next < 0 ? "the iterator of mappings (Linux 6.7)" : "";
        // The type of the tracepoint's handlers: void (*)(void*, task_struct*, bool group_dead).
        const auto type = [types](auto id) { return btf__type_by_id(types, static_cast<__u32>(id)); };
        const int hook = btf__find_by_name_kind(types, "btf_trace_sched_process_exit", BTF_KIND_TYPEDEF);
        constexpr int with_group_dead = 3;
        if (hook < 0 || btf_vlen(type(type(type(hook)->type)->type)) < with_group_dead)
            lacks = "sched_process_exit while the task has its address space (Linux 6.16)";
        btf__free(types);
        return lacks;
    }

    exit_maps() = default;
    exit_maps(const exit_maps&) = delete;
    exit_maps& operator=(const exit_maps&) = delete;
    ~exit_maps() {
        ring_buffer__free(ring_);
        exit_maps_bpf::destroy(program_);
    }

    /// From now on each process that ends is told to `on_exit`, from within read(); with `children_of`, only the children of
    /// that process. 0, or the errno: EPERM where it is not permitted (CAP_BPF and CAP_PERFMON).
    [[nodiscard]] int open(handler on_exit, pid_t children_of = 0) {
        on_exit_ = std::move(on_exit);
        program_ = exit_maps_bpf::open();
        if (program_ == nullptr) return errno;
        program_->rodata->children_of = static_cast<__u32>(children_of);
        if (const int error = exit_maps_bpf::load(program_); error != 0) return -error;
        ring_ = ring_buffer__new(bpf_map__fd(program_->maps.records), receive, this, nullptr);
        if (ring_ == nullptr) return errno;
        return -exit_maps_bpf::attach(program_);
    }

    /// Handles what is there, and waits for it up to `milliseconds`. Who has reaped a process finds it here: its records were
    /// written before it became a zombie. 0, or the errno.
    int read(int milliseconds) {
        const int n = milliseconds == 0 ? ring_buffer__consume(ring_) : ring_buffer__poll(ring_, milliseconds);
        return n < 0 && n != -EINTR ? -n : 0;
    }

    /// Records that found the ring buffer full, and exits at which the kernel did not run the program.
    [[nodiscard]] std::uint64_t lost() const {
        bpf_prog_info info{};
        __u32 size = sizeof info;
        bpf_obj_get_info_by_fd(bpf_program__fd(program_->progs.process_exits), &info, &size);
        return program_->bss->lost + info.recursion_misses;
    }

private:
    struct unfinished {
        ended process{};
        procmap::snapshot::builder maps{};
        std::uint32_t mappings = 0;
    };

    static int receive(void* self, void* record, std::size_t) {
        static_cast<exit_maps*>(self)->take(*static_cast<const exit_head*>(record));
        return 0;
    }

    void take(const exit_head& head) {
        const auto pid = static_cast<pid_t>(head.pid);
        if (head.kind == EXIT_BEGIN) {
            const auto& begin = reinterpret_cast<const exit_begin&>(head);
            unfinished& u = dying_.insert_or_assign(pid, unfinished{}).first->second;
            u.process.pid = pid;
            u.process.command = begin.comm;
            for (const std::uint64_t address : begin.stack)
                if (address != 0) u.process.stack.push_back(address);
            return;
        }
        const auto found = dying_.find(pid);
        if (found == dying_.end()) return;  // its begin was lost
        unfinished& u = found->second;
        if (head.kind == EXIT_MAPPING) {
            ++u.mappings;
            (void)u.maps.add(mapping_of(reinterpret_cast<const exit_mapping&>(head), name_));
            return;
        }
        const auto& end = reinterpret_cast<const exit_end&>(head);
        u.process.whole = end.error == 0 && end.mappings == u.mappings;
        u.process.maps = u.maps.build();
        const ended process = std::move(u.process);
        dying_.erase(found);
        on_exit_(process);
    }

    handler on_exit_;
    std::map<pid_t, unfinished> dying_;
    std::string name_;
    exit_maps_bpf* program_ = nullptr;
    ring_buffer* ring_ = nullptr;
};

}  // namespace bpf_exit
