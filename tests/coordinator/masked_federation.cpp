#include "tests/coordinator/masked_federation.h"

#include <algorithm>
#include <numeric>

#include "common/base/fixed_point.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/model/quantizer.h"
#include "tests/coordinator/round_engine_scene.h"

namespace consilium::coordinator {
namespace {

using Kind = wire::RunEventKind;

Digest HashOf(const std::vector<std::uint32_t>& values, const std::vector<std::uint64_t>& sums) {
  Bytes bytes(4 * values.size() + 8 * sums.size());
  std::uint8_t* at = bytes.data();
  for (const std::uint32_t value : values) {
    StoreLe32(at, value);
    at += 4;
  }
  for (const std::uint64_t sum : sums) {
    StoreLe64(at, sum);
    at += 8;
  }
  return crypto::Sha256(bytes);
}

crypto::Ed25519KeyPair KeyOf(const SiteId& site) {
  return *crypto::Ed25519KeyPair::FromPrivate(crypto::Sha256(site.value).bytes);
}

}  // namespace

// ---- a site

MaskedSite::MaskedSite(SiteId id, std::uint64_t seed)
    : id_(std::move(id)), random_(seed, id_.value), signing_key_(KeyOf(id_)) {
  results.sums = SumsWithAuroc(0.9, 20);
}

double MaskedSite::Weight() const {
  const auto weight = static_cast<double>(examples);
  return weight_cap > 0 ? std::min(weight, weight_cap) : weight;
}

std::vector<std::uint32_t> MaskedSite::UpdateOf(const SiteId& site, std::uint32_t round) {
  SeededRandom random(round, site.value);
  std::vector<std::uint32_t> update(kParameters);
  for (std::uint32_t& value : update) value = static_cast<std::uint32_t>(random());
  return update;
}

const std::vector<std::uint32_t>& MaskedSite::MaskedUpdate(const AttemptKey& key) const {
  return masked_.at(key);
}

void MaskedSite::Forget() { sessions_.clear(); }

std::vector<Event> MaskedSite::On(const wire::ToSite& message, const RosterView& roster) {
  if (const auto* invite = std::get_if<wire::Invite>(&message)) {
    if (!declines.empty()) return {InviteAnswered{id_, {invite->run, false, declines}}};
    return {InviteAnswered{id_, {invite->run, true, {}, examples / 2, examples, 0}}};
  }
  if (const auto* make = std::get_if<wire::MakeInitialModel>(&message)) {
    return {InitialModelReady{make->key, ModelNumber(100), kParameters, crypto::Sha256("layout")}};
  }
  if (const auto* train = std::get_if<wire::TrainRequest>(&message)) {
    return Begin(train->secure.value(), roster);
  }
  if (const auto* evaluate = std::get_if<wire::EvaluateRequest>(&message)) {
    return Begin(evaluate->secure.value(), roster);
  }
  if (const auto* describe = std::get_if<wire::DescribeRequest>(&message)) {
    return Begin(describe->secure, roster);
  }
  if (const auto* notice = std::get_if<wire::SecureNotice>(&message)) {
    if (Session* session = Find(notice->session)) return Step(*session, *notice);
  }
  return {};
}

MaskedSite::Session* MaskedSite::Find(const secagg::SessionKey& key) {
  const auto found = sessions_.find(key);
  return found == sessions_.end() ? nullptr : &found->second;
}

Event MaskedSite::Answer(const Session& session,
                         decltype(wire::SecureAnswer::answer) answer) const {
  Event event(std::in_place_type<SecureAnswered>);
  auto& answered = std::get<SecureAnswered>(event);
  answered.site = id_;
  answered.answer.session = session.session.config().key;
  answered.answer.answer = std::move(answer);
  return event;
}

std::vector<Event> MaskedSite::Begin(const secagg::SessionConfig& config,
                                     const RosterView& roster) {
  if (const Session* known = Find(config.key)) {
    if (known->session.config() != config) {
      refusals_.push_back("the same session came again with another configuration");
    }
    return {Answer(*known, known->session.advertisement())};
  }
  auto session =
      secagg::SiteSession::Open(config, {id_, roster.sites, roster.hash}, signing_key_, random_);
  if (!session.ok()) return Refuse(config.key, session.status());
  const auto at = sessions_.emplace(config.key, Session{*std::move(session), {}}).first;
  return {Answer(at->second, at->second.session.advertisement())};
}

std::vector<Event> MaskedSite::Refuse(const secagg::SessionKey& key, const absl::Status& why) {
  refusals_.push_back(StrCat(key.ToString(), ": ", ToStd(why.message())));
  AttemptKey attempt = key.attempt;
  if (key.purpose != secagg::Purpose::kTraining) attempt.attempt = 0;
  return {SiteTaskFailed{id_, attempt, std::string(why.message())}};
}

std::vector<Event> MaskedSite::Step(Session& session, const wire::SecureNotice& notice) {
  const secagg::SessionKey& key = notice.session;
  if (const auto* members = std::get_if<wire::SecureNotice::Members>(&notice.notice)) {
    auto shares = session.session.ShareWith(members->members);
    if (!shares.ok()) return Refuse(key, shares.status());
    return {Answer(session, *std::move(shares))};
  }
  if (const auto* shares = std::get_if<wire::SecureNotice::Shares>(&notice.notice)) {
    auto events = Deliver(session, shares->shares);
    if (!events.ok()) return Refuse(key, events.status());
    return *std::move(events);
  }
  if (const auto* survivors = std::get_if<wire::SecureNotice::Survivors>(&notice.notice)) {
    const auto before =
        released_.find({key.purpose, key.attempt.round, session.session.config().model});
    auto signature = session.session.SignSurvivors(
        survivors->sites, before == released_.end() ? std::nullopt : std::optional(before->second));
    if (!signature.ok()) return Refuse(key, signature.status());
    return {Answer(session, *signature)};
  }
  auto unmasked =
      Unmask(session, std::get<wire::SecureNotice::Signatures>(notice.notice).signatures);
  if (!unmasked.ok()) return Refuse(key, unmasked.status());
  return {*std::move(unmasked)};
}

absl::StatusOr<std::vector<Event>> MaskedSite::Deliver(
    Session& session, const std::vector<secagg::SealedShare>& shares) {
  RETURN_IF_ERROR(session.session.TakeShares(shares));
  const secagg::SessionConfig& config = session.session.config();
  const bool training = config.key.purpose == secagg::Purpose::kTraining;
  std::vector<std::uint32_t> values;
  std::vector<std::uint64_t> sums;
  if (training) {
    values = UpdateOf(id_, config.key.attempt.round);
    const double share = Weight() / config.total_weight;
    sums = {ToFixedPoint(share * kSiteLoss), ToFixedPoint(share * 3)};
  } else if (config.key.purpose == secagg::Purpose::kDescription) {
    sums = metrics::ToRing(description);
  } else if (config.key.purpose == secagg::Purpose::kPreparation) {
    sums = metrics::ToRing(preparation);
  } else {
    sums = metrics::ToRing(results);
  }
  ASSIGN_OR_RETURN(const std::vector<secagg::Mask> masks, session.session.Masks());
  ASSIGN_OR_RETURN(secagg::Masker masker, secagg::Masker::Create(masks, config.values));
  RETURN_IF_ERROR(masker.AddToValues(0, values));
  RETURN_IF_ERROR(masker.AddToSums(0, sums));
  ASSIGN_OR_RETURN(const secagg::UploadProof proof,
                   session.session.SignUpload(HashOf(values, sums)));
  if (!training)
    return std::vector<Event>{Answer(session, wire::MaskedSums{sums, proof.signature})};
  masked_[config.key.attempt] = values;
  const AttemptKey& key = config.key.attempt;
  return std::vector<Event>{
      ContributionStarted{id_, key, Weight()},
      ContributionComplete{id_, key, Weight(), 0, 0, 1, 4 * kParameters, sums, proof}};
}

absl::StatusOr<Event> MaskedSite::Unmask(Session& session,
                                         const std::map<SiteId, crypto::Signature>& signatures) {
  if (!session.unmasked) {
    const auto commit = [this](const secagg::UnmaskRecord& record) {
      released_[{record.key.purpose, record.key.attempt.round, record.model}] = record.survivors;
      return absl::OkStatus();
    };
    ASSIGN_OR_RETURN(secagg::UnmaskAnswer answer, session.session.Unmask(signatures, commit));
    session.unmasked = Answer(session, std::move(answer));
  }
  return *session.unmasked;
}

// ---- the federation

MaskedFederation::MaskedFederation(plan::Plan plan, std::size_t sites, std::uint64_t seed,
                                   LastPublished published)
    : plan_(std::move(plan)), published_(std::move(published)) {
  roster.federation = "thorax";
  roster.hash = crypto::Sha256("roster 1");
  for (std::size_t i = 0; i < sites; ++i) {
    const auto at = sites_.try_emplace(Name(i), Name(i), seed).first;
    roster.sites[at->first] = at->second.public_key();
  }
  RunState state;
  state.run = RunId("masked-0001");
  if (plan_.model.initial) {
    state.parameters = kParameters;
    state.layout = crypto::Sha256("layout");
  }
  last_key_.run = state.run;
  engine_.emplace(plan_, state, published_);
}

SiteId MaskedFederation::Name(std::size_t index) const {
  return SiteId(std::string(1, static_cast<char>('a' + index)));
}

std::set<SiteId> MaskedFederation::sites() const {
  std::set<SiteId> names;
  for (const auto& [name, site] : sites_) names.insert(name);
  return names;
}

void MaskedFederation::Must(bool holds, const std::string& rule) {
  if (!holds) violations_.push_back(rule);
}

void MaskedFederation::Start() { Start(sites()); }

void MaskedFederation::Start(const std::set<SiteId>& connected) {
  connected_ = connected;
  inbox_.clear();
  ours_.clear();
  open_.reset();
  aggregated_ = false;
  wake_.reset();
  actions_.resize(actions_.size() - std::min(actions_.size(), uncommitted_.size()));
  uncommitted_.clear();
  CarryOut(engine_->Start(roster, connected, now_));
}

void MaskedFederation::Restart(const std::set<SiteId>& connected) {
  ++restarts_;
  RunState state = committed_;
  state.work = journal_.records();
  if (damage) damage(state.work);
  engine_.emplace(plan_, std::move(state), published_);
  Start(connected);
}

void MaskedFederation::Connect(const SiteId& site) {
  connected_.insert(site);
  Do(SiteConnected{site});
}

void MaskedFederation::Disconnect(const SiteId& site) {
  connected_.erase(site);
  inbox_[site].clear();
  Do(SiteDisconnected{site});
}

void MaskedFederation::Do(const Event& event) {
  heard_.push_back(event);
  if (const auto* complete = std::get_if<ContributionComplete>(&event)) {
    if (open_ && open_->key == complete->key) completed_.insert(complete->site);
  }
  CarryOut(engine_->On(event, now_));
}

void MaskedFederation::Wait(double seconds) {
  Run();
  const Time until = now_ + FromSeconds(seconds);
  while (wake_ && *wake_ <= until && !engine_->ended()) {
    now_ = *wake_;
    wake_.reset();
    Do(TimeCame{});
    Run();
  }
  now_ = std::max(now_, until);
}

void MaskedFederation::Sleep(double seconds) {
  const Time until = now_ + FromSeconds(seconds);
  while (wake_ && *wake_ <= until && !engine_->ended()) {
    now_ = *wake_;
    wake_.reset();
    Do(TimeCame{});
  }
  now_ = std::max(now_, until);
}

bool MaskedFederation::Idle() const {
  return ours_.empty() && std::all_of(inbox_.begin(), inbox_.end(),
                                      [](const auto& box) { return box.second.empty(); });
}

void MaskedFederation::Run() {
  for (int guard = 0; !Idle() && guard < 10'000; ++guard) {
    DeliverOne(SiteId());
    for (const auto& [name, site] : sites_) DeliverOne(name);
  }
}

bool MaskedFederation::DeliverOne(const SiteId& site) {
  if (site.empty()) {
    if (ours_.empty()) return false;
    const Event event = ours_.front();
    ours_.pop_front();
    Do(event);
    return true;
  }
  auto& box = inbox_[site];
  if (box.empty()) return false;
  const wire::ToSite message = std::move(box.front());
  box.pop_front();
  for (const Event& event : sites_.at(site).On(message, roster)) {
    if (!pass || pass(site, event)) Do(event);
  }
  return true;
}

void MaskedFederation::CarryOut(std::vector<Action> actions) {
  Commit(actions);
  for (const Action& action : actions) Note(action);
  actions_.insert(actions_.end(), actions.begin(), actions.end());
  Must(engine_->ended() || !ours_.empty() || !engine_->waiting().empty() ||
           !engine_->AtWork().empty(),
       "a run that does not move says what it waits for");
  const std::string& waiting = engine_->waiting();
  Must(waiting.empty() || waiting.find("until ") != std::string::npos ||
           waiting.find("next try at ") != std::string::npos,
       "a wait says until when");
}

// As the ledger: answers and uploads alone may wait for what is told because of them.
void MaskedFederation::Commit(const std::vector<Action>& actions) {
  uncommitted_.insert(uncommitted_.end(), actions.begin(), actions.end());
  const bool may_wait =
      lazy_commits && std::all_of(actions.begin(), actions.end(), [](const Action& action) {
        if (const auto* keep = std::get_if<KeepWork>(&action)) {
          return std::holds_alternative<WorkAnswered>(keep->record) ||
                 std::holds_alternative<WorkUploaded>(keep->record);
        }
        if (const auto* record = std::get_if<Record>(&action)) {
          return record->event.kind == Kind::kUpdateReceived;
        }
        return std::holds_alternative<WakeAt>(action);
      });
  if (may_wait) return;
  journal_.Keep(std::exchange(uncommitted_, {}));
  committed_ = engine_->state();
}

void MaskedFederation::Note(const Action& action) {
  if (const auto* send = std::get_if<Send>(&action)) {
    Must(connected_.contains(send->site), "messages go to connected sites");
    if (!hears || hears(send->site, send->message)) inbox_[send->site].push_back(send->message);
  } else if (const auto* open = std::get_if<OpenAttempt>(&action)) {
    Check(*open);
  } else if (const auto* drop = std::get_if<DropContribution>(&action)) {
    Must(open_ && open_->key == drop->key && !aggregated_, "what is dropped is not yet added up");
    dropped_.insert(drop->site);
  } else if (const auto* aggregate = std::get_if<Aggregate>(&action)) {
    Check(*aggregate);
  } else if (const auto* prepare = std::get_if<Prepare>(&action)) {
    Check(*prepare);
  } else if (const auto* store = std::get_if<StorePooledEvaluation>(&action)) {
    Check(*store);
  } else if (std::holds_alternative<AbandonAttempt>(action)) {
    open_.reset();
    aggregated_ = false;
  } else if (const auto* record = std::get_if<Record>(&action)) {
    Check(record->event);
  } else if (const auto* wake = std::get_if<WakeAt>(&action)) {
    Must(wake->time > now_, "the engine is woken in the future");
    wake_ = wake->time;
  }
  Must(!std::holds_alternative<StoreEvaluation>(action), "no single site's results are stored");
}

void MaskedFederation::Check(const OpenAttempt& open) {
  Must(!open_, "one attempt is open at a time");
  if (open.again) {
    Must(open.key == last_key_, "what is opened again was open");
    for (const SiteId& site : open.held) {
      Must(completed_.contains(site), "what is held had arrived");
    }
    completed_ = open.held;
    open_ = open;
    aggregated_ = false;
    return;
  }
  Must(open.key > last_key_, "an attempt has a key of its own");
  Must(open.initial_model || open.masked, "every update is masked");
  Must(open.initial_model || open.sites.size() >= secagg::kFewestSites,
       "a sum is of three sites at least");
  last_key_ = open.key;
  open_ = open;
  aggregated_ = false;
  completed_.clear();
  dropped_.clear();
}

// The sum of the counted sites' updates comes out exactly, and nothing else could.
void MaskedFederation::Check(const Aggregate& aggregate) {
  Must(open_ && open_->key == aggregate.key, "what is aggregated is the open attempt");
  const std::size_t needed =
      std::max<std::size_t>({plan_.cohort.minimum_sites, plan_.secure_aggregation.threshold,
                             secagg::Threshold(static_cast<std::uint32_t>(open_->sites.size()))});
  Must(aggregate.counted.size() >= needed, "never fewer than the threshold are counted");
  Must(aggregate.unmasking != nullptr, "a masked sum comes with what opens it");
  const auto [before, first] = opened_rounds_.try_emplace(aggregate.key.round, aggregate.counted);
  Must(first || before->second == aggregate.counted, "a round's updates are opened for one set");
  std::vector<std::uint32_t> sum(kParameters), plain(kParameters);
  for (const SiteId& site : aggregate.counted) {
    Must(open_->sites.contains(site) && completed_.contains(site) && !dropped_.contains(site),
         "who is counted was asked, delivered and was not dropped");
    secagg::Add(sum, sites_.at(site).MaskedUpdate(aggregate.key));
    secagg::Add(plain, MaskedSite::UpdateOf(site, aggregate.key.round));
  }
  Must(sum != plain, "what the coordinator holds is masked");
  auto masker = secagg::Masker::Create(aggregate.unmasking->masks, kParameters);
  Must(masker.ok() && masker->AddToValues(0, sum).ok(), "the masks can be added");
  Must(sum == plain, "the sum is exactly that of the counted updates");
  const double scale = Quantizer::Create(plan_.secure_aggregation.clip_norm,
                                         static_cast<std::uint32_t>(open_->sites.size()), 1)
                           ->scale();
  Must(aggregate.unmasking->scale == scale, "the scale is that of the whole cohort");
  aggregated_ = true;
  counted_[aggregate.key] = aggregate.counted;
  if (std::exchange(disk_is_full, false)) {
    ours_.push_back(AggregateFailed{aggregate.key, "the disk is full"});
  } else {
    // The same sum is the same model, also when it is made again.
    const auto model = models_.try_emplace(aggregate.key, models_.size() + 1).first->second;
    ours_.push_back(AggregateReady{aggregate.key, ModelNumber(model), 0.1});
  }
}

// The same base and scales are the same model, also when it is made again.
void MaskedFederation::Check(const Prepare& prepare) {
  Must(prepare.base == ModelNumber(100), "what is prepared is the first model");
  Must(prepare.scales.size() == plan_.table.Numbers(), "each number has a scale");
  if (!takes_no_scales.empty()) {
    ours_.push_back(PreparationFailed{prepare.key, takes_no_scales, true});
  } else if (std::exchange(disk_is_full, false)) {
    ours_.push_back(PreparationFailed{prepare.key, "the disk is full"});
  } else {
    ours_.push_back(ModelPrepared{prepare.key, ModelNumber(101)});
  }
}

void MaskedFederation::Check(const StorePooledEvaluation& store) {
  const TaskShape shape = plan_.target.Shape();
  std::vector<std::uint64_t> ring(metrics::EvaluationRingSize(shape));
  for (const SiteId& site : store.evaluation.sites) {
    secagg::Add(ring, metrics::ToRing(sites_.at(site).results));
  }
  const auto expected = metrics::FromRing(ring, shape, store.evaluation.sites.size());
  Must(expected.ok() && *expected == store.evaluation.sums,
       "a pooled evaluation is exactly the sum of its sites' results");
  Must(store.evaluation.sites.size() >= secagg::kFewestSites, "a sum is of three sites at least");
}

void MaskedFederation::Check(const wire::RunEvent& event) {
  Must(event.time == now_, "an event carries its time");
  Must(event.kind != Kind::kSiteEvaluated, "no single site's results are told");
  if (event.kind == Kind::kUpdateReceived) {
    Must(!event.values.contains("loss"), "no single site's loss is told");
  }
  if (event.kind == Kind::kAggregated) {
    open_.reset();
    aggregated_ = false;
  }
}

std::vector<wire::RunEvent> MaskedFederation::Events(wire::RunEventKind kind) const {
  std::vector<wire::RunEvent> found;
  for (const Record& record : All<Record>()) {
    if (record.event.kind == kind) found.push_back(record.event);
  }
  return found;
}

std::string MaskedFederation::LastText(wire::RunEventKind kind) const {
  const auto events = Events(kind);
  return events.empty() ? "" : events.back().text;
}

std::vector<std::string> MaskedFederation::Steps(bool evaluation) const {
  std::vector<std::string> steps;
  for (const wire::RunEvent& event : Events(Kind::kSecureStep)) {
    if ((event.values.at("evaluation") == 1) == evaluation) steps.push_back(event.text);
  }
  return steps;
}

}  // namespace consilium::coordinator
