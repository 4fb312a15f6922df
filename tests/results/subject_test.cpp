#include "datasets/results/subject.h"

#include "common/base/random.h"
#include "datasets/pipeline/pipeline.h"
#include "datasets/worker/worker_pool.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/results/result_sources.h"

namespace consilium::datasets::results {
namespace {

Subject SubjectOf(const fs::path& path, const plan::Preprocessing& preprocessing) {
  auto file = dicom::ImageFile::Open(path);
  REQUIRE(file.ok());
  auto subject = ReadSubject(std::move(*file), preprocessing);
  REQUIRE(subject.ok());
  return std::move(*subject);
}

TEST_CASE("a worker says of an image what this process reads") {
  const auto pool = worker::WorkerPool::Create({.workers = 1});
  INFO(pool.status().message());
  REQUIRE(pool.ok());
  for (const std::string modality : {"DX", "CT"}) {
    TemporaryFolder folder;
    WriteSource(folder / "image.dcm", modality);
    const plan::Preprocessing preprocessing;
    const auto read = ReadSubject(**pool, folder / "image.dcm", preprocessing);
    INFO((read.ok() ? std::string() : read.refused().detail));
    REQUIRE(read.ok());
    const Subject here = SubjectOf(folder / "image.dcm", preprocessing);
    CHECK(Encode(*read) == Encode(here));
    CHECK(read->source.plane.has_value() == (modality == "CT"));
    CHECK(read->placement.rows == kSourceRows);
  }
}

TEST_CASE("a file that is no image is refused by the worker") {
  const auto pool = worker::WorkerPool::Create({.workers = 1});
  REQUIRE(pool.ok());
  TemporaryFolder folder;
  REQUIRE(WriteFileDurably(folder / "text.dcm", std::string_view("no image at all")).ok());
  const auto read = ReadSubject(**pool, folder / "text.dcm", plan::Preprocessing());
  REQUIRE(!read.ok());
  CHECK(read.refused().reason == Refusal::kNotDicom);
}

TEST_CASE("what a worker cannot honestly say is not believed") {
  TemporaryFolder folder;
  WriteSource(folder / "image.dcm", "CT");
  const plan::Preprocessing preprocessing;
  const Subject honest = SubjectOf(folder / "image.dcm", preprocessing);
  REQUIRE(DecodeSubject(Encode(honest), preprocessing));
  const auto believed = [&](const auto& change) {
    Subject subject = honest;
    change(subject);
    return DecodeSubject(Encode(subject), preprocessing).has_value();
  };
  CHECK(!believed([](Subject& s) { s.source.sop_instance_uid.clear(); }));
  CHECK(!believed([](Subject& s) { s.source.rows = 70000; }));
  CHECK(!believed([](Subject& s) { s.source.plane->spacing_mm[0] = 0; }));
  CHECK(!believed([](Subject& s) { s.source.patient_and_study[0].tag = 0x7fe00010; }));
  CHECK(!believed([](Subject& s) { s.input.pop_back(); }));
  CHECK(!believed([](Subject& s) { s.input[3] = 1.5f; }));
  CHECK(!believed([](Subject& s) { s.placement.columns_a_pixel = 0; }));
  CHECK(!believed([](Subject& s) { s.placement.frame = 1; }));
  CHECK(!believed([](Subject& s) { s.backdrop.rows = 100000; }));
  Bytes bytes = Encode(honest);
  bytes.pop_back();
  CHECK(!DecodeSubject(bytes, preprocessing));
  const std::uint64_t seed = 20261123;
  INFO("seed " << seed);
  SeededRandom random(seed, "messages");
  for (int i = 0; i < 300; ++i) {  // must not crash, whatever it is
    Bytes changed = Encode(honest);
    for (int j = 0; j < 4; ++j) {
      changed[random.Below(std::min<std::size_t>(changed.size(), 2000))] =
          static_cast<std::uint8_t>(random.Below(256));
    }
    const auto subject = DecodeSubject(changed, preprocessing);
    if (subject) CHECK(subject->placement.rows == subject->source.rows);
  }
}

}  // namespace
}  // namespace consilium::datasets::results
