// Everything: #include "omninorm/omninorm.h".
#pragma once

#include "omninorm/cpu.h"
#include "omninorm/dtype.h"
#include "omninorm/error.h"
#include "omninorm/executor.h"
#include "omninorm/layer_norm.h"
#include "omninorm/norm.h"
#include "omninorm/rms_norm.h"
#include "omninorm/tensor.h"
#include "omninorm/version.h"
