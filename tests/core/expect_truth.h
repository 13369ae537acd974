// All outputs of a call against the case's truth.
#pragma once

#include <gtest/gtest.h>

#include "tests/core/cases.h"

namespace omninorm::cases {

inline void agree(const char* tensor, const Expected& expected, const Buffer& got) {
  if (got.tensor().given()) {
    EXPECT_EQ(mismatch(tensor, expected, got), "");
  }
}

inline void expect_forward(const Case& c, const Tensors& tensors) {
  const ForwardTruth truth = forward_truth(c, tensors);
  agree("sum", truth.sum, tensors.sum);
  agree("y", truth.y, tensors.y);
  agree("mean", truth.mean, tensors.mean);
  agree("rstd", truth.rstd, tensors.rstd);
  agree("running_mean", truth.running_mean, tensors.running_mean);
  agree("running_var", truth.running_var, tensors.running_var);
  EXPECT_EQ(tensors.damage(), "");
}

inline void expect_backward(const Case& c, const Tensors& tensors) {
  const BackwardTruth truth = backward_truth(c, tensors);
  agree("dx", truth.dx, tensors.dx);
  agree("dweight", truth.dweight, tensors.dweight);
  agree("dbias", truth.dbias, tensors.dbias);
  EXPECT_EQ(tensors.damage(), "");
}

}  // namespace omninorm::cases
