#include "common/crypto/keystream.h"

#include <openssl/evp.h>

#include "common/base/random.h"
#include "tests/catch.h"

namespace consilium::crypto {
namespace {

// Of NIST SP 800-38A F.5.5, CTR-AES256.Encrypt.
constexpr std::string_view kKey =
    "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";

Secret KeyOf(std::string_view hex) { return Secret::CopyOf(FromHex(hex).value()); }

Bytes From(Keystream& keystream, std::uint64_t offset, std::size_t size) {
  Bytes out(size);
  REQUIRE(keystream.Generate(offset, out).ok());
  return out;
}

// The forward cipher alone, with which SP 800-38A section 6.5 defines CTR: O_i = E_K(T_i).
Bytes Encrypted(ByteView key, ByteView block) {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  REQUIRE(EVP_EncryptInit_ex(context, EVP_aes_256_ecb(), nullptr, key.data(), nullptr) == 1);
  REQUIRE(EVP_CIPHER_CTX_set_padding(context, 0) == 1);
  Bytes out(block.size());
  int written = 0;
  REQUIRE(EVP_EncryptUpdate(context, out.data(), &written, block.data(),
                            static_cast<int>(block.size())) == 1);
  EVP_CIPHER_CTX_free(context);
  return out;
}

TEST_CASE("The keystream is AES-256-CTR's from a counter block of zeros") {
  // head -c 64 /dev/zero | openssl enc -aes-256-ctr -K <kKey> -iv 0...0 | xxd -p
  Keystream keystream = Keystream::Create(KeyOf(kKey)).value();
  CHECK(ToHex(From(keystream, 0, 64)) ==
        "e568f68194cf76d6174d4cc04310a85491151e5d0b7a1f1bc0d7acd0ae3e51e4"
        "170e23d1735cd2d579e63a887bc9c813480d3ceda63605659579b51694e2b82e");
}

TEST_CASE("Block i of the keystream is the cipher of i, as SP 800-38A defines it") {
  const Bytes key = FromHex(kKey).value();
  // The forward cipher itself: F.5.5's first counter block and its output block.
  REQUIRE(ToHex(Encrypted(key, FromHex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff").value())) ==
          "0bdf7df1591716335e9a8b15c860c502");
  Keystream keystream = Keystream::Create(KeyOf(kKey)).value();
  for (const std::uint64_t i :
       {0ull, 1ull, 255ull, 256ull, 65535ull, 4294967295ull, 4294967296ull, 1234567890123ull}) {
    CAPTURE(i);
    Bytes counter(16);
    for (int byte = 0; byte < 8; ++byte)
      counter[15 - byte] = static_cast<std::uint8_t>(i >> 8 * byte);
    CHECK(From(keystream, 16 * i, 16) == Encrypted(key, counter));
  }
}

TEST_CASE("The counter carries from its low 32 bits into the high ones") {
  // head -c 48 /dev/zero | openssl enc -aes-256-ctr -K <kKey> -iv 0...0ffffffff | xxd -p
  Keystream keystream = Keystream::Create(KeyOf(kKey)).value();
  CHECK(ToHex(From(keystream, 0xffffffffull * 16, 48)) ==
        "55660ce5e9c1cf3d6bbdd2ccf42434979ff73b5d5d7c596928427adf292d10ff"
        "03cca10627cfc246a502a6bd7eaf48e4");
}

TEST_CASE("From any offset the keystream is the one that is made in order") {
  const std::uint64_t seed = 20;
  CAPTURE(seed);
  SeededRandom random(seed);
  Secret key(32);
  random.Fill(key.RevealForWriting());
  Keystream keystream = Keystream::Create(key).value();
  const Bytes whole = From(keystream, 0, 100000);
  for (int run = 0; run < 300; ++run) {
    const std::size_t offset = random.Below(whole.size());
    const std::size_t size = random.Below(whole.size() - offset + 1);
    CAPTURE(offset, size);
    const auto begin = whole.begin() + static_cast<std::ptrdiff_t>(offset);
    CHECK(From(keystream, offset, size) == Bytes(begin, begin + static_cast<std::ptrdiff_t>(size)));
  }
}

TEST_CASE("A keystream made in pieces of odd sizes is the one that is made at once") {
  const std::uint64_t seed = 21;
  CAPTURE(seed);
  SeededRandom random(seed);
  Keystream keystream = Keystream::Create(KeyOf(kKey)).value();
  Keystream other = Keystream::Create(KeyOf(kKey)).value();
  Bytes pieces;
  while (pieces.size() < 60000) {
    const Bytes piece = From(keystream, pieces.size(), random.Below(700));
    pieces.insert(pieces.end(), piece.begin(), piece.end());
  }
  CHECK(pieces == From(other, 0, pieces.size()));
}

TEST_CASE("A keystream goes on where it was after a move") {
  Keystream first = Keystream::Create(KeyOf(kKey)).value();
  const Bytes whole = From(first, 0, 80);
  From(first, 0, 21);
  Keystream second = std::move(first);
  CHECK(From(second, 21, 59) == Bytes(whole.begin() + 21, whole.end()));
}

TEST_CASE("A keystream's key of another size than 32 bytes is refused") {
  for (const std::size_t size : {0u, 16u, 31u, 33u}) {
    const auto keystream = Keystream::Create(Secret(size));
    REQUIRE(keystream.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(keystream.status().message()), ContainsText("32 bytes"));
  }
}

}  // namespace
}  // namespace consilium::crypto
