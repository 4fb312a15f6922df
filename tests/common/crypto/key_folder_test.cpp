#include "common/crypto/key_folder.h"

#include <sys/stat.h>

#include <algorithm>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/certificates.h"
#include "common/crypto/keys.h"
#include "tests/catch.h"
#include "tests/common/crypto/temporary_folder.h"
#include "tests/common/says.h"

namespace consilium::crypto {
namespace {

constexpr std::string_view kWords = "correct horse battery";

Passphrase Words(std::string_view text = kWords) { return *Passphrase::FromText(AsBytes(text)); }

Secret RandomKey() {
  Secret key(32);
  SystemRandom().Fill(key.RevealForWriting());
  return key;
}

// Options that name a passphrase file with these words.
PassphraseOptions WordsIn(const fs::path& file, std::string_view text = kWords) {
  REQUIRE(WriteFileDurably(file, text).ok());
  return {file, false};
}

// All bytes of all files in the folder.
std::string AllBytes(const fs::path& folder) {
  std::string all;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) all += *ReadTextFile(entry.path()) + "\n";
  }
  return all;
}

bool Shows(const std::string& all, ByteView secret) {
  const std::string lower = ToHex(secret), base64 = ToBase64(secret);
  std::string upper = lower;
  std::transform(upper.begin(), upper.end(), upper.begin(), ::toupper);
  const auto has = [&all](std::string_view text) { return all.find(text) != std::string::npos; };
  return has(AsText(secret)) || has(lower) || has(upper) || has(base64.substr(0, 40)) ||
         has(ToBase64Url(secret).substr(0, 40));
}

TEST_CASE("Wrapped keys come back with the passphrase, in files that only their owner may read") {
  const TemporaryFolder folder;
  const Secret key = RandomKey();
  const auto request = MakeRequest("north");
  REQUIRE(request.ok());
  {
    const auto keys = KeyFolder::Create(folder / "keys", Words());
    REQUIRE(keys.ok());
    CHECK(keys->wrapped());
    REQUIRE(keys->Save("signing.key", "ed25519", key).ok());
    REQUIRE(keys->SavePem("tls.key", request->private_key).ok());
  }
  for (const char* name : {"signing.key", "tls.key", "wrapping.json"}) {
    struct stat about {};
    REQUIRE(stat((folder / "keys" / name).c_str(), &about) == 0);
    CHECK((about.st_mode & 07777) == 0600);
  }
  const auto keys = KeyFolder::Open(folder / "keys", WordsIn(folder / "words"));
  REQUIRE(keys.ok());
  CHECK(keys->Load("signing.key", "ed25519")->Equals(key.Reveal()));
  CHECK(keys->LoadPem("tls.key")->Equals(request->private_key.Reveal()));
  CHECK(keys->Load("absent.key", "ed25519").status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("A wrong passphrase is refused as one, and does not open anything") {
  const TemporaryFolder folder;
  REQUIRE(KeyFolder::Create(folder / "keys", Words()).ok());
  const auto keys =
      KeyFolder::Open(folder / "keys", WordsIn(folder / "words", "correct horse staple"));
  CHECK(keys.status().code() == absl::StatusCode::kUnauthenticated);
  CHECK(Says(keys.status(), "wrong passphrase"));
  CHECK_FALSE(Says(keys.status(), "staple"));
}

TEST_CASE("A planted secret shows nowhere in a wrapped folder, and does in a bare one") {
  const TemporaryFolder folder;
  const Secret key = RandomKey();
  const auto request = MakeRequest("north");
  REQUIRE(request.ok());
  const std::string_view pem = AsText(request->private_key.Reveal());
  const std::string body(pem.substr(pem.find('\n') + 1, 64));
  const auto save = [&](const char* name, const Passphrase& passphrase) {
    const auto keys = KeyFolder::Create(folder / name, passphrase);
    REQUIRE(keys.ok());
    REQUIRE(keys->Save("signing.key", "ed25519", key).ok());
    REQUIRE(keys->SavePem("tls.key", request->private_key).ok());
    return AllBytes(folder / name);
  };
  const std::string wrapped = save("wrapped", Words());
  CHECK_FALSE(Shows(wrapped, key.Reveal()));
  CHECK(wrapped.find(body) == std::string::npos);
  CHECK_FALSE(Shows(wrapped, AsBytes(body)));
  CHECK_FALSE(Shows(wrapped, AsBytes(kWords)));
  const std::string bare = save("bare", Passphrase::Unprotected());
  CHECK(Shows(bare, key.Reveal()));
  CHECK(bare.find(body) != std::string::npos);
}

TEST_CASE("A wrapped key with any bit changed, a byte less or more, is refused") {
  const TemporaryFolder folder;
  const auto keys = KeyFolder::Create(folder / "keys", Words());
  REQUIRE(keys.ok());
  REQUIRE(keys->Save("signing.key", "ed25519", RandomKey()).ok());
  REQUIRE(keys->SavePem("tls.key", MakeRequest("north")->private_key).ok());
  const auto check = [&](const char* name, auto load) {
    const fs::path path = folder / "keys" / name;
    const std::string file = *ReadTextFile(path);
    REQUIRE(load().ok());
    // The file is replaced in place without fsync, so that thousands of tries take no time.
    const auto refused = [&](const std::string& content) {
      File out = *File::OpenForWriting(path, /*truncate=*/true);
      REQUIRE(out.WriteAt(0, AsBytes(content)).ok());
      return !load().ok();
    };
    for (std::size_t i = 0; i < file.size(); ++i) {
      INFO(name << " byte " << i);
      for (int bit = 0; bit < 8; ++bit) {
        std::string changed = file;
        changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
        REQUIRE(refused(changed));
      }
      REQUIRE(refused(file.substr(0, i)));
    }
    REQUIRE(refused(file + "\n"));
    REQUIRE_FALSE(refused(file));
  };
  check("signing.key", [&] { return keys->Load("signing.key", "ed25519"); });
  check("tls.key", [&] { return keys->LoadPem("tls.key"); });
}

TEST_CASE("What says how the keys are wrapped is refused when any byte of it is changed") {
  const TemporaryFolder folder;
  REQUIRE(KeyFolder::Create(folder / "keys", Words()).ok());
  const PassphraseOptions options = WordsIn(folder / "words");
  const fs::path path = folder / "keys/wrapping.json";
  const std::string file = *ReadTextFile(path);
  REQUIRE(KeyFolder::Open(folder / "keys", options).ok());
  const auto refused = [&](std::size_t at, int mask) {
    std::string changed = file;
    changed[at] = static_cast<char>(changed[at] ^ mask);
    File out = *File::OpenForWriting(path, /*truncate=*/true);
    REQUIRE(out.WriteAt(0, AsBytes(changed)).ok());
    return !KeyFolder::Open(folder / "keys", options).ok();
  };
  for (std::size_t i = 0; i < file.size(); ++i) {
    INFO("byte " << i);
    REQUIRE(refused(i, 0x20));  // no digit any more, or upper case: seen without scrypt
    REQUIRE(refused(i, 0x80));
    if (i % 12 == 0) REQUIRE(refused(i, 0x01));  // another digit: costs a scrypt
  }
}

TEST_CASE("A wrapped key does not pass under another name, as another kind or in another folder") {
  const TemporaryFolder folder;
  const auto keys = KeyFolder::Create(folder / "keys", Words());
  const auto other = KeyFolder::Create(folder / "other", Words());
  REQUIRE(keys.ok());
  REQUIRE(other.ok());
  REQUIRE(keys->Save("a.key", "ed25519", RandomKey()).ok());
  fs::copy_file(folder / "keys/a.key", folder / "keys/b.key");
  fs::copy_file(folder / "keys/a.key", folder / "other/a.key");
  CHECK(keys->Load("a.key", "ed25519").ok());
  CHECK(keys->Load("b.key", "ed25519").status().code() == absl::StatusCode::kDataLoss);
  CHECK(keys->Load("a.key", "x25519").status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(keys->LoadPem("a.key").status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(other->Load("a.key", "ed25519").status().code() == absl::StatusCode::kDataLoss);
}

TEST_CASE("Bare keys load as before, without any passphrase, and a lost wrapping.json is named") {
  const TemporaryFolder folder;
  const Secret key = RandomKey();
  REQUIRE(EnsureFolder(folder / "old").ok());
  REQUIRE(SavePrivateKey(folder / "old/signing.key", "ed25519", key).ok());
  const auto request = MakeRequest("north");
  REQUIRE(WriteFileDurably(folder / "old/tls.key", request->private_key.Reveal()).ok());
  const auto old = KeyFolder::Open(folder / "old");
  REQUIRE(old.ok());
  CHECK_FALSE(old->wrapped());
  CHECK(old->Load("signing.key", "ed25519")->Equals(key.Reveal()));
  CHECK(old->LoadPem("tls.key")->Equals(request->private_key.Reveal()));
  REQUIRE(chmod((folder / "old/tls.key").c_str(), 0640) == 0);
  CHECK(old->LoadPem("tls.key").status().code() == absl::StatusCode::kPermissionDenied);

  const auto keys = KeyFolder::Create(folder / "keys", Words());
  REQUIRE(keys.ok());
  REQUIRE(keys->Save("a.key", "ed25519", key).ok());
  fs::remove(folder / "keys/wrapping.json");
  const auto lost = KeyFolder::Open(folder / "keys")->Load("a.key", "ed25519");
  CHECK(lost.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(Says(lost.status(), "wrapping.json"));
}

TEST_CASE("A folder with wrapped keys is not begun a second time") {
  const TemporaryFolder folder;
  REQUIRE(KeyFolder::Create(folder / "keys", Words()).ok());
  CHECK(KeyFolder::Create(folder / "keys", Words()).status().code() ==
        absl::StatusCode::kAlreadyExists);
  CHECK(KeyFolder::Create(folder / "keys", Passphrase::Unprotected()).status().code() ==
        absl::StatusCode::kAlreadyExists);
}

}  // namespace
}  // namespace consilium::crypto
