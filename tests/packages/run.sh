#!/bin/sh
# run.sh SOURCE_DIR [WAY...]: each way in is built and run by a consumer, outside of the tree, from an installed prefix where there
# is one. With WAYs only those (find_package and others need cmake_install before them).
# A tool that is not there is said and counted; exit 77 only where nothing could be tried at all.
set -eu
source=$(cd "$1" && pwd)
shift
only=" $* "
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0
skipped=0
version=$("$source/cmake/version.sh")
if command -v ninja >/dev/null; then export CMAKE_GENERATOR="${CMAKE_GENERATOR:-Ninja}"; fi  # `make` may not be here

wanted() { case $only in "  " | *" $1 "*) ;; *) return 1 ;; esac; }
# way NAME [COMMAND...]: runs the command, or the function of that name, in a folder of its own
way() {
    wanted "$1" || return 0
    name=$1
    [ $# = 1 ] || shift
    mkdir -p "$work/$name"
    begin=$(date +%s)
    set +e  # not `if (...)`: within a condition the subshell's `set -e` would be without effect
    (
        set -e
        cd "$work/$name"
        "$@"
    ) >"$work/$name/log" 2>&1
    status=$?
    set -e
    if [ $status = 0 ]; then
        echo "ok $name ($(($(date +%s) - begin)) s)"
        passed=$((passed + 1))
    else
        echo "not ok $name"
        sed 's/^/    /' "$work/$name/log" | tail -n 40
        failed=$((failed + 1))
    fi
}
# way_with "TOOL..." NAME [COMMAND...]: as way, where the tools are here
way_with() {
    for tool in $1; do
        command -v "$tool" >/dev/null || { skip "$2" "$tool"; return; }
    done
    shift
    way "$@"
}
skip() {
    wanted "$1" || return 0
    echo "SKIPPED $1: no $2"
    skipped=$((skipped + 1))
}
# Whether this CMake can build modules with this compiler: CMake 3.28, GCC 15 or Clang 16, and Ninja.
module_compiler() {
    printf '#if defined(__clang__) ? __clang_major__ < 16 : __GNUC__ < 15\n#error\n#endif\n' |
        ${CXX:-c++} -E -x c++ - >/dev/null 2>&1 && command -v ninja >/dev/null &&
        cmake_is 3.28
}
cmake_is() { echo "cmake_minimum_required(VERSION $1)" >"$work/v.cmake" && cmake -P "$work/v.cmake" 2>/dev/null; }
# From the tree and from an installation: the examples, and a program that imports here and includes there.
module() {
    cat >CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.28)
project(consumer LANGUAGES CXX)
option(INSTALLED "")
if(INSTALLED)
  find_package(procmap $version REQUIRED COMPONENTS module)
else()
  set(PROCMAP_BUILD_MODULE ON)
  add_subdirectory("$source" procmap)
  file(GLOB examples examples/*.cpp)
endif()
enable_testing()
foreach(program IN LISTS examples ITEMS "$source/tests/packages/module/imports.cpp")
  get_filename_component(name "\${program}" NAME_WE)
  add_executable(\${name} "\${program}")
  target_link_libraries(\${name} PRIVATE procmap::module)
  target_link_options(\${name} PRIVATE -Wl,--build-id)
  add_test(NAME \${name} COMMAND \${name})
  set_tests_properties(\${name} PROPERTIES SKIP_RETURN_CODE 77)
endforeach()
target_sources(imports PRIVATE "$source/tests/packages/module/includes.cpp")
END
    mkdir examples
    for example in "$source"/examples/*.cpp; do  # its includes of procmap become an import behind all others
        awk 'FNR == NR { if (/^#include/) last = FNR; next }
             !/^#include <procmap\// { print }
             FNR == last { print "import procmap;" }' "$example" "$example" >"examples/$(basename "$example")"
    done
    for installed in OFF ON; do
        cmake -G Ninja -S . -B build -DINSTALLED=$installed -DCMAKE_PREFIX_PATH="$work/prefix"
        cmake --build build
        ctest --test-dir build --output-on-failure --no-tests=error
    done
}

# docs/getting-started.md: each section in a folder of its own, with the files that it shows and a copy of the tree; its commands
# are run as they stand there.
mkdir "$work/tree" "$work/guide"
for entry in "$source"/*; do
    case $entry in */build | */build-*) ;; *) cp -R "$entry" "$work/tree" ;; esac
done
awk -v out="$work/guide/" '
    /^## / { section = tolower(substr($0, 4)); gsub(/[^a-z0-9]+/, "_", section); section = section "/" }
    /^## / { system("mkdir -p " out section) }
    /^```sh$/ { to = out section "commands"; next }
    /^```[a-z]+ user\// { system("mkdir -p " out section "user") }
    /^```[a-z]+ [^ ]+$/ { to = out section $2; next }
    /^```/ { to = "" }
    to != "" { print > to }' "$source/docs/getting-started.md"
guide_section() {
    cp -R "$work/guide/$1/." "$work/guide/main.cpp" .
    cp -R "$work/tree" procmap
    # What Conan and vcpkg keep from one day to the next is not for a test.
    export CONAN_HOME="$work/conan" VCPKG_BINARY_SOURCES=clear VCPKG_DISABLE_METRICS=1
    export CMAKE_BUILD_TYPE=Debug # it compiles faster
    case $1 in vcpkg) vcpkg remove procmap || : ;; esac
    sh -eux commands
    rm -r procmap
}
guide() {
    for section in "$work"/guide/*/; do
        section=$(basename "$section")
        [ -e "$work/guide/$section/commands" ] || continue
        missing=
        for tool in cmake cpack dpkg meson conan vcpkg pkg-config; do
            ! grep -qw "$tool" "$work/guide/$section/commands" || command -v $tool >/dev/null || missing=$tool
        done
        ! grep -q PROCMAP_BUILD_MODULE "$work/guide/$section/CMakeLists.txt" 2>/dev/null || module_compiler ||
            missing="compiler and CMake that can"
        if [ -n "$missing" ]; then skip "guide.$section" "$missing"; else way "guide.$section" guide_section "$section"; fi
    done
}

# command_files PREFIX: what comes with the command is where its readers look
command_files() {
    [ -e "$1/share/man/man1/procmap.1" ]
    [ -e "$1/share/bash-completion/completions/procmap" ]
    [ -e "$1/share/zsh/site-functions/_procmap" ]
    license "$1"
}
license() { cmp "$source/LICENSE" "$1/share/licenses/procmap/LICENSE"; }
# Options that hide what the tests need.
without="-DCMAKE_DISABLE_FIND_PACKAGE_doctest=ON -DCMAKE_DISABLE_FIND_PACKAGE_Threads=ON -DCMAKE_IGNORE_PATH=/usr/include"
# shellcheck disable=SC2086  # words
cmake_install() {
    cmake -S "$source" -B build -DBUILD_TESTING=OFF -DCMAKE_INSTALL_PREFIX="$work/prefix" $without -DCMAKE_EXPORT_COMPILE_COMMANDS=ON
    # A plain build is optimized, has no warning options and no tests, and downloads nothing.
    grep -x 'CMAKE_BUILD_TYPE:STRING=Release' build/CMakeCache.txt
    if grep -e ' -W' build/compile_commands.json; then return 1; fi
    (cd build && ctest -N) | grep -x 'Total Tests: 0'
    [ ! -e build/_deps ]
    cmake --build build
    cmake --install build
    [ "$("$work/prefix/bin/procmap" --version | grep -o '[0-9.]*')" = "$version" ]
    cmake --install build --component headers --prefix "$work/headers_only"
    [ ! -e "$work/headers_only/bin" ]
    cmake --install build --component cli --prefix "$work/cli_only"
    [ -x "$work/cli_only/bin/procmap" ]
    [ ! -e "$work/cli_only/include" ]
    [ ! -e "$work/headers_only/share/man" ]
    license "$work/headers_only"
    command_files "$work/cli_only"
}
# What the tests need and do not find is said once; it is downloaded only if that is asked for.
# shellcheck disable=SC2086  # words
test_dependencies() {
    if cmake -S "$source" -B build $without >output 2>&1; then return 1; fi
    cat output
    [ "$(grep -c '^CMake Error' output)" = 1 ]
    for text in doctest-dev libboost-dev libc6-dev -DPROCMAP_FETCH_DEPS=ON -DBUILD_TESTING=OFF; do grep -q -e "$text" output; done
    [ ! -e build/_deps ]
    mkdir doctest pfr include
    printf 'add_library(doctest INTERFACE)\nadd_library(doctest::doctest ALIAS doctest)\n' >doctest/CMakeLists.txt
    touch pfr/CMakeLists.txt
    without="-DCMAKE_DISABLE_FIND_PACKAGE_doctest=ON -DCMAKE_IGNORE_PATH=/usr/include"
    without="$without -DFETCHCONTENT_SOURCE_DIR_DOCTEST=$PWD/doctest -DFETCHCONTENT_SOURCE_DIR_PFR=$PWD/pfr"
    # The tests of std::format are there if the compiler has it in C++20.
    echo '// nothing' >include/format
    cmake -S "$source" -B absent -DPROCMAP_FETCH_DEPS=ON $without -DCMAKE_CXX_FLAGS="-I$PWD/include"
    (cd absent && ctest -N) | grep ' format.absent$'
    cat >include/format <<'END'
#include <string>
#if __cplusplus > 201703
namespace std { inline string format(const char*, int) { return "1"; } }
#endif
END
    cmake -S "$source" -B present -DPROCMAP_FETCH_DEPS=ON $without -DCMAKE_CXX_FLAGS="-I$PWD/include"
    if (cd present && ctest -N) | grep ' format.absent$'; then return 1; fi
    (cd present && ctest -N) | grep ' format$'
}
# Warnings are errors with every preset, for all targets.
presets() {
    cd "$source"
    for preset in $(cmake --list-presets | sed -n 's/^ *"\(.*\)".*/\1/p'); do
        cmake --preset "$preset" -N --log-level=VERBOSE -B "$work/presets/build" >"$work/presets/output"
        grep 'CMAKE_COMPILE_WARNING_AS_ERROR:BOOL="TRUE"' "$work/presets/output"
        grep 'CMAKE_CXX_FLAGS="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -' "$work/presets/output"
    done
}
# not_found WHY FIND [OPTION...]: a CMake project that cannot have it by that line, and is told why
not_found() {
    why=$1
    printf 'cmake_minimum_required(VERSION 3.18)\nproject(consumer LANGUAGES NONE)\n%s\n' "$2" >CMakeLists.txt
    shift 2
    if cmake -S . -B build "$@" >output 2>&1; then return 1; fi
    cat output
    grep -q "$why" output
}

# find_package PREFIX: both components
find_package() {
    cat >CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.18)
project(consumer LANGUAGES NONE)
set(CMAKE_SIZEOF_VOID_P 2)  # of another architecture than it was installed by: nothing in it depends on one
find_package(procmap $version REQUIRED COMPONENTS headers cli)
add_custom_target(version ALL COMMAND procmap::cli --version)
END
    cmake -S . -B build -DCMAKE_PREFIX_PATH="$1"
    cmake --build build
}
# headers_found PREFIX: a program is built with the headers, and the command is known to be absent
headers_found() {
    cat >CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.18)
project(consumer LANGUAGES CXX)
find_package(procmap $version REQUIRED)
find_package(procmap OPTIONAL_COMPONENTS cli)
if(procmap_cli_FOUND OR NOT procmap_FOUND)
  message(FATAL_ERROR "the command is not installed there, the headers are")
endif()
add_executable(consumer "$source/tests/packages/consumer.cpp")
target_link_libraries(consumer PRIVATE procmap::procmap)
END
    cmake -S . -B build -DCMAKE_PREFIX_PATH="$1"
    cmake --build build
    build/consumer
    rm -r build
    not_found 'without the component cli' 'find_package(procmap REQUIRED COMPONENTS cli)' -DCMAKE_PREFIX_PATH="$1"
}
# What is installed works where it was moved to, and gives the components that are there.
find_package_moved() {
    mv "$work/headers_only" moved
    headers_found "$PWD/moved"
}
refuses_versions() {  # too new; of another minor version, below 1.0
    for other in 99.0 0.0.1; do
        not_found "compatible with requested version" "find_package(procmap $other REQUIRED)" -DCMAKE_PREFIX_PATH="$work/prefix"
        rm -r build
    done
}
refuses_absent() {  # nor is a tree named procmap an installation
    ln -s "$source" procmap
    not_found 'Could not find a package configuration file provided by "procmap"' "find_package(procmap REQUIRED)" \
        -DCMAKE_PREFIX_PATH="$PWD"
}

# A parent project gets the target and nothing else: no other target, test, setting or file of its installation.
nothing_forced="
get_property(targets DIRECTORY \"$source\" PROPERTY BUILDSYSTEM_TARGETS)
get_property(folders DIRECTORY \"$source\" PROPERTY SUBDIRECTORIES)
get_property(tests DIRECTORY \"$source\" PROPERTY TESTS)
get_target_property(features procmap::procmap INTERFACE_COMPILE_FEATURES)
get_target_property(options procmap::procmap INTERFACE_COMPILE_OPTIONS)
if(NOT targets STREQUAL procmap_library OR folders OR tests OR NOT features STREQUAL cxx_std_20 OR options)
  message(FATAL_ERROR \"forced on a parent project: \${targets}; \${folders}; \${tests}; \${features}; \${options}\")
endif()
if(DEFINED CMAKE_CXX_STANDARD OR DEFINED CMAKE_CXX_STANDARD_REQUIRED OR DEFINED CMAKE_CXX_EXTENSIONS OR DEFINED BUILD_TESTING
   OR CMAKE_BUILD_TYPE)
  message(FATAL_ERROR \"a setting is forced on a parent project\")
endif()"
forces_nothing() {  # LINES that have the tree as a part
    printf 'cmake_minimum_required(VERSION 3.18)\nproject(parent LANGUAGES CXX)\n%s%s\n' "$1" "$nothing_forced" >CMakeLists.txt
    # The parent's own target may have the library's name.
    cat >>CMakeLists.txt <<END
add_executable(procmap "$source/tests/packages/consumer.cpp")
target_link_libraries(procmap PRIVATE procmap::procmap)
END
    cmake -S . -B build -DCMAKE_INSTALL_PREFIX="$PWD/prefix"
    cmake --build build
    build/procmap
    cmake --install build
    [ ! -e prefix ]
}
add_subdirectory() { forces_nothing "add_subdirectory(\"$source\" vendored)"; }
fetch_content() {
    forces_nothing "include(FetchContent)
FetchContent_Declare(procmap SOURCE_DIR \"$source\")
FetchContent_MakeAvailable(procmap)"
}
# Two parts of a project may each bring it along, or find an installed one before; another version is refused.
twice() {
    cat >CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.18)
project(parent LANGUAGES CXX)
if(INSTALLED)
  find_package(procmap REQUIRED)
else()
  add_subdirectory("$source" first)
endif()
add_subdirectory("\${SECOND}" second)
add_executable(consumer "$source/tests/packages/consumer.cpp")
target_link_libraries(consumer PRIVATE procmap::procmap)
END
    cp -R "$work/tree" other
    cmake -S . -B build -DSECOND="$PWD/other"
    cmake --build build
    build/consumer
    cmake -S . -B found -DINSTALLED=ON -DSECOND="$PWD/other" -DCMAKE_PREFIX_PATH="$work/prefix"
    sed -i 's/^\(#define PROCMAP_VERSION_MAJOR\) .*/\1 99/' other/include/procmap/version.hpp
    for installed in OFF ON; do
        if cmake -S . -B refused -DINSTALLED=$installed -DSECOND="$PWD/other" -DCMAKE_PREFIX_PATH="$work/prefix" >output 2>&1; then return 1; fi
        cat output
        tr -s ' \n' ' ' <output | grep -F "This project has procmap $version already"
    done
}
# What the guide says of an exported target without PROCMAP_INSTALL.
exported_targets() {
    cp -R "$work/guide/cmake_exported_targets/." .
    sed -i "s,^add_subdirectory(procmap),add_subdirectory(\"$source\" vendored)," CMakeLists.txt
    cmake -S . -B build
    sed -i '/PROCMAP_INSTALL/d' CMakeLists.txt
    if cmake -S . -B without >output 2>&1; then return 1; fi
    cat output
    tr -s ' \n' ' ' <output >text
    sentence=$(grep -o 'install(EXPORT "greeter".*export set' "$source/docs/getting-started.md")
    grep -qF "$sentence" text
}
# The compiler takes the headers for a system's, if the parent asks for that.
system() {
    cat >CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.25)
project(parent LANGUAGES CXX)
add_subdirectory("$source" procmap SYSTEM)
add_executable(consumer "$source/tests/packages/consumer.cpp")
target_link_libraries(consumer PRIVATE procmap::procmap)
END
    cmake -S . -B build -DCMAKE_EXPORT_COMPILE_COMMANDS=ON
    grep -e "-isystem $source/include" build/compile_commands.json
}
# A Debian package: its names, what is in it and where, and a consumer. It has the build of cmake_install.
deb() {
    cpack --config "$work/cmake_install/build/CPackConfig.cmake" -G DEB -B "$PWD"
    deb=procmap_$version-1_$(dpkg --print-architecture).deb
    dpkg-deb --field "$deb" Depends | grep 'libstdc++6'
    if command -v dpkg-shlibdeps && command -v file; then dpkg-deb --field "$deb" Depends | grep 'libstdc++6 (>= '; fi
    dpkg-deb --extract "$deb" root
    cmp "$source/LICENSE" root/usr/share/doc/procmap/copyright
    [ ! -e root/usr/share/licenses ]
    gzip -dc root/usr/share/man/man1/procmap.1.gz | cmp - "$source/man/procmap.1"
    gzip -dc root/usr/share/doc/procmap/changelog.gz | cmp - "$source/CHANGELOG.md"
    for file in bash-completion/completions/procmap zsh/site-functions/_procmap pkgconfig/procmap.pc; do [ -e "root/usr/share/$file" ]; done
    [ "$(dpkg-deb --contents "$deb" | grep -v -c root/root)" = 0 ]
    if command -v lintian >/dev/null; then lintian --allow-root --fail-on error "$deb"; fi
    if readelf -S root/usr/bin/procmap | grep ' \.symtab '; then return 1; fi
    find_package "$PWD/root/usr"
    rm -r build root/usr/bin root/usr/share/cmake/procmap/procmap-cli*
    headers_found "$PWD/root/usr"
}

pkg_config() { [ "$(PKG_CONFIG_PATH="$work/prefix/share/pkgconfig" pkg-config --modversion procmap)" = "$version" ]; }

meson_subproject() {  # nothing of it is built or installed
    mkdir subprojects
    ln -s "$source" subprojects/procmap
    cat >meson.build <<'END'
project('parent', 'cpp', default_options: ['cpp_std=c++20'])
procmap = dependency('procmap', fallback: 'procmap')
END
    meson setup build --prefix "$PWD/prefix"
    meson install -C build
    [ ! -e prefix ]
    [ "$(meson introspect build --tests)" = "[]" ]
}
meson_dependency() {  # installed by CMake
    cp "$source/tests/packages/consumer.cpp" .
    cat >meson.build <<'END'
project('consumer', 'cpp', default_options: ['cpp_std=c++20'])
executable('consumer', 'consumer.cpp', dependencies: dependency('procmap', version: '>=0.1'))
END
    meson setup build -Dpkg_config_path="$work/prefix/share/pkgconfig"
    meson compile -C build
    build/consumer
}
meson_install() {
    meson setup build "$source" --prefix "$work/meson_prefix"
    meson install -C build --no-rebuild --tags devel,man,completion
    command_files "$work/meson_prefix"
    (cd "$source/include" && find . -type f | sort) >wanted
    (cd "$work/meson_prefix/include" && find . -type f | sort) | diff wanted -
    grep -qx "Version: $version" "$work/meson_prefix/share/pkgconfig/procmap.pc"
}
# Meson has the tests that CMake has: the examples, the doctest executables, the corpora, the command; and they run.
meson_tests() {
    {
        echo cli
        for example in "$source"/examples/*.cpp; do echo "example.$(basename "$example" .cpp)"; done
        for corpus in "$source"/fuzz/corpus/*/; do echo "fuzz.$(basename "$corpus")"; done
        sed -n 's/^procmap_test(\([a-z_]*\).*/\1/p' "$source/tests/CMakeLists.txt"
    } | sort >wanted
    meson introspect "$work/meson_install/build" --tests | grep -o '"name": "[^"]*"' | cut -d'"' -f4 |
        grep -vx -e fmt -e format | sort | diff wanted -  # those two are there where what they need is
    meson test -C "$work/meson_install/build" example.uapi_layout example.no_exceptions
}

# An installation by Meson has the CMake package too: its components, and the versions that it is compatible with.
meson_find_package() {
    headers_found "$work/meson_prefix"
    ninja -C "$work/meson_install/build" procmap
    meson install -C "$work/meson_install/build" --no-rebuild --tags runtime
    find_package "$work/meson_prefix"
    rm -r build
    minor=${version%.*}
    cat >CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.18)
project(consumer LANGUAGES NONE)
foreach(request IN ITEMS $version $minor $minor.0 ${version%%.*} $minor.99 0.0.1 99.0 $minor...$version $minor...<$minor.1
    $minor...99.0 $minor...<99.0 $minor...<${version%%.*}.$((${minor#*.} + 1)) $minor.0...$minor.99 0.0.1...$minor 0.0.1...99)
  foreach(prefix IN ITEMS "$work/prefix" "$work/meson_prefix")
    unset(procmap_DIR CACHE)
    find_package(procmap \${request} QUIET CONFIG PATHS "\${prefix}" NO_DEFAULT_PATH)
    set(answer_\${prefix} "\${request}: \${procmap_FOUND} \${procmap_VERSION}")
    message(STATUS "\${answer_\${prefix}}")
  endforeach()
  if(NOT answer_$work/prefix STREQUAL answer_$work/meson_prefix)
    message(SEND_ERROR "the two differ")
  endif()
endforeach()
END
    cmake -S . -B build >output || { cat output; return 1; }
    grep -q "^-- $version: 1 $version" output
    # Elsewhere, and with folders of its own.
    meson setup folders "$source" --prefix "$PWD/other" --includedir include/of/procmap --datadir lib/share
    meson install -C folders --no-rebuild --tags devel
    headers_found "$PWD/other/lib"
}

# One header: the same tokens as all headers, and each example with nothing else of the library.
one_header() {
    cp "$source/single_include/procmap.hpp" .
    sed -n '/^set(procmap_headers/,/^)/s/^ *include\/\(.*\.hpp\)$/#include <\1>/p' "$source/cmake/headers.cmake" >each.cpp
    echo '#include "procmap.hpp"' >all.cpp
    for unit in each all; do
        c++ -std=c++20 -I"$source/include" -E -P $unit.cpp | tr -s '[:space:]' '\n' >$unit.tokens
    done
    [ "$(wc -l <all.tokens)" -gt 10000 ]
    cmp each.tokens all.tokens
    # The examples as one program: each in a namespace, without its includes.
    {
        cat all.cpp
        grep -h '^#include <' "$source"/examples/*.cpp | grep -v '<procmap/' | sort -u
        for example in "$source"/examples/*.cpp; do
            echo "namespace example_$(basename "$example" .cpp) {"
            sed '/^#include/d; s/^int main()/int example()/' "$example"
            echo "}"
        done
        echo 'int main(int, char** arguments) {'
        for example in "$source"/examples/*.cpp; do
            name=$(basename "$example" .cpp)
            echo "    if (std::string_view{arguments[1]} == \"$name\") return example_$name::example();"
        done
        echo '    return 1;'
        echo '}'
    } >examples.cpp
    c++ -std=c++20 examples.cpp -o examples -Wl,--build-id
    for example in "$source"/examples/*.cpp; do
        status=0
        ./examples "$(basename "$example" .cpp)" || status=$?
        echo "$example: $status"
        [ $status = 0 ] || [ $status = 77 ]
    done
}

# The checklist of a release is green on a copy that is one, and goes red for each item; what it publishes can be used.
release() {
    git init -q tree
    cp -R "$work/tree/." tree
    cd tree
    git config user.name test
    git config user.email test@localhost
    git config tag.gpgSign false
    git config commit.gpgSign false
    printf '/build/\n' >.gitignore
    git add -A
    git commit -qm before
    git tag v0.0.9
    sed -i "s/^## \[Unreleased\]\$/&\n\n## [$version] - 2026-01-31/" CHANGELOG.md
    git commit -qam release
    cmake/release.sh archive "file://$PWD/build/release"

    # red WHY COMMAND...: once the command was run and its changes committed, the checklist says so
    red() {
        why=$1
        shift
        "$@"
        git commit -qam broken --allow-empty
        if cmake/release.sh check >output; then
            echo "green after: $*"
            return 1
        fi
        cat output
        grep -q "^not ready: $why" output
        git tag -d "v$version" v99.0.0 >/dev/null 2>&1 || :
        git reset -q --hard HEAD^
    }
    echo >>README.md
    if cmake/release.sh check >output; then return 1; fi
    grep -q '^not ready: the tree has changes' output
    git checkout -q README.md
    rm output
    echo output >>.git/info/exclude
    red "$version is released already" git tag "v$version"
    red "$version in .* is below the last tag, v99.0.0" git tag v99.0.0
    red "single_include/procmap.hpp is out of date" sed -i '1i // edited' include/procmap/kind.hpp
    # shellcheck disable=SC2317  # run by red
    changelog() { sed -i "$1" CHANGELOG.md; }
    red "CHANGELOG.md: line [0-9]* is neither" changelog "s/^\(## \[$version\]\) .*/\1/"
    red "CHANGELOG.md: there is no day 2026-02-31" changelog "s/2026-01-31/2026-02-31/"
    red "CHANGELOG.md: the newest release in it is not" changelog "s/^## \[$version\]/## [0.0.9]/"
    red "CHANGELOG.md: nothing stands under" changelog '/^- /d'
    red "CHANGELOG.md: \[Unreleased\] has entries" changelog 's/^## \[Unreleased\]$/&\n\n- More./'
    red "CHANGELOG.md: the first section is not" changelog '/^## \[Unreleased\]$/d'
    red "CHANGELOG.md: line [0-9]* is no kind of change" changelog 's/^### Added/### Stuff/'
    # shellcheck disable=SC2016,SC2317  # sed looks for the $; run by red
    disagree() {
        sed -i 's/"version": "/&9/' packaging/vcpkg/procmap/vcpkg.json
        sed -i 's/VERSION ${procmap_version}/VERSION 9.9.9/' CMakeLists.txt
        sed -i "s/version: run_command.*/version: '9.9.9',/" meson.build
        sed -i 's/^        self.version = .*/        self.version = "9.9.9"/' conanfile.py
    }
    red "vcpkg says version 9" disagree
    for package in CMake pkg-config Meson Conan; do grep -q "^not ready: $package says version 9.9.9" output; done
    cd ..

    # The archive is the tree, and the wrap fetches it.
    (cd tree/build/release && sha256sum -c procmap-*.tar.gz.sha256)
    tree/cmake/amalgamate.sh | cmp - tree/build/release/procmap.hpp
    mkdir -p consumer/subprojects
    cp tree/build/release/procmap.wrap consumer/subprojects
    cp "$source/tests/packages/consumer.cpp" consumer
    cat >consumer/meson.build <<'END'
project('consumer', 'cpp', default_options: ['cpp_std=c++20'])
executable('consumer', 'consumer.cpp', dependencies: dependency('procmap', version: '>=0.1'))
END
    cd consumer
    meson setup build
    meson compile -C build
    build/consumer
    sed -i 's/^source_hash = ./&f/' subprojects/procmap.wrap
    rm -r subprojects/procmap-* subprojects/packagecache
    if meson setup refused; then return 1; fi  # another archive than the release's
}
# The port of the tree is in the guide; here the command's, and the port of a release.
vcpkg_ports() {
    export VCPKG_BINARY_SOURCES=clear VCPKG_DISABLE_METRICS=1
    printf 'cmake_minimum_required(VERSION 3.18)\nproject(consumer LANGUAGES CXX)\n%s\n%s\n' 'find_package(procmap REQUIRED COMPONENTS cli)' \
        'add_custom_target(version ALL COMMAND procmap::cli --version)' >CMakeLists.txt
    for ports in "$source/packaging/vcpkg" "$work/release/tree/build/release/vcpkg"; do
        vcpkg remove procmap || :
        vcpkg install 'procmap[cli]' --overlay-ports="$ports"
        rm -rf build
        cmake -S . -B build -DCMAKE_TOOLCHAIN_FILE="$VCPKG_ROOT/scripts/buildsystems/vcpkg.cmake"
        cmake --build build
    done
    vcpkg remove procmap
}
conan_refuses() {
    export CONAN_HOME="$work/conan"
    cp -R "$work/tree" procmap
    [ "$(conan inspect procmap --format=json | grep -o '"version": "[^"]*"')" = "\"version\": \"$version\"" ]
    conan profile detect --exist-ok
    if conan create procmap -s compiler.cppstd=17 >output 2>&1; then return 1; fi
    cat output
    grep -q 'lower than the required C++ standard' output
    if conan create procmap -s os=Windows -s compiler.cppstd=20 >output 2>&1; then return 1; fi
    cat output
    grep -q 'asks the Linux kernel' output
}

guide
way cmake_install
way find_package find_package "$work/prefix"
way find_package_moved
way refuses_versions
way refuses_absent
way test_dependencies
if cmake_is 3.24; then way presets; else skip presets "CMake 3.24"; fi
if cmake_is 3.19; then way_with "cpack dpkg-deb readelf" deb; else skip deb "CMake 3.19"; fi
way add_subdirectory
way fetch_content
way twice
way exported_targets
if cmake_is 3.25; then way system; else skip system "CMake 3.25"; fi
way_with pkg-config pkg_config
way_with meson meson_subproject
way_with "meson pkg-config" meson_dependency
way_with meson meson_install
if printf '#include <doctest/doctest.h>\n#include <boost/pfr.hpp>\n' | c++ -std=c++20 -E -x c++ - >/dev/null 2>&1; then
    way_with meson meson_tests
else
    skip meson_tests "doctest or Boost.PFR"
fi
way_with meson meson_find_package
way one_header
way_with "git meson python3" release
way_with vcpkg vcpkg_ports
way_with conan conan_refuses
if module_compiler; then way module; else skip module "compiler and CMake that can"; fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
