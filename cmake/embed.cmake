# cmake -DFILES="name=path|name=path" -DOUT=file.cc -DHEADER=path.h -DNAMESPACE=a::b -P embed.cmake: one
# function a file that returns its bytes.
string(REPLACE "|" ";" entries "${FILES}")
set(code "#include \"${HEADER}\"\n\nnamespace ${NAMESPACE} {\nnamespace {\n")
set(functions "")
foreach(entry ${entries})
  string(REGEX MATCH "^([^=]+)=(.*)$" _ "${entry}")
  set(name ${CMAKE_MATCH_1})
  file(READ "${CMAKE_MATCH_2}" bytes HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(APPEND code "const unsigned char ${name}_bytes[] = {${bytes}};\n")
  string(APPEND functions
    "std::string_view ${name}() {\n  return {reinterpret_cast<const char*>(${name}_bytes), sizeof ${name}_bytes};\n}\n")
endforeach()
file(WRITE "${OUT}" "${code}}  // namespace\n\n${functions}}  // namespace ${NAMESPACE}\n")
