// What an evaluation of boxes adds up to: matching, sums, and whether they can be.

#include <algorithm>
#include <cmath>

#include "common/metrics/detection_matching.h"
#include "common/metrics/detection_metrics.h"
#include "common/metrics/sum_checks.h"

namespace consilium::metrics {
namespace {

constexpr double kHalf = 0.5, kThreeQuarters = 0.75;

// Stafford's mix of all bits, so that any numbering of patients gives even groups.
std::size_t GroupOf(std::uint64_t patient) {
  patient = (patient ^ patient >> 30) * 0xbf58476d1ce4e5b9u;
  patient = (patient ^ patient >> 27) * 0x94d049bb133111ebu;
  return (patient ^ patient >> 31) % kPatientGroups;
}

bool IsBox(const Box& box) {
  return std::isfinite(box.left) && std::isfinite(box.top) && std::isfinite(box.right) &&
         std::isfinite(box.bottom) && box.left < box.right && box.top < box.bottom;
}

bool HasCentreOf(const Box& box, const Box& other) {
  const double x = (double{other.left} + other.right) / 2;
  const double y = (double{other.top} + other.bottom) / 2;
  return x >= box.left && x <= box.right && y >= box.top && y <= box.bottom;
}

void CountHits(std::span<const ScoredBox> boxes, std::span<const Box> findings, KindSums& sums) {
  std::vector<bool> hit(findings.size());
  for (const ScoredBox& box : boxes) {
    const int bin = BoxScoreBin(box.score);
    bool in_any = false, in_free = false;
    for (std::size_t i = 0; i < findings.size(); ++i) {
      if (!HasCentreOf(findings[i], box.box)) continue;
      in_any = true;
      if (hit[i] || in_free) continue;  // the centre may lie in several: it hits the first free one
      hit[i] = in_free = true;
      ++sums.hits[bin];
    }
    if (!in_any) ++sums.false_alarms[bin];
  }
}

void AddImage(const ImageFindings& image, std::uint32_t kind, std::size_t group, KindSums& sums) {
  const KindOfImage one(image, kind);
  const std::vector<bool> half = one.Matched(kHalf), three_quarters = one.Matched(kThreeQuarters);
  for (std::size_t i = 0; i < one.boxes.size(); ++i) {
    const int bin = BoxScoreBin(one.boxes[i].score);
    ++sums.boxes[group][bin];
    sums.found[group][bin] += half[i];
    sums.found_75[bin] += three_quarters[i];
  }
  CountHits(one.boxes, one.findings, sums);
  sums.findings[group] += one.findings.size();
}

template <class Counts>
void AddCounts(Counts& counts, const Counts& other) {
  for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += other[i];
}

absl::Status CheckKind(const KindSums& s) {
  if (s.boxes.size() != kPatientGroups || s.found.size() != kPatientGroups) {
    return Refused("histograms of another number of groups");
  }
  const std::uint64_t findings = BoundedTotal(s.findings);
  if (findings > kMostExamples || s.patients > findings || (findings > 0 && s.patients == 0)) {
    return Refused(StrCat(s.patients, " patients with ", findings, " findings"));
  }
  KindSums::Histogram all{};
  for (int g = 0; g < kPatientGroups; ++g) {
    if (BoundedTotal(s.boxes[g]) > kMostExamples || BoundedTotal(s.found[g]) > s.findings[g]) {
      return Refused(StrCat("group ", g, " has more right boxes than findings"));
    }
    for (int b = 0; b < kBoxScoreBins; ++b) {
      if (s.found[g][b] > s.boxes[g][b]) return Refused("more right boxes than boxes");
    }
    AddCounts(all, s.boxes[g]);
  }
  if (BoundedTotal(s.found_75) > findings || BoundedTotal(s.hits) > findings) {
    return Refused(StrCat("more right boxes than the ", findings, " findings"));
  }
  for (int b = 0; b < kBoxScoreBins; ++b) {
    if (s.found_75[b] > all[b] || s.hits[b] > all[b] || s.false_alarms[b] > all[b] - s.hits[b]) {
      return Refused("more right boxes and false alarms than boxes");
    }
  }
  return absl::OkStatus();
}

}  // namespace

int BoxScoreBin(double score) {
  CONSILIUM_CHECK(score >= 0 && score <= 1);
  return std::min(static_cast<int>(score * kBoxScoreBins), kBoxScoreBins - 1);
}

double Overlap(const Box& a, const Box& b) {
  const double width = std::min(a.right, b.right) - std::max(a.left, b.left);
  const double height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  if (width <= 0 || height <= 0) return 0;
  const double both = width * height;
  return both / (a.Area() + b.Area() - both);
}

KindOfImage::KindOfImage(const ImageFindings& image, std::uint32_t kind) {
  for (const Finding& finding : image.findings) {
    if (finding.kind == kind) findings.push_back(finding.box);
  }
  for (const ScoredBox& box : image.boxes) {
    if (box.kind == kind) boxes.push_back(box);
  }
  std::stable_sort(boxes.begin(), boxes.end(),
                   [](const ScoredBox& a, const ScoredBox& b) { return a.score > b.score; });
}

std::vector<bool> KindOfImage::Matched(double overlap) const {
  std::vector<bool> matched(boxes.size()), taken(findings.size());
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    double best = 0;
    std::size_t at = 0;
    for (std::size_t f = 0; f < findings.size(); ++f) {
      const double of_this = taken[f] ? 0 : Overlap(boxes[i].box, findings[f]);
      if (of_this <= best) continue;
      best = of_this;
      at = f;
    }
    if (best < overlap) continue;
    matched[i] = taken[at] = true;
  }
  return matched;
}

DetectionSums::DetectionSums(std::uint32_t kind_count) : kinds(kind_count) {
  CONSILIUM_CHECK(kind_count <= kMostKinds);
}

void DetectionSums::Add(std::uint64_t patient, std::span<const ImageFindings> patient_images) {
  CONSILIUM_CHECK(!patient_images.empty());
  const std::size_t group = GroupOf(patient);
  std::vector<bool> has(kinds.size());
  for (const ImageFindings& image : patient_images) {
    for (const Finding& finding : image.findings) {
      CONSILIUM_CHECK(finding.kind < kinds.size() && IsBox(finding.box));
      has[finding.kind] = true;
    }
    for (const ScoredBox& box : image.boxes) {
      CONSILIUM_CHECK(box.kind < kinds.size() && IsBox(box.box));
    }
    for (std::uint32_t kind = 0; kind < kinds.size(); ++kind) {
      AddImage(image, kind, group, kinds[kind]);
    }
  }
  for (std::size_t kind = 0; kind < kinds.size(); ++kind) kinds[kind].patients += has[kind];
  ++group_patients[group];
  ++patients;
  images += patient_images.size();
}

DetectionSums& DetectionSums::operator+=(const DetectionSums& other) {
  CONSILIUM_CHECK(kinds.size() == other.kinds.size());
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    for (int g = 0; g < kPatientGroups; ++g) {
      AddCounts(kinds[i].boxes[g], other.kinds[i].boxes[g]);
      AddCounts(kinds[i].found[g], other.kinds[i].found[g]);
    }
    AddCounts(kinds[i].found_75, other.kinds[i].found_75);
    AddCounts(kinds[i].hits, other.kinds[i].hits);
    AddCounts(kinds[i].false_alarms, other.kinds[i].false_alarms);
    AddCounts(kinds[i].findings, other.kinds[i].findings);
    kinds[i].patients += other.kinds[i].patients;
  }
  AddCounts(group_patients, other.group_patients);
  patients += other.patients;
  images += other.images;
  return *this;
}

std::uint64_t DetectionSums::FindingCount() const {
  std::uint64_t count = 0;
  for (const KindSums& kind : kinds) count += Total(kind.findings);
  return count;
}

absl::Status Check(const DetectionSums& sums) {
  if (sums.kinds.empty() || sums.kinds.size() > kMostKinds) {
    return Refused(StrCat(sums.kinds.size(), " kinds of finding: 1 to ", kMostKinds, " can be"));
  }
  if (sums.images > kMostExamples || sums.patients > sums.images ||
      BoundedTotal(sums.group_patients) != sums.patients) {
    return Refused(StrCat(sums.patients, " patients with ", sums.images, " images"));
  }
  for (std::size_t i = 0; i < sums.kinds.size(); ++i) {
    const KindSums& kind = sums.kinds[i];
    if (kind.patients > sums.patients) {
      return Refused(StrCat("kind ", i, " counts ", kind.patients, " patients of ", sums.patients));
    }
    if (absl::Status status = CheckKind(kind); !status.ok()) {
      return WithContext(status, StrCat("kind ", i));
    }
    for (int g = 0; g < kPatientGroups; ++g) {
      if (sums.group_patients[g] > 0) continue;
      if (kind.findings[g] > 0 || Total(kind.boxes[g]) > 0) {
        return Refused(StrCat("kind ", i, " counts boxes or findings of no patient"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace consilium::metrics
