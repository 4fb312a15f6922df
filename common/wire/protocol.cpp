#include "common/wire/protocol.h"

#include <bit>

#include "common/base/field_writer.h"
#include "common/crypto/sha256.h"

namespace consilium::wire {
namespace {

void AppendField(Bytes* out, ByteView field) {
  std::uint8_t size[4];
  StoreLe32(size, static_cast<std::uint32_t>(field.size()));
  out->insert(out->end(), size, size + sizeof size);
  out->insert(out->end(), field.begin(), field.end());
}

void AppendNumber(Bytes* out, std::uint64_t number) {
  std::uint8_t bytes[8];
  StoreLe64(bytes, number);
  AppendField(out, bytes);
}

}  // namespace

Bytes EnvelopeContext(const SiteId& site, const UploadHeader& header) {
  Bytes context;
  AppendField(&context, AsBytes("consilium upload 1"));
  AppendField(&context, AsBytes(site.value));
  AppendField(&context, AsBytes(header.key.run.value));
  AppendNumber(&context, header.key.round);
  AppendNumber(&context, header.key.attempt);
  AppendNumber(&context, static_cast<std::uint64_t>(header.kind));
  AppendField(&context, header.base_model.bytes);
  AppendNumber(&context, header.plaintext_size);
  AppendNumber(&context, std::bit_cast<std::uint64_t>(header.weight));
  AppendField(&context, AsBytes(header.layout_header));
  return context;
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
