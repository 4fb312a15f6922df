#include "common/crypto/sha256.h"

#include "common/base/random.h"
#include "tests/catch.h"
#include "tests/common/crypto/temporary_folder.h"

namespace consilium::crypto {
namespace {

TEST_CASE("SHA-256 gives the values of FIPS 180-4's examples") {
  CHECK(Sha256(std::string_view("")).Hex() ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(Sha256(std::string_view("abc")).Hex() ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(
      Sha256(std::string_view("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).Hex() ==
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(Sha256(std::string(1000000, 'a')).Hex() ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("A stream of pieces hashes as the whole does, moved or not") {
  Bytes bytes(100000);
  SeededRandom random(11);
  random.Fill(bytes);
  Sha256Stream first;
  std::size_t done = 0;
  for (std::size_t piece = 0; done < bytes.size(); done += piece) {
    piece = std::min<std::size_t>(random.Below(700), bytes.size() - done);
    first.Update(ByteView(bytes).subspan(done, piece));
  }
  Sha256Stream stream = std::move(first);
  CHECK(std::move(stream).Finish() == Sha256(bytes));
}

TEST_CASE("A file hashes as its bytes do, whatever its size") {
  const TemporaryFolder folder;
  for (const std::size_t size : {0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3000000}) {
    Bytes bytes(size);
    SeededRandom(size).Fill(bytes);
    REQUIRE(WriteFileDurably(folder / "file", ByteView(bytes)).ok());
    const auto digest = Sha256OfFile(folder / "file");
    REQUIRE(digest.ok());
    CHECK(*digest == Sha256(bytes));
  }
  CHECK(Sha256OfFile(folder / "absent").status().code() == absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace consilium::crypto
