#include <cstdio>
#include <vector>

#include "omninorm/rms_norm.h"

int main() {
  const std::vector<float> x = {3, 4, 0, 0,  //
                                1, 1, 1, 1};
  const std::vector<float> weight = {1, 2, 1, 1};
  std::vector<float> y(8), rstd(2);

  omninorm::rms_norm_forward({.x = {x.data(), {2, 4}},
                              .weight = {weight.data(), {4}},
                              .y = {y.data(), {2, 4}},
                              .rstd = {rstd.data(), {2}}});

  for (float value : y) std::printf("%.4f ", value);  // 1.2000 3.2000 0.0000 ...
  std::printf("\nrstd of the first row: %.4f\n", rstd[0]);
}
