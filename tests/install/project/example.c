#include <stdio.h>

#include "omninorm/c.h"

int main(void) {
  float x_data[] = {3, 4, 0, 0,  //
                    1, 1, 1, 1};
  float weight_data[] = {1, 2, 1, 1};
  float y_data[8];
  const int64_t matrix[] = {2, 4}, vector[] = {4};
  const omninorm_tensor x = omninorm_contiguous(x_data, OMNINORM_F32, 2, matrix);
  const omninorm_tensor weight = omninorm_contiguous(weight_data, OMNINORM_F32, 1, vector);
  const omninorm_tensor y = omninorm_contiguous(y_data, OMNINORM_F32, 2, matrix);

  omninorm_forward_args args = OMNINORM_FORWARD_ARGS_INIT;
  args.x = &x;
  args.weight = &weight;
  args.y = &y;
  omninorm_rms_norm_options options = OMNINORM_RMS_NORM_OPTIONS_INIT;
  options.eps = 1e-5;
  if (omninorm_rms_norm_forward(&args, &options, NULL) != OMNINORM_OK) {
    fprintf(stderr, "%s\n", omninorm_last_error());
    return 1;
  }
  for (int i = 0; i < 8; ++i) printf("%.4f ", y_data[i]);  // 1.2000 3.2000 0.0000 ...
  printf("\n");
  return 0;
}
