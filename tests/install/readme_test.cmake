# The page README must hold EXAMPLE, word for word, in a ```LANGUAGE block; with PYTHON the example is run too,
# where build/release/lib means LIBRARIES.
file(READ ${README} readme)
file(READ ${EXAMPLE} example)
string(FIND "${readme}" "```${LANGUAGE}\n${example}```" place)
if(place EQUAL -1)
  message(FATAL_ERROR "expected ${README} to hold ${EXAMPLE} word for word in a ```${LANGUAGE} block")
endif()
if(PYTHON)
  file(MAKE_DIRECTORY ${WORK}/build/release)
  file(CREATE_LINK ${LIBRARIES} ${WORK}/build/release/lib SYMBOLIC)
  execute_process(COMMAND ${PYTHON} ${EXAMPLE} WORKING_DIRECTORY ${WORK}
                  OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
  if(result)
    message(FATAL_ERROR "the README's PyTorch example failed:\n${output}")
  endif()
endif()
