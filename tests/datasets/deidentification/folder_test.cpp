#include "datasets/deidentification/folder.h"

#include <filesystem>

#include "tests/common/temporary_folder.h"
#include "tests/datasets/deidentification/planted.h"

namespace consilium::datasets::deidentification {
namespace {

// Every file holds the one instance; the first by name is damaged, the others are cleaned to their
// own names.
class OneInstance final : public InstanceCleaner {
 public:
  OrRefused<ExaminedInstance> Examine(const fs::path&) override {
    ExaminedInstance examined;
    examined.names.patient = "P-1";
    examined.names.study_instance_uid = "2.25.1";
    examined.names.series_instance_uid = "2.25.2";
    examined.names.sop_instance_uid = "2.25.3";
    return examined;
  }
  OrRefused<Bytes> Clean(const fs::path& file, std::span<const std::uint8_t>) override {
    const std::string name = file.filename();
    if (name == "a.dcm") return Refused{Refusal::kDamaged, ""};
    return Bytes(name.begin(), name.end());
  }
  OrRefused<std::vector<Bytes>> FindFaces(const std::vector<fs::path>&) override {
    return std::vector<Bytes>{};
  }
};

TEST_CASE("of several files of one instance the first that can be read is written, at any hurry") {
  for (int attempt = 0; attempt < 5; ++attempt) {
    const TemporaryFolder folder;
    const fs::path in = folder / "in", out = folder / "out";
    REQUIRE(EnsureFolder(in).ok());
    for (const char* name : {"d.dcm", "a.dcm", "c.dcm", "b.dcm"}) {
      REQUIRE(WriteFileDurably(in / name, "a file").ok());
    }
    NoProgress progress;
    OneInstance cleaner;
    const Deidentifier deidentifier = MakeDeidentifier();
    const auto report = DeidentifyFolder(deidentifier, cleaner, in, out, 4, progress);
    REQUIRE(report.ok());
    CHECK(report->written == 1);
    CHECK(report->already_there == 2);
    CHECK(report->quarantined.at(Refusal::kDamaged) == 1);
    CHECK(ReadTextFile(out / "P-1/2.25.1/2.25.2/2.25.3.dcm").value() == "b.dcm");
    const auto again = DeidentifyFolder(deidentifier, cleaner, in, out, 4, progress);
    REQUIRE(again.ok());
    CHECK(again->written == 0);
    CHECK(again->already_there == 4);
  }
}

}  // namespace
}  // namespace consilium::datasets::deidentification
