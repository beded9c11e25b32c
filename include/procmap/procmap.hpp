// Includes the library, except for bpf.hpp, system_error.hpp, format.hpp and fmt.hpp.
//
//   auto self = procmap::maps::open_self();
//   auto walk = self->walk({.names = true});
//   for (const procmap::mapping& m : walk) std::cout << m << '\n';
#pragma once

#include <procmap/version.hpp>
#include <procmap/cached_maps.hpp>
#include <procmap/difference.hpp>
#include <procmap/handover.hpp>
#include <procmap/maps.hpp>
#include <procmap/normalizer.hpp>
#include <procmap/owned_mapping.hpp>
#include <procmap/self_maps.hpp>
#include <procmap/snapshot.hpp>
#include <procmap/text_walk.hpp>

/// Fast, safe queries of process memory mappings on Linux: by the PROCMAP_QUERY ioctl if available, otherwise by /proc/PID/maps as text.
namespace procmap {}
