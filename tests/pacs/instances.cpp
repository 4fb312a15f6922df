#include "tests/pacs/instances.h"

#include "common/crypto/sha256.h"
#include "datasets/dicom/reader.h"
#include "datasets/pacs/element_set.h"
#include "datasets/pacs/part10.h"
#include "tests/catch.h"

namespace consilium::datasets::pacs {

Bytes DataSetOf(const TestInstance& instance) {
  constexpr int kSide = 32;
  std::string pixels;
  for (int i = 0; i < kSide * kSide; ++i) {
    const int value = (i * 7 + instance.number * 131) % 4096;
    pixels.push_back(static_cast<char>(value & 0xFF));
    pixels.push_back(static_cast<char>(value >> 8));
  }
  ElementSet set;
  set.SetUid(0x00080016, kCtClass)
      .SetUid(0x00080018, instance.instance)
      .SetText(0x00080020, instance.date)
      .SetText(0x00080050, instance.accession)
      .SetText(0x00080060, instance.modality)
      .SetText(0x00081030, instance.study_description)
      .SetText(0x0008103E, instance.series_description)
      .SetText(0x00100010, "DOE^JANE")
      .SetText(0x00100020, instance.patient)
      .SetUid(0x0020000D, instance.study)
      .SetUid(0x0020000E, instance.series)
      .SetText(0x00200013, std::to_string(instance.number))
      .SetUnsigned16(0x00280002, 1)
      .SetText(0x00280004, "MONOCHROME2")
      .SetUnsigned16(0x00280010, kSide)
      .SetUnsigned16(0x00280011, kSide)
      .SetUnsigned16(0x00280100, 16)
      .SetUnsigned16(0x00280101, 12)
      .SetUnsigned16(0x00280102, 11)
      .SetUnsigned16(0x00280103, 0)
      .SetText(0x7FE00010, pixels);
  return set.Encode();
}

void WriteInstance(const fs::path& path, const TestInstance& instance) {
  Bytes file =
      EncodeFileMeta({kCtClass, instance.instance, std::string(kImplicitLittleEndian), ""});
  const Bytes data_set = DataSetOf(instance);
  file.insert(file.end(), data_set.begin(), data_set.end());
  REQUIRE(EnsureFolder(path.parent_path()).ok());
  REQUIRE(WriteFileDurably(path, file).ok());
}

void WritePhantom(const fs::path& path, dicom::TransferSyntax syntax, int number) {
  dicom::NewInstance instance;
  instance.modality = "DX";
  instance.patient_id = "PHANTOM";
  instance.study_instance_uid = "2.25.9";
  instance.series_instance_uid = "2.25.99";
  instance.sop_instance_uid = "2.25.999" + std::to_string(number);
  instance.instance_number = number;
  instance.rows = instance.columns = 64;
  for (int i = 0; i < 64 * 64; ++i) {
    instance.values.push_back(((i % 64) * (i / 64) + number * 17) % 4096);
  }
  instance.bits_stored = 12;
  instance.row_spacing_mm = instance.column_spacing_mm = 0.5;
  instance.transfer_syntax = syntax;
  REQUIRE(EnsureFolder(path.parent_path()).ok());
  REQUIRE(dicom::WriteFile(path, instance).ok());
}

std::vector<fs::path> FilesBelow(const fs::path& folder) {
  std::vector<fs::path> files;
  if (!fs::exists(folder)) return files;
  for (auto entry = fs::recursive_directory_iterator(folder);
       entry != fs::recursive_directory_iterator(); ++entry) {
    if (entry->path().filename().native().starts_with('.')) {
      entry.disable_recursion_pending();
    } else if (entry->is_regular_file()) {
      files.push_back(entry->path());
    }
  }
  return files;
}

std::map<std::string, std::string> PixelHashes(const fs::path& folder) {
  std::map<std::string, std::string> hashes;
  for (const fs::path& file : FilesBelow(folder)) {
    const auto read = dicom::ReadStoredPixels(file);
    REQUIRE(read.ok());
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(read->values.data());
    hashes[read->header.sop_instance_uid] =
        crypto::Sha256(ByteView(bytes, read->values.size() * sizeof(std::int32_t))).Hex();
  }
  return hashes;
}

std::map<std::string, std::string> TransferSyntaxes(const fs::path& folder) {
  std::map<std::string, std::string> syntaxes;
  for (const fs::path& file : FilesBelow(folder)) {
    const auto meta = ReadFileMeta(file);
    REQUIRE(meta.ok());
    syntaxes[meta->head.sop_instance_uid] = meta->head.transfer_syntax_uid;
  }
  return syntaxes;
}

}  // namespace consilium::datasets::pacs
