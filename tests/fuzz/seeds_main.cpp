// Writes the first corpora: make_fuzz_seeds FOLDER makes FOLDER/TARGET/seed-NAME for each target
// out of valid objects. The same in every run, but for the keys in certificates and SQLite's own
// bytes.

#include <cstdio>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/seeds.h"

namespace consilium::fuzz {

static fs::path corpora;

void Seed(std::string_view target, std::string_view name, ByteView input) {
  const fs::path folder = corpora / target;
  FUZZ_EXPECT(EnsureFolder(folder).ok());
  FUZZ_EXPECT(WriteFileDurably(folder / StrCat("seed-", name), input, 0644).ok());
}

}  // namespace consilium::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_fuzz_seeds FOLDER\n");
    return 2;
  }
  using namespace consilium::fuzz;
  corpora = argv[1];
  SeedTexts();
  SeedFiles();
  SeedImages();
  SeedDicom();
  SeedDocuments();
  SeedMessages();
  return 0;
}
