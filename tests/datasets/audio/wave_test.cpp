#include "datasets/audio/wave.h"

#include <bit>
#include <tuple>

#include "datasets/audio/recording.h"
#include "datasets/audio/waveform.h"
#include "tests/catch.h"
#include "tests/datasets/audio/wave_bytes.h"
#include "tests/datasets/dicom_bytes.h"

namespace consilium::datasets::audio {
namespace {

OrRefused<Sound> Read(const std::string& bytes, double seconds = 1000) {
  dicom::ByteSource source(Bytes(bytes.begin(), bytes.end()));
  return ReadWave(source, {seconds});
}
Sound ReadSound(const WaveBytes& file) {
  const auto sound = Read(file.Bytes());
  INFO((sound.ok() ? "" : sound.refused().detail));
  REQUIRE(sound.ok());
  return *sound;
}
Refusal RefusalOf(const std::string& bytes) {
  const auto sound = Read(bytes);
  REQUIRE_FALSE(sound.ok());
  return sound.refused().reason;
}

TEST_CASE("Samples of every width are read as parts of full scale") {
  CHECK(ReadSound({.data = Little(0x4000, 2) + Little(0xc000, 2)}).samples ==
        std::vector<float>{0.5f, -0.5f});
  CHECK(ReadSound({.bits = 8, .data = std::string("\x80\xc0\x40", 3)}).samples ==
        std::vector<float>{0, 0.5f, -0.5f});
  CHECK(ReadSound({.bits = 24, .data = Little(0x400000, 3) + Little(0xc00000, 3)}).samples ==
        std::vector<float>{0.5f, -0.5f});
  CHECK(ReadSound({.bits = 32, .data = Little(0x40000000, 4) + Little(0xc0000000, 4)}).samples ==
        std::vector<float>{0.5f, -0.5f});
  const std::uint32_t quarter = std::bit_cast<std::uint32_t>(0.25f);
  CHECK(ReadSound({.format = 3, .bits = 32, .data = Little(quarter, 4)}).samples ==
        std::vector<float>{0.25f});
}

TEST_CASE("Several channels become their mean, also where the format is the extensible one") {
  WaveBytes file{.channels = 2, .data = Little(0x4000, 2) + Little(0x2000, 2)};
  CHECK(ReadSound(file).samples == std::vector<float>{0.375f});
  file.extensible = true;
  const Sound sound = ReadSound(file);
  CHECK(sound.samples == std::vector<float>{0.375f});
  CHECK(sound.form.channels == 2);
  CHECK(sound.form.frames == 1);
  CHECK(sound.form.sample_rate_hz == 2000);
}

TEST_CASE("Chunks of other kinds are passed over, with the byte that evens out their length") {
  WaveBytes file{.data = Little(0x4000, 2)};
  file.before_format = "LIST" + Little(3, 4) + std::string("abc\0", 4);
  CHECK(ReadSound(file).samples == std::vector<float>{0.5f});
}

TEST_CASE("A recorder that did not close its file leaves a sound to its end") {
  WaveBytes file{.data = Little(0x4000, 2)};
  file.claimed_data = 0xffffffff;
  CHECK(ReadSound(file).samples == std::vector<float>{0.5f});
}

TEST_CASE("Of a longer file the middle is read") {
  WaveBytes file{.rate = 4, .data = ""};
  for (int i = 0; i < 12; ++i) file.data += Little(static_cast<std::uint64_t>(i) << 8, 2);
  const auto sound = Read(file.Bytes(), 1);
  REQUIRE(sound.ok());
  CHECK(sound->samples == std::vector<float>{4.f / 128, 5.f / 128, 6.f / 128, 7.f / 128});
  CHECK(sound->form.frames == 12);
  CHECK(sound->form.seconds() == 3);
}

TEST_CASE("What is no sound is refused, and says why") {
  const WaveBytes sound{.data = Little(1, 2)};
  CHECK(RefusalOf("") == Refusal::kNotARecording);
  CHECK(RefusalOf("RIFX0000WAVE") == Refusal::kNotARecording);
  CHECK(RefusalOf(sound.Bytes().substr(0, 30)) == Refusal::kDamaged);
  CHECK(RefusalOf(sound.Bytes().substr(0, 45)) == Refusal::kDamaged);
  WaveBytes other = sound;
  other.claimed_data = 3;
  CHECK(RefusalOf(other.Bytes()) == Refusal::kDamaged);
  other = sound;
  other.format = 0x55;  // MPEG layer 3
  CHECK(RefusalOf(other.Bytes()) == Refusal::kUnsupportedSound);
  for (const auto& [channels, bits, rate] :
       {std::tuple{0, 16, 2000}, {65, 16, 2000}, {1, 12, 2000}, {1, 16, 0}, {1, 16, 200'000}}) {
    other = sound;
    other.channels = static_cast<std::uint16_t>(channels);
    other.bits = static_cast<std::uint16_t>(bits);
    other.rate = static_cast<std::uint32_t>(rate);
    CHECK(RefusalOf(other.Bytes()) == Refusal::kUnsupportedSound);
  }
  other = {.format = 3, .bits = 32, .data = Little(std::bit_cast<std::uint32_t>(NAN), 4)};
  CHECK(RefusalOf(other.Bytes()) == Refusal::kUnsupportedSound);
}

// ---- DICOM waveforms

constexpr std::string_view kGeneralAudio = "1.2.840.10008.5.1.4.1.1.9.4.2";
constexpr std::string_view kTwelveLead = "1.2.840.10008.5.1.4.1.1.9.1.1";

// One multiplex group; `long_value` writes an element of a 4-byte value.
std::string Waveform(std::string_view sop_class, int channels, std::uint32_t samples,
                     std::string_view interpretation, int bits, std::string_view data,
                     std::string_view rate = "2000") {
  DicomBytes item("");
  const std::size_t head = item.bytes().size();
  item.Number(0x003a, 0x0005, channels);
  item.Tag(0x003a, 0x0010).Raw("UL").Word(4).Word(static_cast<int>(samples)).Word(0);
  item.Text(0x003a, 0x001a, "DS", rate);
  item.Number(0x5400, 0x1004, bits);
  item.Text(0x5400, 0x1006, "CS", interpretation);
  item.Long(0x5400, 0x1010, "OW", data);
  const std::string body = item.bytes().substr(head);
  DicomBytes file;
  file.Text(0x0008, 0x0016, "UI", sop_class).Text(0x0008, 0x0018, "UI", "1.2.3.4");
  std::string sequence("\xfe\xff\x00\xe0", 4);
  sequence += Little(body.size(), 4) + body;
  return file.Long(0x5400, 0x0100, "SQ", sequence).bytes();
}

OrRefused<Recording> ReadBytes(const std::string& bytes, std::optional<plan::Audio> audio = {}) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "recording";
  REQUIRE(WriteFileDurably(path, bytes).ok());
  return ReadRecording(path, audio);
}

TEST_CASE("A DICOM waveform says what it is, and gives the spectrogram of the same WAV file") {
  const std::vector<float> tone = Tone(200, 2000, 4);
  const auto wave = ReadBytes(WaveBytes{.data = Pcm16(tone)}.Bytes(), plan::Audio{});
  const auto waveform =
      ReadBytes(Waveform(kGeneralAudio, 1, 8000, "SS", 16, Pcm16(tone)), plan::Audio{});
  REQUIRE(wave.ok());
  REQUIRE(waveform.ok());
  CHECK(waveform->form.container == Container::kWaveform);
  CHECK(waveform->form.seconds() == 4);
  CHECK(waveform->spectrogram.values == wave->spectrogram.values);
}

TEST_CASE("Of sounds the channels' mean is taken, of an ECG the first lead") {
  // The second channel drowns the first in a mean: 12 bits of one, 15 of the other.
  const std::vector<float> first = Tone(100, 2000, 4, 0.1), second = Tone(700, 2000, 4, 0.9);
  std::string both, alone = Pcm16(first);
  for (std::size_t i = 0; i < first.size(); ++i) {
    both += Pcm16({first[i]}) + Pcm16({second[i]});
  }
  const auto ecg = ReadBytes(Waveform(kTwelveLead, 2, 8000, "SS", 16, both), plan::Audio{});
  const auto sound = ReadBytes(Waveform(kGeneralAudio, 2, 8000, "SS", 16, both), plan::Audio{});
  const auto lead = ReadBytes(Waveform(kTwelveLead, 1, 8000, "SS", 16, alone), plan::Audio{});
  REQUIRE((ecg.ok() && sound.ok() && lead.ok()));
  CHECK(ecg->spectrogram.values == lead->spectrogram.values);
  CHECK(sound->spectrogram.values != lead->spectrogram.values);
}

TEST_CASE("Companded samples follow the tables of G.711") {
  // Full scale, its negative, and silence, as ITU-T G.711 has them (in 16 bits: +-32124, +-32256).
  const auto values = [](const char* interpretation, std::string_view data) {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "w";
    REQUIRE(
        WriteFileDurably(path, Waveform(kGeneralAudio, 1, static_cast<std::uint32_t>(data.size()),
                                        interpretation, 8, data))
            .ok());
    auto source = dicom::ByteSource::FromFile(path);
    REQUIRE(source.ok());
    const auto file = dicom::DataSet::Read(*std::move(source));
    REQUIRE(file.ok());
    const auto read = ReadWaveform(*file, {100});
    REQUIRE(read.ok());
    return read->samples;
  };
  CHECK(values("MB", std::string_view("\x80\x00\xff\x7f", 4)) ==
        std::vector<float>{32124 / 32768.f, -32124 / 32768.f, 0, 0});
  CHECK(values("AB", std::string_view("\xaa\x2a\xd5\x55", 4)) ==
        std::vector<float>{32256 / 32768.f, -32256 / 32768.f, 8 / 32768.f, -8 / 32768.f});
}

TEST_CASE("Waveforms that contradict themselves are refused") {
  const std::string data(20, 'x');
  const auto refusal = [](const std::string& bytes) {
    const auto read = ReadBytes(bytes);
    REQUIRE_FALSE(read.ok());
    return read.refused().reason;
  };
  CHECK(refusal(Waveform(kGeneralAudio, 1, 11, "SS", 16, data)) == Refusal::kDamaged);
  CHECK(refusal(Waveform(kGeneralAudio, 1, 10, "XX", 16, data)) == Refusal::kUnsupportedSound);
  CHECK(refusal(Waveform(kGeneralAudio, 1, 10, "SS", 8, data)) == Refusal::kUnsupportedSound);
  CHECK(refusal(Waveform(kGeneralAudio, 0, 10, "SS", 16, data)) == Refusal::kUnsupportedSound);
  CHECK(refusal(Waveform(kGeneralAudio, 1, 10, "SS", 16, data, "0")) == Refusal::kUnsupportedSound);
  CHECK(refusal(DicomBytes::Image().Pixels().PixelData().bytes()) == Refusal::kNotARecording);
  CHECK(refusal("nothing of the kind") == Refusal::kNotARecording);
}

TEST_CASE("A recording that cannot serve a plan is refused with the reason") {
  const auto refusal = [](const WaveBytes& file) {
    const auto read = ReadBytes(file.Bytes(), plan::Audio{});
    REQUIRE_FALSE(read.ok());
    return read.refused().reason;
  };
  CHECK(refusal({.data = Pcm16(Tone(100, 2000, 0.9))}) == Refusal::kTooShort);
  CHECK(refusal({.rate = 900, .data = Pcm16(Tone(100, 900, 5))}) == Refusal::kLowSampleRate);
  CHECK(refusal({.data = std::string(8000, '\x07')}) == Refusal::kSilence);
}

}  // namespace
}  // namespace consilium::datasets::audio
