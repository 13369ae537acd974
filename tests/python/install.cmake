# pip install into SITE with the CMake definition DEFINE, then runs CHECK, a line of Python, on it.
# With KEEP the build folder stays from run to run.
file(REMOVE_RECURSE ${SITE})
if(NOT KEEP)
  file(REMOVE_RECURSE ${WORK})
endif()
execute_process(
  COMMAND ${PYTHON} -m pip install --no-index --no-deps --no-build-isolation --quiet --target ${SITE}
          --config-settings=build-dir=${WORK} --config-settings=cmake.define.${DEFINE} ${SOURCE}
  OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
if(result)
  message(FATAL_ERROR "pip install failed (${result}):\n${output}")
endif()
if(CHECK)
  execute_process(COMMAND ${CMAKE_COMMAND} -E env PYTHONPATH=${SITE} ${PYTHON} -c "${CHECK}"
    OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
  if(result)
    message(FATAL_ERROR "what was installed failed (${result}):\n${output}")
  endif()
endif()
