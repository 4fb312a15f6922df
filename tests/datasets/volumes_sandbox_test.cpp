// Series read in a sandboxed worker are those read in this process.

#include <algorithm>
#include <cstring>
#include <iostream>

#include "common/base/progress.h"
#include "datasets/volumes/instance_message.h"
#include "datasets/volumes/sandboxed_instances.h"
#include "tests/catch.h"
#include "tests/datasets/dicom_bytes.h"
#include "tests/datasets/shared_data.h"
#include "tests/datasets/volumes_files.h"

namespace consilium::datasets::volumes {
namespace {

std::unique_ptr<worker::WorkerPool> Pool() {
  auto pool = worker::WorkerPool::Create({.workers = 2});
  INFO(pool.status().ToString());
  REQUIRE(pool.ok());
  return *std::move(pool);
}

FolderOfSeries Read(const fs::path& folder, InstanceReader& reader) {
  NoProgress progress;
  auto read = ReadFolder(folder, reader, 2, progress);
  REQUIRE(read.ok());
  return *std::move(read);
}

// Bit by bit, for a value may be no number.
bool SameValues(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

struct Compared {
  int slices = 0, refused = 0, different = 0;
};

void Compare(const Series& sandboxed, const Series& here, Compared* compared) {
  CHECK(Encode(sandboxed) == Encode(here));
  REQUIRE(sandboxed.slices.size() == here.slices.size());
  for (std::size_t i = 0; i < here.slices.size(); ++i) {
    const auto expected = here.slices[i].load(), got = sandboxed.slices[i].load();
    ++(expected.ok() ? compared->slices : compared->refused);
    const bool same = expected.ok()
                          ? got.ok() && SameValues(*got, *expected)
                          : !got.ok() && got.refused().reason == expected.refused().reason;
    compared->different += same ? 0 : 1;
  }
}

void CompareFolder(const fs::path& folder, Compared* compared) {
  const auto pool = Pool();
  SandboxedInstances reader(*pool);
  const FolderOfSeries sandboxed = Read(folder, reader);
  const FolderOfSeries here = Read(folder, *ReadInstancesInThisProcess());
  CHECK(sandboxed.refused == here.refused);
  REQUIRE(sandboxed.series.size() == here.series.size());
  for (std::size_t i = 0; i < here.series.size(); ++i) {
    CHECK(sandboxed.series[i].first_file == here.series[i].first_file);
    Compare(sandboxed.series[i], here.series[i], compared);
  }
}

}  // namespace

TEST_CASE("A series and an enhanced image are read in the sandbox as in this process") {
  const TemporaryFolder folder;
  fs::create_directory(folder / "series");
  WriteSeries(folder / "series", AsymmetricGrid(), false);
  WriteEnhanced(folder / "enhanced.dcm", AsymmetricGrid(), {2, 0, 1, 3}, {0, 0, 0, 0});
  WriteSegmentation(folder / "target.dcm", AsymmetricGrid(), "BINARY", {}, 1);
  REQUIRE(WriteFileDurably(folder / "text.txt", std::string_view("no image")).ok());
  Compared compared;
  CompareFolder(folder.path(), &compared);
  CHECK(compared.slices > 4);
  CHECK(compared.different == 0);
}

TEST_CASE("The frames of one file load in whatever order they are asked for") {
  const TemporaryFolder folder;
  WriteEnhanced(folder / "enhanced.dcm", AsymmetricGrid(), {0, 1, 2, 3}, {0, 0, 0, 0});
  const auto pool = Pool();
  SandboxedInstances reader(*pool);
  const fs::path path = folder / "enhanced.dcm";
  const auto sandboxed = std::move(reader.ReadInstances({&path, 1}).front());
  const auto here = ReadInstance(path);
  REQUIRE(sandboxed.ok());
  REQUIRE(here.ok());
  for (const std::size_t frame : {3u, 0u, 2u, 1u, 3u}) {
    CHECK(*sandboxed->slices[frame].load() == *here->slices[frame].load());
  }
}

TEST_CASE("All shared series are read in the sandbox as in this process") {
  const auto folder = SharedData("dicom");
  if (!folder) return;
  Compared compared;
  CompareFolder(*folder, &compared);
  std::cout << "in the sandbox: " << compared.slices << " slices with values, " << compared.refused
            << " refused, " << compared.different << " other than in this process\n";
  CHECK(compared.slices > 100);
  CHECK(compared.different == 0);
}

TEST_CASE("An instance's message that is cut short is none") {
  const TemporaryFolder folder;
  WriteEnhanced(folder / "enhanced.dcm", AsymmetricGrid(), {0, 1}, {0, 0});
  const auto instance = ReadInstance(folder / "enhanced.dcm");
  REQUIRE(instance.ok());
  const Bytes message = Encode(*instance);
  REQUIRE(DecodeInstance(message));
  for (std::size_t size = 0; size < message.size(); size += 7) {
    CHECK_FALSE(DecodeInstance(ByteView(message).first(size)));
  }
}

}  // namespace consilium::datasets::volumes
