// Image files through the pool: the same as in this process, and hostile ones refused.

#include <chrono>
#include <iostream>

#include "datasets/dicom/writer.h"
#include "datasets/worker/header_message.h"
#include "datasets/worker/sandboxed_reader.h"
#include "tests/catch.h"
#include "tests/datasets/dicom_bytes.h"
#include "tests/datasets/shared_data.h"

namespace consilium::datasets {
namespace {

using namespace std::chrono_literals;

std::unique_ptr<SandboxedReader> Reader(const worker::PoolOptions& options = {}) {
  auto reader = SandboxedReader::Create(options);
  INFO(reader.status().ToString());
  REQUIRE(reader.ok());
  return *std::move(reader);
}

// A sound image of side * side pixels that takes its time to decode.
fs::path LargeImage(const fs::path& path, std::uint32_t side) {
  dicom::NewInstance instance;
  instance.modality = "DX";
  instance.patient_id = "large";
  instance.study_instance_uid = dicom::MakeUid("large/study");
  instance.series_instance_uid = dicom::MakeUid("large/series");
  instance.sop_instance_uid = dicom::MakeUid("large");
  instance.rows = instance.columns = side;
  instance.values.resize(std::size_t{side} * side);
  for (std::size_t i = 0; i < instance.values.size(); ++i) {
    instance.values[i] = static_cast<std::int32_t>(i * 2654435761u >> 20 & 0xfff);
  }
  instance.transfer_syntax = dicom::TransferSyntax::kJpeg2000Lossless;
  REQUIRE(dicom::WriteFile(path, instance).ok());
  return path;
}

fs::path SmallImage(const fs::path& path) {
  return DicomBytes::Image().Pixels().PixelData().Save(path);
}

plan::Preprocessing Generic() { return plan::DefaultsOf(plan::Preset::kGeneric, 32); }

struct Agreement {
  int same = 0;
  std::vector<std::string> different;  // names of files
};

void Note(bool same, const fs::path& file, Agreement* agreement) {
  if (same) {
    ++agreement->same;
  } else {
    agreement->different.push_back(file.filename().string());
  }
}

bool Same(const Refused& a, const Refused& b) {
  // Text of the file may be in a detail: what is not printable comes through as a question mark.
  return a.reason == b.reason && a.detail.size() == b.detail.size();
}

std::vector<fs::path> AllFiles(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  return files;
}

}  // namespace

TEST_CASE("A sandboxed reader gives the header and the input that this process gives") {
  const TemporaryFolder folder;
  const fs::path files[] = {SmallImage(folder / "small.dcm"), LargeImage(folder / "large.dcm", 200),
                            folder / "absent.dcm"};
  const auto reader = Reader({.workers = 1});
  const auto here = ReadInThisProcess();
  const auto headers = reader->ReadHeaders(files);
  const auto expected = here->ReadHeaders(files);
  REQUIRE(headers.size() == 3);
  for (std::size_t i = 0; i < 2; ++i) {
    REQUIRE(headers[i].ok());
    CHECK(worker::Encode(*headers[i]) == worker::Encode(*expected[i]));
    const auto input = reader->ReadInput(files[i], Generic());
    const auto expected_input = here->ReadInput(files[i], Generic());
    REQUIRE(input.ok());
    CHECK(*input == *expected_input);
  }
  REQUIRE_FALSE(headers[2].ok());
  CHECK(headers[2].refused().reason == Refusal::kUnreadable);
  CHECK(headers[2].refused().detail == expected[2].refused().detail);
}

TEST_CASE("An image that takes too long to decode is refused and the next is read") {
  const TemporaryFolder folder;
  const fs::path large = LargeImage(folder / "large.dcm", 2500);
  const fs::path small = SmallImage(folder / "small.dcm");
  const auto reader = Reader({.workers = 1, .time_limit = 100ms});
  const auto input = reader->ReadInput(large, Generic());
  REQUIRE_FALSE(input.ok());
  CHECK(input.refused().reason == Refusal::kReaderTookTooLong);
  CHECK(reader->ReadInput(small, Generic()).ok());
}

TEST_CASE("An image that needs more memory than a worker has is refused and the next is read") {
  const TemporaryFolder folder;
  const fs::path large = LargeImage(folder / "large.dcm", 3000);
  const fs::path small = SmallImage(folder / "small.dcm");
  auto pool = worker::WorkerPool::Create({.workers = 1, .memory_bytes = 180 << 20});
  REQUIRE(pool.ok());
  if (!(*pool)->sandboxed()) {
    WARN("skipped: a sanitizer's build has no limit of memory");
    return;
  }
  SandboxedReader reader(**pool);
  const auto input = reader.ReadInput(large, Generic());
  REQUIRE_FALSE(input.ok());
  CHECK(input.refused().reason == Refusal::kReaderNeededTooMuchMemory);
  CHECK(reader.ReadInput(small, Generic()).ok());
}

TEST_CASE("Every shared file, hostile ones too, is read in the sandbox as in this process") {
  const auto folder = SharedData("dicom");
  if (!folder) return;
  const std::vector<fs::path> files = AllFiles(*folder);
  const auto reader = Reader({.memory_bytes = 512 << 20});  // half of what they have otherwise
  const auto here = ReadInThisProcess();
  Agreement headers, inputs;
  const auto read = reader->ReadHeaders(files);
  const auto expected = here->ReadHeaders(files);
  for (std::size_t i = 0; i < files.size(); ++i) {
    Note(read[i].ok() ? expected[i].ok() && worker::Encode(*read[i]) == worker::Encode(*expected[i])
                      : !expected[i].ok() && Same(read[i].refused(), expected[i].refused()),
         files[i], &headers);
  }
  plan::Preprocessing preprocessing = Generic();
  preprocessing.frame = plan::FrameChoice::kMiddle;
  for (const fs::path& file : files) {
    const auto input = reader->ReadInput(file, preprocessing);
    const auto expected_input = here->ReadInput(file, preprocessing);
    Note(input.ok() ? expected_input.ok() && *input == *expected_input
                    : !expected_input.ok() && Same(input.refused(), expected_input.refused()),
         file, &inputs);
  }
  std::cout << "in the sandbox: " << headers.same << " headers and " << inputs.same
            << " inputs as in this process, of " << files.size() << " files\n";
  CHECK(headers.different == std::vector<std::string>{});
  CHECK(inputs.different == std::vector<std::string>{});
}

}  // namespace consilium::datasets
