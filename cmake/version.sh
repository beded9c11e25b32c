#!/bin/sh
# Prints the version from version.hpp: MAJOR.MINOR.PATCH.
awk '/#define PROCMAP_VERSION_(MAJOR|MINOR|PATCH) / { printf "%s%s", dot, $3; dot = "." } END { print "" }' \
    "$(dirname "$0")/../include/procmap/version.hpp"
