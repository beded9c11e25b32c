# Two components of the installation: `headers` (with the CMake package, the module's source and the pkg-config file) and `cli`.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package ${CMAKE_INSTALL_DATADIR}/cmake/procmap)

install(TARGETS procmap EXPORT procmap COMPONENT headers FILE_SET HEADERS COMPONENT headers FILE_SET optional COMPONENT headers)
install(EXPORT procmap NAMESPACE procmap:: DESTINATION ${package} FILE procmap-targets.cmake COMPONENT headers)

# Below 1.0 a minor version may break; and nothing here depends on the architecture.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/procmap-config-version.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${CMAKE_CURRENT_LIST_DIR}/procmap-config.cmake ${PROJECT_BINARY_DIR}/procmap-config-version.cmake
              ${CMAKE_CURRENT_LIST_DIR}/procmap-module.cmake DESTINATION ${package} COMPONENT headers)
install(FILES modules/procmap.cppm DESTINATION ${package}/modules COMPONENT headers)

configure_file(${CMAKE_CURRENT_LIST_DIR}/procmap.pc.in ${PROJECT_BINARY_DIR}/procmap.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/procmap.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig COMPONENT headers)

if(PROCMAP_BUILD_CLI)
  install(TARGETS procmap_cli EXPORT procmap-cli COMPONENT cli)
  install(EXPORT procmap-cli NAMESPACE procmap:: DESTINATION ${package} COMPONENT cli)
  install(FILES man/procmap.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT cli)
  install(FILES cli/completion/procmap DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT cli)
  install(FILES cli/completion/_procmap DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions COMPONENT cli)
endif()
