# Flags that all of our own targets share.
find_program(OMNINORM_CCACHE ccache)
if(OMNINORM_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # The sloppiness lets ccache keep objects that use a precompiled header; the other two let a second
  # clone find what the first one built.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${OMNINORM_CCACHE})
endif()

add_library(omninorm_flags INTERFACE)
target_compile_options(omninorm_flags INTERFACE -Wall -Wextra -Wconversion)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 warns of an overlap in the standard library's own "text" + std::string (GCC bug 105651).
  target_compile_options(omninorm_flags INTERFACE -Wno-restrict)
endif()
if(OMNINORM_WERROR)
  target_compile_options(omninorm_flags INTERFACE -Werror)
endif()
if(OMNINORM_SANITIZE)
  if(OMNINORM_SANITIZE STREQUAL thread)
    set(omninorm_sanitize_flags -fsanitize=thread)
  elseif(OMNINORM_SANITIZE STREQUAL fuzzer)
    # Programs that are fuzz targets link libFuzzer itself.
    set(omninorm_sanitize_flags -fsanitize=fuzzer-no-link,address,undefined)
  else()
    set(omninorm_sanitize_flags -fsanitize=address,undefined)
  endif()
  add_compile_options(${omninorm_sanitize_flags} -fno-omit-frame-pointer)
  if(NOT OMNINORM_SANITIZE STREQUAL thread)
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
  add_link_options(${omninorm_sanitize_flags})
endif()
