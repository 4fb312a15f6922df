#include "common/crypto/signed_document.h"

#include "common/base/status.h"
#include "tests/catch.h"

namespace consilium::crypto {
namespace {

constexpr DocumentKind kLetter{"letter", "letter"};

Ed25519KeyPair Key(std::uint8_t seed = 7) { return *Ed25519KeyPair::FromPrivate(Bytes(32, seed)); }

std::string Nested(int levels) {
  return StrCat(std::string(levels, '['), std::string(levels, ']'));
}

TEST_CASE("A signed document is one file, whatever the order and spaces of the JSON were") {
  const auto file = SignDocument(Key(), kLetter, R"({"b":1,  "a":[true, "x"]})");
  REQUIRE(file.ok());
  CHECK_THAT(*file, ContainsText("{\n  \"letter\": {\n    \"a\": [\n      true,"));
  CHECK(file->back() == '\n');
  CHECK(*SignDocument(Key(), kLetter, R"({"a": [true,"x"], "b": 1})") == *file);
  CHECK(*VerifyDocument(Key().public_key, kLetter, *file) == R"({"a":[true,"x"],"b":1})");
}

TEST_CASE("A signed document with any one byte changed, dropped or added is refused") {
  const std::string file = *SignDocument(Key(), kLetter, R"({"to":"north","number":12.5})");
  REQUIRE(VerifyDocument(Key().public_key, kLetter, file).ok());
  for (std::size_t i = 0; i < file.size(); ++i) {
    INFO("byte " << i);
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = file;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      REQUIRE_FALSE(VerifyDocument(Key().public_key, kLetter, changed).ok());
    }
    std::string shorter = file, longer = file;
    shorter.erase(i, 1);
    longer.insert(i, " ");
    REQUIRE_FALSE(VerifyDocument(Key().public_key, kLetter, shorter).ok());
    REQUIRE_FALSE(VerifyDocument(Key().public_key, kLetter, longer).ok());
  }
}

TEST_CASE("A document signed as one kind is none of another") {
  const DocumentKind bill{"letter", "bill"};
  const std::string file = *SignDocument(Key(), kLetter, "{}");
  CHECK(VerifyDocument(Key().public_key, bill, file).status().code() ==
        absl::StatusCode::kUnauthenticated);
  CHECK(VerifyDocument(Key().public_key, {"bill", "letter"}, file).status().code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK(VerifyDocument(Key(8).public_key, kLetter, file).status().code() ==
        absl::StatusCode::kUnauthenticated);
}

TEST_CASE("A document that says a key twice is refused") {
  const std::string file = *SignDocument(Key(), kLetter, R"({"a":1})");
  std::string twice = file;
  twice.insert(twice.find("\"a\""), "\"a\": 2,\n    ");
  CHECK_FALSE(VerifyDocument(Key().public_key, kLetter, twice).ok());
}

TEST_CASE("JSON nested beyond 32 levels is refused and not followed") {
  const auto deepest = SignDocument(Key(), kLetter, StrCat("{\"a\":", Nested(31), "}"));
  REQUIRE(deepest.ok());
  CHECK(VerifyDocument(Key().public_key, kLetter, *deepest).ok());
  CHECK_FALSE(SignDocument(Key(), kLetter, StrCat("{\"a\":", Nested(32), "}")).ok());
  const std::string deep = StrCat("{\"letter\": {\"a\":", Nested(1'000'000), "}}");
  CHECK(VerifyDocument(Key().public_key, kLetter, deep).status().code() ==
        absl::StatusCode::kInvalidArgument);
  for (const char* text : {"", "[]", "null", "{", "12"}) {
    CHECK_FALSE(SignDocument(Key(), kLetter, text).ok());
    CHECK_FALSE(VerifyDocument(Key().public_key, kLetter, text).ok());
  }
}

}  // namespace
}  // namespace consilium::crypto
