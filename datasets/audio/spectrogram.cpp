#include "datasets/audio/spectrogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

#include "common/base/status.h"
#include "datasets/audio/fourier.h"

namespace consilium::datasets::audio {
namespace {

constexpr double kQuietest = 1e-8;  // of the loudest: 80 dB

// How much of each frequency goes into a band: those from `first` on.
struct Band {
  std::size_t first = 0;
  std::vector<double> weights;
};

std::vector<Band> MakeBands(const plan::Audio& audio, std::size_t transform) {
  const double step = audio.sample_rate_hz / static_cast<double>(transform);
  const std::vector<double> edges = audio.Edges();
  std::vector<Band> bands(audio.bands);
  for (std::size_t i = 0; i < bands.size(); ++i) {
    const double low = edges[i], peak = edges[i + 1], high = edges[i + 2];
    bands[i].first = static_cast<std::size_t>(std::ceil(low / step));
    for (std::size_t bin = bands[i].first; bin <= transform / 2; ++bin) {
      const double hz = static_cast<double>(bin) * step;
      if (hz > high) break;
      bands[i].weights.push_back(hz < peak ? (hz - low) / (peak - low)
                                           : (high - hz) / (high - peak));
    }
  }
  return bands;
}

// Energies of windows that begin anywhere.
class Analyser {
 public:
  explicit Analyser(const plan::Audio& audio)
      : window_(
            static_cast<std::size_t>(std::llround(audio.window_ms * audio.sample_rate_hz / 1000))),
        transform_(std::bit_ceil(window_.size())),
        bands_(MakeBands(audio, transform_.size())),
        values_(transform_.size()) {
    for (std::size_t i = 0; i < window_.size(); ++i) {  // Hann
      const double turn = 2 * std::numbers::pi * (static_cast<double>(i) + 0.5) /
                          static_cast<double>(window_.size());
      window_[i] = 0.5 - 0.5 * std::cos(turn);
    }
  }

  // Silence where the samples end.
  void Energies(std::span<const float> samples, std::size_t begin, std::vector<double>& out) {
    std::fill(values_.begin(), values_.end(), 0.0);
    for (std::size_t i = 0; i < window_.size() && begin + i < samples.size(); ++i) {
      values_[i] = window_[i] * samples[begin + i];
    }
    transform_(values_);
    for (std::size_t band = 0; band < bands_.size(); ++band) {
      double energy = 0;
      for (std::size_t i = 0; i < bands_[band].weights.size(); ++i) {
        energy += bands_[band].weights[i] * std::norm(values_[bands_[band].first + i]);
      }
      out[band] = energy;
    }
  }

 private:
  std::vector<double> window_;
  const FourierTransform transform_;
  const std::vector<Band> bands_;
  std::vector<std::complex<double>> values_;
};

void RepeatTo(std::size_t count, std::vector<float>& samples) {
  const std::size_t own = samples.size();
  samples.reserve(std::max(own, count));
  for (std::size_t i = own; i < count; ++i) samples.push_back(samples[i - own]);
}

}  // namespace

Spectrogram MakeSpectrogram(std::vector<float> samples, const plan::Audio& audio) {
  CONSILIUM_CHECK(!samples.empty());
  const double rate = audio.sample_rate_hz;
  RepeatTo(static_cast<std::size_t>(std::ceil(audio.seconds * rate)), samples);
  const double length_ms = 1000 * static_cast<double>(samples.size()) / rate;
  const auto fit = static_cast<std::uint32_t>((length_ms - audio.window_ms) / audio.hop_ms) + 1;
  Spectrogram made;
  made.bands = audio.bands;
  made.frames = std::clamp(fit, audio.Frames(), kMostParts * audio.Frames());
  std::vector<double> energies(std::size_t{made.bands} * made.frames), column(made.bands);
  Analyser analyser(audio);
  for (std::uint32_t frame = 0; frame < made.frames; ++frame) {
    const auto begin = static_cast<std::size_t>(std::llround(frame * audio.hop_ms * rate / 1000));
    analyser.Energies(samples, begin, column);
    for (std::uint32_t band = 0; band < made.bands; ++band) {
      energies[std::size_t{made.bands - 1 - band} * made.frames + frame] = column[band];
    }
  }
  const double loudest = *std::max_element(energies.begin(), energies.end());
  // All of the sound may lie outside of the bands.
  const double unit = loudest > 0 ? 1 / loudest : 0;
  made.values.reserve(energies.size());
  for (const double energy : energies) {
    made.values.push_back(static_cast<float>(std::log(std::max(energy * unit, kQuietest))));
  }
  if (audio.standardize) Standardize(made);
  return made;
}

void Standardize(Spectrogram& spectrogram) {
  double squares = 0;
  for (std::uint32_t band = 0; band < spectrogram.bands; ++band) {
    const std::span<float> row =
        std::span(spectrogram.values)
            .subspan(std::size_t{band} * spectrogram.frames, spectrogram.frames);
    double sum = 0;
    for (const float value : row) sum += value;
    const auto mean = static_cast<float>(sum / static_cast<double>(row.size()));
    for (float& value : row) {
      value -= mean;
      squares += double{value} * value;
    }
  }
  const double deviation =
      std::sqrt(squares / static_cast<double>(std::max<std::size_t>(1, spectrogram.values.size())));
  // A steady tone has none: what is left is rounding, and is nothing.
  const auto scale = static_cast<float>(deviation > 1e-6 ? 1 / deviation : 0);
  for (float& value : spectrogram.values) value *= scale;
}

}  // namespace consilium::datasets::audio
