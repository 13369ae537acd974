function(run what)
  execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
  if(result)
    message(FATAL_ERROR "${what} failed (${result}):\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

# The outside project's programs are the examples of README.md and of docs/c_api.md.
include(${CMAKE_CURRENT_LIST_DIR}/../docs/examples.cmake)

# A prefix with a space in it, moved after the installation: nothing may depend on where it was.
file(REMOVE_RECURSE ${WORK})
run("cmake --install" ${CMAKE_COMMAND} --install ${BUILD} --config ${CONFIG} --prefix ${WORK}/installed)
file(RENAME ${WORK}/installed "${WORK}/moved here")
file(COPY ${PROJECT}/ DESTINATION ${WORK}/project)
extract_examples(${PAGES}/README.md cpp ${WORK}/project programs)
extract_examples(${PAGES}/docs/c_api.md c ${WORK}/project programs)
run("configuring the outside project"
    ${CMAKE_COMMAND} -G ${GENERATOR} -S ${WORK}/project -B ${WORK}/outside -DCMAKE_CXX_COMPILER=${CXX}
    "-DCMAKE_PREFIX_PATH=${WORK}/moved here" "-DCMAKE_CXX_FLAGS=${FLAGS}"
    "-DCMAKE_C_FLAGS=${FLAGS}")
run("building the outside project" ${CMAKE_COMMAND} --build ${WORK}/outside)
run("the outside project" ${WORK}/outside/outside)

# rms of (3, 4, 0, 0) is 2.5; eps = 1e-6 does not show in four digits. Rows of ones stay, times weight.
set(expected "1.2000 3.2000 0.0000 0.0000 1.0000 2.0000 1.0000 1.0000 \nrstd of the first row: 0.4000\n")
if(NOT output STREQUAL expected)
  message(FATAL_ERROR "the outside project printed\n${output}expected\n${expected}")
endif()

run("the outside project's C program" ${WORK}/outside/outside_c)
set(expected "1.2000 3.2000 0.0000 0.0000 1.0000 2.0000 1.0000 1.0000 \n")
if(NOT output STREQUAL expected)
  message(FATAL_ERROR "the outside project's C program printed\n${output}expected\n${expected}")
endif()

if(PROGRAM)
  run("the installed omninorm" "${WORK}/moved here/${PROGRAM}" list)
  if(NOT output MATCHES "rms_norm")
    message(FATAL_ERROR "the installed `omninorm list` printed\n${output}")
  endif()
  # The library for Parquet is found where it was installed, and Arrow from there.
  file(WRITE ${WORK}/data.csv "x\n1\n3\n")
  run("fitting with the installed omninorm"
      "${WORK}/moved here/${PROGRAM}" scale fit ${WORK}/data.csv -o ${WORK}/s.json)
  if(ARROW)
    run("writing Parquet with the installed omninorm" "${WORK}/moved here/${PROGRAM}" scale transform
        ${WORK}/s.json ${WORK}/data.csv -o ${WORK}/data.parquet)
    run("reading Parquet with the installed omninorm" "${WORK}/moved here/${PROGRAM}" scale inverse
        ${WORK}/s.json ${WORK}/data.parquet --to csv)
    if(NOT output MATCHES "x\n1\n3\n")
      message(FATAL_ERROR "the installed omninorm read back\n${output}")
    endif()
  endif()
endif()
