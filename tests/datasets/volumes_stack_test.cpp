#include <algorithm>
#include <cmath>
#include <random>

#include "datasets/volumes/stack.h"
#include "tests/catch.h"

namespace consilium::datasets::volumes {
namespace {

constexpr std::uint32_t kColumns = 6, kRows = 4;

double Field(const Vec3& p) { return 100 + 2 * p[0] - 3 * p[1] + 5 * p[2]; }

// An oblique series of `count` slices 2.5 mm apart whose pixels are a linear function of the place;
// tilted: stacked along a line `tilt_degrees` from the normal, within the plane of the columns.
std::vector<Slice> Series(std::size_t count, double tilt_degrees = 0) {
  std::vector<Slice> slices(count);
  for (std::size_t k = 0; k < count; ++k) {
    Slice& slice = slices[k];
    slice.row_direction = {0.8, 0.6, 0};
    slice.column_direction = {-0.6, 0.8, 0};
    slice.row_spacing_mm = 1.5;
    slice.column_spacing_mm = 0.75;
    slice.rows = kRows;
    slice.columns = kColumns;
    const double shift = 2.5 * double(k) * std::tan(tilt_degrees * 3.14159265358979 / 180);
    slice.position = Vec3{10, -20, 30 + 2.5 * double(k)} + slice.column_direction * shift;
    slice.frame_of_reference = "1.2.3";
    slice.instance = std::to_string(k);
    slice.load = [slice]() -> OrRefused<std::vector<float>> {
      std::vector<float> values;
      for (std::uint32_t row = 0; row < kRows; ++row) {
        for (std::uint32_t column = 0; column < kColumns; ++column) {
          values.push_back(
              static_cast<float>(Field(slice.position + slice.row_direction * (0.75 * column) +
                                       slice.column_direction * (1.5 * row))));
        }
      }
      return values;
    };
  }
  return slices;
}

Refused RefusalOf(std::vector<Slice> slices, const StackOptions& options = {}) {
  const auto stacks = FindStacks(std::move(slices), options);
  REQUIRE_FALSE(stacks.ok());
  return stacks.refused();
}

Stack OneStack(std::vector<Slice> slices, const StackOptions& options = {}) {
  auto stacks = FindStacks(std::move(slices), options);
  INFO((stacks.ok() ? std::string() : stacks.refused().detail));
  REQUIRE(stacks.ok());
  REQUIRE(stacks->size() == 1);
  return stacks->front();
}

void SetKey(Slice& slice, StackKey key, std::string value) {
  slice.keys[static_cast<std::size_t>(key)] = std::move(value);
}

void CheckField(const Volume& volume) {
  for (std::uint32_t k = 0; k < volume.grid.size[2]; ++k) {
    for (std::uint32_t j = 0; j < volume.grid.size[1]; ++j) {
      for (std::uint32_t i = 0; i < volume.grid.size[0]; ++i) {
        const double wanted = Field(volume.grid.ToPatient({double(i), double(j), double(k)}));
        CHECK(std::abs(volume.At(i, j, k) - wanted) < 1e-3);
      }
    }
  }
}

TEST_CASE("slices make one volume in whatever order they come") {
  std::vector<Slice> slices = Series(9);
  std::mt19937 random(3);
  for (int i = 0; i < 5; ++i) {
    const Stack stack = OneStack(slices);
    CHECK_FALSE(stack.tilted);
    CHECK(stack.grid.size == std::array<std::uint32_t, 3>{kColumns, kRows, 9});
    CHECK(stack.grid.spacing_mm[0] == 0.75);
    CHECK(stack.grid.spacing_mm[1] == 1.5);
    CHECK(stack.grid.spacing_mm[2] == Approx(2.5));
    const auto volume = LoadVolume(stack, {}, 0);
    REQUIRE(volume.ok());
    CHECK(volume->frame_of_reference == "1.2.3");
    CheckField(*volume);
    i == 0 ? std::reverse(slices.begin(), slices.end())
           : std::shuffle(slices.begin(), slices.end(), random);
  }
}

TEST_CASE("a tilted stack is known by its geometry, lies where it was, and is straightened") {
  for (const bool reversed : {false, true}) {
    std::vector<Slice> slices = Series(9, -20);
    if (reversed) std::reverse(slices.begin(), slices.end());
    const Stack stack = OneStack(slices);
    CHECK(stack.tilted);
    CHECK(stack.grid.TiltDegrees() == Approx(20));
    StackOptions options;
    options.tilt = StackOptions::Tilt::kKeep;
    const auto kept = LoadVolume(stack, options, 0);
    REQUIRE(kept.ok());
    CheckField(*kept);

    const auto straight = LoadVolume(stack, {}, -1e6f);
    REQUIRE(straight.ok());
    CHECK(straight->grid.IsOrthogonal());
    CHECK(straight->grid.size[2] == 9);
    // In the first slice nothing was interpolated, and all of it is there.
    const Vec3 first = PatientToIndex(straight->grid)(stack.grid.origin);
    CHECK(std::abs(first[1] - std::round(first[1])) < 1e-9);
    std::size_t inside = 0;
    const PatientToIndex to_index(stack.grid);
    for (std::uint32_t k = 0; k < 9; ++k) {
      for (std::uint32_t j = 0; j < straight->grid.size[1]; ++j) {
        const Vec3 place = straight->grid.ToPatient({2, double(j), double(k)});
        const double row = to_index(place)[1];
        if (row < -0.01 || row > kRows - 0.99) continue;
        ++inside;
        CHECK(std::abs(straight->At(2, j, k) - Field(place)) < 1e-3);
      }
    }
    CHECK(inside >= 9 * (kRows - 1));
  }
}

TEST_CASE("a tilted stack is refused where the options say so") {
  StackOptions options;
  options.tilt = StackOptions::Tilt::kRefuse;
  const Refused refused = RefusalOf(Series(5, 20), options);
  CHECK(refused.reason == Refusal::kGantryTilt);
  CHECK(refused.detail == "the stack is tilted by 20 degrees");
}

TEST_CASE("a gantry tilt in the header must be one that the positions show") {
  std::vector<Slice> slices = Series(5);
  for (Slice& slice : slices) slice.gantry_tilt_degrees = 12;
  const Refused refused = RefusalOf(slices);
  CHECK(refused.reason == Refusal::kGantryTilt);
  CHECK_THAT(refused.detail, ContainsText("12 degrees and the positions 0"));

  slices = Series(5, 12);
  for (Slice& slice : slices) slice.gantry_tilt_degrees = -12;
  CHECK(OneStack(slices).tilted);

  // Reformatted along its own tilted normal: straight, and the header's tilt is that of the slices.
  slices = Series(5);
  const double a = 12 * 3.14159265358979 / 180;
  for (std::size_t k = 0; k < 5; ++k) {
    slices[k].row_direction = {1, 0, 0};
    slices[k].column_direction = {0, std::cos(a), std::sin(a)};
    slices[k].position = Vec3{0, -std::sin(a), std::cos(a)} * (2.5 * double(k));
    slices[k].gantry_tilt_degrees = 12;
  }
  CHECK_FALSE(OneStack(slices).tilted);
}

TEST_CASE("a missing slice is found and said where") {
  std::vector<Slice> slices = Series(10);
  slices.erase(slices.begin() + 4, slices.begin() + 6);
  const Refused refused = RefusalOf(slices);
  CHECK(refused.reason == Refusal::kMissingSlices);
  CHECK(refused.detail ==
        "2 missing, the first after slice 4 of 8 (7.5 mm where others are 2.5 mm apart)");
}

TEST_CASE("a stack whose distances follow no step is refused as uneven") {
  std::vector<Slice> slices = Series(6);
  slices[5].position[2] += 0.9;
  const Refused refused = RefusalOf(slices);
  CHECK(refused.reason == Refusal::kUnevenSpacing);
  CHECK(refused.detail == "between 2.5 and 3.4 mm");
}

TEST_CASE("positions rounded as scanners round them are even") {
  std::vector<Slice> slices = Series(40, 10);
  for (Slice& slice : slices) {
    for (double& x : slice.position) x = std::round(x * 100) / 100;
  }
  CHECK(OneStack(slices).grid.TiltDegrees() == Approx(10).margin(0.05));
}

TEST_CASE("a slice pushed sideways is refused") {
  std::vector<Slice> slices = Series(6);
  slices[3].position = slices[3].position + slices[3].row_direction * 4;
  const Refused refused = RefusalOf(slices);
  CHECK(refused.reason == Refusal::kUnevenSpacing);
  CHECK_THAT(refused.detail, ContainsText("slice 4 of 6 is shifted sideways by 4 mm"));
}

TEST_CASE("two slices at the same place are refused when nothing tells them apart") {
  std::vector<Slice> slices = Series(6);
  slices.push_back(slices[2]);
  slices.back().instance = "another";
  const Refused refused = RefusalOf(slices);
  CHECK(refused.reason == Refusal::kDuplicatePosition);
  CHECK(refused.detail == "1 of 7 slices lie where another one does");
  CHECK(RefusalOf({slices[0], slices[0]}).reason == Refusal::kDuplicatePosition);
}

TEST_CASE("localisers and other orientations are refused") {
  std::vector<Slice> slices = Series(6);
  slices[1].row_direction = {0, 0, 1};
  slices[1].localiser = true;
  Refused refused = RefusalOf(slices);
  CHECK(refused.reason == Refusal::kMixedOrientations);
  CHECK(refused.detail == "up to 90 degrees apart; 1 localisers");
  slices = Series(6);
  slices[0].localiser = true;
  CHECK(RefusalOf(slices).reason == Refusal::kMixedOrientations);
}

TEST_CASE("another matrix or pixel spacing is refused") {
  std::vector<Slice> slices = Series(6);
  slices[4].rows = 5;
  CHECK(RefusalOf(slices).detail == "6x4 and 6x5 pixels");
  slices = Series(6);
  slices[4].row_spacing_mm = 1.6;
  CHECK(RefusalOf(slices).reason == Refusal::kMixedSizes);
  slices = Series(6);
  slices[4].frame_of_reference = "1.2.4";
  CHECK(RefusalOf(slices).reason == Refusal::kOtherFrameOfReference);
}

TEST_CASE("impossible geometry is refused") {
  const auto broken = [](auto change) {
    std::vector<Slice> slices = Series(3);
    change(slices[1]);
    return RefusalOf(slices).reason;
  };
  CHECK(broken([](Slice& s) { s.position[1] = std::nan(""); }) == Refusal::kNoGeometry);
  CHECK(broken([](Slice& s) { s.position[1] = 1e30; }) == Refusal::kNoGeometry);
  CHECK(broken([](Slice& s) { s.row_direction = {}; }) == Refusal::kNoGeometry);
  CHECK(broken([](Slice& s) { s.row_direction = s.column_direction; }) == Refusal::kNoGeometry);
  CHECK(broken([](Slice& s) { s.column_spacing_mm = 0; }) == Refusal::kNoGeometry);
  CHECK(broken([](Slice& s) { s.columns = 0; }) == Refusal::kNoGeometry);
  CHECK(RefusalOf(Series(1)).reason == Refusal::kTooFewSlices);
  CHECK(RefusalOf({}).reason == Refusal::kTooFewSlices);
  std::vector<Slice> huge = Series(600);
  for (Slice& slice : huge) slice.rows = slice.columns = 4096;
  CHECK(RefusalOf(huge).reason == Refusal::kTooLarge);
}

TEST_CASE("echoes and b-values at the same places become volumes of their own") {
  std::vector<Slice> slices;
  for (const auto* echo : {"10", "2"}) {
    for (Slice& slice : Series(4)) {
      SetKey(slice, StackKey::kEcho, echo);
      slices.push_back(slice);
    }
  }
  const auto stacks = FindStacks(slices, {});
  REQUIRE(stacks.ok());
  REQUIRE(stacks->size() == 2);
  CHECK((*stacks)[0].what == "echo number 2");
  CHECK((*stacks)[1].what == "echo number 10");
  CHECK((*stacks)[0].slices.size() == 4);
  StackOptions options;
  options.split = false;
  const Refused refused = RefusalOf(slices, options);
  CHECK(refused.reason == Refusal::kSeveralStacks);
  CHECK(refused.detail == "2 stacks: echo number 2 and others");
}

TEST_CASE("time points within b-values are split twice") {
  std::vector<Slice> slices;
  for (const auto* b : {"0", "1000"}) {
    for (const auto* time : {"101500", "101800"}) {
      for (Slice& slice : Series(3)) {
        SetKey(slice, StackKey::kBValue, b);
        SetKey(slice, StackKey::kTriggerTime, time);
        slices.push_back(slice);
      }
    }
  }
  const auto stacks = FindStacks(slices, {});
  REQUIRE(stacks.ok());
  REQUIRE(stacks->size() == 4);
  CHECK((*stacks)[3].what == "b-value 1000, trigger time 2 of 2");
}

TEST_CASE("an acquisition number that differs from slice to slice splits nothing") {
  std::vector<Slice> slices = Series(8);
  for (std::size_t k = 0; k < 8; ++k) {
    SetKey(slices[k], StackKey::kAcquisition, std::to_string(k / 2));
    SetKey(slices[k], StackKey::kAcquisitionTime, std::to_string(101500 + k));
  }
  CHECK(OneStack(slices).what.empty());
}

TEST_CASE("two acquisitions with a gap between them are two volumes") {
  std::vector<Slice> slices = Series(12);
  for (std::size_t k = 0; k < 12; ++k) {
    SetKey(slices[k], StackKey::kAcquisition, k < 6 ? "1" : "2");
  }
  slices.erase(slices.begin() + 5, slices.begin() + 8);
  const auto stacks = FindStacks(slices, {});
  REQUIRE(stacks.ok());
  REQUIRE(stacks->size() == 2);
  CHECK((*stacks)[0].what == "acquisition 1");
  CHECK((*stacks)[0].slices.size() == 5);
  CHECK((*stacks)[1].slices.size() == 4);
}

TEST_CASE("what a file says of itself is shown only where it is a number") {
  std::vector<Slice> slices;
  for (const auto* name : {"DOE^JOHN", "ROE^JANE"}) {
    for (Slice& slice : Series(3)) {
      SetKey(slice, StackKey::kEcho, name);
      slices.push_back(slice);
    }
  }
  const auto stacks = FindStacks(slices, {});
  REQUIRE(stacks.ok());
  CHECK((*stacks)[0].what == "echo number 1 of 2");
}

TEST_CASE("a slice that cannot be loaded, or is of another size, refuses the volume") {
  Stack stack = OneStack(Series(3));
  stack.slices[1].load = [] { return OrRefused<std::vector<float>>(std::vector<float>(3)); };
  CHECK(LoadVolume(stack, {}, 0).refused().reason == Refusal::kMixedSizes);
  stack.slices[1].load = [] {
    return OrRefused<std::vector<float>>(Refused{Refusal::kUndecodable, ""});
  };
  CHECK(LoadVolume(stack, {}, 0).refused().reason == Refusal::kUndecodable);
}

}  // namespace
}  // namespace consilium::datasets::volumes
