#pragma once

// WAV files put together byte by byte, so that a test can make any mistake.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <numbers>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "tests/catch.h"

namespace consilium::datasets::audio {

inline std::string Little(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xff);
  return text;
}

struct WaveBytes {
  std::uint16_t format = 1, channels = 1, bits = 16;
  std::uint32_t rate = 2000;
  std::string data;
  std::string before_format;  // whole chunks
  std::uint32_t claimed_data = 0;
  bool extensible = false;

  std::string Format() const {
    const std::uint16_t frame = static_cast<std::uint16_t>(channels * bits / 8);
    std::string text = Little(extensible ? 0xfffe : format, 2) + Little(channels, 2) +
                       Little(rate, 4) + Little(std::uint64_t{rate} * frame, 4) + Little(frame, 2) +
                       Little(bits, 2);
    if (extensible)
      text += Little(22, 2) + Little(bits, 2) + Little(0, 4) + Little(format, 2) +
              std::string("\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71", 14);
    return text;
  }
  std::string Bytes() const {
    const std::string format_chunk = Format();
    const std::uint64_t size = claimed_data != 0 ? claimed_data : data.size();
    const std::string body = "WAVE" + before_format + "fmt " + Little(format_chunk.size(), 4) +
                             format_chunk + "data" + Little(size, 4) + data +
                             std::string(data.size() % 2, '\0');
    return "RIFF" + Little(body.size(), 4) + body;
  }
  fs::path Save(const fs::path& path) const {
    REQUIRE(WriteFileDurably(path, Bytes()).ok());
    return path;
  }
};

inline std::vector<float> Tone(double hz, double rate, double seconds, double loudness = 0.5) {
  std::vector<float> samples(static_cast<std::size_t>(rate * seconds));
  for (std::size_t i = 0; i < samples.size(); ++i) {
    samples[i] = static_cast<float>(
        loudness * std::sin(2 * std::numbers::pi * hz * static_cast<double>(i) / rate));
  }
  return samples;
}

inline std::string Pcm16(const std::vector<float>& samples) {
  std::string data;
  for (const float sample : samples) {
    data += Little(static_cast<std::uint16_t>(std::lround(sample * 32767)), 2);
  }
  return data;
}

}  // namespace consilium::datasets::audio
