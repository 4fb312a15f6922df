#include "common/crypto/model_record.h"

#include "common/base/status.h"
#include "tests/catch.h"

namespace consilium::crypto {
namespace {

Ed25519KeyPair Key() {
  Bytes seed(32, 7);
  return *Ed25519KeyPair::FromPrivate(seed);
}

std::string Record() {
  return StrCat(R"({"model": ")", std::string(64, 'b'),
                R"(", "run": "chest-0001", "auroc": 0.913, "sites": ["north", "south"]})");
}

TEST_CASE("A record that was signed verifies, in its canonical form") {
  const auto file = SignModelRecord(Key(), Record());
  REQUIRE(file.ok());
  const auto verified = VerifyModelRecord(Key().public_key, *file);
  REQUIRE(verified.ok());
  CHECK(verified->model.Hex() == std::string(64, 'b'));
  CHECK(verified->record_json == StrCat(R"({"auroc":0.913,"model":")", std::string(64, 'b'),
                                        R"(","run":"chest-0001","sites":["north","south"]})"));
}

TEST_CASE("A record with any one byte changed, dropped or added is refused") {
  const std::string file = *SignModelRecord(Key(), Record());
  for (std::size_t i = 0; i < file.size(); ++i) {
    INFO("byte " << i);
    for (const int bit : {0, 5, 7}) {
      std::string changed = file;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      CHECK_FALSE(VerifyModelRecord(Key().public_key, changed).ok());
    }
    std::string shorter = file;
    shorter.erase(i, 1);
    CHECK_FALSE(VerifyModelRecord(Key().public_key, shorter).ok());
    std::string longer = file;
    longer.insert(i, " ");
    CHECK_FALSE(VerifyModelRecord(Key().public_key, longer).ok());
  }
}

TEST_CASE("Another coordinator's key does not verify a record") {
  const std::string file = *SignModelRecord(Key(), Record());
  Bytes seed(32, 8);
  const auto other = Ed25519KeyPair::FromPrivate(seed);
  CHECK(VerifyModelRecord(other->public_key, file).status().code() ==
        absl::StatusCode::kUnauthenticated);
}

TEST_CASE("A record that names no model is not signed") {
  CHECK_FALSE(SignModelRecord(Key(), R"({"run": "a"})").ok());
  CHECK_FALSE(SignModelRecord(Key(), "not json").ok());
}

}  // namespace
}  // namespace consilium::crypto
