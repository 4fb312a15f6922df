#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/plan/plan.h"

namespace consilium::datasets::audio {

// No recording is looked at for longer than so many times a plan's `seconds`.
inline constexpr std::uint32_t kMostParts = 8;

// An image, row by row, of the logarithm of the energy in each band: the highest band is the first
// row, so that low frequencies are at the bottom.
struct Spectrogram {
  std::uint32_t bands = 0, frames = 0;
  std::vector<float> values;
};

// Of samples at audio.sample_rate_hz, as many as there are, but repeated where they are fewer than
// audio.seconds: audio.Frames() frames or more. Hann windows; triangular bands (audio.Edges());
// energies below the loudest by more than 80 dB count as those 80 dB. Without standardize the
// logarithm is of the energy over that of the loudest window and band.
//
// `samples` holds at least one that is not 0.
Spectrogram MakeSpectrogram(std::vector<float> samples, const plan::Audio& audio);

// Subtracts each band's mean, divides by the deviation of all.
void Standardize(Spectrogram& spectrogram);

}  // namespace consilium::datasets::audio
