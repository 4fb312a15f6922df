#include "tests/site_agent/test_federation.h"

#include <algorithm>

#include "common/crypto/sha256.h"

namespace consilium::site_agent {
namespace {

identity::RosterEntry Entry(const std::string& name, identity::Role role,
                            const crypto::Ed25519KeyPair& key) {
  return {.name = name,
          .role = role,
          .signing_key = key.public_key,
          .tls_key = crypto::Sha256(std::string_view(name))};
}

}  // namespace

TestFederation::TestFederation(const std::vector<std::string>& names)
    : root(*crypto::Ed25519KeyPair::Generate()),
      researcher(*crypto::Ed25519KeyPair::Generate()),
      coordinator(*crypto::Ed25519KeyPair::Generate()),
      sealing(*crypto::X25519KeyPair::Generate()) {
  roster.federation = kFederation;
  roster.issued = Time(std::chrono::hours(24 * 365 * 55));
  roster.members = {Entry(kResearcher, identity::Role::kResearcher, researcher),
                    Entry("coordinator", identity::Role::kCoordinator, coordinator)};
  roster.members.back().sealing_key = sealing.public_key;
  for (const std::string& name : names) {
    const auto [site, is_new] = sites.emplace(SiteId(name), *crypto::Ed25519KeyPair::Generate());
    roster.members.push_back(Entry(name, identity::Role::kSite, site->second));
  }
  Sign();
}

identity::SignedRoster TestFederation::Sign(std::uint64_t version) {
  roster.version = version == 0 ? roster.version + 1 : version;
  std::sort(roster.members.begin(), roster.members.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  current_ = *identity::SignRoster(root, roster);
  return current_;
}

identity::Identity TestFederation::IdentityOf(const SiteId& site) const {
  identity::Identity identity;
  identity.name = site.value;
  identity.role = identity::Role::kSite;
  identity.federation = kFederation;
  identity.coordinator = "memory:1";
  identity.tls_key = crypto::Sha256(std::string_view(site.value));
  identity.signing = *crypto::Ed25519KeyPair::FromPrivate(sites.at(site).private_key.Reveal());
  // The same at every start, as on a disk.
  identity.state_key =
      crypto::Secret::CopyOf(crypto::Sha256(std::string_view("state " + site.value)).bytes);
  identity.root = root.public_key;
  return identity;
}

wire::PlanNonce TestFederation::NonceOf(const RunId& run) const {
  const Digest digest = crypto::Sha256(std::string_view(run.value));
  wire::PlanNonce nonce;
  std::copy_n(digest.bytes.begin(), nonce.size(), nonce.begin());
  return nonce;
}

wire::Invite TestFederation::Invite(const RunId& run, const std::string& plan) const {
  wire::Invite invite{run, plan, kResearcher, NonceOf(run)};
  invite.signature =
      *crypto::Sign(researcher, wire::PlanText(kFederation, kResearcher, invite.nonce,
                                               crypto::Sha256(std::string_view(plan))));
  return invite;
}

}  // namespace consilium::site_agent
