// Everything: #include "omninorm/omninorm.h".
#pragma once

#include "omninorm/add_layer_norm.h"
#include "omninorm/add_rms_norm.h"
#include "omninorm/batch_norm.h"
#include "omninorm/cpu.h"
#include "omninorm/dtype.h"
#include "omninorm/error.h"
#include "omninorm/executor.h"
#include "omninorm/group_norm.h"
#include "omninorm/grouped_layer_norm.h"
#include "omninorm/instance_norm.h"
#include "omninorm/layer_norm.h"
#include "omninorm/norm.h"
#include "omninorm/rms_norm.h"
#include "omninorm/scaler.h"
#include "omninorm/tensor.h"
#include "omninorm/version.h"
