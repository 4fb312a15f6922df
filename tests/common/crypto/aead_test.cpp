#include "common/crypto/aead.h"

#include <algorithm>

#include "common/base/status.h"
#include "tests/catch.h"

namespace consilium::crypto {
namespace {

struct Vector {
  std::string key, nonce, associated_data, message, sealed;
};

constexpr const char* kKey = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
constexpr const char* kMessage =
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
constexpr const char* kCiphertext =
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662";

// McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", test cases 13 to 16.
const std::vector<Vector> kVectors = {
    {std::string(64, '0'), std::string(24, '0'), "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {std::string(64, '0'), std::string(24, '0'), "", std::string(32, '0'),
     "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
    {kKey, "cafebabefacedbaddecaf888", "", std::string(kMessage) + "1aafd255",
     std::string(kCiphertext) + "898015adb094dac5d93471bdec1a502270e3cc6c"},
    {kKey, "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2", kMessage,
     std::string(kCiphertext) + "76fc6ece0f4e1768cddf8853bb2d551b"}};

Bytes Hex(const std::string& hex) {
  auto bytes = FromHex(hex);
  REQUIRE(bytes.ok());
  return *std::move(bytes);
}

AeadNonce NonceOf(const std::string& hex) {
  const Bytes bytes = Hex(hex);
  AeadNonce nonce{};
  REQUIRE(bytes.size() == nonce.size());
  std::copy(bytes.begin(), bytes.end(), nonce.begin());
  return nonce;
}

TEST_CASE("AES-256-GCM seals and opens the vectors of its specification") {
  for (const Vector& vector : kVectors) {
    const Secret key = Secret::CopyOf(Hex(vector.key));
    const AeadNonce nonce = NonceOf(vector.nonce);
    const auto sealed = SealOnce(key, nonce, Hex(vector.associated_data), Hex(vector.message));
    REQUIRE(sealed.ok());
    CHECK(ToHex(*sealed) == vector.sealed);
    const auto opened = OpenOnce(key, nonce, Hex(vector.associated_data), Hex(vector.sealed));
    REQUIRE(opened.ok());
    CHECK(ToHex(opened->Reveal()) == vector.message);
  }
}

TEST_CASE("A sealed message does not open after any bit of what goes in was changed") {
  const Vector& vector = kVectors.back();
  const Bytes key = Hex(vector.key), data = Hex(vector.associated_data),
              sealed = Hex(vector.sealed);
  const AeadNonce nonce = NonceOf(vector.nonce);
  const auto refused = [](const absl::StatusOr<Secret>& opened) {
    return opened.status().code() == absl::StatusCode::kUnauthenticated;
  };
  const auto flipped = [](auto bytes, std::size_t bit) {
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    return bytes;
  };
  const Secret right = Secret::CopyOf(key);
  for (std::size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
    CHECK(refused(OpenOnce(right, nonce, data, flipped(sealed, bit))));
  }
  for (std::size_t bit = 0; bit < 8 * data.size(); ++bit) {
    CHECK(refused(OpenOnce(right, nonce, flipped(data, bit), sealed)));
  }
  for (std::size_t bit = 0; bit < 8 * nonce.size(); ++bit) {
    CHECK(refused(OpenOnce(right, flipped(nonce, bit), data, sealed)));
  }
  for (std::size_t bit = 0; bit < 8 * key.size(); ++bit) {
    CHECK(refused(OpenOnce(Secret::CopyOf(flipped(key, bit)), nonce, data, sealed)));
  }
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    CHECK(refused(OpenOnce(right, nonce, data, ByteView(sealed).first(size))));
  }
  CHECK(refused(OpenOnce(right, nonce, {}, sealed)));
  CHECK(OpenOnce(right, nonce, data, sealed).ok());
}

TEST_CASE("A key of another size than 32 bytes is refused") {
  for (const std::size_t size : {0, 16, 31, 33}) {
    const Secret key(size);
    CHECK(SealOnce(key, {}, {}, {}).status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(OpenOnce(key, {}, {}, Bytes(16)).status().code() == absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace consilium::crypto
