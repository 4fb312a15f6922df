#pragma once

// What is heard in a file, one channel.

#include <cstdint>
#include <vector>

namespace consilium::datasets::audio {

enum class Container { kWave, kWaveform };  // RIFF/WAVE; a DICOM waveform (PS3.3 C.10.9)

struct SoundForm {
  Container container = Container::kWave;
  double sample_rate_hz = 0;  // 1 to kHighestRateHz
  std::uint64_t frames = 0;   // samples of each channel, in the file
  std::uint32_t channels = 0;
  std::uint32_t bits = 0;  // of a sample, as stored
  double seconds() const { return static_cast<double>(frames) / sample_rate_hz; }
};

struct Sound {
  SoundForm form;
  std::vector<float> samples;  // full scale is 1
};

// Which part of a file is decoded: at most so many seconds from its middle, and no more than
// kMostSamples.
struct Part {
  double seconds = 0;
};

inline constexpr double kHighestRateHz = 192'000;
inline constexpr std::uint64_t kMostSamples = 1ull << 26;
inline constexpr std::uint32_t kMostChannels = 64;

}  // namespace consilium::datasets::audio
