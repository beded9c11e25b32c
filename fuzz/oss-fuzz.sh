#!/bin/sh
# Builds the fuzz targets for OSS-Fuzz. Its builder calls this as build.sh, with CXX, CXXFLAGS, LIB_FUZZING_ENGINE, OUT and SRC set:
# https://google.github.io/oss-fuzz/getting-started/new-project-guide/#buildsh
set -eu
cd "$SRC/procmap"
for corpus in fuzz/corpus/*; do
    target=${corpus##*/}
    # shellcheck disable=SC2086  # flags are several words
    $CXX $CXXFLAGS -std=c++20 -U_FORTIFY_SOURCE -Iinclude "fuzz/$target.cpp" $LIB_FUZZING_ENGINE -o "$OUT/procmap_$target"
    zip -q -j "$OUT/procmap_${target}_seed_corpus.zip" "$corpus"/*
done
for target in parse reader snapshot; do cp fuzz/maps.dict "$OUT/procmap_$target.dict"; done
cp fuzz/elf.dict "$OUT/procmap_elf.dict"
