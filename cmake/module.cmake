# gorgone_module(name [LIBRARIES …]): all .cpp files of the folder become <name>.so; tests/*.cpp become the test program
# test_<name>, which has the module's objects in it.
function(gorgone_module name)
  cmake_parse_arguments(ARG "" "" "LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cpp)
  gorgone_objects_of(${name}_objects SOURCES ${sources} LIBRARIES gorgone_core ${ARG_LIBRARIES})
  target_include_directories(${name}_objects PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
  add_library(${name} MODULE)
  set_target_properties(${name} PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/gorgone/modules
    BUILD_RPATH "$ORIGIN/.." INSTALL_RPATH "$ORIGIN/..")
  target_link_libraries(${name} PRIVATE ${name}_objects)
  install(TARGETS ${name} LIBRARY DESTINATION lib/gorgone/modules)

  file(GLOB tests CONFIGURE_DEPENDS tests/*.cpp)
  if(GORGONE_TESTS AND tests)
    gorgone_test(test_${name} SOURCES ${tests} LIBRARIES ${name}_objects)
  endif()
endfunction()

# gorgone_test(name SOURCES … LIBRARIES …): a Catch2 program.
function(gorgone_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES" ${ARGN})
  if(NOT TARGET gorgone_test_main)
    add_library(gorgone_test_main OBJECT ${CMAKE_SOURCE_DIR}/tests/main.cpp)
    target_link_libraries(gorgone_test_main PUBLIC gorgone_options)
  endif()
  gorgone_objects_of(${name}_objects SOURCES ${ARG_SOURCES} LIBRARIES ${ARG_LIBRARIES})
  target_include_directories(${name}_objects PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  add_executable(${name})
  target_link_libraries(${name} PRIVATE ${name}_objects ${ARG_LIBRARIES} gorgone_test_main)
endfunction()
