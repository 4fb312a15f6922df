#pragma once

// DICOM files put together byte by byte, so that a test can make any mistake.

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/file.h"
#include "tests/catch.h"

namespace consilium::datasets {

class DicomBytes {
 public:
  explicit DicomBytes(std::string_view transfer_syntax = "1.2.840.10008.1.2.1") {
    bytes_ = std::string(128, '\0') + "DICM";
    Text(0x0002, 0x0010, "UI", transfer_syntax);
  }

  // A sound image of 2x2 pixels of 16 bits with the stored values 0, 1, 2, 3; change it by naming
  // what to leave out.
  static DicomBytes Image(std::string_view transfer_syntax = "1.2.840.10008.1.2.1") {
    DicomBytes file(transfer_syntax);
    file.Text(0x0008, 0x0018, "UI", "1.2.3.4").Text(0x0008, 0x0060, "CS", "DX");
    file.Text(0x0010, 0x0020, "LO", "P1");
    return file;
  }
  DicomBytes& Pixels(int frames = 1, int samples = 1, int allocated = 16, int stored = 16,
                     std::string_view photometric = "MONOCHROME2", bool is_signed = false) {
    Number(0x0028, 0x0002, samples).Text(0x0028, 0x0004, "CS", photometric);
    if (frames > 1) Text(0x0028, 0x0008, "IS", std::to_string(frames));
    Number(0x0028, 0x0010, 2).Number(0x0028, 0x0011, 2).Number(0x0028, 0x0100, allocated);
    Number(0x0028, 0x0101, stored).Number(0x0028, 0x0102, stored - 1);
    return Number(0x0028, 0x0103, is_signed ? 1 : 0);
  }
  DicomBytes& PixelData(std::string_view values = std::string_view("\0\0\1\0\2\0\3\0", 8)) {
    return Long(0x7fe0, 0x0010, "OW", values);
  }

  DicomBytes& Text(int group, int element, std::string_view vr, std::string_view value) {
    std::string padded(value);
    if (padded.size() % 2 != 0) padded += vr == "UI" ? '\0' : ' ';
    Tag(group, element).Raw(vr).Word(static_cast<int>(padded.size())).Raw(padded);
    return *this;
  }
  DicomBytes& Number(int group, int element, int value) {
    return Tag(group, element).Raw("US").Word(2).Word(value);
  }
  DicomBytes& Long(int group, int element, std::string_view vr, std::string_view value) {
    return LongClaiming(group, element, vr, static_cast<std::uint32_t>(value.size())).Raw(value);
  }
  DicomBytes& LongClaiming(int group, int element, std::string_view vr, std::uint32_t length) {
    return Tag(group, element).Raw(vr).Word(0).Word(length & 0xffff).Word(length >> 16);
  }
  DicomBytes& Tag(int group, int element) { return Word(group).Word(element); }
  DicomBytes& Word(int value) {
    bytes_ += static_cast<char>(value & 0xff);
    bytes_ += static_cast<char>(value >> 8 & 0xff);
    return *this;
  }
  DicomBytes& Raw(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }

  const std::string& bytes() const { return bytes_; }
  fs::path Save(const fs::path& path) const {
    REQUIRE(WriteFileDurably(path, bytes_).ok());
    return path;
  }

 private:
  std::string bytes_;
};

// A folder that goes with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "consilium-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }
  fs::path operator/(std::string_view name) const { return path_ / name; }

 private:
  fs::path path_;
};

}  // namespace consilium::datasets
