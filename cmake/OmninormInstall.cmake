# What `cmake --install` installs: the library as a package that find_package(omninorm) finds, the
# command, and the torch operators where they are built.
include(CMakePackageConfigHelpers)
set(omninorm_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/omninorm)

install(TARGETS omninorm EXPORT omninormTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/omninorm DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h")
install(FILES ${PROJECT_BINARY_DIR}/include/omninorm/version.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/omninorm)
install(EXPORT omninormTargets NAMESPACE omninorm:: DESTINATION ${omninorm_package_dir})

find_package(OpenMP COMPONENTS CXX)  # as src/ has it; the configuration asks for it again
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/omninormConfig.cmake.in
  ${PROJECT_BINARY_DIR}/omninormConfig.cmake INSTALL_DESTINATION ${omninorm_package_dir})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/omninormConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/omninormConfig.cmake ${PROJECT_BINARY_DIR}/omninormConfigVersion.cmake
        DESTINATION ${omninorm_package_dir})

# What needs torch is linked to the torch it was built with, by its full path: a Python environment
# has no place that the loader knows.
if(OMNINORM_TORCH)
  set_target_properties(omninorm_torch PROPERTIES EXPORT_NAME torch
    INSTALL_RPATH "$ORIGIN;${omninorm_torch_lib}")
  install(TARGETS omninorm_torch EXPORT omninormTorchTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  # For C++: omninorm/torch/modules.h and the functions. They include torch's headers, which the
  # including project brings with its own torch.
  set(omninorm_torch_headers modules add_layer_norm add_rms_norm batch_norm group_norm
      grouped_layer_norm instance_norm layer_norm rms_norm)
  list(TRANSFORM omninorm_torch_headers REPLACE ".+" "${PROJECT_SOURCE_DIR}/torch/\\0.h")
  install(FILES ${omninorm_torch_headers}
          DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/omninorm/torch)
  install(EXPORT omninormTorchTargets NAMESPACE omninorm:: DESTINATION ${omninorm_package_dir})
endif()
# The Python package: these and python/omninorm (pyproject.toml).
if(OMNINORM_PYTHON_MODULE)
  install(TARGETS _scalers LIBRARY DESTINATION omninorm COMPONENT python EXCLUDE_FROM_ALL)
endif()
if(OMNINORM_TORCH)
  install(TARGETS omninorm_torch LIBRARY DESTINATION omninorm COMPONENT python EXCLUDE_FROM_ALL)
endif()
if(OMNINORM_LAB)
  install(TARGETS omninorm_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(TARGET omninorm_arrow)
  install(TARGETS omninorm_arrow LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/omninorm)
endif()
if(TARGET omninorm_lab_cli)
  set_target_properties(omninorm_lab_cli PROPERTIES
    INSTALL_RPATH "$ORIGIN/../../${CMAKE_INSTALL_LIBDIR};${omninorm_torch_lib}")
  install(TARGETS omninorm_lab_cli RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/omninorm)
endif()
