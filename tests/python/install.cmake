file(REMOVE_RECURSE ${SITE} ${WORK})
execute_process(
  COMMAND ${PYTHON} -m pip install --no-index --no-deps --no-build-isolation --quiet --target ${SITE}
          -Cbuild-dir=${WORK} -Ccmake.define.OMNINORM_BUILT_IN=${BUILD} ${SOURCE}
  OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
if(result)
  message(FATAL_ERROR "pip install failed (${result}):\n${output}")
endif()
