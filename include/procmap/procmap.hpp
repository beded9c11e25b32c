// Everything, but for what is asked for by name: bpf.hpp, and the bridges to other libraries' types.
#pragma once

#include <procmap/version.hpp>
#include <procmap/cached_maps.hpp>
#include <procmap/difference.hpp>
#include <procmap/handover.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>
#include <procmap/snapshot.hpp>

/// Fast, safe queries of process memory mappings on Linux: by the PROCMAP_QUERY ioctl where available, otherwise by the text of
/// /proc/PID/maps.
namespace procmap {}
