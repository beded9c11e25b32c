include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS procmap EXPORT procmap COMPONENT headers FILE_SET HEADERS COMPONENT headers)
install(EXPORT procmap NAMESPACE procmap:: DESTINATION ${CMAKE_INSTALL_DATADIR}/cmake/procmap FILE procmap-targets.cmake
        COMPONENT headers)

file(WRITE ${PROJECT_BINARY_DIR}/procmap-config.cmake "include(\${CMAKE_CURRENT_LIST_DIR}/procmap-targets.cmake)\n")
# Below 1.0 a minor version may break; and nothing here depends on the architecture.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/procmap-config-version.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/procmap-config.cmake ${PROJECT_BINARY_DIR}/procmap-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_DATADIR}/cmake/procmap COMPONENT headers)

configure_file(${CMAKE_CURRENT_LIST_DIR}/procmap.pc.in ${PROJECT_BINARY_DIR}/procmap.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/procmap.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig COMPONENT headers)

if(PROCMAP_BUILD_CLI)
  install(TARGETS procmap_cli COMPONENT cli)
endif()
