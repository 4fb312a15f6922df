#include "datasets/audio/samples.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "common/base/text.h"

namespace consilium::datasets::audio {
namespace {

std::uint32_t Load(const std::uint8_t* bytes, std::uint32_t count, bool big_endian) {
  std::uint32_t value = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    value |= std::uint32_t{bytes[big_endian ? count - 1 - i : i]} << (8 * i);
  }
  return value;
}

// ITU-T G.711, table 2a: 8 segments of 16 steps, each segment's steps twice the last one's.
float MuLaw(std::uint8_t code) {
  const int inverted = ~code & 0xff;
  const int magnitude = (((inverted & 0x0f) << 3) + 0x84) << ((inverted & 0x70) >> 4);
  const int value = magnitude - 0x84;
  return static_cast<float>((inverted & 0x80) != 0 ? -value : value) / 32768.0f;
}

// Table 1a.
float ALaw(std::uint8_t code) {
  const int toggled = code ^ 0x55;
  const int segment = (toggled & 0x70) >> 4;
  int value = ((toggled & 0x0f) << 4) + 8;
  if (segment > 0) value = (value + 0x100) << (segment - 1);
  return static_cast<float>((toggled & 0x80) != 0 ? value : -value) / 32768.0f;
}

float ValueOf(SampleCode code, const std::uint8_t* bytes, bool big_endian) {
  const std::uint32_t stored = Load(bytes, BytesOf(code), big_endian);
  switch (code) {
    case SampleCode::kUnsigned8:
      return (static_cast<float>(stored) - 128) / 128;
    case SampleCode::kSigned8:
      return static_cast<float>(static_cast<std::int8_t>(stored)) / 128;
    case SampleCode::kSigned16:
      return static_cast<float>(static_cast<std::int16_t>(stored)) / 32768;
    case SampleCode::kUnsigned16:
      return (static_cast<float>(stored) - 32768) / 32768;
    case SampleCode::kSigned24:
      return static_cast<float>(static_cast<std::int32_t>(stored << 8)) / 2147483648.0f;
    case SampleCode::kSigned32:
      return static_cast<float>(static_cast<std::int32_t>(stored)) / 2147483648.0f;
    case SampleCode::kUnsigned32:
      return (static_cast<float>(stored) - 2147483648.0f) / 2147483648.0f;
    case SampleCode::kFloat32:
      return std::bit_cast<float>(stored);
    case SampleCode::kMuLaw:
      return MuLaw(static_cast<std::uint8_t>(stored));
    case SampleCode::kALaw:
      return ALaw(static_cast<std::uint8_t>(stored));
  }
  return 0;
}

}  // namespace

std::uint32_t BytesOf(SampleCode code) {
  switch (code) {
    case SampleCode::kSigned16:
    case SampleCode::kUnsigned16:
      return 2;
    case SampleCode::kSigned24:
      return 3;
    case SampleCode::kSigned32:
    case SampleCode::kUnsigned32:
    case SampleCode::kFloat32:
      return 4;
    default:
      return 1;
  }
}

OrRefused<std::vector<float>> DecodeFrames(dicom::ByteSource& source, const SampleLayout& layout,
                                           std::uint64_t first, std::uint64_t count) {
  // A louder float than this is no sound, and its square must stay a number.
  constexpr float kLoudest = 1e6f;
  constexpr std::uint64_t kBlockBytes = 64 << 10;
  const std::uint32_t sample_bytes = BytesOf(layout.code);
  const std::uint64_t frame_bytes = std::uint64_t{sample_bytes} * layout.channels;
  const std::uint64_t block = kBlockBytes / frame_bytes;
  const std::uint64_t begin = layout.offset + first * frame_bytes;
  if (first + count > layout.frames || begin + count * frame_bytes > source.size()) {
    return Refused{Refusal::kDamaged, "the samples end before the file says"};
  }
  const std::uint32_t used = layout.first_channel_only ? 1 : layout.channels;
  std::vector<float> samples;
  samples.reserve(count);
  while (samples.size() < count) {
    const std::uint64_t now = std::min(block, count - samples.size());
    const std::uint8_t* bytes = source.Peek(begin + samples.size() * frame_bytes,
                                            static_cast<std::size_t>(now * frame_bytes));
    if (bytes == nullptr) return Refused{Refusal::kUnreadable, "the samples cannot be read"};
    for (std::uint64_t i = 0; i < now; ++i, bytes += frame_bytes) {
      float sum = 0;
      for (std::uint32_t channel = 0; channel < used; ++channel) {
        sum += ValueOf(layout.code, bytes + channel * sample_bytes, layout.big_endian);
      }
      const float mean = sum / static_cast<float>(used);
      if (!(std::abs(mean) <= kLoudest)) {
        return Refused{Refusal::kUnsupportedSound, "a sample is no number"};
      }
      samples.push_back(mean);
    }
  }
  return samples;
}

OrRefused<Sound> DecodePart(dicom::ByteSource& source, const SampleLayout& layout, SoundForm form,
                            const Part& part) {
  const double most = std::ceil(part.seconds * form.sample_rate_hz);
  const std::uint64_t wanted =
      most < static_cast<double>(kMostSamples) ? static_cast<std::uint64_t>(most) : kMostSamples;
  const std::uint64_t count = std::min(layout.frames, wanted);
  auto samples = DecodeFrames(source, layout, (layout.frames - count) / 2, count);
  if (!samples.ok()) return samples.refused();
  return Sound{form, *std::move(samples)};
}

}  // namespace consilium::datasets::audio
