#include "site_agent/log_follower.h"

#include "tests/catch.h"
#include "tests/common/says.h"
#include "tests/common/temporary_folder.h"
#include "tests/site_agent/test_federation.h"

namespace consilium::site_agent {
namespace {

std::vector<wire::LogEntry> Entries(std::uint64_t first, std::uint64_t last,
                                    const std::string& action = "aggregate") {
  std::vector<wire::LogEntry> entries;
  for (std::uint64_t number = first; number <= last; ++number) {
    entries.push_back({number, Time(std::chrono::seconds(number)), "coordinator", action, "run"});
  }
  return entries;
}

Digest HeadAfter(const std::vector<wire::LogEntry>& entries, Digest head = {}) {
  for (const auto& entry : entries) head = wire::ExtendedBy(head, entry);
  return head;
}

struct Scene {
  Scene() : state(*SiteState::Open(folder.path(), SiteState::Access::kOwn)) {
    const auto first = Countersign({Digest{}, Entries(1, 5)});
    REQUIRE(first.ok());
  }
  absl::StatusOr<wire::LogSignature> Countersign(const wire::LogExtension& extension) {
    return site_agent::Countersign(*state, extension, kFederation, key);
  }
  const TemporaryFolder folder;
  std::unique_ptr<SiteState> state;
  const crypto::Ed25519KeyPair key = *crypto::Ed25519KeyPair::Generate();
};

TEST_CASE("a site countersigns a log that goes on from the head it signed last") {
  Scene scene;
  const Digest signed_head = HeadAfter(Entries(1, 5));
  const auto signature = scene.Countersign({signed_head, Entries(6, 8)});
  REQUIRE(signature.ok());
  CHECK(signature->number == 8);
  CHECK(signature->head == HeadAfter(Entries(1, 8)));
  CHECK(crypto::VerifySignature(scene.key.public_key,
                                wire::LogHeadText(kFederation, 8, signature->head),
                                signature->signature)
            .ok());
  SECTION("also when its last signature was lost and the log comes again from before") {
    CHECK(scene.Countersign({signed_head, Entries(6, 9)}).ok());
    CHECK(scene.Countersign({HeadAfter(Entries(1, 8)), Entries(9, 9)})->number == 9);
  }
}

TEST_CASE("a log that leaves out or changes what the site signed is a fork, and is remembered") {
  Scene scene;
  wire::LogExtension extension;
  SECTION("an entry changed") { extension = {Digest{}, Entries(1, 6, "publish")}; }
  SECTION("another head") { extension = {Digest{{1}}, Entries(6, 7)}; }
  SECTION("entries taken back") { extension = {Digest{}, Entries(1, 4)}; }
  SECTION("a number left out") { extension = {HeadAfter(Entries(1, 5)), Entries(7, 8)}; }
  SECTION("nothing, from another head") { extension = {Digest{{1}}, {}}; }
  const auto refused = scene.Countersign(extension);
  CHECK(absl::IsFailedPrecondition(refused.status()));
  CHECK(Says(refused.status(), "consilium-site accept-log"));
  CHECK(absl::IsFailedPrecondition(CheckNoFork(*scene.state)));
  CHECK(scene.state->ForgetLog().ok());
  CHECK(CheckNoFork(*scene.state).ok());
  CHECK(scene.Countersign({Digest{{1}}, Entries(6, 7)}).ok());
}

}  // namespace
}  // namespace consilium::site_agent
