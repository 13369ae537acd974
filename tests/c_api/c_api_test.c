// The C interface, from C: every op forward and backward, the executor and the workspace, a batch
// in parts, and what is told about wrong arguments.
#include "tests/c_api/c_api_test.h"

int failures = 0;

int main(void) {
  test_ops();
  test_batch_norm_in_parts();
  test_errors();
  if (failures > 0) printf("%d failed\n", failures);
  return failures > 0;
}
