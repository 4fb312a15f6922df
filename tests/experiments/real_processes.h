#pragma once

// What tests of real processes share.

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "tests/catch.h"

namespace consilium::experiments {

// The build's bin folder.
inline fs::path Programs() {
  const char* programs = std::getenv("CONSILIUM_BIN");
  REQUIRE(programs != nullptr);
  return programs;
}

// Catch2 prints it where it fails.
inline void RequireOk(const absl::Status& status) {
  INFO(status.ToString());
  REQUIRE(status.ok());
}

template <class Condition>
bool Eventually(const Condition& condition, Duration limit = std::chrono::seconds(60)) {
  const auto until = std::chrono::steady_clock::now() + limit;
  while (std::chrono::steady_clock::now() < until) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

// How many processes name this folder on their command line.
inline int ProcessesNaming(const fs::path& folder) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline");
    const std::string line((std::istreambuf_iterator<char>(file)),
                           std::istreambuf_iterator<char>());
    count += line.find(folder.string()) != std::string::npos;
  }
  return count;
}

}  // namespace consilium::experiments
