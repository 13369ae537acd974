# What the pages share: style, script, and Chart.js.
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

include(OmninormEmbed)
omninorm_embed(omninorm_lab NAMESPACE omninorm::lab HEADER lab/page/page_assets.h FILES
  page_css=${CMAKE_CURRENT_LIST_DIR}/page.css
  page_script=${CMAKE_CURRENT_LIST_DIR}/page.js
  chart_library=${OMNINORM_CHART_JS})
