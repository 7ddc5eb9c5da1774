# Finds the C++ Actor Framework as Debian packages it: headers and shared libraries, no CMake config and no .pc file.
#
#   find_package(CAF 0.17.6 EXACT REQUIRED COMPONENTS core io)
#
# defines CAF::core and CAF::io (and CAF::openssl when asked for). The version is read from caf/config.hpp.
find_path(CAF_INCLUDE_DIR caf/config.hpp)
mark_as_advanced(CAF_INCLUDE_DIR)
if(CAF_INCLUDE_DIR)
  file(STRINGS ${CAF_INCLUDE_DIR}/caf/config.hpp CAF_VERSION_LINE REGEX "^#define CAF_VERSION [0-9]+")
  string(REGEX REPLACE "^#define CAF_VERSION ([0-9]+).*" "\\1" CAF_VERSION_NUMBER "${CAF_VERSION_LINE}")
  math(EXPR CAF_VERSION_MAJOR "${CAF_VERSION_NUMBER} / 10000")
  math(EXPR CAF_VERSION_MINOR "(${CAF_VERSION_NUMBER} / 100) % 100")
  math(EXPR CAF_VERSION_PATCH "${CAF_VERSION_NUMBER} % 100")
  set(CAF_VERSION ${CAF_VERSION_MAJOR}.${CAF_VERSION_MINOR}.${CAF_VERSION_PATCH})
endif()

set(CAF_REQUIRED_VARIABLES CAF_INCLUDE_DIR)
foreach(component ${CAF_FIND_COMPONENTS})
  find_library(CAF_${component}_LIBRARY caf_${component})
  mark_as_advanced(CAF_${component}_LIBRARY)
  list(APPEND CAF_REQUIRED_VARIABLES CAF_${component}_LIBRARY)
  if(CAF_INCLUDE_DIR AND CAF_${component}_LIBRARY)
    set(CAF_${component}_FOUND TRUE)
    if(NOT TARGET CAF::${component})
      add_library(CAF::${component} UNKNOWN IMPORTED)
      set_target_properties(CAF::${component} PROPERTIES
        IMPORTED_LOCATION ${CAF_${component}_LIBRARY}
        INTERFACE_INCLUDE_DIRECTORIES ${CAF_INCLUDE_DIR})
    endif()
  endif()
endforeach()
if(TARGET CAF::io AND TARGET CAF::core)
  set_property(TARGET CAF::io APPEND PROPERTY INTERFACE_LINK_LIBRARIES CAF::core)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CAF REQUIRED_VARS ${CAF_REQUIRED_VARIABLES} VERSION_VAR CAF_VERSION HANDLE_COMPONENTS)
