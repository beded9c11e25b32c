#!/bin/sh
# release.sh check               checks whether the tree is ready for a release: prints each problem on a line, and fails if there is any
# release.sh archive URL [DIR]   checks the same and writes the files of a release to DIR (build/release): the archive, its checksum,
#                                procmap.hpp (the single header), and a Meson wrap and a vcpkg port, which download the archive from URL/
# Requires git, cmake, meson and python3.
set -eu
usage() { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
case $#,${1-} in 1,check | [23],archive) ;; *) usage ;; esac
command=$1
url=${2-}
out=${3-build/release}
case $out in /*) ;; *) out=$PWD/$out ;; esac
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$(cmake/version.sh)
failed=0
wrong() {
    echo "not ready: $1"
    failed=1
}

for tool in git cmake meson python3; do command -v $tool >/dev/null || wrong "$tool is not here to check with"; done
[ $failed = 0 ] || exit 1

[ -z "$(git status --porcelain)" ] || wrong "the tree has changes that are not committed (git status)"

last=$(git tag --list 'v[0-9]*' --sort=-version:refname | head -n 1)
if [ "$last" = "v$version" ]; then
    [ "$(git rev-parse "$last^{commit}")" = "$(git rev-parse HEAD)" ] ||
        wrong "$version is released already: raise the version in include/procmap/version.hpp"
elif [ -n "$last" ] && [ "$(printf '%s\n' "$last" "v$version" | sort -V | tail -n 1)" = "$last" ]; then
    wrong "$version in include/procmap/version.hpp is below the last tag, $last"
fi

single=$(cmake/amalgamate.sh check) || wrong "$single"

# CHANGELOG.md must have the format of Keep a Changelog, and this version first, with a date and entries.
awk -v version="$version" '
    function wrong(what) { print "not ready: CHANGELOG.md: " what }
    /^## / && !/^## \[Unreleased\]$/ && !/^## \[[0-9]+\.[0-9]+\.[0-9]+\] - [0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]$/ {
        wrong("line " NR " is neither \"## [Unreleased]\" nor \"## [X.Y.Z] - YYYY-MM-DD\"")
    }
    /^### / && !/^### (Added|Changed|Deprecated|Removed|Fixed|Security)$/ { wrong("line " NR " is no kind of change: " $0) }
    /^## / { sections++; section = $2 }
    /^## / && sections == 1 { if (section != "[Unreleased]") wrong("the first section is not [Unreleased]") }
    /^- / { if (section == "[Unreleased]") unreleased++; if (section == "[" version "]") entries++ }
    /^## / && section != "[Unreleased]" && !top { top = section }
    END {
        if (top != "[" version "]") wrong("the newest release in it is not " version)
        else if (!entries) wrong("nothing stands under " version)
        if (unreleased) wrong("[Unreleased] has entries: they belong under " version)
    }' CHANGELOG.md >"$work/changelog"
date=$(sed -n "s/^## \[$version\] - //p" CHANGELOG.md)
[ -z "$date" ] || date -d "$date" >/dev/null 2>&1 || echo "not ready: CHANGELOG.md: there is no day $date" >>"$work/changelog"
cat "$work/changelog"
[ ! -s "$work/changelog" ] || failed=1

[ $failed = 0 ] || exit 1

# The version in each package. Checked last, because it takes seconds.
agrees() { [ "$2" = "$version" ] || wrong "$1 says version ${2:-nothing}, include/procmap/version.hpp says $version"; }
agrees vcpkg "$(sed -n 's/.*"version": "\(.*\)".*/\1/p' packaging/vcpkg/procmap/vcpkg.json)"
if cmake -S . -B "$work/cmake" -DPROCMAP_BUILD_TESTS=OFF -DPROCMAP_BUILD_CLI=OFF >"$work/log" 2>&1; then
    agrees CMake "$(sed -n 's/^CMAKE_PROJECT_VERSION:STATIC=//p' "$work/cmake/CMakeCache.txt")"
    agrees pkg-config "$(sed -n 's/^Version: //p' "$work/cmake/procmap.pc")"
else
    wrong "CMake: $(cat "$work/log")"
fi
if meson setup "$work/meson" . >"$work/log" 2>&1; then
    agrees Meson "$(meson introspect "$work/meson" --projectinfo | sed 's/.*"version": "\([^"]*\)".*/\1/')"
else
    wrong "Meson: $(cat "$work/log")"
fi
# Runs set_version of conanfile.py, with stubs in place of Conan.
agrees Conan "$(python3 - 2>&1 <<'END'
import sys
from unittest import mock
for module in ("conan", "conan.errors", "conan.tools", "conan.tools.build", "conan.tools.files"):
    sys.modules[module] = mock.MagicMock()
sys.modules["conan"].ConanFile = type("ConanFile", (), {"recipe_folder": "."})
sys.modules["conan.tools.files"].load = lambda recipe, path: open(path).read()
sys.dont_write_bytecode = True
sys.path.insert(0, ".")
from conanfile import Procmap
recipe = Procmap()
recipe.set_version()
print(recipe.version)
END
)"

[ $failed = 0 ] || exit 1
echo "$version is ready"
[ "$command" = archive ] || exit 0

name=procmap-$version
mkdir -p "$out/vcpkg/procmap"
git archive --format=tar --prefix="$name/" HEAD | gzip -9n >"$out/$name.tar.gz"
(cd "$out" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
cp single_include/procmap.hpp "$out/"
cat >"$out/procmap.wrap" <<END
[wrap-file]
directory = $name
source_url = $url/$name.tar.gz
source_filename = $name.tar.gz
source_hash = $(cut -d' ' -f1 "$out/$name.tar.gz.sha256")

[provide]
dependency_names = procmap
END
# The port from packaging/, but with the archive as its source.
cp packaging/vcpkg/procmap/vcpkg.json packaging/vcpkg/procmap/usage "$out/vcpkg/procmap/"
cat >"$out/vcpkg/procmap/portfile.cmake" <<END
vcpkg_download_distfile(archive URLS "$url/$name.tar.gz" FILENAME "$name.tar.gz"
  SHA512 $(sha512sum "$out/$name.tar.gz" | cut -d' ' -f1))
vcpkg_extract_source_archive(SOURCE_PATH ARCHIVE "\${archive}")
END
sed '1,/^get_filename_component(SOURCE_PATH /d' packaging/vcpkg/procmap/portfile.cmake >>"$out/vcpkg/procmap/portfile.cmake"
(cd "$out" && find . -type f | sort)
