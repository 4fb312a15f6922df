#include "datasets/audio/wave.h"

#include <cstring>

#include "common/base/text.h"
#include "datasets/audio/samples.h"

namespace consilium::datasets::audio {
namespace {

constexpr std::uint16_t kPcm = 1, kFloat = 3, kExtensible = 0xfffe;
constexpr std::uint32_t kNotClosed = 0xffffffff;
constexpr int kMostChunks = 1000;

std::uint16_t Load16(const std::uint8_t* p) { return static_cast<std::uint16_t>(p[0] | p[1] << 8); }
std::uint32_t Load32(const std::uint8_t* p) {
  return std::uint32_t{Load16(p)} | std::uint32_t{Load16(p + 2)} << 16;
}

struct Chunk {
  std::uint64_t offset = 0, size = 0;  // of its content
};
struct Chunks {
  std::optional<Chunk> format, data;
};

// Those that matter, in whatever order; the rest (names, cues, the patient's data) is passed over.
OrRefused<Chunks> FindChunks(dicom::ByteSource& source) {
  Chunks found;
  std::uint64_t at = 12;
  for (int i = 0; i < kMostChunks && at + 8 <= source.size() && !(found.format && found.data);
       ++i) {
    const std::uint8_t* head = source.Peek(at, 8);
    if (head == nullptr) return Refused{Refusal::kUnreadable, "a chunk cannot be read"};
    Chunk chunk{at + 8, Load32(head + 4)};
    const bool is_data = std::memcmp(head, "data", 4) == 0;
    if (is_data && chunk.size == kNotClosed) chunk.size = source.size() - chunk.offset;
    if (chunk.size > source.size() - chunk.offset) {
      return Refused{Refusal::kDamaged, "a chunk reaches beyond the end of the file"};
    }
    if (std::memcmp(head, "fmt ", 4) == 0) found.format = chunk;
    if (is_data) found.data = chunk;
    at = chunk.offset + chunk.size + chunk.size % 2;
  }
  if (!found.format || !found.data) {
    return Refused{Refusal::kDamaged, found.format ? "no data chunk" : "no format chunk"};
  }
  return found;
}

std::optional<SampleCode> CodeOf(std::uint16_t format, std::uint16_t bits) {
  if (format == kFloat && bits == 32) return SampleCode::kFloat32;
  if (format != kPcm) return std::nullopt;
  switch (bits) {
    case 8:
      return SampleCode::kUnsigned8;
    case 16:
      return SampleCode::kSigned16;
    case 24:
      return SampleCode::kSigned24;
    case 32:
      return SampleCode::kSigned32;
    default:
      return std::nullopt;
  }
}

struct Format {
  SampleLayout layout;
  SoundForm form;
};

OrRefused<Format> ReadFormat(dicom::ByteSource& source, const Chunk& chunk) {
  constexpr std::uint64_t kShortest = 16, kWithSubformat = 40;
  const bool extended = chunk.size >= kWithSubformat;
  const std::uint8_t* p = source.Peek(chunk.offset, extended ? kWithSubformat : kShortest);
  if (chunk.size < kShortest || p == nullptr) {
    return Refused{Refusal::kDamaged, "the format chunk is too short"};
  }
  std::uint16_t format = Load16(p);
  const std::uint16_t channels = Load16(p + 2), frame_bytes = Load16(p + 12), bits = Load16(p + 14);
  const std::uint32_t rate = Load32(p + 4);
  if (format == kExtensible && extended) format = Load16(p + 24);
  const auto code = CodeOf(format, bits);
  if (!code) {
    return Refused{Refusal::kUnsupportedSound,
                   StrCat("format ", format, " of ", bits,
                          " bits; PCM of 8, 16, 24 or 32 bits and floats of 32 are read")};
  }
  if (channels == 0 || channels > kMostChannels || rate == 0 || rate > kHighestRateHz) {
    return Refused{Refusal::kUnsupportedSound, StrCat(channels, " channels at ", rate, " Hz")};
  }
  if (frame_bytes != channels * BytesOf(*code)) {
    return Refused{Refusal::kDamaged, "the size of a frame is not that of its samples"};
  }
  Format read;
  read.layout.code = *code;
  read.layout.channels = channels;
  read.form = {Container::kWave, static_cast<double>(rate), 0, channels, bits};
  return read;
}

}  // namespace

bool IsWave(dicom::ByteSource& source) {
  const std::uint8_t* head = source.Peek(0, 12);
  return head != nullptr && std::memcmp(head, "RIFF", 4) == 0 &&
         std::memcmp(head + 8, "WAVE", 4) == 0;
}

OrRefused<Sound> ReadWave(dicom::ByteSource& source, const Part& part) {
  if (!IsWave(source)) return Refused{Refusal::kNotARecording, ""};
  const auto chunks = FindChunks(source);
  if (!chunks.ok()) return chunks.refused();
  auto format = ReadFormat(source, *chunks->format);
  if (!format.ok()) return format.refused();
  SampleLayout& layout = format->layout;
  layout.offset = chunks->data->offset;
  layout.frames = chunks->data->size / (std::uint64_t{BytesOf(layout.code)} * layout.channels);
  format->form.frames = layout.frames;
  return DecodePart(source, layout, format->form, part);
}

}  // namespace consilium::datasets::audio
