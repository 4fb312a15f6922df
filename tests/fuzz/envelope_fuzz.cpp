#include <algorithm>

#include "common/crypto/envelope.h"
#include "tests/fuzz/fuzz.h"

namespace consilium::crypto {
namespace {

constexpr std::string_view kContext = "the context";

struct Sealed {
  X25519KeyPair recipient = *X25519KeyPair::FromPrivate(fuzz::PrivateKeyOf("recipient"));
  X25519KeyPair ephemeral = *X25519KeyPair::FromPrivate(fuzz::PrivateKeyOf("ephemeral"));
  Bytes plaintext = Bytes(100, 7);
  Bytes segment = Bytes(plaintext.size() + kTagBytes);

  Sealed() {
    auto sealer = EnvelopeSealer::CreateWithEphemeralForTest(ephemeral, recipient.public_key,
                                                             AsBytes(kContext));
    FUZZ_EXPECT(sealer.ok() && sealer->SealNext(plaintext, true, segment).ok());
  }
};

}  // namespace
}  // namespace consilium::crypto

// Header (32 bytes; zeros: the sealed envelope's), segment index (4), last (1), then pairs (place,
// xor) that change the sealed segment; what is beyond its end is added to it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  using namespace consilium::crypto;
  static const Sealed sealed;
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(size));
  fuzz::Cursor input(fuzz::Input(data, size));
  X25519PublicKey header{};
  std::ranges::copy(input.Take(header.size()), header.begin());
  if (header == X25519PublicKey{}) header = sealed.ephemeral.public_key;
  const std::uint32_t index = input.Number32();
  const bool last = input.Byte() % 2 == 0;
  Bytes segment = sealed.segment;
  while (!input.AtEnd()) {
    const std::uint8_t place = input.Byte(), change = input.Byte();
    if (place < segment.size()) {
      segment[place] ^= change;
    } else if (place == 0xff && !segment.empty()) {
      segment.pop_back();
    } else {
      segment.push_back(change);
    }
  }
  auto opener = EnvelopeOpener::Create(sealed.recipient, header, AsBytes(kContext));
  if (!opener.ok() || segment.size() < kTagBytes) return 0;
  Bytes plaintext(segment.size() - kTagBytes);
  const absl::Status opened = opener->Open(index, last, segment, plaintext);
  const bool unchanged =
      header == sealed.ephemeral.public_key && index == 0 && last && segment == sealed.segment;
  FUZZ_EXPECT(opened.ok() == unchanged);
  if (unchanged) FUZZ_EXPECT(plaintext == sealed.plaintext);
  return 0;
}
