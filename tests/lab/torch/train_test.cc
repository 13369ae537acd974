#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "lab/experiment/run_folder.h"
#include "lab/train/batches.h"
#include "lab/train/optimiser.h"
#include "lab/train/schedule.h"
#include "lab/train/stepper.h"
#include "lab/train/verdict.h"
#include "omninorm/error.h"
#include "tests/lab/torch/fixtures.h"
#include "tests/lab/torch/reference_model.h"

namespace omninorm::lab::testing {
namespace {

using ::testing::HasSubstr;

TEST(Schedule, RisesLinearlyThenFallsAlongACosineToATenth) {
  Settings settings;
  settings.steps = 200;
  settings.lr = 2e-3;
  settings.warmup = 0.1;
  EXPECT_DOUBLE_EQ(learning_rate(settings, 1), 1e-4);
  EXPECT_DOUBLE_EQ(learning_rate(settings, 10), 1e-3);
  EXPECT_DOUBLE_EQ(learning_rate(settings, 20), 2e-3);
  EXPECT_DOUBLE_EQ(learning_rate(settings, 110), 2e-4 + 0.5 * 1.8e-3);  // half-way down
  EXPECT_NEAR(learning_rate(settings, 65),
              2e-4 + 1.8e-3 * 0.5 * (1 + std::cos(std::numbers::pi / 4)), 1e-15);
  EXPECT_NEAR(learning_rate(settings, 200), 2e-4, 1e-15);
}

TEST(Schedule, HoldsAtTheEdges) {
  Settings settings;
  settings.lr = 1;
  settings.steps = 1;
  settings.warmup = 0;
  EXPECT_NEAR(learning_rate(settings, 1), 0.1, 1e-12);
  settings.warmup = 1;
  EXPECT_DOUBLE_EQ(learning_rate(settings, 1), 1);
  settings.steps = 10;
  EXPECT_DOUBLE_EQ(learning_rate(settings, 10), 1);
}

TEST(Batches, DependOnSeedAndStepAlone) {
  const TextData data = made_up_data();
  Settings settings = small_settings();
  const Batch batch = training_batch(data, settings, 4);
  EXPECT_EQ(batch.tokens.sizes(), (std::vector<std::int64_t>{3, 12}));
  EXPECT_TRUE(batch.tokens.narrow(1, 1, 11).equal(batch.targets.narrow(1, 0, 11)));
  Settings variant = settings;
  variant.placement = "peri";
  variant.lr = 1;
  variant.dropout = 0.5;
  variant.width = 32;
  EXPECT_TRUE(batch.tokens.equal(training_batch(data, variant, 4).tokens));
  EXPECT_TRUE(batch.targets.equal(training_batch(data, variant, 4).targets));
  EXPECT_FALSE(batch.tokens.equal(training_batch(data, settings, 5).tokens));
  variant.seed = 2;
  EXPECT_FALSE(batch.tokens.equal(training_batch(data, variant, 4).tokens));
}

TEST(Batches, ReachEveryByteOfTheShortestText) {
  Settings settings = small_settings();
  TextData data = made_up_data();
  data.train.resize(static_cast<std::size_t>(settings.context) + 2);  // two places to start
  bool first = false, second = false;
  for (std::int64_t step = 1; step <= 20; ++step) {
    const at::Tensor starts = training_batch(data, settings, step).tokens.select(1, 0);
    first = first || starts.eq(data.train[0]).any().item<bool>();
    second = second || starts.eq(data.train[1]).any().item<bool>();
  }
  EXPECT_TRUE(first && second);
}

TEST(Batches, ValidationIsTheSameForEveryLengthOfRun) {
  const TextData data = made_up_data();
  Settings settings = small_settings();
  const auto windows = [&](std::int64_t steps) {
    settings.steps = steps;
    std::int64_t count = 0;
    for (const Batch& batch : validation_batches(data, settings)) {
      count += batch.tokens.size(0);
    }
    return count;
  };
  EXPECT_EQ(windows(10), 64);
  EXPECT_EQ(windows(5000), 64);
}

TEST(Batches, ValidationIsTheSameForEveryVariantAndSeed) {
  const TextData data = made_up_data();
  Settings settings = small_settings();
  const auto rows = [&](const Settings& s) {
    std::vector<at::Tensor> tokens;
    for (const Batch& batch : validation_batches(data, s)) {
      tokens.push_back(batch.tokens);
    }
    return at::cat(tokens);
  };
  const at::Tensor expected = rows(settings);
  EXPECT_EQ(expected.size(0), 64);
  settings.seed = 9;
  settings.batch = 5;
  EXPECT_TRUE(expected.equal(rows(settings)));
  EXPECT_EQ(expected[0][0].item<std::int64_t>(), data.valid[0]);
  EXPECT_EQ(validation_batches(data, settings).back().targets[-1][-1].item<std::int64_t>(),
            data.valid.back());
}

TEST(Optimiser, FollowsTheFormulasOfAdamWWithClippingAndDecayOnMatricesOnly) {
  torch::nn::Module model;
  at::Tensor matrix = model.register_parameter("matrix", at::full({2, 2}, 0.5));
  at::Tensor vector = model.register_parameter("vector", at::full({3}, 0.5));
  Settings settings;
  settings.weight_decay = 0.1;
  settings.beta1 = 0.9;
  settings.beta2 = 0.95;
  settings.clip = 1;
  Optimiser optimiser(model, settings);
  double m[2] = {0, 0}, v[2] = {0, 0}, w[2] = {0.5, 0.5};
  constexpr double lr = 0.01;
  for (int step = 1; step <= 3; ++step) {
    const double g[2] = {0.3 * step, -0.2 * step};
    matrix.mutable_grad() = at::full({2, 2}, g[0]);
    vector.mutable_grad() = at::full({3}, g[1]);
    const GradientNorms norms = optimiser.gradient_norms();
    const double total = std::sqrt(4 * g[0] * g[0] + 3 * g[1] * g[1]);
    EXPECT_NEAR(norms.total, total, 1e-6);
    EXPECT_NEAR(norms.parameter[0], 2 * g[0], 1e-6);
    optimiser.step(lr, norms);
    for (int i = 0; i < 2; ++i) {
      const double clipped = g[i] * std::min(1.0, settings.clip / total);
      w[i] -= i == 0 ? lr * settings.weight_decay * w[i] : 0;
      m[i] = 0.9 * m[i] + 0.1 * clipped;
      v[i] = 0.95 * v[i] + 0.05 * clipped * clipped;
      w[i] -= lr * (m[i] / (1 - std::pow(0.9, step))) /
              (std::sqrt(v[i] / (1 - std::pow(0.95, step))) + kAdamEps);
    }
    EXPECT_NEAR(matrix[0][1].item<double>(), w[0], 2e-7) << step;
    EXPECT_NEAR(vector[2].item<double>(), w[1], 2e-7) << step;
  }
}

TEST(Optimiser, DecaysEveryMatrixAndNoVector) {
  Settings settings = small_settings();
  settings.placement = "peri";
  settings.norm = "layer_norm";
  Transformer model(settings);
  const Optimiser optimiser(model, settings);
  const auto parameters = parameters_of(model);
  std::size_t matrices = 0;
  for (std::size_t i = 0; i < optimiser.names().size(); ++i) {
    EXPECT_EQ(optimiser.decays(i), parameters.at(optimiser.names()[i]).dim() == 2);
    matrices += optimiser.decays(i) ? 1 : 0;
  }
  EXPECT_EQ(matrices, 2u + 2u * 4u);  // embedding, output; qkv, out, up, down of two blocks
}

TEST(Verdict, ByteEntropyIsThatOfTheFrequencies) {
  EXPECT_DOUBLE_EQ(byte_entropy(std::vector<std::uint8_t>{7, 7, 7}), 0);
  EXPECT_NEAR(byte_entropy(std::vector<std::uint8_t>{1, 2, 3, 4}), std::log(4.0), 1e-12);
  EXPECT_NEAR(byte_entropy(std::vector<std::uint8_t>{1, 1, 1, 2}),
              0.75 * std::log(4.0 / 3) + 0.25 * std::log(4.0), 1e-12);
}

TEST(Verdict, ASpikeStandsSixSigmaAboveTheLast128) {
  SpikeMonitor monitor;
  for (int i = 0; i < 127; ++i) {
    EXPECT_FALSE(monitor.add(i % 2 == 0 ? 1.0 : 3.0));
  }
  EXPECT_FALSE(monitor.add(1e6)) << "only 127 values came before";
  SpikeMonitor fresh;
  for (int i = 0; i < 128; ++i) {
    fresh.add(i % 2 == 0 ? 1.0 : 3.0);  // mean 2, sigma 1
  }
  EXPECT_FALSE(fresh.add(7.9));
  SpikeMonitor other;
  for (int i = 0; i < 128; ++i) {
    other.add(i % 2 == 0 ? 1.0 : 3.0);
  }
  const auto spike = other.add(8.1);
  ASSERT_TRUE(spike);
  EXPECT_NEAR(spike->mean, 2, 1e-12);
  EXPECT_NEAR(spike->sigma, 1, 1e-12);
  EXPECT_FALSE(other.add(8.1)) << "the first spike widened the window";
}

TEST(Verdict, StuckMeansAtTheBytesEntropyAndNotFalling) {
  constexpr double entropy = 3.1;
  EXPECT_TRUE(stuck_reason(std::vector<double>(100, 3.15), entropy));
  EXPECT_TRUE(stuck_reason(std::vector<double>(100, 3.06), entropy));
  EXPECT_FALSE(stuck_reason(std::vector<double>(100, 3.0), entropy));
  EXPECT_FALSE(stuck_reason(std::vector<double>(99, 3.15), entropy)) << "too short to say";
  std::vector<double> falling;
  for (int i = 0; i < 100; ++i) {
    falling.push_back(5.5 - 0.02 * i);
  }
  EXPECT_FALSE(stuck_reason(falling, entropy)) << "still on its way";
  EXPECT_THAT(*stuck_reason(std::vector<double>(100, 3.15), entropy), HasSubstr("3.100"));
}

// Everything but times.
std::vector<nlohmann::json> without_times(const TrainedRun& run) {
  std::vector<nlohmann::json> records = run.records;
  for (auto& record : records) {
    for (const char* field : {"seconds", "norm_seconds", "step_seconds", "probe_seconds",
                              "tokens_per_second", "probe_share"}) {
      record.erase(field);
    }
  }
  return records;
}

TEST(Train, TheSameSettingsGiveTheSameBits) {
  const TextData data = made_up_data();
  for (const char* dtype : {"f32", "bf16"}) {
    Settings settings = small_settings();
    settings.placement = "peri";
    settings.dtype = dtype;
    settings.dropout = 0.1;
    settings.qk_norm = true;
    settings.width = 32;
    settings.context = 64;
    const auto first = without_times(train_and_read(settings, data));
    EXPECT_GT(first.size(), 15u);
    EXPECT_EQ(first, without_times(train_and_read(settings, data))) << dtype;
    settings.seed = 2;
    EXPECT_NE(first, without_times(train_and_read(settings, data))) << dtype;
  }
}

TEST(Train, WritesTheRecordsThatTheDocsTellOf) {
  Settings settings = small_settings();
  settings.steps = 12;
  const TrainedRun run = train_and_read(settings, made_up_data());
  EXPECT_EQ(run.result.status, "done");
  const auto steps = run.of_kind("step");
  ASSERT_EQ(steps.size(), 12u);
  EXPECT_EQ(steps[0].at("step"), 1);
  EXPECT_NEAR(steps[0].at("loss").get<double>(), std::log(256.0), 0.1) << "an untrained model";
  EXPECT_EQ(steps[11].at("tokens"), 12 * 3 * 12);
  EXPECT_NEAR(steps[11].at("lr").get<double>(), 0.1 * settings.lr, 1e-12);
  std::vector<int> probed, validated;
  for (const auto& record : run.of_kind("probe")) {
    probed.push_back(record.at("step"));
    EXPECT_EQ(record.at("layers").size(), 2u);
    EXPECT_GT(record.at("norm_seconds").get<double>(), 0);
    EXPECT_GT(record.at("probe_seconds").get<double>(), 0);
    EXPECT_LT(record.at("norm_seconds").get<double>(), record.at("step_seconds").get<double>());
  }
  for (const auto& record : run.of_kind("valid")) {
    validated.push_back(record.at("step"));
  }
  EXPECT_EQ(probed, (std::vector<int>{1, 5, 10, 12}));
  EXPECT_EQ(validated, (std::vector<int>{3, 6, 9, 12}));
  const auto end = run.records.back();
  EXPECT_EQ(end.at("kind"), "end");
  EXPECT_EQ(end.at("status"), "done");
  EXPECT_EQ(end.at("step"), 12);
}

TEST(Train, Learns) {
  Settings settings = small_settings();
  settings.width = 32;
  settings.context = 32;
  settings.batch = 8;
  settings.steps = 120;
  settings.lr = 1e-2;
  const TextData data = made_up_data();
  const double entropy = byte_entropy(data.train);
  for (const char* dtype : {"f32", "bf16"}) {
    settings.dtype = dtype;
    const TrainedRun run = train_and_read(settings, data);
    EXPECT_EQ(run.result.status, "done") << run.result.reason;
    EXPECT_LT(run.result.final_loss, entropy - 0.3) << dtype;
  }
}

TEST(Train, AModelThatSeesNothingIsStuck) {
  Settings settings = small_settings();
  settings.steps = 100;
  settings.lr = 0.05;
  TextData data = made_up_data();
  // Bytes without any order: nothing to learn beyond their frequencies.
  std::uint64_t state = 1;
  for (auto& byte : data.train) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<std::uint8_t>('a' + (state >> 60) % 4);
  }
  const TrainedRun run = train_and_read(settings, data);
  EXPECT_EQ(run.result.status, "stuck");
  EXPECT_THAT(run.result.reason, HasSubstr("1.386"));  // ln 4
}

TEST(Train, ANonFiniteLossEndsTheRunAsDiverged) {
  Settings settings = small_settings();
  settings.placement = "pre";
  settings.norm = "none";
  settings.lr = 1000;
  settings.clip = 0;
  settings.warmup = 0;
  settings.steps = 50;
  const TrainedRun run = train_and_read(settings, made_up_data());
  EXPECT_EQ(run.result.status, "diverged");
  const auto steps = run.of_kind("step");
  ASSERT_LT(steps.size(), 50u);
  const bool finite = std::isfinite(number_of(steps.back().at("loss"))) &&
                      std::isfinite(number_of(steps.back().at("grad_norm")));
  EXPECT_FALSE(finite) << "the step that diverged is recorded";
  EXPECT_THAT(run.result.reason, HasSubstr("step " + std::to_string(steps.size())));
  EXPECT_EQ(run.records.back().at("status"), "diverged");
}

TEST(Train, StopsAfterTheStepInProgress) {
  const TextData data = made_up_data();
  const Settings settings = small_settings();
  const TemporaryFolder folder;
  std::atomic<bool> stop{false};
  {
    RunWriter writer(folder.path / "run", {{"format", 1}});
    const TrainResult result = train(settings, data, writer, stop,
                                     [&](const StepEvent& event) { stop = event.step == 4; });
    EXPECT_EQ(result.status, "stopped");
  }
  const RunRecords run = read_run(folder.path / "run");
  EXPECT_EQ(run.status, "stopped");
  EXPECT_EQ(run.records.back().at("step"), 4);
  EXPECT_FALSE(is_finished(folder.path / "run", nlohmann::json()));
}

TEST(Train, TheSmallestModelsTrain) {
  Settings settings;
  settings.layers = 1;
  settings.width = 8;
  settings.norm_groups = 2;
  settings.heads = 1;
  settings.context = 1;
  settings.batch = 1;
  settings.steps = 2;
  for (const char* placement : {"post", "pre", "peri", "output"}) {
    for (const char* norm : {"rms_norm", "layer_norm", "grouped_layer_norm", "none"}) {
      for (const char* mlp : {"gelu", "swiglu"}) {
        settings.placement = placement;
        settings.norm = norm;
        settings.mlp = mlp;
        const TrainedRun run = train_and_read(settings, made_up_data());
        EXPECT_EQ(run.result.status, "done") << placement << norm << mlp;
        EXPECT_TRUE(std::isfinite(run.result.valid_loss));
      }
    }
  }
}

TEST(Train, DropoutActsInTrainingOnly) {
  Settings settings = small_settings();
  settings.dropout = 0.4;
  const TextData data = made_up_data();
  Stepper with(settings);
  settings.dropout = 0;
  Stepper without(settings);
  const auto valid = validation_batches(data, settings);
  EXPECT_EQ(with.validate(valid), without.validate(valid));
  EXPECT_EQ(with.validate(valid), with.validate(valid));
  const Batch batch = training_batch(data, settings, 1);
  EXPECT_NE(with.step(batch, 1).loss, without.step(batch, 1).loss);
}

TEST(Train, DropoutDrawsFollowSeedAndStep) {
  Settings settings = small_settings();
  settings.dropout = 0.4;
  settings.lr = 1e-12;  // the model hardly moves: losses differ by the draws alone
  const Batch batch = training_batch(made_up_data(), settings, 1);
  Stepper first(settings), second(settings);
  const double at_one = first.step(batch, 1).loss;
  at::manual_seed(99);
  EXPECT_EQ(second.step(batch, 1).loss, at_one);
  EXPECT_GT(std::abs(second.step(batch, 2).loss - at_one), 1e-6);
}

TEST(Train, Bf16AutocastIsNearF32AndNotEqual) {
  Settings settings = small_settings();
  const TextData data = made_up_data();
  const Batch batch = training_batch(data, settings, 1);
  const double f32 = Stepper(settings).step(batch, 1).loss;
  settings.dtype = "bf16";
  const double bf16 = Stepper(settings).step(batch, 1).loss;
  EXPECT_NE(f32, bf16);
  EXPECT_NEAR(f32, bf16, 0.02);
}

TEST(Train, TimesAStepWithoutKeepingAnything) {
  EXPECT_GT(time_step(small_settings(), made_up_data(), std::atomic<bool>{false}), 0);
}

TEST(Train, RefusesWhatCannotBe) {
  const auto message = [](const auto& act) -> std::string {
    try {
      act();
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing thrown";
  };
  Settings settings = small_settings();
  settings.steps = 0;
  EXPECT_THAT(message([&] { train_and_read(settings, made_up_data()); }),
              HasSubstr("expected steps above 0"));
  EXPECT_THAT(message([] { find_device("cuda:99"); }), HasSubstr("cpu"));
  EXPECT_THAT(message([] { find_device("cuda:99"); }), HasSubstr("got 'cuda:99'"));
  EXPECT_EQ(find_device("cpu"), at::Device(at::kCPU));
}

}  // namespace
}  // namespace omninorm::lab::testing
