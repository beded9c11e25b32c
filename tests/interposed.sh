#!/bin/sh
# interposed.sh LIBRARY.o FAULTS.o...: every function of the C library that the headers call is one that tests/faults/main.cpp makes fail,
# or one that cannot fail; names with a dot are the compiler's own. LIBRARY.o has every inline function of the headers in it, each in a
# section of its own.
set -eu
cannot_fail='getpid|sched_yield|sysconf|sigfillset|sigdelset|pthread_setcancelstate|munmap'
reported='write'   # of a misuse, before it aborts
in_a_child='clone'  # of close_elsewhere, where it falls back to closing the descriptor itself
no_system_call='mem(cpy|move|set|cmp|chr)|strlen|abort|__(errno_location|stack_chk_fail|popcountdi2)|__cxa_.*|__gxx_.*|_Unwind_Resume|__dso_handle'
library=$1
shift
fails=$(nm --defined-only "$@" | sed -n 's/.* T //p' | sort -u)
called=$(readelf -rW "$library" | awk '
    /^Relocation section/ { ours = /\.text[^ ]*7procmap/ }
    ours && /^[0-9a-f]+ / && $5 !~ /^_Z|\./ { print $5 }' | grep -Ev "^($cannot_fail|$reported|$in_a_child|$no_system_call)\$" | sort -u)
for needed in ioctl openat pread close statx sendmsg; do  # or this would look at the wrong object
    echo "$called" | grep -qx "$needed" || { echo "$library does not call $needed" >&2; exit 1; }
done
status=0
for name in $called; do
    echo "$fails" | grep -qx "$name" || { echo "the headers call $name, which tests/faults/main.cpp does not make fail" >&2; status=1; }
done
echo "called: $called"
exit "$status"
