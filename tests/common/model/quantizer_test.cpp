#include "common/model/quantizer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/random.h"
#include "tests/catch.h"

namespace consilium {
namespace {

constexpr std::uint64_t kSeed = 23;

Bytes RandomBytes(SeededRandom& random, std::size_t size) {
  Bytes bytes(size);
  random.Fill(bytes);
  return bytes;
}

std::vector<std::uint32_t> Quantized(const Quantizer& quantizer, std::span<const float> delta,
                                     ByteView random) {
  std::vector<std::uint32_t> q(delta.size());
  quantizer.Quantize(delta, quantizer.ClipFactor(delta).value(), random, q);
  return q;
}

Bytes SameRandom(std::size_t values, std::uint16_t bits) {
  Bytes bytes(2 * values);
  for (std::size_t i = 0; i < values; ++i) {
    bytes[2 * i] = static_cast<std::uint8_t>(bits);
    bytes[2 * i + 1] = static_cast<std::uint8_t>(bits >> 8);
  }
  return bytes;
}

struct Site {
  std::vector<float> delta;
  double weight;
};

// The exact weighted mean of the clipped updates of the survivors, parameter i.
long double ExactMean(const std::vector<Site>& survivors, double clip_norm, std::size_t i) {
  long double sum = 0, weights = 0;
  for (const Site& site : survivors) {
    long double squares = 0;
    for (const float value : site.delta) squares += static_cast<long double>(value) * value;
    const long double norm = std::sqrt(squares);
    sum += site.weight * site.delta[i] * (norm > clip_norm ? clip_norm / norm : 1.0L);
    weights += site.weight;
  }
  return sum / weights;
}

// What the coordinator makes of the survivors' sum; `cohort` weighs `total_weight`.
std::vector<double> MeanOf(const std::vector<Site>& survivors, std::uint32_t cohort,
                           double total_weight, double clip_norm, const Bytes& random) {
  std::vector<std::uint32_t> sum(survivors[0].delta.size());
  double share = 0, scale = 0;
  for (const Site& site : survivors) {
    const auto quantizer = Quantizer::Create(clip_norm, cohort, site.weight / total_weight).value();
    const auto q = Quantized(quantizer, site.delta, random);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += q[i];
    share += site.weight / total_weight;
    scale = quantizer.scale();
  }
  std::vector<double> mean(sum.size());
  Dequantize(sum, scale, std::min(share, 1.0), mean);
  return mean;
}

// The bound of quantizer.h. Long double has the room to compare; the mean itself is a double.
void CheckBound(const std::vector<Site>& cohort, std::size_t survivors, double clip_norm,
                const Bytes& random) {
  const std::vector<Site> here(cohort.begin(), cohort.begin() + survivors);
  double total = 0, delivered = 0;
  for (const Site& site : cohort) total += site.weight;
  for (const Site& site : here) delivered += site.weight;
  const auto n = static_cast<std::uint32_t>(cohort.size());
  const std::vector<double> mean = MeanOf(here, n, total, clip_norm, random);
  const long double scale = (2147483647.0L - n) / clip_norm;
  const long double bound = n / (scale * (delivered / static_cast<long double>(total)));
  for (std::size_t i = 0; i < mean.size(); ++i) {
    const long double error = std::abs(mean[i] - ExactMean(here, clip_norm, i));
    if (error < bound) continue;
    CAPTURE(i, n, survivors, clip_norm, mean[i], static_cast<double>(error / bound));
    FAIL("the error is not below the bound");
  }
}

TEST_CASE("The mean is within one step a site of the exact mean, whatever the updates") {
  SeededRandom random(kSeed);
  for (int run = 0; run < 200; ++run) {
    CAPTURE(kSeed, run);
    const std::size_t n = 1 + random.Below(20), d = 1 + random.Below(300);
    const double clip_norm = std::exp(random.Uniform(-8, 8));
    std::vector<Site> cohort(n);
    for (Site& site : cohort) {
      site.weight = 1 + static_cast<double>(random.Below(5000));
      const double size = clip_norm * std::exp(random.Uniform(-6, 4));
      for (std::size_t i = 0; i < d; ++i) {
        site.delta.push_back(static_cast<float>(size * random.Normal()));
      }
    }
    CheckBound(cohort, 1 + random.Below(n), clip_norm, RandomBytes(random, 2 * d));
  }
}

TEST_CASE("255 sites that all clip at the same parameter stay within the bound and the ring") {
  for (const float sign : {1.0f, -1.0f}) {
    for (const int bits : {0, 1, 0x7fff, 0xffff}) {
      CAPTURE(sign, bits);
      const std::vector<float> delta = {sign * 3e38f, 0, sign * 1e-38f, -sign * 0.0f};
      const std::vector<Site> cohort(255, {delta, 1});
      CheckBound(cohort, 255, 1.0, SameRandom(4, static_cast<std::uint16_t>(bits)));
      CheckBound(cohort, 1, 1.0, SameRandom(4, static_cast<std::uint16_t>(bits)));
      CheckBound(cohort, 171, 1e9, SameRandom(4, static_cast<std::uint16_t>(bits)));
      CheckBound(cohort, 255, 1e-9, SameRandom(4, static_cast<std::uint16_t>(bits)));
    }
  }
}

TEST_CASE("Values next to whole steps and halves stay within the bound") {
  const double clip_norm = 2147483646.0 / 4;  // of one site: S = 4
  const auto quantizer = Quantizer::Create(clip_norm, 1, 1.0).value();
  REQUIRE(quantizer.scale() == 4.0);
  std::vector<float> delta;
  for (const float value : {0.0f, 0.25f, 0.125f, 1.0f, 1000.25f, 77777.5f, 4000000.25f}) {
    for (const float near : {value, std::nextafter(value, 1e30f), std::nextafter(value, -1e30f)}) {
      delta.push_back(near);
      delta.push_back(-near);
    }
  }
  for (const int bits : {0, 1, 2, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff}) {
    const auto q =
        Quantized(quantizer, delta, SameRandom(delta.size(), static_cast<std::uint16_t>(bits)));
    for (std::size_t i = 0; i < delta.size(); ++i) {
      CAPTURE(bits, i, delta[i], q[i]);
      const double steps = 4.0 * delta[i], got = static_cast<std::int32_t>(q[i]);
      CHECK(std::abs(got - steps) < 1);
      if (steps == std::floor(steps)) CHECK(got == steps);
    }
  }
}

TEST_CASE("Rounding goes up with the probability of the fraction") {
  const auto quantizer = Quantizer::Create(2147483646.0 / 4, 1, 1.0).value();
  for (const float fraction : {0.0f, 1e-6f, 0.1f, 0.5f, 0.75f, 0.999f}) {
    for (const float whole : {0.0f, 12.0f, -12.0f}) {
      // Every one of the 65,536 random words once: the exact expected value.
      std::vector<float> delta(65536, (whole + fraction) / 4);
      Bytes random(2 * delta.size());
      for (std::size_t k = 0; k < delta.size(); ++k) {
        random[2 * k] = static_cast<std::uint8_t>(k);
        random[2 * k + 1] = static_cast<std::uint8_t>(k >> 8);
      }
      std::vector<std::uint32_t> q(delta.size());
      quantizer.Quantize(delta, 1.0, random, q);
      double sum = 0;
      for (const std::uint32_t value : q) sum += static_cast<std::int32_t>(value);
      CAPTURE(whole, fraction);
      CHECK(std::abs(sum / 65536 - 4.0 * delta[0]) < 1.0 / 65536);
    }
  }
}

TEST_CASE("An update within the norm keeps it, a longer one is brought to it") {
  const auto quantizer = Quantizer::Create(5.0, 3, 0.5).value();
  CHECK(quantizer.ClipFactor(std::vector<float>{3, 4}).value() == 1.0);
  CHECK(quantizer.ClipFactor(std::vector<float>{}).value() == 1.0);
  CHECK(quantizer.ClipFactor(std::vector<float>{30, 40}).value() == 0.1);
  // Squares that a float cannot hold.
  CHECK(quantizer.ClipFactor(std::vector<float>{3e38f, 0}).value() == Approx(5.0 / 3e38));
}

TEST_CASE("The clip factor is the same whatever the threads, and in pieces") {
  SeededRandom random(kSeed);
  std::vector<float> delta(5 * Quantizer::kNormPiece + 4321);
  for (float& value : delta) value = static_cast<float>(random.Uniform(-1, 1));
  const auto quantizer = Quantizer::Create(1.0, 10, 0.1).value();
  const double factor = quantizer.ClipFactor(delta).value();
  for (const int threads : {2, 3, 7, 64})
    CHECK(quantizer.ClipFactor(delta, threads).value() == factor);
  double squares = 0;
  for (std::size_t first = 0; first < delta.size(); first += Quantizer::kNormPiece) {
    const auto rest = std::span<const float>(delta).subspan(first);
    squares +=
        Quantizer::SquaredNorm(rest.first(std::min(rest.size(), Quantizer::kNormPiece))).value();
  }
  CHECK(quantizer.FactorFor(squares) == factor);
}

TEST_CASE("A value that is not a number or infinite is refused with its index") {
  const auto quantizer = Quantizer::Create(1.0, 10, 0.1).value();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), infinity, -infinity}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{17}, std::size_t{200000}}) {
      std::vector<float> delta(200001, 1.0f);
      delta[at] = bad;
      for (const int threads : {1, 4}) {
        const auto factor = quantizer.ClipFactor(delta, threads);
        REQUIRE(factor.status().code() == absl::StatusCode::kInvalidArgument);
        CHECK_THAT(std::string(factor.status().message()),
                   ContainsText("index " + std::to_string(at) + " is"));
      }
    }
  }
  const std::vector<float> piece = {1, infinity};
  CHECK_THAT(std::string(Quantizer::SquaredNorm(piece).status().message()),
             ContainsText("index 1 is infinite"));
}

TEST_CASE("An update may be quantized over itself") {
  SeededRandom random(kSeed);
  std::vector<float> delta(3333);
  for (float& value : delta) value = static_cast<float>(random.Normal());
  const auto quantizer = Quantizer::Create(10.0, 10, 0.1).value();
  const Bytes bits = RandomBytes(random, 2 * delta.size());
  const auto apart = Quantized(quantizer, delta, bits);
  const std::span<std::uint32_t> over(reinterpret_cast<std::uint32_t*>(delta.data()), delta.size());
  quantizer.Quantize(delta, quantizer.ClipFactor(delta).value(), bits, over);
  CHECK(std::vector<std::uint32_t>(over.begin(), over.end()) == apart);
}

TEST_CASE("A quantizer that could overflow is not made") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double clip_norm : {0.0, -1.0, 1.1e9, nan, 1e-305}) {
    CAPTURE(clip_norm);
    CHECK(Quantizer::Create(clip_norm, 10, 0.1).status().code() ==
          absl::StatusCode::kInvalidArgument);
  }
  for (const double share : {0.0, -0.1, 1.0001, nan}) {
    CAPTURE(share);
    CHECK(Quantizer::Create(1.0, 10, share).status().code() == absl::StatusCode::kInvalidArgument);
  }
  for (const std::uint32_t cohort : {0u, 256u}) {
    CAPTURE(cohort);
    CHECK(Quantizer::Create(1.0, cohort, 0.1).status().code() ==
          absl::StatusCode::kInvalidArgument);
  }
  CHECK(Quantizer::Create(1e9, 255, 1.0).ok());
}

}  // namespace
}  // namespace consilium
