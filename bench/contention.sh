#!/bin/sh
# bench/contention.sh [RELEASE...]: prints the table rows of bench/contention.cpp for the running kernel and for each RELEASE, booted
# in qemu with two processors. RELEASE is a prefix of a release that tests/kernels/run has downloaded; the default is 6.12 and 7.
# Because qemu emulates the processors, only the ratios in a row are meaningful. If a kernel cannot be measured, prints the reason
# below the table.
set -eu
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/procmap/kernels/amd64
[ $# -gt 0 ] || set -- 6.12 7
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cannot() {
    printf '\nOther kernels were not measured: %s\n' "$1"
    exit 0
}

"${CXX:-c++}" -std=c++20 -O2 -static -Iinclude bench/contention.cpp -o "$work/init"
echo '| Linux | query | alone | slowdown of queries | slowdown of mmap | waits per 1,000 queries | per 1,000 mmaps |'
echo '|---|---|--:|--:|--:|--:|--:|'
"$work/init"
command -v qemu-system-x86_64 >/dev/null || cannot 'no qemu-system-x86_64 (package qemu-system-x86)'
command -v cpio >/dev/null || cannot 'no cpio'
(cd "$work" && mkdir dev && mknod dev/console c 5 1 && find init dev | cpio -o -H newc -R 0:0 --quiet) >"$work/initramfs" ||
    cannot 'cannot create /dev/console for the guest: this requires root'
for release in "$@"; do
    kernel=$(find "$cache" -maxdepth 1 -name "$release*-cloud-amd64" 2>/dev/null | sort -V | tail -n 1)
    [ -n "$kernel" ] || cannot "$cache has no $release: run tests/kernels/run $release"
    timeout 600 qemu-system-x86_64 -machine pc -cpu max,la57=off -accel tcg,thread=multi -smp 2 -m 512M -nodefaults \
        -no-user-config -display none -monitor none -serial "file:$work/log" -no-reboot -kernel "$kernel" \
        -initrd "$work/initramfs" \
        -append 'console=ttyS0 tsc=reliable no_timer_check mitigations=off quiet panic=-1 nokaslr' </dev/null >"$work/qemu" 2>&1 ||
        cannot "qemu: $(tail -n 1 "$work/qemu")"
    tr -d '\r' <"$work/log" | grep '^| ' || cannot "$release printed no results: $(tail -n 3 "$work/log")"
done
