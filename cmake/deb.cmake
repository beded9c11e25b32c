# CPack runs this before it creates a package. Moves the license, changelog and manual page to where Debian's policy requires them.
if(NOT CPACK_GENERATOR STREQUAL "DEB")
  return()
endif()
set(share ${CPACK_TEMPORARY_INSTALL_DIRECTORY}${CPACK_PACKAGING_INSTALL_PREFIX}/share)
file(MAKE_DIRECTORY ${share}/doc/procmap)
file(RENAME ${share}/licenses/procmap/LICENSE ${share}/doc/procmap/copyright)
file(REMOVE_RECURSE ${share}/licenses)
file(COPY ${CMAKE_CURRENT_LIST_DIR}/../CHANGELOG.md DESTINATION ${share}/doc/procmap)
file(RENAME ${share}/doc/procmap/CHANGELOG.md ${share}/doc/procmap/changelog)
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(WRITE ${share}/doc/procmap/changelog.Debian
"procmap (${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}) unstable; urgency=medium

  * Version ${CPACK_PACKAGE_VERSION}, packaged by CPack.

 -- ${CPACK_PACKAGE_CONTACT}  ${date}
")
file(GLOB documents ${share}/doc/procmap/changelog* ${share}/man/man1/*.1)
foreach(document IN LISTS documents)
  execute_process(COMMAND gzip -9n ${document} RESULT_VARIABLE status)
  if(status)
    message(FATAL_ERROR "gzip ${document}: ${status}")
  endif()
endforeach()
