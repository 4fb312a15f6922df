// From NIfTI volumes through import, catalog and caches to the examples of a plan of volumes.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "common/base/random.h"
#include "common/base/text.h"
#include "datasets/import.h"
#include "datasets/site_data.h"
#include "datasets/volumes/input.h"
#include "datasets/worker/sandboxed_reader.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"

namespace consilium::datasets {
namespace {

constexpr std::uint32_t kColumns = 11, kRows = 9, kSlices = 10;  // of the file: x, y, z

// A NIfTI-1 file of floats on a straight grid of 2 x 3 x 4 mm.
void WriteNifti(const fs::path& path, const std::vector<float>& voxels) {
  Bytes file(352, 0);
  const auto put16 = [&](std::size_t at, std::int16_t v) { std::memcpy(&file[at], &v, 2); };
  const auto put32 = [&](std::size_t at, std::int32_t v) { std::memcpy(&file[at], &v, 4); };
  const auto put = [&](std::size_t at, float v) { std::memcpy(&file[at], &v, 4); };
  put32(0, 348);
  const std::int16_t sizes[] = {3, kColumns, kRows, kSlices, 1, 1, 1, 1};
  for (std::size_t i = 0; i < 8; ++i) put16(40 + 2 * i, sizes[i]);
  put16(70, 16);  // float32
  put16(72, 32);
  const float spacing[] = {1, 2, 3, 4};
  for (std::size_t i = 0; i < 4; ++i) put(76 + 4 * i, spacing[i]);
  put(108, 352);
  put(112, 1);
  put16(254, 1);  // sform: to the right, the front and the head
  put(280, 2);
  put(300, 3);
  put(320, 4);
  std::memcpy(&file[344], "n+1", 4);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(voxels.data());
  file.insert(file.end(), bytes, bytes + 4 * voxels.size());
  REQUIRE(WriteFileDurably(path, file).ok());
}

std::size_t At(std::size_t x, std::size_t y, std::size_t z) {
  return (z * kRows + y) * kColumns + x;
}

std::vector<float> Noise(double offset, std::uint64_t seed = 1) {
  SeededRandom random(seed, "volume");
  std::vector<float> voxels;
  for (std::size_t i = 0; i < At(0, 0, kSlices); ++i) {
    voxels.push_back(static_cast<float>(offset + random.Below(1000)));
  }
  return voxels;
}

// Two parts of known places, and nothing elsewhere.
std::vector<float> Parts() {
  std::vector<float> mask(At(0, 0, kSlices), 0.0f);
  for (std::size_t x = 2; x < 5; ++x) mask[At(x, 3, 4)] = 1;
  for (std::size_t y = 3; y < 7; ++y) mask[At(8, y, 6)] = 2;
  return mask;
}

ImportOptions Form(const fs::path& folder) {
  ImportOptions options;
  options.from = folder / "nifti";
  options.table = folder / "table.csv";
  options.image_column = "image";
  options.mask_column = "mask";
  options.patient_column = "patient";
  options.modality = "MR";
  options.volumes = true;
  options.segments = {"anterior", "posterior"};
  options.out = folder / "out";
  return options;
}

plan::Target Parted() {
  plan::Target target;
  target.task = Task::kSegmentation;
  target.name = "hippocampus";
  target.classes = {"posterior", "anterior"};  // in another order than the file's
  return target;
}

plan::Preprocessing Volumes() {
  plan::Preprocessing p;
  p.image_size = 16;
  p.slices = 8;
  p.intensity = plan::Intensity::kRange;
  p.standardize = false;
  return p;
}

struct Site {
  explicit Site(std::string_view table) {
    REQUIRE(EnsureFolder(folder / "nifti").ok());
    WriteNifti(folder / "nifti/a.nii", Noise(0));
    WriteNifti(folder / "nifti/b.nii", Noise(1000));
    WriteNifti(folder / "nifti/parts.nii", Parts());
    REQUIRE(WriteFileDurably(folder / "table.csv", table).ok());
  }
  ImportReport Import(const ImportOptions& options) {
    NoProgress progress;
    const auto report = ImportImages(options, progress);
    INFO(report.status());
    REQUIRE(report.ok());
    return *report;
  }
  Catalog Index() {
    NoProgress progress;
    auto catalog = Catalog::Open(folder / "catalog.db");
    REQUIRE(catalog.ok());
    REQUIRE(catalog->Index(folder / "out", {}, *ReadInThisProcess(), progress).ok());
    return *std::move(catalog);
  }
  SiteData Open(Catalog& catalog, const plan::Preprocessing& preprocessing,
                std::shared_ptr<ImageReader> reader = ReadInThisProcess()) {
    NoProgress progress;
    SiteDataOptions options;
    options.cache_folder = folder / "cache";
    options.reader = std::move(reader);
    auto data = SiteData::Open(catalog, Parted(), {}, preprocessing, options, progress);
    INFO(data.status());
    REQUIRE(data.ok());
    return *std::move(data);
  }
  TemporaryFolder folder;
};

constexpr char kTwo[] = "image,mask,patient\na.nii,parts.nii,p\nb.nii,parts.nii,q\n";

TEST_CASE("a volume's example is what is made by hand of its slices, and its masks lie on it") {
  Site site(kTwo);
  CHECK(site.Import(Form(site.folder.path())).masks == 2);
  Catalog catalog = site.Index();
  const plan::Preprocessing preprocessing = Volumes();
  const bool sandboxed = GENERATE(false, true);
  std::shared_ptr<ImageReader> reader = ReadInThisProcess();
  if (sandboxed) reader = SandboxedReader::Create({.workers = 2}).value();
  const SiteData data = site.Open(catalog, preprocessing, reader);
  const auto examples = data.AllExamples();
  REQUIRE(examples->size() == 2);
  CHECK(data.summary().total.patients == 2);
  CHECK(data.summary().total.positives == 2);
  REQUIRE(examples->input_shape() == InputShape{1, 8, 16, 16, 0});
  REQUIRE(examples->target_elements() == 8 * 16 * 16);
  std::vector<float> input(8 * 16 * 16), other(input), mask(input);
  examples->Get(0, input);
  examples->Get(1, other);
  examples->GetTarget(0, mask);
  CHECK(examples->spacing_mm(0) == Approx(std::sqrt(6.0)));
  CHECK(examples->slice_spacing_mm(0) == Approx(4));
  // The scales of the two differ by 1000, their inputs do not.
  for (std::size_t i = 0; i < input.size(); ++i) CHECK(std::abs(input[i] - other[i]) < 1e-4);

  // By hand: the file's x and y run to the right and the front, those of axial slices to the left
  // and the back; 10 slices are cut to 8, 9 rows and 11 columns padded to 16.
  const std::vector<float> voxels = Noise(0), parts = Parts();
  const auto [low, high] = std::minmax_element(voxels.begin(), voxels.end());
  std::size_t wrong = 0;
  for (std::size_t k = 0; k < 8; ++k) {
    for (std::size_t j = 0; j < 16; ++j) {
      for (std::size_t i = 0; i < 16; ++i) {
        const std::int64_t column = static_cast<std::int64_t>(i) - 3, row = std::int64_t(j) - 4;
        float expected = 0, structure = 0;
        if (column >= 0 && column < kColumns && row >= 0 && row < kRows) {
          const std::size_t from = At(kColumns - 1 - column, kRows - 1 - row, k + 1);
          expected = (voxels[from] - *low) / (*high - *low);
          if (parts[from] > 0) structure = 3 - parts[from];
        }
        const std::size_t at = (k * 16 + j) * 16 + i;
        wrong += std::abs(input[at] - expected) > 1e-4 || mask[at] != structure;
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("volumes come resampled to the plan's spacing, about their middle") {
  Site site(kTwo);
  site.Import(Form(site.folder.path()));
  Catalog catalog = site.Index();
  plan::Preprocessing preprocessing = Volumes();
  preprocessing.spacing_mm = 2;
  preprocessing.slice_spacing_mm = 8;
  const auto examples = site.Open(catalog, preprocessing).AllExamples();
  CHECK(examples->spacing_mm(0) == 2);
  CHECK(examples->slice_spacing_mm(0) == 8);
  std::vector<float> input(8 * 16 * 16), mask(input);
  examples->Get(0, input);
  examples->GetTarget(0, mask);
  // 10 slices of 4 mm are 5 of 8 mm: the first and the last of 8 slices are beside the volume.
  const auto slice = std::span(input).first(256), last = std::span(input).last(256);
  CHECK(std::ranges::all_of(slice, [](float v) { return v == 0; }));
  CHECK(std::ranges::all_of(last, [](float v) { return v == 0; }));
  CHECK(std::ranges::any_of(std::span(input).subspan(3 * 256, 256), [](float v) { return v > 0; }));
}

TEST_CASE("slices can be cut along another axis, and masks follow") {
  Site site(kTwo);
  ImportOptions options = Form(site.folder.path());
  options.slices = SlicePlane::kCoronal;
  site.Import(options);
  Catalog catalog = site.Index();
  const auto examples = site.Open(catalog, Volumes()).AllExamples();
  REQUIRE(examples->size() == 2);
  CHECK(examples->slice_spacing_mm(0) == Approx(3));
  std::vector<float> mask(8 * 16 * 16);
  examples->GetTarget(0, mask);
  CHECK(std::ranges::count(mask, 2.0f) == 3);  // the anterior part, second of the plan's
  CHECK(std::ranges::count(mask, 1.0f) == 4);
}

TEST_CASE("a series with a missing slice is no example, and the others are") {
  Site site(kTwo);
  site.Import(Form(site.folder.path()));
  REQUIRE(fs::remove(site.folder / "out/p/1/0005.dcm"));
  Catalog catalog = site.Index();
  const SiteData data = site.Open(catalog, Volumes());
  CHECK(data.AllExamples()->size() == 1);
  std::uint64_t refused = 0;
  for (const auto& [reason, count] : data.summary().refusals) {
    refused += reason == Refusal::kMissingSlices ? count : 0;
  }
  CHECK(refused == 1);
  // No file is to blame: flat plans of the same images go on.
  plan::Preprocessing flat = Volumes();
  flat.slices = 0;
  CHECK(site.Open(catalog, flat).AllExamples()->size() > 1);
}

TEST_CASE("volumes without their file are left out, without their mask imported without one") {
  Site site("image,mask,patient\na.nii,gone.nii,p\nnone.nii,parts.nii,q\nb.nii,parts.nii,r\n");
  const ImportReport report = site.Import(Form(site.folder.path()));
  CHECK(report.images == 2);
  CHECK(report.masks == 1);
  CHECK(report.without_image == 1);
  CHECK(report.without_mask == 1);
  CHECK(!Exists(site.folder / "out/labels.csv"));
  Catalog catalog = site.Index();
  CHECK(site.Open(catalog, Volumes()).AllExamples()->size() == 1);
}

TEST_CASE("dciodvfy finds no error in an imported volume's slices and masks") {
  if (std::system("command -v dciodvfy >/dev/null 2>&1") != 0) {
    WARN("dciodvfy is not installed (Debian's dicom3tools): nothing is checked");
    return;
  }
  Site site(kTwo);
  site.Import(Form(site.folder.path()));
  for (const char* name : {"out/p/1/0001.dcm", "out/p/1-mask.dcm"}) {
    const std::string said = (site.folder / "said.txt").string();
    const int code = std::system(
        StrCat("dciodvfy '", (site.folder / name).string(), "' >'", said, "' 2>&1").c_str());
    const std::string text = ReadTextFile(said, 1 << 20).value();
    INFO(name << ":\n" << text);
    CHECK(code == 0);
    CHECK(text.find("Error - ") == std::string::npos);
  }
}

TEST_CASE("the input of a sheared volume is straight, about the same middle") {
  volumes::Grid grid;
  grid.size = {20, 30, 10};
  grid.spacing_mm = {1, 1, 5};
  grid.origin = {7, -3, 2};
  const double angle = 0.3;
  grid.directions[2] = {0, std::sin(angle), std::cos(angle)};
  plan::Preprocessing preprocessing = Volumes();
  preprocessing.slices = 16;
  const volumes::Grid input = volumes::InputGrid(grid, preprocessing);
  CHECK(input.IsOrthogonal());
  CHECK(input.spacing_mm[2] == Approx(5 * std::cos(angle)));
  const volumes::Vec3 a = grid.ToPatient({9.5, 14.5, 4.5}), b = input.ToPatient({7.5, 7.5, 7.5});
  for (std::size_t i = 0; i < 3; ++i) CHECK(a[i] == Approx(b[i]).margin(1e-9));
}

}  // namespace
}  // namespace consilium::datasets
