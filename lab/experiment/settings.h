// Everything that a run depends on: one struct, and one table that gives each field its name, help,
// bounds and parser. The command line, --vary, TOML files, run.json and the report all go through
// the table, so a new setting is one field and one row.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace omninorm::lab {

struct Settings {
  // Model
  std::string placement = "pre";
  std::string norm = "rms_norm";
  double norm_eps = 1e-6;
  std::int64_t norm_groups = 8;  // of grouped_layer_norm
  std::int64_t layers = 6;
  std::int64_t width = 128;
  std::int64_t heads = 4;
  std::int64_t context = 128;  // tokens (bytes) per sequence
  std::string mlp = "gelu";    // or swiglu
  double dropout = 0.0;
  bool tied = false;                 // output layer shares the embedding's weight
  bool qk_norm = false;              // norm over each head of q and k
  bool embedding_norm = false;       // norm on the embedding
  std::string init = "normal-0.02";  // or fan-in
  // Training
  double lr = 3e-3;
  std::int64_t steps = 0;  // 0: sized from a few timed steps
  std::int64_t batch = 8;
  double warmup = 0.1;  // share of the steps
  double weight_decay = 0.1;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double clip = 1.0;          // gradient norm; 0: none
  std::string dtype = "f32";  // or bf16 (autocast)
  std::string device = "cpu";
  std::int64_t seed = 1;
  // Data
  std::string data = "prose";  // or "text", with --text
  std::vector<std::string> text;
  // Measuring
  std::int64_t probe_every = 10;    // steps
  std::int64_t validate_every = 0;  // steps; 0: a quarter of the run
};

struct SettingInfo {
  std::string_view name;
  std::string_view group;  // "model", "training", "data", "measuring"
  std::string_view help;
  std::vector<std::string> choices;  // empty: free
  std::string expected;              // what a value must be, in words: "an integer from 1 to 1024"
};

// In the order of the struct.
std::span<const SettingInfo> setting_table();

// Sets one field from text ("text" takes one path a line). Throws omninorm::Error: an unknown name
// lists the valid ones and suggests the nearest; a bad value says what was expected and what came.
void set(Settings& settings, std::string_view name, std::string_view value);

// The field as text, as `set` would take it; numbers in the shortest form that reads back.
std::string get(const Settings& settings, std::string_view name);

// All fields, by name; and back. from_json throws omninorm::Error for unknown names or bad values.
nlohmann::json to_json(const Settings& settings);
Settings from_json(const nlohmann::json& json);

// What no single field can see: width divisible by heads, an even head width for the rotary
// positions, and the like. Throws omninorm::Error.
void check(const Settings& settings);

// Edit distance between two words: insertions, deletions, replacements, swaps of neighbours.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The nearest of `valid`, or "" where none is near.
std::string nearest(std::string_view given, std::span<const std::string> valid);

// "did you mean 'peri'? valid: post, pre, peri, output": shared by all such messages.
std::string suggestion(std::string_view given, std::span<const std::string> valid);

}  // namespace omninorm::lab
