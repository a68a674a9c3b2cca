# What every target is compiled with.
add_library(gorgone_options INTERFACE)
target_compile_options(gorgone_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast
  $<$<BOOL:${GORGONE_WERROR}>:-Werror>
  $<$<CXX_COMPILER_ID:Clang>:-Wno-missing-braces>  # Error{"…"} has a base
  $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)  # lets a replaced module be loaded beside the old one
target_compile_definitions(gorgone_options INTERFACE
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_DYN_LINK BOOST_ASIO_NO_DEPRECATED BOOST_BEAST_USE_STD_STRING_VIEW
  FMT_SHARED SPDLOG_FMT_EXTERNAL)
if(GORGONE_SANITIZE)
  target_compile_options(gorgone_options INTERFACE -fsanitize=${GORGONE_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(gorgone_options INTERFACE -fsanitize=${GORGONE_SANITIZE})
  if(GORGONE_SANITIZE MATCHES undefined)
    # Looking at each access for these would double the time to compile. AddressSanitizer stops at two of them as well, and the fuzz
    # targets are built with the third.
    target_compile_options(gorgone_options INTERFACE -fno-sanitize=null,object-size,alignment)
  elseif(GORGONE_SANITIZE MATCHES thread)
    # ThreadSanitizer does not see fences. Asio's own stand beside locks, which it sees.
    target_compile_definitions(gorgone_options INTERFACE BOOST_ASIO_DISABLE_FENCED_BLOCK)
  endif()
endif()
target_include_directories(gorgone_options INTERFACE ${CMAKE_SOURCE_DIR}/include)
# Boost's headers speak old-style casts.
target_include_directories(gorgone_options SYSTEM INTERFACE ${Boost_INCLUDE_DIRS})
target_link_libraries(gorgone_options INTERFACE Threads::Threads fmt::fmt)

# Headers that nearly every file includes, compiled once for all targets: they share the options above, so their objects must all be
# position-independent (OBJECT libraries; CMake compiles executables otherwise).
file(WRITE ${CMAKE_BINARY_DIR}/headers.cpp.new "// The precompiled headers belong to this file.\n")
file(COPY_FILE ${CMAKE_BINARY_DIR}/headers.cpp.new ${CMAKE_BINARY_DIR}/headers.cpp ONLY_IF_DIFFERENT)
add_library(gorgone_headers OBJECT EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/headers.cpp)
target_link_libraries(gorgone_headers PRIVATE gorgone_options)
set(GORGONE_HEADERS <boost/asio/awaitable.hpp> <boost/asio/co_spawn.hpp> <boost/asio/detached.hpp> <boost/asio/io_context.hpp>
  <boost/asio/post.hpp> <boost/asio/steady_timer.hpp> <boost/asio/use_awaitable.hpp> <boost/json.hpp> <fmt/format.h>
  <chrono> <functional> <map> <memory> <optional> <string> <string_view> <vector>)
target_precompile_headers(gorgone_headers PRIVATE ${GORGONE_HEADERS})

# gorgone_objects_of(target SOURCES … [LIBRARIES …]): an OBJECT library that uses them.
function(gorgone_objects_of target)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_library(${target} OBJECT ${ARG_SOURCES})
  target_link_libraries(${target} PUBLIC gorgone_options ${ARG_LIBRARIES})
  target_precompile_headers(${target} REUSE_FROM gorgone_headers)
endfunction()
