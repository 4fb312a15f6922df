#include "coordinator/federation/federation.h"

#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "common/crypto/sha256.h"
#include "tests/coordinator/federation/founded_federation.h"

namespace consilium::federation {
namespace {

using absl::StatusCode;

crypto::Passphrase Phrase(std::string_view text) {
  return crypto::Passphrase::FromText(AsBytes(text)).value();
}

// Every file below a folder, with what it holds.
std::map<std::string, std::string> Contents(const fs::path& folder) {
  std::map<std::string, std::string> contents;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      contents[fs::relative(entry.path(), folder)] = ReadTextFile(entry.path()).value();
    }
  }
  return contents;
}

TEST_CASE("a new federation has a root, a coordinator, and a first roster that lists it alone") {
  FoundedFederation federation;
  const auto roster = federation.Root().Newest();
  REQUIRE(roster.ok());
  CHECK(roster->roster.federation == "lung-network");
  CHECK(roster->roster.version == 1);
  REQUIRE(roster->roster.members.size() == 1);
  CHECK(*roster->roster.Coordinator() == federation.authority().Entry().value());
  CHECK(federation.authority().root_key() == federation.Root().public_key());
  CHECK(federation.authority().published().address == "fl.example.org:8443");
  federation.WithLedger([&](Ledger& ledger) {
    CHECK(ledger.RosterFile().value() == roster->file);
    CHECK(ledger.CertificateLife().value() == kDefaultCertificateLife);
    CHECK(ledger.VerifyLog().ok());
  });
}

TEST_CASE("founding refuses to overwrite a coordinator or a root, and changes nothing of them") {
  FoundedFederation federation;
  const auto state = Contents(federation.state()), root = Contents(federation.root_folder());
  TemporaryFolder other;
  const auto found = [&](const fs::path& at_root, const fs::path& at_state) {
    return Found({"lung-network", {"fl.example.org"}, at_root, at_state},
                 crypto::Passphrase::Unprotected(), crypto::Passphrase::Unprotected(),
                 federation.now)
        .status()
        .code();
  };
  CHECK(found(other / "root", federation.state()) == StatusCode::kAlreadyExists);
  CHECK(found(federation.root_folder(), other / "state") == StatusCode::kAlreadyExists);
  CHECK(found(other / "one", other / "one") == StatusCode::kInvalidArgument);
  CHECK(Contents(federation.state()) == state);
  CHECK(Contents(federation.root_folder()) == root);
  CHECK(Contents(other.path()).empty());
}

TEST_CASE("a founding that fails leaves nothing, and the next one succeeds") {
  TemporaryFolder folder;
  const auto found = [&](const std::string& host) {
    return Found({"lung-network", {host}, folder / "root", folder / "state"},
                 crypto::Passphrase::Unprotected(), crypto::Passphrase::Unprotected(),
                 Time(std::chrono::seconds(1'800'000'000)))
        .status()
        .code();
  };
  CHECK(found("*.example.org") == StatusCode::kInvalidArgument);
  CHECK(Contents(folder.path()).empty());
  CHECK(found("fl.example.org:443") == StatusCode::kOk);
}

TEST_CASE("the private keys lie wrapped and closed, and open with their own passphrase only") {
  TemporaryFolder folder;
  const auto for_root = Phrase("a root's passphrase"), for_keys = Phrase("another passphrase");
  REQUIRE(Found({"lung-network", {"fl.example.org"}, folder / "root", folder / "state"}, for_root,
                for_keys, Time(std::chrono::seconds(1'800'000'000)))
              .ok());
  for (const fs::path& key :
       {folder / "root/root.key", folder / "state/keys/ca.key", folder / "state/keys/tls.key",
        folder / "state/keys/signing.key", folder / "state/keys/sealing.key"}) {
    INFO(key);
    CHECK(ReadTextFile(key)->starts_with("consilium wrapped "));
    struct stat file {};
    REQUIRE(stat(key.c_str(), &file) == 0);
    CHECK((file.st_mode & 0777) == 0600);
  }
  REQUIRE(WriteFileDurably(folder / "root.txt", std::string_view("a root's passphrase\n")).ok());
  REQUIRE(WriteFileDurably(folder / "keys.txt", std::string_view("another passphrase\n")).ok());
  CHECK(FederationRoot::Open(folder / "root", {folder / "root.txt"}).ok());
  CHECK(FederationRoot::Open(folder / "root", {folder / "keys.txt"}).status().code() ==
        StatusCode::kUnauthenticated);
  CHECK(Authority::Load(folder / "state", {folder / "keys.txt"}).ok());
  CHECK(Authority::Load(folder / "state", {folder / "root.txt"}).status().code() ==
        StatusCode::kUnauthenticated);
}

TEST_CASE("an invitation is for a name of its own and a role that a member can have") {
  FoundedFederation federation;
  CHECK(federation.Invite("North").status().code() == StatusCode::kInvalidArgument);
  CHECK(federation.Invite("coordinator").status().code() == StatusCode::kInvalidArgument);
  CHECK(federation.Invite("second", Role::kCoordinator).status().code() ==
        StatusCode::kInvalidArgument);
  CHECK(federation.Invite("north", Role::kSite, -1).status().code() ==
        StatusCode::kInvalidArgument);
  CHECK(federation.Invite("ada", Role::kResearcher, 5).status().code() ==
        StatusCode::kInvalidArgument);
  federation.Enrolled("ada", Role::kResearcher);
  CHECK(federation.Invite("ada", Role::kSite).status().code() == StatusCode::kFailedPrecondition);
  CHECK(federation.Invite("ada", Role::kResearcher).ok());
}

TEST_CASE("a token carries authority, root and address, and the ledger only the secret's hash") {
  FoundedFederation federation;
  const std::string text = federation.Invite("north").value();
  const identity::Token token = identity::Token::Parse(text).value();
  CHECK(token.authority == federation.authority().fingerprint());
  CHECK(token.root == federation.Root().public_key());
  CHECK(token.address == "fl.example.org:8443");
  federation.WithLedger([&](Ledger& ledger) {
    CHECK(ledger.FindInvitation(crypto::Sha256(ByteView(token.secret)), federation.now).ok());
  });
  const std::string ledger = ReadTextFile(federation.state() / "ledger.db").value();
  CHECK(ledger.find(text) == std::string::npos);
  CHECK(ledger.find(ToHex(token.secret)) == std::string::npos);
  CHECK(ledger.find(std::string(AsText(token.secret))) == std::string::npos);
}

TEST_CASE("a token is spent only when everything else is right, and then once") {
  FoundedFederation federation, other;
  const std::string token = federation.Invite("north", Role::kSite, 500).value();
  const Newcomer north, stranger;
  const EnrolmentRequest good = north.Ask(token, Role::kSite);
  const auto refused = [&](const auto& spoil) {
    EnrolmentRequest bad = good;
    spoil(bad);
    return federation.Enrol(bad).status().code();
  };
  CHECK(refused([](auto& r) { r.token = "not a token"; }) == StatusCode::kInvalidArgument);
  CHECK(refused([](auto& r) { r.role = "king"; }) == StatusCode::kInvalidArgument);
  CHECK(refused([](auto& r) { r.signing_proof[5] ^= 1; }) == StatusCode::kUnauthenticated);
  // A signing key that the caller does not hold, and a request that the proof is not about.
  CHECK(refused([&](auto& r) { r.signing_key = stranger.signing.public_key; }) ==
        StatusCode::kUnauthenticated);
  CHECK(refused([&](auto& r) { r.request_pem = stranger.request.pem; }) ==
        StatusCode::kUnauthenticated);
  CHECK(refused([&](auto& r) { r = north.Ask(token, Role::kResearcher); }) ==
        StatusCode::kInvalidArgument);
  CHECK(refused([&](auto& r) { r = north.Ask(other.Invite("north").value(), Role::kSite); }) ==
        StatusCode::kUnauthenticated);
  Newcomer broken;
  broken.request.pem = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n";
  CHECK(federation.Enrol(broken.Ask(token, Role::kSite)).status().code() ==
        StatusCode::kInvalidArgument);

  const auto enrolment = federation.Enrol(good);
  REQUIRE(enrolment.ok());
  CHECK(enrolment->member.name == "north");
  CHECK_FALSE(enrolment->member.admitted);
  CHECK(enrolment->member.weight_cap == 500);
  CHECK(crypto::KeyFingerprint(enrolment->certificate_pem).value() == enrolment->member.tls_key);
  CHECK(federation.Enrol(good).status().code() == StatusCode::kPermissionDenied);
  CHECK(federation.Enrol(stranger.Ask(token, Role::kSite)).status().code() ==
        StatusCode::kPermissionDenied);
}

TEST_CASE("a key that was enrolled does not enrol again, and does not cost the token") {
  FoundedFederation federation;
  const Newcomer north;
  REQUIRE(federation.Enrol(north.Ask(federation.Invite("north").value(), Role::kSite)).ok());
  const std::string token = federation.Invite("south").value();
  Newcomer mixed;  // one of two keys is another member's
  mixed.signing = crypto::Ed25519KeyPair::FromPrivate(north.signing.private_key.Reveal()).value();
  CHECK(federation.Enrol(mixed.Ask(token, Role::kSite)).status().code() ==
        StatusCode::kAlreadyExists);
  CHECK(federation.Enrol(Newcomer().Ask(token, Role::kSite)).ok());
}

TEST_CASE("certificates last as the ledger says") {
  FoundedFederation federation(std::chrono::hours(2));
  const auto enrolment =
      federation.Enrol(Newcomer().Ask(federation.Invite("north").value(), Role::kSite));
  REQUIRE(enrolment.ok());
  const auto subject = crypto::ReadSubject(enrolment->certificate_pem).value();
  CHECK(subject.name == "north");
  CHECK(subject.role == "site");
  CHECK(subject.not_after == federation.now + std::chrono::hours(2));
}

TEST_CASE("admitting signs the next roster, keeps it with the root and puts it into force") {
  FoundedFederation federation;
  const Member north = federation.Enrolled("north", Role::kSite, 500);
  const Member ada = federation.Enrolled("ada", Role::kResearcher);
  CHECK(federation.WithLedger([](Ledger& l) { return Waiting(l); })->size() == 2);
  const auto roster = federation.Admit({north, ada});
  INFO(roster.status().ToString());
  REQUIRE(roster.ok());
  CHECK(roster->roster.version == 2);
  CHECK(roster->roster.members.size() == 3);
  CHECK(roster->roster.Find("north")->weight_cap == 500);
  CHECK(roster->roster.Find("ada")->role == Role::kResearcher);
  CHECK(federation.Root().Newest()->hash == roster->hash);
  federation.WithLedger([&](Ledger& ledger) {
    CHECK(ledger.RosterFile().value() == roster->file);
    CHECK(Waiting(ledger)->empty());
    CHECK(ledger.FindMember(north.tls_key)->admitted == federation.now);
    CHECK(ledger.VerifyLog().ok());
  });
}

TEST_CASE("nobody is admitted under a fingerprint that was not read out") {
  FoundedFederation federation;
  const Member north = federation.Enrolled("north"), south = federation.Enrolled("south");
  std::string read_out = FingerprintOf(north);
  CHECK(CheckFingerprint(north, read_out).ok());
  CHECK(CheckFingerprint(south, read_out).code() == StatusCode::kPermissionDenied);
  CHECK(CheckFingerprint(north, "").code() == StatusCode::kPermissionDenied);
  CHECK(CheckFingerprint(north, read_out.substr(0, 18)).code() == StatusCode::kPermissionDenied);
  std::string spoken;  // with spaces and in capitals
  for (const char c : read_out) spoken += c == '-' ? ' ' : static_cast<char>(std::toupper(c));
  CHECK(CheckFingerprint(north, spoken).ok());
  CHECK(federation.WithLedger([](Ledger& l) { return WaitingMember(l, "east"); }).status().code() ==
        StatusCode::kNotFound);
}

TEST_CASE("the roster goes forward only: an old copy of the root's folder signs nothing") {
  FoundedFederation federation;
  TemporaryFolder elsewhere;
  fs::copy(federation.root_folder(), elsewhere / "copy", fs::copy_options::recursive);
  const auto first = federation.Root().Newest().value();
  REQUIRE(federation.Admit({federation.Enrolled("north")}).ok());
  const Member south = federation.Enrolled("south");
  const auto old_root = FederationRoot::Open(elsewhere / "copy").value();
  federation.WithLedger([&](Ledger& ledger) {
    CHECK(Admit(old_root, ledger, {south}, federation.now).status().code() ==
          StatusCode::kFailedPrecondition);
    CHECK(ledger.SetRoster(first, federation.now).code() == StatusCode::kFailedPrecondition);
    CHECK(ledger.RosterVersion().value() == 2);
  });
  CHECK(old_root.Newest()->roster.version == 1);
}

TEST_CASE("a root of another federation admits nobody") {
  FoundedFederation federation;
  TemporaryFolder folder;
  REQUIRE(Found({"heart-network", {"fl.example.org"}, folder / "root", folder / "state"},
                crypto::Passphrase::Unprotected(), crypto::Passphrase::Unprotected(),
                federation.now)
              .ok());
  const Member north = federation.Enrolled("north");
  const auto other = FederationRoot::Open(folder / "root").value();
  CHECK(federation.WithLedger([&](Ledger& l) { return Admit(other, l, {north}, federation.now); })
            .status()
            .code() == StatusCode::kFailedPrecondition);
}

TEST_CASE("a roster of the root's folder that was changed is not believed") {
  FoundedFederation federation;
  const fs::path file = federation.root_folder() / "roster-000001.json";
  std::string text = ReadTextFile(file).value();
  text[text.find("lung")] = 'f';
  REQUIRE(WriteFileDurably(file, text).ok());
  CHECK(federation.Root().Newest().status().code() == StatusCode::kUnauthenticated);
  CHECK_FALSE(federation.Admit({federation.Enrolled("north")}).ok());
}

TEST_CASE("revoking is in force in the ledger at once, and comes off the roster with the root") {
  FoundedFederation federation;
  const Member north = federation.Enrolled("north"), south = federation.Enrolled("south");
  REQUIRE(federation.Admit({north, south}).ok());
  const auto revoke = [&](const FederationRoot* root, const std::string& name) {
    return federation.WithLedger(
        [&](Ledger& ledger) { return Revoke(root, ledger, name, federation.now); });
  };
  const auto find = [&](const Member& member) {
    return federation.WithLedger([&](Ledger& l) { return l.FindMember(member.tls_key); })
        .status()
        .code();
  };
  const auto without = revoke(nullptr, "north");
  REQUIRE(without.ok());
  CHECK_FALSE(without->has_value());
  CHECK(find(north) == StatusCode::kPermissionDenied);
  CHECK(find(south) == StatusCode::kOk);
  CHECK(federation.Root().Newest()->roster.Find("north") != nullptr);

  const FederationRoot root = federation.Root();
  const auto with = revoke(&root, "north");  // it was revoked before, and is still listed
  REQUIRE(with.ok());
  REQUIRE(with->has_value());
  CHECK((*with)->roster.version == 3);
  CHECK((*with)->roster.Find("north") == nullptr);
  CHECK(revoke(&root, "north").status().code() == StatusCode::kNotFound);
  CHECK(revoke(&root, "coordinator").status().code() == StatusCode::kNotFound);
  CHECK(revoke(nullptr, "nobody").status().code() == StatusCode::kNotFound);
}

TEST_CASE("the next roster leaves out whom the ledger has revoked in the meantime") {
  FoundedFederation federation;
  REQUIRE(federation.Admit({federation.Enrolled("north")}).ok());
  REQUIRE(
      federation.WithLedger([&](Ledger& l) { return Revoke(nullptr, l, "north", federation.now); })
          .ok());
  const auto roster = federation.Admit({federation.Enrolled("south")});
  REQUIRE(roster.ok());
  CHECK(roster->roster.Find("north") == nullptr);
  CHECK(roster->roster.Find("south") != nullptr);
}

TEST_CASE("a member that enrols anew waits again, and its old key is shut out") {
  FoundedFederation federation;
  const Member before = federation.Enrolled("north");
  REQUIRE(federation.Admit({before}).ok());
  const Member after = federation.Enrolled("north");
  CHECK(after.tls_key != before.tls_key);
  federation.WithLedger([&](Ledger& ledger) {
    CHECK(ledger.FindMember(before.tls_key).status().code() == StatusCode::kPermissionDenied);
    CHECK_FALSE(ledger.FindMember(after.tls_key)->admitted);
  });
  const auto roster = federation.Admit({after});
  REQUIRE(roster.ok());
  CHECK(roster->roster.members.size() == 2);
  CHECK(roster->roster.Find("north")->tls_key == after.tls_key);
}

TEST_CASE("a roster that no longer lists a member revokes it in the ledger") {
  FoundedFederation federation;
  const Member north = federation.Enrolled("north");
  REQUIRE(federation.Admit({north}).ok());
  identity::Roster next = federation.Root().Newest()->roster;
  std::erase_if(next.members, [](const auto& entry) { return entry.name == "north"; });
  const auto signed_roster = federation.Root().SignNext(next, federation.now);
  REQUIRE(signed_roster.ok());
  federation.WithLedger([&](Ledger& ledger) {
    REQUIRE(ledger.SetRoster(*signed_roster, federation.now).ok());
    CHECK(ledger.FindMember(north.tls_key).status().code() == StatusCode::kPermissionDenied);
  });
}

TEST_CASE("the server's certificate is renewed at two thirds of its life, with the same key") {
  FoundedFederation federation(std::chrono::hours(30));
  const Authority& authority = federation.authority();
  const auto before = Contents(federation.state() / "keys");
  const auto renew = [&](Duration later) {
    return coordinator::RenewWhenDue(authority, federation.shared(), federation.now + later);
  };
  CHECK(renew(std::chrono::hours(19)).value() == false);
  CHECK(Contents(federation.state() / "keys") == before);
  const std::string old = authority.ServerCertificate();
  CHECK(renew(std::chrono::hours(20)).value() == true);
  CHECK(authority.ServerCertificate() != old);
  CHECK(crypto::KeyFingerprint(authority.ServerCertificate()).value() ==
        federation.Root().Newest()->roster.Coordinator()->tls_key);
  auto after = Contents(federation.state() / "keys");
  CHECK(after["tls.crt"] == authority.ServerCertificate());
  after["tls.crt"] = before.at("tls.crt");
  CHECK(after == before);
  CHECK(Authority::Load(federation.state())->ServerCertificate() == authority.ServerCertificate());
}

TEST_CASE("loading a coordinator again makes nothing new") {
  FoundedFederation federation;
  const auto before = Contents(federation.state() / "keys");
  for (int start = 0; start < 3; ++start) {
    const auto authority = Authority::Load(federation.state());
    REQUIRE(authority.ok());
    CHECK(coordinator::RenewWhenDue(*authority, federation.shared(), federation.now).value() ==
          false);
  }
  CHECK(Contents(federation.state() / "keys") == before);
}

}  // namespace
}  // namespace consilium::federation
