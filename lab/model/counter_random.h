// Random numbers as pure functions of their arguments: the same on every machine, in any order.
#pragma once

#include <cstdint>
#include <string_view>

namespace omninorm::lab {

// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): a bijection that scatters all bits.
constexpr std::uint64_t scatter(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// A word from a seed and up to two counters.
constexpr std::uint64_t random_word(std::int64_t seed, std::uint64_t a, std::uint64_t b = 0) {
  return scatter(scatter(scatter(static_cast<std::uint64_t>(seed)) ^ a) ^ b);
}

// FNV-1a, 64 bits: a stable hash of a name (std::hash may differ between libraries).
constexpr std::uint64_t stable_hash(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  return hash;
}

}  // namespace omninorm::lab
