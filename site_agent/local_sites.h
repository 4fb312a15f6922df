#pragma once

// What train, evaluate and drift begin with: a plan's file, and the folders of images and tables.

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/progress.h"
#include "common/plan/plan.h"
#include "site_agent/learner.h"

namespace consilium::site_agent {

absl::StatusOr<plan::Plan> ReadPlan(const fs::path& file);

// One folder shares the site's own catalog; several get one each, with a key of its own: to split
// the patients of a hospital as it does itself, copy its pseudonym.key to STATE/pooled/N first.
// Prints each folder's report to standard error. The state folder is locked.
absl::StatusOr<std::vector<std::unique_ptr<LocalData>>> IndexAll(const std::vector<fs::path>& data,
                                                                 const fs::path& state, int threads,
                                                                 Progress& progress);

}  // namespace consilium::site_agent
