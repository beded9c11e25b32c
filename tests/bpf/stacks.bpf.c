// Sends the user stack of each system call of one process, twice: as the kernel's build IDs and offsets, and as addresses.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "stacks.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4 << 20);
} stacks SEC(".maps");

const volatile __u32 process = 0;
__u64 lost = 0;

SEC("raw_tp/sys_enter")
int system_call(void* context) {
    if (bpf_get_current_pid_tgid() >> 32 != process) return 0;
    struct stack_pair* const s = bpf_ringbuf_reserve(&stacks, sizeof *s, 0);
    if (!s) {
        __sync_fetch_and_add(&lost, 1);
        return 0;
    }
    s->ids_size = bpf_get_stack(context, s->ids, sizeof s->ids, BPF_F_USER_STACK | BPF_F_USER_BUILD_ID);
    s->addresses_size = bpf_get_stack(context, s->addresses, sizeof s->addresses, BPF_F_USER_STACK);
    bpf_ringbuf_submit(s, 0);
    return 0;
}
