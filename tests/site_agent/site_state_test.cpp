#include "site_agent/site_state.h"

#include "tests/catch.h"
#include "tests/site_agent/test_site.h"

namespace consilium::site_agent {
namespace {

const AttemptKey kKey{RunId("small-0001"), 1, 1};
const Time kNow = Time(std::chrono::seconds(1000));

TEST_CASE("a state folder belongs to one process, and others may look") {
  const TemporaryFolder folder;
  CHECK(absl::IsNotFound(SiteState::Open(folder.path(), SiteState::Access::kLook).status()));
  const auto state = SiteState::Open(folder.path(), SiteState::Access::kOwn);
  REQUIRE(state.ok());
  CHECK(
      absl::IsFailedPrecondition(SiteState::Open(folder.path(), SiteState::Access::kOwn).status()));
  CHECK(SiteState::Open(folder.path(), SiteState::Access::kLook).ok());
}

TEST_CASE("a task's state, its header and its file survive the process") {
  const TemporaryFolder folder;
  const auto recipient = crypto::X25519KeyPair::Generate()->public_key;
  wire::UploadHeader header;
  {
    auto state = *SiteState::Open(folder.path(), SiteState::Access::kOwn);
    const auto sealed = Seal({kKey, std::nullopt, {}, SmallModel(1)}, SiteId("north"), recipient,
                             state->folder().Outbox());
    REQUIRE(sealed.ok());
    header = sealed->header();
    CHECK(state->RecordTaskBegun(header, 77, kNow).ok());
    CHECK(state->RecordSealed(*sealed, recipient, kNow).ok());
  }
  const auto state = *SiteState::Open(folder.path(), SiteState::Access::kOwn);
  const auto task = *state->FindTask(kKey);
  REQUIRE(task);
  CHECK(task->state == TaskState::kSealed);
  CHECK(task->seed == 77);
  CHECK(task->recipient == recipient);
  CHECK(task->header.layout_header == header.layout_header);
  CHECK(task->header.envelope_header == header.envelope_header);
  CHECK(wire::EnvelopeContext(SiteId("north"), task->header) ==
        wire::EnvelopeContext(SiteId("north"), header));
  CHECK(SealedUpdate::Restore(task->header, task->file, task->sha256).ok());
}

// A site that has begun a task and sealed what came of it, of which its state does not know yet.
struct Sealing {
  TemporaryFolder folder;
  crypto::X25519PublicKey recipient = crypto::X25519KeyPair::Generate()->public_key;
  std::unique_ptr<SiteState> state = *SiteState::Open(folder.path(), SiteState::Access::kOwn);
  absl::StatusOr<SealedUpdate> sealed = Seal({kKey, std::nullopt, {}, SmallModel(1)},
                                             SiteId("north"), recipient, state->folder().Outbox());
  Sealing() { CHECK(state->RecordTaskBegun(sealed->header(), 1, kNow).ok()); }
};

TEST_CASE("what the coordinator holds does not fail any more at the site") {
  const Sealing site;
  const auto& [folder, recipient, state, sealed] = site;
  CHECK(state->RecordSealed(*sealed, recipient, kNow).ok());
  CHECK(state->RecordAcknowledged(kKey, kNow).ok());
  CHECK(state->CloseTask(kKey, TaskState::kFailed, "the operator has refused the run", kNow).ok());
  CHECK((*state->FindTask(kKey))->state == TaskState::kAcknowledged);
  CHECK(state->CloseTask(kKey, TaskState::kCounted, "", kNow).ok());
  CHECK(state->CloseTask(kKey, TaskState::kFailed, "the operator has refused the run", kNow).ok());
  CHECK((*state->FindTask(kKey))->state == TaskState::kCounted);
}

TEST_CASE("an attempt that was closed is not sealed afterwards, nor acknowledged") {
  const Sealing site;
  const auto& [folder, recipient, state, sealed] = site;
  CHECK(state->CloseTask(kKey, TaskState::kNotCounted, "late", kNow).ok());
  CHECK(absl::IsCancelled(state->RecordSealed(*sealed, recipient, kNow)));
  CHECK_FALSE(fs::exists(sealed->path()));
  CHECK(state->RecordAcknowledged(kKey, kNow).ok());
  CHECK((*state->FindTask(kKey))->state == TaskState::kNotCounted);
}

TEST_CASE("a file in the outbox that no task knows is removed at the start") {
  const TemporaryFolder folder;
  CHECK(SiteState::Open(folder.path(), SiteState::Access::kOwn).ok());
  CHECK(WriteFileDurably(folder / "outbox/orphan.sealed", "x").ok());
  CHECK(SiteState::Open(folder.path(), SiteState::Access::kOwn).ok());
  CHECK_FALSE(fs::exists(folder / "outbox/orphan.sealed"));
}

TEST_CASE("the ledger of what left the building names each envelope once and forgets nothing") {
  const TemporaryFolder folder;
  auto state = *SiteState::Open(folder.path(), SiteState::Access::kOwn);
  const Departure departure{kNow, "coordinator:1", "sealed update", kKey, 100, Digest{{1}}};
  CHECK(state->RecordDeparture(departure).ok());
  CHECK(state->RecordDeparture(departure).ok());
  Departure other = departure;
  other.sha256 = Digest{{2}};
  CHECK(state->RecordDeparture(other).ok());
  CHECK(state->RecordRunEnded({kKey.run, "published", {}}, kNow).ok());
  const auto departures = *state->Departures();
  REQUIRE(departures.size() == 2);
  CHECK(departures[0].key == kKey);
  CHECK(departures[1].sha256 == other.sha256);

  auto database = storage::Database::Open(folder / "site.db", {"", "", "", "", ""});
  REQUIRE(database.ok());
  CHECK_FALSE(database->Execute("DELETE FROM departure").ok());
  CHECK_FALSE(database->Execute("UPDATE departure SET bytes = 0").ok());
}

TEST_CASE("a transcript is unmasked once, and what was unmasked with whom is never forgotten") {
  const TemporaryFolder folder;
  auto state = *SiteState::Open(folder.path(), SiteState::Access::kOwn);
  const std::set<SiteId> all = {SiteId("a"), SiteId("b"), SiteId("c"), SiteId("d")};
  const std::set<SiteId> three = {SiteId("a"), SiteId("b"), SiteId("c")};
  const secagg::SessionKey key{kKey, secagg::Purpose::kTraining};
  CHECK(state->SaveSession(key, {SessionState::kGoing, {}, {}, Bytes{1, 2, 3}, {}}, kNow).ok());
  const secagg::UnmaskRecord record{key, Digest{{7}}, Digest{{1}}, all, all};
  CHECK(state->RecordUnmasking(record, Bytes{4, 5}, kNow).ok());
  CHECK((*state->FindSession(key))->state == SessionState::kOpened);
  CHECK((*state->FindSession(key))->sealed == Bytes{4, 5});  // the answer, with the record of it
  CHECK(absl::IsAlreadyExists(state->RecordUnmasking(record, Bytes{4, 5}, kNow)));
  // Another attempt of the same round, with others: nothing of it remains.
  secagg::UnmaskRecord other = record;
  other.key.attempt.attempt = 2;
  other.transcript = Digest{{2}};
  other.survivors = three;
  CHECK(absl::IsPermissionDenied(state->RecordUnmasking(other, Bytes{4, 5}, kNow)));
  other.survivors = all;
  CHECK(state->RecordUnmasking(other, Bytes{4, 5}, kNow).ok());
  CHECK(**state->FindRelease(other.key, Digest{{7}}, kNow) == all);
  CHECK_FALSE(*state->FindRelease(other.key, Digest{{8}}, kNow));
  state.reset();
  auto database = storage::Database::Open(folder / "site.db", {"", "", "", "", ""});
  REQUIRE(database.ok());
  CHECK_FALSE(database->Execute("DELETE FROM unmasking").ok());
  CHECK_FALSE(database->Execute("UPDATE release SET survivors = ''").ok());
}

TEST_CASE("a run is remembered with its answer and its outcome") {
  const TemporaryFolder folder;
  auto state = *SiteState::Open(folder.path(), SiteState::Access::kOwn);
  const wire::Invite invite{kKey.run, "plan", "ada"};
  CHECK(state->RecordInvite(invite, Consent::kDeclined, {kKey.run, false, "too few"}, kNow).ok());
  CHECK((*state->FindRun(kKey.run))->consent == Consent::kDeclined);
  CHECK(
      state->RecordInvite(invite, Consent::kAccepted, {kKey.run, true, "", 40, 50, 3}, kNow).ok());
  CHECK(state->RecordRunEnded({kKey.run, "published", Digest{{9}}}, kNow).ok());
  const auto run = *state->FindRun(kKey.run);
  CHECK(run->consent == Consent::kAccepted);
  CHECK(run->researcher == "ada");
  CHECK(run->train_patients == 40);
  CHECK(run->train_examples == 50);
  CHECK(run->outcome == "published");
  CHECK(run->published_model == Digest{{9}});
  CHECK_FALSE(*state->FindRun(RunId("other")));
}

TEST_CASE("the reasons for which files were refused are remembered with the answer") {
  const TemporaryFolder folder;
  const auto state = *SiteState::Open(folder.path(), SiteState::Access::kOwn);
  wire::InviteAnswer answer{kKey.run, true, "", 40, 50, 3};
  answer.refusals = {{"burned-in-annotation", 1}, {"missing-label", 2}};
  const wire::Invite invite{kKey.run, "plan", "ada"};
  CHECK(state->RecordInvite(invite, Consent::kAccepted, answer, kNow).ok());
  CHECK((*state->FindRun(kKey.run))->refusals == answer.refusals);
  answer.refusals.clear();
  CHECK(state->RecordInvite(invite, Consent::kAccepted, answer, kNow).ok());
  CHECK((*state->FindRun(kKey.run))->refusals.empty());
}

TEST_CASE("what was trained is remembered until its round is counted or its run has ended") {
  const TemporaryFolder folder;
  auto state = *SiteState::Open(folder.path(), SiteState::Access::kOwn);
  const auto keep = [&](std::uint32_t round) {
    TrainedRecord trained{kKey.run, round, Digest{{1}}, 7, 40, 50, 0.5, 12.5, "layout"};
    trained.file = state->folder().Outbox() / StrCat("small-0001-", round, ".trained");
    REQUIRE(WriteFileDurably(trained.file, "x").ok());
    return state->RecordTrained(trained, kNow);
  };
  REQUIRE(keep(1).ok());
  state.reset();
  state = *SiteState::Open(folder.path(), SiteState::Access::kOwn);
  const auto found = *state->FindTrained(kKey.run, 1, Digest{{1}}, 7);
  REQUIRE(found);
  CHECK(found->patients == 40);
  CHECK(found->examples == 50);
  CHECK(found->loss == 0.5);
  CHECK(found->seconds == 12.5);
  CHECK(found->layout_header == "layout");
  CHECK(Exists(found->file));
  CHECK_FALSE(*state->FindTrained(kKey.run, 1, Digest{{2}}, 7));
  CHECK_FALSE(*state->FindTrained(kKey.run, 1, Digest{{1}}, 8));
  CHECK(state->CloseTask(kKey, TaskState::kNotCounted, "late", kNow).ok());
  CHECK(Exists(found->file));
  SECTION("counted") { CHECK(state->CloseTask(kKey, TaskState::kCounted, "", kNow).ok()); }
  SECTION("a newer round") {
    CHECK(state->CloseOlderTasks({kKey.run, 1, 2}, kNow).ok());
    CHECK(Exists(found->file));
    CHECK(state->CloseOlderTasks({kKey.run, 2, 1}, kNow).ok());
  }
  SECTION("the run's end, after which nothing is kept for it") {
    const wire::Invite invite{kKey.run, "plan", "ada"};
    CHECK(state->RecordInvite(invite, Consent::kAccepted, {kKey.run, true}, kNow).ok());
    CHECK(state->RecordRunEnded({kKey.run, "stopped", {}}, kNow).ok());
    CHECK(absl::IsCancelled(keep(2)));
  }
  CHECK_FALSE(*state->FindTrained(kKey.run, 1, Digest{{1}}, 7));
  CHECK(ListFolder(folder / "outbox")->empty());
}

TEST_CASE("a state of an older program is brought up to date, one of a newer is refused") {
  const TemporaryFolder folder;
  const wire::Invite invite{kKey.run, "plan", "ada"};
  {
    const auto state = *SiteState::Open(folder.path(), SiteState::Access::kOwn);
    CHECK(state->RecordInvite(invite, Consent::kAccepted, {kKey.run, true, "", 40}, kNow).ok());
  }
  {  // as the program before this one left it
    auto database = *storage::Database::Open(folder / "site.db", {"", "", "", "", ""});
    CHECK(database.Execute("DROP TABLE preparation").ok());
    CHECK(database.Execute("DROP TABLE description").ok());
    CHECK(database.Execute("DROP TABLE trained").ok());
    CHECK(database.Execute("ALTER TABLE run DROP COLUMN refusals").ok());
    CHECK(database.Execute("PRAGMA user_version = 2").ok());
  }
  {
    const auto state = *SiteState::Open(folder.path(), SiteState::Access::kOwn);
    CHECK((*state->FindRun(kKey.run))->train_patients == 40);
    CHECK((*state->FindRun(kKey.run))->refusals.empty());
    CHECK_FALSE(*state->FindTrained(kKey.run, 1, Digest{}, 7));
  }
  {
    auto database = *storage::Database::Open(folder / "site.db", {"", "", "", "", ""});
    CHECK(database.Execute("PRAGMA user_version = 6").ok());
  }
  const auto newer = SiteState::Open(folder.path(), SiteState::Access::kOwn);
  CHECK(absl::IsFailedPrecondition(newer.status()));
  CHECK_THAT(newer.status().ToString(), ContainsText("upgrade"));
}

}  // namespace
}  // namespace consilium::site_agent
