#include "tests/simulation/invariants.h"

#include <algorithm>
#include <utility>

#include "common/base/overloaded.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/wire/run_event_name.h"
#include "tests/simulation/coordinator_machine.h"
#include "tests/simulation/fake_hospital.h"
#include "tests/simulation/site_machine.h"

namespace consilium::simulation {
namespace {

std::set<SiteId> NamesIn(const std::map<SiteId, secagg::Share>& shares) {
  std::set<SiteId> names;
  for (const auto& [site, share] : shares) names.insert(site);
  return names;
}

// What a site is asked to contribute to.
std::optional<secagg::SessionKey> AskedIn(const wire::ToSite& message) {
  if (const auto* train = std::get_if<wire::TrainRequest>(&message)) {
    return secagg::SessionKey{train->key, secagg::Purpose::kTraining};
  }
  if (const auto* describe = std::get_if<wire::DescribeRequest>(&message)) {
    return describe->secure.key;
  }
  const auto* evaluate = std::get_if<wire::EvaluateRequest>(&message);
  if (evaluate == nullptr || !evaluate->secure) return std::nullopt;
  return evaluate->secure->key;
}

bool Same(const wire::RunEvent& a, const wire::RunEvent& b) {
  return a.sequence == b.sequence && a.time == b.time && a.kind == b.kind && a.round == b.round &&
         a.attempt == b.attempt && a.site == b.site && a.text == b.text && a.values == b.values;
}

}  // namespace

void Invariants::Violate(std::string_view invariant, const std::string& what) {
  constexpr std::size_t kMost = 5;
  world_.trace.Note(world_.Now(), "INVARIANT", "violated: ", invariant, ": ", what);
  if (violations_.size() < kMost) violations_.push_back(StrCat(invariant, ": ", what));
}

Invariants::Run* Invariants::RunOf(const RunId& run) {
  const auto found = runs_.find(run);
  return found == runs_.end() ? nullptr : &found->second;
}

// ---- what sites say

void Invariants::OnSent(const SiteId& site, const wire::FromSite& message) {
  if (const auto* trained = std::get_if<wire::Trained>(&message)) {
    CheckConsent(site, {trained->key, secagg::Purpose::kTraining});
    const auto asked = asked_.find(trained->key);
    if (asked == asked_.end()) return;
    const auto base = models_.find(asked->second.base);
    if (base == models_.end()) return;
    kept_.emplace(site, HashOf(base->second), SeedOf(asked->second.seed, site));
    return;
  }
  if (const auto* signature = std::get_if<wire::LogSignature>(&message)) {
    const auto [known, is_new] = heads_.emplace(signature->number, signature->head);
    if (!is_new && known->second != signature->head) {
      Violate("durable",
              StrCat("site ", site.value, " signs another head of the audit log after entry ",
                     signature->number, " than another site did"));
    }
    return;
  }
  const auto* answer = std::get_if<wire::SecureAnswer>(&message);
  if (answer == nullptr) return;
  CheckConsent(site, answer->session);
  Session& session = sessions_[answer->session];
  std::visit(Overloaded{[&](const secagg::Advertisement& a) { Advertised(site, session, a); },
                        [&](const wire::MaskedSums& sums) {
                          Masked(site, session,
                                 crypto::Sha256(ByteView(
                                     reinterpret_cast<const std::uint8_t*>(sums.sums.data()),
                                     sums.sums.size() * sizeof(std::uint64_t))));
                        },
                        [&](const secagg::UnmaskAnswer&) { Unmasked(site, session, *answer); },
                        [](const auto&) {}},
             answer->answer);
}

void Invariants::CheckConsent(const SiteId& site, const secagg::SessionKey& asked) {
  const auto found = asked_refused_.find({site, asked});
  if (found == asked_refused_.end() || !found->second || harmed_.contains(site.value)) return;
  Violate("consent", StrCat("site ", site.value, " takes part in ", asked.ToString(),
                            ", and its operator had refused the run"));
}

void Invariants::Advertised(const SiteId& site, Session& session,
                            const secagg::Advertisement& sent) {
  crypto::Sha256Stream keys;
  keys.Update(sent.mask_key);
  keys.Update(sent.share_key);
  keys.Update(sent.seed_hash.bytes);
  const Digest digest = std::move(keys).Finish();
  const auto [known, is_new] = session.advertised.emplace(site, digest);
  if (is_new || known->second == digest) return;
  Violate("masks", StrCat("site ", site.value,
                          " advertises other keys for a session that it had "
                          "advertised for"));
}

void Invariants::Masked(const SiteId& site, Session& session, const Digest& vector) {
  const auto [known, is_new] = session.vectors.emplace(site, vector);
  if (is_new || known->second == vector) return;
  Violate("masks", StrCat("site ", site.value, " masks two different vectors in one session"));
}

void Invariants::Unmasked(const SiteId& site, Session& session, const wire::SecureAnswer& sent) {
  const auto& answer = std::get<secagg::UnmaskAnswer>(sent.answer);
  const std::string who = StrCat("site ", site.value, " in ", sent.session.ToString());
  const std::set<SiteId> survivors = NamesIn(answer.seed_shares);
  for (const auto& [lost, share] : answer.mask_key_shares) {
    if (survivors.contains(lost)) {
      Violate("shares", StrCat(who, " gives both kinds of share of ", lost.value));
    }
  }
  const auto [known, is_new] = session.unmasked.emplace(site, sent);
  if (!is_new && !(std::get<secagg::UnmaskAnswer>(known->second.answer) == answer)) {
    Violate("shares", StrCat(who, " gives shares a second time, and others"));
  }
  if (!session.config) return;
  CheckOneShotRecord(site, sent, survivors, session.config->model);
  if (session.config->threshold < 2 * session.config->cohort_size / 3 + 1) {
    Violate("shares", StrCat(who, " takes part with threshold ", session.config->threshold, " of ",
                             session.config->cohort_size));
  }
  if (session.signatures_heard[site] < session.config->threshold) {
    Violate("shares", StrCat(who, " gives shares after ", session.signatures_heard[site],
                             " signatures; the threshold is ", session.config->threshold));
  }
  if (survivors.size() < session.config->threshold) {
    Violate("shares", StrCat(who, " opens a sum of ", survivors.size(), " sites; the threshold is ",
                             session.config->threshold));
  }
  // The sums of one model on one split are the same in every round.
  const std::uint32_t round =
      sent.session.purpose == secagg::Purpose::kTraining ? sent.session.attempt.round : 0;
  const bool description = sent.session.purpose == secagg::Purpose::kDescription;
  const auto [opened, first] = opened_.emplace(
      std::tuple(site, description ? RunId() : sent.session.attempt.run, round,
                 sent.session.purpose, description ? ModelId() : session.config->model),
      survivors);
  if (!first && opened->second != survivors && !(description && harmed_.contains(site.value))) {
    Violate("shares", StrCat(who, " opens what it opened before with another set of sites"));
  }
}

// Before a share leaves it is on the site's disk that it did, and with whom.
void Invariants::CheckOneShotRecord(const SiteId& site, const wire::SecureAnswer& sent,
                                    const std::set<SiteId>& survivors, const ModelId& model) {
  site_agent::SiteState* state = world_.site(site).state();
  const auto record = state->FindSession(sent.session);
  const auto released = state->FindRelease(sent.session, model, world_.site(site).clock().Now());
  if (!record.ok() || !released.ok()) return;  // disk errors
  if (!*record || (*record)->state < site_agent::SessionState::kOpened || !*released ||
      **released != survivors) {
    Violate("shares", StrCat("site ", site.value, " gives shares in ", sent.session.ToString(),
                             " and has no record of it on its disk"));
  }
}

void Invariants::OnHeard(const SiteId& site, const wire::ToSite& message) {
  if (const auto asked = AskedIn(message)) {
    asked_refused_.try_emplace({site, *asked}, refused_.contains({site, asked->attempt.run}));
  }
  const auto* notice = std::get_if<wire::SecureNotice>(&message);
  if (notice == nullptr) return;
  if (const auto* signatures = std::get_if<wire::SecureNotice::Signatures>(&notice->notice)) {
    std::size_t& heard = sessions_[notice->session].signatures_heard[site];
    heard = std::max(heard, signatures->signatures.size());
  }
}

void Invariants::OnTrained(const SiteId& site, std::span<const float> base, std::uint64_t seed) {
  if (kept_.contains({site, HashOf(base), seed}) && !harmed_.contains(site.value)) {
    Violate("trained", StrCat("site ", site.value, " trains again what it had on its disk"));
  }
}

void Invariants::OnSiteBegins(SiteMachine&) {}

void Invariants::OnSiteGivesUp(const SiteMachine& site, const absl::Status& why) {
  if (site.revoked) return;
  Violate("alive", StrCat("site ", site.name().value, " gives up: ", why.ToString()));
}

void Invariants::OnCannotBegin(const std::string& machine, const absl::Status& why) {
  if (!absl::IsDataLoss(why) || harmed_.contains(machine)) return;
  Violate("durable", StrCat(machine, " cannot begin after a crash: ", why.ToString()));
}

// ---- what the coordinator says

void Invariants::OnTold(const SiteId& site, const wire::ToSite& message) {
  if (const auto* train = std::get_if<wire::TrainRequest>(&message)) {
    const auto [known, is_new] =
        asked_.emplace(train->key, Asked{train->base_model, train->seed, train->secure});
    const Asked& asked = known->second;
    if (!is_new && (asked.base != train->base_model || asked.seed != train->seed ||
                    asked.secure != train->secure)) {
      Violate("told", StrCat("attempt ", train->key.ToString(), " is another for site ", site.value,
                             " than it was told before"));
    }
    if (train->secure) sessions_[train->secure->key].config = train->secure;
  } else if (const auto* evaluate = std::get_if<wire::EvaluateRequest>(&message)) {
    if (evaluate->secure) sessions_[evaluate->secure->key].config = evaluate->secure;
  } else if (const auto* describe = std::get_if<wire::DescribeRequest>(&message)) {
    sessions_[describe->secure.key].config = describe->secure;
  } else if (const auto* closed = std::get_if<wire::AttemptClosed>(&message)) {
    const auto [known, is_new] = closed_.emplace(std::pair(site, closed->key), closed->counted);
    if (!is_new && known->second != closed->counted) {
      Violate("told", StrCat("site ", site.value, " is told that its contribution to ",
                             closed->key.ToString(), " was counted, and that it was not"));
    }
  } else if (const auto* ended = std::get_if<wire::RunEnded>(&message)) {
    const auto [known, is_new] = ended_told_.emplace(ended->run, ended->published_model);
    if (!is_new && known->second != ended->published_model) {
      Violate("told", StrCat("run ", ended->run.value, " is said to have ended in two ways"));
    }
  } else if (const auto* notice = std::get_if<wire::SecureNotice>(&message)) {
    const auto* survivors = std::get_if<wire::SecureNotice::Survivors>(&notice->notice);
    if (survivors == nullptr) return;
    std::optional<std::set<SiteId>>& told = sessions_[notice->session].survivors;
    if (told && *told != survivors->sites) {
      Violate("told", StrCat("the survivors of ", notice->session.ToString(), " are others now"));
    }
    told = survivors->sites;
  }
}

void Invariants::OnUpload(const SiteId& site, const wire::UploadHeader& header) {
  if (header.kind != wire::ContributionKind::kMaskedUpdate) return;
  Masked(site, sessions_[{header.key, secagg::Purpose::kTraining}], header.proof.sha256);
}

void Invariants::OnSegmentCorrupted(const SiteId& site, const AttemptKey& key) {
  corrupted_.emplace(site, key);
}

void Invariants::OnSegmentTaken(const SiteId& site, const wire::UploadHeader& header) {
  if (header.kind == wire::ContributionKind::kInitialModel) return;  // made again after a restart
  if (receipts_.contains({site, header.key}) && !harmed_.contains(kCoordinatorMachine)) {
    Violate("durable", StrCat("the coordinator takes again what it had acknowledged of site ",
                              site.value, " for ", header.key.ToString()));
  }
}

void Invariants::OnReceipt(const SiteId& site, const AttemptKey& key) {
  receipts_.emplace(site, key);
}

// ---- what it has committed

void Invariants::OnSubmitted(const RunId& run, const std::string& toml) {
  Run known;
  known.plan = plan::ParsePlan(toml).value();
  runs_.emplace(run, std::move(known));
}

void Invariants::OnStep(CoordinatorMachine& coordinator) {
  const std::uint64_t syncs = world_.disk.counters(kCoordinatorMachine).syncs;
  if (syncs == syncs_seen_) return;
  syncs_seen_ = syncs;
  const auto entries = coordinator.ledger().With(
      [&](coordinator::Ledger& ledger) { return ledger.LogEntries(log_read_ + 1); });
  if (!entries.ok()) return;  // disk errors: next time
  coordinator.ledger().With([&](coordinator::Ledger& ledger) {
    for (auto& [run, known] : runs_) {
      if (!known.ended) ReadEvents(ledger, run, known);
    }
  });
  for (const wire::LogEntry& entry : *entries) {
    log_head_ = wire::ExtendedBy(log_head_, entry);
    log_read_ = entry.number;
    TakeEntry(coordinator, entry);
  }
}

void Invariants::OnModelNotThere(CoordinatorMachine& coordinator, const SiteId& site,
                                 const ModelId& model) {
  if (harmed_.contains(kCoordinatorMachine)) return;
  OnStep(coordinator);  // there may be a newer candidate
  for (const auto& [run, known] : runs_) {
    if (known.ended || known.candidate != model) continue;
    Violate("told", StrCat("site ", site.value, " is told that the candidate ", model.Short(),
                           " of run ", run.value, " is not there"));
  }
}

void Invariants::ReadEvents(coordinator::Ledger& ledger, const RunId& run, Run& known) {
  const std::uint64_t last = known.events.empty() ? 0 : known.events.back().sequence;
  const auto events = ledger.Events(run, last);
  if (!events.ok()) return;
  for (const wire::RunEvent& event : *events) {
    world_.trace.Note(world_.Now(), "ledger", wire::Name(event.kind), " ", event.round, "/",
                      event.attempt, " ", event.site.value, " ", event.text);
    TakeEvent(known, event);
    known.events.push_back(event);
    known.last_event = world_.events.now();
  }
}

void Invariants::TakeEvent(Run& run, const wire::RunEvent& event) {
  if (event.text.find("sent nonsense") != std::string::npos &&
      !harmed_.contains(kCoordinatorMachine)) {
    Violate("honest", StrCat("what honest sites sent adds up to nonsense: ", event.text));
  }
  using Kind = wire::RunEventKind;
  switch (event.kind) {
    case Kind::kWaiting:
      run.waiting = event.text;
      break;
    case Kind::kContributionLost:
      CheckLoss(event);
      break;
    case Kind::kAggregated:
      run.under_way.reset();
      ++run.rounds;
      run.candidate = ModelId::FromHex(event.text).value();
      break;
    case Kind::kRoundOpened:
      ++run.attempts;
      run.waiting.clear();
      CheckNothingForgotten(run, event);
      if (event.round > 0) run.under_way = {{}, event.round, event.attempt};
      break;
    case Kind::kRoundFailed:
    case Kind::kPrepared:
      run.under_way.reset();
      break;
    case Kind::kEnded: {
      run.ended = true;
      const auto failed = event.values.find("failed");
      run.failed = failed != event.values.end() && failed->second == 1;
      break;
    }
    default:
      break;
  }
}

// An attempt ends with its aggregate or says why it failed: after a restart it goes on.
void Invariants::CheckNothingForgotten(const Run& run, const wire::RunEvent& opened) {
  if (!run.under_way || harmed_.contains(kCoordinatorMachine)) return;
  Violate("durable", StrCat("round ", opened.round, " is opened again as attempt ", opened.attempt,
                            ", and nothing was said of the end of attempt ", run.under_way->attempt,
                            " of round ", run.under_way->round));
}

// An honest site's update, undamaged on its way, is not refused for what it is.
void Invariants::CheckLoss(const wire::RunEvent& event) {
  if (harmed_.contains(kCoordinatorMachine) || harmed_.contains(event.site.value)) return;
  const auto damaged = [&](const auto& entry) {
    return entry.first == event.site && entry.second.round == event.round;
  };
  if (std::any_of(corrupted_.begin(), corrupted_.end(), damaged)) return;
  if (pieces_corrupted_.contains(event.site)) return;  // it could not get the model
  for (const char* word : {"hash", "seal", "was refused", "not a finite", "bytes"}) {
    if (event.text.find(word) == std::string::npos) continue;
    Violate("honest", StrCat("what site ", event.site.value, " delivered undamaged in round ",
                             event.round, " is refused: ", event.text));
    return;
  }
}

void Invariants::TakeEntry(CoordinatorMachine& coordinator, const wire::LogEntry& entry) {
  world_.trace.Note(world_.Now(), "audit log", entry.action, " ", entry.subject, " ",
                    entry.details);
  if (entry.action == "aggregate") CheckAggregate(coordinator, entry);
  if (entry.action == "publish") CheckPublication(coordinator, entry);
  if (entry.action == "prepare") CheckPreparation(coordinator, entry);
  if (entry.action == "describe") CheckDescription(coordinator, entry);
  if (entry.action == "end run") {
    coordinator.ledger().With(
        [&](coordinator::Ledger& ledger) { CheckEvaluations(ledger, RunId(entry.subject)); });
  }
}

void Invariants::OnCoordinatorBegins(CoordinatorMachine& coordinator) {
  if (harmed_.contains(kCoordinatorMachine)) return;
  coordinator.ledger().With([&](coordinator::Ledger& ledger) {
    if (log_read_ > 0) {
      const auto head = ledger.HeadAfter(log_read_);
      if (!head.ok() || *head != log_head_) {
        Violate("durable", StrCat("after a restart the audit log has not what it had committed as "
                                  "entry ",
                                  log_read_));
      }
    }
    for (auto& [run, known] : runs_) {
      const auto events = ledger.Events(run, 0, 100'000);
      if (!events.ok() || events->size() < known.events.size()) {
        Violate("durable", StrCat("after a restart events of ", run.value, " are gone: ",
                                  events.ok() ? events->size() : 0, " of ", known.events.size()));
        continue;
      }
      for (std::size_t i = 0; i < known.events.size(); ++i) {
        if (Same((*events)[i], known.events[i])) continue;
        Violate("durable",
                StrCat("after a restart event ", i + 1, " of ", run.value, " is another one"));
        break;
      }
    }
  });
}

}  // namespace consilium::simulation
