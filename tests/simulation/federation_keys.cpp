#include "tests/simulation/federation_keys.h"

#include <algorithm>

#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "coordinator/authority.h"
#include "tests/simulation/disk/simulated_disk.h"
#include "tests/simulation/randomness.h"

namespace consilium::simulation {
namespace {

crypto::Ed25519KeyPair KeyOf(const std::string& name) {
  static std::map<std::string, crypto::Ed25519KeyPair> made;
  auto found = made.find(name);
  if (found == made.end()) {
    const Digest seed = crypto::Sha256(StrCat("signing key of ", name));
    found = made.emplace(name, crypto::Ed25519KeyPair::FromPrivate(seed.bytes).value()).first;
  }
  return {crypto::Secret::CopyOf(found->second.private_key.Reveal()), found->second.public_key};
}

Digest TlsKeyOf(const std::string& name) { return crypto::Sha256(StrCat("tls key of ", name)); }

void Collect(const fs::path& folder, const fs::path& below,
             std::vector<std::pair<std::string, Bytes>>* files) {
  const std::vector<FolderEntry> entries = ListFolder(folder).value();
  for (const FolderEntry& entry : entries) {
    if (entry.folder) {
      Collect(entry.path, below, files);
    } else {
      files->emplace_back(entry.path.lexically_relative(below).string(),
                          ReadFile(entry.path).value());
    }
  }
}

}  // namespace

const FederationKeys& FederationKeys::Get() {
  static const FederationKeys keys;
  return keys;
}

FederationKeys::FederationKeys() : root_(KeyOf("root")), researcher_(KeyOf(kResearcher)) {
  const UseRandomness randomness(1);
  SimulatedDisk disk(1);
  const UseDisk use(disk);
  const fs::path state = "/sim/founder/state";
  CONSILIUM_CHECK(EnsureFolder(state).ok());
  const auto created =
      coordinator::Authority::Create(state,
                                     {.federation = kFederation,
                                      .hosts = {"127.0.0.1"},
                                      .address = "127.0.0.1:1",
                                      .root = root_.public_key,
                                      .certificate_life = std::chrono::hours(24 * 365 * 20)},
                                     crypto::Passphrase::Unprotected(), kBeginning);
  CONSILIUM_CHECK(created.ok());
  coordinator_ = *created;
  Collect(state, state, &files_);
}

absl::Status FederationKeys::Install(const fs::path& state) const {
  for (const auto& [name, bytes] : files_) {
    RETURN_IF_ERROR(EnsureFolder((state / name).parent_path()));
    RETURN_IF_ERROR(WriteFileDurably(state / name, bytes));
  }
  return absl::OkStatus();
}

SiteId FederationKeys::SiteNamed(std::size_t index) {
  std::string name(1, static_cast<char>('a' + index % 26));
  if (index >= 26) StrAppend(&name, index / 26);
  return SiteId(name);
}

identity::SignedRoster FederationKeys::RosterOf(std::size_t sites, std::uint64_t version,
                                                const std::map<SiteId, double>& weight_caps,
                                                const std::vector<SiteId>& without) const {
  identity::Roster roster{
      .federation = kFederation, .version = version, .issued = kBeginning, .members = {}};
  roster.members = {coordinator_,
                    {.name = kResearcher,
                     .role = identity::Role::kResearcher,
                     .signing_key = researcher_.public_key,
                     .tls_key = TlsKeyOf(kResearcher)}};
  for (std::size_t i = 0; i < sites; ++i) {
    const SiteId site = SiteNamed(i);
    if (std::find(without.begin(), without.end(), site) != without.end()) continue;
    const auto cap = weight_caps.find(site);
    roster.members.push_back({.name = site.value,
                              .role = identity::Role::kSite,
                              .signing_key = KeyOf(site.value).public_key,
                              .tls_key = TlsKeyOf(site.value),
                              .weight_cap = cap == weight_caps.end() ? 0 : cap->second});
  }
  std::sort(roster.members.begin(), roster.members.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return identity::SignRoster(root_, std::move(roster)).value();
}

identity::Identity FederationKeys::IdentityOf(const SiteId& site) const {
  identity::Identity identity;
  identity.name = site.value;
  identity.role = identity::Role::kSite;
  identity.federation = kFederation;
  identity.coordinator = "simulated:1";
  identity.tls_key = TlsKeyOf(site.value);
  identity.signing = KeyOf(site.value);
  identity.state_key =
      crypto::Secret::CopyOf(crypto::Sha256(StrCat("state key of ", site.value)).bytes);
  identity.root = root_.public_key;
  return identity;
}

coordinator::Member FederationKeys::MemberNamed(const std::string& name,
                                                identity::Role role) const {
  coordinator::Member member;
  member.name = name;
  member.role = role;
  member.tls_key = TlsKeyOf(name);
  member.signing_key = KeyOf(name).public_key;
  member.enrolled = kBeginning;
  return member;
}

}  // namespace consilium::simulation
