# The three shapes that a target of ours has.
include(TroupePrecompiled)

# All of ours ends in programs, so libraries and programs are compiled alike (and can share precompiled headers). Modules are not: they use -fPIC.
function(troupe_position_independent target)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${target} PRIVATE -fPIE)
endfunction()

# What is tested is optimised; the tests themselves need not be, and compile in two thirds of the time. Who debugs a test builds it with dev.
function(troupe_test_options target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O0> $<$<CONFIG:Release>:-g0>)
endfunction()

# Sources of one target compiled several at once: templates and headers that they share cost once. For builds from nothing (release, asan); while
# working on a file, one object a file is quicker. What is in an unnamed namespace needs a name of its own within its target.
option(TROUPE_UNITY "Compile the sources of a target in batches" OFF)
if(TROUPE_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Batches hold more than GCC's collector expects: from 128 MiB on it goes over everything again and again, a tenth of the time.
  target_compile_options(troupe_options INTERFACE "SHELL:--param ggc-min-heapsize=524288")
endif()
function(troupe_batches target)
  if(TROUPE_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
    target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)  # takes a source for a header, since it is included
  endif()
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
    troupe_batches(${target})
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
  troupe_batches(${name})
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
  troupe_batches(${name})
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
