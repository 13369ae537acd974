#include "bench/backend.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace omninorm::bench {

bool has_torch() { return false; }
std::string torch_version() { return {}; }

#if defined(_OPENMP)
void set_threads(int threads) { omp_set_num_threads(threads); }
#else
void set_threads(int) {}
#endif

int threads() { return default_executor().concurrency(); }
Executor& bench_executor() { return default_executor(); }
std::vector<Side> torch_sides(const Problem&) { return {}; }

}  // namespace omninorm::bench
