#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/key_folder.h"
#include "common/crypto/sha256.h"
#include "common/model/safetensors.h"
#include "common/storage/database.h"
#include "coordinator/ledger.h"
#include "datasets/catalog.h"
#include "datasets/dicom/writer.h"
#include "site_agent/given_answers.h"
#include "site_agent/site_state.h"
#include "tests/fuzz/catalog_key.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/pixel_cache_scene.h"
#include "tests/fuzz/published_model.h"
#include "tests/fuzz/secure_scene.h"
#include "tests/fuzz/seeds.h"

namespace consilium::fuzz {
namespace {

// A header that claims half a terabyte, as it was believed once.
void SeedHugeDownload() {
  constexpr std::int64_t kValues = std::int64_t{1} << 37;
  const std::string header = WriteSafetensorsHeader({{"w", {kValues}}});
  Bytes download(8);
  StoreLe64(download.data(), header.size() + 4 * static_cast<std::uint64_t>(kValues));
  download.push_back(255);
  download.insert(download.end(), header.begin(), header.end());
  download.push_back(0);
  Seed("model_download", "huge-claim", download);
}

void SeedModel() {
  const Layout layout = {{"conv.weight", {2, 3}}, {"scale", {}}, {"none", {0, 4}}};
  const std::string header = WriteSafetensorsHeader(layout, {{"format", "pt"}, {"run", "a-1"}});
  Bytes file(header.begin(), header.end());
  for (int i = 0; i < 7 * 4; ++i) file.push_back(i % 4 == 3 ? 0x3f : 0);
  Seed("safetensors_file", "model", file);
  Bytes download = Bytes(8);  // the true size, pieces of 33 bytes
  download.push_back(32);
  download.insert(download.end(), file.begin(), file.end());
  Seed("model_download", "model", download);
  SeedHugeDownload();
  Bytes claimed(8);
  StoreLe64(claimed.data(), file.size());
  claimed.insert(claimed.end(), header.begin(), header.end());
  Seed("safetensors_header", "model", claimed);
  const std::string half =
      R"({"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},"n":{"dtype":"I64","shape":[],"data_offsets":[4,12]}})";
  Bytes external(16);
  StoreLe64(external.data(), 8 + half.size() + 12);
  StoreLe64(external.data() + 8, half.size());
  external.insert(external.end(), half.begin(), half.end());
  Seed("safetensors_header", "external", external);
}

void SeedKeys() {
  const fs::path folder = ScratchFolder() / "keys";
  const auto passphrase = *crypto::Passphrase::FromText(AsBytes("a passphrase of words"));
  const auto keys = *crypto::KeyFolder::Create(folder, passphrase);
  const auto key = crypto::Secret::CopyOf(PrivateKeyOf("key"));
  FUZZ_EXPECT(keys.Save("signing.key", "ed25519", key).ok());
  const auto seed = [&](std::string_view name, char which, const fs::path& file) {
    Seed("key_file", name, std::string(1, which) + *ReadTextFile(file));
  };
  seed("wrapping", '\0', folder / "wrapping.json");
  seed("wrapped", '\1', folder / "signing.key");
  FUZZ_EXPECT(crypto::SavePrivateKey(folder / "bare.key", "ed25519", key).ok());
  seed("bare", '\1', folder / "bare.key");
  Seed("key_file", "passphrase", "\1correct horse battery\nmore\n");
}

// A database of small pages, so that a change of one is a small file's.
void SmallPages(const fs::path& file) {
  auto database = *storage::Database::Open(file, {});
  FUZZ_EXPECT(database.Execute("PRAGMA page_size = 512").ok() && database.Execute("VACUUM").ok());
}

void SeedFile(std::string_view target, std::string_view name, const fs::path& file) {
  Seed(target, name, *ReadFile(file));
}

void SeedLedger() {
  using namespace coordinator;
  const fs::path file = ScratchFolder() / "seed-ledger.db";
  SmallPages(file);
  SeedFile("ledger", "empty", file);
  {
    Ledger ledger = *Ledger::Open(file);
    const PublishedModel published = PublishedModel::Make();
    FUZZ_EXPECT(ledger.SetFederation("lung-network", Time{}).ok());
    FUZZ_EXPECT(
        ledger.AddInvitation({.token_hash = crypto::Sha256("t"), .name = "west"}, Time{}).ok());
    const auto roster = identity::VerifyRoster(published.root.public_key, published.roster);
    FUZZ_EXPECT(ledger.SetRoster(*roster, Time{}).ok());
    plan::Plan plan;
    plan.name = "chest";
    const auto toml =
        "[plan]\nname = \"chest\"\n[target]\nname = \"opacity\"\n[data]\nmodalities = [\"DX\"]\n";
    FUZZ_EXPECT(ledger.SubmitRun(plan, {"chest", crypto::Sha256(toml), toml, "ada"}, Time{}).ok());
    FUZZ_EXPECT(ledger
                    .AddModel({.id = published.model,
                               .run = RunId("chest-0001"),
                               .record_json = published.record})
                    .ok());
  }
  SeedFile("ledger", "run", file);
}

void SeedCatalog() {
  const fs::path file = ScratchFolder() / "seed-catalog.db", folder = ScratchFolder() / "images";
  fs::create_directory(folder);
  datasets::dicom::NewInstance instance{.modality = "DX", .patient_id = "P1"};
  instance.study_instance_uid = instance.series_instance_uid = datasets::dicom::MakeUid("study");
  instance.sop_instance_uid = datasets::dicom::MakeUid("image");
  instance.rows = instance.columns = 2;
  instance.values = {0, 1, 2, 3};
  FUZZ_EXPECT(datasets::dicom::WriteFile(folder / "1.dcm", instance).ok());
  FUZZ_EXPECT(WriteFileDurably(folder / "labels.csv", "patient_id,opacity\nP1,1\n").ok());
  FUZZ_EXPECT(WriteFileDurably(folder / "2.dcm", "no image").ok());
  SmallPages(file);
  {
    PutCatalogKey(file);
    auto catalog = *datasets::Catalog::Open(file);
    NoProgress progress;
    FUZZ_EXPECT(catalog.Index(folder, {}, *datasets::ReadInThisProcess(), progress).ok());
  }
  SeedFile("catalog", "two-files", file);
}

void SeedSite() {
  using namespace site_agent;
  const fs::path folder = ScratchFolder() / "seed-site";
  fs::create_directory(folder);
  SmallPages(folder / "site.db");
  {
    const auto state = *SiteState::Open(folder, SiteState::Access::kOwn);
    const RunId run("chest-0001");
    const wire::Invite invite{.run = run, .plan_toml = "[plan]", .researcher = "ada"};
    FUZZ_EXPECT(state->BindPlan(invite, crypto::Sha256("plan")).ok());
    const wire::InviteAnswer answer{.run = run, .accepted = true, .train_patients = 9};
    FUZZ_EXPECT(state->RecordInvite(invite, Consent::kAccepted, answer, Time{}).ok());
    FUZZ_EXPECT(state->RecordTaskBegun({.key = {run, 1, 1}, .weight = 9}, 7, Time{}).ok());
    const secagg::SessionKey key{{run, 1, 1}};
    FUZZ_EXPECT(state->SaveSession(key, {.sealed = Bytes(40, 1)}, Time{}).ok());
    FUZZ_EXPECT(state->RecordLogHead({3, crypto::Sha256("head")}).ok());
    FUZZ_EXPECT(
        state->RecordDeparture({.receiver = "coordinator", .what = "sums", .key = {run, 1, 1}})
            .ok());
  }
  SeedFile("site_database", "run", folder / "site.db");
}

void SeedSessions() {
  const SecureScene& scene = SecureScene::Played();
  for (std::size_t i = 0; i < scene.saved.size(); ++i) {
    const ByteView saved = scene.saved[i].Reveal();
    Seed("saved_session", StrCat("step-", i), saved.first(saved.size() - sizeof(Digest)));
  }
  site_agent::GivenAnswers given;
  given.transcript = crypto::Sha256("transcript");
  given.survivors = {kAlpha, kBeta, kGamma};
  given.shares = scene.answers.at(kAlpha);
  Seed("given_answers", "three", site_agent::WriteGivenAnswers(given).Reveal());
}

}  // namespace

void SeedFiles() {
  SeedModel();
  SeedKeys();
  SeedLedger();
  SeedCatalog();
  SeedSite();
  SeedSessions();
  const PixelCacheScene scene;
  SeedFile("pixel_cache", "one-image", ScratchFolder() / scene.CacheFile());
}

}  // namespace consilium::fuzz
