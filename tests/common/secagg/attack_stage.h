#pragma once

// For the scripted attacks: honest sessions brought to the step where the attack begins, and the
// table of verdicts.

#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "common/base/text_table.h"
#include "common/crypto/sha256.h"
#include "tests/catch.h"
#include "tests/common/secagg/session_scene.h"

namespace consilium::secagg {

inline const Federation& AttackedFederation() {
  static const Federation federation(8);
  return federation;
}
inline SiteId SiteNumber(std::size_t index) { return Federation::Name(index); }
inline std::set<SiteId> SitesNumbered(std::initializer_list<std::size_t> indices) {
  std::set<SiteId> sites;
  for (const std::size_t index : indices) sites.insert(SiteNumber(index));
  return sites;
}
inline crypto::Signature SignAs(const SiteId& site, ByteView text) {
  auto signature = crypto::Sign(AttackedFederation().KeyOf(site), text);
  CONSILIUM_CHECK(signature.ok());
  return *signature;
}
template <class T>
T Must(absl::StatusOr<T> result) {
  if (!result.ok()) FAIL("an honest step was refused: " << result.status().ToString());
  return *std::move(result);
}
inline void Must(const absl::Status& status) {
  if (!status.ok()) FAIL("an honest step was refused: " << status.ToString());
}

// The sessions of `sites` sites, all honest. Site 0 is the victim. `told` is what the victim alone
// is told of the session.
class Stage {
 public:
  using Change = std::function<void(SessionConfig&)>;
  struct Options {
    std::size_t sites = 4;
    std::uint32_t attempt = 1;
    std::uint64_t seed = 1;
    std::uint32_t victims_minimum = kFewestSites;
    Change told = nullptr;       // the victim alone
    Change everybody = nullptr;  // all sites
  };

  Stage() : Stage(Options{}) {}
  explicit Stage(const Options& options) {
    const Federation& federation = AttackedFederation();
    SeededRandom random(options.seed, "stage");
    config_ = federation.Config(options.sites, options.attempt);
    if (options.everybody) options.everybody(config_);
    for (std::size_t i = 0; i < options.sites; ++i) {
      const SiteId id = SiteNumber(i);
      SessionConfig config = config_;
      SiteView view = federation.ViewOf(id);
      if (i == 0) view.minimum_cohort = options.victims_minimum;
      if (i == 0 && options.told) options.told(config);
      sessions_.emplace(id, Must(SiteSession::Open(config, view, federation.KeyOf(id), random)));
      members_.push_back(sessions_.at(id).advertisement());
    }
  }

  const SessionConfig& config() const { return config_; }
  SiteSession& victim() { return sessions_.at(SiteNumber(0)); }
  SiteSession& site(std::size_t index) { return sessions_.at(SiteNumber(index)); }
  std::set<SiteId> everybody() const {
    std::set<SiteId> all;
    for (const auto& [id, session] : sessions_) all.insert(id);
    return all;
  }

  // ---- the honest course, up to here
  Stage& Shared() {
    for (auto& [id, session] : sessions_) sent_[id] = Must(session.ShareWith(members_));
    return *this;
  }
  Stage& Taken() {
    Shared();
    for (auto& [id, session] : sessions_) Must(session.TakeShares(SharesFor(id)));
    return *this;
  }
  Stage& Uploaded(const std::set<SiteId>& who) {
    Taken();
    for (const SiteId& id : who) Must(sessions_.at(id).SignUpload(HashOf(id)));
    return *this;
  }
  Stage& Uploaded() { return Uploaded(everybody()); }
  // Those who uploaded sign the survivors.
  Stage& Agreed(const std::set<SiteId>& survivors) {
    Uploaded(survivors);
    for (const SiteId& id : survivors)
      signatures_[id] = Must(sessions_.at(id).SignSurvivors(survivors, std::nullopt));
    return *this;
  }
  Stage& Agreed() { return Agreed(everybody()); }

  // ---- what the coordinator holds by then, to be changed at will
  std::vector<Advertisement>& members() { return members_; }
  std::map<SiteId, std::vector<SealedShare>>& sent() { return sent_; }
  std::map<SiteId, crypto::Signature>& signatures() { return signatures_; }
  std::vector<SealedShare> SharesFor(const SiteId& to) const {
    std::vector<SealedShare> shares;
    for (const auto& [from, all] : sent_) {
      for (const SealedShare& share : all) {
        if (share.to == to) shares.push_back(share);
      }
    }
    return shares;
  }
  std::vector<SealedShare> SharesForVictim() const { return SharesFor(SiteNumber(0)); }
  static Digest HashOf(const SiteId& site) {
    return crypto::Sha256("the masked vector of " + site.value);
  }
  // An advertisement signed by `site` for this session with whatever keys.
  Advertisement Signed(const SiteId& site, Advertisement advertisement) const {
    advertisement.site = site;
    advertisement.signature = SignAs(site, AdvertisementText(ContextHash(config_), advertisement));
    return advertisement;
  }
  // What a site of the coordinator's own would sign.
  crypto::Signature SurvivorsSignedBy(const SiteId& site, const std::set<SiteId>& survivors) {
    return SignAs(site, SurvivorsText(Must(victim().transcript()), everybody(), survivors));
  }
  // Unmask() of the victim, on a disk that works.
  absl::StatusOr<UnmaskAnswer> AskVictimToUnmask() {
    return victim().Unmask(signatures_, [](const UnmaskRecord&) { return absl::OkStatus(); });
  }

 private:
  SessionConfig config_;
  std::map<SiteId, SiteSession> sessions_;
  std::vector<Advertisement> members_;
  std::map<SiteId, std::vector<SealedShare>> sent_;
  std::map<SiteId, crypto::Signature> signatures_;
};

// verdict | attack | what the honest side said
class AttackTable {
 public:
  explicit AttackTable(const char* honest)
      : table_({"verdict", "attack", std::string(honest) + " said"}) {}
  // `words`: what the reason must name.
  void Add(const std::string& attack, const absl::Status& said, const std::string& words) {
    ++attacks_;
    const bool refused = !said.ok() && said.code() != absl::StatusCode::kInternal &&
                         ToStd(said.message()).find(words) != std::string_view::npos;
    if (!refused) ++let_in_;
    std::string verdict = refused ? "refused" : "NOT REFUSED";
    if (!said.ok() && !refused) verdict = "REFUSED FOR ANOTHER REASON than " + words;
    table_.AddRow({verdict, attack, said.ok() ? "(it went along)" : std::string(said.message())});
  }
  // Another layer's to refuse, and in its tests.
  void AddElsewhere(const std::string& attack, const std::string& layer) {
    table_.AddRow({layer, attack, "(that layer's to refuse)"});
  }
  int attacks() const { return attacks_; }
  // Prints the table; true when every attack was refused.
  bool AllRefused(const std::string& title) const {
    std::cout << title << ": " << attacks_ - let_in_ << " of " << attacks_ << " refused\n"
              << table_.ToString() << std::endl;
    return let_in_ == 0;
  }

 private:
  TextTable table_;
  int attacks_ = 0, let_in_ = 0;
};

}  // namespace consilium::secagg
