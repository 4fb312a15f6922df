#pragma once

// Databases of ours as bytes: opened, migrated and read to the end, or refused.

#include "tests/fuzz/fuzz.h"

namespace consilium::fuzz {

// SQLite begins its page cache with room for 20 pages, of 64 KiB at most as the header says, and
// bounds a row by the pages that the file has.
constexpr std::size_t JustifiedByDatabase(std::size_t input_bytes) {
  return JustifiedBy(input_bytes) + (2 << 20);
}

// Reads all of a list and drops it.
template <class List>
void ReadThrough(const List& list) {
  if (!list.ok()) FUZZ_EXPECT(!list.status().message().empty());
}

}  // namespace consilium::fuzz
