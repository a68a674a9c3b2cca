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
endif()
target_include_directories(gorgone_options INTERFACE ${CMAKE_SOURCE_DIR}/include)
# Boost's headers speak old-style casts.
target_include_directories(gorgone_options SYSTEM INTERFACE ${Boost_INCLUDE_DIRS})
target_link_libraries(gorgone_options INTERFACE Threads::Threads fmt::fmt)

# Headers that nearly every file includes, compiled once per target.
function(gorgone_precompile target)
  target_precompile_headers(${target} PRIVATE
    <boost/asio/awaitable.hpp> <boost/asio/co_spawn.hpp> <boost/asio/detached.hpp> <boost/asio/io_context.hpp>
    <boost/asio/post.hpp> <boost/asio/steady_timer.hpp> <boost/asio/use_awaitable.hpp> <boost/json.hpp> <fmt/format.h>
    <chrono> <functional> <map> <memory> <optional> <string> <string_view> <vector>)
endfunction()
