# torch from the Python environment that OMNINORM_PYTHON names. OMNINORM_TORCH=AUTO becomes ON where
# the right one is there, else OFF.
#
# torch's own TorchConfig.cmake is not used: with a CUDA build of torch (what pip installs by default)
# it stops unless the whole CUDA toolkit is there too, which nothing here needs.
set(OMNINORM_TORCH_VERSION 2.13)
set(omninorm_torch_advice
    "./dev sets this up; by hand, pip install 'torch==${OMNINORM_TORCH_VERSION}.*' and set OMNINORM_PYTHON to that Python, or configure with -DOMNINORM_TORCH=OFF")
if(SKBUILD)
  set(omninorm_torch_advice
      "Install torch ${OMNINORM_TORCH_VERSION} first, then run pip install --no-build-isolation .")
endif()
function(omninorm_no_torch reason)
  if(NOT OMNINORM_TORCH STREQUAL AUTO)
    message(FATAL_ERROR "omninorm: ${reason}. ${omninorm_torch_advice}")
  endif()
  message(STATUS "omninorm: ${reason}. Building without torch's operators")
  set(OMNINORM_TORCH OFF PARENT_SCOPE)
endfunction()
if(NOT OMNINORM_PYTHON)
  omninorm_no_torch("expected a Python that has torch ${OMNINORM_TORCH_VERSION}, got none")
  return()
endif()
execute_process(
  COMMAND ${OMNINORM_PYTHON} -c "import importlib.metadata as m, importlib.util as u; print(m.version('torch') + ';' + u.find_spec('torch').submodule_search_locations[0], end='')"
  OUTPUT_VARIABLE omninorm_torch_found RESULT_VARIABLE omninorm_torch_missing ERROR_QUIET)
if(omninorm_torch_missing)
  omninorm_no_torch("${OMNINORM_PYTHON} has no torch")
  return()
endif()
list(GET omninorm_torch_found 0 omninorm_torch_version)
list(GET omninorm_torch_found 1 omninorm_torch_root)
if(NOT omninorm_torch_version MATCHES "^${OMNINORM_TORCH_VERSION}\\.")
  omninorm_no_torch("expected torch ${OMNINORM_TORCH_VERSION}, got ${omninorm_torch_version} from ${OMNINORM_PYTHON}")
  return()
endif()
set(OMNINORM_TORCH ON)
message(STATUS "omninorm: torch ${omninorm_torch_version} in ${omninorm_torch_root}")
find_package(OpenMP REQUIRED COMPONENTS CXX)

# Everything a target that includes torch needs. Headers are system headers, so that our warnings
# stay ours. -fopenmp is for at::parallel_for, a header template that runs serially without it;
# torch's own libgomp serves, and none is linked beside it. torch is linked though nothing names a
# symbol of it: it is what loads the CUDA half where there is one, whose libraries the linker need
# not find.
set(omninorm_torch_lib ${omninorm_torch_root}/lib)
add_library(omninorm_torch_flags INTERFACE)
target_include_directories(omninorm_torch_flags SYSTEM INTERFACE
  ${omninorm_torch_root}/include ${omninorm_torch_root}/include/torch/csrc/api/include)
target_compile_options(omninorm_torch_flags INTERFACE ${OpenMP_CXX_FLAGS})
# torch's include folder holds a newer fmt than the one that the system's library was built from, and
# is searched first: used as a header it needs no library.
target_compile_definitions(omninorm_torch_flags INTERFACE FMT_HEADER_ONLY=1)
target_link_options(omninorm_torch_flags INTERFACE -Wl,--allow-shlib-undefined)
target_link_libraries(omninorm_torch_flags INTERFACE
  omninorm_flags -Wl,--push-state,--no-as-needed ${omninorm_torch_lib}/libtorch.so -Wl,--pop-state
  ${omninorm_torch_lib}/libtorch_cpu.so ${omninorm_torch_lib}/libc10.so)

# One precompiled torch header for every target that includes torch. It belongs to no target of
# ours, since a precompiled header asks for the very same flags in all that use it.
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/torch_header.cc CONTENT "")
add_library(omninorm_torch_header OBJECT ${CMAKE_BINARY_DIR}/torch_header.cc)
target_link_libraries(omninorm_torch_header PRIVATE omninorm_torch_flags)
target_compile_options(omninorm_torch_header PRIVATE -fPIC)
target_precompile_headers(omninorm_torch_header PRIVATE <torch/torch.h>)

function(omninorm_use_torch target)
  target_link_libraries(${target} PRIVATE omninorm_torch_flags)
  # Programs too, which would get -fPIE and could then not use the header.
  target_compile_options(${target} PRIVATE -fPIC)
  set_target_properties(${target} PROPERTIES DEFINE_SYMBOL "" POSITION_INDEPENDENT_CODE OFF OMNINORM_HAS_TORCH ON)
  target_precompile_headers(${target} REUSE_FROM omninorm_torch_header)
endfunction()
