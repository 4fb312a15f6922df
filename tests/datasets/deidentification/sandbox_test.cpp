// Folders de-identified by sandboxed workers are those de-identified in this process.

#include <map>

#include "common/base/progress.h"
#include "datasets/deidentification/folder.h"
#include "datasets/deidentification/sandboxed_cleaner.h"
#include "tests/catch.h"
#include "tests/datasets/dicom_bytes.h"
#include "tests/datasets/shared_data.h"

namespace consilium::datasets::deidentification {
namespace {

crypto::Secret Key() { return crypto::Secret::CopyOf(Bytes(32, 7)); }

DeidentificationOptions Options() {
  DeidentificationOptions options;
  options.profile.retain_modified_dates = true;
  options.profile.clean_descriptors = true;
  options.pixels.burned_in = OnRisk::kClean;
  options.pixels.blank = {{0, 0, 1, 1}};
  options.pixels.faces = OnRisk::kClean;
  return options;
}

Deidentifier MakeDeidentifier() {
  auto deidentifier = Deidentifier::Create(*Pseudonymiser::Create(Key()), Options());
  REQUIRE(deidentifier.ok());
  return *std::move(deidentifier);
}

std::map<std::string, Bytes> Tree(const fs::path& folder) {
  std::map<std::string, Bytes> tree;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const auto content = ReadFile(entry.path());
    REQUIRE(content.ok());
    tree[entry.path().lexically_relative(folder).string()] = *content;
  }
  return tree;
}

// Both ways; what is written and quarantined must be the same.
FolderReport CompareWays(const fs::path& in, const TemporaryFolder& scratch) {
  const Deidentifier deidentifier = MakeDeidentifier();
  NoProgress progress;
  // In one thread: of two files of one instance it is the first that is written.
  const auto here = DeidentifyFolder(deidentifier, in, scratch / "here", 1, progress);
  auto pool = worker::WorkerPool::Create({.workers = 2, .memory_bytes = kCleanerMemoryBytes});
  INFO(pool.status().ToString());
  REQUIRE(pool.ok());
  SandboxedCleaner cleaner(**pool, Key(), Options());
  const auto sandboxed =
      DeidentifyFolder(deidentifier, cleaner, in, scratch / "sandboxed", 1, progress);
  REQUIRE(here.ok());
  REQUIRE(sandboxed.ok());
  CHECK(sandboxed->written == here->written);
  CHECK(sandboxed->quarantined == here->quarantined);
  const auto trees = std::make_pair(Tree(scratch / "sandboxed"), Tree(scratch / "here"));
  CHECK(trees.first.size() == here->written + 1);
  for (const auto& [name, content] : trees.second) {
    INFO(name);
    CHECK((trees.first.contains(name) && trees.first.at(name) == content));
  }
  return *sandboxed;
}

// A head CT of 10 slices with a face in it.
void WriteHead(const fs::path& folder) {
  for (int slice = 0; slice < 10; ++slice) {
    DicomBytes file;
    file.Text(0x0008, 0x0016, "UI", "1.2.840.10008.5.1.4.1.1.2");
    file.Text(0x0008, 0x0018, "UI", "1.2.3." + std::to_string(slice + 1));
    file.Text(0x0008, 0x0060, "CS", "CT").Text(0x0010, 0x0020, "LO", "P1");
    file.Text(0x0018, 0x0015, "CS", "HEAD").Text(0x0020, 0x000e, "UI", "1.2.3");
    file.Text(0x0020, 0x0032, "DS", "0\\0\\" + std::to_string(slice * 3));
    file.Text(0x0020, 0x0037, "DS", "1\\0\\0\\0\\1\\0").Number(0x0028, 0x0002, 1);
    file.Text(0x0028, 0x0004, "CS", "MONOCHROME2").Number(0x0028, 0x0010, 2);
    file.Number(0x0028, 0x0011, 2).Text(0x0028, 0x0030, "DS", "1\\1");
    file.Number(0x0028, 0x0100, 16).Number(0x0028, 0x0101, 16).Number(0x0028, 0x0102, 15);
    file.Number(0x0028, 0x0103, 1).PixelData().Save(folder / std::to_string(slice));
  }
}

}  // namespace

TEST_CASE("Images, heads and what is no image come out of the sandbox as out of this process") {
  const TemporaryFolder in, scratch;
  DicomBytes plain;
  plain.Text(0x0008, 0x0016, "UI", "1.2.840.10008.5.1.4.1.1.1.1");
  plain.Text(0x0008, 0x0018, "UI", "1.2.9").Text(0x0008, 0x0060, "CS", "DX");
  plain.Text(0x0010, 0x0010, "PN", "Doe^Jane").Text(0x0010, 0x0020, "LO", "P1");
  plain.Pixels().PixelData().Save(in / "plain.dcm");
  REQUIRE(WriteFileDurably(in / "text.txt", std::string_view("no image")).ok());
  fs::create_directory(in / "head");
  WriteHead(in / "head");
  const FolderReport report = CompareWays(in.path(), scratch);
  CHECK(report.files == 12);
  CHECK(report.written >= 1);
}

TEST_CASE("All shared files are de-identified in the sandbox as in this process") {
  const auto folder = SharedData("dicom");
  if (!folder) return;
  const TemporaryFolder scratch;
  const FolderReport report = CompareWays(*folder, scratch);
  CHECK(report.written > 100);
}

TEST_CASE("Names from a worker that could leave the folder are none") {
  const auto sound = [](const std::string& patient) {
    const ExaminedInstance instance{{patient, "1.2", "1.3", "1.4"}, false};
    return DecodeExamined(Encode(instance)).has_value();
  };
  CHECK(sound("P-ABCDEFGHIJ234567"));
  for (const char* patient : {"", "..", "../../etc", "/etc", "a/b", "P-\n", "P A"}) {
    INFO(patient);
    CHECK_FALSE(sound(patient));
  }
  CHECK_FALSE(DecodeExamined(Bytes(10, 255)));
}

TEST_CASE("Masks from a worker must be one for each file and all there") {
  const std::vector<Bytes> masks = {Bytes(4, 1), {}, Bytes(3, 0)};
  const Bytes message = Encode(masks);
  CHECK(DecodeMasks(message, 3) == masks);
  CHECK_FALSE(DecodeMasks(message, 2));
  CHECK_FALSE(DecodeMasks(message, 4));
  CHECK_FALSE(DecodeMasks(ByteView(message).first(message.size() - 1), 3));
}

TEST_CASE("A task is the same after the way to bytes and back") {
  worker::MessageWriter writer;
  Write({Key(), Options()}, &writer);
  worker::MessageReader reader(writer.bytes());
  const Task task = ReadTask(&reader);
  CHECK(reader.Done());
  CHECK(task.key.Equals(Key().Reveal()));
  CHECK(task.options.profile.retain_modified_dates);
  CHECK_FALSE(task.options.profile.retain_full_dates);
  CHECK(task.options.pixels.faces == OnRisk::kClean);
  REQUIRE(task.options.pixels.blank.size() == 1);
  CHECK(task.options.pixels.blank[0].width == 1);
}

}  // namespace consilium::datasets::deidentification
