#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/plan/plan.h"
#include "tests/catch.h"

namespace consilium::plan {

// The plan, which must be one.
inline Plan Read(const absl::StatusOr<Plan>& plan) {
  INFO(plan.status().ToString());
  REQUIRE(plan.ok());
  return *plan;
}

// What is wrong with what must not be a plan, and for one fault only.
inline std::string OnlyFault(const absl::StatusOr<Plan>& plan) {
  REQUIRE(plan.status().code() == absl::StatusCode::kInvalidArgument);
  const std::string message(plan.status().message());
  INFO(message);
  CHECK(message.find('\n') == std::string::npos);
  return message;
}

}  // namespace consilium::plan
