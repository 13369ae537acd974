// What is told about wrong arguments. No call may crash, or write where it refuses.
#include "tests/c_api/c_api_test.h"

static float values[8], weights[4];

static void run_nothing(void* state, int64_t count, omninorm_task task, void* task_state) {
  (void)state, (void)count, (void)task, (void)task_state;
}

void test_errors(void) {
  const int64_t sizes[] = {2, 4}, wide[] = {2, 5}, channels[] = {4};
  omninorm_tensor x = omninorm_contiguous(values, OMNINORM_F32, 2, sizes);
  omninorm_tensor y = omninorm_contiguous(values, OMNINORM_F32, 2, sizes);
  const omninorm_tensor y_wide = omninorm_contiguous(values, OMNINORM_F32, 2, wide);
  const omninorm_tensor weight = omninorm_contiguous(weights, OMNINORM_F32, 1, channels);
  omninorm_forward_args args = OMNINORM_FORWARD_ARGS_INIT;
  args.x = &x;
  args.y = &y;

  // Null structs
  EXPECT_REFUSED(omninorm_rms_norm_forward(NULL, NULL, NULL),
                 "[rms_norm] expected args, got a null pointer");
  EXPECT_REFUSED(omninorm_group_norm_backward(NULL, NULL, NULL),
                 "[group_norm] expected args, got a null pointer");
  EXPECT_REFUSED(omninorm_rms_norm_forward_workspace(&args, NULL, NULL),
                 "[rms_norm] expected bytes, got a null pointer");
  EXPECT_REFUSED(omninorm_batch_norm_moments(&x, NULL, NULL),
                 "[batch_norm] expected moments, got a null pointer");
  EXPECT_REFUSED(omninorm_merge_moments(NULL, NULL),
                 "[merge_moments] expected into, got a null pointer");
  EXPECT_REFUSED(omninorm_batch_norm_backward_input(NULL, NULL, NULL, NULL),
                 "[batch_norm] expected args, got a null pointer");
  args.x = NULL;
  EXPECT(omninorm_rms_norm_forward(&args, NULL, NULL) == OMNINORM_INVALID_ARGUMENT);
  EXPECT(strncmp(omninorm_last_error(), "[rms_norm] expected x", 21) == 0);
  args.x = &x;

  // Sizes of structs: not initialised, and of a later version
  omninorm_rms_norm_options options = OMNINORM_RMS_NORM_OPTIONS_INIT;
  options.struct_size = 0;
  EXPECT(omninorm_rms_norm_forward(&args, &options, NULL) == OMNINORM_INVALID_ARGUMENT);
  EXPECT(strstr(omninorm_last_error(), "[rms_norm] expected options->struct_size ") != NULL);
  EXPECT(strstr(omninorm_last_error(), ", got 0; initialise the struct") != NULL);
  options.struct_size = sizeof options + 8;
  EXPECT(omninorm_rms_norm_forward(&args, &options, NULL) == OMNINORM_INVALID_ARGUMENT);
  options.struct_size = sizeof options;

  // Values
  x.dtype = 7;
  EXPECT_REFUSED(omninorm_rms_norm_forward(&args, NULL, NULL),
                 "[rms_norm] expected dtype of x 0 to 3, got 7");
  x.dtype = OMNINORM_F32;
  x.rank = -1;
  EXPECT_REFUSED(omninorm_rms_norm_forward(&args, NULL, NULL),
                 "[rms_norm] expected x of 0 to 8 dimensions, got -1");
  x = omninorm_contiguous(values, OMNINORM_F32, 9, sizes);
  EXPECT_REFUSED(omninorm_rms_norm_forward(&args, NULL, NULL),
                 "[rms_norm] expected x of 0 to 8 dimensions, got 9");
  x = omninorm_contiguous(values, OMNINORM_F32, 2, sizes);
  options.cast_policy = 2;
  EXPECT_REFUSED(omninorm_rms_norm_forward(&args, &options, NULL),
                 "[rms_norm] expected cast_policy 0 to 1, got 2");
  omninorm_batch_norm_options batch = OMNINORM_BATCH_NORM_OPTIONS_INIT;
  batch.activation = -1;
  EXPECT_REFUSED(omninorm_batch_norm_forward(&args, &batch, NULL),
                 "[batch_norm] expected activation 0 to 2, got -1");

  // Shapes: the library's own words come through
  args.y = &y_wide;
  EXPECT_REFUSED(omninorm_layer_norm_forward(&args, NULL, NULL),
                 "[layer_norm] expected y of the shape of x, [2, 4], got [2, 5]");
  args.y = &y;
  omninorm_group_norm_options groups = OMNINORM_GROUP_NORM_OPTIONS_INIT;
  groups.num_groups = 3;
  EXPECT_REFUSED(omninorm_group_norm_forward(&args, &groups, NULL),
                 "[group_norm] expected num_groups to divide 4 channels, got 3");

  // What the op does not have
  args.residual = &x;
  EXPECT_REFUSED(omninorm_rms_norm_forward(&args, NULL, NULL),
                 "[rms_norm] expected no residual, got one");
  args.residual = NULL;
  args.running_mean = &weight;
  EXPECT_REFUSED(omninorm_group_norm_forward(&args, NULL, NULL),
                 "[group_norm] expected no running_mean, got one");
  args.running_mean = NULL;
  omninorm_backward_args back = OMNINORM_BACKWARD_ARGS_INIT;
  back.x = &x;
  EXPECT_REFUSED(omninorm_add_rms_norm_backward(&back, NULL, NULL),
                 "[add_rms_norm] expected no x, got one");

  // Executor and workspace
  omninorm_executor executor = OMNINORM_EXECUTOR_INIT;
  omninorm_context context = OMNINORM_CONTEXT_INIT;
  context.executor = &executor;
  EXPECT_REFUSED(omninorm_rms_norm_forward(&args, NULL, &context),
                 "[rms_norm] expected executor->run, got a null pointer");
  executor.run = run_nothing;
  executor.concurrency = 0;
  EXPECT_REFUSED(omninorm_rms_norm_forward(&args, NULL, &context),
                 "[rms_norm] expected executor->concurrency of at least 1, got 0");
  context.executor = NULL;
  const omninorm_batch_norm_options training = OMNINORM_BATCH_NORM_OPTIONS_INIT;
  const int64_t images[] = {2, 4, 1};
  x = omninorm_contiguous(values, OMNINORM_F32, 3, images);
  y = x;
  size_t bytes = 0;
  EXPECT_OK(omninorm_batch_norm_forward_workspace(&args, &training, &bytes));
  context.workspace = values;
  context.workspace_bytes = 1;
  if (bytes > 0) {
    EXPECT(omninorm_batch_norm_forward(&args, &training, &context) == OMNINORM_INVALID_ARGUMENT);
    EXPECT(strstr(omninorm_last_error(), "expected a workspace of at least") != NULL);
  }
  x = y = omninorm_contiguous(values, OMNINORM_F32, 2, sizes);

  // A call that works clears the message.
  EXPECT_OK(omninorm_rms_norm_forward(&args, NULL, NULL));
  EXPECT(strcmp(omninorm_version(), "") != 0);
}
