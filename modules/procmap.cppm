// `import procmap;` exports every public name of the headers, but not what they include, and no macros. One source file of a program may
// import it and another include the headers: the entities are the same.
module;

#include <version>  // for __cpp_lib_format

#include <procmap/bpf.hpp>
#include <procmap/procmap.hpp>
#include <procmap/system_error.hpp>
#if defined(__cpp_lib_format) || (defined(_LIBCPP_VERSION) && _LIBCPP_VERSION >= 170000)
#define PROCMAP_HAS_FORMAT
#include <format>
#include <procmap/detail/formatted.hpp>
#endif

export module procmap;

// A formatter is a partial specialization that names no type of the library, so nothing exported leads to it, and in the global module
// fragment above it would be discarded. Included here it is kept, and is the same as where format.hpp is included.
#if defined(PROCMAP_HAS_FORMAT)
extern "C++" {
#include "procmap/format.hpp"
}
#endif

export namespace procmap::inline PROCMAP_ABI {

// flags.hpp
using procmap::executable;
using procmap::file_backed;
using procmap::filter;
using procmap::filters;
using procmap::flags;
using procmap::perm;
using procmap::permission_set;
using procmap::prot;
using procmap::readable;
using procmap::shared;
using procmap::writable;
using procmap::operator|;

// print.hpp
using procmap::print;
using procmap::operator<<;  // of every type

// result.hpp
using procmap::bad_result_access;
using procmap::describe;
using procmap::errc;
using procmap::errno_name;
using procmap::error;
using procmap::result;
using procmap::step;

// mapping.hpp
using procmap::build_id_view;
using procmap::device_number;
using procmap::escaped_newline;
using procmap::mapping;
using procmap::name_column_32;
using procmap::name_column_64;
using procmap::any_address;
using procmap::name_state;
using procmap::print_name;

// uapi.hpp
namespace uapi {
using procmap::uapi::build_id_size_max;
using procmap::uapi::carries;
using procmap::uapi::field;
using procmap::uapi::fields;
using procmap::uapi::layout;
using procmap::uapi::layouts;
using procmap::uapi::procmap_query;
using procmap::uapi::procmap_query_request;
using procmap::uapi::query;
using procmap::uapi::query_flag;
using procmap::uapi::query_flags;
using procmap::uapi::to_query_flags;
using procmap::uapi::operator|;
}

// text.hpp
using procmap::parse;
using procmap::parse_line;
using procmap::parse_options;
using procmap::parsed_lines;

// text_walk.hpp
using procmap::text_walk;
using procmap::text_walk_room;

// fd.hpp
using procmap::borrowed_fd;
using procmap::unique_fd;

// elf.hpp
namespace elf {
using procmap::elf::bytes_source;
using procmap::elf::image;
using procmap::elf::most_notes;
using procmap::elf::most_sections;
using procmap::elf::most_segments;
using procmap::elf::segment;
}

// load_bias.hpp
namespace elf {
using procmap::elf::address_in_file;
using procmap::elf::address_of;
using procmap::elf::agrees;
using procmap::elf::choose_bias;
using procmap::elf::in_image;
using procmap::elf::load_bias;
using procmap::elf::loadable;
using procmap::elf::most_biases;
using procmap::elf::most_loads;
using procmap::elf::neighbour;
using procmap::elf::placement;
using procmap::elf::placing;
}

// build_id.hpp
using procmap::build_id;
using procmap::build_id_source;

// owned_mapping.hpp
using procmap::owned_mapping;

// self_maps.hpp
using procmap::self_maps;

// kind.hpp
using procmap::kind_of;
using procmap::mapping_kind;
using procmap::to_string;

// options.hpp
using procmap::backend;
using procmap::build_id_buffer;
using procmap::build_id_choice;
using procmap::cached_maps_options;
using procmap::capture_options;
using procmap::find_options;
using procmap::name_buffer;
using procmap::normalizer_options;
using procmap::open_options;
using procmap::walk_options;

// location.hpp
using procmap::file_state;
using procmap::location;
using procmap::mapped_file;
using procmap::normalized;
using procmap::reason;

// query.hpp
namespace uapi {
using procmap::uapi::reply;
using procmap::uapi::send;
}

// probe.hpp
using procmap::capabilities;
using procmap::fatal_hazards;
using procmap::hazard;
using procmap::hazards;
using procmap::kernel_release;
using procmap::known_hazards;
using procmap::probe;
using procmap::running_kernel;
using procmap::safe_to_ask;

// walk.hpp
using procmap::basic_mapping_walk;
using procmap::mapping_walk;

// maps.hpp
using procmap::maps;

// normalizer.hpp
using procmap::normalizer;

// cached_maps.hpp
using procmap::cached_maps;

// bpf.hpp
namespace bpf {
using procmap::bpf::resolve;
using procmap::bpf::stack_build_id;
using procmap::bpf::stack_status;
using procmap::bpf::to_stack;
}

// recorded.hpp
using procmap::recorded_reader;

// snapshot.hpp
using procmap::basic_snapshot;
using procmap::snapshot;

// difference.hpp
using procmap::change;
using procmap::change_kind;
using procmap::difference;
using procmap::watcher;

// handover.hpp
using procmap::receive_maps;
using procmap::send_maps;

// system_error.hpp
using procmap::error_category;
using procmap::make_error_code;

}  // namespace procmap::inline PROCMAP_ABI
