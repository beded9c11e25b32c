// Walks the mappings of each process that ends, while it still has them, and sends them to whoever reads the ring buffer.
//
// The hook is the tracepoint sched_process_exit, which since Linux 6.16 stands where the dying task has its address space and
// says whether it is the last thread. The walk is the open-coded iterator, Linux 6.7+.
#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "exit_maps.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

// The kernel's types, as far as they are used; libbpf puts in the running kernel's offsets.
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
typedef struct {
    void* vdso;
} mm_context_t;
struct qstr {
    const unsigned char* name;
};
struct hlist_bl_node {
    struct hlist_bl_node** pprev;
};
struct super_block {
    __u32 s_dev;
};
struct inode {
    unsigned long i_ino;
    struct super_block* i_sb;
};
struct dentry {
    struct dentry* d_parent;
    struct qstr d_name;
    struct hlist_bl_node d_hash;
    struct inode* d_inode;
};
struct vfsmount {
    struct dentry* mnt_root;
};
struct mount {
    struct mount* mnt_parent;
    struct dentry* mnt_mountpoint;
    struct vfsmount mnt;
};
struct path {
    struct vfsmount* mnt;
    struct dentry* dentry;
};
struct file {
    unsigned int f_mode;
    struct path f_path;
    struct inode* f_inode;
};
struct backing_file {
    struct path user_path;
};
struct vm_area_struct {
    unsigned long vm_start, vm_end, vm_flags, vm_pgoff;
    struct file* vm_file;
};
struct mm_struct {
    unsigned long start_brk, brk, start_stack;
    mm_context_t context;
};
struct fs_struct {
    struct path root;
};
struct task_struct {
    int tgid;
    struct task_struct* real_parent;
    struct mm_struct* mm;
    struct fs_struct* fs;
};
#pragma clang attribute pop

struct bpf_iter_task_vma {
    __u64 opaque[1];
};
extern int bpf_iter_task_vma_new(struct bpf_iter_task_vma* it, struct task_struct* task, __u64 address) __ksym;
extern struct vm_area_struct* bpf_iter_task_vma_next(struct bpf_iter_task_vma* it) __ksym;
extern void bpf_iter_task_vma_destroy(struct bpf_iter_task_vma* it) __ksym;

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 8 << 20);
} records SEC(".maps");

// A record that is being put together. A program never runs twice at once on a CPU, so each has one.
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct exit_mapping);
} scratch SEC(".maps");

const volatile __u32 children_of = 0;  // the only parent whose children are looked at; 0: all processes

__u64 lost = 0;  // records that found no room

static void send(void* record, __u64 size) {
    if (bpf_ringbuf_output(&records, record, size, 0) != 0) __sync_fetch_and_add(&lost, 1);
}

struct path_walk {
    struct exit_mapping* to;
    struct dentry* dentry;
    struct vfsmount* mnt;
    struct path root;  // the task's
};

// One step from a file to the root, as d_path() goes: a name, or from a mount's root to what it is mounted on.
static long path_step(__u32 step, struct path_walk* w) {
    struct exit_mapping* const to = w->to;
    struct dentry* const dentry = w->dentry;
    struct vfsmount* const mnt = w->mnt;
    struct dentry* const parent = BPF_CORE_READ(dentry, d_parent);
    if (dentry == w->root.dentry && mnt == w->root.mnt) return 1;
    if (dentry == BPF_CORE_READ(mnt, mnt_root)) {
        struct mount* const mount = (void*)mnt - bpf_core_field_offset(struct mount, mnt);
        struct mount* const below = BPF_CORE_READ(mount, mnt_parent);
        if (below == mount) return 1;
        w->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
        w->mnt = (void*)below + bpf_core_field_offset(struct mount, mnt);
        return 0;
    }
    const __u32 size = to->path_size;
    if (size >= EXIT_PATH_SIZE) {
        to->too_long = 1;
        return 1;
    }
    const long n = bpf_probe_read_kernel_str(&to->path[size], EXIT_NAME_SIZE, BPF_CORE_READ(dentry, d_name.name));
    if (n > 0) to->path_size = size + n;
    if (dentry != parent) {
        w->dentry = parent;
        return 0;
    }
    to->name = EXIT_PSEUDO_PATH;  // a file of no directory: memfd, SysV, ...
    return 1;
}

static void describe_file(struct exit_mapping* m, struct file* file, struct task_struct* task) {
    const unsigned int fmode_backing = 1 << 24;  // since Linux 6.14: overlayfs maps the file beneath, and shows its own
    struct path path = {.mnt = BPF_CORE_READ(file, f_path.mnt), .dentry = BPF_CORE_READ(file, f_path.dentry)};
    struct inode* inode = BPF_CORE_READ(file, f_inode);
    if (BPF_CORE_READ(file, f_mode) & fmode_backing) {
        struct backing_file* const backing = (void*)file;  // its first member is the file
        path.mnt = BPF_CORE_READ(backing, user_path.mnt);
        path.dentry = BPF_CORE_READ(backing, user_path.dentry);
        inode = BPF_CORE_READ(path.dentry, d_inode);
    }
    m->inode = BPF_CORE_READ(inode, i_ino);
    m->device = BPF_CORE_READ(inode, i_sb, s_dev);
    m->deleted = BPF_CORE_READ(path.dentry, d_hash.pprev) == 0;
    m->name = EXIT_PATH;
    struct path_walk w = {.to = m, .dentry = path.dentry, .mnt = path.mnt};
    w.root.mnt = BPF_CORE_READ(task, fs, root.mnt);
    w.root.dentry = BPF_CORE_READ(task, fs, root.dentry);
    bpf_loop(EXIT_PATH_SIZE / 2, path_step, &w, 0);
}

static void describe(struct exit_mapping* m, struct vm_area_struct* vma, struct task_struct* task) {
    struct mm_struct* const mm = task->mm;
    m->head.kind = EXIT_MAPPING;
    m->start = vma->vm_start;
    m->end = vma->vm_end;
    m->flags = vma->vm_flags;
    m->offset = m->inode = m->device = m->path_size = m->deleted = m->too_long = 0;
    m->name = EXIT_NO_NAME;
    struct file* const file = vma->vm_file;
    if (file) {
        m->offset = vma->vm_pgoff;  // in pages; the reader knows their size
        describe_file(m, file, task);
    } else if (m->start <= mm->brk && m->end >= mm->start_brk) {
        m->name = EXIT_HEAP;
    } else if (m->start <= mm->start_stack && m->end >= mm->start_stack) {
        m->name = EXIT_STACK;
    } else if (bpf_core_field_exists(mm->context.vdso) && m->start == (__u64)mm->context.vdso) {
        m->name = EXIT_VDSO;
    }
}

SEC("tp_btf/sched_process_exit")
int process_exits(__u64* arguments) {
    struct task_struct* const task = (void*)arguments[0];
    const _Bool last_thread = arguments[1];
    if (!last_thread || !task->mm) return 0;
    if (children_of != 0 && (__u32)task->real_parent->tgid != children_of) return 0;

    const __u32 zero = 0;
    struct exit_mapping* const m = bpf_map_lookup_elem(&scratch, &zero);
    if (!m) return 0;
    const __u32 pid = task->tgid;
    struct exit_begin begin = {.head = {.kind = EXIT_BEGIN, .pid = pid}};
    bpf_get_current_comm(begin.comm, sizeof begin.comm);
    bpf_get_task_stack(task, begin.stack, sizeof begin.stack, BPF_F_USER_STACK);
    send(&begin, sizeof begin);

    struct exit_end end = {.head = {.kind = EXIT_END, .pid = pid}};
    struct bpf_iter_task_vma it;
    end.error = bpf_iter_task_vma_new(&it, task, 0);
    for (struct vm_area_struct* vma; (vma = bpf_iter_task_vma_next(&it)); ++end.mappings) {
        m->head.pid = pid;
        describe(m, vma, task);
        const __u32 path_size = m->path_size;
        if (path_size <= sizeof m->path) send(m, __builtin_offsetof(struct exit_mapping, path) + path_size);
    }
    bpf_iter_task_vma_destroy(&it);
    send(&end, sizeof end);
    return 0;
}
