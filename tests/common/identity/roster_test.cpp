#include "common/identity/roster.h"

#include <limits>
#include <set>

#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_document.h"
#include "tests/catch.h"
#include "tests/common/says.h"
#include "tests/common/temporary_folder.h"

namespace consilium::identity {
namespace {

crypto::Ed25519KeyPair Key(std::uint8_t seed) {
  return *crypto::Ed25519KeyPair::FromPrivate(Bytes(32, seed));
}
const crypto::Ed25519KeyPair kRoot = Key(200);

RosterEntry Member(const std::string& name, Role role, std::uint8_t number) {
  RosterEntry entry;
  entry.name = name;
  entry.role = role;
  entry.signing_key = Key(number).public_key;
  entry.tls_key = crypto::Sha256(AsBytes(name));
  return entry;
}

Roster ThreeSites(std::uint64_t version = 1) {
  Roster roster;
  roster.federation = "chest";
  roster.version = version;
  roster.issued = Time(std::chrono::seconds(1'770'000'000));
  roster.members = {Member("host", Role::kCoordinator, 1), Member("north", Role::kSite, 2),
                    Member("south", Role::kSite, 3),       Member("west", Role::kSite, 4),
                    Member("ada", Role::kResearcher, 5),   Member("eve", Role::kAuditor, 6)};
  roster.members[0].sealing_key = crypto::X25519PublicKey{9};
  roster.members[1].weight_cap = 0.1;
  return roster;
}

std::string Signed(const Roster& roster) { return SignRoster(kRoot, roster)->file; }

TEST_CASE("Roles have the names they are stored under, both ways") {
  for (const Role role : {Role::kSite, Role::kResearcher, Role::kCoordinator, Role::kAuditor}) {
    CHECK(RoleNamed(Name(role)) == role);
  }
  CHECK_FALSE(RoleNamed("operator").has_value());
  CHECK_FALSE(RoleNamed("").has_value());
}

TEST_CASE("A signed roster verifies and comes back as it was, its members by name") {
  const auto made = SignRoster(kRoot, ThreeSites());
  REQUIRE(made.ok());
  CHECK(made->hash == crypto::Sha256(made->file));
  CHECK(made->roster.members.front().name == "ada");
  const auto verified = VerifyRoster(kRoot.public_key, made->file);
  REQUIRE(verified.ok());
  CHECK(verified->roster == made->roster);
  CHECK(verified->hash == made->hash);
  CHECK(verified->roster.Find("north")->weight_cap == 0.1);
  CHECK(verified->roster.Find("nobody") == nullptr);
  CHECK(verified->roster.FindByTlsKey(crypto::Sha256(AsBytes("south")))->name == "south");
  CHECK(verified->roster.FindByTlsKey(Digest{}) == nullptr);
  CHECK(verified->roster.Coordinator()->sealing_key == crypto::X25519PublicKey{9});
  const auto keys = verified->roster.SiteKeys();
  REQUIRE(keys.size() == 3);
  CHECK(keys.at(SiteId("west")) == Key(4).public_key);
}

TEST_CASE("The order in which members are given does not change the roster") {
  Roster reversed = ThreeSites();
  std::reverse(reversed.members.begin(), reversed.members.end());
  CHECK(Signed(reversed) == Signed(ThreeSites()));
}

TEST_CASE("A roster with any one byte changed, dropped or added is refused") {
  const std::string file = Signed(ThreeSites());
  for (std::size_t i = 0; i < file.size(); ++i) {
    INFO("byte " << i);
    for (const int bit : {0, 3, 5, 7}) {
      std::string changed = file;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      REQUIRE_FALSE(VerifyRoster(kRoot.public_key, changed).ok());
    }
    REQUIRE_FALSE(VerifyRoster(kRoot.public_key, file.substr(0, i)).ok());
    std::string longer = file;
    longer.insert(i, " ");
    REQUIRE_FALSE(VerifyRoster(kRoot.public_key, longer).ok());
  }
  CHECK(VerifyRoster(kRoot.public_key, file).ok());
}

TEST_CASE("A roster that another root signed is refused") {
  const auto other = SignRoster(Key(201), ThreeSites());
  REQUIRE(other.ok());
  CHECK(VerifyRoster(kRoot.public_key, other->file).status().code() ==
        absl::StatusCode::kUnauthenticated);
  // A model record is signed by the same kind of key, but is no roster.
  const auto record = crypto::SignDocument(kRoot, crypto::kModelRecordDocument, "{}");
  CHECK_FALSE(VerifyRoster(kRoot.public_key, *record).ok());
}

TEST_CASE("A name, a signing key or a TLS key twice is refused: one key is one member") {
  const auto refusal = [](auto spoil) {
    Roster roster = ThreeSites();
    spoil(roster.members);
    return SignRoster(kRoot, roster).status();
  };
  const auto same_name = refusal([](auto& m) { m[2].name = m[1].name; });
  CHECK(same_name.code() == absl::StatusCode::kInvalidArgument);
  CHECK(Says(same_name, "\"north\" is twice"));
  CHECK(Says(refusal([](auto& m) { m[2].signing_key = m[1].signing_key; }), "one key"));
  CHECK(Says(refusal([](auto& m) { m[2].tls_key = m[1].tls_key; }), "one key"));
  CHECK(Says(refusal([](auto& m) { m[4].role = Role::kCoordinator; }), "one coordinator"));
  CHECK_FALSE(refusal([](auto& m) { m[1].name = "North Hospital"; }).ok());
  CHECK_FALSE(refusal([](auto& m) { m[1].role = static_cast<Role>(9); }).ok());
  CHECK_FALSE(refusal([](auto& m) { m[1].weight_cap = -1; }).ok());
  CHECK_FALSE(
      refusal([](auto& m) { m[1].weight_cap = std::numeric_limits<double>::infinity(); }).ok());
  CHECK_FALSE(refusal([](auto& m) { m[1].sealing_key = crypto::X25519PublicKey{1}; }).ok());
}

TEST_CASE("What the root signed by mistake is no roster: wrong order, unknown fields, no version") {
  const std::string good =
      *crypto::VerifyDocument(kRoot.public_key, crypto::kRosterDocument, Signed(ThreeSites()));
  const auto refused = [&](std::string_view from, std::string_view to) {
    std::string json = good;
    const std::size_t at = json.find(from);
    REQUIRE(at != std::string::npos);
    json.replace(at, from.size(), to);
    const auto file = crypto::SignDocument(kRoot, crypto::kRosterDocument, json);
    REQUIRE(file.ok());
    return VerifyRoster(kRoot.public_key, *file).status().code() ==
           absl::StatusCode::kInvalidArgument;
  };
  CHECK(refused("\"version\":1", "\"version\":0"));
  CHECK(refused("\"version\":1", "\"version\":-1"));
  CHECK(refused("\"version\":1", "\"version\":1,\"more\":true"));
  CHECK(refused("\"name\":\"ada\"", "\"name\":\"zoe\""));  // not by name any more
  CHECK(refused("\"role\":\"auditor\"", "\"role\":\"boss\""));
  CHECK(refused("\"name\":\"ada\"", "\"name\":\"ada\",\"weight_cap\":0.0"));
  CHECK(refused("2026-02-02T", "2026-02-30T"));
  CHECK(refused("\"federation\":\"chest\"", "\"federation\":7"));
  CHECK(VerifyRoster(kRoot.public_key, *crypto::SignDocument(kRoot, crypto::kRosterDocument, good))
            .ok());
}

TEST_CASE("A pinned roster only goes up, by whole rosters of the same root and federation") {
  const TemporaryFolder folder;
  CHECK(PinnedRoster::Load(folder.path(), kRoot.public_key).status().code() ==
        absl::StatusCode::kNotFound);
  REQUIRE(PinRoster(folder.path(), *SignRoster(kRoot, ThreeSites(5))).ok());
  auto pinned = PinnedRoster::Load(folder.path(), kRoot.public_key);
  REQUIRE(pinned.ok());
  CHECK(pinned->Advance(pinned->current().file).ok());  // the same again

  const auto older = pinned->Advance(Signed(ThreeSites(4)));
  CHECK(older.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(Says(older, "version 4"));
  Roster second = ThreeSites(5);
  second.members.pop_back();
  const auto another = pinned->Advance(Signed(second));
  CHECK(another.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(Says(another, "another of the same version"));
  Roster foreign = ThreeSites(6);
  foreign.federation = "brain";
  CHECK(pinned->Advance(Signed(foreign)).code() == absl::StatusCode::kFailedPrecondition);
  CHECK(pinned->Advance(SignRoster(Key(201), ThreeSites(6))->file).code() ==
        absl::StatusCode::kUnauthenticated);
  CHECK_FALSE(pinned->Advance("").ok());
  CHECK(pinned->current().roster.version == 5);
  CHECK(PinnedRoster::Load(folder.path(), kRoot.public_key)->current().roster.version == 5);

  CHECK(pinned->Advance(Signed(ThreeSites(9))).ok());
  CHECK(pinned->current().roster.version == 9);
  CHECK(PinnedRoster::Load(folder.path(), kRoot.public_key)->current().hash ==
        pinned->current().hash);
}

TEST_CASE("A pinned roster that was changed on the disk is refused") {
  const TemporaryFolder folder;
  REQUIRE(PinRoster(folder.path(), *SignRoster(kRoot, ThreeSites())).ok());
  std::string file = Signed(ThreeSites());
  file[file.find("north")] = 'f';
  REQUIRE(WriteFileDurably(folder / "keys" / "roster.json", file).ok());
  CHECK(PinnedRoster::Load(folder.path(), kRoot.public_key).status().code() ==
        absl::StatusCode::kUnauthenticated);
}

TEST_CASE("A fingerprint that people read out differs with the name, the role and either key") {
  const crypto::Ed25519PublicKey signing = Key(1).public_key;
  const Digest tls = crypto::Sha256(AsBytes("tls"));
  const std::string one = ReadableFingerprint("north", Role::kSite, signing, tls);
  CHECK(one.size() == 19);
  for (std::size_t i = 0; i < one.size(); ++i) {
    if (i % 5 == 4) {
      CHECK(one[i] == '-');
    } else {
      CHECK(std::string_view("0123456789abcdefghjkmnpqrstvwxyz").find(one[i]) !=
            std::string_view::npos);
    }
  }
  CHECK(one == ReadableFingerprint("north", Role::kSite, signing, tls));
  std::set<std::string> all = {one, ReadableFingerprint("nort", Role::kSite, signing, tls),
                               ReadableFingerprint("north", Role::kResearcher, signing, tls)};
  for (std::size_t i = 0; i < 32; ++i) {
    crypto::Ed25519PublicKey other_signing = signing;
    other_signing[i] ^= 1;
    all.insert(ReadableFingerprint("north", Role::kSite, other_signing, tls));
    Digest other_tls = tls;
    other_tls.bytes[i] ^= 1;
    all.insert(ReadableFingerprint("north", Role::kSite, signing, other_tls));
  }
  CHECK(all.size() == 3 + 64);
}

}  // namespace
}  // namespace consilium::identity
