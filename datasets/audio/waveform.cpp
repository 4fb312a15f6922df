#include "datasets/audio/waveform.h"

#include <cmath>

#include "common/base/text.h"
#include "datasets/audio/samples.h"

namespace consilium::datasets::audio {
namespace {

constexpr std::uint32_t kSopClassUid = dicom::Tag(0x0008, 0x0016);
constexpr std::uint32_t kChannels = dicom::Tag(0x003a, 0x0005);
constexpr std::uint32_t kSamples = dicom::Tag(0x003a, 0x0010);
constexpr std::uint32_t kSamplingFrequency = dicom::Tag(0x003a, 0x001a);
constexpr std::uint32_t kWaveformSequence = dicom::Tag(0x5400, 0x0100);
constexpr std::uint32_t kBitsAllocated = dicom::Tag(0x5400, 0x1004);
constexpr std::uint32_t kInterpretation = dicom::Tag(0x5400, 0x1006);
constexpr std::uint32_t kWaveformData = dicom::Tag(0x5400, 0x1010);

constexpr std::string_view kBasicVoiceAudio = "1.2.840.10008.5.1.4.1.1.9.4.1";
constexpr std::string_view kGeneralAudio = "1.2.840.10008.5.1.4.1.1.9.4.2";

std::optional<SampleCode> CodeOf(std::string_view word) {
  if (word == "SB") return SampleCode::kSigned8;
  if (word == "UB") return SampleCode::kUnsigned8;
  if (word == "MB") return SampleCode::kMuLaw;
  if (word == "AB") return SampleCode::kALaw;
  if (word == "SS") return SampleCode::kSigned16;
  if (word == "US") return SampleCode::kUnsigned16;
  if (word == "SL") return SampleCode::kSigned32;
  if (word == "UL") return SampleCode::kUnsigned32;
  return std::nullopt;
}

}  // namespace

OrRefused<Sound> ReadWaveform(const dicom::DataSet& file, const Part& part) {
  auto groups = file.Sequence(kWaveformSequence);
  if (!groups.ok()) return groups.refused();
  if (groups->empty()) return Refused{Refusal::kNotARecording, ""};
  dicom::DataSet& group = groups->front();
  const auto channels = group.Unsigned16(kChannels);
  const auto samples = group.Unsigned32(kSamples);
  const auto rate = group.Number(kSamplingFrequency);
  const auto bits = group.Unsigned16(kBitsAllocated);
  const std::string interpretation = group.Text(kInterpretation);
  const dicom::Element* data = group.Find(kWaveformData);
  if (!channels || !samples || !rate || data == nullptr) {
    return Refused{Refusal::kDamaged, "the waveform lacks its data, channels, samples or rate"};
  }
  const auto code = CodeOf(interpretation);
  if (!code || (bits && *bits != 8 * BytesOf(*code))) {
    return Refused{Refusal::kUnsupportedSound, "samples of another interpretation"};
  }
  if (*channels == 0 || *channels > kMostChannels || !(*rate >= 1 && *rate <= kHighestRateHz)) {
    return Refused{Refusal::kUnsupportedSound, StrCat(*channels, " channels at ", *rate, " Hz")};
  }
  SampleLayout layout{.code = *code, .big_endian = group.big_endian(), .channels = *channels};
  const std::string sop_class = file.Text(kSopClassUid);
  layout.first_channel_only = sop_class != kBasicVoiceAudio && sop_class != kGeneralAudio;
  layout.offset = data->offset;
  layout.frames = *samples;
  if (layout.frames * BytesOf(*code) * layout.channels > data->length) {
    return Refused{Refusal::kDamaged, "the waveform's data are shorter than its samples"};
  }
  const SoundForm form{Container::kWaveform, *rate, *samples, *channels, 8 * BytesOf(*code)};
  return DecodePart(group.source(), layout, form, part);
}

}  // namespace consilium::datasets::audio
