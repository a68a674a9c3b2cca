# gorgone_module(name [LIBRARIES …]): all .cpp files of the folder become <name>.so; tests/*.cpp become the test program
# test_<name>, which compiles the module's files in.
function(gorgone_module name)
  cmake_parse_arguments(ARG "" "" "LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cpp)
  add_library(${name} MODULE ${sources})
  set_target_properties(${name} PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/gorgone/modules
    BUILD_RPATH "$ORIGIN/.." INSTALL_RPATH "$ORIGIN/..")
  target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE gorgone_options gorgone_core ${ARG_LIBRARIES})
  gorgone_precompile(${name})
  install(TARGETS ${name} LIBRARY DESTINATION lib/gorgone/modules)

  file(GLOB tests CONFIGURE_DEPENDS tests/*.cpp)
  if(GORGONE_TESTS AND tests)
    add_executable(test_${name} ${tests} ${sources} ${CMAKE_SOURCE_DIR}/tests/main.cpp)
    target_include_directories(test_${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/tests)
    target_link_libraries(test_${name} PRIVATE gorgone_options gorgone_core ${ARG_LIBRARIES})
    gorgone_precompile(test_${name})
  endif()
endfunction()
