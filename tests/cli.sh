#!/bin/sh
# The command line, from outside: cli.sh PROCMAP. Exit status 0: passed, 1: failed. What cannot be checked here is printed as
# "skipped".
set -u
case $1 in
    */*) procmap=$(cd "$(dirname "$1")" && pwd)/$(basename "$1") ;;
    *) procmap=$(command -v "$1") ;;
esac
export procmap # for what runs on a terminal
here=$(cd "$(dirname "$0")" && pwd)
strange=$here/data/strange_process.maps
work=$(mktemp -d) || exit 1
sleep 600 &
target=$!
deep=
mapper=
zombie=
trap 'kill $target $deep $mapper $zombie; rm -rf "$work"' EXIT
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
out_has_not() { ! out_has "$1"; }
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
# A pseudo-terminal can be had: not so in every container.
has_terminal() { [ "$(script -qc 'echo yes' /dev/null </dev/null 2>"$work/script" | tr -d '\r')" = yes ]; }

if "$procmap" list --backend ioctl >"$work/out" 2>&1; then backends="ioctl text"; else echo "NOT INCLUDED: cli: --backend ioctl"; fi

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

# A TARGET in place of a command is listed.
for place in $target $target/$target; do
    check "TARGET" exits 0 "$place"
    check "TARGET is list TARGET" out_is_file "$work/maps"
done
check "self" exits 0 self
check "self is procmap" out_has "/$(basename "$procmap")"
check "TARGET --summary" exits 0 $target --summary
check "TARGET --summary is that" out_has 'kind              mappings        size'
check "TARGET, two" exits 2 $target 1
check "TARGET, two: said" err_has 'procmap: expected at most one target'
check "TARGET, an option of another command" exits 2 $target --next
check "TARGET, an option of another command: said" err_has "procmap: option '--next' is not valid for list"
check "TARGET, invalid" exits 2 1x
check "TARGET, invalid: said" err_has "procmap: invalid target '1x': expected self, PID or PID/TID"

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

# What a snapshot and smaps say of a mapping in the lines after it.
cat >"$work/keyed" <<'END'
00001000-00002000 r--p 00000000 fe:00 7                                  /lib/one
Size:                  4 kB
KernelPageSize:        4 kB
VmFlags: rd mr mw me sd 
THPeligible:           0
BuildID:           0123abcd
00003000-00003000 ---p 00000000 00:00 0                                  [page size compat]
KernelPageSize:        4 kB
00004000-00005000 r--p 00000000 fe:00 8                                  /lib/new\012line
NameBytes:         2f6c69622f6e65770a6c696e65
00005000-00006000 r--p 00000000 fe:00 9                                  /lib/lit\012eral
Name:           [anon:scudo]
00006000-00007000 r--p 00000000 fe:00 10 
NameState:         too_long
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
KernelPageSize:        4 kB
END
check "list --from a snapshot" exits 0 list --from "$work/keyed"
grep '^[0-9a-f]*-' "$work/keyed" >"$work/wanted"
check "list --from a snapshot: its mappings' lines as recorded" out_is_file "$work/wanted"
check "list --from a snapshot is silent otherwise" err_is_empty
check "list --json --from a snapshot" exits 0 list --json --from "$work/keyed"
check "list --json --from a snapshot: page size and build ID" out_has '"page_size":4096,"name":"/lib/one","build_id":"0123abcd"}'
check "list --json --from a snapshot: NameBytes is exact" out_has '"name":"/lib/new\u000aline","build_id":null}'
check "list --json --from a snapshot: a name that may be another" \
    out_has '"name":"/lib/lit\u000aeral","build_id":null,"name_ambiguous":true}'
check "list --json --from a snapshot: a name that is not known" out_has '"inode":10,"page_size":null,"name":null,"build_id":null}'
check "list --json --from a snapshot: each line" [ "$(wc -l <"$work/out")" -eq 6 ]
check "list --summary --from a snapshot" exits 0 list --summary --from "$work/keyed"
check "list --summary --from a snapshot: what is a mapping" out_has 'total                    4    16.0 KiB'
check "find --json --from a snapshot" exits 0 find --json --from "$work/keyed" 1fff
check "find --json --from a snapshot: page size and build ID" out_is '{"address":"0x1fff","start":"0x1000","end":"0x2000","permissions":"r--p","offset":"0x0","device":"fe:00","inode":7,"page_size":4096,"name":"/lib/one","build_id":"0123abcd"}'
check "find --from: a range of zero length holds nothing" exits 1 find --from "$work/keyed" 3000
check "find --from --next: nor is it the next" exits 0 find --next --from "$work/keyed" 2000 3000 2fff
check "find --from --next: the next that is one" [ "$(grep -c '^00004000-' "$work/out")" -eq 3 ]
check "normalize --from: a range of zero length holds nothing" exits 1 normalize --from "$work/keyed" 3000
{ sed -n 4p "$work/keyed"; cat "$work/keyed"; echo 'KernelPageSize: x'; sed -n 2p "$work/keyed"; echo nonsense; echo 'BuildID: x'
    sed -n 1p "$work/keyed"; } >"$work/keyed_bad"
check "list --from a snapshot, malformed" exits 3 list --from "$work/keyed_bad"
{ cat "$work/wanted"; head -n 1 "$work/wanted"; } | cmp -s - "$work/out"
check "list --from a snapshot, malformed: all mappings" [ $? -eq 0 ]
check "list --from a snapshot, malformed: which lines" \
    [ "$(sed 's/.* line \([0-9]*\), .*/\1/' "$work/err" | paste -s -d ' ' -)" = "1 18 20" ]
printf '%s\n' '00005000-00007000 r--p 00000000 00:00 0 [second]' '00001000-00003000 r--p 00000000 00:00 0 [third]' \
    '00002000-00006000 r--p 00000000 00:00 0 [first]' '00001000-00002000 r--p 00000000 00:00 0 [fourth]' >"$work/unordered"
check "find --from, in no order" exits 0 find --next --from "$work/unordered" 2fff 3000 5000 0 1800
check "find --from, in no order: the first line that holds it, or the first that begins next above" \
    [ "$(sed 's/.*\[//' "$work/out" | paste -s -d ' ' -)" = 'third] first] second] third] third]' ]

# smaps_rollup is said to be that.
printf '%s\n' '00400000-7ffde1000000 ---p 00000000 00:00 0                              [rollup]' 'Rss:                1234 kB' >"$work/rollup"
for command in "list --from $work/rollup" "list --json --from $work/rollup" "list --summary --from $work/rollup" \
    "find --from $work/rollup 400000" "normalize --from $work/rollup 400000" "snapshot --from $work/rollup" "diff $work/rollup self" \
    "diff self $work/rollup"; do
    # shellcheck disable=SC2086  # words
    check "$command" exits 3 $command
    check "$command: what it is" err_has "procmap: $work/rollup: line 1: smaps_rollup text lists no mappings; use maps or smaps"
    check "$command: once" [ "$(wc -l <"$work/err")" -eq 1 ]
    check "$command: nothing else" out_is_empty
done

check "list --from a missing file" exits 3 list --from "$work/missing"
check "list --from a missing file names it" err_has "$work/missing: No such file or directory"
check "list --from a directory" exits 3 list --from "$work"
check "list --from a directory: said" err_has "procmap: cannot read $work: Is a directory"
check "list --from a directory: once" [ "$(wc -l <"$work/err")" -eq 1 ]
check "list --from an empty file" exits 0 list --from /dev/null
check "list --from an empty file has no mappings" out_is_empty

# What is not maps text is named in one line, with what reads it.
mkdir "$work/foreign"
head -c 100000 /dev/zero >"$work/zeros"
foreign() { cat - "$work/zeros" >"$work/foreign/$1"; }
printf '\177ELF\002\001\001\0\0\0\0\0\0\0\0\0\004\0\n1\n' | foreign core
printf '\177ELF\002\002\001\0\0\0\0\0\0\0\0\0\0\004\n1\n' | foreign core_big_endian
cp "$procmap" "$work/foreign/program"
printf '\177ELF' >"$work/foreign/short"
printf 'PERFILE2\n1\n' | foreign perf.data
printf '\037\213\010\n1\n' | foreign gz
printf '\3757zXZ\000\n1\n' | foreign xz
printf '\050\265\057\375\n1\n' | foreign zst
printf '\001\0\0\0\n1\n' | foreign binary
"$procmap" list --json --from "$strange" >"$work/foreign/json"
cp "$work/foreign/json" "$work/foreign/other"
sed -i '1s/^/x/' "$work/foreign/other"
printf '%s\n' '563eaa8c4000 default file=/usr/bin/head mapped=2 N0=2 kernelpagesize_kB=4' '563eaa8c6000 default' >"$work/foreign/numa_maps"
printf '%s\n' '563eaa8c4000 bind:0-1 anon=2' '563eaa8c6000 default' >"$work/foreign/numa_bind"
printf '\n\n' >"$work/foreign/blank"
text='not maps, smaps or snapshot text'
for file in "$work"/foreign/*; do
    case $file in
        */core*) what="is an ELF core file, $text; gdb, readelf -n and eu-unstrip -n read it" ;;
        */program | */short) what="is an ELF program, library or object file, $text; readelf reads it" ;;
        */perf.data) what="is perf data, $text; perf script --show-mmap-events prints its mappings" ;;
        */gz) what="is compressed, $text; decompress it with gzip -d" ;;
        */xz) what="is compressed, $text; decompress it with xz -d" ;;
        */zst) what="is compressed, $text; decompress it with zstd -d" ;;
        */binary) what="is binary data, $text" ;;
        */json) what="is JSON, $text; procmap snapshot writes text that can be read back" ;;
        */numa*) what="is numa_maps text, $text; use maps or smaps" ;;
        *) what="is $text: line 1 is malformed at byte 0" ;;
    esac
    check "list --from ${file##*/}" exits 3 list --from "$file"
    check "list --from ${file##*/}: what it is" [ "$(cat "$work/err")" = "procmap: $file $what" ]
    check "list --from ${file##*/}: nothing else" out_is_empty
done
for command in "find --from - 1" "normalize --from - 1" "snapshot --from -" "diff self -" "diff - self"; do
    # shellcheck disable=SC2086  # words
    check "$command, a core file" exits 3 $command <"$work/foreign/core"
    check "$command, a core file: what it is" [ "$(cut -d, -f1 "$work/err")" = 'procmap: standard input is an ELF core file' ]
    check "$command, a core file: nothing else" out_is_empty
done
if truncate -s 3G "$work/foreign/core" 2>"$work/err"; then
    check "list --from a large core file" exits 3 list --from "$work/foreign/core"
    check "list --from a large core file: what it is" err_has 'is an ELF core file'
    rm "$work/foreign/core"
fi
# Malformed lines before the first mapping are errors of their own, as others are.
{ printf '%s\n' '{' x; cat "$strange"; } >"$work/bad"
check "list --from, malformed at first" exits 3 list --from "$work/bad"
check "list --from, malformed at first: the mappings" out_is_file "$strange"
check "list --from, malformed at first: each line" [ "$(wc -l <"$work/err")" -eq 2 ]

# A malformed line is said with its number and byte; the others are there.
{ head -n 2 "$strange"; echo '55880c24e000-55880c24f000 r--q 00004000 fe:00 1'; sed -n 4p "$strange"; } >"$work/bad"
sed 3d "$work/bad" >"$work/wanted"
byte=$(($(head -n 2 "$strange" | wc -c) + 29))
check "list --from, malformed" exits 3 list --from "$work/bad"
check "list --from, malformed: lines before and after" out_is_file "$work/wanted"
check "list --from, malformed: which" err_has "procmap: $work/bad: cannot parse line 3, byte $byte: "
check "find --from, malformed" exits 3 find --from "$work/bad" 0x55880c24e000
check "find --from, malformed: answered" out_has '55880c24e000-'
check "find --from, malformed and not mapped" exits 3 find --from "$work/bad" 0x1

# find: the mapping, and which addresses have none.
for backend in auto $backends; do
    check "find, $backend" exits 0 find --backend "$backend" $target 0x"$stack" "$first"
    check "find prints the lines, $backend" out_is "$stack_line" "$first_line"
    check "find, not mapped, $backend" exits 1 find --backend "$backend" $target 0x10 0x"$stack"
    check "find answers the others, $backend" out_is "$stack_line"
    check "find says which is not mapped, $backend" err_has 'procmap: 0x10: not mapped'
    check "find --next, $backend" exits 0 find --backend "$backend" --next $target 0x10
    check "find --next is the next, $backend" out_is "$first_line"
    check "find --next above all, $backend" exits 1 find --backend "$backend" --next $target 0xfffffffffffffffe
done
"$procmap" find $target "$first" 0x10 0x"$stack" >"$work/out" 2>&1
check "find: answers and complaints in order" out_is "$first_line" 'procmap: 0x10: not mapped' "$stack_line"
check "find PID/TID" exits 0 find $target/$target "$stack"
check "find PID/TID prints the line" out_is "$stack_line"
check "find self" exits 0 find self --next 0
check "find: one that could be a PID is an address when it is alone" exits 1 find 16
check "find: it is hexadecimal" err_has 'procmap: 0x16: not mapped'

# --json: an object a line.
check "find --json" exits 1 find --json --from "$strange" 0x10000 0x11000
check "find --json has the address" out_is \
    '{"address":"0x10000","start":"0x10000","end":"0x11000","permissions":"r--p","offset":"0x0","device":"00:00","inode":0,"page_size":null,"name":"","build_id":null}' \
    '{"address":"0x11000","mapping":null}'
check "find --json says what is not mapped" err_has 'procmap: 0x11000: not mapped'
check "list --json --from" exits 0 list --json --from "$strange"
check "list --json: not UTF-8" out_has '"inode":10978512,"page_size":null,"name_bytes":"2f7661722f6c69622f737472616e67652f696e76fffe75746638",'
check "list --json: UTF-8" out_has '"name":"/var/lib/strange/日本.so"'
check "list --json: control characters" out_has '"name":"/var/lib/strange/bell\u0007\u001b[31mred"'
check "list --json: recorded names are decoded, as live ones are, and said to be ambiguous" \
    out_has '"name":"/var/lib/strange/new\u000aline","build_id":null,"name_ambiguous":true}'
check "list --json: no others are" [ "$(grep -c name_ambiguous "$work/out")" -eq "$(grep -ac '\\012' "$strange")" ]
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
    ambiguous = m.pop("name_ambiguous", None)
    assert ambiguous is None or ambiguous is True, m
    assert ambiguous or b"\n" not in name, m
    name = name.replace(b"\n", b"\\012")
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
    echo "NOT INCLUDED: cli: whether JSON is valid, without python3"
fi

# find --json asks for build IDs where that is known to be safe, list --json only with --build-ids.
sleep_id=$(readelf -n "$(command -v sleep)" 2>"$work/err" | sed -n 's/.*Build ID: //p')
if [ -n "$sleep_id" ] && [ "$backends" != text ] && "$procmap" probe | grep -q '^hazards *none$'; then
    check "list --json" exits 0 list --json --executable --file-backed $target
    check "list --json: no build ID was asked for" out_has "\"build_id\":null}"
    check "list --json: nor was one given" out_has_not "\"build_id\":\""
    check "list --json --build-ids" exits 0 list --json --build-ids --executable --file-backed $target
    check "list --json --build-ids: the build ID" out_has "\"build_id\":\"$sleep_id\"}"
    check "find --json, build IDs" exits 0 find --json $target "$first"
    check "find --json: the build ID" out_has "\"build_id\":\"$sleep_id\"}"
else
    echo "NOT INCLUDED: cli: build IDs"
fi

# list --build-ids: those of the files, whoever can be asked, as readelf knows them.
id_of() { readelf -n "$1" 2>"$work/err" | sed -n 's/.*Build ID: //p'; }
while read -r range permissions offset device inode path; do
    printf '%s\n' "$range $permissions $offset $device $inode $path"
    case $path in /*) echo "BuildID: $(id_of "$path")" ;; esac
done <"$work/maps" | sed 's/ *$//' >"$work/wanted"
for backend in $backends; do
    check "list --build-ids, $backend" exits 0 list --build-ids --backend "$backend" $target
    cp "$work/out" "$work/identified"
    sed '/^BuildID:/d' "$work/identified" | cmp -s - "$work/maps"
    check "list --build-ids: the mappings are the same, $backend" [ $? -eq 0 ]
    # The vDSO's is in no file.
    sed -e 's/  */ /g' -e 's/ *$//' -e '/\[vdso\]$/{n;d;}' "$work/identified" | cmp -s - "$work/wanted"
    check "list --build-ids: they are readelf's, $backend" [ $? -eq 0 ]
    check "list --build-ids is a snapshot, $backend" exits 0 diff "$work/identified" $target
    check "list --build-ids is a snapshot of that, $backend" out_is_empty
    check "list --build-ids --executable, $backend" exits 0 list --build-ids --backend "$backend" --exec --file-backed $target
    check "list --build-ids --executable: the ID, $backend" out_has "BuildID:           $sleep_id"
    check "list --build-ids --executable: no others, $backend" fails out_has ' r--p '
    check "list --build-ids --json, $backend" exits 0 list --build-ids --json --backend "$backend" $target
    check "list --build-ids --json: the ID, $backend" out_has "\"build_id\":\"$sleep_id\"}"
done

# normalize: the file, offset + address - start, and readelf's build ID; an address of each mapping.
: >"$work/wanted"
addresses=
while read -r range permissions offset device inode path; do
    address=$(printf '0x%x' $((0x${range%-*} + 0x123)))
    case $path in
        /*) id=$(id_of "$path") && printf '%s %s+0x%x %s\n' "$address" "$path" $((0x$offset + 0x123)) "${id:--}" >>"$work/wanted" ;;
        *) continue ;;
    esac
    addresses="$addresses $address"
done <"$work/maps"
table_is_wanted() { awk '{ print $1, $2, $5 }' "$work/out" | cmp -s - "$work/wanted"; }
for backend in $backends; do
    # shellcheck disable=SC2086  # words
    check "normalize, $backend" exits 0 normalize --backend "$backend" $target $addresses
    check "normalize: path, offset and build ID, $backend" table_is_wanted
    check "normalize is silent otherwise, $backend" err_is_empty
    cp "$work/out" "$work/table"
    echo "$addresses" | tr ' ' '\n' >"$work/addresses"
    check "normalize, standard input, $backend" exits 0 normalize --backend "$backend" $target <"$work/addresses"
    check "normalize, standard input: the same, $backend" out_is_file "$work/table"
    check "normalize, not all mapped, $backend" exits 1 normalize --backend "$backend" $target 0x"$stack" 0x10 0x"$first"
    check "normalize, stack: why, $backend" out_has "0x$stack  no file: anonymous memory"
    check "normalize, not mapped: why, $backend" out_has '0x10            not mapped'
    check "normalize, not mapped: the others are there, $backend" out_has "+0x0  elf 0x0  $sleep_id"
    vdso=$(sed -n 's/-.*\[vdso\]$//p' "$work/maps")
    if [ -n "$vdso" ]; then
        check "normalize, vDSO, $backend" exits 0 normalize --backend "$backend" $target 0x"$vdso"
        check "normalize, vDSO: its own build ID, $backend" grep -qE '\[vdso\]\+0x0  elf 0x0  [0-9a-f]{16,}$' "$work/out"
    fi
done
{ printf '%s' "$first" | head -c 3; sleep 0.1; printf '%s\n' "$first" | tail -c +4; echo zz 0x10; } |
    "$procmap" normalize $target >"$work/out" 2>"$work/err"
check "normalize, standard input, malformed" [ $? -eq 3 ]
check "normalize, standard input, malformed: what" err_has "procmap: standard input: invalid address 'zz': expected a hexadecimal number of at most 64 bits"
check "normalize, standard input, an address that comes in two pieces" out_has "0x$first  "
check "normalize, standard input, malformed: those after it" out_has '0x10  not mapped'
check "normalize, standard input, nothing" exits 0 normalize $target </dev/null
check "normalize, standard input, nothing: nothing" out_is_empty
awk 'BEGIN { for (i = 1; i <= 10000; ++i) printf "%x%s", i, i % 7 ? " " : "\n" }' >"$work/many"
check "normalize, many" exits 1 normalize $target <"$work/many"
check "normalize, many: each" [ "$(grep -c 'not mapped$' "$work/out")" -eq 10000 ]
check "normalize --json" exits 1 normalize --json $target 0x10
check "normalize --json: nothing known" out_is '{"address":"0x10","file":null,"offset":null,"elf_address":null,"build_id":null,"build_id_source":null,"state":null,"reason":"not_mapped"}'
sleep_path=${first_line##* }
check "normalize --json, a file" exits 0 normalize --json $target 0x"$first"
check "normalize --json, a file: which" out_has "{\"address\":\"0x$first\",\"file\":\"$sleep_path\",\"offset\":\"0x0\",\"elf_address\":\"0x0\",\"build_id\":\"$sleep_id\",\"build_id_source\":\""
check "normalize --json, a file: its state" out_has '","state":"linked","reason":null}'
printf '%s\n' '1000-3000 r-xp 00002000 fe:00 7 /lib/one two' 'BuildID:           0123456789abcdef' \
    '5000-6000 r-xp 00000000 fe:00 8 /lib/new\012line' '7000-8000 r--p 00000000 fe:00 9 ' '9000-a000 r-xp 00000000 00:00 0 [vdso]' \
    'b000-c000 r--p 00000000 00:00 0 [vvar]' 'd000-e000 rw-p 00000000 00:00 0 [heap]' >"$work/recorded"
check "normalize --from a snapshot" exits 1 normalize --from "$work/recorded" 1fff 5000 7001 9002 b000 d000 f000
check "normalize --from a snapshot: it is all from there" out_is '0x1fff  /lib/one two+0x2fff   elf -  0123456789abcdef' \
    '0x5000  /lib/new\012line+0x0  elf -  -' '0x7001  (path not known)+0x1  elf -  -' '0x9002  [vdso]+0x2            elf -  -' \
    "0xb000  no file: the kernel's own memory" '0xd000  no file: anonymous memory' '0xf000  not mapped'
check "normalize --from -" exits 0 normalize --from - 1fff <"$work/recorded"
check "normalize --from --json" exits 0 normalize --json --from "$work/recorded" 1fff 5000 7001
check "normalize --from --json: the build ID is given, the name known or not" out_is \
    '{"address":"0x1fff","file":"/lib/one two","offset":"0x2fff","elf_address":null,"build_id":"0123456789abcdef","build_id_source":"given","state":null,"reason":null}' \
    '{"address":"0x5000","file":"/lib/new\u000aline","offset":"0x0","elf_address":null,"build_id":null,"build_id_source":null,"state":null,"reason":null}' \
    '{"address":"0x7001","file":null,"offset":"0x1","elf_address":null,"build_id":null,"build_id_source":null,"state":null,"reason":"name_unknown"}'
check "normalize --from --json, not UTF-8" exits 0 normalize --json --from "$strange" \
    "0x$(grep -a '/inv' "$strange" | head -n 1 | cut -d- -f1)"
check "normalize --from --json, not UTF-8: bytes" out_has '"file_bytes":"2f7661722f6c69622f737472616e67652f696e76fffe75746638",'

# compare: both do the same work, of which the system calls are counted as strace counts them.
calls_of() { sed -n "s/^{\"backend\":\"$1\".*\"system_calls\":\([0-9a-z]*\)}$/\1/p" "$work/out"; }
found_is() { [ "$(grep -c "\"addresses\":$1,\"found\":$2,\"mappings\":$(wc -l <"$work/maps"),\"runs\":$3," "$work/out")" -eq 2 ]; }
traced() { ASAN_OPTIONS=detect_leaks=0 strace "$@"; }  # LeakSanitizer cannot work under a tracer
traced_calls() { # SYSTEM-CALL ARGUMENT...: how often a run of compare makes it, opening included; eleven runs against one
    call=$1
    shift
    for runs in 1 11; do
        traced -o "$work/trace.$runs" -e "trace=$call" "$procmap" compare --count $runs "$@" >"$work/script" 2>&1 || return
    done
    echo $((($(grep -c "^$call(" "$work/trace.11") - $(grep -c "^$call(" "$work/trace.1")) / 10))
}
can_trace=
if [ "$backends" != text ]; then
    executable=$(grep '^[^ ]* ..x' "$work/maps" | grep -cv ' 00:00 0 ')
    all=$(wc -l <"$work/maps")
    can_trace=$(strace -o "$work/script" -e trace=none true 2>"$work/err" && echo yes)
    [ -n "$can_trace" ] || echo "NOT INCLUDED: cli: the system calls of compare, without strace"
    # Addresses: two in one mapping, one in another, one below all, one above all; four queries.
    for what in "" --all "0x$stack $first $(printf '%x' $((0x$first + 5))) 10 fffffffffffff000"; do
        case $what in "") found=$executable calls=$((executable + 1)) asked=0 ;; --all) found=$all calls=$((all + 1)) asked=0 ;;
            *) found=2 calls=3 asked=5 ;; esac
        # shellcheck disable=SC2086  # words
        check "compare $what" exits 0 compare --json --count 3 $target $what
        check "compare $what: what is found, of what" found_is $asked "$found" 3
        check "compare $what: queries" [ "$(calls_of ioctl)" = "$calls" ]
        [ -n "$can_trace" ] || continue
        # shellcheck disable=SC2086  # words
        check "compare $what: queries, and one to open" [ "$(traced_calls ioctl $target $what)" = $((calls + 1)) ]
        [ "$(calls_of text)" = null ] && echo "NOT INCLUDED: cli: the system calls of text, which this kernel does not count" && continue
        # shellcheck disable=SC2086  # words
        check "compare $what: reads, and one to open" [ "$(traced_calls pread64 $target $what)" = $(($(calls_of text) + 1)) ]
    done
    check "compare: the table" exits 0 compare $target
    check "compare: the table: of what" out_has "found by both: $executable of $all mappings (executable, of files); microseconds, "
    check "compare: the table: each back-end" [ "$(grep -cE '^(text|ioctl)( +[0-9.]+){3} +[0-9]+$' "$work/out")" -eq 2 ]
    check "compare: the table: in proportion" [ "$(awk '$1 == "text" { t = $3 } $1 == "ioctl" { i = $3 } $1 == "ratio" { r = $3 }
        END { print (t / i - r < 0.2 && r - t / i < 0.2) }' "$work/out")" = 1 ]
else
    check "compare without the ioctl" exits 3 compare $target
    check "compare without the ioctl: said" err_has 'PROCMAP_QUERY requires Linux 6.11'
fi

# The process goes away in the middle: what the kernel then answers is put in its mouth.
if [ -n "$can_trace" ]; then
    # gone_from NUMBER[+] ARGUMENT...: at that ioctl (+: and from there on), the first being that of opening
    gone_from() {
        from=$1
        shift
        traced -o "$work/script" -e "inject=ioctl:error=ESRCH:when=$from" "$procmap" "$@" >"$work/out" 2>"$work/err"
        [ $? -eq 3 ] && err_has "procmap: cannot query maps of process $target: no such process"
    }
    check "snapshot --build-ids, gone before they are known" gone_from 2+ snapshot --build-ids $target
    check "snapshot --build-ids, gone: nothing is written" out_is_empty
    check "list --build-ids, gone in the middle" gone_from 8+ list --build-ids --backend ioctl $target
    sed '/^BuildID:/d' "$work/out" >"$work/before"
    seen=$(wc -l <"$work/before")
    head -n "$seen" "$work/maps" | cmp -s - "$work/before" && [ "$seen" -ge 2 ]
    check "list --build-ids, gone in the middle: what came before" [ $? -eq 0 ]
    check "list, gone in the middle" gone_from 4+ list --backend ioctl $target
    check "list, gone in the middle: what came before" [ "$(wc -l <"$work/out")" -eq 2 ]
    check "compare, gone in the middle" gone_from 3+ compare $target
    check "compare, gone in the middle: nothing is measured" out_is_empty
    check "compare, gone while all are counted" gone_from $((executable + 4)) compare $target
    check "compare, gone while all are counted: nothing is measured" out_is_empty
else
    echo "NOT INCLUDED: cli: processes that go away in the middle, without strace or the ioctl"
fi

# A file that is deleted or replaced.
cp "$(command -v sleep)" "$work/sleeper"
"$work/sleeper" 600 &
deep=$!
until grep -q "$work/sleeper" /proc/$deep/maps && grep -q '^State:.*S' /proc/$deep/status; do :; done
sleeper=$(grep "$work/sleeper" /proc/$deep/maps | head -n 1 | cut -d- -f1)
rm "$work/sleeper"
check "normalize, deleted" exits 0 normalize $deep 0x"$sleeper"
check "normalize, deleted: marked" grep -q ' deleted$' "$work/out"
kill $deep
wait $deep 2>"$work/err"
deep=

# snapshot: maps text, with what is asked for besides; it reads back as what it was.
for backend in $backends; do
    check "snapshot, $backend" exits 0 snapshot --backend "$backend" $target
    check "snapshot is the maps text, $backend" out_is_file "$work/maps"
    check "snapshot --build-ids, $backend" exits 0 snapshot --build-ids --backend "$backend" $target
    check "snapshot --build-ids: as of list, $backend" out_is_file "$work/identified"
done
if [ "$backends" != text ]; then
    check "snapshot --page-sizes --build-ids" exits 0 snapshot --page-sizes --build-ids $target
    cp "$work/out" "$work/snapshot"
    check "snapshot --page-sizes: each" [ "$(grep -c '^KernelPageSize:  *[0-9]* kB$' "$work/out")" -eq "$(wc -l <"$work/maps")" ]
    check "snapshot --page-sizes --backend text" exits 3 snapshot --page-sizes --backend text $target
    check "snapshot --page-sizes --backend text: nothing is written" out_is_empty
else
    cp "$work/out" "$work/snapshot"
fi
check "snapshot --from a snapshot" exits 0 snapshot --from "$work/snapshot"
check "snapshot --from a snapshot is that" out_is_file "$work/snapshot"
check "snapshot --from malformed" exits 3 snapshot --from "$work/bad"
check "snapshot --from malformed: nothing is written" out_is_empty
check "snapshot --from malformed: where" err_has "procmap: $work/bad: cannot parse line 3, byte $byte: "
cp /proc/$target/smaps "$work/smaps"
for recorded in smaps snapshot; do
    check "list --from $recorded of the kernel" exits 0 list --from "$work/$recorded"
    grep -v '\[vsyscall\]$' "$work/out" | cmp -s - "$work/maps"
    check "list --from $recorded of the kernel: the lines of maps" [ $? -eq 0 ]
    check "list --from $recorded of the kernel: nothing is said" err_is_empty
    check "find --from $recorded of the kernel" exits 0 find --from "$work/$recorded" "$first" "$stack"
    check "find --from $recorded of the kernel: the lines of maps" out_is "$first_line" "$stack_line"
done
check "list --json --from a snapshot of the kernel's" exits 0 list --json --from "$work/snapshot"
check "list --json --from a snapshot of the kernel's: the build ID" out_has "\"build_id\":\"$sleep_id\"}"
check "list --json --from smaps" exits 0 list --json --from "$work/smaps"
check "list --json --from smaps: page sizes" fails out_has '"page_size":null'
if [ -r /proc/$target/smaps_rollup ]; then
    cat /proc/$target/smaps_rollup >"$work/rollup"
    check "list --from smaps_rollup of the kernel" exits 3 list --from "$work/rollup"
    check "list --from smaps_rollup of the kernel: what it is" err_has 'smaps_rollup text lists no mappings'
fi
check "snapshot --from smaps" exits 0 snapshot --from "$work/smaps"
sed '/^KernelPageSize/d' "$work/out" | cmp -s - "$work/maps"
check "snapshot --from smaps: the mappings" [ $? -eq 0 ]

# diff: a file or a process on either side.
for other in "$work/snapshot" "$work/smaps" "$work/maps" /proc/$target/maps $target/$target; do
    for backend in $backends; do
        check "diff $other PID, $backend" exits 0 diff --backend "$backend" "$other" $target
        check "diff $other PID: no change, $backend" out_is_empty
        check "diff PID $other, $backend" exits 0 diff --backend "$backend" $target "$other"
        check "diff PID $other: no change, $backend" out_is_empty
    done
done
check "diff - PID" exits 0 diff - $target <"$work/smaps"
check "diff - PID: no change" out_is_empty
check "diff self PID" exits 0 diff self $target
check "diff self PID: what was procmap's is unmapped" grep -q "^unmapped .*/$(basename "$procmap")\$" "$work/out"
check "diff self PID: what is sleep's is mapped" grep -q "^mapped .*$sleep_path\$" "$work/out"
cat >"$work/a" <<'END'
00010000-00012000 r--p 00000000 fe:00 7                                  /lib/one
00012000-00014000 r-xp 00002000 fe:00 7                                  /lib/one
00020000-00022000 rw-p 00000000 00:00 0 
00030000-00031000 rw-p 00000000 00:00 0                                  [anon:before]
00040000-00041000 r--p 00000000 fe:00 8                                  /lib/two
END
cat >"$work/b" <<'END'
00010000-00011000 r--p 00000000 fe:00 7                                  /lib/one
00011000-00012000 rw-p 00001000 fe:00 7                                  /lib/one
00012000-00013000 r-xp 00002000 fe:00 7                                  /lib/one
00013000-00014000 r-xp 00003000 fe:00 7                                  /lib/one
00021000-00023000 rw-p 00000000 00:00 0 
00030000-00031000 rw-p 00000000 00:00 0                                  [anon:after]
00040000-00041000 r--p 00000000 fe:00 9                                  /lib/two
END
check "diff, two files" exits 0 diff "$work/a" "$work/b"
check "diff, two files: the changes" out_is \
    'permissions 00011000-00012000 rw-p 00001000 fe:00 7                                  /lib/one' \
    'unmapped    00020000-00021000 rw-p 00000000 00:00 0 ' \
    'mapped      00022000-00023000 rw-p 00000000 00:00 0 ' \
    'name        00030000-00031000 rw-p 00000000 00:00 0                                  [anon:after]' \
    'backing     00040000-00041000 r--p 00000000 fe:00 9                                  /lib/two'
check "diff --json" exits 0 diff --json "$work/a" "$work/b"
check "diff --json: the first" [ "$(head -n 1 "$work/out")" = '{"kind":"permissions","start":"0x11000","end":"0x12000","permissions":"rw-p","offset":"0x1000","device":"fe:00","inode":7,"page_size":null,"name":"/lib/one","build_id":null}' ]
check "diff --json: each" [ "$(wc -l <"$work/out")" -eq 5 ]
printf '1000-2000 r--p 00000000 fe:00 7 \nNameState:         not_asked\n' >"$work/nameless"
check "diff --json, a name that is not known" exits 0 diff --json /dev/null "$work/nameless"
check "diff --json, a name that is not known: null" out_has '"name":null,'
check "diff, malformed" exits 3 diff "$work/bad" $target
check "diff, malformed: nothing is written" out_is_empty
check "diff, malformed: where" err_has "procmap: $work/bad: cannot parse line 3, byte $byte: "
check "diff, a missing file" exits 3 diff "$work/missing" $target
check "diff, a missing file: which" err_has "procmap: cannot read $work/missing: No such file or directory"
(cd "$work" && cp b self && cp b 2147483647 && "$procmap" diff a self) >"$work/out" 2>"$work/err"
check "diff: a name that exists is a file" [ "$(wc -l <"$work/out")" -eq 5 ]
(cd "$work" && "$procmap" diff a 2147483647) >"$work/out" 2>"$work/err"
check "diff: digits alone are a PID" [ $? -eq 3 ]
check "diff: which does not exist" err_has 'procmap: cannot open maps of process 2147483647: no such process'
(cd /proc && "$procmap" diff self $target) >"$work/out" 2>"$work/err"
check "diff: a directory is no file" [ $? -eq 0 ]

# list --summary: the sum is that of all mappings.
printf '%s\n' '00100000-00200000 r-xp 00000000 fe:00 7 /lib/one' '00200000-00280000 r--p 00100000 fe:00 7 /lib/one' \
    '00300000-00301000 rw-p 00000000 00:00 0 ' '00310000-003d0000 rw-p 00000000 00:00 0 [anon:mine]' \
    '10000000000-14000000000 ---s 00000000 00:01 9 /memfd:x (deleted)' '90000000-900ffc00 rw-p 00000000 00:00 0 [heap]' >"$work/kinds"
check "list --summary" exits 0 list --summary --from "$work/kinds"
check "list --summary: the picture" out_is 'kind              mappings        size' \
    'memfd                    1   256.0 GiB  ########################################' \
    'file                     2     1.5 MiB  #' 'heap                     1  1023.0 KiB  #' 'named anonymous          1   768.0 KiB  #' \
    'anonymous                1     4.0 KiB  #' 'total                    6   256.0 GiB'
sed 5d "$work/kinds" >"$work/fewer"
check "list --summary, bars" exits 0 list --summary --from "$work/fewer"
check "list --summary, bars: in proportion" out_has 'named anonymous          1   768.0 KiB  ####################'
check "list --summary, bars: not more" fails out_has '768.0 KiB  #####################'
check "list --summary --json" exits 0 list --summary --json --from "$work/kinds"
check "list --summary --json: the kinds" out_is '{"kind":"memfd","mappings":1,"size":274877906944}' \
    '{"kind":"file","mappings":2,"size":1572864}' '{"kind":"heap","mappings":1,"size":1047552}' \
    '{"kind":"named_anonymous","mappings":1,"size":786432}' '{"kind":"anonymous","mappings":1,"size":4096}'
size=0
while read -r range rest; do size=$((size + 0x${range#*-} - 0x${range%-*})); done <"$work/maps"
for backend in $backends; do
    check "list --summary, live, $backend" exits 0 list --summary --backend "$backend" $target
    check "list --summary: all mappings, $backend" \
        [ "$(sed -n 's/^total  *\([0-9]*\) .*/\1/p' "$work/out")" -eq "$(wc -l <"$work/maps")" ]
    check "list --summary: 80 columns, $backend" [ "$(awk '{ print length }' "$work/out" | sort -n | tail -n 1)" -le 80 ]
    check "list --summary --json, live, $backend" exits 0 list --summary --json --backend "$backend" $target
    sum=$(($(sed 's/.*"size":\([0-9]*\)}/\1/' "$work/out" | paste -s -d + -)))
    check "list --summary --json: the sum of their sizes, $backend" [ "$sum" -eq "$size" ]
done
check "list --summary --executable" exits 0 list --summary --exec --from "$work/kinds"
check "list --summary --executable: only those" out_has 'total                    1     1.0 MiB'

# list --long: a table with the sizes, whose columns stand below each other.
cat >"$work/wanted" <<'END'
address                          size  perms  offset    kind             name
00100000-00200000             1.0 MiB  r-xp   0x0       file             /lib/one
00200000-00280000           512.0 KiB  r--p   0x100000  file             /lib/one
00300000-00301000             4.0 KiB  rw-p   -         anonymous        -
00310000-003d0000           768.0 KiB  rw-p   -         named anonymous  [anon:mine]
10000000000-14000000000     256.0 GiB  ---s   0x0       memfd            /memfd:x (deleted)
90000000-900ffc00          1023.0 KiB  rw-p   -         heap             [heap]
END
check "list --long" exits 0 list --long --from "$work/kinds"
check "list --long: the table" out_is_file "$work/wanted"
check "list --long is silent otherwise" err_is_empty
check "list --long --writable" exits 0 list --long --writable --from "$work/kinds"
check "list --long --writable: only those, and the header" \
    [ "$(awk '{ print $1 }' "$work/out" | paste -s -d ' ' -)" = 'address 00300000-00301000 00310000-003d0000 90000000-900ffc00' ]
check "list --long, one that is malformed" exits 3 list --long --from "$work/bad"
check "list --long, one that is malformed: the others" [ "$(wc -l <"$work/out")" -eq 4 ]
check "list --long, strange names" exits 0 list --long --from "$strange"
check "list --long, strange names: a line for each" [ "$(wc -l <"$work/out")" -eq $(($(wc -l <"$strange") + 1)) ]
check "list --long, strange names: a newline" out_has '  /var/lib/strange/new\012line'
check "list --long, an unknown name" exits 0 list --long --from "$work/keyed"
check "list --long, an unknown name: none" grep -q '^00006000-00007000  .*  file  *-$' "$work/out"
for backend in $backends; do
    check "list --long, live, $backend" exits 0 list --long --backend "$backend" $target
    sed 1d "$work/out" | awk '{ print $1, $4 }' >"$work/columns"
    awk '{ print $1, $2 }' "$work/maps" | cmp -s - "$work/columns"
    check "list --long: all mappings, $backend" [ $? -eq 0 ]
    check "list --long --build-ids, $backend" exits 0 list --long --build-ids --exec --file-backed --backend "$backend" $target
    check "list --long --build-ids: the header, $backend" grep -qE '^address .* kind +build ID +name$' "$work/out"
    check "list --long --build-ids: the ID, $backend" grep -qE "  file +$sleep_id  $sleep_path\$" "$work/out"
done
for other in --json --summary; do
    check "list --long $other" exits 2 list --long $other
    check "list --long $other: said" err_has 'procmap: --long cannot be used with --summary or --json'
    check "list --long $other: in one line, and the hint" [ "$(wc -l <"$work/err")" -eq 2 ]
done

# A listing that begins late in a log is found.
{ seq 20000 && echo '1000-2000 r--p 00000000 fe:00 1 /late'; } >"$work/log"
check "list --from a log: what is no mapping is an error" exits 3 list --from "$work/log"
check "list --from a log: the mappings after it" out_has '1000-2000 r--p 00000000 fe:00 1 /late'
seq 20000 >"$work/log"
check "list --from a log without mappings" exits 3 list --from "$work/log"
check "list --from a log without mappings: one line" [ "$(wc -l <"$work/err")" -eq 1 ]

# list --name: a part of the name or, with * or ?, a pattern of all of it.
{
    printf '%s\n' '1000-2000 r--p 00000000 fe:00 1 /lib/libc.so.6' '2000-3000 r-xp 00000000 fe:00 2 /lib/libm.so.6 (deleted)' \
        '3000-4000 rw-p 00000000 00:00 0 ' '4000-5000 rw-p 00000000 00:00 0 [heap]' '5000-6000 rw-p 00000000 00:00 0 [anon:a*b]' \
        '6000-7000 r--p 00000000 fe:00 3 /lib/new\012line'
    printf '7000-8000 r--p 00000000 fe:00 4 /lib/\303\244\n'
    printf '%s\n' '8000-9000 r--p 00000000 fe:00 5 ' 'NameState:         too_long'
} >"$work/named"
# selects TEXT START...: list --name TEXT prints those
selects() {
    text=$1
    shift
    exits 0 list --name "$text" --from "$work/named" && err_is_empty &&
        [ "$(sed 's/-.*//' "$work/out" | paste -s -d ' ' -)" = "$*" ]
}
check "list --name: a part of the name" selects libc 1000
check "list --name: all of those" selects /lib/ 1000 2000 6000 7000
check "list --name: a path whose file is deleted" selects /lib/libm.so.6 2000
check "list --name: or just those that are deleted" selects '(deleted)' 2000
check "list --name: brackets are brackets" selects '[heap]' 4000
check "list --name: brackets in a pattern are brackets" selects '[anon:*]' 5000
check "list --name: the whole name" selects 'lib*'
check "list --name: the whole name, to its end" selects '*lib'
check "list --name: * is also /" selects '*lib?.so*' 1000 2000
check "list --name: a pattern, whose file is deleted" selects '/lib/libm.so.?' 2000
check "list --name: a pattern of what is deleted" selects '/*(deleted)' 2000
check "list --name: ? is one character" selects '/lib/?' 7000
check "list --name: not none" selects '/lib/libc.so.6?'
check "list --name: * is also nothing" selects '/lib/libc.so.6*' 1000
check "list --name: several *" selects '*l*b*o*6' 1000 2000
check "list --name: every name, and what has none is not selected" selects '*' 1000 2000 4000 5000 6000 7000
check "list --name: a newline as it is printed" selects 'new\012line' 6000
check "list --name: a newline" selects "$(printf 'new\nline')" 6000
check "list --name: a newline in a pattern" selects '*w?line' 6000
check "list --name: nothing" selects nothing
check "list --name, other filters" exits 0 list --name /lib/ --executable --from "$work/named"
check "list --name, other filters: both" out_is '2000-3000 r-xp 00000000 fe:00 2 /lib/libm.so.6 (deleted)'
check "list --name --summary" exits 0 list --name lib --summary --from "$work/named"
check "list --name --summary: only those" out_has 'total                    4    16.0 KiB'
check "list --name --long" exits 0 list --name heap --long --from "$work/named"
check "list --name --long: only those" [ "$(wc -l <"$work/out")" -eq 2 ]
check "list --name --json" exits 0 list --name line --json --from "$work/named"
check "list --name --json: only those" [ "$(grep -c '"name":"/lib/new' "$work/out")$(wc -l <"$work/out")" = 11 ]
for backend in $backends; do
    check "list --name, live, $backend" exits 0 list --backend "$backend" --name '[st' $target
    check "list --name, live: the stack, $backend" out_is "$stack_line"
    check "list --name --build-ids, live, $backend" exits 0 list --backend "$backend" --build-ids --exec --name "$sleep_path" $target
    check "list --name --build-ids, live: two lines, $backend" [ "$(wc -l <"$work/out")" -eq 2 ]
done

# The bars are drawn in finer steps where the terminal can show them.
if has_terminal && locale -a 2>"$work/err" | grep -qix 'c.utf-\{0,1\}8'; then
    for set in C C.UTF-8; do
        LC_ALL=$set script -qc "\"\$procmap\" list --summary --from '$work/fewer'" /dev/null </dev/null >"$work/out.$set" 2>&1
    done
    check "list --summary, a terminal" grep -q '768.0 KiB  ####################.\{0,1\}$' "$work/out.C"
    check "list --summary, a UTF-8 terminal" grep -q '768.0 KiB  ████████████████████.\{0,1\}$' "$work/out.C.UTF-8"
    check "list --summary, a UTF-8 terminal: the smallest" grep -q '4.0 KiB  ▏.\{0,1\}$' "$work/out.C.UTF-8"
else
    echo "NOT INCLUDED: cli: bars on a UTF-8 terminal"
fi

# watch: a process that maps one page of a file after the other, each behind the last. Its addresses are those of its ELF file.
cat >"$work/mapper.cpp" <<'END'
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <chrono>
#include <cstdlib>
int main(int argc, char** argv) {
    constexpr int pages = 60000;
    const long size = ::sysconf(_SC_PAGESIZE);
    const int file = ::open(argv[1], O_RDWR | O_CREAT, 0600);
    if (::ftruncate(file, pages * size) != 0) return 1;
    char* const at = static_cast<char*>(::mmap(nullptr, pages * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ::munmap(at, pages * size);
    using clock = std::chrono::steady_clock;
    const auto calm = clock::now() + std::chrono::milliseconds(argc > 2 ? std::atoi(argv[2]) : 0);
    for (int i = 0;; i = (i + 1) % pages) {
        if (i == 0) ::munmap(at, pages * size);
        if (::mmap(at + i * size, size, PROT_READ, MAP_SHARED | MAP_FIXED, file, i * size) == MAP_FAILED) return 1;
        if (argc == 2) ::usleep(10'000);
        if (argc > 2 && clock::now() > calm) ::pause();  // as fast as it goes, until then
    }
}
END
if c++ -no-pie "$work/mapper.cpp" -o "$work/mapper" 2>"$work/err"; then
    "$work/mapper" "$work/watched" &
    mapper=$!
    until grep -q "$work/watched" /proc/$mapper/maps; do kill -0 $mapper || break; done
    text=$(grep "^[^ ]* r-xp .*$work/mapper" /proc/$mapper/maps | cut -d- -f1)
    check "normalize, ELF address" exits 0 normalize $mapper 0x"$text"
    check "normalize, ELF address: of a program that is not relocated" out_has "  elf 0x$(printf '%x' 0x"$text")  "
    # What the watched file's changes say: one range behind the other, each new.
    in_sequence() {
        sed -n "s|^mapped  *\([0-9a-f]*\)-\([0-9a-f]*\) r--s .* $work/watched\$|\1 \2|p" "$work/out" >"$work/ranges"
        [ "$(wc -l <"$work/ranges")" -eq "$(wc -l <"$work/out")" ] && [ -s "$work/ranges" ] &&
            awk 'NR > 1 && $1 != last { wrong = 1 } { last = $2 } END { exit wrong }' "$work/ranges"
    }
    for backend in $backends; do
        check "watch, $backend" exits 0 watch --backend "$backend" --interval 0.05 --count 5 $mapper
        check "watch: what comes to be mapped, $backend" in_sequence
        check "watch: a line at a look, $backend" [ "$(wc -l <"$work/out")" -le 5 ]
        check "watch is silent otherwise, $backend" err_is_empty
    done
    check "watch --count 0" exits 0 watch --count 0 $mapper
    check "watch --count 0: nothing" out_is_empty
    check "watch --json" exits 0 watch --json --interval 0.05 --count 2 $mapper
    check "watch --json: the change" grep -q "^{\"kind\":\"mapped\",\"start\":\"0x.*\"name\":\"$work/watched\",\"build_id\":null}$" "$work/out"
    cp "$work/out" "$work/changes"
    escape=$(printf '\033')
    if has_terminal; then
        TERM=xterm script -qc "\"\$procmap\" watch --interval 0.05 --count 2 $mapper" /dev/null </dev/null >"$work/out" 2>&1
        check "watch, a terminal: colours" out_has "${escape}[32mmapped "
        TERM=xterm NO_COLOR=1 script -qc "\"\$procmap\" watch --interval 0.05 --count 2 $mapper" /dev/null </dev/null >"$work/out" 2>&1
        check "watch, NO_COLOR, a terminal" out_has 'mapped '
        check "watch, NO_COLOR, a terminal: no colours" fails out_has "$escape"
        TERM=xterm NO_COLOR='' script -qc "\"\$procmap\" watch --interval 0.05 --count 2 $mapper" /dev/null </dev/null >"$work/out" 2>&1
        check "watch, an empty NO_COLOR, a terminal: colours" out_has "${escape}[32mmapped "
        TERM=dumb script -qc "\"\$procmap\" watch --interval 0.05 --count 2 $mapper" /dev/null </dev/null >"$work/out" 2>&1
        check "watch, a dumb terminal: no colours" fails out_has "$escape"
    else
        echo "NOT INCLUDED: cli: colours on a terminal, without a pseudo-terminal"
    fi
    : >"$work/out"
    "$procmap" watch --interval 0.05 $mapper >"$work/out" 2>"$work/err" &
    watch=$!
    until [ -s "$work/out" ]; do kill -0 $watch || break; done  # written as it happens
    watched=$mapper
    kill $mapper
    wait $mapper 2>"$work/script"
    mapper=
    wait $watch
    check "watch, exit" [ $? -eq 0 ]
    check "watch, exit: said" [ "$(cat "$work/err")" = "procmap: process $watched exited" ]
    check "watch, exit: what came before" in_sequence

    # A process that changes all the time is not taken for back-ends that differ; one that comes to rest is waited for. Reads
    # are slowed down, so that it has the time to change.
    if [ -n "$can_trace" ]; then
        for calm in 600000 150; do
            for _ in 1 2 3; do
                "$work/mapper" "$work/watched" $calm &
                mapper=$!
                until grep -q "$work/watched" /proc/$mapper/maps; do kill -0 $mapper || break; done
                traced -o "$work/script" -e inject=pread64:delay_exit=5000 "$procmap" compare --all --count 1 $mapper \
                    >"$work/out" 2>"$work/err"
                status=$?
                kill $mapper
                wait $mapper 2>"$work/script"
                mapper=
                case $calm$status in 6000003) err_has 'procmap: the mappings keep changing' ;; *) [ $status -eq 0 ] && err_is_empty ;; esac
                check "compare, a process that changes for $calm ms" [ $? -eq 0 ]
            done
        done
    fi
else
    echo "NOT INCLUDED: cli: watch, and ELF addresses of a program that is not relocated, without c++"
fi

# How watch ends. It has begun as soon as it has opened the maps and the stat of the process.
# watch_end HOW TARGET ENDING COMMAND...: COMMAND ends the address space, which watch then says in text and JSON, and exits with 0
watch_end() {
    how=$1
    of=$2
    ending=$3
    shift 3
    "$procmap" watch --interval 0.05 --backend "$backend" ${json:+"$json"} "$of" >"$work/out" 2>"$work/err" &
    watch=$!
    # shellcheck disable=SC2010  # links of procfs
    until [ "$(ls -l /proc/$watch/fd 2>"$work/script" | grep -cE '/(maps|stat)$')" -eq 2 ]; do kill -0 $watch || break; done
    "$@"
    wait $watch
    check "watch, $how" [ $? -eq 0 ]
    check "watch, $how: said" [ "$(cat "$work/err")" = "procmap: process ${of%/*} $ending" ]
    case $json in
        "") check "watch, $how: nothing else" out_has_not kind ;;
        *) check "watch, $how: the object" [ "$(tail -n 1 "$work/out")" = '{"kind":"'"${ending%% *}"'"}' ] ;;
    esac
}
reap() { kill $deep && wait $deep 2>"$work/script"; }
# executes PID NAME: the shell has become that program
executes() { until grep -qa "$2" "/proc/$1/cmdline" 2>"$work/script"; do kill -0 "$1" || break; done; }
for backend in $backends; do
    for json in "" --json; do
        sleep 600 &
        deep=$!
        executes $deep '^sleep'
        watch_end "reaped, $backend $json" $deep exited reap
        sh -c 'sleep 601 & exec sleep 602' &
        zombie=$!
        executes $zombie '^sleep'
        child=$(cat /proc/$zombie/task/$zombie/children)
        child=${child% }
        executes "$child" '^sleep'
        watch_end "a zombie, $backend $json" "$child/$child" exited kill "$child"
        kill $zombie
        wait $zombie 2>"$work/script"
        sh -c 'until [ -e "$0" ]; do sleep 0.01; done; exec sleep 600' "$work/go" &
        deep=$!
        executes $deep until
        watch_end "exec, $backend $json" $deep 'executed another program; watch it again for its new mappings' touch "$work/go"
        rm "$work/go"
        reap
        deep=
    done
done
zombie=

# Processes without an address space are told apart.
sh -c 'sleep 0 & exec sleep 600' &
zombie=$!
until child=$(cat /proc/$zombie/task/$zombie/children) && [ -n "$child" ] && [ "$(cat /proc/$zombie/comm)" = sleep ] &&
    grep -q '^State:.*Z' /proc/$((child))/status; do kill -0 $zombie || break; done 2>"$work/err"
for command in list "find --next" normalize snapshot watch compare; do
    case $command in find*|normalize) address=0x0 ;; *) address= ;; esac
    # shellcheck disable=SC2086  # words
    check "$command, a zombie" exits 3 $command $((child)) $address
    check "$command, a zombie: said" err_has "procmap: cannot open maps of process $((child)): zombie process without an address space"
done
if [ "$(cat /proc/2/comm)" = kthreadd ]; then
    check "snapshot, a kernel thread" exits 3 snapshot 2
    check "snapshot, a kernel thread: said" err_has 'procmap: cannot open maps of process 2: kernel thread without an address space'
else
    echo "NOT INCLUDED: cli: a kernel thread"
fi

# --json of the rest: valid, and with the members that are promised.
cat >"$work/members.py" <<'END'
import json, sys
mapping = ["start", "end", "permissions", "offset", "device", "inode", "page_size", "name", "build_id"]
members = {"normalize": ["address", "file", "offset", "elf_address", "build_id", "build_id_source", "state", "reason"],
           "compare": ["backend", "addresses", "found", "mappings", "runs", "open_ns", "lookup_ns", "best_ns", "system_calls"],
           "diff": ["kind"] + mapping, "list": mapping, "summary": ["kind", "mappings", "size"]}[sys.argv[1]]
objects = [json.loads(line) for line in sys.stdin]
sys.exit(not objects or any(list(o) != members for o in objects))
END
members_are() { python3 "$work/members.py" "$1" <"$work/out"; }
if [ -s "$work/python3" ]; then
    check "normalize --json, all" exits 0 normalize --json $target <"$work/addresses"
    check "normalize --json: the members" members_are normalize
    check "diff --json, all" exits 0 diff --json self $target
    check "diff --json: the members" members_are diff
    check "list --build-ids --json, all" exits 0 list --build-ids --json $target
    check "list --build-ids --json: the members" members_are list
    check "list --summary --json, all" exits 0 list --summary --json $target
    check "list --summary --json: the members" members_are summary
    if [ "$backends" != text ]; then
        check "compare --json, all" exits 0 compare --json --all --count 2 $target
        check "compare --json: the members" members_are compare
    fi
    if [ -s "$work/changes" ]; then
        cp "$work/changes" "$work/out"
        check "watch --json: the members" members_are diff
    fi
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
    check "a name too long, list --long" exits 0 list --long --backend ioctl $deep
    check "a name too long, list --long: said" [ "$(grep -c "^procmap: $range: " "$work/err")" -eq 1 ]
    check "a name too long, list --name" exits 0 list --name ddd --backend ioctl $deep
    check "a name too long, list --name: it is not known" out_is_empty
    check "a name too long, list --name: said" [ "$(grep -c "^procmap: $range: " "$work/err")" -eq 1 ]
    check "a name too long, list --name, text" exits 0 list --name ddd --backend text $deep
    check "a name too long, list --name, text: the line" out_is "$line"
    check "a name too long, --json" exits 0 find --backend ioctl --json $deep 0x"$start"
    check "a name too long, --json: null" out_has '"name":null,'
    check "a name too long, text" exits 0 find --backend text $deep 0x"$start"
    check "a name too long, text: the line" out_is "$line"
    check "a name too long, text: nothing is said" err_is_empty
    check "compare, a name too long" exits 1 compare --all $deep
    check "compare, a name too long: nothing is measured" out_is_empty
    check "compare, a name too long: the text has it" err_has "procmap: text only:  $line"
    check "compare, a name too long: the ioctl has it not" grep -q "^procmap: ioctl only: $range [^/]*$" "$work/err"
    check "compare, a name too long: nothing else" [ "$(wc -l <"$work/err")" -eq 3 ]
else
    echo "NOT INCLUDED: cli: names that are too long for the ioctl"
fi

# probe
check "probe" exits 0 probe
check "probe: the kernel" out_has "$(uname -r)"
check "probe --json" exits 0 probe --json
check "probe --json: the kernel" out_has "{\"kernel\":\"$(uname -r)\","
check "probe without a procfs" exits 3 probe --proc "$work/missing"
check "probe without a procfs says so" err_has 'procmap: cannot open maps of this process: '

# --proc: another procfs, here a tree of regular files, which have no ioctl.
mkdir -p "$work/proc/self" "$work/proc/42" "$work/proc/43" "$work/proc/44"
sed '$d' "$strange" | grep -av 012 >"$work/proc/self/maps"
cp "$work/proc/self/maps" "$work/proc/42/maps"
check "list --proc" exits 0 list --proc "$work/proc"
check "list --proc is that" out_is_file "$work/proc/self/maps"
check "list --proc PID" exits 0 list --proc "$work/proc" 42
check "list --proc PID is that" out_is_file "$work/proc/self/maps"
mkdir "$work/proc/45"
cp "$work/a" "$work/proc/45/maps"
check "list --build-ids, none that can be known" exits 0 list --build-ids --proc "$work/proc" 45
check "list --build-ids, none that can be known: none is claimed" out_is_file "$work/a"
check "list --proc --backend ioctl" exits 3 list --proc "$work/proc" --backend ioctl
check "list --proc --backend ioctl: nothing listed" out_is_empty
check "list --proc --backend ioctl: why" err_has '[ENOTTY]'
check "compare --proc, no ioctl" exits 3 compare --proc "$work/proc"
check "compare --proc, no ioctl: why" err_has 'PROCMAP_QUERY requires Linux 6.11'
check "compare --proc, no ioctl: nothing is measured" out_is_empty

# A list that breaks off is not passed off as whole.
head -c 120 "$strange" >"$work/proc/43/maps"
: >"$work/proc/44/maps"
check "list, broken off" exits 3 list --proc "$work/proc" 43
check "list, broken off: what was read" out_is "$(head -n 1 "$strange")"
check "list, broken off: why" err_has 'procmap: cannot parse maps of process 43 line 2, byte '
check "list, nothing to read" exits 3 list --proc "$work/proc" 44
check "list, nothing to read: why" err_has 'procmap: cannot open maps of process 44: '
check "snapshot, broken off" exits 3 snapshot --proc "$work/proc" 43
check "snapshot, broken off: nothing is written" out_is_empty
check "snapshot, broken off: why" err_has 'procmap: cannot parse maps of process 43 line 2, byte '
check "normalize, broken off" exits 3 normalize --proc "$work/proc" 43 0x10000 0x7fffffffffff
check "normalize, broken off: what was resolved, and what was not" out_is \
    '0x10000         no file: anonymous memory' '0x7fffffffffff  not looked up: an earlier error'
check "normalize, broken off: why" err_has 'procmap: cannot parse maps of process 43 line 2, byte '

# The column of a 32-bit kernel's names, which a 32-bit program finds out.
if [ "$(od -An -tu1 -j4 -N1 "$procmap" | tr -d ' ')" = 1 ]; then
    cp "$work/recorded32" "$work/proc/self/maps"
    check "list, 32-bit" exits 0 list --proc "$work/proc"
    check "list, 32-bit: the kernel's column" out_is_file "$work/proc/self/maps"
fi

# No such process.
check "list, no such process" exits 3 list 2147483647
check "list, no such process: said" err_has 'procmap: cannot open maps of process 2147483647: no such process'
check "find, no such process" exits 3 find 2147483647 0x10
check "find, no such process: said" err_has 'no such process'
check "list, no such thread" exits 3 list $target/2147483647

# Usage.
check "no command" exits 2
check "no command: the hint" err_has "Try 'procmap --help'."
check "no such command" exits 2 lst
check "no such command: the hint" err_has "Try 'procmap --help'."
for wrong in "list --no-such" "list --next" "list 1 2" "list 0" "list -- -1" "list 1/" "list 1x" "list 99999999999" \
    "list --backend" "list --backend quick" "list --from $strange 1" "find" "find self" "find $target 0x" "find zz" \
    "find 0x11111111111111111" "find $target self" "find --from $strange" "find --exec 0x10" "probe self" "probe --from -" \
    "list --summary --build-ids" "list --build-ids --from $strange" "find --build-ids 0x10" "normalize self zz" "normalize self 0x" \
    "normalize --from -" "normalize --next self" "normalize 1/x 0x10" "snapshot 1 2" "snapshot --json" "snapshot --from $strange 1" \
    "snapshot --page-sizes --from $strange" "diff" "diff self" "diff self self self" "diff - -" "diff 0 self" "diff 1/ self" \
    "diff --from $strange self" "watch 1 2" "watch --from $strange" "watch --interval" "watch --interval x" "watch --interval -1" \
    "watch --interval inf" "watch --interval 1.2.3" "watch --interval 9999999" "watch --count -1" "watch --count 1x" \
    "compare zz" "compare --all $target 10" "compare --count 0" "compare --backend text" "list --version=1" "compare --from $strange"; do
    # shellcheck disable=SC2086  # words
    check "usage: $wrong" exits 2 $wrong
    check "usage: $wrong: the hint" err_has "Try 'procmap ${wrong%% *} --help'."
    check "usage: $wrong: nothing else" out_is_empty
done
# says TEXT ARGUMENT...: the usage error is that
says() {
    text=$1
    shift
    check "usage: $*: why" exits 2 "$@"
    check "usage: $*: $text" err_has "procmap: $text"
}
says "unknown command 'lst'" lst
says "unknown or ambiguous option '--no-such'" list --no-such
says "option '--next' is not valid for list" list --next
says "invalid target '1x': expected self, PID or PID/TID" list 1x
says "invalid address 'zz': expected a hexadecimal number of at most 64 bits" find zz
says "invalid back-end 'quick': expected auto, ioctl or text" list --backend quick
for command in "" list find normalize snapshot diff watch compare probe; do
    check "$command --help" exits 0 $command --help
    check "$command --help: usage" out_has "usage: procmap ${command:-COMMAND}"
    cp "$work/out" "$work/wanted"
    for same in "$command -h" "help $command"; do
        # shellcheck disable=SC2086  # words
        check "$same" exits 0 $same
        check "$same is $command --help" out_is_file "$work/wanted"
    done
done
check "help, no such command" exits 2 help lst
check "help, no such command: said" err_has "procmap: unknown command 'lst'"
check "help, two commands" exits 2 help list find
check "help, two commands: said" err_has "procmap: unexpected argument 'find'"

# The version is the header's.
version=$(sed -n 's/^#define PROCMAP_VERSION_[A-Z]* \([0-9]*\)$/\1/p' "$here/../include/procmap/version.hpp" | paste -s -d . -)
for command in "" list find normalize snapshot diff watch compare probe; do
    check "$command --version" exits 0 $command --version
    check "$command --version is the header's" out_is "procmap $version"
    check "$command -V" exits 0 $command -V
    check "$command -V is the header's" out_is "procmap $version"
done

# Output that cannot be written.
if [ -c /dev/full ]; then
    compare=--help
    [ "$backends" = text ] || compare="compare --count 1"
    cp "$here/data/realistic_10k.maps" "$work/long.maps"
    cp "$strange" "$work/strange.maps"
    # In that directory, for the path of it may have spaces.
    for command in "list --from long.maps" "list --long" "list --summary" "find self --next 0" "normalize self 0" snapshot \
        "diff strange.maps self" probe "$compare" --help "list --help" --version; do
        # shellcheck disable=SC2086  # words
        (cd "$work" && "$procmap" $command >/dev/full 2>err)
        check "$command >/dev/full" [ $? -eq 3 ]
        check "$command >/dev/full: why" err_has 'procmap: cannot write standard output: No space left on device'
    done
else
    echo "NOT INCLUDED: cli: /dev/full"
fi
"$procmap" list --from "$here/data/realistic_10k.maps" 2>"$work/err" | head -n 1 >"$work/out"
check "a closed pipe" err_is_empty
(trap '' PIPE; "$procmap" list --from "$here/data/realistic_10k.maps" 2>"$work/err") | head -n 1 >"$work/out"
check "a closed pipe, SIGPIPE ignored" err_is_empty

# Names that would command a terminal: ESC ]0; ... BEL sets its title, C1 CSI, DEL, a byte that is not UTF-8, and what reorders text.
# Live and recorded, a newline and a literal \012 are the same JSON.
hostile=$(printf 'a\033]0;x\007\302\233b\177\377\342\200\256c\342\201\247\tz')
harmless='a\033]0;x\007\302\233b\177\377\342\200\256c\342\201\247\011z'
raw=$(printf '[\001-\010\013\014\016-\037\177\377]\\|\302\233\\|\342\200\256\\|\342\201\247')
raw_in() { LC_ALL=C grep -q "$raw" "$1"; }
if [ -s "$work/python3" ]; then
    cat >"$work/hostile.py" <<'END'
import mmap, os, sys, time
os.chdir(sys.argv[1])
memory = []
for name in [os.fsencode(sys.argv[2]), b"new\nline", b"literal\\012"]:
    file = os.open(name, os.O_RDWR | os.O_CREAT)
    os.ftruncate(file, 4096)
    memory.append(mmap.mmap(file, 4096))
os.close(os.open("hostile_ready", os.O_CREAT))
time.sleep(600)
END
    [ -z "$deep" ] || { kill $deep; wait $deep 2>"$work/err"; }
    python3 "$work/hostile.py" "$work" "$hostile" &
    deep=$!
    until [ -e "$work/hostile_ready" ] || ! kill -0 $deep; do :; done
    grep -av '\[vsyscall\]$' /proc/$deep/maps >"$work/hostile.maps"
    check "a live process's names by text, --json" exits 0 list --json --backend text $deep
    cp "$work/out" "$work/wanted"
    check "a live process's names by text: two may be others" [ "$(grep -c '"name_ambiguous":true}$' "$work/wanted")" -eq 2 ]
    check "a recorded process's names, --json" exits 0 list --json --from "$work/hostile.maps"
    check "a recorded process's names: the same" out_is_file "$work/wanted"
    if [ "$backends" != text ]; then
        check "a live process's names by the ioctl, --json" exits 0 list --json --backend ioctl $deep
        cp "$work/out" "$work/wanted"
        check "a live process's names by the ioctl: none may be another" fails out_has name_ambiguous
        check "a snapshot of names" exits 0 snapshot --page-sizes --backend ioctl $deep
        cp "$work/out" "$work/hostile.snapshot"
        check "a snapshot of names, --json" exits 0 list --json --from "$work/hostile.snapshot"
        check "a snapshot of names: the same" out_is_file "$work/wanted"
    fi
    check "hostile names into a pipe" exits 0 list $deep
    check "hostile names into a pipe: as they are" out_is_file "$work/hostile.maps"
    place=$(grep -aF ']0;' "$work/hostile.maps" | head -n 1 | cut -d- -f1)
    if has_terminal; then
        export hostile procmap
        printf 'a\033]0;x\007\302\233\177\377\342\200\256 ' >"$work/word"
        # shellcheck disable=SC2016  # expanded in the terminal
        for command in "list $deep" "list --json $deep" "list --long $deep" "find $deep $place" "normalize $deep $place" "normalize --json $deep $place" \
            "snapshot $deep" "list --from '$work/hostile.maps'" "find --from '$work/hostile.maps' $place" "diff /dev/null $deep" \
            'list --from "$hostile"' 'list "$hostile"' '"$hostile"' 'find "$hostile"' 'normalize "$hostile"' 'probe "$hostile"' \
            'diff "$hostile" self' 'watch --interval "$hostile"' 'watch --count "$hostile"' 'list --backend "$hostile"' \
            'list --json="$hostile"' 'list "--$hostile"' 'list "-$hostile"' "list '-$(printf '\033')'" "normalize $deep <'$work/word'"; do
            TERM=dumb script -qc "\"\$procmap\" $command" /dev/null </dev/null >"$work/out" 2>&1
            check "hostile names on a terminal: $command" fails raw_in "$work/out"
            case $command in
                *--json\ [0-9]*) wanted='"name_bytes":"' ;; # that of the list, or
                *word*) wanted='a\033]0;x\007\302\233\177\377\342\200\256' ;;
                *\ \"-\$* | *\ \'-*) wanted="unknown option '-" ;;
                *) wanted=$harmless ;;
            esac
            case $command in normalize\ --json*) wanted='"file_bytes":"' ;; esac
            check "hostile names on a terminal: $command: octal" out_has "$wanted"
        done
        TERM=xterm NO_COLOR='' script -qc "\"\$procmap\" diff /dev/null $deep" /dev/null </dev/null >"$work/out" 2>&1
        check "hostile names on a terminal, coloured: octal" out_has "$harmless"
        check "hostile names on a terminal, coloured: our colours stay" out_has "$(printf '\033[32mmapped ')"
        script -qc "\"\$procmap\" list $deep 2>&1 | cat >'$work/piped'" /dev/null </dev/null >"$work/out" 2>&1
        cmp -s "$work/piped" "$work/hostile.maps"
        check "hostile names from a terminal into a pipe: as they are" [ $? -eq 0 ]
        printf '00001000-00002000 r--p 00000000 00:00 0 %b\n' 'd\0177 \0302\0233 \0342\0200\0256 \0303\0244 "q"' >"$work/names"
        script -qc "\"\$procmap\" list --json --from '$work/names'" /dev/null </dev/null 2>&1 | tr -d '\r' >"$work/out"
        check "JSON on a terminal stays JSON" valid_json
        check "JSON on a terminal: escaped" out_has '"name":"d\u007f \u009b \u202e ä \"q\""'
    else
        echo "NOT INCLUDED: cli: names on a terminal, without a pseudo-terminal"
    fi
else
    echo "NOT INCLUDED: cli: hostile names, without python3"
fi

# Input without an end, or without lines.
check "--from /dev/zero" exits 3 list --from /dev/zero
check "--from /dev/zero: why" err_has 'procmap: /dev/zero is binary data, not maps'
awk 'BEGIN { printf "00001000-00002000 r--p 00000000 fe:00 7 "; for (i = 0; i < 1048536; ++i) printf "x"; print "" }' >"$work/line"
check "--from, a line of 1 MiB" exits 0 list --from "$work/line"
check "--from, a line of 1 MiB: it is there" out_is_file "$work/line"
{ cat "$work/maps"; sed 's/x$/xx/' "$work/line"; } >"$work/longer"
check "--from, a longer line" exits 3 list --from "$work/longer"
check "--from, a longer line: why" err_has "procmap: cannot read $work/longer: line longer than 1 MiB"
cp "$strange" "$work/sparse"
if truncate -s 1073741825 "$work/sparse" 2>"$work/err"; then
    check "--from, a file of more than 1 GiB" exits 3 normalize --from "$work/sparse" 1
    check "--from, a file of more than 1 GiB: why" err_has "procmap: cannot read $work/sparse: larger than 1 GiB"
    rm "$work/sparse"
fi
if [ "$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)" -gt 4000000 ]; then
    yes "$first_line" | "$procmap" snapshot --from - >"$work/out" 2>"$work/err"
    check "--from an endless pipe" [ $? -eq 3 ]
    check "--from an endless pipe: why" err_has 'procmap: cannot read standard input: larger than 1 GiB'
else
    echo "NOT INCLUDED: cli: an endless pipe, without the memory"
fi
awk 'BEGIN { for (i = 0; i < 1000000; ++i) printf "a"; print ""; print "0x00000000000000000000000010" }' >"$work/word"
check "normalize, a long word" exits 3 normalize $target <"$work/word"
check "normalize, a long word: said once" [ "$(wc -l <"$work/err")" -eq 1 ]
check "normalize, a long word: shortly" err_has "invalid address 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'"
check "normalize, a long word: what follows it" out_is '0x10  not mapped'

# Memory that runs out.
# shellcheck disable=SC3045  # where there is no ulimit -v, it is skipped
if (ulimit -v 60000 && "$procmap" --version) >"$work/out" 2>"$work/err"; then
    (ulimit -v 60000 && yes "$first_line" | head -c 100000000 | "$procmap" list --from -) >"$work/out" 2>"$work/err"
    check "out of memory" [ $? -eq 3 ]
    check "out of memory: said" err_has 'procmap: out of memory'
else
    echo "NOT INCLUDED: cli: memory that runs out, where the program needs more than 60 MB"
fi

# The cost of hostile input is that of its size, or little more: instructions for four times as much.
instructions() { valgrind --tool=callgrind --callgrind-out-file=/dev/null "$procmap" "$@" 2>&1 >"$work/script" | sed -n 's/.*Collected : //p'; }
# costs NAME SMALL LARGE: at most five times as much
costs() {
    checks=$((checks + 1))
    [ "$3" -le $((5 * $2)) ] && return
    echo "not ok cost: $1: $2 and $3 instructions"
    failures=$((failures + 1))
}
if command -v valgrind >"$work/script" && [ -n "$(instructions --version)" ]; then
    for n in 2000 8000; do
        awk -v n=$n 'BEGIN { for (i = 1; i <= n; ++i) printf "%08x-%08x r-xp 00000000 00:00 0 \nBuildID:           %040x\n", i * 4096, (i + 1) * 4096, i }' >"$work/ids.$n"
        awk -v n=$n 'BEGIN { for (i = 1; i <= n; ++i) printf "%08x-%08x r-xp 00000000 fe:00 7 /lib/%d\n", i * 4096, (i + 1) * 4096, i }' >"$work/names.$n"
        awk -v n=$n 'BEGIN { for (i = n; i >= 1; --i) printf "%08x-%08x r-xp 00000000 00:00 0 \n", i * 4096, (i + 2) * 4096 }' >"$work/overlap.$n"
        awk -v n=$n 'BEGIN { for (i = 0; i < n * 500; ++i) printf "a"; print "" }' >"$work/word.$n"
        awk -v n=$n 'BEGIN { for (i = 1; i <= n; ++i) printf "%x\n", i * 4096 }' >"$work/asked.$n"
    done
    for what in ids names overlap; do
        costs "snapshot --from $what" "$(instructions snapshot --from "$work/$what.2000")" "$(instructions snapshot --from "$work/$what.8000")"
        costs "diff $what" "$(instructions diff /dev/null "$work/$what.2000")" "$(instructions diff /dev/null "$work/$what.8000")"
    done
    costs "normalize, a word" "$(instructions normalize --from /dev/null <"$work/word.2000")" "$(instructions normalize --from /dev/null <"$work/word.8000")"
    # shellcheck disable=SC2046  # words
    costs "find --from" "$(instructions find --from "$work/names.2000" $(cat "$work/asked.2000"))" \
        "$(instructions find --from "$work/names.8000" $(cat "$work/asked.8000"))"
    # shellcheck disable=SC2046  # words
    costs "find --from --next" "$(instructions find --next --from "$work/names.2000" $(sed 's/000$/fff/' "$work/asked.2000"))" \
        "$(instructions find --next --from "$work/names.8000" $(sed 's/000$/fff/' "$work/asked.8000"))"
else
    echo "NOT INCLUDED: cli: the cost of hostile input, without valgrind"
fi

# No colours where they are not wanted.
escape=$(printf '\033')
check "list, not a terminal" exits 0 list $target
check "list, not a terminal: no colours" fails out_has "$escape"
if has_terminal; then
    script -qc "NO_COLOR=1 \"\$procmap\" list $target" /dev/null </dev/null >"$work/out" 2>&1
    check "NO_COLOR, a terminal" out_has '[stack]'
    check "NO_COLOR, a terminal: no colours" fails out_has "$escape"
else
    echo "NOT INCLUDED: cli: NO_COLOR on a terminal, without a pseudo-terminal"
fi

# How far long work is: on a terminal's standard error, where it is long, and until something else is said there.
if has_terminal; then
    addresses="(echo 10; sleep 0.8; echo 20; sleep 0.3; echo zz)"
    on_terminal() { TERM=$1 script -qc "$2" /dev/null </dev/null >"$work/out" 2>&1; }
    shown=$(printf '\rprocmap: 2 addresses\033[K')
    cleared=$(printf '\r\033[K')
    on_terminal xterm "$addresses | \"\$procmap\" normalize $target >'$work/answers'"
    check "progress" out_has "$shown"
    check "progress: until something else is said" out_has "${cleared}procmap: standard input: invalid address"
    [ "$(wc -l <"$work/answers")" -eq 2 ]
    check "progress: not in the output" [ $? -eq 0 ]
    on_terminal xterm "$addresses | \"\$procmap\" normalize $target"
    check "progress: not where the answers are seen" fails out_has "$shown"
    on_terminal dumb "$addresses | \"\$procmap\" normalize $target >'$work/answers'"
    check "progress: not on a dumb terminal" fails out_has "$shown"
    on_terminal xterm "echo 10 20 | \"\$procmap\" normalize $target >'$work/answers'"
    check "progress: not where it is soon done" [ ! -s "$work/out" ]
    if [ "$backends" != text ]; then
        on_terminal xterm "\"\$procmap\" compare --count 200000 --json $target & sleep 1.2; kill \$!"
        check "progress of compare" grep -q 'procmap: [0-9]* of 200000 runs' "$work/out"
    fi
else
    echo "NOT INCLUDED: cli: progress, without a pseudo-terminal"
fi

echo "$checks checks, $failures failed"
[ $failures -eq 0 ]
