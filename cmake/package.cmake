# Binary packages: run `cpack -G DEB` (or RPM, TGZ) in the build tree. One package contains all installed files.
# Set the maintainer with -DCPACK_PACKAGE_CONTACT="NAME <ADDRESS>".
set(CPACK_PACKAGE_NAME procmap)
set(CPACK_PACKAGE_VENDOR "The procmap authors")
set(CPACK_PACKAGE_CONTACT "The procmap authors <maintainers@procmap.invalid>" CACHE STRING "Maintainer of the binary packages")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "queries of process memory mappings (C++20 headers and command)")
set(CPACK_PACKAGE_DESCRIPTION
"procmap queries the memory mappings of processes on Linux. It uses the
PROCMAP_QUERY ioctl of Linux 6.11 where available and otherwise parses
/proc/PID/maps. The package has the C++20 headers, with a CMake package and
a pkg-config file, and the command procmap.")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
if(NOT CPACK_GENERATOR)
  set(CPACK_GENERATOR TGZ)
endif()
set(CPACK_SOURCE_IGNORE_FILES /\\\\.git /build/ /build-)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
# Requires CMake 3.19. With older versions, the license is only in share/licenses, and there is no changelog.
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/deb.cmake)
if(NOT PROCMAP_BUILD_CLI)
  set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE all)
else()
  find_program(PROCMAP_SHLIBDEPS dpkg-shlibdeps)
  find_program(PROCMAP_FILE file)  # CPack needs it to find the programs
  mark_as_advanced(PROCMAP_SHLIBDEPS PROCMAP_FILE)
  if(PROCMAP_SHLIBDEPS AND PROCMAP_FILE)
    set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
  else()
    set(CPACK_DEBIAN_PACKAGE_DEPENDS "libc6, libgcc-s1, libstdc++6")
  endif()
endif()
include(CPack)
