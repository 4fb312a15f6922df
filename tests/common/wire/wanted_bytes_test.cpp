#include "common/wire/wanted_bytes.h"

#include <algorithm>

#include "tests/catch.h"

namespace consilium::wire {
namespace {

// What a walk in steps of at most `step` passes.
std::vector<ByteRange> Walk(std::span<const ByteRange> ranges, std::uint64_t size,
                            std::uint64_t offset, std::uint64_t step) {
  auto wanted = WantedBytes::Of(ranges, size, offset);
  REQUIRE(wanted.ok());
  std::vector<ByteRange> passed;
  while (!wanted->AtEnd()) {
    ByteRange next = wanted->Next();
    next.size = std::min(next.size, step);
    passed.push_back(next);
    wanted->Advance(next.size);
  }
  return passed;
}

TEST_CASE("without ranges all of a file is wanted, from the offset on") {
  CHECK(Walk({}, 10, 0, 4) == std::vector<ByteRange>{{0, 4}, {4, 4}, {8, 2}});
  CHECK(Walk({}, 10, 7, 100) == std::vector<ByteRange>{{7, 3}});
  CHECK(Walk({}, 10, 10, 4).empty());
  CHECK(Walk({}, 0, 0, 4).empty());
  CHECK(WantedBytes::Of({}, 10, 7)->total() == 10);
}

TEST_CASE("ranges are walked one after another, from wherever the offset falls") {
  const std::vector<ByteRange> ranges = {{2, 3}, {5, 1}, {8, 2}};
  CHECK(Walk(ranges, 10, 0, 100) == ranges);
  CHECK(Walk(ranges, 10, 0, 2) == std::vector<ByteRange>{{2, 2}, {4, 1}, {5, 1}, {8, 2}});
  CHECK(Walk(ranges, 10, 1, 100) == std::vector<ByteRange>{{3, 2}, {5, 1}, {8, 2}});
  CHECK(Walk(ranges, 10, 3, 100) == std::vector<ByteRange>{{5, 1}, {8, 2}});
  CHECK(Walk(ranges, 10, 5, 100) == std::vector<ByteRange>{{9, 1}});
  CHECK(Walk(ranges, 10, 6, 100).empty());
  CHECK(WantedBytes::Of(ranges, 10, 5)->total() == 6);
}

TEST_CASE("ranges that are none are refused, whatever numbers they have") {
  constexpr std::uint64_t kMost = ~std::uint64_t{0};
  const auto code = [](const std::vector<ByteRange>& ranges, std::uint64_t offset = 0) {
    return WantedBytes::Of(ranges, 10, offset).status().code();
  };
  CHECK(code({{2, 0}}) == absl::StatusCode::kInvalidArgument);
  CHECK(code({{2, 3}, {4, 1}}) == absl::StatusCode::kInvalidArgument);
  CHECK(code({{5, 1}, {2, 1}}) == absl::StatusCode::kInvalidArgument);
  CHECK(code({{8, 3}}) == absl::StatusCode::kOutOfRange);
  CHECK(code({{11, 1}}) == absl::StatusCode::kOutOfRange);
  CHECK(code({{kMost, kMost}}) == absl::StatusCode::kOutOfRange);
  CHECK(code({{1, kMost}}) == absl::StatusCode::kOutOfRange);
  CHECK(code({{2, 3}}, 4) == absl::StatusCode::kOutOfRange);
  CHECK(code({}, 11) == absl::StatusCode::kOutOfRange);
  std::vector<ByteRange> many;
  for (std::uint64_t i = 0; i <= kMostRanges; ++i) many.push_back({2 * i, 1});
  CHECK(WantedBytes::Of(many, kMost, 0).status().code() == absl::StatusCode::kInvalidArgument);
  many.pop_back();
  CHECK(WantedBytes::Of(many, kMost, 0).ok());
}

}  // namespace
}  // namespace consilium::wire
