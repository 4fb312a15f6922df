#pragma once

// What a quickstart was asked for and how far it came, in OUT/checkpoint.json, so that the same
// command goes on after it was cut off. The file is replaced whole and durably; what it says is
// there is there.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "experiments/results.h"

namespace consilium::experiments {

// What decides the result.
struct Request {
  std::string plan_toml;
  std::vector<std::string> data;  // folders; empty: drawn images, of
  std::uint32_t patients = 0;     // each hospital
  std::uint64_t images_seed = 0;
};

struct Checkpoint {
  Request request;
  Time begun{};
  std::uint32_t resumed = 0;  // times
  std::vector<Part> parts;    // that are done
  std::string doing;          // the part that was begun last
  std::string run;            // empty: not submitted, as far as we know
  bool finished = false;      // results.json and the report are there
  bool baselines = false;     // ... with models to compare with
  bool examples = false;      // ... with images of --data

  bool Done(std::string_view part) const;
};

// None when the folder has none. kFailedPrecondition: it was written by another version.
absl::StatusOr<std::optional<Checkpoint>> LoadCheckpoint(const fs::path& out);
absl::Status SaveCheckpoint(const fs::path& out, const Checkpoint& checkpoint);

// What differs, "patients: 360 there, 48 now", a line each; empty: nothing.
std::vector<std::string> Differences(const Request& there, const Request& now);

}  // namespace consilium::experiments
