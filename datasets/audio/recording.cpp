#include "datasets/audio/recording.h"

#include <algorithm>

#include "common/base/text.h"
#include "datasets/audio/resample.h"
#include "datasets/audio/wave.h"
#include "datasets/audio/waveform.h"

namespace consilium::datasets::audio {
namespace {

OrRefused<Sound> ReadSound(dicom::ByteSource source, const Part& part) {
  if (IsWave(source)) return ReadWave(source, part);
  const auto file = dicom::DataSet::Read(std::move(source));
  if (file.ok()) return ReadWaveform(*file, part);
  const bool other = file.refused().reason == Refusal::kNotDicom;
  return other ? Refused{Refusal::kNotARecording, ""} : file.refused();
}

bool IsSilent(const std::vector<float>& samples) {
  return std::all_of(samples.begin(), samples.end(),
                     [&](float value) { return value == samples.front(); });
}

OrRefused<Recording> Read(dicom::ByteSource source, const std::optional<plan::Audio>& audio) {
  auto sound = ReadSound(std::move(source), {audio ? kMostParts * audio->seconds : 0});
  if (!sound.ok()) return sound.refused();
  Recording recording{sound->form, {}};
  if (!audio) return recording;
  if (recording.form.seconds() < kShortestShare * audio->seconds) {
    return Refused{Refusal::kTooShort,
                   StrCat("it lasts less than a tenth of the plan's ", audio->seconds, " s")};
  }
  if (IsSilent(sound->samples)) return Refused{Refusal::kSilence, ""};
  auto samples =
      Resample(std::move(sound->samples), recording.form.sample_rate_hz, audio->sample_rate_hz);
  if (!samples.ok()) return samples.refused();
  if (samples->empty()) return Refused{Refusal::kTooShort, ""};
  recording.spectrogram = MakeSpectrogram(*std::move(samples), *audio);
  return recording;
}

}  // namespace

OrRefused<Recording> ReadRecording(File file, const std::optional<plan::Audio>& audio) {
  auto source = dicom::ByteSource::FromFile(std::move(file));
  if (!source.ok()) return dicom::Unreadable(source.status());
  return Read(*std::move(source), audio);
}

OrRefused<Recording> ReadRecording(const fs::path& path, const std::optional<plan::Audio>& audio) {
  auto source = dicom::ByteSource::FromFile(path);
  if (!source.ok()) return dicom::Unreadable(source.status());
  return Read(*std::move(source), audio);
}

}  // namespace consilium::datasets::audio
