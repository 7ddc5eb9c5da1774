# The three shapes that a target of ours has.
include(TroupePrecompiled)

# All of ours ends in programs, so libraries and programs are compiled alike (and can share precompiled headers). Modules are not: they use -fPIC.
function(troupe_position_independent target)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${target} PRIVATE -fPIE)
endfunction()

# What is tested is optimised; the tests themselves need not be, and compile in two thirds of the time.
function(troupe_test_options target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O0>)
endfunction()

# Without a kind given, it is the plain one.
function(troupe_use_precompiled target prefix kind)
  if(NOT kind)
    set(kind plain)
  endif()
  troupe_precompiled(${target} ${prefix}${kind})
endfunction()

# troupe_room(NAME [SOURCES file…] [DEPENDS target…] [PRECOMPILED kind])
# A room of libruntime or actors: one static library, troupe_NAME, whose includes are written <troupe/NAME/…>. A room without sources is header-only.
function(troupe_room name)
  cmake_parse_arguments(ROOM "" "PRECOMPILED" "SOURCES;DEPENDS" ${ARGN})
  set(target troupe_${name})
  if(ROOM_SOURCES)
    add_library(${target} STATIC ${ROOM_SOURCES})
    target_link_libraries(${target} PRIVATE troupe_options PUBLIC ${ROOM_DEPENDS})
    target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR}/libruntime ${PROJECT_SOURCE_DIR})
    troupe_position_independent(${target})
    troupe_use_precompiled(${target} "" "${ROOM_PRECOMPILED}")
  else()
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE ${ROOM_DEPENDS})
    target_include_directories(${target} INTERFACE ${PROJECT_SOURCE_DIR}/libruntime ${PROJECT_SOURCE_DIR})
  endif()
endfunction()

# troupe_program(NAME SOURCES file… [DEPENDS target…] [PRECOMPILED kind]): a program in bin/, installed.
function(troupe_program name)
  cmake_parse_arguments(PROGRAM "" "PRECOMPILED" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${PROGRAM_SOURCES})
  target_link_libraries(${name} PRIVATE troupe_options ${PROGRAM_DEPENDS})
  troupe_position_independent(${name})
  troupe_use_precompiled(${name} "" "${PROGRAM_PRECOMPILED}")
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# troupe_test(NAME [SOURCES file…] [DEPENDS target…] [TIMEOUT seconds] [LABELS label…] [PRECOMPILED kind])
# A Catch2 program in tests/, run by ctest under its own name. With SERIAL it never runs beside another test.
function(troupe_test name)
  cmake_parse_arguments(TEST "SERIAL" "TIMEOUT;PRECOMPILED" "SOURCES;DEPENDS;LABELS" ${ARGN})
  add_executable(${name} ${TEST_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE troupe_options troupe_test_support ${TEST_DEPENDS})
  troupe_test_options(${name})
  troupe_position_independent(${name})
  troupe_use_precompiled(${name} test_ "${TEST_PRECOMPILED}")
  add_test(NAME ${name} COMMAND ${name})
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${TEST_TIMEOUT} LABELS "${TEST_LABELS}")
  if(TEST_SERIAL)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL TRUE)
  endif()
endfunction()
