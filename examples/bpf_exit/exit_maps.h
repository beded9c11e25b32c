// The records that exit_maps.bpf.c sends and exit_maps.hpp reads. A process is one `exit_begin`, an `exit_mapping` for each
// mapping in ascending order, and one `exit_end`; records of processes that die at the same time are interleaved.
#pragma once

enum exit_kind { EXIT_BEGIN, EXIT_MAPPING, EXIT_END };

enum { EXIT_STACK_DEPTH = 16, EXIT_NAME_SIZE = 256, EXIT_PATH_SIZE = 4096 };

struct exit_head {
    unsigned int kind;
    unsigned int pid;  // of the process (the kernel's tgid), in the initial pid namespace
};

struct exit_begin {
    struct exit_head head;
    char comm[16];
    unsigned long long stack[EXIT_STACK_DEPTH];  // of the thread that died last, innermost first; 0: the end
};

// What is not a path says which name the kernel would print.
enum exit_name { EXIT_NO_NAME, EXIT_PATH, EXIT_PSEUDO_PATH, EXIT_HEAP, EXIT_STACK, EXIT_VDSO };

struct exit_mapping {
    struct exit_head head;
    unsigned long long start, end, flags, offset, inode;  // flags: VM_READ 1, VM_WRITE 2, VM_EXEC 4, VM_MAYSHARE 0x80
    unsigned int device;                                  // the kernel's own: minor in the low 20 bits
    unsigned short name;                                  // enum exit_name
    unsigned char deleted;                                // the file has no link any more
    unsigned char too_long;                               // path is cut off
    unsigned int path_size;
    char path[EXIT_PATH_SIZE + EXIT_NAME_SIZE];  // the components, last one first, each with its NUL
};

struct exit_end {
    struct exit_head head;
    unsigned int mappings;  // how many were seen; fewer have arrived where the ring buffer was full
    int error;              // why none could be: -EBUSY, where another held the address space's lock for writing
};
