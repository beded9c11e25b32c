#!/bin/sh
# The version, as it stands in the header: MAJOR.MINOR.PATCH.
awk '/#define PROCMAP_VERSION_(MAJOR|MINOR|PATCH) / { printf "%s%s", dot, $3; dot = "." } END { print "" }' \
    "$(dirname "$0")/../include/procmap/version.hpp"
