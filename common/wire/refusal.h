#pragma once

// Why a call was refused, for programs: what a status code is too coarse for, and words are not to
// be searched for. Travels with the status (convert.h's ToGrpc and FromGrpc) as its detail.

#include <string_view>

#include "absl/status/status.h"

namespace consilium::wire {

enum class Refusal {
  kNone,
  kWaitsToBeAdmitted,  // kUnavailable: the federation's operator has not admitted the caller yet
  kOtherVersion,       // kFailedPrecondition: one side is to be upgraded (versions.h)
};

// As it travels: "waits-to-be-admitted"; empty for kNone. Unknown names are kNone.
std::string_view Name(Refusal refusal);
Refusal RefusalNamed(std::string_view name);

// The same status with the refusal attached. WithContext drops it.
absl::Status Because(absl::Status status, Refusal refusal);
Refusal RefusalOf(const absl::Status& status);

}  // namespace consilium::wire
