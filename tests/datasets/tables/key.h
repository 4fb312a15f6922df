#pragma once

#include "datasets/deidentification/pseudonymiser.h"
#include "tests/catch.h"

namespace consilium::datasets::tables {

// With a fixed key, so that the split is the same in every run.
inline deidentification::Pseudonymiser Pseudonyms() {
  auto pseudonyms = deidentification::Pseudonymiser::Create(crypto::Secret::CopyOf(Bytes(32, 7)));
  REQUIRE(pseudonyms.ok());
  return *std::move(pseudonyms);
}

}  // namespace consilium::datasets::tables
