#include "common/wire/refusal.h"

#include <array>
#include <string>

#include "absl/strings/cord.h"

namespace consilium::wire {
namespace {

constexpr char kPayload[] = "consilium/refusal";
constexpr std::array kAll = {Refusal::kWaitsToBeAdmitted, Refusal::kOtherVersion};

}  // namespace

std::string_view Name(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNone:
      break;
    case Refusal::kWaitsToBeAdmitted:
      return "waits-to-be-admitted";
    case Refusal::kOtherVersion:
      return "other-version";
  }
  return {};
}

Refusal RefusalNamed(std::string_view name) {
  for (const Refusal refusal : kAll) {
    if (Name(refusal) == name) return refusal;
  }
  return Refusal::kNone;
}

absl::Status Because(absl::Status status, Refusal refusal) {
  if (refusal != Refusal::kNone) {
    status.SetPayload(kPayload, absl::Cord(std::string(Name(refusal))));
  }
  return status;
}

Refusal RefusalOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  return payload ? RefusalNamed(std::string(*payload)) : Refusal::kNone;
}

}  // namespace consilium::wire
