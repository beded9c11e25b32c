#!/bin/sh
# run.sh SOURCE_DIR: each way in is built and run by a consumer, outside of the tree, from an installed prefix where there is one.
# A tool that is not there is said and counted; exit 77 only where nothing could be tried at all.
set -eu
source=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0
skipped=0
version=$("$source/cmake/version.sh")

# way NAME: runs the function of that name in a folder of its own
way() {
    mkdir -p "$work/$1"
    if (cd "$work/$1" && set -e && "$1") >"$work/$1/log" 2>&1; then
        echo "ok $1"
        passed=$((passed + 1))
    else
        echo "not ok $1"
        sed 's/^/    /' "$work/$1/log" | tail -n 40
        failed=$((failed + 1))
    fi
}
skip() {
    echo "SKIPPED $1: no $2"
    skipped=$((skipped + 1))
}

# consumer FIND: a CMake project that has the library by that line, built and run
cmake_consumer() {
    cp "$source/tests/packages/consumer.cpp" .
    cat >CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.24)
project(consumer LANGUAGES CXX)
$1
add_executable(consumer consumer.cpp)
target_link_libraries(consumer PRIVATE procmap::procmap)
if(TARGET procmap_cli OR TARGET test.pure)
  message(FATAL_ERROR "more than the library is built in a parent project")
endif()
END
    shift
    cmake -S . -B build "$@"
    cmake --build build
    build/consumer
}

cmake_install() {
    cmake -S "$source" -B build -DPROCMAP_BUILD_TESTS=OFF -DCMAKE_INSTALL_PREFIX="$work/prefix"
    cmake --build build
    cmake --install build
    [ "$("$work/prefix/bin/procmap" --version | grep -o '[0-9.]*')" = "$version" ]
    cmake --install build --component headers --prefix "$work/headers_only"
    [ ! -e "$work/headers_only/bin" ]
}
find_package() { cmake_consumer "find_package(procmap $version REQUIRED)" -DCMAKE_PREFIX_PATH="$work/prefix"; }
refuses_too_new() {
    if cmake_consumer "find_package(procmap 99.0 REQUIRED)" -DCMAKE_PREFIX_PATH="$work/prefix"; then return 1; fi
    grep -q 'compatible' "$work/refuses_too_new/log"
}
refuses_absent() {
    if cmake_consumer "find_package(procmap REQUIRED)" -DCMAKE_PREFIX_PATH=/nonexistent; then return 1; fi
}
add_subdirectory() { cmake_consumer "add_subdirectory(\"$source\" procmap)"; }
fetch_content() {
    cmake_consumer "include(FetchContent)
FetchContent_Declare(procmap SOURCE_DIR \"$source\")
FetchContent_MakeAvailable(procmap)"
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
    cmp "$work/meson_prefix/include/procmap/maps.hpp" "$source/include/procmap/maps.hpp"
    grep -qx "Version: $version" "$work/meson_prefix/share/pkgconfig/procmap.pc"
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
way refuses_too_new
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
if command -v conan >/dev/null; then way conan_create; else skip conan_create conan; fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
