// What stacks.bpf.c sends.
#pragma once

#include <linux/bpf.h>

enum { STACK_DEPTH = 32 };

struct stack_pair {
    long long ids_size, addresses_size;  // in bytes, or a negative errno
    struct bpf_stack_build_id ids[STACK_DEPTH];
    unsigned long long addresses[STACK_DEPTH];
};
