# How everything of ours is compiled. One interface target, troupe_options, carries it, so that third-party headers never see our warnings.
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Paths count from the source tree, so that a fresh clone elsewhere finds what was compiled before.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
    CCACHE_INODECACHE=1 CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE_PROGRAM})
endif()

add_library(troupe_options INTERFACE)
target_compile_options(troupe_options INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor -Woverloaded-virtual -Wold-style-cast -Wcast-qual
  -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Coroutine frames, inlined containers and strings made by + report what cannot happen (GCC 12, bugs 104336, 105562 and 105329).
  target_compile_options(troupe_options INTERFACE -Wshadow=local -Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-mismatched-new-delete -Wno-array-bounds
    -Wno-restrict -Wno-stringop-overread
    -fpch-preprocess -Winvalid-pch) # for ccache; and a precompiled header that cannot be used is an error, not a slow build
else()
  target_compile_options(troupe_options INTERFACE -Wshadow
    -Wno-unused-lambda-capture) # clang 14 does not see a use of `this` in a generic lambda
endif()
if(TROUPE_WARNINGS_AS_ERRORS)
  target_compile_options(troupe_options INTERFACE -Werror)
endif()
if(TROUPE_SANITIZE)
  add_compile_options(-fsanitize=${TROUPE_SANITIZE} -fno-sanitize-recover=undefined)
  # CAF 0.17.6's own header takes a reference to a tuple of no arguments that is not there whenever a function becomes an
  # actor (init_fun_factory.hpp), and never looks at it. A null pointer that is used ends the program anyway.
  if(TROUPE_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize=null)
  endif()
  if(TROUPE_SANITIZE MATCHES "undefined" AND CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    add_compile_options(-fno-sanitize=function)  # what it puts before a function, clang 14 cannot put before a coroutine's parts
  endif()
  add_link_options(-fsanitize=${TROUPE_SANITIZE})
endif()

# mold (or lld) links several times faster than bfd; GCC 12 knows both by name.
include(CheckLinkerFlag)
foreach(linker mold lld)
  if(NOT TROUPE_LINKER)
    check_linker_flag(CXX -fuse-ld=${linker} TROUPE_HAVE_${linker})
    if(TROUPE_HAVE_${linker})
      set(TROUPE_LINKER ${linker})
      add_link_options(-fuse-ld=${linker})
    endif()
  endif()
endforeach()
