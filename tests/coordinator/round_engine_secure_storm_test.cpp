// Masked runs in a random world, with real keys: sites come and go, lose messages, forget, lie, are
// late and repeat themselves, the roster changes, the coordinator is killed. The rules that
// MaskedFederation watches hold in each; a failure prints its seed.

#include <algorithm>

#include "common/base/random.h"
#include "tests/catch.h"
#include "tests/coordinator/masked_federation.h"
#include "tests/coordinator/round_engine_scene.h"

namespace consilium::coordinator {
namespace {

using Kind = wire::RunEventKind;

class MaskedStorm {
 public:
  explicit MaskedStorm(std::uint64_t seed)
      : random_(seed, "masked storm"),
        sites_(3 + random_.Below(4)),
        federation_(RandomPlan(), sites_, seed) {}

  void Run() {
    federation_.pass = [this](const SiteId& site, const Event& event) {
      return Passes(site, event);
    };
    std::set<SiteId> connected;
    for (const SiteId& site : federation_.sites()) {
      if (random_.Chance(0.8)) connected.insert(site);
    }
    federation_.Start(connected);
    for (int step = 0; step < 150 && !federation_.engine().ended(); ++step) Step();
    BecomeCalm();
  }

  MaskedFederation& federation() { return federation_; }
  bool recovered() const {
    const auto steps = federation_.Events(Kind::kSecureStep);
    return std::any_of(steps.begin(), steps.end(), [](const wire::RunEvent& event) {
      return event.text == "unmask" && event.values.at("recovered") > 0;
    });
  }
  // An honest coordinator never asks for what a site must refuse for privacy's sake.
  std::string asked_too_much() {
    for (const SiteId& site : federation_.sites()) {
      for (const std::string& refusal : federation_.site(site).refusals()) {
        if (refusal.find("another set of survivors") != std::string::npos ||
            refusal.find("second set of survivors") != std::string::npos) {
          return refusal;
        }
      }
    }
    return {};
  }
  bool spent() const {
    const auto failures = federation_.Events(Kind::kRoundFailed);
    return std::any_of(failures.begin(), failures.end(), [](const wire::RunEvent& event) {
      return event.text.find("the next round begins") != std::string::npos;
    });
  }

 private:
  plan::Plan RandomPlan() {
    plan::Plan plan = ShortPlan();
    plan.aggregation.updates = plan::Updates::kMasked;
    plan.cohort.minimum_sites = 3;
    plan.cohort.round_deadline_s = 300;
    plan.gate.minimum_sites = 3;
    plan.stop.rounds = 1 + static_cast<std::uint32_t>(random_.Below(2));
    if (random_.Chance(0.2)) plan.secure_aggregation.threshold = 3;
    if (random_.Chance(0.2)) plan.stop.wall_time_s = 900;
    if (random_.Chance(0.5)) plan.model.initial = ModelNumber(200);
    return plan;
  }

  SiteId AnySite() { return federation_.Name(random_.Below(sites_)); }

  void Step() {
    const SiteId site = AnySite();
    switch (random_.Below(30)) {
      case 0:
        return federation_.Disconnect(site);
      case 1:
      case 2:
        return federation_.Connect(site);
      case 3:  // without the messages on the way, unlike Wait
        return federation_.Sleep(random_.Uniform(0, random_.Chance(0.3) ? 70 : 4));
      case 4:
        if (random_.Chance(0.2)) federation_.site(site).Forget();
        return;
      case 5:
        if (!federation_.heard().empty()) {
          const Event again = federation_.heard()[random_.Below(federation_.heard().size())];
          if (!OfTheWorld(again)) federation_.Do(again);
        }
        return;
      case 6:
        return Disturb(site);
      default:
        for (int i = 0; i < 3; ++i) federation_.DeliverOne(AnySite());
        federation_.DeliverOne(SiteId());
    }
  }
  void Disturb(const SiteId& site) {
    const double what = random_.Uniform();
    if (what < 0.1) return federation_.Restart(federation_.connected());
    if (what < 0.2) return ChangeRoster(site);
    if (what < 0.25) return federation_.Do(StopRequested{"anna"});
    if (what < 0.3) federation_.disk_is_full = true;
    if (what < 0.6) federation_.Do(SiteTaskFailed{site, federation_.Key(), "cannot"});
  }
  void ChangeRoster(const SiteId& site) {
    const bool leaves = federation_.roster.sites.contains(site);
    if (leaves) {
      federation_.roster.sites.erase(site);
      if (federation_.connected().contains(site)) federation_.Disconnect(site);
    } else {
      federation_.roster.sites[site] = federation_.site(site).public_key();
    }
    federation_.roster.hash.bytes[0] = static_cast<std::uint8_t>(++rosters_);
    federation_.Do(RosterChanged{federation_.roster});
  }

  // Connections, time and the operator's doings are not repeated by themselves.
  static bool OfTheWorld(const Event& event) {
    return std::holds_alternative<SiteConnected>(event) ||
           std::holds_alternative<SiteDisconnected>(event) ||
           std::holds_alternative<RosterChanged>(event) ||
           std::holds_alternative<StopRequested>(event);
  }

  bool Passes(const SiteId& site, const Event& event) {
    if (calm_) return true;
    if (random_.Chance(0.03)) return false;
    if (random_.Chance(0.02)) {
      federation_.Do(Changed(event));
      return false;
    }
    if (std::holds_alternative<ContributionComplete>(event)) {
      if (random_.Chance(0.1)) return false;
      if (random_.Chance(0.05)) federation_.Disconnect(site);
    }
    return true;
  }
  static Event Changed(Event event) {
    if (auto* complete = std::get_if<ContributionComplete>(&event)) {
      complete->proof.signature[5] ^= 1;
    } else if (auto* answered = std::get_if<SecureAnswered>(&event)) {
      auto& answer = answered->answer.answer;
      if (auto* own = std::get_if<secagg::Advertisement>(&answer)) own->seed_hash.bytes[1] ^= 1;
      if (auto* shares = std::get_if<std::vector<secagg::SealedShare>>(&answer)) shares->clear();
      if (auto* sums = std::get_if<wire::MaskedSums>(&answer)) sums->sums[0] ^= 1;
      if (auto* signature = std::get_if<crypto::Signature>(&answer)) (*signature)[7] ^= 1;
      if (auto* unmask = std::get_if<secagg::UnmaskAnswer>(&answer)) unmask->seed_shares.clear();
    }
    return event;
  }

  void BecomeCalm() {
    calm_ = true;
    federation_.disk_is_full = false;
    for (const SiteId& site : federation_.sites()) {
      if (!federation_.roster.sites.contains(site)) ChangeRoster(site);
    }
    for (const SiteId& site : federation_.sites()) federation_.Connect(site);
    for (int i = 0; i < 60 && !federation_.engine().ended(); ++i) {
      federation_.Run();
      federation_.Wait(60);
    }
  }

  SeededRandom random_;
  std::size_t sites_;
  MaskedFederation federation_;
  int rosters_ = 0;
  bool calm_ = false;
};

TEST_CASE("the rules of a masked run hold in random storms, and each run ends") {
  int published = 0, recovered = 0, spent = 0, failed = 0;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    MaskedStorm storm(seed);
    storm.Run();
    const MaskedFederation& federation = storm.federation();
    if (!federation.violations().empty()) {
      FAIL("seed " << seed << ": this does not hold: " << federation.violations()[0]);
    }
    if (!federation.engine().ended()) {
      FAIL("seed " << seed << ": the run does not end: " << federation.LastText(Kind::kWaiting));
    }
    if (const std::string refusal = storm.asked_too_much(); !refusal.empty()) {
      FAIL("seed " << seed << ": an honest site had to refuse: " << refusal);
    }
    published += static_cast<int>(federation.All<Publish>().size());
    spent += storm.spent() ? 1 : 0;
    failed += federation.All<EndRun>().at(0).failed ? 1 : 0;
    recovered += storm.recovered() ? 1 : 0;
  }
  CAPTURE(published, recovered, spent, failed);
  // The storms are not so wild that nothing is ever done in them, nor so mild that all goes well.
  CHECK(published > 60);
  CHECK(recovered > 15);
  CHECK(spent > 10);
  CHECK(failed > 3);
}

}  // namespace
}  // namespace consilium::coordinator
