#include <algorithm>
#include <cmath>

#include "datasets/audio/recording_message.h"
#include "datasets/audio/wave.h"
#include "datasets/audio/waveform.h"
#include "tests/fuzz/fuzz.h"

namespace consilium::datasets::audio {
namespace {

const plan::Audio& Settings() {
  static const plan::Audio audio = [] {
    plan::Audio small;
    small.seconds = 0.6;
    small.window_ms = 64;
    small.bands = 8;
    return small;
  }();
  return audio;
}

void CheckSound(const OrRefused<Sound>& sound, std::size_t input_bytes) {
  if (!sound.ok()) return;
  const SoundForm& form = sound->form;
  FUZZ_EXPECT(form.sample_rate_hz >= 1 && form.sample_rate_hz <= kHighestRateHz);
  FUZZ_EXPECT(form.channels >= 1 && form.channels <= kMostChannels);
  FUZZ_EXPECT(sound->samples.size() <= form.frames && form.frames <= input_bytes);
  FUZZ_EXPECT(std::ranges::all_of(sound->samples, [](float v) { return std::isfinite(v); }));
}

OrRefused<Sound> Read(ByteView input, double seconds) {
  dicom::ByteSource source(Bytes(input.begin(), input.end()));
  if (IsWave(source)) return ReadWave(source, {seconds});
  const auto file = dicom::DataSet::Read(std::move(source));
  if (!file.ok()) return file.refused();
  return ReadWaveform(*file, {seconds});
}

void CheckSpectrogram(std::vector<float> samples) {
  // As many frames as there are samples, each of a few bands.
  const Spectrogram made = MakeSpectrogram(std::move(samples), Settings());
  FUZZ_EXPECT(made.frames >= Settings().Frames());
  FUZZ_EXPECT(made.frames <= kMostParts * Settings().Frames());
  FUZZ_EXPECT(made.values.size() == std::size_t{made.frames} * Settings().bands);
  FUZZ_EXPECT(std::ranges::all_of(made.values, [](float v) { return std::isfinite(v); }));
}

}  // namespace
}  // namespace consilium::datasets::audio

// A file, or (first byte odd) a worker's answer.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  using namespace consilium::datasets::audio;
  fuzz::Cursor cursor(fuzz::Input(data, size));
  const bool answer = cursor.Byte() % 2 != 0;
  const ByteView input = cursor.Rest();
  if (answer) {
    const fuzz::AllocationLimit limit(fuzz::JustifiedBy(input.size()));
    const auto recording = DecodeRecording(input, Settings());
    if (recording) FUZZ_EXPECT(recording->spectrogram.frames >= Settings().Frames());
    const auto asked = DecodeAudio(input);
    if (asked) FUZZ_EXPECT(Encode(*asked) == Bytes(input.begin(), input.end()));
    return 0;
  }
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(input.size()));
  auto sound = Read(input, 10);
  CheckSound(sound, input.size());
  if (sound.ok() && !sound->samples.empty()) CheckSpectrogram(std::move(sound->samples));
  return 0;
}
