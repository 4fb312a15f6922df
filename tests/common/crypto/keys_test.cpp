#include "common/crypto/keys.h"

#include <algorithm>

#include "tests/catch.h"

namespace consilium::crypto {
namespace {

Bytes Hex(std::string_view hex) {
  auto bytes = FromHex(hex);
  REQUIRE(bytes.ok());
  return *std::move(bytes);
}

template <std::size_t kSize>
std::array<std::uint8_t, kSize> HexArray(std::string_view hex) {
  const Bytes bytes = Hex(hex);
  REQUIRE(bytes.size() == kSize);
  std::array<std::uint8_t, kSize> array;
  std::copy(bytes.begin(), bytes.end(), array.begin());
  return array;
}

Bytes Range(int first, int last) {
  Bytes bytes;
  for (int value = first; value <= last; ++value) bytes.push_back(static_cast<std::uint8_t>(value));
  return bytes;
}

std::string HkdfHex(ByteView key, ByteView salt, ByteView info, std::size_t size) {
  const auto out = Hkdf(key, salt, info, size);
  REQUIRE(out.ok());
  return ToHex(out->Reveal());
}

TEST_CASE("HKDF-SHA256 gives the outputs of RFC 5869 A.1 to A.3") {
  const Bytes key(22, 0x0b);
  CHECK(HkdfHex(key, Range(0x00, 0x0c), Range(0xf0, 0xf9), 42) ==
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
  CHECK(HkdfHex(Range(0x00, 0x4f), Range(0x60, 0xaf), Range(0xb0, 0xff), 82) ==
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e"
        "590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
  CHECK(HkdfHex(key, {}, {}, 42) ==
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

TEST_CASE("HKDF refuses no key, no output and too much output") {
  const Bytes key(22, 0x0b);
  CHECK(Hkdf({}, {}, {}, 32).status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(Hkdf(key, {}, {}, 0).status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(Hkdf(key, {}, {}, 8161).status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(HkdfHex(key, {}, {}, 8160).size() == 2 * 8160);
}

std::string X25519Hex(std::string_view scalar, std::string_view u) {
  const auto shared = X25519(Secret::CopyOf(Hex(scalar)), HexArray<32>(u));
  REQUIRE(shared.ok());
  return ToHex(shared->Reveal());
}

TEST_CASE("X25519 gives the outputs of RFC 7748 section 5.2") {
  CHECK(X25519Hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                  "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c") ==
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
  CHECK(X25519Hex("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
                  "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493") ==
        "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
}

TEST_CASE("Both sides of X25519 agree as in RFC 7748 section 6.1") {
  const auto alice = X25519KeyPair::FromPrivate(
      Hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
  const auto bob = X25519KeyPair::FromPrivate(
      Hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
  REQUIRE(alice.ok());
  REQUIRE(bob.ok());
  CHECK(ToHex(alice->public_key) ==
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  CHECK(ToHex(bob->public_key) ==
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  const auto one = X25519(alice->private_key, bob->public_key);
  const auto other = X25519(bob->private_key, alice->public_key);
  REQUIRE(one.ok());
  REQUIRE(other.ok());
  CHECK(ToHex(one->Reveal()) == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
  CHECK(one->Equals(other->Reveal()));
}

TEST_CASE("X25519 refuses public keys of low order") {
  const auto own = X25519KeyPair::Generate();
  REQUIRE(own.ok());
  // Orders 1, 2, 4 and 8: RFC 7748 section 7's warning; the points are those of curve25519's small
  // subgroup.
  for (const char* point : {"0000000000000000000000000000000000000000000000000000000000000000",
                            "0100000000000000000000000000000000000000000000000000000000000000",
                            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    CHECK(X25519(own->private_key, HexArray<32>(point)).status().code() ==
          absl::StatusCode::kInvalidArgument);
  }
}

TEST_CASE("Generated key pairs differ and come back from their private key") {
  const auto one = X25519KeyPair::Generate(), two = X25519KeyPair::Generate();
  REQUIRE(one.ok());
  REQUIRE(two.ok());
  CHECK(one->public_key != two->public_key);
  CHECK(X25519KeyPair::FromPrivate(one->private_key.Reveal())->public_key == one->public_key);
  const auto signer = Ed25519KeyPair::Generate();
  REQUIRE(signer.ok());
  CHECK(Ed25519KeyPair::FromPrivate(signer->private_key.Reveal())->public_key ==
        signer->public_key);
}

TEST_CASE("Private keys of another length are refused") {
  CHECK(X25519KeyPair::FromPrivate(Bytes(31)).status().code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK(Ed25519KeyPair::FromPrivate(Bytes(64)).status().code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK(X25519(Secret(), X25519PublicKey{9}).status().code() == absl::StatusCode::kInvalidArgument);
}

struct SignatureVector {
  std::string_view private_key, public_key, message, signature;
};

TEST_CASE("Ed25519 gives the signatures of RFC 8032 section 7.1, tests 1 to 3") {
  constexpr SignatureVector kVectors[] = {
      {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
       "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
       "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701c"
       "f9b46bd25bf5f0595bbe24655141438e7a100b"},
      {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
       "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
       "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0"
       "f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
      {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
       "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
       "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f76098"
       "4dc6594a7c15e9716ed28dc027beceea1ec40a"}};
  for (const SignatureVector& vector : kVectors) {
    const auto key = Ed25519KeyPair::FromPrivate(Hex(vector.private_key));
    REQUIRE(key.ok());
    CHECK(ToHex(key->public_key) == vector.public_key);
    const auto signature = Sign(*key, Hex(vector.message));
    REQUIRE(signature.ok());
    CHECK(ToHex(*signature) == vector.signature);
    CHECK(VerifySignature(key->public_key, Hex(vector.message), *signature).ok());
  }
}

TEST_CASE(
    "A signature is refused with any bit changed, for another message and under another key") {
  const auto key = Ed25519KeyPair::Generate(), other = Ed25519KeyPair::Generate();
  REQUIRE(key.ok());
  REQUIRE(other.ok());
  const auto signature = Sign(*key, AsBytes("round 3"));
  REQUIRE(signature.ok());
  CHECK(VerifySignature(key->public_key, AsBytes("round 3"), *signature).ok());
  CHECK(VerifySignature(key->public_key, AsBytes("round 4"), *signature).code() ==
        absl::StatusCode::kUnauthenticated);
  CHECK(VerifySignature(other->public_key, AsBytes("round 3"), *signature).code() ==
        absl::StatusCode::kUnauthenticated);
  for (std::size_t bit = 0; bit < 8 * signature->size(); ++bit) {
    Signature changed = *signature;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    REQUIRE(VerifySignature(key->public_key, AsBytes("round 3"), changed).code() ==
            absl::StatusCode::kUnauthenticated);
  }
}

}  // namespace
}  // namespace consilium::crypto
