#include "common/crypto/scrypt.h"

#include "tests/catch.h"

namespace consilium::crypto {
namespace {

std::string HexOf(std::string_view passphrase, std::string_view salt, const ScryptCost& cost) {
  const auto key = Scrypt(AsBytes(passphrase), AsBytes(salt), cost, 64);
  REQUIRE(key.ok());
  return ToHex(key->Reveal());
}

TEST_CASE("scrypt gives the outputs of RFC 7914 section 12") {
  CHECK(HexOf("", "", {16, 1, 1}) ==
        "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
        "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906");
  CHECK(HexOf("password", "NaCl", {1024, 8, 16}) ==
        "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
        "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640");
  CHECK(HexOf("pleaseletmein", "SodiumChloride", {16384, 8, 1}) ==
        "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
        "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887");
}

TEST_CASE("A guess at a passphrase costs 32 MiB unless said otherwise") {
  const ScryptCost cost;
  CHECK(128 * cost.n * cost.r == 32u << 20);
}

TEST_CASE("scrypt refuses costs that it does not have, and those above 1 GiB") {
  for (const ScryptCost& cost :
       {ScryptCost{0, 8, 1}, ScryptCost{1, 8, 1}, ScryptCost{1000, 8, 1}, ScryptCost{1024, 0, 1},
        ScryptCost{1024, 8, 0}, ScryptCost{1 << 21, 8, 1}, ScryptCost{std::uint64_t{1} << 63, 8, 1},
        ScryptCost{1024, 1u << 31, 1}, ScryptCost{1024, 8, 1u << 31}}) {
    INFO("n " << cost.n << " r " << cost.r << " p " << cost.p);
    CHECK(Scrypt(AsBytes("a"), AsBytes("b"), cost, 32).status().code() ==
          absl::StatusCode::kInvalidArgument);
  }
  CHECK(Scrypt(AsBytes("a"), AsBytes("b"), {16, 1, 1}, 0).status().code() ==
        absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace consilium::crypto
