# find_package(procmap [COMPONENTS headers cli module]): the target procmap::procmap; procmap::cli, the command, where it is
# installed and asked for; procmap::module, built in the project that asks for it.
include(${CMAKE_CURRENT_LIST_DIR}/procmap-targets.cmake)
set(procmap_headers_FOUND TRUE)
foreach(component IN LISTS procmap_FIND_COMPONENTS)
  if(component MATCHES "^(cli|module)$" AND EXISTS ${CMAKE_CURRENT_LIST_DIR}/procmap-${component}.cmake)
    include(${CMAKE_CURRENT_LIST_DIR}/procmap-${component}.cmake)
    set(procmap_${component}_FOUND TRUE)
  endif()
  if(procmap_FIND_REQUIRED_${component} AND NOT procmap_${component}_FOUND)
    set(procmap_FOUND FALSE)
    set(procmap_NOT_FOUND_MESSAGE "procmap is installed without the component ${component}; there can be: headers, cli, module")
  endif()
endforeach()
