#include "common/crypto/envelope.h"

#include <openssl/evp.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <numeric>
#include <vector>

#include "common/base/random.h"
#include "common/crypto/sha256.h"
#include "tests/catch.h"

namespace consilium::crypto {
namespace {

constexpr std::string_view kContext = "chest-opacity-0003/2/1 of north-hospital";

X25519KeyPair MakePair() {
  auto pair = X25519KeyPair::Generate();
  REQUIRE(pair.ok());
  return *std::move(pair);
}

X25519KeyPair FixedPair(std::uint8_t value) {
  auto pair = X25519KeyPair::FromPrivate(Bytes(32, value));
  REQUIRE(pair.ok());
  return *std::move(pair);
}

Bytes RandomBytes(std::size_t size, std::uint64_t seed) {
  Bytes bytes(size);
  SeededRandom(seed).Fill(bytes);
  return bytes;
}

struct Envelope {
  X25519PublicKey header;
  std::vector<Bytes> segments;
};

Envelope SealAll(EnvelopeSealer sealer, ByteView plaintext) {
  Envelope envelope{sealer.header(), {}};
  for (std::size_t offset = 0; offset < plaintext.size(); offset += kSegmentBytes) {
    const ByteView part =
        plaintext.subspan(offset, std::min(kSegmentBytes, plaintext.size() - offset));
    const bool last = offset + part.size() == plaintext.size();
    Bytes sealed(part.size() + kTagBytes);
    REQUIRE(sealer.SealNext(part, last, sealed).ok());
    envelope.segments.push_back(std::move(sealed));
  }
  return envelope;
}

Envelope SealAll(const X25519PublicKey& recipient, ByteView plaintext,
                 std::string_view context = kContext) {
  auto sealer = EnvelopeSealer::Create(recipient, AsBytes(context));
  REQUIRE(sealer.ok());
  return SealAll(*std::move(sealer), plaintext);
}

EnvelopeOpener OpenerOf(const X25519KeyPair& recipient, const X25519PublicKey& header,
                        std::string_view context = kContext) {
  auto opener = EnvelopeOpener::Create(recipient, header, AsBytes(context));
  REQUIRE(opener.ok());
  return *std::move(opener);
}

absl::Status OpenOne(EnvelopeOpener& opener, std::uint32_t index, bool last, ByteView sealed,
                     Bytes* out = nullptr) {
  Bytes text(sealed.size() > kTagBytes ? sealed.size() - kTagBytes : 0, 0xee);
  const absl::Status status = opener.Open(index, last, sealed, text);
  if (!status.ok()) CHECK(std::all_of(text.begin(), text.end(), [](int b) { return b == 0; }));
  if (out != nullptr) *out = std::move(text);
  return status;
}

bool Refused(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnauthenticated;
}

Bytes Join(const Envelope& envelope) {
  Bytes all(envelope.header.begin(), envelope.header.end());
  for (const Bytes& segment : envelope.segments) {
    all.insert(all.end(), segment.begin(), segment.end());
  }
  return all;
}

TEST_CASE("An envelope of any size opens to what was sealed, and has the size that is promised") {
  const X25519KeyPair recipient = MakePair();
  for (const std::size_t size : {std::size_t{1}, kSegmentBytes - 1, kSegmentBytes,
                                 kSegmentBytes + 1, 3 * kSegmentBytes, 3 * kSegmentBytes + 777}) {
    const Bytes plaintext = RandomBytes(size, size);
    const Envelope envelope = SealAll(recipient.public_key, plaintext);
    REQUIRE(envelope.segments.size() == SegmentCount(size));
    CHECK(Join(envelope).size() == EnvelopeSize(size));
    EnvelopeOpener opener = OpenerOf(recipient, envelope.header);
    Bytes opened;
    std::uint64_t offset = kEnvelopeHeaderBytes;
    for (std::uint32_t i = 0; i < envelope.segments.size(); ++i) {
      CHECK(SegmentOffset(i) == offset);
      offset += envelope.segments[i].size();
      Bytes part;
      REQUIRE(
          OpenOne(opener, i, i + 1 == envelope.segments.size(), envelope.segments[i], &part).ok());
      opened.insert(opened.end(), part.begin(), part.end());
    }
    CHECK(opened == plaintext);
  }
}

TEST_CASE("The sizes of envelopes are right up to the greatest") {
  CHECK(SegmentCount(1) == 1);
  CHECK(SegmentCount(kSegmentBytes) == 1);
  CHECK(SegmentCount(kSegmentBytes + 1) == 2);
  CHECK(SegmentCount(kMaxPlaintextBytes) == kMaxSegments);
  CHECK(EnvelopeSize(1) == 32 + 1 + 16);
  CHECK(EnvelopeSize(kMaxPlaintextBytes) ==
        32 + std::uint64_t{kMaxSegments} * (kSegmentBytes + kTagBytes));
  CHECK(SegmentOffset(0) == 32);
  CHECK(SegmentOffset(kMaxSegments) == EnvelopeSize(kMaxPlaintextBytes));
}

// Made once by another implementation (Python's cryptography) from the grammar in envelope.h.
TEST_CASE("A sealed envelope has the bytes that the grammar in the header says") {
  const X25519KeyPair ephemeral = FixedPair(0x11), recipient = FixedPair(0x22);
  const auto seal = [&](ByteView plaintext) {
    auto sealer = EnvelopeSealer::CreateWithEphemeralForTest(ephemeral, recipient.public_key,
                                                             AsBytes("golden context"));
    REQUIRE(sealer.ok());
    return Join(SealAll(*std::move(sealer), plaintext));
  };
  CHECK(ToHex(seal(AsBytes("one site's update"))) ==
        "7b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f1326ab044adcf9b185f944dce144"
        "c5e80b75ffdcda433d56a7fa16bc06a36fda03fb");
  Bytes counting(2 * kSegmentBytes + 5);
  for (std::size_t i = 0; i < counting.size(); ++i)
    counting[i] = static_cast<std::uint8_t>(i % 251);
  CHECK(Sha256(seal(counting)).Hex() ==
        "d2ac42fd25110b3e00974d2ff01bda7e1a2f19d2e99b6eff8d9b91d73fe67b44");
}

TEST_CASE("Each sealed envelope has its own ephemeral key") {
  const X25519KeyPair recipient = MakePair();
  const Bytes plaintext = RandomBytes(100, 1);
  const Envelope one = SealAll(recipient.public_key, plaintext);
  const Envelope two = SealAll(recipient.public_key, plaintext);
  CHECK(one.header != two.header);
  CHECK(one.segments != two.segments);
}

TEST_CASE("An envelope with any bit changed, header and tag included, is refused") {
  const X25519KeyPair recipient = MakePair();
  const Envelope envelope = SealAll(recipient.public_key, RandomBytes(50, 2));
  for (std::size_t bit = 0; bit < 8 * envelope.segments[0].size(); ++bit) {
    Bytes changed = envelope.segments[0];
    changed[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    EnvelopeOpener opener = OpenerOf(recipient, envelope.header);
    REQUIRE(Refused(OpenOne(opener, 0, true, changed)));
  }
  for (std::size_t bit = 0; bit < 8 * kEnvelopeHeaderBytes; ++bit) {
    X25519PublicKey changed = envelope.header;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    EnvelopeOpener opener = OpenerOf(recipient, changed);
    REQUIRE(Refused(OpenOne(opener, 0, true, envelope.segments[0])));
  }
}

TEST_CASE(
    "A changed byte anywhere in a whole segment is refused, and the opener goes on after it") {
  const X25519KeyPair recipient = MakePair();
  const Bytes plaintext = RandomBytes(kSegmentBytes + 9, 3);
  Envelope envelope = SealAll(recipient.public_key, plaintext);
  EnvelopeOpener opener = OpenerOf(recipient, envelope.header);
  SeededRandom random(4);
  for (int i = 0; i < 200; ++i) {
    std::uint8_t& byte = envelope.segments[0][random.Below(envelope.segments[0].size())];
    const auto change = static_cast<std::uint8_t>(1 + random.Below(255));
    byte ^= change;
    REQUIRE(Refused(OpenOne(opener, 0, false, envelope.segments[0])));
    byte ^= change;
  }
  Bytes part;
  REQUIRE(OpenOne(opener, 0, false, envelope.segments[0], &part).ok());
  CHECK(std::equal(part.begin(), part.end(), plaintext.begin()));
}

TEST_CASE("Segments open in any order, and again") {
  const X25519KeyPair recipient = MakePair();
  const Bytes plaintext = RandomBytes(4 * kSegmentBytes + 1, 5);
  const Envelope envelope = SealAll(recipient.public_key, plaintext);
  EnvelopeOpener opener = OpenerOf(recipient, envelope.header);
  for (const std::uint32_t index : {4u, 0u, 3u, 3u, 1u, 2u, 4u}) {
    Bytes part;
    REQUIRE(OpenOne(opener, index, index == 4, envelope.segments[index], &part).ok());
    CHECK(std::equal(part.begin(), part.end(), plaintext.begin() + index * kSegmentBytes));
  }
}

TEST_CASE("Swapped, repeated, dropped, truncated and foreign segments are refused") {
  const X25519KeyPair recipient = MakePair();
  const Bytes plaintext = RandomBytes(3 * kSegmentBytes, 6);
  const Envelope envelope = SealAll(recipient.public_key, plaintext);
  const Envelope other = SealAll(recipient.public_key, plaintext);
  const std::vector<Bytes>& segments = envelope.segments;
  EnvelopeOpener opener = OpenerOf(recipient, envelope.header);
  for (std::uint32_t at = 0; at < 3; ++at) {
    for (std::uint32_t from = 0; from < 3; ++from) {
      const bool ok = OpenOne(opener, at, at == 2, segments[from]).ok();
      CHECK(ok == (at == from));
    }
    CHECK(Refused(OpenOne(opener, at, at == 2, other.segments[at])));
  }
  CHECK(Refused(OpenOne(opener, 1, true, segments[1])));   // the envelope cut after segment 1
  CHECK(Refused(OpenOne(opener, 2, false, segments[2])));  // and carried on after its last
  CHECK(Refused(OpenOne(opener, 1, true, segments[2])));   // segment 1 dropped
  CHECK(Refused(OpenOne(opener, 3, true, segments[2])));   // one repeated
  const ByteView last(segments[2]);
  for (const std::size_t kept : {last.size() - 1, last.size() / 2, kTagBytes + 1, kTagBytes,
                                 std::size_t{3}, std::size_t{0}}) {
    CHECK(Refused(OpenOne(opener, 2, true, last.first(kept))));
    CHECK(Refused(OpenOne(opener, 0, false, ByteView(segments[0]).first(kept))));
  }
  Bytes longer = segments[2];
  longer.push_back(0);
  CHECK(Refused(OpenOne(opener, 2, true, longer)));
  CHECK(Refused(OpenOne(opener, kMaxSegments, true, segments[2])));
}

TEST_CASE("An envelope for another context or another recipient does not open") {
  const X25519KeyPair recipient = MakePair(), other = MakePair();
  const Envelope envelope = SealAll(recipient.public_key, RandomBytes(10, 7));
  EnvelopeOpener right = OpenerOf(recipient, envelope.header);
  CHECK(OpenOne(right, 0, true, envelope.segments[0]).ok());
  EnvelopeOpener wrong_context =
      OpenerOf(recipient, envelope.header, "chest-opacity-0003/2/2 of north-hospital");
  CHECK(Refused(OpenOne(wrong_context, 0, true, envelope.segments[0])));
  EnvelopeOpener no_context = OpenerOf(recipient, envelope.header, "");
  CHECK(Refused(OpenOne(no_context, 0, true, envelope.segments[0])));
  EnvelopeOpener wrong_recipient = OpenerOf(other, envelope.header);
  CHECK(Refused(OpenOne(wrong_recipient, 0, true, envelope.segments[0])));
}

TEST_CASE("A header or recipient of low order is refused at once") {
  const X25519KeyPair recipient = MakePair();
  CHECK(EnvelopeOpener::Create(recipient, X25519PublicKey{}, {}).status().code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK(EnvelopeSealer::Create(X25519PublicKey{}, {}).status().code() ==
        absl::StatusCode::kInvalidArgument);
}

TEST_CASE("The sealer refuses segments of a wrong size and any after the last") {
  const X25519KeyPair recipient = MakePair();
  auto sealer = EnvelopeSealer::Create(recipient.public_key, AsBytes(kContext));
  REQUIRE(sealer.ok());
  const Bytes text(kSegmentBytes + 1);
  Bytes out(text.size() + kTagBytes);
  const auto seal = [&](std::size_t size, bool last, std::size_t room) {
    return sealer->SealNext(ByteView(text).first(size), last, std::span(out).first(room)).code();
  };
  constexpr auto kBadSize = absl::StatusCode::kInvalidArgument;
  CHECK(seal(5, false, 21) == kBadSize);
  CHECK(seal(0, true, 16) == kBadSize);
  CHECK(seal(kSegmentBytes + 1, true, out.size()) == kBadSize);
  CHECK(seal(5, true, 20) == kBadSize);
  CHECK(seal(5, true, 22) == kBadSize);
  CHECK(seal(5, true, 21) == absl::StatusCode::kOk);
  CHECK(seal(5, true, 21) == absl::StatusCode::kFailedPrecondition);
  // What was refused did not count: the one that was sealed is segment 0.
  EnvelopeOpener opener = OpenerOf(recipient, sealer->header());
  CHECK(OpenOne(opener, 0, true, ByteView(out).first(21)).ok());
  Bytes small(4);
  CHECK(opener.Open(0, true, ByteView(out).first(21), small).code() == kBadSize);
}

TEST_CASE("Segments are sealed and opened in place too") {
  const X25519KeyPair recipient = MakePair();
  const Bytes plaintext = RandomBytes(1000, 8);
  Bytes buffer = plaintext;
  buffer.resize(plaintext.size() + kTagBytes);
  auto sealer = EnvelopeSealer::Create(recipient.public_key, AsBytes(kContext));
  REQUIRE(sealer.ok());
  REQUIRE(sealer->SealNext(ByteView(buffer).first(plaintext.size()), true, buffer).ok());
  EnvelopeOpener opener = OpenerOf(recipient, sealer->header());
  const std::span<std::uint8_t> text = std::span(buffer).first(plaintext.size());
  REQUIRE(opener.Open(0, true, buffer, text).ok());
  CHECK(std::equal(text.begin(), text.end(), plaintext.begin()));
}

double GigabytesPerSecond(std::uint64_t bytes, std::chrono::steady_clock::time_point start) {
  return static_cast<double>(bytes) /
         std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
}

double BareGcmSpeed(ByteView text, std::span<std::uint8_t> out, int rounds) {
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> cipher(EVP_CIPHER_CTX_new(),
                                                                               EVP_CIPHER_CTX_free);
  const Bytes key(32, 1), nonce(12, 2);
  REQUIRE(EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key.data(), nonce.data()) ==
          1);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < rounds; ++i) {
    int size = 0;
    REQUIRE(EVP_EncryptUpdate(cipher.get(), out.data(), &size, text.data(),
                              static_cast<int>(text.size())) == 1);
  }
  return GigabytesPerSecond(text.size() * static_cast<std::uint64_t>(rounds), start);
}

// Hidden: run with crypto_test "[speed]".
TEST_CASE("Sealing and opening run at nearly the speed of bare AES-256-GCM", "[.][speed]") {
  constexpr int kRounds = 4000;  // 1 GB
  const X25519KeyPair recipient = MakePair();
  const Bytes text = RandomBytes(kSegmentBytes, 9);
  Bytes sealed(kSegmentBytes + kTagBytes), opened(kSegmentBytes);
  const double bare = BareGcmSpeed(text, opened, kRounds);

  auto sealer = EnvelopeSealer::Create(recipient.public_key, AsBytes(kContext));
  REQUIRE(sealer.ok());
  auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kRounds; ++i) REQUIRE(sealer->SealNext(text, false, sealed).ok());
  const double sealing = GigabytesPerSecond(std::uint64_t{kRounds} * kSegmentBytes, start);

  EnvelopeOpener opener = OpenerOf(recipient, sealer->header());
  start = std::chrono::steady_clock::now();
  for (int i = 0; i < kRounds; ++i) REQUIRE(opener.Open(kRounds - 1, false, sealed, opened).ok());
  const double opening = GigabytesPerSecond(std::uint64_t{kRounds} * kSegmentBytes, start);

  std::cout << "bare AES-256-GCM " << bare << " GB/s, sealing " << sealing << ", opening "
            << opening << "\n";
  CHECK(sealing > 0.7 * bare);
  CHECK(opening > 0.7 * bare);
}

}  // namespace
}  // namespace consilium::crypto
