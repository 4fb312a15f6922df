#pragma once

// Databases of ours as bytes: opened, migrated and read to the end, or refused.

#include "tests/fuzz/fuzz.h"

namespace consilium::fuzz {

// SQLite's page cache and look-aside memory, and one row, which SQLite bounds by the file's pages.
constexpr std::size_t JustifiedByDatabase(std::size_t input_bytes) {
  return JustifiedBy(input_bytes) + (1 << 20);
}

// Reads all of a list and drops it.
template <class List>
void ReadThrough(const List& list) {
  if (!list.ok()) FUZZ_EXPECT(!list.status().message().empty());
}

}  // namespace consilium::fuzz
