// What the coordinator receives looks like noise: chi-square tests of uniformity over the bytes and
// over the 16-bit halves of masked vectors. Data and keys are seeded, so that a verdict is for
// ever; the bounds are those of a false alarm in 10^9 vectors (Wilson and Hilferty 1931: the cube
// root of chi-square / k is nearly normal with mean 1 - 2/(9k) and variance 2/(9k)).

#include <algorithm>
#include <cmath>
#include <iostream>

#include "common/base/text_table.h"
#include "common/model/quantizer.h"
#include "tests/catch.h"
#include "tests/common/secagg/attack_stage.h"

namespace consilium::secagg {
namespace {

constexpr std::size_t kValues = 1 << 20, kSites = 5;
constexpr double kDeviations = 5.998;  // one-sided 10^-9 of the normal distribution

// Deviations by which chi-square lies above what uniform numbers give.
double Excess(const std::vector<std::uint64_t>& counts) {
  std::uint64_t total = 0;
  for (const std::uint64_t count : counts) total += count;
  const double expected = static_cast<double>(total) / static_cast<double>(counts.size());
  double chi_square = 0;
  for (const std::uint64_t count : counts) {
    const double off = static_cast<double>(count) - expected;
    chi_square += off * off / expected;
  }
  const double k = static_cast<double>(counts.size() - 1);
  return (std::cbrt(chi_square / k) - (1 - 2 / (9 * k))) / std::sqrt(2 / (9 * k));
}
double BytesExcess(std::span<const std::uint32_t> values) {
  std::vector<std::uint64_t> counts(256);
  for (const std::uint32_t value : values)
    for (int shift = 0; shift < 32; shift += 8) ++counts[value >> shift & 0xff];
  return Excess(counts);
}
double HalvesExcess(std::span<const std::uint32_t> values, int shift) {
  std::vector<std::uint64_t> counts(65536);
  for (const std::uint32_t value : values) ++counts[value >> shift & 0xffff];
  return Excess(counts);
}
// The worst of the three.
double NonUniformity(std::span<const std::uint32_t> values) {
  return std::max({BytesExcess(values), HalvesExcess(values, 0), HalvesExcess(values, 16)});
}

using Values = std::vector<std::uint32_t>;
Values Zeros() { return Values(kValues); }
Values Constant() { return Values(kValues, 0xffffffffu); }
Values Ramp() {
  Values values(kValues);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::uint32_t>(i);
  return values;
}
// One byte in sixteen set, in step with AES's blocks.
Values Blocks() {
  Values values(kValues);
  for (std::size_t i = 0; i < values.size(); i += 4) values[i] = 0x80;
  return values;
}
// What a site would upload if nothing hid it: a normal update, clipped and quantized.
Values Update() {
  SeededRandom random(4, "update");
  std::vector<float> delta(kValues);
  for (float& value : delta) value = static_cast<float>(random.Normal() * 0.01);
  Bytes rounding(2 * kValues);
  random.Fill(rounding);
  const auto quantizer = Quantizer::Create(8, kSites, 1.0 / kSites);
  REQUIRE(quantizer.ok());
  const auto factor = quantizer->ClipFactor(delta);
  REQUIRE(factor.ok());
  Values values(kValues);
  quantizer->Quantize(delta, *factor, rounding, values);
  return values;
}

const std::pair<const char*, Values (*)()> kVectors[] = {{"zeros", Zeros},
                                                         {"all bits set", Constant},
                                                         {"a ramp", Ramp},
                                                         {"one byte a block", Blocks},
                                                         {"a quantized update", Update}};

Stage::Options FiveSites(std::uint64_t seed = 1) {
  Stage::Options options;
  options.sites = kSites;
  options.seed = seed;
  options.everybody = [](SessionConfig& config) { config.values = kValues; };
  return options;
}

Values Masked(const std::vector<Mask>& masks, Values values) {
  Masker masker = Must(Masker::Create(masks, kValues));
  // In pieces that are no multiple of a block, as an upload is made.
  for (std::size_t first = 0; first < values.size(); first += 100'003) {
    const std::size_t size = std::min<std::size_t>(100'003, values.size() - first);
    Must(masker.AddToValues(first, std::span(values).subspan(first, size)));
  }
  return values;
}

TEST_CASE("Masked vectors pass a chi-square test of uniformity that unmasked ones fail") {
  Stage stage(FiveSites());
  stage.Taken();
  TextTable table({"vector", "masked: bytes", "low halves", "high halves", "unmasked: worst"});
  const auto text = [](double excess) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.2f", excess);
    return std::string(buffer);
  };
  for (const auto& [name, make] : kVectors) {
    INFO(name);
    const Values plain = make();
    CHECK(NonUniformity(plain) > 100);
    for (std::size_t site = 0; site < kSites; ++site) {
      const Values masked = Masked(Must(stage.site(site).Masks()), plain);
      CHECK(NonUniformity(masked) < kDeviations);
      if (site != 0) continue;
      table.AddRow({name, text(BytesExcess(masked)), text(HalvesExcess(masked, 0)),
                    text(HalvesExcess(masked, 16)), text(NonUniformity(plain))});
    }
  }
  std::cout << "Deviations above uniform (refused above " << kDeviations
            << ", one false alarm in 10^9), " << kValues << " values\n"
            << table.ToString() << std::flush;
}

TEST_CASE("The masks of the sums beside the values are uniform too") {
  Stage::Options options = FiveSites();
  options.everybody = [](SessionConfig& config) {
    config.values = 3;  // so that the sums begin within a block
    config.sums = kValues / 2;
  };
  Stage stage(options);
  stage.Taken();
  std::vector<std::uint64_t> sums(kValues / 2);
  Masker masker = Must(Masker::Create(Must(stage.victim().Masks()), 3));
  Must(masker.AddToSums(0, sums));
  Values halves;
  for (const std::uint64_t sum : sums) {
    halves.push_back(static_cast<std::uint32_t>(sum));
    halves.push_back(static_cast<std::uint32_t>(sum >> 32));
  }
  CHECK(NonUniformity(halves) < kDeviations);
}

TEST_CASE("Without one of the masks a vector is noise, and so is it with another transcript's") {
  Stage stage(FiveSites()), other(FiveSites(2));
  stage.Taken();
  other.Taken();
  const Values plain = Update();
  std::vector<Mask> masks = Must(stage.victim().Masks());
  const Values masked = Masked(masks, plain);

  std::vector<Mask> removing;
  for (const Mask& mask : masks) removing.push_back(mask.Negated());
  CHECK(Masked(removing, masked) == plain);
  for (std::size_t left_out = 0; left_out < masks.size(); ++left_out) {
    std::vector<Mask> fewer;
    for (std::size_t i = 0; i < removing.size(); ++i) {
      if (i != left_out) fewer.push_back(removing[i].Negated().Negated());
    }
    CHECK(NonUniformity(Masked(fewer, masked)) < kDeviations);
  }
  std::vector<Mask> of_another;
  for (const Mask& mask : Must(other.victim().Masks())) of_another.push_back(mask.Negated());
  CHECK(NonUniformity(Masked(of_another, masked)) < kDeviations);
}

TEST_CASE("Two sites' uploads together are still noise; only all of a session's show their sum") {
  Stage stage(FiveSites());
  stage.Taken();
  Values sum = Zeros();
  for (std::size_t site = 0; site < kSites; ++site) {
    Add(std::span(sum), Masked(Must(stage.site(site).Masks()), Update()));
    INFO("after site " << site);
    CHECK(NonUniformity(sum) < kDeviations);  // each brings its own mask, which is still there
  }
}

}  // namespace
}  // namespace consilium::secagg
