// Version macros.

#include <procmap/version.hpp>

static_assert(PROCMAP_VERSION == PROCMAP_VERSION_MAJOR * 10'000 + PROCMAP_VERSION_MINOR * 100 + PROCMAP_VERSION_PATCH);
static_assert(PROCMAP_VERSION_MINOR < 100 && PROCMAP_VERSION_PATCH < 100, "else two versions compare the wrong way");
#if PROCMAP_VERSION < 100  // the preprocessor can compare it: 0.1.0 was the first
#error "PROCMAP_VERSION"
#endif
