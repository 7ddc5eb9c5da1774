# `cmake --install BUILD --prefix P`: the programs (troupe_program), what modules are compiled against, and a CMake package.
#
#   P/bin/{troupe,troupe-node,troupe-worker}
#   P/include/troupe/sdk.hpp, P/include/troupe/sdk, P/include/troupe/base
#   P/lib/cmake/troupe/troupeConfig.cmake, P/share/doc/troupe
include(CMakePackageConfigHelpers)
set(TROUPE_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/troupe)

install(FILES libruntime/troupe/sdk.hpp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/troupe)
install(DIRECTORY libruntime/troupe/sdk libruntime/troupe/base DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/troupe FILES_MATCHING PATTERN "*.hpp")

configure_package_config_file(cmake/troupeConfig.cmake.in ${CMAKE_BINARY_DIR}/cmake/troupeConfig.cmake
  INSTALL_DESTINATION ${TROUPE_CMAKE_DIR} PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_BINDIR)
# Before 1.0 every minor version may change the SDK.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/cmake/troupeConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/cmake/troupeConfig.cmake ${CMAKE_BINARY_DIR}/cmake/troupeConfigVersion.cmake cmake/TroupeModule.cmake
  DESTINATION ${TROUPE_CMAKE_DIR})
install(FILES README.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY doc/guide doc/operating DESTINATION ${CMAKE_INSTALL_DOCDIR})
