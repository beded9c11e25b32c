# All headers, lowest layer first. Each may include only headers listed before it; check_layers.cmake checks this.
set(procmap_headers
  # values
  include/procmap/version.hpp
  include/procmap/flags.hpp
  include/procmap/detail/digits.hpp
  include/procmap/print.hpp
  include/procmap/result.hpp
  include/procmap/mapping.hpp
  include/procmap/build_id.hpp
  include/procmap/kind.hpp
  include/procmap/uapi.hpp
  include/procmap/detail/line.hpp
  include/procmap/text.hpp
  include/procmap/elf.hpp
  include/procmap/load_bias.hpp
  include/procmap/detail/guards.hpp
  include/procmap/fd.hpp
  include/procmap/options.hpp
  include/procmap/location.hpp
  include/procmap/detail/ioctl.hpp
  include/procmap/query.hpp
  # mappings
  include/procmap/detail/process_page.hpp
  include/procmap/detail/close_elsewhere.hpp
  include/procmap/detail/handle.hpp
  include/procmap/detail/procfs.hpp
  include/procmap/detail/text_reader.hpp
  include/procmap/detail/id_rule.hpp
  include/procmap/detail/lookup.hpp
  include/procmap/probe.hpp
  include/procmap/detail/open.hpp
  include/procmap/walk.hpp
  include/procmap/maps.hpp
  include/procmap/handover.hpp
  # files, copies
  include/procmap/recorded.hpp
  include/procmap/detail/file_system.hpp
  include/procmap/detail/task_directory.hpp
  include/procmap/detail/task.hpp
  include/procmap/detail/file_search.hpp
  include/procmap/detail/image_facts.hpp
  include/procmap/detail/file_cache.hpp
  include/procmap/detail/memory_image.hpp
  include/procmap/detail/file_finder.hpp
  include/procmap/detail/address_order.hpp
  include/procmap/detail/file_table.hpp
  include/procmap/detail/resolver.hpp
  include/procmap/normalizer.hpp
  include/procmap/cached_maps.hpp
  include/procmap/bpf.hpp
  include/procmap/detail/record_table.hpp
  include/procmap/detail/capture.hpp
  include/procmap/snapshot.hpp
  include/procmap/difference.hpp
  # all, and bridges
  include/procmap/system_error.hpp
  include/procmap/detail/formatted.hpp
  include/procmap/procmap.hpp
)
# Headers that need a newer standard library or {fmt}.
set(procmap_optional_headers
  include/procmap/format.hpp
  include/procmap/fmt.hpp
)
