#!/bin/sh
# The command line, from outside: cli.sh PROCMAP. Exit status 0: passed, 1: failed. What cannot be checked here is printed as
# "skipped".
set -u
case $1 in
    */*) procmap=$(cd "$(dirname "$1")" && pwd)/$(basename "$1") ;;
    *) procmap=$(command -v "$1") ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
strange=$here/data/strange_process.maps
work=$(mktemp -d) || exit 1
sleep 600 &
target=$!
deep=
trap 'kill $target $deep; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

failures=0
checks=0

# check NAME COMMAND...
check() {
    name=$1
    shift
    checks=$((checks + 1))
    "$@" && return
    echo "not ok $name"
    failures=$((failures + 1))
}

# exits STATUS ARGUMENT...: what procmap prints goes to $work/out and $work/err
exits() {
    wanted=$1
    shift
    "$procmap" "$@" >"$work/out" 2>"$work/err"
    status=$?
    [ $status -eq "$wanted" ] || echo "# procmap $*: exit status $status, not $wanted" >&2
    [ $status -eq "$wanted" ]
}

out_is() { printf '%s\n' "$@" | cmp -s - "$work/out"; }
out_is_file() { cmp -s "$1" "$work/out"; }
out_has() { grep -qF -e "$1" "$work/out"; }
out_is_empty() { [ ! -s "$work/out" ]; }
err_has() { grep -qF -e "$1" "$work/err"; }
err_is_empty() { [ ! -s "$work/err" ]; }
fails() { ! "$@"; }

# The target has executed sleep, and sleeps: its maps stand still.
until [ "$(cat /proc/$target/comm)" = sleep ] && grep -q '^State:.*S' /proc/$target/status; do :; done
grep -v '\[vsyscall\]$' /proc/$target/maps >"$work/maps"
stack=$(sed -n 's/-.*\[stack\]$//p' "$work/maps")
stack_line=$(grep '\[stack\]$' "$work/maps")
first_line=$(head -n 1 "$work/maps")
first=${first_line%%-*}

backends=text
if "$procmap" list --backend ioctl >"$work/out" 2>&1; then backends="ioctl text"; else echo "skipped: --backend ioctl"; fi

# list prints what the kernel does.
for backend in auto $backends; do
    check "list, $backend" exits 0 list --backend "$backend" $target
    check "list is /proc/PID/maps, $backend" out_is_file "$work/maps"
    check "list is silent otherwise, $backend" err_is_empty
    check "list PID/TID, $backend" exits 0 list --backend "$backend" $target/$target
    check "list PID/TID is the same, $backend" out_is_file "$work/maps"
done
check "list: self is the default" exits 0 list
check "list: self is procmap" out_has "/$(basename "$procmap")"
check "list self" exits 0 list self
check "list self is procmap" out_has "/$(basename "$procmap")"

# Filters: mappings that are all that is asked for.
for backend in $backends; do
    check "list --executable, $backend" exits 0 list --backend "$backend" --executable $target
    grep '^[^ ]* ..x' "$work/maps" >"$work/wanted"
    check "list --executable is what is executable, $backend" out_is_file "$work/wanted"
    check "list --exec, $backend" exits 0 list --backend "$backend" $target --exec
    check "list --exec is the same, $backend" out_is_file "$work/wanted"
    check "list --readable --writable --file-backed, $backend" \
        exits 0 list --backend "$backend" --readable --writable --file-backed $target
    grep '^[^ ]* rw' "$work/maps" | grep -v ' 00:00 0 ' >"$work/wanted"
    check "list --readable --writable --file-backed is all three, $backend" out_is_file "$work/wanted"
done

# Recorded text comes out as it went in.
check "list --from FILE" exits 0 list --from "$strange"
check "list --from FILE is the file" out_is_file "$strange"
check "list --from FILE is silent otherwise" err_is_empty
check "list --from -" exits 0 list --from - <"$strange"
check "list --from - is standard input" out_is_file "$strange"
check "list --from --shared" exits 0 list --from "$strange" --shared
grep -a '^[^ ]* ...s' "$strange" >"$work/wanted"
check "list --from --shared is what is shared" out_is_file "$work/wanted"
echo '08048000-08056000 r-xp 00000000 03:0c 64593      /usr/sbin/gpm' >"$work/recorded32"
check "list --from a 32-bit kernel's" exits 0 list --from "$work/recorded32"
check "list --from a 32-bit kernel's is the file" out_is_file "$work/recorded32"
check "find --from takes addresses only" exits 0 find --from "$strange" 10000 0x7ffde011b000
check "find --from prints the lines" out_is '00010000-00011000 r--p 00000000 00:00 0 ' \
    '7ffde011b000-7ffde013c000 rw-p 00000000 00:00 0                          [stack]'
check "find --from, not mapped" exits 1 find --from "$strange" 0x11000
check "find --from --next" exits 0 find --from "$strange" --next 0x11000
check "find --from --next is the next" out_has '55880c24a000-55880c24b000 '
check "list --from a missing file" exits 3 list --from "$work/missing"
check "list --from a missing file names it" err_has "$work/missing: No such file or directory"
check "list --from a directory" exits 3 list --from "$work"

# A malformed line is said with its number and byte; the others are there.
{ head -n 2 "$strange"; echo '55880c24e000-55880c24f000 r--q 00004000 fe:00 1'; sed -n 4p "$strange"; } >"$work/bad"
sed 3d "$work/bad" >"$work/wanted"
byte=$(($(head -n 2 "$strange" | wc -c) + 29))
check "list --from, malformed" exits 3 list --from "$work/bad"
check "list --from, malformed: lines before and after" out_is_file "$work/wanted"
check "list --from, malformed: which" err_has "procmap: parse line 3 byte $byte: "
check "find --from, malformed" exits 3 find --from "$work/bad" 0x55880c24e000
check "find --from, malformed: answered" out_has '55880c24e000-'
check "find --from, malformed and not mapped" exits 3 find --from "$work/bad" 0x1

# find: the mapping, and which addresses have none.
for backend in auto $backends; do
    check "find, $backend" exits 0 find --backend "$backend" $target 0x"$stack" "$first"
    check "find prints the lines, $backend" out_is "$stack_line" "$first_line"
    check "find, not mapped, $backend" exits 1 find --backend "$backend" $target 0x10 0x"$stack"
    check "find answers the others, $backend" out_is "$stack_line"
    check "find says which is not mapped, $backend" err_has 'procmap: 0x10: no mapping there'
    check "find --next, $backend" exits 0 find --backend "$backend" --next $target 0x10
    check "find --next is the next, $backend" out_is "$first_line"
    check "find --next above all, $backend" exits 1 find --backend "$backend" --next $target 0xfffffffffffffffe
done
"$procmap" find $target "$first" 0x10 0x"$stack" >"$work/out" 2>&1
check "find: answers and complaints in order" out_is "$first_line" 'procmap: 0x10: no mapping there' "$stack_line"
check "find PID/TID" exits 0 find $target/$target "$stack"
check "find PID/TID prints the line" out_is "$stack_line"
check "find self" exits 0 find self --next 0
check "find: one that could be a PID is an address when it is alone" exits 1 find 16
check "find: it is hexadecimal" err_has 'procmap: 0x16: no mapping there'

# --json: an object a line.
check "find --json" exits 1 find --json --from "$strange" 0x10000 0x11000
check "find --json has the address" out_is \
    '{"address":"0x10000","start":"0x10000","end":"0x11000","permissions":"r--p","offset":"0x0","device":"00:00","inode":0,"page_size":null,"name":"","build_id":null}' \
    '{"address":"0x11000","mapping":null}'
check "find --json says what is not mapped" err_has 'procmap: 0x11000: no mapping there'
check "list --json --from" exits 0 list --json --from "$strange"
check "list --json: not UTF-8" out_has '"inode":10978512,"page_size":null,"name_bytes":"2f7661722f6c69622f737472616e67652f696e76fffe75746638",'
check "list --json: UTF-8" out_has '"name":"/var/lib/strange/日本.so"'
check "list --json: control characters" out_has '"name":"/var/lib/strange/bell\u0007\u001b[31mred"'
check "list --json: recorded names are the text's" out_has '"name":"/var/lib/strange/new\\012line"'
printf '1000-2000 r--p 00000000 00:00 0 %b\n' 'a"b\\c' '\0355\0240\0200' '\0340\0200\0200' '\0364\0220\0200\0200' '\0342\0202' \
    '\0360\0237\0230\0200' >"$work/names"
check "list --json, names" exits 0 list --json --from "$work/names"
check "list --json: quotes and backslashes" out_has '"name":"a\"b\\c"'
check "list --json: surrogates are not UTF-8" out_has '"name_bytes":"eda080"'
check "list --json: overlong forms are not UTF-8" out_has '"name_bytes":"e08080"'
check "list --json: above U+10FFFF is not UTF-8" out_has '"name_bytes":"f4908080"'
check "list --json: a cut sequence is not UTF-8" out_has '"name_bytes":"e282"'
check "list --json: four bytes are UTF-8" out_has '"name":"😀"'

# --json: all there is, and valid: the maps text can be made of it.
cat >"$work/to_maps.py" <<'END'
import json, sys
for line in sys.stdin.buffer:
    m = json.loads(line)
    name = bytes.fromhex(m["name_bytes"]) if "name_bytes" in m else m["name"].encode()
    assert list(m) == ["start", "end", "permissions", "offset", "device", "inode", "page_size",
                       "name_bytes" if "name_bytes" in m else "name", "build_id"], m
    assert m["page_size"] is None or m["page_size"] >= 4096, m
    assert m["build_id"] is None or len(bytes.fromhex(m["build_id"])) > 0, m
    head = "%08x-%08x %s %08x %s %d " % (int(m["start"], 16), int(m["end"], 16), m["permissions"], int(m["offset"], 16),
                                         m["device"], m["inode"])
    sys.stdout.buffer.write((head.ljust(73).encode() + name if name else head.encode()) + b"\n")
END
maps_of_json() { python3 "$work/to_maps.py" <"$work/out" | cmp -s - "$1"; }
valid_json() { python3 -c 'import json, sys; [json.loads(l) for l in sys.stdin]' <"$work/out"; }
if command -v python3 >"$work/python3"; then
    check "list --json --from" exits 0 list --json --from "$strange"
    check "list --json --from has it all" maps_of_json "$strange"
    for backend in $backends; do
        check "list --json, $backend" exits 0 list --json --backend "$backend" $target
        check "list --json has it all, $backend" maps_of_json "$work/maps"
        check "find --json, $backend" exits 1 find --json --backend "$backend" $target 0x10 "$stack"
        check "find --json is valid, $backend" valid_json
    done
    check "probe --json" exits 0 probe --json
    check "probe --json is valid" valid_json
else
    echo "skipped: whether JSON is valid, without python3"
fi

# --json asks for build IDs where that is known to be safe.
sleep_id=$(readelf -n "$(command -v sleep)" 2>"$work/err" | sed -n 's/.*Build ID: //p')
if [ -n "$sleep_id" ] && [ "$backends" != text ] && "$procmap" probe | grep -q '^hazards *none$'; then
    check "list --json, build IDs" exits 0 list --json --executable --file-backed $target
    check "list --json: the build ID" out_has "\"build_id\":\"$sleep_id\"}"
    check "find --json, build IDs" exits 0 find --json $target "$first"
    check "find --json: the build ID" out_has "\"build_id\":\"$sleep_id\"}"
else
    echo "skipped: build IDs"
fi

# A name that the ioctl cannot give is left out, which is said; the text has it.
if [ -s "$work/python3" ] && [ "$backends" != text ]; then
    cat >"$work/deep.py" <<'END'
import mmap, os, sys, time
ready = sys.argv[1] + "/ready"
os.chdir(sys.argv[1])
for _ in range(21):
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
file = os.open("file", os.O_RDWR | os.O_CREAT)
os.ftruncate(file, 4096)
memory = mmap.mmap(file, 4096)
os.close(os.open(ready, os.O_CREAT))
time.sleep(600)
END
    python3 "$work/deep.py" "$work" &
    deep=$!
    until [ -e "$work/ready" ] || ! kill -0 $deep; do :; done
    line=$(grep 'ddd/file$' /proc/$deep/maps)
    range=${line%% *}
    start=${range%-*}
    check "a name too long" exits 0 find --backend ioctl $deep 0x"$start"
    check "a name too long: the line" out_has "$range "
    check "a name too long: no name in it" fails out_has /file
    check "a name too long: which, and what to do" grep -q "^procmap: $range: .*too long.*--backend text" "$work/err"
    check "a name too long, list" exits 0 list --backend ioctl $deep
    check "a name too long, list: said once" [ "$(grep -c "^procmap: $range: " "$work/err")" -eq 1 ]
    check "a name too long, --json" exits 0 find --backend ioctl --json $deep 0x"$start"
    check "a name too long, --json: null" out_has '"name":null,'
    check "a name too long, text" exits 0 find --backend text $deep 0x"$start"
    check "a name too long, text: the line" out_is "$line"
    check "a name too long, text: nothing is said" err_is_empty
else
    echo "skipped: names that are too long for the ioctl"
fi

# probe
check "probe" exits 0 probe
check "probe: the kernel" out_has "$(uname -r)"
check "probe --json" exits 0 probe --json
check "probe --json: the kernel" out_has "{\"kernel\":\"$(uname -r)\","
check "probe without a procfs" exits 3 probe --proc "$work/missing"
check "probe without a procfs says so" err_has 'procmap: open maps of this process: '

# --proc: another procfs, here a tree of regular files, which have no ioctl.
mkdir -p "$work/proc/self" "$work/proc/42" "$work/proc/43" "$work/proc/44"
sed '$d' "$strange" | grep -av 012 >"$work/proc/self/maps"
cp "$work/proc/self/maps" "$work/proc/42/maps"
check "list --proc" exits 0 list --proc "$work/proc"
check "list --proc is that" out_is_file "$work/proc/self/maps"
check "list --proc PID" exits 0 list --proc "$work/proc" 42
check "list --proc PID is that" out_is_file "$work/proc/self/maps"
check "list --proc --backend ioctl" exits 3 list --proc "$work/proc" --backend ioctl
check "list --proc --backend ioctl: nothing listed" out_is_empty
check "list --proc --backend ioctl: why" err_has '[ENOTTY]'

# A list that breaks off is not passed off as whole.
head -c 120 "$strange" >"$work/proc/43/maps"
: >"$work/proc/44/maps"
check "list, broken off" exits 3 list --proc "$work/proc" 43
check "list, broken off: what was read" out_is "$(head -n 1 "$strange")"
check "list, broken off: why" err_has 'procmap: parse maps of process 43 line 2 byte '
check "list, nothing to read" exits 3 list --proc "$work/proc" 44
check "list, nothing to read: why" err_has 'procmap: read maps of process 44: '

# The column of a 32-bit kernel's names, which a 32-bit program finds out.
if [ "$(od -An -tu1 -j4 -N1 "$procmap" | tr -d ' ')" = 1 ]; then
    cp "$work/recorded32" "$work/proc/self/maps"
    check "list, 32-bit" exits 0 list --proc "$work/proc"
    check "list, 32-bit: the kernel's column" out_is_file "$work/proc/self/maps"
fi

# No such process.
check "list, no such process" exits 3 list 2147483647
check "list, no such process: said" err_has 'procmap: open maps of process 2147483647: no such process'
check "find, no such process" exits 3 find 2147483647 0x10
check "find, no such process: said" err_has 'no such process'
check "list, no such thread" exits 3 list $target/2147483647

# Usage.
check "no command" exits 2
check "no such command" exits 2 lst
check "no such command: the hint" err_has "Try 'procmap --help'."
for wrong in "list --no-such" "list --next" "list 1 2" "list 0" "list -- -1" "list 1/" "list 1x" "list 99999999999" \
    "list --backend" "list --backend quick" "list --from $strange 1" "find" "find self" "find $target 0x" "find zz" \
    "find 0x11111111111111111" "find $target self" "find --from $strange" "find --exec 0x10" "probe self" "probe --from -"; do
    # shellcheck disable=SC2086  # words
    check "usage: $wrong" exits 2 $wrong
    check "usage: $wrong: the hint" err_has "Try 'procmap ${wrong%% *} --help'."
    check "usage: $wrong: nothing else" out_is_empty
done
for command in "" list find probe; do
    check "$command --help" exits 0 $command --help
    check "$command --help: usage" out_has "usage: procmap ${command:-COMMAND}"
done

# The version is the header's.
version=$(sed -n 's/^#define PROCMAP_VERSION_[A-Z]* \([0-9]*\)$/\1/p' "$here/../include/procmap/version.hpp" | paste -s -d . -)
check "--version" exits 0 --version
check "--version is the header's" out_is "procmap $version"

# Output that cannot be written.
if [ -c /dev/full ]; then
    for command in "list --from $here/data/realistic_10k.maps" "find self --next 0" probe --help "list --help" --version; do
        # shellcheck disable=SC2086  # words
        "$procmap" $command >/dev/full 2>"$work/err"
        check "$command >/dev/full" [ $? -eq 3 ]
        check "$command >/dev/full: why" err_has 'procmap: write standard output: No space left on device'
    done
else
    echo "skipped: /dev/full"
fi
"$procmap" list --from "$here/data/realistic_10k.maps" 2>"$work/err" | head -n 1 >"$work/out"
check "a closed pipe" err_is_empty
(trap '' PIPE; "$procmap" list --from "$here/data/realistic_10k.maps" 2>"$work/err") | head -n 1 >"$work/out"
check "a closed pipe, SIGPIPE ignored" err_is_empty

# No colours where they are not wanted.
escape=$(printf '\033')
check "list, not a terminal" exits 0 list $target
check "list, not a terminal: no colours" fails out_has "$escape"
if command -v script >"$work/script"; then
    script -qc "NO_COLOR=1 '$procmap' list $target" /dev/null </dev/null >"$work/out" 2>&1
    check "NO_COLOR, a terminal" out_has '[stack]'
    check "NO_COLOR, a terminal: no colours" fails out_has "$escape"
else
    echo "skipped: NO_COLOR on a terminal, without script"
fi

echo "$checks checks, $failures failed"
[ $failures -eq 0 ]
