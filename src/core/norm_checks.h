// The checks behind build_forward and build_backward. Each throws Error.
#pragma once

#include "src/core/norm_build.h"

namespace omninorm::internal {

void check_forward(const NormSpec& spec, const NormForwardArgs& args, const ForwardExtras& extras,
                   Purpose purpose);
void check_backward(const NormSpec& spec, const NormBackwardArgs& args,
                    const BackwardExtras& extras, Purpose purpose);

}  // namespace omninorm::internal
