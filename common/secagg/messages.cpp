#include "common/secagg/messages.h"

#include <algorithm>
#include <bit>

#include "common/base/field_writer.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"

namespace consilium::secagg {
namespace {

Digest ConfigHash(const SessionConfig& config) {
  FieldWriter fields("consilium secagg config v1");
  fields.Number(config.values)
      .Number(config.sums)
      .Field(config.layout.bytes)
      .Number(std::bit_cast<std::uint64_t>(config.clip_norm))
      .Number(std::bit_cast<std::uint64_t>(config.total_weight))
      .Text(config.weight_rule)
      .Text(config.privacy);
  return crypto::Sha256(fields.bytes());
}

void AddNames(FieldWriter& fields, const std::set<SiteId>& sites) {
  fields.Number(sites.size());
  for (const SiteId& site : sites) fields.Text(site.value);
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
    case Purpose::kDescription:
      return "description";
    case Purpose::kPreparation:
      return "preparation";
  }
  return "unknown";
}

std::string SessionKey::ToString() const { return StrCat(attempt.ToString(), " ", Name(purpose)); }

std::uint32_t Threshold(std::uint32_t cohort_size) {
  return static_cast<std::uint32_t>(std::uint64_t{cohort_size} * 2 / 3 + 1);
}

Digest ContextHash(const SessionConfig& config) {
  FieldWriter fields("consilium secagg context v1");
  fields.Number(kProtocolVersion)
      .Text(config.federation)
      .Text(config.key.attempt.run.value)
      .Number(config.key.attempt.round)
      .Number(config.key.attempt.attempt)
      .Number(static_cast<std::uint64_t>(config.key.purpose))
      .Field(config.model.bytes)
      .Field(ConfigHash(config).bytes)
      .Field(config.roster.bytes)
      .Number(config.cohort_size)
      .Number(config.threshold);
  return crypto::Sha256(fields.bytes());
}

Bytes AdvertisementText(const Digest& context, const Advertisement& advertisement) {
  FieldWriter fields("consilium secagg advertisement v1");
  fields.Field(context.bytes)
      .Text(advertisement.site.value)
      .Field(advertisement.share_key)
      .Field(advertisement.mask_key)
      .Field(advertisement.seed_hash.bytes);
  return std::move(fields).bytes();
}

Digest Transcript(const Digest& context, const std::vector<Advertisement>& members) {
  std::vector<const Advertisement*> sorted;
  for (const Advertisement& member : members) sorted.push_back(&member);
  std::sort(sorted.begin(), sorted.end(),
            [](const auto* a, const auto* b) { return a->site < b->site; });
  FieldWriter fields("consilium secagg transcript v1");
  fields.Field(context.bytes).Number(members.size());
  for (const Advertisement* member : sorted) {
    fields.Text(member->site.value)
        .Field(member->share_key)
        .Field(member->mask_key)
        .Field(member->seed_hash.bytes);
  }
  return crypto::Sha256(fields.bytes());
}

Bytes UploadText(const Digest& transcript, const SiteId& site, const Digest& sha256) {
  FieldWriter fields("consilium secagg upload v1");
  fields.Field(transcript.bytes).Text(site.value).Field(sha256.bytes);
  return std::move(fields).bytes();
}

Bytes SurvivorsText(const Digest& transcript, const std::set<SiteId>& sharers,
                    const std::set<SiteId>& survivors) {
  FieldWriter fields("consilium secagg survivors v1");
  fields.Field(transcript.bytes);
  AddNames(fields, sharers);
  AddNames(fields, survivors);
  return std::move(fields).bytes();
}

}  // namespace consilium::secagg
