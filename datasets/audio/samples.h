#pragma once

// Private to this folder: stored samples to numbers.

#include <cstdint>

#include "datasets/audio/sound.h"
#include "datasets/dicom/data_set.h"
#include "datasets/refusal.h"

namespace consilium::datasets::audio {

enum class SampleCode {
  kUnsigned8,
  kSigned8,
  kSigned16,
  kUnsigned16,
  kSigned24,
  kSigned32,
  kUnsigned32,
  kFloat32,
  kMuLaw,  // ITU-T G.711
  kALaw,
};
std::uint32_t BytesOf(SampleCode code);

// How frames (one sample of each channel, one after the other) lie in a file.
struct SampleLayout {
  SampleCode code = SampleCode::kSigned16;
  bool big_endian = false;
  std::uint32_t channels = 1;
  bool first_channel_only = false;  // else their mean
  std::uint64_t offset = 0;         // of the first frame
  std::uint64_t frames = 0;
};

// The frames from `first` on. kDamaged when the file does not have them; kUnsupportedSound when a
// floating-point sample is no number.
OrRefused<std::vector<float>> DecodeFrames(dicom::ByteSource& source, const SampleLayout& layout,
                                           std::uint64_t first, std::uint64_t count);

// The part of the file that is wanted.
OrRefused<Sound> DecodePart(dicom::ByteSource& source, const SampleLayout& layout, SoundForm form,
                            const Part& part);

}  // namespace consilium::datasets::audio
