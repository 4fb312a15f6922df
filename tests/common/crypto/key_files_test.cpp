#include <sys/stat.h>

#include "common/base/text.h"
#include "common/crypto/keys.h"
#include "tests/catch.h"
#include "tests/common/crypto/temporary_folder.h"

namespace consilium::crypto {
namespace {

Secret CountingKey() {
  Secret key(32);
  for (std::size_t i = 0; i < 32; ++i) key.RevealForWriting()[i] = static_cast<std::uint8_t>(i * 9);
  return key;
}

TEST_CASE("A private key comes back from its file, which only its owner may read") {
  const TemporaryFolder folder;
  const Secret key = CountingKey();
  REQUIRE(SavePrivateKey(folder / "seal.key", "x25519", key).ok());
  struct stat about {};
  REQUIRE(stat((folder / "seal.key").c_str(), &about) == 0);
  CHECK((about.st_mode & 07777) == 0600);
  CHECK(*ReadTextFile(folder / "seal.key") ==
        "consilium x25519 private key\n" + ToHex(key.Reveal()) + "\n");
  const auto loaded = LoadPrivateKey(folder / "seal.key", "x25519");
  REQUIRE(loaded.ok());
  CHECK(loaded->Equals(key.Reveal()));
}

TEST_CASE("A private key file that others may read is refused, with the chmod to run") {
  const TemporaryFolder folder;
  REQUIRE(SavePrivateKey(folder / "seal.key", "x25519", CountingKey()).ok());
  for (const mode_t mode : {0604, 0640, 0620, 0601, 0777}) {
    REQUIRE(chmod((folder / "seal.key").c_str(), mode) == 0);
    const auto loaded = LoadPrivateKey(folder / "seal.key", "x25519");
    CHECK(loaded.status().code() == absl::StatusCode::kPermissionDenied);
    CHECK(ToStd(loaded.status().message()).find("chmod 600 seal.key") != std::string_view::npos);
  }
  REQUIRE(chmod((folder / "seal.key").c_str(), 0400) == 0);
  CHECK(LoadPrivateKey(folder / "seal.key", "x25519").ok());
}

TEST_CASE(
    "A private key of another kind, a missing file, a folder and a key of another size are "
    "refused") {
  const TemporaryFolder folder;
  REQUIRE(SavePrivateKey(folder / "sign.key", "ed25519", CountingKey()).ok());
  CHECK(LoadPrivateKey(folder / "sign.key", "x25519").status().code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK(LoadPrivateKey(folder / "absent", "x25519").status().code() == absl::StatusCode::kNotFound);
  CHECK(LoadPrivateKey(folder / ".", "x25519").status().code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK(SavePrivateKey(folder / "short.key", "x25519", Secret(31)).code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK_FALSE(fs::exists(folder / "short.key"));
}

TEST_CASE("A damaged private key file is refused without showing what it holds") {
  const TemporaryFolder folder;
  const std::string hex = ToHex(CountingKey().Reveal());
  const std::string head = "consilium x25519 private key\n";
  for (const std::string& content :
       {head, head + hex.substr(2) + "\n", head + hex + "00\n", head + "zz" + hex.substr(2) + "\n",
        head + hex + "\n\n", "consilium x25519 private key " + hex, std::string(),
        std::string(5000, 'a')}) {
    REQUIRE(WriteFileDurably(folder / "seal.key", content).ok());
    const auto loaded = LoadPrivateKey(folder / "seal.key", "x25519");
    REQUIRE_FALSE(loaded.ok());
    CHECK(ToStd(loaded.status().message()).find(hex.substr(2, 8)) == std::string_view::npos);
  }
}

}  // namespace
}  // namespace consilium::crypto
