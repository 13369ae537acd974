# Puts the report's template and Chart.js into the library as bytes, so that a report needs no network
# and the program no file beside it.
find_file(OMNINORM_CHART_JS NAMES chart.min.js Chart.min.js
  PATH_SUFFIXES share/javascript/chart.js share/javascript/chartjs
  DOC "Chart.js 3, minified (Debian: libjs-chart.js)")
if(NOT OMNINORM_CHART_JS)
  message(FATAL_ERROR "omninorm: the report needs Chart.js 3: install the Debian package libjs-chart.js, or give -DOMNINORM_CHART_JS=/path/to/chart.min.js")
endif()
file(READ ${OMNINORM_CHART_JS} omninorm_chart_head LIMIT 200)
if(NOT omninorm_chart_head MATCHES "Chart.js v3\\.")
  message(FATAL_ERROR "omninorm: the report needs Chart.js 3, but ${OMNINORM_CHART_JS} is not it; Debian's libjs-chart.js has it")
endif()

set(omninorm_report_assets ${CMAKE_CURRENT_BINARY_DIR}/report_assets.cc)
set(omninorm_report_files
  template_html=${CMAKE_CURRENT_LIST_DIR}/template/report.html
  template_css=${CMAKE_CURRENT_LIST_DIR}/template/report.css
  template_charts_js=${CMAKE_CURRENT_LIST_DIR}/template/charts.js
  template_js=${CMAKE_CURRENT_LIST_DIR}/template/report.js
  chart_library=${OMNINORM_CHART_JS})
string(REPLACE ";" "|" omninorm_report_list "${omninorm_report_files}")
add_custom_command(
  OUTPUT ${omninorm_report_assets}
  COMMAND ${CMAKE_COMMAND} "-DFILES=${omninorm_report_list}" -DOUT=${omninorm_report_assets}
          -P ${CMAKE_CURRENT_LIST_DIR}/embed.cmake
  DEPENDS ${CMAKE_CURRENT_LIST_DIR}/embed.cmake ${OMNINORM_CHART_JS}
          ${CMAKE_CURRENT_LIST_DIR}/template/report.html
          ${CMAKE_CURRENT_LIST_DIR}/template/report.css
          ${CMAKE_CURRENT_LIST_DIR}/template/charts.js
          ${CMAKE_CURRENT_LIST_DIR}/template/report.js
  COMMENT "Embedding the report's template and Chart.js" VERBATIM)
target_sources(omninorm_lab PRIVATE ${omninorm_report_assets})
