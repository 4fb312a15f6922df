#include "datasets/audio/recording_message.h"

#include <algorithm>
#include <cmath>

#include "datasets/worker/message.h"

namespace consilium::datasets::audio {
namespace {

using worker::MessageReader;
using worker::MessageWriter;

constexpr std::uint64_t kFormBytes = 64;

// `A` and `F` are const to a writer. The names list every field, so that this does not compile when
// a struct has got one more.
template <class Message, class A>
void AudioFields(Message& message, A& audio) {
  auto& [sample_rate_hz, seconds, window_ms, hop_ms, bands, low_hz, high_hz, standardize] = audio;
  for (auto* number : {&sample_rate_hz, &seconds, &window_ms, &hop_ms, &low_hz, &high_hz}) {
    message.F64(*number);
  }
  message.U32(bands);
  message.Bool(standardize);
}

template <class Message, class F>
void FormFields(Message& message, F& form) {
  auto& [container, sample_rate_hz, frames, channels, bits] = form;
  message.Enum(container, Container::kWaveform);
  message.F64(sample_rate_hz);
  message.U64(frames);
  message.U32(channels);
  message.U32(bits);
}

bool IsSound(const SoundForm& form) {
  return form.sample_rate_hz >= 1 && form.sample_rate_hz <= kHighestRateHz && form.channels >= 1 &&
         form.channels <= kMostChannels && form.bits >= 1 && form.bits <= 32;
}

bool IsSound(const Spectrogram& s, const std::optional<plan::Audio>& audio) {
  if (!audio) return s.frames == 0 && s.values.empty();
  return s.frames >= audio->Frames() && s.frames <= kMostParts * audio->Frames() &&
         s.values.size() == std::size_t{audio->bands} * s.frames &&
         std::all_of(s.values.begin(), s.values.end(), [](float v) { return std::isfinite(v); });
}

}  // namespace

Bytes Encode(const std::optional<plan::Audio>& audio) {
  MessageWriter writer;
  writer.Bool(audio.has_value());
  if (audio) AudioFields(writer, *audio);
  return std::move(writer).Take();
}

std::optional<std::optional<plan::Audio>> DecodeAudio(ByteView message) {
  MessageReader reader(message);
  bool asked = false;
  reader.Bool(asked);
  std::optional<plan::Audio> audio;
  if (asked) AudioFields(reader, audio.emplace());
  if (!reader.Done()) return std::nullopt;
  return audio;
}

Bytes Encode(const Recording& recording) {
  MessageWriter writer;
  FormFields(writer, recording.form);
  writer.U32(recording.spectrogram.frames);
  writer.Floats(recording.spectrogram.values, recording.spectrogram.values.size());
  return std::move(writer).Take();
}

std::optional<Recording> DecodeRecording(ByteView message,
                                         const std::optional<plan::Audio>& audio) {
  MessageReader reader(message);
  Recording recording;
  FormFields(reader, recording.form);
  Spectrogram& spectrogram = recording.spectrogram;
  spectrogram.bands = audio ? audio->bands : 0;
  reader.U32(spectrogram.frames);
  reader.Floats(spectrogram.values,
                audio ? std::size_t{kMostParts} * audio->bands * audio->Frames() : 0);
  if (!reader.Done() || !IsSound(recording.form) || !IsSound(spectrogram, audio)) {
    return std::nullopt;
  }
  return recording;
}

std::uint64_t LargestRecording(const std::optional<plan::Audio>& audio) {
  if (!audio) return kFormBytes;
  return kFormBytes + sizeof(float) * std::uint64_t{kMostParts} * audio->bands * audio->Frames();
}

}  // namespace consilium::datasets::audio
