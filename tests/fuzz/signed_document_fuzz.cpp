#include "common/crypto/model_record.h"
#include "common/crypto/signed_document.h"
#include "tests/fuzz/fuzz.h"

namespace consilium::crypto {
namespace {

// What is signed is verified, in one form, and with any byte changed it is not.
void CheckSigned(const Ed25519KeyPair& key, std::string_view json, std::uint32_t where) {
  const auto file = SignDocument(key, kModelRecordDocument, json);
  if (!file.ok()) {
    FUZZ_EXPECT(absl::IsInvalidArgument(file.status()));
    return;
  }
  const auto object = VerifyDocument(key.public_key, kModelRecordDocument, *file);
  FUZZ_EXPECT(object.ok());
  FUZZ_EXPECT(*SignDocument(key, kModelRecordDocument, *object) == *file);
  FUZZ_EXPECT(!VerifyDocument(key.public_key, kRosterDocument, *file).ok());
  std::string changed = *file;
  changed[where % changed.size()] ^= 1;
  FUZZ_EXPECT(!VerifyDocument(key.public_key, kModelRecordDocument, changed).ok());
  FUZZ_EXPECT(!VerifyModelRecord(key.public_key, changed).ok());
}

}  // namespace
}  // namespace consilium::crypto

// Four bytes (which byte of the file to change), then JSON to sign, or a file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  static const auto key = *crypto::Ed25519KeyPair::FromPrivate(fuzz::PrivateKeyOf("coordinator"));
  // Indented by two spaces a level, of 32 at most: a byte of JSON becomes 64, and then a copy.
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(16 * size));
  fuzz::Cursor input(fuzz::Input(data, size));
  const std::uint32_t where = input.Number32();
  const std::string_view text = AsText(input.Rest());
  crypto::CheckSigned(key, text, where);
  const auto object = crypto::VerifyDocument(key.public_key, crypto::kModelRecordDocument, text);
  if (object.ok()) {
    FUZZ_EXPECT(*crypto::SignDocument(key, crypto::kModelRecordDocument, *object) == text);
  }
  const auto record = crypto::VerifyModelRecord(key.public_key, text);
  if (record.ok()) FUZZ_EXPECT(object.ok() && record->record_json == *object);
  return 0;
}
