#include "datasets/catalog.h"

#include "datasets/index_report.h"
#include "tests/fuzz/catalog_key.h"
#include "tests/fuzz/database_files.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  using fuzz::ReadThrough;
  const fs::path file = fuzz::Scratch("catalog.db", fuzz::Input(data, size));
  static const bool key_is_there = (fuzz::PutCatalogKey(file), true);
  FUZZ_EXPECT(key_is_there);
  const fuzz::AllocationLimit limit(fuzz::JustifiedByDatabase(size));
  auto catalog = datasets::Catalog::Open(file);
  if (catalog.ok()) {
    ReadThrough(catalog->Folder());
    if (const auto report = catalog->Report(); report.ok()) {
      FUZZ_EXPECT(!datasets::ToText(*report, true).empty() && !datasets::ToJson(*report).empty());
    }
    ReadThrough(catalog->Targets());
    plan::Target target;
    target.name = "opacity";
    ReadThrough(catalog->Refusals(target, {.modalities = {"DX"}}, {}));
    const auto images = catalog->Images(target, {}, {});
    if (images.ok()) {
      for (const datasets::CatalogImage& image : *images) {
        FUZZ_EXPECT(image.target == 0 || image.target == 1);
      }
    }
    ReadThrough(catalog->Descriptions());
    catalog->SetRefused(1, {datasets::Refusal::kDamaged, ""}).IgnoreError();
  }
  fs::remove(fs::path(file).concat("-journal"));
  return 0;
}
