# The three shapes that a target of ours has.

# troupe_room(NAME [SOURCES file…] [DEPENDS target…])
# A room of libruntime or actors: one static library, troupe_NAME, whose includes are written <troupe/NAME/…>. A room without sources is header-only.
function(troupe_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;DEPENDS" ${ARGN})
  set(target troupe_${name})
  if(ROOM_SOURCES)
    add_library(${target} STATIC ${ROOM_SOURCES})
    target_link_libraries(${target} PRIVATE troupe_options PUBLIC ${ROOM_DEPENDS})
    target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR}/libruntime ${PROJECT_SOURCE_DIR})
  else()
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE ${ROOM_DEPENDS})
    target_include_directories(${target} INTERFACE ${PROJECT_SOURCE_DIR}/libruntime ${PROJECT_SOURCE_DIR})
  endif()
endfunction()

# troupe_program(NAME SOURCES file… [DEPENDS target…]): a program in bin/, installed.
function(troupe_program name)
  cmake_parse_arguments(PROGRAM "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${PROGRAM_SOURCES})
  target_link_libraries(${name} PRIVATE troupe_options ${PROGRAM_DEPENDS})
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# troupe_test(NAME [SOURCES file…] [DEPENDS target…] [TIMEOUT seconds] [LABELS label…])
# A Catch2 program in tests/, run by ctest under its own name. With SERIAL it never runs beside another test.
function(troupe_test name)
  cmake_parse_arguments(TEST "SERIAL" "TIMEOUT" "SOURCES;DEPENDS;LABELS" ${ARGN})
  add_executable(${name} ${TEST_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE troupe_options troupe_test_support ${TEST_DEPENDS})
  # What is tested is optimised; the tests themselves need not be, and compile in two thirds of the time.
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O0>)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${TEST_TIMEOUT} LABELS "${TEST_LABELS}")
  if(TEST_SERIAL)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL TRUE)
  endif()
endfunction()
