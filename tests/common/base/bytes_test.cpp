#include "common/base/bytes.h"

#include "tests/catch.h"
#include "tests/common/says.h"

namespace consilium {
namespace {

std::string Url(std::string_view text) { return ToBase64Url(AsBytes(text)); }

TEST_CASE("hexadecimal is written in small letters and read in both") {
  CHECK(ToHex(Bytes{0x00, 0x9f, 0xff}) == "009fff");
  CHECK(*FromHex("009FfF") == Bytes{0x00, 0x9f, 0xff});
  CHECK(FromHex("")->empty());
}

TEST_CASE("text that is not hexadecimal is refused with the place") {
  CHECK(Says(FromHex("abc").status(), "3 characters"));
  CHECK(Says(FromHex("0g").status(), "character 2"));
  CHECK_FALSE(FromHex(" 0").ok());
  CHECK_FALSE(FromHex("0x").ok());
}

// RFC 4648 section 10.
TEST_CASE("base64 gives the values of RFC 4648") {
  CHECK(Url("") == "");
  CHECK(Url("f") == "Zg");
  CHECK(Url("fo") == "Zm8");
  CHECK(Url("foo") == "Zm9v");
  CHECK(Url("foob") == "Zm9vYg");
  CHECK(Url("fooba") == "Zm9vYmE");
  CHECK(Url("foobar") == "Zm9vYmFy");
  CHECK(ToBase64(AsBytes("foob")) == "Zm9vYg==");
  CHECK(ToBase64Url(Bytes{0xfb, 0xff}) == "-_8");
  CHECK(ToBase64(Bytes{0xfb, 0xff}) == "+/8=");
}

TEST_CASE("base64url comes back, and one value has one text") {
  for (int length = 0; length < 50; ++length) {
    Bytes bytes(length);
    for (int i = 0; i < length; ++i) bytes[i] = static_cast<std::uint8_t>(37 * i + length);
    REQUIRE(*FromBase64Url(ToBase64Url(bytes)) == bytes);
  }
  for (const char* text : {"Zg==", "Z g", "Zg\n", "Zh", "A", "Z+", "Z/", "Zg."}) {
    CAPTURE(text);
    CHECK(FromBase64Url(text).status().code() == absl::StatusCode::kInvalidArgument);
  }
}

TEST_CASE("integers are stored with the lowest byte first") {
  std::uint8_t raw[8];
  StoreLe32(raw, 0x01020304);
  CHECK(raw[0] == 4);
  CHECK(raw[3] == 1);
  CHECK(LoadLe32(raw) == 0x01020304);
  StoreLe64(raw, 0x0102030405060708);
  CHECK(raw[0] == 8);
  CHECK(LoadLe64(raw) == 0x0102030405060708);
}

TEST_CASE("a digest is 64 hexadecimal characters") {
  const std::string hex = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
  const auto digest = Digest::FromHex(hex);
  REQUIRE(digest.ok());
  CHECK(digest->Hex() == hex);
  CHECK(digest->Short() == "0123456789ab");
  CHECK_FALSE(digest->IsZero());
  CHECK(Digest{}.IsZero());
  CHECK(Says(Digest::FromHex(hex.substr(1)).status(), "this one has 63"));
  CHECK_FALSE(Digest::FromHex(StrCat("x", hex.substr(1))).ok());
}

}  // namespace
}  // namespace consilium
