#include "datasets/audio/resample.h"

#include <samplerate.h>

#include <cmath>

#include "common/base/text.h"

namespace consilium::datasets::audio {

OrRefused<std::vector<float>> Resample(std::vector<float> samples, double from_hz, double to_hz) {
  if (from_hz == to_hz || samples.empty()) return samples;
  const double ratio = to_hz / from_hz;
  if (from_hz < to_hz / 2) {
    return Refused{Refusal::kLowSampleRate, StrCat(from_hz, " Hz, the plan's is ", to_hz, " Hz")};
  }
  if (src_is_valid_ratio(ratio) == 0) {
    return Refused{Refusal::kUnsupportedSound,
                   StrCat(from_hz, " Hz is too far above the plan's ", to_hz, " Hz")};
  }
  const auto expected =
      static_cast<std::size_t>(std::llround(static_cast<double>(samples.size()) * ratio));
  std::vector<float> out(expected + 1);
  SRC_DATA data{};
  data.data_in = samples.data();
  data.input_frames = static_cast<long>(samples.size());
  data.data_out = out.data();
  data.output_frames = static_cast<long>(out.size());
  data.src_ratio = ratio;
  if (const int error = src_simple(&data, SRC_SINC_MEDIUM_QUALITY, /*channels=*/1); error != 0) {
    return Refused{Refusal::kUnsupportedSound, src_strerror(error)};
  }
  out.resize(static_cast<std::size_t>(data.output_frames_gen));
  return out;
}

}  // namespace consilium::datasets::audio
