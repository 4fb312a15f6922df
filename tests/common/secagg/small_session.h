#pragma once

// One session of a few sites and a coordinator in memory, driven step by step, with real keys from
// seeds. Sites: "a-hospital", "b-hospital" ...

#include <map>
#include <set>
#include <vector>

#include "common/secagg/coordinator_session.h"
#include "common/secagg/site_session.h"

namespace consilium::secagg {

SiteId Hospital(char letter);
std::set<SiteId> Hospitals(std::string_view letters);

crypto::Ed25519KeyPair KeyFor(const SiteId& site);

struct SmallSession {
  // A cohort of n sites.
  explicit SmallSession(std::size_t n, std::uint32_t attempt = 1);
  SmallSession(const SmallSession&) = delete;

  SiteView ViewOf(const SiteId& site) const;
  SiteSession& site(char letter) { return sites.at(Hospital(letter)); }

  // Each runs one step to its end with the sites that are left, without those named, which are
  // lost from then on.
  void Advertise(std::string_view without = "");
  void Share(std::string_view without = "");
  void Upload(std::string_view without = "");
  void Agree(std::string_view without = "");
  void Unmask(std::string_view without = "");

  // Whether the survivors' masks and `opened` add up to nothing: as many times plus as minus, for
  // each key.
  bool Cancels(const std::vector<Mask>& opened) const;

  SessionConfig config;
  std::map<SiteId, crypto::Ed25519KeyPair> keys;
  std::map<SiteId, crypto::Ed25519PublicKey> roster;
  std::map<SiteId, SiteSession> sites;
  CoordinatorSession coordinator;
  std::map<SiteId, std::vector<Mask>> masks;  // that each site uploaded with
  std::vector<UnmaskRecord> committed;

 private:
  void LoseAndClose(std::string_view without);
};

// What a site would upload: any hash, one a site.
Digest VectorHash(const SiteId& site);

}  // namespace consilium::secagg
