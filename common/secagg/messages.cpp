#include "common/secagg/messages.h"

#include <algorithm>
#include <bit>

#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/secagg/fields.h"

namespace consilium::secagg {
namespace {

Digest ConfigHash(const SessionConfig& config) {
  Fields fields("consilium secagg config v1");
  fields.AddNumber(config.values)
      .AddNumber(config.sums)
      .Add(config.layout.bytes)
      .AddNumber(std::bit_cast<std::uint64_t>(config.clip_norm))
      .AddNumber(std::bit_cast<std::uint64_t>(config.total_weight))
      .AddText(config.weight_rule)
      .AddText(config.privacy);
  return crypto::Sha256(fields.bytes());
}

void AddNames(Fields& fields, const std::set<SiteId>& sites) {
  fields.AddNumber(sites.size());
  for (const SiteId& site : sites) fields.AddText(site.value);
}

}  // namespace

std::string_view Name(Purpose purpose) {
  switch (purpose) {
    case Purpose::kTraining:
      return "training";
    case Purpose::kValidation:
      return "validation";
    case Purpose::kTest:
      return "test";
  }
  return "unknown";
}

std::string SessionKey::ToString() const { return StrCat(attempt.ToString(), " ", Name(purpose)); }

std::uint32_t Threshold(std::uint32_t cohort_size) {
  return static_cast<std::uint32_t>(std::uint64_t{cohort_size} * 2 / 3 + 1);
}

Digest ContextHash(const SessionConfig& config) {
  Fields fields("consilium secagg context v1");
  fields.AddNumber(kProtocolVersion)
      .AddText(config.federation)
      .AddText(config.key.attempt.run.value)
      .AddNumber(config.key.attempt.round)
      .AddNumber(config.key.attempt.attempt)
      .AddNumber(static_cast<std::uint64_t>(config.key.purpose))
      .Add(config.model.bytes)
      .Add(ConfigHash(config).bytes)
      .Add(config.roster.bytes)
      .AddNumber(config.cohort_size)
      .AddNumber(config.threshold);
  return crypto::Sha256(fields.bytes());
}

Bytes AdvertisementText(const Digest& context, const Advertisement& advertisement) {
  Fields fields("consilium secagg advertisement v1");
  fields.Add(context.bytes)
      .AddText(advertisement.site.value)
      .Add(advertisement.share_key)
      .Add(advertisement.mask_key)
      .Add(advertisement.seed_hash.bytes);
  return std::move(fields).Take();
}

Digest Transcript(const Digest& context, const std::vector<Advertisement>& members) {
  std::vector<const Advertisement*> sorted;
  for (const Advertisement& member : members) sorted.push_back(&member);
  std::sort(sorted.begin(), sorted.end(),
            [](const auto* a, const auto* b) { return a->site < b->site; });
  Fields fields("consilium secagg transcript v1");
  fields.Add(context.bytes).AddNumber(members.size());
  for (const Advertisement* member : sorted) {
    fields.AddText(member->site.value)
        .Add(member->share_key)
        .Add(member->mask_key)
        .Add(member->seed_hash.bytes);
  }
  return crypto::Sha256(fields.bytes());
}

Bytes UploadText(const Digest& transcript, const SiteId& site, const Digest& sha256) {
  Fields fields("consilium secagg upload v1");
  fields.Add(transcript.bytes).AddText(site.value).Add(sha256.bytes);
  return std::move(fields).Take();
}

Bytes SurvivorsText(const Digest& transcript, const std::set<SiteId>& sharers,
                    const std::set<SiteId>& survivors) {
  Fields fields("consilium secagg survivors v1");
  fields.Add(transcript.bytes);
  AddNames(fields, sharers);
  AddNames(fields, survivors);
  return std::move(fields).Take();
}

}  // namespace consilium::secagg
