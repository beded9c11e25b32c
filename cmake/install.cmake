# Installs two components: `headers` (with the CMake package, the module's source and the pkg-config file) and `cli`.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package ${CMAKE_INSTALL_DATADIR}/cmake/procmap)

install(TARGETS procmap_library EXPORT procmap COMPONENT headers INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT procmap NAMESPACE procmap:: DESTINATION ${package} FILE procmap-targets.cmake COMPONENT headers)
install(DIRECTORY include/procmap DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT headers FILES_MATCHING PATTERN *.hpp)

# Before 1.0, a minor version can break compatibility. The package is independent of the architecture. Meson installs the same rule.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/procmap-config-version.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
# The source file has another name because find_package would mistake a source tree named procmap for an installation.
install(FILES ${CMAKE_CURRENT_LIST_DIR}/config.cmake RENAME procmap-config.cmake DESTINATION ${package} COMPONENT headers)
install(FILES ${PROJECT_BINARY_DIR}/procmap-config-version.cmake ${CMAKE_CURRENT_LIST_DIR}/procmap-module.cmake
        DESTINATION ${package} COMPONENT headers)
install(FILES modules/procmap.cppm DESTINATION ${package}/modules COMPONENT headers)

set(pc_includedir \${prefix}/${CMAKE_INSTALL_INCLUDEDIR})
if(IS_ABSOLUTE ${CMAKE_INSTALL_INCLUDEDIR})
  set(pc_includedir ${CMAKE_INSTALL_INCLUDEDIR})
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/procmap.pc.in ${PROJECT_BINARY_DIR}/procmap.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/procmap.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig COMPONENT headers)
# Each component has the license, because it can be installed alone.
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/procmap COMPONENT headers)

if(PROCMAP_BUILD_CLI)
  install(TARGETS procmap_cli EXPORT procmap-cli COMPONENT cli)
  install(EXPORT procmap-cli NAMESPACE procmap:: DESTINATION ${package} COMPONENT cli)
  install(FILES man/procmap.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT cli)
  install(FILES cli/completion/procmap DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT cli)
  install(FILES cli/completion/_procmap DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions COMPONENT cli)
  install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/procmap COMPONENT cli)
endif()
