#include "common/wire/protocol.h"

#include "common/base/field_writer.h"
#include "common/crypto/sha256.h"

namespace consilium::wire {
Bytes EnvelopeContext(const SiteId& site, const UploadHeader& header) {
  return FieldWriter("consilium upload v2")
      .Text(site.value)
      .Text(header.key.run.value)
      .Number(header.key.round)
      .Number(header.key.attempt)
      .Number(static_cast<std::uint64_t>(header.kind))
      .Field(header.base_model.bytes)
      .Number(header.plaintext_size)
      .Real(header.weight)
      .Text(header.layout_header)
      .bytes();
}

Bytes PlanText(std::string_view federation, std::string_view researcher, const PlanNonce& nonce,
               const PlanHash& plan) {
  return FieldWriter("consilium plan v1")
      .Text(federation)
      .Text(researcher)
      .Field(nonce)
      .Field(plan.bytes)
      .bytes();
}

Digest ExtendedBy(const Digest& head, const LogEntry& entry) {
  return crypto::Sha256(
      FieldWriter("consilium log entry v1")
          .Field(head.bytes)
          .Number(entry.number)
          .Number(static_cast<std::uint64_t>(entry.time.time_since_epoch().count()))
          .Text(entry.actor)
          .Text(entry.action)
          .Text(entry.subject)
          .Text(entry.details)
          .bytes());
}

Bytes LogHeadText(std::string_view federation, std::uint64_t number, const Digest& head) {
  return FieldWriter("consilium log head v1")
      .Text(federation)
      .Number(number)
      .Field(head.bytes)
      .bytes();
}

}  // namespace consilium::wire
