# troupe_add_module(NAME file…): NAME.so, compiled as `troupe module build` compiles it. In this tree for the examples and tests, and, installed, for
# whoever writes find_package(troupe). A debug build stays unoptimised; -march and -ffast-math are left out on purpose: a task that is done again on
# another machine must give the same bytes.
function(troupe_add_module name)
  if(NOT ARGN)
    message(FATAL_ERROR "troupe_add_module(${name} file…): name the module's source files")
  endif()
  add_library(${name} MODULE ${ARGN})
  target_link_libraries(${name} PRIVATE troupe::sdk)
  # g++ marks template statics as unique in the process, which would merge them across modules.
  target_compile_options(${name} PRIVATE
    $<$<NOT:$<CONFIG:Debug>>:-O2> -g1 -fvisibility=hidden $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique> $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX ".so" CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
endfunction()
