#include <signal.h>
#include <sys/resource.h>

#include "common/crypto/model_record.h"
#include "common/crypto/sha256.h"
#include "coordinator/aggregator.h"
#include "coordinator/model_store.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/coordinator/sites_contribution.h"

namespace consilium::coordinator {
namespace {

constexpr char kRecord[] =
    R"({"model":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","run":"opacity-0001","test":{"auroc":0.9123456789}})";

// Files of this process may not grow beyond `bytes`, as on a disk that is full.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

ModelState Model(std::size_t parameters) {
  return ModelState::Create({{"weight", {static_cast<std::int64_t>(parameters)}}},
                            std::vector<float>(parameters, 0.25f))
      .value();
}

std::size_t FilesIn(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

TEST_CASE("a signed record verifies, and says which model it is of") {
  const auto key = crypto::Ed25519KeyPair::Generate().value();
  const std::string file = crypto::SignModelRecord(key, kRecord).value();
  const auto verified = crypto::VerifyModelRecord(key.public_key, file);
  REQUIRE(verified.ok());
  CHECK(verified->model.Hex() == std::string(64, 'a'));
  CHECK(verified->record_json == kRecord);
}

TEST_CASE("a record with any byte changed, cut or added does not verify") {
  const auto key = crypto::Ed25519KeyPair::Generate().value();
  const std::string file = crypto::SignModelRecord(key, kRecord).value();
  for (std::size_t i = 0; i < file.size(); ++i) {
    for (const int bit : {0x01, 0x20}) {
      std::string changed = file;
      changed[i] = static_cast<char>(changed[i] ^ bit);
      INFO("byte " << i << " of " << file);
      CHECK_FALSE(crypto::VerifyModelRecord(key.public_key, changed).ok());
    }
    CHECK_FALSE(crypto::VerifyModelRecord(key.public_key, file.substr(0, i)).ok());
  }
  CHECK_FALSE(crypto::VerifyModelRecord(key.public_key, file + " ").ok());
}

TEST_CASE("a record signed by another key is refused as such") {
  const auto key = crypto::Ed25519KeyPair::Generate().value();
  const auto other = crypto::Ed25519KeyPair::Generate().value();
  const std::string file = crypto::SignModelRecord(other, kRecord).value();
  CHECK(absl::IsUnauthenticated(crypto::VerifyModelRecord(key.public_key, file).status()));
}

TEST_CASE("a record without a model is not signed") {
  const auto key = crypto::Ed25519KeyPair::Generate().value();
  CHECK_FALSE(crypto::SignModelRecord(key, R"({"run":"opacity-0001"})").ok());
  CHECK_FALSE(crypto::SignModelRecord(key, "[]").ok());
}

TEST_CASE("a model file is kept under its hash, and a damaged one is not taken") {
  TemporaryFolder folder;
  ModelStore store = ModelStore::Open(folder / "models").value();
  REQUIRE(SaveSafetensors(folder / "model.safetensors", Model(1000)).ok());
  const auto made = store.Import(folder / "model.safetensors");
  REQUIRE(made.ok());
  CHECK(made->id == crypto::Sha256OfFile(store.PathOf(made->id)).value());
  CHECK(TotalElements(store.LoadBase(made->id)->header.layout) == 1000);

  fs::resize_file(folder / "model.safetensors", 1000);
  CHECK_FALSE(store.Import(folder / "model.safetensors").ok());
  CHECK(FilesIn(folder / "models") == 1);
  CHECK(store.Remove(made->id).value());
  CHECK_FALSE(store.Remove(made->id).value());
  CHECK(absl::IsNotFound(store.OpenForReading(made->id).status()));
}

TEST_CASE("what an interrupted write left is removed at the next start") {
  TemporaryFolder folder;
  REQUIRE(EnsureFolder(folder / "models").ok());
  REQUIRE(WriteFileDurably(folder / "models/candidate-opacity-0001-1-1.tmp", "half").ok());
  REQUIRE(ModelStore::Open(folder / "models").ok());
  CHECK(FilesIn(folder / "models") == 0);
}

TEST_CASE("a full disk costs no contribution: the candidate is made when there is room again") {
  TemporaryFolder folder;
  ModelStore store = ModelStore::Open(folder / "models").value();
  REQUIRE(EnsureFolder(folder / "spool").ok());
  REQUIRE(SaveSafetensors(folder / "base.safetensors", Model(100'000)).ok());
  const BaseModel base = store.LoadBase(store.Import(folder / "base.safetensors")->id).value();
  const auto keys = crypto::X25519KeyPair::Generate().value();
  const SiteId site("north");
  wire::UploadHeader header;
  header.key = {RunId("opacity-0001"), 1, 1};
  header.base_model = base.id;
  header.weight = 10;
  const auto sealed = Seal(site, header, std::vector<float>(100'000, 1.0f), keys.public_key);
  auto aggregator =
      Aggregator::Open({header.key, {site}, 10, base}, keys, folder / "spool", store.folder())
          .value();
  REQUIRE(aggregator->Begin(site, sealed.header).value() == 0);
  {
    FullDisk full(100'000);
    CHECK_FALSE(aggregator->AddSegment(site, 0, sealed.segments[0]).ok());
  }
  // The segment that found no room is simply sent again.
  CHECK_FALSE(aggregator->AddSegment(site, 0, sealed.segments[0]).value());
  CHECK(aggregator->AddSegment(site, 1, sealed.segments[1]).value());
  {
    FullDisk full(100'000);
    CHECK_FALSE(aggregator->Report({site}, 1.0).ok());
    CHECK_FALSE(store.Import(folder / "base.safetensors").ok());
  }
  CHECK(FilesIn(folder / "models") == 1);  // the base alone, and nothing half written
  const auto made = aggregator->Report({site}, 1.0);
  REQUIRE(made.ok());
  CHECK(LoadSafetensors(made->file)->values()[99'999] == 1.25f);
}

}  // namespace
}  // namespace consilium::coordinator
