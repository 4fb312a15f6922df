#include "datasets/description/description.h"

#include <algorithm>
#include <fstream>

#include "common/metrics/shown_description.h"
#include "common/report/description_page.h"
#include "datasets/synthetic/hospital.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"

namespace consilium::datasets::description {
namespace {

// A hospital of phantoms and its catalog.
struct Site {
  explicit Site(std::uint32_t patients) {
    synthetic::Hospital hospital = synthetic::Preset("north").value();
    NoProgress quiet;
    REQUIRE(synthetic::Synthesize(hospital, patients, 7, folder / "images", 1, quiet).ok());
    std::ofstream(folder / "images" / "notes.txt") << "no image\n";
  }
  Catalog Indexed() {
    auto catalog = Catalog::Open(folder / "catalog.db");
    REQUIRE(catalog.ok());
    NoProgress quiet;
    REQUIRE(catalog->Index(folder / "images", {}, *reader, quiet).ok());
    return *std::move(catalog);
  }
  metrics::Description Described(const Options& options) {
    Catalog catalog = Indexed();
    NoProgress quiet;
    auto description = Describe(catalog, *reader, options, quiet);
    REQUIRE(description.ok());
    return *std::move(description);
  }
  TemporaryFolder folder;
  std::unique_ptr<ImageReader> reader = ReadInThisProcess();
};

const metrics::ShownTable& TableOf(const metrics::ShownDescription& shown, std::string_view name) {
  const auto found = std::find_if(shown.tables.begin(), shown.tables.end(),
                                  [&](const auto& table) { return table.name == name; });
  REQUIRE(found != shown.tables.end());
  return *found;
}

std::uint64_t ImagesOf(const metrics::ShownTable& table, std::string_view row) {
  for (const auto& one : table.rows) {
    if (one.name == row) return one.counts.images;
  }
  FAIL("no row " << row);
  return 0;
}

TEST_CASE("A catalog is described with its labels, its refused files and its intensities") {
  Site site(30);
  const metrics::Description d = site.Described({.target = "opacity", .images_per_modality = 12});
  CHECK(metrics::Check(d, true).ok());
  const auto shown = metrics::ShowAll(d, "opacity");
  CHECK(shown.total.counts.patients == 30);
  const std::uint64_t images = shown.total.counts.images;
  CHECK(images >= 30);
  const auto& label = TableOf(shown, "label");
  CHECK(ImagesOf(label, "positive") > 0);
  CHECK(ImagesOf(label, "negative") > 0);
  CHECK(ImagesOf(label, "positive") + ImagesOf(label, "negative") == images);
  CHECK(ImagesOf(TableOf(shown, "modality"), "DX") == images);
  const auto refused = std::find_if(shown.refused.rows.begin(), shown.refused.rows.end(),
                                    [](const auto& row) { return row.name == "not-dicom"; });
  CHECK(refused->counts.images == 1);
  REQUIRE(shown.histograms.size() == 1);
  CHECK(shown.histograms[0].modality == "DX");
  CHECK(shown.histograms[0].images == 12);
  const auto& shares = shown.histograms[0].shares;
  CHECK(std::count_if(shares.begin(), shares.end(), [](double s) { return s > 0; }) > 10);
}

TEST_CASE("The same catalog gives the same description") {
  Site site(12);
  const Options options{.target = "opacity", .images_per_modality = 5};
  CHECK(site.Described(options) == site.Described(options));
}

TEST_CASE("A label that a site does not have is missing at all of its images") {
  Site site(10);
  const metrics::Description d = site.Described({.target = "fracture", .images_per_modality = 0});
  CHECK(metrics::Check(d, true).ok());
  const auto shown = metrics::ShowAll(d, "fracture");
  CHECK(ImagesOf(TableOf(shown, "label"), "not said") == shown.total.counts.images);
  CHECK(shown.histograms.empty());
}

TEST_CASE("Nobody's pseudonym, path or UID is in what is shown of a site") {
  Site site(10);
  Catalog catalog = site.Indexed();
  const auto images = catalog.Descriptions();
  REQUIRE(images.ok());
  const auto shown = metrics::ShowAll(site.Described({.target = "opacity"}), "opacity");
  const std::string all = metrics::ToJson(shown) + metrics::ToText(shown, true) +
                          report::DescriptionPage(shown, "What this site's images are", {});
  for (const ImageDescription& image : *images) {
    CHECK(all.find(image.patient) == std::string::npos);
    CHECK(all.find(image.path) == std::string::npos);
  }
}

TEST_CASE("An interrupted description says so") {
  class Interrupted final : public Progress {
    void Report(std::string_view, std::uint64_t, std::uint64_t, std::string_view) override {}
    bool Cancelled() const override { return true; }
  };
  Site site(6);
  Catalog catalog = site.Indexed();
  Interrupted progress;
  CHECK(absl::IsCancelled(Describe(catalog, *site.reader, {}, progress).status()));
}

TEST_CASE("Every reason that indexing refuses a file for has its row, or is other") {
  // A reason that is renamed would silently be counted as other.
  for (const std::string_view row : metrics::RefusalRows()) {
    if (row == "other") continue;
    bool known = false;
    for (std::int64_t number = 1; RefusalNumbered(number); ++number) {
      known |= Name(*RefusalNumbered(number)) == row;
    }
    CAPTURE(row);
    CHECK(known);
  }
}

}  // namespace
}  // namespace consilium::datasets::description
