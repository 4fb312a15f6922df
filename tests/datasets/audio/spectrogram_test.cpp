#include "datasets/audio/spectrogram.h"

#include <complex>

#include "common/base/random.h"
#include "datasets/audio/fourier.h"
#include "datasets/audio/resample.h"
#include "tests/catch.h"
#include "tests/datasets/audio/wave_bytes.h"

namespace consilium::datasets::audio {
namespace {

using Complex = std::complex<double>;

// The row in which most of the energy is, of the frame in the middle.
std::uint32_t LoudestRow(const Spectrogram& s) {
  std::uint32_t loudest = 0;
  const auto at = [&](std::uint32_t row) { return s.values[row * s.frames + s.frames / 2]; };
  for (std::uint32_t row = 0; row < s.bands; ++row) {
    if (at(row) > at(loudest)) loudest = row;
  }
  return loudest;
}

TEST_CASE("The fast transform is the transform by its definition") {
  SeededRandom random(3, "fourier");
  for (const std::size_t size : {2u, 8u, 64u}) {
    std::vector<Complex> values;
    for (std::size_t i = 0; i < size; ++i) values.emplace_back(random.Normal(), random.Normal());
    std::vector<Complex> fast = values;
    FourierTransform transform(size);
    transform(fast);
    for (std::size_t k = 0; k < size; ++k) {
      Complex sum = 0;
      for (std::size_t i = 0; i < size; ++i) {
        sum += values[i] * std::polar(1.0, -2 * std::numbers::pi * static_cast<double>(i * k) /
                                               static_cast<double>(size));
      }
      CHECK(std::abs(sum - fast[k]) < 1e-9);
    }
  }
}

TEST_CASE("A sound has as many samples at another rate as it lasts, and the same tone") {
  const auto half = Resample(Tone(100, 4000, 3), 4000, 2000);
  REQUIRE(half.ok());
  REQUIRE(half->size() == Approx(6000).margin(2));
  const std::vector<float> tone = Tone(100, 2000, 3);
  for (std::size_t i = 500; i < 5500; ++i) REQUIRE((*half)[i] == Approx(tone[i]).margin(0.01));
}

TEST_CASE("What is above half of the new rate does not come back as a lower tone") {
  const auto heard = Resample(Tone(1700, 4000, 3), 4000, 2000);  // folded: 300 Hz
  REQUIRE(heard.ok());
  for (std::size_t i = 500; i < 5500; ++i) REQUIRE(std::abs((*heard)[i]) < 1e-3);
}

TEST_CASE("A rate far below the wanted one is refused, and so is one hundreds of times as high") {
  CHECK(Resample({1, 2}, 999, 2000).refused().reason == Refusal::kLowSampleRate);
  CHECK(Resample({1, 2}, 1000, 2000).ok());
  CHECK(Resample({1, 2}, 192'000, 100).refused().reason == Refusal::kUnsupportedSound);
}

TEST_CASE("A tone is in its band, low ones at the bottom") {
  plan::Audio audio;
  audio.standardize = false;
  const std::vector<double> edges = audio.Edges();
  for (const std::uint32_t band : {0u, 10u, 31u}) {
    const Spectrogram s = MakeSpectrogram(Tone(edges[band + 1], 2000, 12), audio);
    CHECK(s.bands == 32);
    CHECK(s.frames == 374);
    CHECK(LoudestRow(s) == 31 - band);
    CHECK(s.values[(31 - band) * s.frames] == Approx(0).margin(0.2));  // of the loudest
    CHECK(*std::min_element(s.values.begin(), s.values.end()) >= std::log(1e-8) - 1e-3);
  }
}

TEST_CASE("What is shorter than an input is repeated, what is much longer cut off") {
  plan::Audio audio;
  audio.standardize = false;
  audio.seconds = 2;
  const Spectrogram repeated = MakeSpectrogram(Tone(200, 2000, 0.5), audio);
  CHECK(repeated.frames == audio.Frames());
  const Spectrogram whole = MakeSpectrogram(Tone(200, 2000, 2), audio);
  for (std::size_t i = 0; i < whole.values.size(); ++i) {
    if (whole.values[i] > -5) CHECK(repeated.values[i] == Approx(whole.values[i]).margin(0.05));
  }
  CHECK(MakeSpectrogram(Tone(200, 2000, 40), audio).frames == kMostParts * audio.Frames());
}

TEST_CASE("A microphone's colour and loudness are gone from a standardised recording") {
  SeededRandom random(5, "noise");
  plan::Audio audio;
  audio.seconds = 2;
  std::vector<float> sound(4000), coloured(4000);
  for (std::size_t i = 0; i < sound.size(); ++i) {
    const double beat = 0.1 + (i / 500 % 2 == 0);
    sound[i] = static_cast<float>(0.2 * beat * random.Normal());
  }
  // Half as loud through a gentle low-pass.
  for (std::size_t i = 1; i < sound.size(); ++i) {
    coloured[i] = 0.5f * (0.6f * sound[i] + 0.4f * sound[i - 1]);
  }
  const auto distance = [&](bool standardize) {
    audio.standardize = standardize;
    const Spectrogram a = MakeSpectrogram(sound, audio), b = MakeSpectrogram(coloured, audio);
    double squares = 0;
    for (std::size_t i = 0; i < a.values.size(); ++i) {
      squares += std::pow(a.values[i] - b.values[i], 2);
    }
    return std::sqrt(squares / static_cast<double>(a.values.size()));
  };
  CHECK(distance(true) < 0.2);
  CHECK(distance(false) > 0.5);

  audio.standardize = true;
  const Spectrogram s = MakeSpectrogram(sound, audio);
  double sum = 0, squares = 0;
  for (const float value : s.values) {
    sum += value;
    squares += double{value} * value;
  }
  CHECK(sum == Approx(0).margin(0.05));
  CHECK(squares / static_cast<double>(s.values.size()) == Approx(1).epsilon(1e-3));
}

TEST_CASE(
    "A recording of which nothing lies in the bands becomes nothing, not a number that is none") {
  plan::Audio audio;
  audio.seconds = 1;
  audio.low_hz = 600;
  audio.high_hz = 1000;
  audio.bands = 8;
  const Spectrogram steady = MakeSpectrogram(std::vector<float>(2000, 0.25f), audio);
  for (const float value : steady.values) CHECK(std::isfinite(value));
}

}  // namespace
}  // namespace consilium::datasets::audio
