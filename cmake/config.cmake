# find_package(procmap [COMPONENTS headers cli module]) defines the target procmap::procmap. With `cli`, it defines procmap::cli, the
# command, if that is installed. With `module`, it defines procmap::module, which is built in the calling project.
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
