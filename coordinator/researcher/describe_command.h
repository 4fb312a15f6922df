#pragma once

// `consilium federation describe`: what the images of all sites together are.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "coordinator/researcher/run_commands.h"

namespace consilium::researcher {

struct DescribeOptions {
  RunId run;           // of an earlier description; empty: a new run is submitted
  std::string target;  // of the labels; may be empty
  std::uint32_t smallest_count = 10, minimum_sites = 3;
  std::vector<std::string> sites;  // empty: every site
  fs::path html;                   // a page is written there; empty: none
};

// Submits a plan with [describe], follows the run (on standard error) and prints who took part and
// the table, or with options.json {run, sites[], participants: [{site, answer, reason}], shown:
// metrics::ToJson}. kAborted when the run failed.
absl::Status DescribeCommand(const CommandOptions& options, const DescribeOptions& describe);

// What DescribeCommand submits.
std::string DescribePlan(const DescribeOptions& describe);

}  // namespace consilium::researcher
