#pragma once

// The key that the catalogs of the corpus were made with: with another they would be erased.

#include "common/crypto/keys.h"
#include "datasets/catalog.h"
#include "tests/fuzz/fuzz.h"

namespace consilium::fuzz {

// Puts it beside the catalog.
inline void PutCatalogKey(const fs::path& catalog) {
  constexpr std::size_t kKeyBytes = 32;
  FUZZ_EXPECT(crypto::SavePrivateKey(datasets::Catalog::KeyFile(catalog), "pseudonym",
                                     crypto::Secret(kKeyBytes))
                  .ok());
}

}  // namespace consilium::fuzz
