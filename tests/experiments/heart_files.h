#pragma once

// Files as UCI's heart disease set has them, drawn: disease goes with age, and with ST depression.

#include <string>

#include "common/base/file.h"
#include "common/base/random.h"
#include "common/base/text.h"
#include "tests/catch.h"

namespace consilium::experiments {

// The last row lacks a value, and one in five has no cholesterol.
inline void WriteHeartFile(const fs::path& file, int rows, std::uint64_t seed) {
  SeededRandom random(seed, "heart");
  std::string text;
  for (int i = 0; i < rows; ++i) {
    const int disease = i % 2;
    const auto age = 40 + random.Below(20) + 15 * disease;
    const auto depression = random.Below(15) + 15 * disease;
    const std::string pressure = i + 1 == rows ? "?" : StrCat(110 + random.Below(50));
    StrAppend(&text, age, ",", random.Below(2), ",", 1 + random.Below(4), ",", pressure, ",",
              i % 5 == 0 ? 0 : 180 + random.Below(100), ",0,", random.Below(3), ",",
              120 + random.Below(60), ",", random.Below(2), ",", depression / 10, ".",
              depression % 10, ",?,?,?,", disease * (1 + i % 3), "\n");
  }
  REQUIRE(EnsureFolder(file.parent_path()).ok());
  REQUIRE(WriteFileDurably(file, text).ok());
}

inline void WriteHeartFiles(const fs::path& folder) {
  std::uint64_t seed = 0;
  for (const char* name : {"north", "south", "east"}) {
    WriteHeartFile(folder / StrCat("processed.", name, ".data"), 60, ++seed);
  }
}

}  // namespace consilium::experiments
