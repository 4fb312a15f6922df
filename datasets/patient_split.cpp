#include "datasets/patient_split.h"

#include "common/base/random.h"
#include "common/base/status.h"

namespace consilium::datasets {
namespace {

// A different salt would move every patient: never change it.
constexpr std::string_view kSplitSalt = "consilium patient split 1:";

// FNV leaves the upper bits of short texts nearly alike; the finaliser of MurmurHash3 spreads them.
std::uint64_t Spread(std::uint64_t x) {
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccd;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53;
  return x ^ (x >> 33);
}

}  // namespace

Split SplitOf(std::string_view patient, double validation_fraction, double test_fraction) {
  const std::uint64_t hash = Spread(StableHash(StrCat(kSplitSalt, patient)));
  const double position = static_cast<double>(hash >> 11) * 0x1.0p-53;  // [0, 1)
  if (position < test_fraction) return Split::kTest;
  // Validation is taken from the other end, so that one fraction does not shift the other's
  // patients.
  if (position >= 1.0 - validation_fraction) return Split::kValidation;
  return Split::kTrain;
}

std::uint64_t PatientNumber(std::string_view patient) { return Spread(StableHash(patient)); }

std::string_view Name(Split split) {
  switch (split) {
    case Split::kTrain:
      return "train";
    case Split::kValidation:
      return "validation";
    case Split::kTest:
      return "test";
  }
  CONSILIUM_CHECK(false);
}

}  // namespace consilium::datasets
