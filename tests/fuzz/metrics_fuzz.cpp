#include "common/metrics/evaluation_sums.h"
#include "common/metrics/json.h"
#include "common/metrics/shown_description.h"
#include "common/report/description_page.h"
#include "tests/fuzz/fuzz.h"

namespace consilium::metrics {
namespace {

void CheckJson(std::string_view text) {
  const auto sums = TaskSumsFromJson(text);
  if (!sums.ok()) return;
  const auto again = TaskSumsFromJson(ToJson(*sums));
  FUZZ_EXPECT(again.ok() && *again == *sums);
  FUZZ_EXPECT(!SiteJson(*sums, 0.9).empty());
}

// What a coordinator says that sites' images are.
void CheckShownJson(std::string_view text) {
  const auto shown = ShownDescriptionFromJson(text);
  if (!shown.ok()) return;
  const auto again = ShownDescriptionFromJson(ToJson(*shown));
  FUZZ_EXPECT(again.ok() && *again == *shown);
  FUZZ_EXPECT(!ToText(*shown, true).empty());
  FUZZ_EXPECT(report::DescriptionPage(*shown, "heading", {"note"}).find("<script") ==
              std::string::npos);
}

// The input's numbers over a valid vector: what they add up to may be impossible, and if it is not,
// then what is shown of it keeps the rule.
void CheckDescription(ByteView bytes) {
  static const std::vector<std::uint64_t> empty = ToRing(Description());
  std::vector<std::uint64_t> ring = empty;
  fuzz::Cursor input(bytes);
  while (!input.AtEnd()) {
    const std::size_t at = input.Byte() | input.Byte() << 8;
    ring[at % ring.size()] = input.Number64();
  }
  const auto description = DescriptionFromRing(ring, true);
  if (!description.ok()) return;
  FUZZ_EXPECT(ToRing(*description) == ring);
  const ShownDescription shown = Suppress(*description, "t", kDefaultSmallestCount);
  for (const ShownTable& table : shown.tables) {
    for (const ShownRow& row : table.rows) {
      const std::uint64_t patients = row.counts.patients;
      FUZZ_EXPECT(patients == 0 || patients >= kDefaultSmallestCount);
      FUZZ_EXPECT(!row.suppressed || patients + row.counts.images == 0);
    }
  }
  FUZZ_EXPECT(ShownDescriptionFromJson(ToJson(shown)).value() == shown);
}

// One of each task.
constexpr TaskShape kShapes[] = {{Task::kBinary, 1},     {Task::kMulticlass, 3},
                                 {Task::kMultilabel, 2}, {Task::kSegmentation, 2},
                                 {Task::kSurvival, 1},   {Task::kDetection, 2}};

// The input's numbers over those of nothing.
void CheckRing(const TaskShape& shape, ByteView bytes) {
  std::vector<std::uint64_t> ring = ToRing(EvaluationSums{TaskSums(shape)});
  fuzz::Cursor input(bytes);
  while (!input.AtEnd()) {
    const std::size_t at = input.Byte() | input.Byte() << 8;
    ring[at % ring.size()] = input.Number64();
  }
  const auto sums = FromRing(ring, shape, 3);
  if (!sums.ok()) return;
  const auto again = FromRing(ToRing(*sums), shape, 3);
  FUZZ_EXPECT(again.ok() && *again == *sums);
  FUZZ_EXPECT(!SiteJson(sums->sums, 0.9).empty());
}

void CheckRings(ByteView bytes) {
  for (const TaskShape& shape : kShapes) CheckRing(shape, bytes);
}

}  // namespace
}  // namespace consilium::metrics

// '{': sums as JSON, or a shown description; else changes of a secure evaluation's numbers: index
// (2 bytes), value (8).
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  const std::size_t ring_bytes = 8 * metrics::EvaluationRingSize({Task::kDetection, 2});
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(size) + 16 * ring_bytes +
                                    metrics::kMostClasses * 8 * metrics::EvaluationRingSize({}));
  const ByteView input = fuzz::Input(data, size);
  if (size > 0 && data[0] == '{') {
    metrics::CheckJson(AsText(input));
    metrics::CheckShownJson(AsText(input));
  } else {
    metrics::CheckRings(input);
    metrics::CheckDescription(input);
  }
  return 0;
}
