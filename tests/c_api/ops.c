// Every op against its formula in double precision: one that holds for all, since y and dx differ
// only in which elements share a statistic.
#include <stdint.h>

#include "tests/c_api/c_api_test.h"

enum { N = 3, C = 6, S = 5, COUNT = N * C * S };

static float x[COUNT], residual[COUNT], sum[COUNT], y[COUNT], dy[COUNT], dsum[COUNT], dx[COUNT];
static float weight[COUNT], bias[COUNT], dweight[COUNT], dbias[COUNT], mean[COUNT], rstd[COUNT];
static char workspace[1 << 16];

static void fill(float* values, int count, unsigned seed) {
  for (int i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    values[i] = (float)(seed >> 8) / 8388608.0f - 1.0f + 0.25f;
  }
}

typedef struct Op {
  const char* name;
  int groups;  // 0: all channels
  int pool_n, pool_s;
  int centered, added;
  double eps;
} Op;

static int set_of(const Op* op, int n, int c, int s) {
  const int group_channels = C / op->groups;
  int set = c / group_channels;
  if (!op->pool_n) set += n * C;
  if (!op->pool_s) set += s * N * C;
  return set;
}

// The largest deviation of y (or dx) from the formula.
static double deviation(const Op* op, const float* input, const float* given_dy,
                        const float* given_dsum, const float* got) {
  enum { SETS = N * C * S };
  static double m[SETS], m2[SETS], mg[SETS], mgx[SETS], count[SETS];
  double worst = 0;
  memset(m, 0, sizeof m);
  memset(m2, 0, sizeof m2);
  memset(mg, 0, sizeof mg);
  memset(mgx, 0, sizeof mgx);
  memset(count, 0, sizeof count);
  for (int pass = 0; pass < 4; ++pass) {
    for (int i = 0; i < COUNT; ++i) {
      const int c = i / S % C, set = set_of(op, i / S / C, c, i % S);
      const double center = op->centered ? m[set] / count[set] : 0;
      const double r = 1 / sqrt(m2[set] / count[set] + op->eps), xhat = (input[i] - center) * r;
      const double g = given_dy == NULL ? 0 : (double)given_dy[i] * weight[c];
      if (pass == 0) count[set] += 1, m[set] += input[i];
      if (pass == 1) m2[set] += (input[i] - center) * (input[i] - center);
      if (pass == 2) mg[set] += op->centered ? g : 0, mgx[set] += g * xhat;
      if (pass != 3) continue;
      double want = xhat * weight[c] + bias[c];
      if (given_dy != NULL) {
        want = r * (g - mg[set] / count[set] - xhat * mgx[set] / count[set]);
        if (given_dsum != NULL) want += given_dsum[i];
      }
      if (!(fabs(want - got[i]) <= worst)) worst = fabs(want - got[i]);
    }
  }
  return worst;
}

static int tasks_run;
static void run_backwards(void* state, int64_t count, omninorm_task task, void* task_state) {
  ++*(int*)state;
  for (int64_t i = count - 1; i >= 0; --i) task(task_state, i);
}

// Rows of C where S is not a dimension: the op normalises the last one.
static const int64_t kRows[] = {N * S, C};
static const int64_t kImage[] = {N, C, S};
static const int64_t kChannels[] = {C};

typedef omninorm_status (*Forward)(const omninorm_forward_args*, const void*,
                                   const omninorm_context*);

#define CALLS(op, options)                                                             \
  static omninorm_status op##_forward(const omninorm_forward_args* a, const void* o,   \
                                      const omninorm_context* c) {                     \
    size_t bytes = sizeof workspace + 1;                                               \
    const omninorm_status status =                                                     \
        omninorm_##op##_forward_workspace(a, (const options*)o, &bytes);               \
    EXPECT(status == OMNINORM_OK && bytes <= sizeof workspace);                        \
    return omninorm_##op##_forward(a, (const options*)o, c);                           \
  }                                                                                    \
  static omninorm_status op##_backward(const omninorm_backward_args* a, const void* o, \
                                       const omninorm_context* c) {                    \
    size_t bytes = sizeof workspace + 1;                                               \
    const omninorm_status status =                                                     \
        omninorm_##op##_backward_workspace(a, (const options*)o, &bytes);              \
    EXPECT(status == OMNINORM_OK && bytes <= sizeof workspace);                        \
    return omninorm_##op##_backward(a, (const options*)o, c);                          \
  }
CALLS(layer_norm, omninorm_layer_norm_options)
CALLS(rms_norm, omninorm_rms_norm_options)
CALLS(grouped_layer_norm, omninorm_grouped_layer_norm_options)
CALLS(group_norm, omninorm_group_norm_options)
CALLS(instance_norm, omninorm_instance_norm_options)
CALLS(batch_norm, omninorm_batch_norm_options)
CALLS(add_rms_norm, omninorm_rms_norm_options)
CALLS(add_layer_norm, omninorm_layer_norm_options)

typedef omninorm_status (*Backward)(const omninorm_backward_args*, const void*,
                                    const omninorm_context*);

// Sizes of mean and rstd.
typedef struct Statistics {
  int32_t rank;
  int64_t sizes[3];
} Statistics;

static void check(const Op* op, Forward forward, Backward backward, const void* options,
                  int32_t rank, const int64_t* sizes, Statistics saved) {
  omninorm_executor executor = OMNINORM_EXECUTOR_INIT;
  executor.run = run_backwards;
  executor.state = &tasks_run;
  omninorm_context context = OMNINORM_CONTEXT_INIT;
  context.executor = &executor;
  context.workspace = workspace;
  context.workspace_bytes = sizeof workspace;

  const omninorm_tensor t_x = omninorm_contiguous(x, OMNINORM_F32, rank, sizes);
  const omninorm_tensor t_residual = omninorm_contiguous(residual, OMNINORM_F32, rank, sizes);
  const omninorm_tensor t_sum = omninorm_contiguous(sum, OMNINORM_F32, rank, sizes);
  const omninorm_tensor t_y = omninorm_contiguous(y, OMNINORM_F32, rank, sizes);
  const omninorm_tensor t_dy = omninorm_contiguous(dy, OMNINORM_F32, rank, sizes);
  const omninorm_tensor t_dsum = omninorm_contiguous(dsum, OMNINORM_F32, rank, sizes);
  const omninorm_tensor t_dx = omninorm_contiguous(dx, OMNINORM_F32, rank, sizes);
  const omninorm_tensor t_weight = omninorm_contiguous(weight, OMNINORM_F32, 1, kChannels);
  const omninorm_tensor t_bias = omninorm_contiguous(bias, OMNINORM_F32, 1, kChannels);
  const omninorm_tensor t_dweight = omninorm_contiguous(dweight, OMNINORM_F32, 1, kChannels);
  const omninorm_tensor t_dbias = omninorm_contiguous(dbias, OMNINORM_F32, 1, kChannels);
  const omninorm_tensor t_mean = omninorm_contiguous(mean, OMNINORM_F32, saved.rank, saved.sizes);
  const omninorm_tensor t_rstd = omninorm_contiguous(rstd, OMNINORM_F32, saved.rank, saved.sizes);

  omninorm_forward_args args = OMNINORM_FORWARD_ARGS_INIT;
  args.x = &t_x;
  args.residual = op->added ? &t_residual : NULL;
  args.weight = &t_weight;
  args.bias = &t_bias;
  args.sum = op->added ? &t_sum : NULL;
  args.y = &t_y;
  args.mean = op->centered ? &t_mean : NULL;
  args.rstd = &t_rstd;
  EXPECT_OK(forward(&args, options, &context));
  float input[COUNT];
  for (int i = 0; i < COUNT; ++i) {
    input[i] = op->added ? x[i] + residual[i] : x[i];
    if (op->added) EXPECT(sum[i] == input[i]);
  }
  if (!(deviation(op, input, NULL, NULL, y) < 1e-5)) {
    printf("%s forward is wrong\n", op->name);
    ++failures;
  }

  omninorm_backward_args back = OMNINORM_BACKWARD_ARGS_INIT;
  back.x = op->added ? NULL : &t_x;
  back.sum = op->added ? &t_sum : NULL;
  back.weight = &t_weight;
  back.mean = args.mean;
  back.rstd = args.rstd;
  back.dy = &t_dy;
  back.dsum = op->added ? &t_dsum : NULL;
  back.dx = &t_dx;
  back.dweight = &t_dweight;
  back.dbias = &t_dbias;
  EXPECT_OK(backward(&back, options, &context));
  if (!(deviation(op, input, dy, op->added ? dsum : NULL, dx) < 1e-5)) {
    printf("%s backward is wrong\n", op->name);
    ++failures;
  }
  double column = 0;
  for (int i = 0; i < COUNT; ++i) column += i / S % C == 2 ? dy[i] : 0;
  EXPECT(fabs(column - dbias[2]) < 1e-5);
}

// [N, C, S] as [N * S, C] rows, for the ops of features.
static void transpose(float* values) {
  float copy[COUNT];
  memcpy(copy, values, sizeof copy);
  for (int i = 0; i < COUNT; ++i) {
    values[(i / S / C * S + i % S) * C + i / S % C] = copy[i];
  }
}
static void transpose_back(float* values) {
  float copy[COUNT];
  memcpy(copy, values, sizeof copy);
  for (int i = 0; i < COUNT; ++i) {
    values[i] = copy[(i / S / C * S + i % S) * C + i / S % C];
  }
}

// The formula above walks [N, C, S]; features come as rows, so all is transposed around the call.
static Forward rows_forward;
static Backward rows_backward;
static omninorm_status forward_of_rows(const omninorm_forward_args* args, const void* options,
                                       const omninorm_context* context) {
  transpose(x), transpose(residual);
  const omninorm_status status = rows_forward(args, options, context);
  transpose_back(x), transpose_back(residual), transpose_back(sum), transpose_back(y);
  return status;
}
static omninorm_status backward_of_rows(const omninorm_backward_args* args, const void* options,
                                        const omninorm_context* context) {
  transpose(x), transpose(sum), transpose(dy), transpose(dsum);
  const omninorm_status status = rows_backward(args, options, context);
  transpose_back(x), transpose_back(sum), transpose_back(dy), transpose_back(dsum);
  transpose_back(dx);
  return status;
}

static void check_rows(const Op* op, Forward forward, Backward backward, const void* options,
                       Statistics saved) {
  rows_forward = forward;
  rows_backward = backward;
  check(op, forward_of_rows, backward_of_rows, options, 2, kRows, saved);
}

// Large enough to be cut into tasks, which run on the caller's threads alone.
static void check_executor(void) {
  enum { ROWS = 1024, WIDTH = 512 };
  static float values[ROWS * WIDTH], serial[ROWS * WIDTH];
  const int64_t sizes[] = {ROWS, WIDTH};
  fill(values, ROWS * WIDTH, 8);
  const omninorm_tensor in = omninorm_contiguous(values, OMNINORM_F32, 2, sizes);
  const omninorm_tensor out = omninorm_contiguous(serial, OMNINORM_F32, 2, sizes);
  omninorm_forward_args args = OMNINORM_FORWARD_ARGS_INIT;
  args.x = &in;
  args.y = &out;
  EXPECT_OK(omninorm_rms_norm_forward(&args, NULL, NULL));
  omninorm_executor executor = OMNINORM_EXECUTOR_INIT;
  executor.run = run_backwards;
  executor.state = &tasks_run;
  executor.concurrency = 4;
  omninorm_context context = OMNINORM_CONTEXT_INIT;
  context.executor = &executor;
  tasks_run = 0;
  args.y = &in;
  EXPECT_OK(omninorm_rms_norm_forward(&args, NULL, &context));
  EXPECT(tasks_run >= 1);
  EXPECT(memcmp(values, serial, sizeof values) == 0);
}

void test_ops(void) {
  check_executor();
  fill(x, COUNT, 1), fill(residual, COUNT, 2), fill(dy, COUNT, 3), fill(dsum, COUNT, 4);
  fill(weight, C, 5), fill(bias, C, 6);
  const Statistics rows = {1, {N * S}};

  check_rows(&(Op){"layer_norm", 1, 0, 0, 1, 0, 1e-5}, layer_norm_forward, layer_norm_backward,
             NULL, rows);
  check_rows(&(Op){"rms_norm", 1, 0, 0, 0, 0, 1e-6}, rms_norm_forward, rms_norm_backward, NULL,
             rows);
  check_rows(&(Op){"add_rms_norm", 1, 0, 0, 0, 1, 1e-6}, add_rms_norm_forward,
             add_rms_norm_backward, NULL, rows);
  omninorm_layer_norm_options layer = OMNINORM_LAYER_NORM_OPTIONS_INIT;
  layer.eps = 0.5;
  check_rows(&(Op){"add_layer_norm", 1, 0, 0, 1, 1, 0.5}, add_layer_norm_forward,
             add_layer_norm_backward, &layer, rows);

  omninorm_grouped_layer_norm_options grouped = OMNINORM_GROUPED_LAYER_NORM_OPTIONS_INIT;
  grouped.groups = 2;
  const Op of_groups = {"grouped_layer_norm", 2, 0, 0, 1, 0, 1e-5};
  check_rows(&of_groups, grouped_layer_norm_forward, grouped_layer_norm_backward, &grouped,
             (Statistics){2, {N * S, 2}});
  grouped.per_position = 1;
  check(&of_groups, grouped_layer_norm_forward, grouped_layer_norm_backward, &grouped, 3, kImage,
        (Statistics){3, {N, S, 2}});

  omninorm_group_norm_options group = OMNINORM_GROUP_NORM_OPTIONS_INIT;
  group.num_groups = 3;
  check(&(Op){"group_norm", 3, 0, 1, 1, 0, 1e-5}, group_norm_forward, group_norm_backward, &group,
        3, kImage, (Statistics){2, {N, 3}});
  check(&(Op){"instance_norm", C, 0, 1, 1, 0, 1e-5}, instance_norm_forward, instance_norm_backward,
        NULL, 3, kImage, (Statistics){2, {N, C}});
  check(&(Op){"batch_norm", C, 1, 1, 1, 0, 1e-5}, batch_norm_forward, batch_norm_backward, NULL, 3,
        kImage, (Statistics){1, {C}});
}

// Two shards give what the whole batch gives, forward and backward, and update the running
// statistics.
void test_batch_norm_in_parts(void) {
  enum { FIRST = 1 };
  const int64_t sizes[2][3] = {{FIRST, C, S}, {N - FIRST, C, S}};
  double moment[2][2][C], total[2][2][C];
  omninorm_tensor t_moment[2][2], t_total[2][2];
  omninorm_moments moments[2] = {OMNINORM_MOMENTS_INIT, OMNINORM_MOMENTS_INIT};
  omninorm_sums sums[2] = {OMNINORM_SUMS_INIT, OMNINORM_SUMS_INIT};
  float running_mean[C] = {0}, running_var[C] = {0}, whole_y[COUNT], whole_dx[COUNT];
  int64_t batches = 0;
  memcpy(whole_y, y, sizeof y);  // of the last check above: the whole batch
  memcpy(whole_dx, dx, sizeof dx);
  memset(y, 0, sizeof y);
  memset(dx, 0, sizeof dx);

  size_t bytes = 0;
  omninorm_tensor t_x[2];
  for (int part = 0; part < 2; ++part) {
    t_x[part] = omninorm_contiguous(x + part * FIRST * C * S, OMNINORM_F32, 3, sizes[part]);
    for (int i = 0; i < 2; ++i) {
      t_moment[part][i] = omninorm_contiguous(moment[part][i], OMNINORM_F64, 1, kChannels);
      t_total[part][i] = omninorm_contiguous(total[part][i], OMNINORM_F64, 1, kChannels);
    }
    moments[part].mean = &t_moment[part][0];
    moments[part].m2 = &t_moment[part][1];
    sums[part].dy = &t_total[part][0];
    sums[part].dy_xhat = &t_total[part][1];
    EXPECT_OK(omninorm_batch_norm_moments_workspace(&t_x[part], &bytes));
    EXPECT_OK(omninorm_batch_norm_moments(&t_x[part], &moments[part], NULL));
    EXPECT(moments[part].count == sizes[part][0] * S);
  }
  EXPECT_OK(omninorm_merge_moments(&moments[0], &moments[1]));
  EXPECT(moments[0].count == N * S);

  const omninorm_tensor t_weight = omninorm_contiguous(weight, OMNINORM_F32, 1, kChannels);
  const omninorm_tensor t_bias = omninorm_contiguous(bias, OMNINORM_F32, 1, kChannels);
  const omninorm_tensor t_mean = omninorm_contiguous(mean, OMNINORM_F32, 1, kChannels);
  const omninorm_tensor t_rstd = omninorm_contiguous(rstd, OMNINORM_F32, 1, kChannels);
  const omninorm_tensor t_running[2] = {
      omninorm_contiguous(running_mean, OMNINORM_F32, 1, kChannels),
      omninorm_contiguous(running_var, OMNINORM_F32, 1, kChannels)};
  omninorm_batch_norm_options options = OMNINORM_BATCH_NORM_OPTIONS_INIT;
  options.cumulative = 1;
  omninorm_backward_args back[2] = {OMNINORM_BACKWARD_ARGS_INIT, OMNINORM_BACKWARD_ARGS_INIT};
  omninorm_tensor t_y[2], t_dy[2], t_dx[2];
  for (int part = 0; part < 2; ++part) {
    const int at = part * FIRST * C * S;
    t_y[part] = omninorm_contiguous(y + at, OMNINORM_F32, 3, sizes[part]);
    t_dy[part] = omninorm_contiguous(dy + at, OMNINORM_F32, 3, sizes[part]);
    t_dx[part] = omninorm_contiguous(dx + at, OMNINORM_F32, 3, sizes[part]);
    omninorm_forward_args args = OMNINORM_FORWARD_ARGS_INIT;
    args.x = &t_x[part];
    args.weight = &t_weight;
    args.bias = &t_bias;
    args.y = &t_y[part];
    args.mean = &t_mean;
    args.rstd = &t_rstd;
    if (part == 0) {
      args.running_mean = &t_running[0];
      args.running_var = &t_running[1];
      args.num_batches_tracked = &batches;
    }
    const omninorm_batch_norm_options* chosen = part == 0 ? &options : NULL;
    EXPECT_OK(omninorm_batch_norm_normalize_workspace(&args, chosen, &bytes));
    EXPECT_OK(omninorm_batch_norm_normalize(&args, &moments[0], chosen, NULL));
    back[part].x = &t_x[part];
    back[part].weight = &t_weight;
    back[part].mean = &t_mean;
    back[part].rstd = &t_rstd;
    back[part].dy = &t_dy[part];
    EXPECT_OK(omninorm_batch_norm_backward_sums_workspace(&back[part], NULL, &bytes));
    EXPECT_OK(omninorm_batch_norm_backward_sums(&back[part], &sums[part], NULL, NULL));
  }
  EXPECT(batches == 1);
  EXPECT(fabs(running_mean[1] - moment[0][0][1]) < 1e-6);
  EXPECT(fabs(running_var[1] - moment[0][1][1] / (N * S - 1)) < 1e-6);
  sums[0].count += sums[1].count;
  EXPECT(sums[0].count == N * S);
  for (int i = 0; i < 2 * C; ++i) total[0][i / C][i % C] += total[1][i / C][i % C];
  for (int part = 0; part < 2; ++part) {
    back[part].dx = &t_dx[part];
    EXPECT_OK(omninorm_batch_norm_backward_input_workspace(&back[part], NULL, &bytes));
    EXPECT_OK(omninorm_batch_norm_backward_input(&back[part], &sums[0], NULL, NULL));
  }
  for (int i = 0; i < COUNT; ++i) {
    EXPECT(fabsf(y[i] - whole_y[i]) < 1e-5f);
    EXPECT(fabsf(dx[i] - whole_dx[i]) < 1e-5f);
  }
}
