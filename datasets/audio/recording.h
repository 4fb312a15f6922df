#pragma once

// A recording from its file to what a network sees.

#include <optional>

#include "common/base/file.h"
#include "datasets/audio/sound.h"
#include "datasets/audio/spectrogram.h"
#include "datasets/refusal.h"

namespace consilium::datasets::audio {

// Shorter than this share of a plan's seconds is too short.
inline constexpr double kShortestShare = 0.1;

struct Recording {
  SoundForm form;
  Spectrogram spectrogram;  // empty when none was asked for
};

// A WAV file (wave.h) or a DICOM waveform (waveform.h): its middle kMostParts * audio.seconds at
// most, brought to audio.sample_rate_hz. Without `audio` only what the file says of itself; then a
// recording may be of any length and rate.
//
// kTooShort: below a tenth of audio.seconds. kLowSampleRate, kSilence, and as the readers.
OrRefused<Recording> ReadRecording(File file, const std::optional<plan::Audio>& audio);
OrRefused<Recording> ReadRecording(const fs::path& path, const std::optional<plan::Audio>& audio);

}  // namespace consilium::datasets::audio
