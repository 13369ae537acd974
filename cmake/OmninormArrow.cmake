# Apache Arrow from the pyarrow package of the Python that OMNINORM_PYTHON names: the wheel ships the
# C++ headers and libraries. Sets omninorm_arrow_found; where it is not there, the command goes
# without Parquet and Arrow files, unless OMNINORM_ARROW=ON asks for them.
set(OMNINORM_ARROW_VERSION 26)  # its C++ interface changes with each major version
set(omninorm_arrow_found OFF)
if(NOT OMNINORM_PYTHON AND NOT "$ENV{OMNINORM_PYTHON}" STREQUAL "")
  # Kept: ninja configures again by itself, in whatever environment.
  set(OMNINORM_PYTHON "$ENV{OMNINORM_PYTHON}" CACHE FILEPATH "Python that has torch, pyarrow" FORCE)
endif()
set(omninorm_arrow_python "${OMNINORM_PYTHON}")
set(omninorm_arrow_lacks "no OMNINORM_PYTHON is set")
if(OMNINORM_SANITIZE AND OMNINORM_ARROW STREQUAL AUTO)
  # The wheel's libraries are not instrumented, and share containers with what would be.
  set(omninorm_arrow_lacks "not in a build with sanitizers")
elseif(omninorm_arrow_python AND NOT OMNINORM_ARROW STREQUAL OFF)
  execute_process(
    COMMAND ${omninorm_arrow_python} -c "import pyarrow as p; print(p.__version__, p.get_include(), p.get_library_dirs()[0], sep=';', end='')"
    OUTPUT_VARIABLE omninorm_arrow RESULT_VARIABLE omninorm_arrow_missing ERROR_QUIET)
  if(omninorm_arrow_missing)
    set(omninorm_arrow_lacks "${omninorm_arrow_python} has no pyarrow")
  else()
    list(GET omninorm_arrow 0 omninorm_arrow_version)
    list(GET omninorm_arrow 1 omninorm_arrow_include)
    list(GET omninorm_arrow 2 omninorm_arrow_folder)
    # Linked by the name that the loader will ask for: a wheel has no bare libarrow.so.
    file(GLOB omninorm_arrow_libraries ${omninorm_arrow_folder}/libarrow.so.*
         ${omninorm_arrow_folder}/libparquet.so.*)
    list(LENGTH omninorm_arrow_libraries omninorm_arrow_count)
    if(NOT omninorm_arrow_version MATCHES "^${OMNINORM_ARROW_VERSION}\\.")
      set(omninorm_arrow_lacks
          "${omninorm_arrow_python} has pyarrow ${omninorm_arrow_version}, expected ${OMNINORM_ARROW_VERSION}")
    elseif(NOT omninorm_arrow_count EQUAL 2 OR NOT EXISTS ${omninorm_arrow_include}/parquet/arrow/reader.h)
      set(omninorm_arrow_lacks "${omninorm_arrow_folder} lacks headers or libraries")
    else()
      set(omninorm_arrow_found ON)
      message(STATUS "omninorm: Arrow ${omninorm_arrow_version} in ${omninorm_arrow_folder}")
    endif()
  endif()
endif()
if(NOT omninorm_arrow_found)
  if(OMNINORM_ARROW STREQUAL ON)
    message(FATAL_ERROR "omninorm: OMNINORM_ARROW=ON, but ${omninorm_arrow_lacks}: pip install 'pyarrow==${OMNINORM_ARROW_VERSION}.*' and set OMNINORM_PYTHON to that Python")
  elseif(NOT OMNINORM_ARROW STREQUAL OFF)
    message(STATUS "omninorm: no Parquet and Arrow files: ${omninorm_arrow_lacks}")
  endif()
endif()
