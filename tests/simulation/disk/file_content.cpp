#include "tests/simulation/disk/file_content.h"

#include <algorithm>

namespace consilium::simulation {
namespace {

constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};

void Put(Bytes& into, std::uint64_t offset, ByteView bytes) {
  if (bytes.empty()) return;
  if (into.size() < offset + bytes.size()) into.resize(offset + bytes.size());
  std::copy(bytes.begin(), bytes.end(), into.begin() + static_cast<std::ptrdiff_t>(offset));
}

}  // namespace

void FileContent::Write(std::uint64_t offset, ByteView bytes) {
  Put(written_, offset, bytes);
  changes_.push_back({.offset = offset, .begin = pool_.size(), .count = bytes.size()});
  pool_.insert(pool_.end(), bytes.begin(), bytes.end());
}

void FileContent::Resize(std::uint64_t size) {
  written_.resize(size);
  changes_.push_back({.resize = true, .offset = size});
}

// Writes what of the change lies before `limit`.
void FileContent::Apply(const Change& change, std::uint64_t limit) {
  if (change.resize) {
    durable_.resize(std::min(change.offset, std::max<std::uint64_t>(limit, durable_.size())));
    return;
  }
  if (change.offset >= limit) return;
  const std::size_t count = std::min<std::uint64_t>(change.count, limit - change.offset);
  Put(durable_, change.offset, ByteView(pool_).subspan(change.begin, count));
}

// The same of each of its sectors with an even chance; the file may have its new size all the same.
void FileContent::ApplySectors(const Change& change, std::uint64_t limit, SeededRandom& random) {
  std::uint64_t at = change.offset;
  const std::uint64_t end = change.offset + change.count;
  while (at < end) {
    const std::uint64_t next = std::min(end, (at / kSectorBytes + 1) * kSectorBytes);
    if (random.Chance(0.5)) {
      Apply({.offset = at,
             .begin = change.begin + (at - change.offset),
             .count = static_cast<std::size_t>(next - at)},
            limit);
    }
    at = next;
  }
  if (end > durable_.size() && end <= limit && random.Chance(0.5)) durable_.resize(end);
}

void FileContent::Forget() {
  constexpr std::size_t kKeptBytes = 1 << 20;
  changes_.clear();
  pool_.clear();
  if (pool_.capacity() > kKeptBytes) pool_ = Bytes();
}

void FileContent::Sync() {
  for (const Change& change : changes_) Apply(change, kNoLimit);
  Forget();
}

void FileContent::FailSync(SeededRandom& random) {
  for (const Change& change : changes_) {
    if (random.Chance(0.5)) {
      Apply(change, kNoLimit);
    } else {
      given_up_ = true;
    }
  }
  Forget();
}

void FileContent::LosePower(SeededRandom& random) {
  enum class Course : std::uint64_t { kAllLost, kAllKept, kFirstKept, kAnyKept };
  const auto course = static_cast<Course>(random.Below(4));
  std::size_t kept = course == Course::kAllKept ? changes_.size() : 0;
  if (course == Course::kFirstKept) kept = random.Below(changes_.size() + 1);
  // Blocks behind the end of a file that was cut short are new ones: without the cut they belong to
  // nobody, so a lost cut takes with it what was written behind it.
  std::uint64_t limit = kNoLimit;
  for (std::size_t i = 0; i < changes_.size(); ++i) {
    const Change& change = changes_[i];
    const std::uint64_t fate = course == Course::kAnyKept                  ? random.Below(3)
                               : i < kept                                  ? 0
                               : i == kept && course == Course::kFirstKept ? 2
                                                                           : 1;
    if (fate == 0) {
      Apply(change, limit);
    } else if (change.resize) {
      limit = std::min(limit, change.offset);
    } else if (fate == 2) {
      ApplySectors(change, limit, random);
    }
  }
  Forget();
  written_ = durable_;
  given_up_ = false;
}

}  // namespace consilium::simulation
