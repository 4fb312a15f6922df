#include "site_agent/optimizer_memory.h"

#include <algorithm>
#include <charconv>
#include <span>
#include <vector>

#include "common/base/field_writer.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "site_agent/sealed_values.h"

namespace consilium::site_agent {
namespace {

constexpr std::string_view kPurpose = "consilium site optimizer v1";
constexpr std::string_view kExtension = ".sealed";

// What a file's name says of it.
struct Kept {
  std::uint32_t round = 0;
  std::uint64_t steps = 0;
  std::uint32_t moments = 0;  // 1 of SGD, 2 of AdamW

  std::string FileName() const { return StrCat(round, "-", steps, "-", moments, kExtension); }
};

bool TakeNumber(std::string_view& text, char end, auto& number) {
  const auto [after, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || after == text.data() + text.size() || *after != end) return false;
  text.remove_prefix(static_cast<std::size_t>(after - text.data()) + 1);
  return true;
}

std::optional<Kept> Parse(const fs::path& file) {
  const std::string name = file.filename().string();
  std::string_view text = name;
  Kept kept;
  const bool fits = TakeNumber(text, '-', kept.round) && TakeNumber(text, '-', kept.steps) &&
                    TakeNumber(text, '.', kept.moments) && kept.FileName() == name &&
                    (kept.moments == 1 || kept.moments == 2);
  return fits ? std::optional(kept) : std::nullopt;
}

ValuesSeal SealOf(const RunId& run, const Kept& kept, const crypto::Secret& state_key) {
  return {state_key, kPurpose,
          FieldWriter(kPurpose)
              .Text(run.value)
              .Number(kept.round)
              .Number(kept.steps)
              .Number(kept.moments)
              .bytes()};
}

absl::StatusOr<learning::OptimizerMoments> Read(const fs::path& file, const RunId& run,
                                                const Kept& kept, const crypto::Secret& state_key) {
  ASSIGN_OR_RETURN(const std::size_t count, CountSealedValues(file));
  ASSIGN_OR_RETURN(std::vector<float> values,
                   ReadSealedValues(file, SealOf(run, kept, state_key), count));
  learning::OptimizerMoments moments{.steps = kept.steps};
  const auto half = values.begin() + static_cast<std::ptrdiff_t>(count / kept.moments);
  moments.second.assign(half, values.end());
  values.erase(half, values.end());
  moments.first = std::move(values);
  return moments;
}

}  // namespace

absl::StatusOr<std::optional<learning::OptimizerMoments>> OptimizerMemory::Before(
    const RunId& run, std::uint32_t round) const {
  const fs::path folder = folder_ / run.value;
  if (!Exists(folder)) return std::nullopt;
  ASSIGN_OR_RETURN(const auto files, ListFolder(folder));
  std::optional<Kept> last;
  for (const FolderEntry& file : files) {
    const auto kept = Parse(file.path);
    if (kept && kept->round < round && (!last || kept->round > last->round)) last = kept;
  }
  if (!last) return std::nullopt;
  for (const FolderEntry& file : files) {
    const auto kept = Parse(file.path);
    if (!kept || kept->round < last->round) RETURN_IF_ERROR(Remove(file.path));
  }
  auto moments = Read(folder / last->FileName(), run, *last, state_key_);
  if (moments.ok()) return *std::move(moments);
  if (!absl::IsDataLoss(moments.status())) return moments.status();
  Log(LogLevel::kWarning, "optimizer_memory_lost",
      {{"run", run.value}, {"round", last->round}, {"reason", ToStd(moments.status().message())}});
  return std::nullopt;
}

absl::Status OptimizerMemory::Keep(const RunId& run, std::uint32_t round,
                                   const learning::OptimizerMoments& moments) const {
  const fs::path folder = folder_ / run.value;
  RETURN_IF_ERROR(EnsureFolder(folder));
  const Kept kept{round, moments.steps, moments.second.empty() ? 1u : 2u};
  const auto fill = [&](std::size_t first, std::span<float> piece) {
    for (std::size_t i = 0; i < piece.size(); ++i) {
      const std::size_t at = first + i;
      piece[i] =
          at < moments.first.size() ? moments.first[at] : moments.second[at - moments.first.size()];
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(WriteSealedValues(folder / kept.FileName(), SealOf(run, kept, state_key_),
                                    moments.first.size() + moments.second.size(), fill, random_));
  // Trained again, perhaps on another number of examples: what the first time left is of no use.
  ASSIGN_OR_RETURN(const auto files, ListFolder(folder));
  for (const FolderEntry& file : files) {
    const auto other = Parse(file.path);
    const bool replaced = other && other->round == round && other->FileName() != kept.FileName();
    if (replaced) RETURN_IF_ERROR(Remove(file.path));
  }
  return absl::OkStatus();
}

}  // namespace consilium::site_agent
