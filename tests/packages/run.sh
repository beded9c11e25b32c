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

wanted() { case $only in "  " | *" $1 "*) ;; *) return 1 ;; esac; }
# way NAME: runs the function of that name in a folder of its own
way() {
    wanted "$1" || return 0
    mkdir -p "$work/$1"
    set +e  # not `if (...)`: within a condition the subshell's `set -e` would be without effect
    (
        set -e
        cd "$work/$1"
        "$1"
    ) >"$work/$1/log" 2>&1
    status=$?
    set -e
    if [ $status = 0 ]; then
        echo "ok $1"
        passed=$((passed + 1))
    else
        echo "not ok $1"
        sed 's/^/    /' "$work/$1/log" | tail -n 40
        failed=$((failed + 1))
    fi
}
skip() {
    wanted "$1" || return 0
    echo "SKIPPED $1: no $2"
    skipped=$((skipped + 1))
}

# cmake_consumer FIND [OPTION...]: a CMake project that has the library by those lines, built and run
cmake_consumer() {
    cp "$source/tests/packages/consumer.cpp" .
    cat >CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.24)
project(consumer LANGUAGES CXX)
$1
add_executable(consumer consumer.cpp)
target_link_libraries(consumer PRIVATE procmap::procmap)
END
    shift
    cmake -S . -B build "$@"
    cmake --build build
    build/consumer
}
# not_found WHY FIND [OPTION...]: a CMake project that cannot have it by that line, and is told why
not_found() {
    why=$1
    printf 'cmake_minimum_required(VERSION 3.24)\nproject(consumer LANGUAGES NONE)\n%s\n' "$2" >CMakeLists.txt
    shift 2
    if cmake -S . -B build "$@" >output 2>&1; then return 1; fi
    cat output
    grep -q "$why" output
}

# command_files PREFIX: what comes with the command is where its readers look
command_files() {
    [ -e "$1/share/man/man1/procmap.1" ]
    [ -e "$1/share/bash-completion/completions/procmap" ]
    [ -e "$1/share/zsh/site-functions/_procmap" ]
}

cmake_install() {
    cmake -S "$source" -B build -DPROCMAP_BUILD_TESTS=OFF -DCMAKE_INSTALL_PREFIX="$work/prefix"
    cmake --build build
    cmake --install build
    [ "$("$work/prefix/bin/procmap" --version | grep -o '[0-9.]*')" = "$version" ]
    cmake --install build --component headers --prefix "$work/headers_only"
    [ ! -e "$work/headers_only/bin" ]
    cmake --install build --component cli --prefix "$work/cli_only"
    [ -x "$work/cli_only/bin/procmap" ] && [ ! -e "$work/cli_only/include" ]
    [ ! -e "$work/headers_only/share/man" ]
    command_files "$work/cli_only"
}
find_package() {
    cmake_consumer "find_package(procmap $version REQUIRED COMPONENTS headers cli)
add_custom_target(version ALL COMMAND procmap::cli --version)" -DCMAKE_PREFIX_PATH="$work/prefix"
}
find_package_moved() {
    mv "$work/headers_only" moved
    cmake_consumer "find_package(procmap $version REQUIRED)
find_package(procmap OPTIONAL_COMPONENTS cli)
if(procmap_cli_FOUND)
  message(FATAL_ERROR \"a component that is not installed is found\")
endif()" -DCMAKE_PREFIX_PATH="$PWD/moved"
    not_found 'without the component cli' 'find_package(procmap REQUIRED COMPONENTS cli)' -DCMAKE_PREFIX_PATH="$PWD/moved"
}
refuses_versions() {  # too new; of another minor version, below 1.0
    for wanted in 99.0 0.0.1; do
        not_found "compatible with requested version" "find_package(procmap $wanted REQUIRED)" -DCMAKE_PREFIX_PATH="$work/prefix"
        rm -r build
    done
}
refuses_absent() { not_found 'Could not find a package configuration file provided by "procmap"' "find_package(procmap CONFIG REQUIRED)" -DCMAKE_PREFIX_PATH=/nonexistent; }

# A parent project gets the target and nothing else: no other target, test, setting or file of its installation.
nothing_forced="
get_property(targets DIRECTORY \"$source\" PROPERTY BUILDSYSTEM_TARGETS)
get_property(tests DIRECTORY \"$source\" PROPERTY TESTS)
get_target_property(features procmap::procmap INTERFACE_COMPILE_FEATURES)
get_target_property(options procmap::procmap INTERFACE_COMPILE_OPTIONS)
if(NOT targets STREQUAL procmap OR tests OR NOT features STREQUAL cxx_std_20 OR options)
  message(FATAL_ERROR \"forced on a parent project: \${targets}; \${tests}; \${features}; \${options}\")
endif()
if(DEFINED CMAKE_CXX_STANDARD OR DEFINED CMAKE_CXX_STANDARD_REQUIRED OR DEFINED CMAKE_CXX_EXTENSIONS OR DEFINED BUILD_TESTING)
  message(FATAL_ERROR \"a setting is forced on a parent project\")
endif()"
add_subdirectory() {
    cmake_consumer "add_subdirectory(\"$source\" procmap)$nothing_forced" -DCMAKE_INSTALL_PREFIX="$PWD/prefix"
    cmake --install build
    [ ! -e prefix ]
}
fetch_content() {
    cmake_consumer "include(FetchContent)
FetchContent_Declare(procmap SOURCE_DIR \"$source\")
FetchContent_MakeAvailable(procmap)$nothing_forced"
}
pkg_config() {
    # shellcheck disable=SC2046  # words for the compiler
    c++ -std=c++20 "$source/tests/packages/consumer.cpp" -o consumer $(PKG_CONFIG_PATH="$work/prefix/share/pkgconfig" pkg-config --cflags procmap)
    ./consumer
    [ "$(PKG_CONFIG_PATH="$work/prefix/share/pkgconfig" pkg-config --modversion procmap)" = "$version" ]
}
include_path() {
    c++ -std=c++20 -I"$source/include" "$source/tests/packages/consumer.cpp" -o consumer
    ./consumer
}
meson_subproject() {
    cp "$source/tests/packages/consumer.cpp" .
    mkdir subprojects
    ln -s "$source" subprojects/procmap
    cat >meson.build <<'END'
project('consumer', 'cpp', default_options: ['cpp_std=c++20'])
executable('consumer', 'consumer.cpp', dependencies: dependency('procmap', fallback: 'procmap'))
END
    meson setup build
    meson compile -C build
    build/consumer
}
meson_dependency() {
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
    meson compile -C build procmap
    meson install -C build --no-rebuild
    command_files "$work/meson_prefix"
    cmp "$work/meson_prefix/include/procmap/maps.hpp" "$source/include/procmap/maps.hpp"
    grep -qx "Version: $version" "$work/meson_prefix/share/pkgconfig/procmap.pc"
}
# Whether this CMake can build modules with this compiler: CMake 3.28, GCC 15 or Clang 16, and Ninja.
module_compiler() {
    printf '#if defined(__clang__) ? __clang_major__ < 16 : __GNUC__ < 15\n#error\n#endif\n' | ${CXX:-c++} -E -x c++ - >/dev/null 2>&1 &&
        command -v ninja >/dev/null && printf 'cmake_minimum_required(VERSION 3.28)\n' >"$work/v.cmake" && cmake -P "$work/v.cmake" 2>/dev/null
}
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
conan_create() {
    mkdir tests  # a copy: it builds in the folder of its recipe
    cp -R "$source/include" "$source/LICENSE" "$source/conanfile.py" "$source/test_package" .
    cp -R "$source/tests/packages" tests
    export CONAN_HOME="$work/conan_home"
    conan profile detect
    conan create . -s compiler.cppstd=20
    if conan create . -s compiler.cppstd=17; then return 1; fi  # the headers need C++20
}

way include_path
way cmake_install
way find_package
way find_package_moved
way refuses_versions
way refuses_absent
way add_subdirectory
way fetch_content
if command -v pkg-config >/dev/null; then way pkg_config; else skip pkg_config pkg-config; fi
if command -v meson >/dev/null; then
    way meson_subproject
    way meson_dependency
    way meson_install
else
    skip meson meson
fi
if module_compiler; then way module; else skip module "compiler and CMake that can"; fi
if command -v conan >/dev/null; then way conan_create; else skip conan_create conan; fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
