# The target procmap::module, for `import procmap;`. It is always built in the project that uses it, because a compiled module works only
# with the compiler, language standard and extensions that it was compiled with.
if(CMAKE_VERSION VERSION_LESS 3.28)
  message(FATAL_ERROR "The module of procmap needs CMake 3.28 or newer, with Ninja, and GCC 15 or Clang 16 or newer; "
                      "this is CMake ${CMAKE_VERSION}")
endif()
if(NOT TARGET procmap_module)
  cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH procmap_module_dir)  # source tree
  if(NOT EXISTS ${procmap_module_dir}/modules/procmap.cppm)
    set(procmap_module_dir ${CMAKE_CURRENT_LIST_DIR})  # installation
  endif()
  add_library(procmap_module STATIC)
  add_library(procmap::module ALIAS procmap_module)
  target_sources(procmap_module PUBLIC FILE_SET CXX_MODULES BASE_DIRS ${procmap_module_dir}/modules
                 FILES ${procmap_module_dir}/modules/procmap.cppm)
  target_link_libraries(procmap_module PUBLIC procmap::procmap)
endif()
