#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

#include "absl/strings/str_split.h"
#include "datasets/volumes/series.h"
#include "tests/datasets/dicom_bytes.h"
#include "tests/datasets/synthetic/phantoms.h"

namespace consilium::datasets::synthetic {
namespace {

constexpr std::string_view kHospitals[] = {"north", "south", "east"};

// All files below a folder by their relative paths.
std::map<std::string, std::string> ContentOf(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const auto content = ReadFile(entry.path());
    REQUIRE(content.ok());
    files[fs::relative(entry.path(), folder).string()] = std::string(AsText(*content));
  }
  return files;
}

std::string Run(const std::string& command) {
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::array<char, 4096> buffer;
  while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) output += buffer.data();
  pclose(pipe);
  return output;
}

}  // namespace

TEST_CASE("The same seed gives the same bytes on any number of threads, another seed others") {
  NoProgress quiet;
  for (const std::string& kind : PhantomKindNames()) {
    const TemporaryFolder folder;
    PhantomHospital hospital = HospitalOf(kind);
    hospital.positive_fraction = 0.5;
    const auto synthesize = [&](const char* name, std::uint64_t seed, unsigned threads) {
      const auto report = SynthesizePhantoms(hospital, 2, seed, folder / name, threads, quiet);
      REQUIRE(report.ok());
      CHECK(report->patients == 2);
      CHECK(report->positives == 1);
      return ContentOf(folder / name);
    };
    const auto once = synthesize("once", 3, 1);
    INFO(kind);
    CHECK(once == synthesize("again", 3, 2));
    CHECK(once != synthesize("other", 4, 2));
  }
}

TEST_CASE("labels.csv says of each image whether the finding is to be seen") {
  NoProgress quiet;
  for (const std::string& kind : PhantomKindNames()) {
    const TemporaryFolder folder;
    PhantomHospital hospital = HospitalOf(kind);
    hospital.positive_fraction = 0.5;
    const auto report = SynthesizePhantoms(hospital, 4, 1, folder.path() / "h", 2, quiet);
    REQUIRE(report.ok());
    const auto table = ReadTextFile(folder.path() / "h" / "labels.csv");
    REQUIRE(table.ok());
    std::vector<std::string> lines = absl::StrSplit(*table, '\n', absl::SkipEmpty());
    INFO(kind);
    CHECK(lines.front() == "sop_instance_uid," + std::string(Finding(hospital.kind)));
    CHECK(lines.size() == report->images + 1);
    std::uint64_t positive = 0;
    for (const std::string& line : lines) positive += line.ends_with(",1");
    CHECK(positive > 0);
    CHECK(positive < report->images);
  }
}

TEST_CASE("Patients of a hospital differ in sex, age and weight, and mammograms are of women") {
  std::set<std::string> sexes;
  std::set<int> ages;
  for (std::uint32_t i = 0; i < 30; ++i) {
    const PhantomPatient patient = DrawPhantomPatient(HospitalOf("ct"), i, false, 1);
    sexes.insert(patient.sex);
    ages.insert(patient.age_years);
    CHECK(patient.age_years >= 28);
    CHECK(patient.age_years <= 88);
    CHECK(DrawPhantomPatient(HospitalOf("mg"), i, false, 1).sex == "F");
  }
  CHECK(sexes == std::set<std::string>{"F", "M"});
  CHECK(ages.size() > 10);
}

TEST_CASE("A reader of headers finds a phantom's sex, age, view, side and maker") {
  const TemporaryFolder folder;
  const auto patient = DrawPhantomPatient(HospitalOf("mg"), 0, true, kPhantomSeed);
  const auto images = Draw(HospitalOf("mg"), true);
  REQUIRE(images.size() == 4);
  std::set<std::string> views;
  for (const PhantomImage& image : images) {
    const auto file = WriteAndOpen(image.instance, folder / "image.dcm");
    const dicom::Header& header = file.header();
    CHECK(header.modality == "MG");
    CHECK(header.patient_sex == "F");
    CHECK(static_cast<int>(*header.patient_age_years) == patient.age_years);
    CHECK(header.manufacturer == "Aurora Phantoms");
    CHECK(header.body_part == "BREAST");
    views.insert(header.laterality + header.view_position);
  }
  CHECK(views == std::set<std::string>{"LCC", "LMLO", "RCC", "RMLO"});
}

TEST_CASE("CT, MR and PET phantoms are even volumes, tilted where the machine is") {
  NoProgress quiet;
  struct Expected {
    std::string_view kind, name;
    std::uint32_t slices;
    double tilt;
  };
  for (const Expected& e : {Expected{"ct", "north", 20, 0}, Expected{"ct", "south", 20, 12},
                            Expected{"mr", "east", 16, 0}, Expected{"pt", "north", 24, 0}}) {
    const TemporaryFolder folder;
    REQUIRE(
        SynthesizePhantoms(HospitalOf(e.kind, e.name), 1, 1, folder.path() / "h", 1, quiet).ok());
    const auto read = volumes::ReadFolder(folder.path() / "h", 1, quiet);
    REQUIRE(read.ok());
    REQUIRE(read->series.size() == 1);
    const auto stacks = volumes::FindStacks(read->series.front(), volumes::StackOptions{});
    INFO(e.kind << " of " << e.name);
    REQUIRE(stacks.ok());
    REQUIRE(stacks->size() == 1);
    CHECK(stacks->front().grid.size[2] == e.slices);
    CHECK(stacks->front().grid.TiltDegrees() == Approx(e.tilt).margin(0.01));
  }
}

TEST_CASE("PET and CT of one patient share a frame of reference on different grids") {
  NoProgress quiet;
  const TemporaryFolder folder;
  REQUIRE(SynthesizePhantoms(HospitalOf("pet-ct"), 1, 1, folder.path() / "h", 1, quiet).ok());
  const auto read = volumes::ReadFolder(folder.path() / "h", 1, quiet);
  REQUIRE(read.ok());
  REQUIRE(read->series.size() == 2);
  std::map<std::string, volumes::Stack> stacks;
  for (const auto& series : read->series) {
    auto found = volumes::FindStacks(series, volumes::StackOptions{});
    REQUIRE(found.ok());
    stacks[series.modality] = std::move(found->front());
  }
  CHECK(stacks["PT"].frame_of_reference == stacks["CT"].frame_of_reference);
  CHECK_FALSE(stacks["PT"].frame_of_reference.empty());
  CHECK(volumes::LargestDistance(stacks["PT"].grid, stacks["CT"].grid) > 1);
  const volumes::StackOptions options;
  const auto ct = volumes::LoadVolume(stacks["CT"], options, -1000);
  const auto pet = volumes::LoadVolume(stacks["PT"], options, 0);
  REQUIRE(ct.ok());
  REQUIRE(pet.ok());
  CHECK(volumes::ResampleOnto(*ct, *pet, volumes::Interpolation::kLinear, -1000).ok());
}

TEST_CASE("dciodvfy finds no error in any machine's phantoms") {
  if (std::system("command -v dciodvfy >/dev/null 2>&1") != 0) {
    WARN("dciodvfy is not installed (Debian's dicom3tools): nothing is checked");
    return;
  }
  const TemporaryFolder folder;
  for (const std::string& kind : PhantomKindNames()) {
    for (const std::string_view name : kHospitals) {
      std::set<std::string> seen;
      for (const PhantomImage& image : Draw(HospitalOf(kind, name), true)) {
        if (!seen.insert(image.series).second) continue;  // one of each series
        const fs::path path = folder / "image.dcm";
        REQUIRE(dicom::WriteFile(path, image.instance).ok());
        const std::string said = Run("dciodvfy -new '" + path.string() + "' 2>&1");
        INFO(kind << " of " << name << ", " << image.series << ":\n" << said);
        CHECK(said.find("Error") == std::string::npos);
      }
    }
  }
}

TEST_CASE("A writer of colour, loops, tables and padding is read back as it was written") {
  const TemporaryFolder folder;
  auto loop = Draw(HospitalOf("us"), false).front().instance;
  auto file = WriteAndOpen(loop, folder / "loop.dcm");
  CHECK(file.frame_count() == loop.frames);
  const auto rgb = file.ReadRgb(3);
  REQUIRE(rgb.ok());
  const std::size_t frame = rgb->values.size();
  const auto first = loop.values.begin() + static_cast<std::ptrdiff_t>(3 * frame);
  CHECK(std::equal(rgb->values.begin(), rgb->values.end(), first));
  auto mammogram = Draw(HospitalOf("mg", "east"), false).front().instance;
  auto grey = WriteAndOpen(mammogram, folder / "mg.dcm");
  const auto image = grey.ReadModality(0);
  REQUIRE(image.ok());
  REQUIRE(image->voi_lut);
  CHECK(image->voi_lut->brightness.size() == 4096);
  CHECK(image->voi_lut->brightness[1640] == Approx(0.5).margin(0.01));
  REQUIRE_FALSE(image->padding.empty());
  CHECK(image->padding.front());
  CHECK_FALSE(image->padding[image->pixels.size() / 2]);
  CHECK(grey.data_set().Text(dicom::Tag(0x0020, 0x0020)) == "A");
}

TEST_CASE("What an image class cannot hold is not written") {
  const TemporaryFolder folder;
  const auto code = [&](const dicom::NewInstance& instance) {
    return dicom::WriteFile(folder / "image.dcm", instance).code();
  };
  auto loop = Draw(HospitalOf("us"), false).front().instance;
  loop.modality = "CT";
  CHECK(code(loop) == absl::StatusCode::kInvalidArgument);
  auto deep = Draw(HospitalOf("op"), false).front().instance;
  deep.bits_stored = 12;
  CHECK(code(deep) == absl::StatusCode::kInvalidArgument);
  auto nonsense = Draw(HospitalOf("op"), false).front().instance;
  nonsense.attributes.push_back({"NoSuchAttribute", "1"});
  CHECK(code(nonsense) == absl::StatusCode::kInvalidArgument);
}

}  // namespace consilium::datasets::synthetic
