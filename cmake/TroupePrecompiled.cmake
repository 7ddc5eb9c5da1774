# Precompiled headers, one per family of sources and shared by all its targets. They hold only what is never ours to edit (the standard library,
# Boost, CAF, Catch2), so that touching a header of troupe recompiles who includes it and nobody else.
#
#   troupe_precompiled(TARGET KIND)      KIND: plain, asio, actors (each holds those before it); tests: test_plain, test_asio, test_actors
#
# Sources are to include what they need all the same: -DTROUPE_PRECOMPILED=OFF builds without, and is how clang-tidy reads the tree.
option(TROUPE_PRECOMPILED "Use precompiled headers" ON)

set(TROUPE_HEADERS_plain
  <algorithm> <array> <atomic> <bit> <cerrno> <charconv> <chrono> <compare> <condition_variable> <cstdint> <cstdio> <cstring> <deque> <filesystem>
  <fstream> <functional> <future> <limits> <list> <map> <memory> <mutex> <optional> <set> <span> <string> <string_view> <thread> <tuple>
  <type_traits> <unordered_map> <utility> <variant> <vector>
  <boost/describe.hpp> <boost/mp11.hpp> <boost/system/result.hpp>)
set(TROUPE_HEADERS_asio ${TROUPE_HEADERS_plain}
  <boost/asio/any_io_executor.hpp> <boost/asio/as_tuple.hpp> <boost/asio/awaitable.hpp> <boost/asio/bind_cancellation_slot.hpp>
  <boost/asio/buffer.hpp> <boost/asio/co_spawn.hpp> <boost/asio/detached.hpp> <boost/asio/dispatch.hpp> <boost/asio/executor_work_guard.hpp>
  <boost/asio/io_context.hpp> <boost/asio/ip/tcp.hpp> <boost/asio/post.hpp> <boost/asio/read.hpp> <boost/asio/redirect_error.hpp>
  <boost/asio/steady_timer.hpp> <boost/asio/strand.hpp> <boost/asio/this_coro.hpp> <boost/asio/thread_pool.hpp> <boost/asio/use_awaitable.hpp>
  <boost/asio/use_future.hpp> <boost/asio/write.hpp> <boost/json/parse.hpp> <boost/json/serialize.hpp> <boost/json/value.hpp>)
set(TROUPE_HEADERS_actors ${TROUPE_HEADERS_asio}
  <caf/actor.hpp> <caf/actor_system.hpp> <caf/actor_system_config.hpp> <caf/event_based_actor.hpp> <caf/io/middleman.hpp> <caf/scoped_actor.hpp>
  <caf/send.hpp> <caf/stateful_actor.hpp>)

function(troupe_precompiled target kind)
  if(NOT TROUPE_PRECOMPILED)
    return()
  endif()
  set(owner troupe_precompiled_${kind})
  string(REGEX REPLACE "^test_" "" family ${kind})
  set(linked troupe_options troupe_boost)
  if(NOT family STREQUAL "plain")
    list(APPEND linked Boost::json) # its macros are part of what was precompiled
  endif()
  if(NOT TARGET ${owner})
    file(WRITE ${CMAKE_BINARY_DIR}/precompiled/${kind}.cpp.new "// Carries the precompiled header \"${kind}\".\n")
    file(COPY_FILE ${CMAKE_BINARY_DIR}/precompiled/${kind}.cpp.new ${CMAKE_BINARY_DIR}/precompiled/${kind}.cpp ONLY_IF_DIFFERENT)
    add_library(${owner} OBJECT ${CMAKE_BINARY_DIR}/precompiled/${kind}.cpp)
    target_link_libraries(${owner} PRIVATE ${linked})
    troupe_position_independent(${owner})
    set(headers ${TROUPE_HEADERS_${family}})
    if(family STREQUAL "actors")
      target_link_libraries(${owner} PRIVATE CAF::core CAF::io)
    endif()
    if(NOT kind STREQUAL family)
      troupe_test_options(${owner})
      target_link_libraries(${owner} PRIVATE troupe_test_support)
      target_include_directories(${owner} PRIVATE ${PROJECT_SOURCE_DIR}/libruntime)
      list(APPEND headers <support/catch.hpp>)
    endif()
    target_precompile_headers(${owner} PRIVATE ${headers})
  endif()
  target_link_libraries(${target} PRIVATE ${linked})
  target_precompile_headers(${target} REUSE_FROM ${owner})
endfunction()
