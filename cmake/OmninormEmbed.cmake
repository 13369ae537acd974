# omninorm_embed(target NAMESPACE a::b HEADER path.h FILES name=path ...): puts files into a target as bytes,
# so that a page needs no network and the program no file beside it. The header declares, for each,
# std::string_view name().
function(omninorm_embed target)
  cmake_parse_arguments(PARSE_ARGV 1 embed "" "NAMESPACE;HEADER" "FILES")
  cmake_path(GET embed_HEADER STEM stem)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${target}_${stem}.cc)
  set(sources ${embed_FILES})
  list(TRANSFORM sources REPLACE "^[^=]+=" "")
  string(REPLACE ";" "|" list "${embed_FILES}")
  set(script ${PROJECT_SOURCE_DIR}/cmake/embed.cmake)
  add_custom_command(
    OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} "-DFILES=${list}" -DOUT=${out} -DHEADER=${embed_HEADER}
            -DNAMESPACE=${embed_NAMESPACE} -P ${script}
    DEPENDS ${script} ${sources}
    COMMENT "Embedding what ${embed_HEADER} declares" VERBATIM)
  target_sources(${target} PRIVATE ${out})
endfunction()
