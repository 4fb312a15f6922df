#include "common/crypto/signed_document.h"
#include "common/identity/roster.h"
#include "tests/fuzz/fuzz.h"

// 's' and a JSON object: a roster with the root's signature, whatever is in it. Else a file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  static const auto root = *crypto::Ed25519KeyPair::FromPrivate(fuzz::PrivateKeyOf("root"));
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(8 * size));
  std::string file(AsText(fuzz::Input(data, size)));
  if (!file.empty() && file[0] == 's') {
    const auto is_signed = crypto::SignDocument(root, crypto::kRosterDocument, file.substr(1));
    if (!is_signed.ok()) return 0;
    file = *is_signed;
  }
  const auto roster = identity::VerifyRoster(root.public_key, file);
  if (!roster.ok()) return 0;
  FUZZ_EXPECT(roster->file == file);
  const auto again = identity::SignRoster(root, roster->roster);
  FUZZ_EXPECT(again.ok() && again->roster == roster->roster);
  FUZZ_EXPECT(again->file == file && again->hash == roster->hash);
  for (const identity::RosterEntry& member : roster->roster.members) {
    FUZZ_EXPECT(roster->roster.Find(member.name) == &member);
    FUZZ_EXPECT(roster->roster.FindByTlsKey(member.tls_key) == &member);
  }
  return 0;
}
