#!/bin/sh
# links.sh SOURCE_DIR: every relative link in the project's documents leads to a file that is there, and every anchor to a heading.
set -eu
cd "$1"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
find . -name .git -prune -o -name build -prune -o -name 'build-*' -prune -o -name '*.md' -print | sort >"$work/pages"
# Of each page `anchor PAGE SLUG`, as GitHub makes them of headings, and `link PAGE LINE TARGET`. Names of pages have no blanks.
while read -r page; do
    awk -v page="$page" '
        /^ *```/ { fenced = !fenced; next }
        fenced { next }
        /^#+ / {
            slug = tolower($0)
            sub(/^#+ +/, "", slug)
            gsub(/\]\([^)]*\)/, "", slug)
            gsub(/[^a-z0-9_ -]/, "", slug)
            gsub(/ /, "-", slug)
            print "anchor", page, (slug in seen) ? slug "-" seen[slug] : slug
            seen[slug]++
        }
        {
            gsub(/`[^`]*`/, "")
            while (match($0, /\]\([^)]*\)/)) {
                print "link", page, FNR, substr($0, RSTART + 2, RLENGTH - 3)
                $0 = substr($0, RSTART + RLENGTH)
            }
        }' "$page"
done <"$work/pages" >"$work/all"
grep '^link ' "$work/all" >"$work/links"
count=0
failed=0
while read -r _ page line target; do
    case $target in *:*) continue ;; esac  # another site
    count=$((count + 1))
    path=${target%%#*}
    to=$page
    [ -z "$path" ] || to=$(dirname "$page")/$path
    if ! [ -e "$to" ]; then
        echo "not ok $page:$line: $target: no such file"
        failed=$((failed + 1))
    elif [ "$path" != "$target" ]; then
        to=./$(realpath --relative-to=. "$to")
        grep -qxF "anchor $to ${target#*#}" "$work/all" && continue
        echo "not ok $page:$line: $target: no such heading"
        failed=$((failed + 1))
    fi
done <"$work/links"
echo "$((count - failed)) links lead somewhere, $failed do not"
[ "$failed" = 0 ] && [ "$count" -gt 10 ]
