// Runs: their state, their events, and what the events say about attempts and contributions.

#include <limits>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "coordinator/ledger.h"
#include "coordinator/ledger_tables.h"

namespace consilium::coordinator {
namespace {

using wire::RunEventKind;

absl::Status NoSuchRun(const RunId& run) {
  return absl::NotFoundError(StrCat("there is no run \"", run.value.substr(0, 80), "\""));
}

std::optional<double> ValueOf(const wire::RunEvent& event, const std::string& name) {
  const auto found = event.values.find(name);
  return found == event.values.end() ? std::nullopt : std::optional<double>(found->second);
}

// Reasons come from sites and need not be UTF-8.
std::string RefusalsJson(const std::map<std::string, std::uint64_t>& refusals) {
  return nlohmann::json(refusals).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

absl::StatusOr<std::map<std::string, std::uint64_t>> RefusalsFrom(std::string_view text) {
  const auto in = nlohmann::json::parse(text, nullptr, false);
  if (!in.is_object()) return absl::DataLossError("the ledger holds refusals that are damaged");
  std::map<std::string, std::uint64_t> refusals;
  for (const auto& [reason, files] : in.items()) {
    if (files.is_number_unsigned()) refusals[reason] = files.get<std::uint64_t>();
  }
  return refusals;
}

bool IsSame(const Participant& a, const Participant& b) {
  return a.invite == b.invite && a.decline_reason == b.decline_reason &&
         a.train_patients == b.train_patients && a.train_examples == b.train_examples &&
         a.refused_files == b.refused_files && a.refusals == b.refusals;
}

absl::StatusOr<std::vector<RunId>> RunsWhere(storage::Database& db, std::string_view condition) {
  ASSIGN_OR_RETURN(auto row, db.Prepare(StrCat("SELECT run FROM runs WHERE ", condition,
                                               " ORDER BY submitted, rowid")));
  std::vector<RunId> runs;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return runs;
    runs.emplace_back(row.Text(0));
  }
}

// One run at a time: the others are those that were submitted earlier and have not ended.
std::string WaitingBehind(const std::vector<RunId>& ahead) {
  const std::string last = StrCat("for its turn, behind run ", ahead.back().value);
  return ahead.size() == 1 ? last : StrCat(last, " and ", ahead.size() - 1, " before it");
}

}  // namespace

absl::Status Ledger::Impl::CheckNonceIsNew(const wire::PlanNonce& nonce) {
  ASSIGN_OR_RETURN(auto row, db.Prepare("SELECT run FROM runs WHERE nonce = ?"));
  row.Bind(ToHex(nonce));
  ASSIGN_OR_RETURN(const bool used, row.Step());
  if (!used) return absl::OkStatus();
  return absl::AlreadyExistsError(StrCat("this signed plan was submitted before, as run ",
                                         row.Text(0), ": sign it again to run it again"));
}

absl::StatusOr<RunId> Ledger::SubmitRun(const plan::Plan& plan, const SubmittedPlan& submitted,
                                        Time now) {
  RunId run;
  RETURN_IF_ERROR(impl_->db.Transact([&]() -> absl::Status {
    RETURN_IF_ERROR(impl_->CheckNonceIsNew(submitted.nonce));
    RETURN_IF_ERROR(impl_->db.Execute(
        "INSERT INTO plans (hash, name, toml, at_specificity) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (hash) DO NOTHING",
        submitted.hash.Hex(), plan.name, submitted.toml, plan.evaluation.at_specificity));
    ASSIGN_OR_RETURN(auto row, impl_->db.Prepare("SELECT coalesce(max(number), 0) + 1 FROM runs "
                                                 "WHERE plan_name = ?"));
    row.Bind(plan.name);
    ASSIGN_OR_RETURN(const bool counted, row.Step());
    CONSILIUM_CHECK(counted);
    const std::int64_t number = row.Int(0);
    run = RunId(plan.name + absl::StrFormat("-%04d", number));
    ASSIGN_OR_RETURN(const auto ahead, RunsWhere(impl_->db, "ended IS NULL"));
    RETURN_IF_ERROR(impl_->db.Execute(
        "INSERT INTO runs (run, number, plan_name, plan, researcher, nonce, signature, submitted, "
        "last_sequence) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        run.value, number, plan.name, submitted.hash.Hex(), submitted.researcher,
        ToHex(submitted.nonce), ToHex(submitted.signature), ToMicros(now), ahead.empty() ? 1 : 2));
    RETURN_IF_ERROR(impl_->AppendLog(
        now, submitted.researcher, "submit", run.value,
        nlohmann::json{{"plan_sha256", submitted.hash.Hex()}, {"nonce", ToHex(submitted.nonce)}}
            .dump()));
    wire::RunEvent event;
    event.sequence = 1;
    event.time = now;
    event.kind = RunEventKind::kSubmitted;
    event.text = plan.name;
    RETURN_IF_ERROR(impl_->SaveEvent(run, event));
    if (ahead.empty()) return absl::OkStatus();
    event.sequence = 2;
    event.kind = RunEventKind::kWaiting;
    event.text = WaitingBehind(ahead);
    return impl_->SaveEvent(run, event);
  }));
  return run;
}

absl::StatusOr<std::vector<RunId>> Ledger::QueuedRuns() {
  return RunsWhere(impl_->db, "started = 0 AND ended IS NULL");
}

absl::StatusOr<std::vector<RunId>> Ledger::ActiveRuns() {
  return RunsWhere(impl_->db, "started != 0 AND ended IS NULL");
}

absl::StatusOr<SubmittedPlan> Ledger::PlanOf(const RunId& run) {
  ASSIGN_OR_RETURN(auto row, impl_->db.Prepare("SELECT p.name, p.hash, p.toml, r.researcher, "
                                               "r.nonce, r.signature FROM runs r JOIN plans p ON "
                                               "p.hash = r.plan WHERE r.run = ?"));
  row.Bind(run.value);
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return NoSuchRun(run);
  SubmittedPlan plan;
  plan.name = row.Text(0);
  ASSIGN_OR_RETURN(plan.hash, DigestAt(row, 1));
  plan.toml = row.Text(2);
  plan.researcher = row.Text(3);
  if (row.IsNull(4)) return plan;  // of a time when plans were not signed
  ASSIGN_OR_RETURN(plan.nonce, ArrayAt<16>(row, 4));
  ASSIGN_OR_RETURN(plan.signature, ArrayAt<64>(row, 5));
  return plan;
}

absl::StatusOr<std::optional<wire::RunEnded>> Ledger::EndOf(const RunId& run, const SiteId& site) {
  ASSIGN_OR_RETURN(
      auto row,
      impl_->db.Prepare("SELECT r.outcome, (SELECT m.model FROM models m WHERE m.run = r.run AND "
                        "m.stage IN (?, ?)) FROM runs r JOIN participation p ON p.run = r.run "
                        "WHERE r.run = ? AND p.site = ? AND r.ended IS NOT NULL"));
  row.Bind(ModelStage::kPublished, ModelStage::kWithdrawn, run.value, site.value);
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return std::optional<wire::RunEnded>();
  wire::RunEnded ended{run, row.Text(0), std::nullopt};
  ASSIGN_OR_RETURN(ended.published_model, OptionalDigestAt(row, 1));
  return std::optional<wire::RunEnded>(std::move(ended));
}

absl::StatusOr<RunState> Ledger::LoadRunState(const RunId& run) {
  ASSIGN_OR_RETURN(
      auto row,
      impl_->db.Prepare("SELECT phase, started, round, attempt, failed_attempts, "
                        "parameters, base, candidate, best, best_round, best_auroc, "
                        "stop_reason, evaluation_attempt, opening FROM runs WHERE run = ?"));
  row.Bind(run.value);
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return NoSuchRun(run);
  RunState state;
  state.run = run;
  state.phase = static_cast<Phase>(row.Int(0));
  state.started = FromMicros(row.Int(1));
  state.round = static_cast<std::uint32_t>(row.Int(2));
  state.attempt = static_cast<std::uint32_t>(row.Int(3));
  state.failed_attempts = static_cast<std::uint32_t>(row.Int(4));
  state.parameters = static_cast<std::uint64_t>(row.Int(5));
  ASSIGN_OR_RETURN(state.base, OptionalDigestAt(row, 6));
  ASSIGN_OR_RETURN(state.candidate, OptionalDigestAt(row, 7));
  ASSIGN_OR_RETURN(state.best, OptionalDigestAt(row, 8));
  state.best_round = static_cast<std::uint32_t>(row.Int(9));
  state.best_headline = row.Real(10);
  state.stop_reason = row.Text(11);
  state.evaluation_attempt = static_cast<std::uint32_t>(row.Int(12));
  state.opening = row.Int(13) != 0;

  ASSIGN_OR_RETURN(auto site,
                   impl_->db.Prepare("SELECT site, invite, reason, train_patients, "
                                     "train_examples, refused_files, refusals FROM participation "
                                     "WHERE run = ?"));
  site.Bind(run.value);
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, site.Step());
    if (!more) break;
    Participant& participant = state.participants[SiteId(site.Text(0))];
    participant.invite = static_cast<InviteState>(site.Int(1));
    participant.decline_reason = site.Text(2);
    participant.train_patients = static_cast<std::uint64_t>(site.Int(3));
    participant.train_examples = static_cast<std::uint64_t>(site.Int(4));
    participant.refused_files = static_cast<std::uint64_t>(site.Int(5));
    ASSIGN_OR_RETURN(participant.refusals, RefusalsFrom(site.Text(6)));
  }
  ASSIGN_OR_RETURN(auto closed, impl_->db.Prepare("SELECT site, round, attempt, state, reason FROM "
                                                  "contributions WHERE run = ? AND state IN (?, ?) "
                                                  "ORDER BY round, attempt"));
  closed.Bind(run.value, ContributionState::kCounted, ContributionState::kLost);
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, closed.Step());
    if (!more) break;
    const AttemptKey key{run, static_cast<std::uint32_t>(closed.Int(1)),
                         static_cast<std::uint32_t>(closed.Int(2))};
    const bool counted =
        static_cast<ContributionState>(closed.Int(3)) == ContributionState::kCounted;
    state.closings.Add(SiteId(closed.Text(0)), {key, counted, closed.Text(4)});
  }
  ASSIGN_OR_RETURN(state.work, impl_->LoadWork(run));
  const bool final = state.phase == Phase::kFinalEvaluation;
  if (!final && state.phase != Phase::kEvaluating) return state;
  const auto split = final ? wire::EvaluationSplit::kTest : wire::EvaluationSplit::kValidation;
  const std::uint32_t round = final ? state.best_round : state.round;
  ASSIGN_OR_RETURN(const std::vector<Evaluation> evaluations, Evaluations(run));
  for (const auto& [who, report] : evaluations) {
    if (report.round == round && report.split == split && report.model == state.candidate) {
      state.evaluations[who] = report.sums;
    }
  }
  return state;
}

absl::StatusOr<std::vector<wire::RunEvent>> Ledger::Commit(
    const RunState& state, std::span<const Action> actions,
    const std::optional<Publication>& publication) {
  ASSIGN_OR_RETURN(const Impl::StepMark last, impl_->LastStep(state.run));
  if (const auto failed = std::exchange(impl_->uncertain, std::nullopt);
      failed && failed->run == state.run && last.steps > failed->before.steps) {
    return Events(state.run, failed->before.last_sequence);
  }
  std::vector<wire::RunEvent> events;
  const absl::Status kept = impl_->db.Transact([&]() -> absl::Status {
    std::uint64_t sequence = last.last_sequence;
    ASSIGN_OR_RETURN(const Time time, impl_->TimeOf(state.run, actions));
    RETURN_IF_ERROR(impl_->SaveState(state));
    RETURN_IF_ERROR(impl_->KeepSurvivorSignatures(actions));
    for (const Action& action : actions) {
      if (const auto* record = std::get_if<Record>(&action)) {
        wire::RunEvent event = record->event;
        if (event.kind == RunEventKind::kProgress) continue;  // passes by
        event.sequence = ++sequence;
        RETURN_IF_ERROR(impl_->SaveEvent(state.run, event));
        RETURN_IF_ERROR(impl_->FollowEvent(state.run, event));
        events.push_back(std::move(event));
      } else if (const auto* publish = std::get_if<Publish>(&action)) {
        CONSILIUM_CHECK(publication && publication->model == publish->model);
        RETURN_IF_ERROR(
            impl_->ChangeStage(publish->model, ModelStage::kPublished, publication->record_json));
      } else {
        RETURN_IF_ERROR(impl_->Keep(state.run, action, time));
      }
    }
    return impl_->db.Execute("UPDATE runs SET last_sequence = ?, steps = ? WHERE run = ?", sequence,
                             last.steps + 1, state.run.value);
  });
  if (kept.ok()) return events;
  impl_->participants.clear();
  impl_->uncertain = {state.run, last};
  return kept;
}

// Of what `actions` say: their newest event's, or that of the run's last one.
absl::StatusOr<Time> Ledger::Impl::TimeOf(const RunId& run, std::span<const Action> actions) {
  for (auto action = actions.rbegin(); action != actions.rend(); ++action) {
    if (const auto* record = std::get_if<Record>(&*action)) return record->event.time;
  }
  ASSIGN_OR_RETURN(
      auto row, db.Prepare("SELECT time FROM events WHERE run = ? ORDER BY sequence DESC LIMIT 1"));
  row.Bind(run.value);
  ASSIGN_OR_RETURN(const bool found, row.Step());
  return found ? FromMicros(row.Int(0)) : Time{};
}

absl::Status Ledger::Impl::Keep(const RunId& run, const Action& action, Time time) {
  if (const auto* store = std::get_if<StoreEvaluation>(&action)) {
    return SaveEvaluation({store->site, store->report});
  }
  if (const auto* pooled = std::get_if<StorePooledEvaluation>(&action)) {
    return SavePooledEvaluation(run, pooled->evaluation);
  }
  if (const auto* description = std::get_if<StoreDescription>(&action)) {
    return SaveDescription(*description);
  }
  if (const auto* audit = std::get_if<Audit>(&action)) {
    return AppendLog(time, "coordinator", audit->action, audit->subject, audit->details);
  }
  if (const auto* keep = std::get_if<coordinator::KeepWork>(&action)) {
    return KeepWork(run, keep->record);
  }
  if (std::holds_alternative<coordinator::EndRun>(action)) return ForgetWork(run);
  if (const auto* abandon = std::get_if<AbandonAttempt>(&action)) {
    RETURN_IF_ERROR(ForgetWork(run));
    return LoseOpenContributions(abandon->key, "the attempt was given up");
  }
  return absl::OkStatus();  // the conductor's
}

absl::StatusOr<Ledger::Impl::StepMark> Ledger::Impl::LastStep(const RunId& run) {
  ASSIGN_OR_RETURN(auto row, db.Prepare("SELECT steps, last_sequence FROM runs WHERE run = ?"));
  row.Bind(run.value);
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return NoSuchRun(run);
  return StepMark{row.Int(0), static_cast<std::uint64_t>(row.Int(1))};
}

absl::Status Ledger::Impl::SaveState(const RunState& s) {
  RETURN_IF_ERROR(db.Execute(
      "UPDATE runs SET phase = ?, started = ?, round = ?, attempt = ?, failed_attempts = ?, "
      "parameters = ?, base = ?, candidate = ?, best = ?, best_round = ?, best_auroc = ?, "
      "stop_reason = ?, evaluation_attempt = ?, opening = ? WHERE run = ?",
      s.phase, ToMicros(s.started), s.round, s.attempt, s.failed_attempts, s.parameters,
      HexOrNull(s.base), HexOrNull(s.candidate), HexOrNull(s.best), s.best_round, s.best_headline,
      s.stop_reason, s.evaluation_attempt, s.opening, s.run.value));
  return SaveParticipants(s);
}

absl::Status Ledger::Impl::SaveParticipants(const RunState& state) {
  ASSIGN_OR_RETURN(
      auto save,
      db.Prepare("INSERT OR REPLACE INTO participation (run, site, invite, reason, train_patients, "
                 "train_examples, refused_files, refusals) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"));
  if (participants_of != state.run) participants.clear();
  participants_of = state.run;
  for (const auto& [site, p] : state.participants) {
    const auto saved = participants.find(site);
    if (saved != participants.end() && IsSame(saved->second, p)) continue;
    RETURN_IF_ERROR(save.Bind(state.run.value, site.value, p.invite, p.decline_reason,
                              p.train_patients, p.train_examples, p.refused_files,
                              RefusalsJson(p.refusals))
                        .Run());
    participants[site] = p;
  }
  return absl::OkStatus();
}

absl::Status Ledger::Impl::SaveEvent(const RunId& run, const wire::RunEvent& event) {
  return db.Execute(
      "INSERT INTO events (run, sequence, time, kind, round, attempt, site, text, \"values\") "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      run.value, event.sequence, ToMicros(event.time), event.kind, event.round, event.attempt,
      event.site.value, event.text, nlohmann::json(event.values).dump());
}

// The tables of rounds, attempts and contributions are what the events say, in a form to ask.
absl::Status Ledger::Impl::FollowEvent(const RunId& run, const wire::RunEvent& e) {
  const AttemptKey key{run, e.round, e.attempt};
  const std::int64_t time = ToMicros(e.time);
  switch (e.kind) {
    case RunEventKind::kRoundOpened:
      RETURN_IF_ERROR(CloseCutOffAttempts(run, time));
      RETURN_IF_ERROR(
          db.Execute("INSERT INTO rounds (run, round, opened) VALUES (?, ?, ?) "
                     "ON CONFLICT DO NOTHING",
                     run.value, e.round, time));
      return db.Execute("INSERT INTO attempts (run, round, attempt, opened) VALUES (?, ?, ?, ?)",
                        run.value, e.round, e.attempt, time);
    case RunEventKind::kTaskSent:
      if (e.attempt == 0) return absl::OkStatus();  // an evaluation
      return db.Execute(
          "INSERT INTO contributions (run, round, attempt, site, state, asked) "
          "VALUES (?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET asked = 1",
          run.value, e.round, e.attempt, e.site.value, ContributionState::kAsked);
    case RunEventKind::kTrained:
      return db.Execute(
          "UPDATE contributions SET trained_patients = ?, trained_examples = ?, trained_seconds = "
          "?, trained_before = ? WHERE run = ? AND round = ? AND attempt = ? AND site = ?",
          static_cast<std::int64_t>(ValueOf(e, "patients").value_or(0)),
          static_cast<std::int64_t>(ValueOf(e, "examples").value_or(0)), ValueOf(e, "seconds"),
          ValueOf(e, "before").value_or(0) != 0, run.value, e.round, e.attempt, e.site.value);
    case RunEventKind::kUpdateReceived:
      return db.Execute(
          "UPDATE contributions SET state = ?, uploaded = 1, weight = ?, loss = ?, train_seconds = "
          "?, "
          "upload_seconds = ?, bytes = ? WHERE run = ? AND round = ? AND attempt = ? AND site = ?",
          ContributionState::kReceived, ValueOf(e, "weight"), ValueOf(e, "loss"),
          ValueOf(e, "train_seconds"), ValueOf(e, "upload_seconds"),
          static_cast<std::int64_t>(ValueOf(e, "bytes").value_or(0)), run.value, e.round, e.attempt,
          e.site.value);
    case RunEventKind::kContributionLost:
      if (e.attempt == 0) return absl::OkStatus();
      return db.Execute(
          "INSERT INTO contributions (run, round, attempt, site, state, reason) "
          "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET state = excluded.state, "
          "reason = excluded.reason",
          run.value, e.round, e.attempt, e.site.value, ContributionState::kLost, e.text);
    case RunEventKind::kAggregated:
      RETURN_IF_ERROR(db.Execute(
          "UPDATE contributions SET state = ? WHERE run = ? AND round = ? "
          "AND attempt = ? AND state != ?",
          ContributionState::kCounted, run.value, e.round, e.attempt, ContributionState::kLost));
      RETURN_IF_ERROR(
          db.Execute("UPDATE attempts SET closed = ? WHERE run = ? AND round = ? AND "
                     "attempt = ?",
                     time, run.value, e.round, e.attempt));
      return db.Execute("UPDATE rounds SET candidate = ?, closed = ? WHERE run = ? AND round = ?",
                        e.text, time, run.value, e.round);
    case RunEventKind::kRoundFailed:
      return db.Execute(
          "UPDATE attempts SET closed = ?, failure = ? WHERE run = ? AND round = ? "
          "AND attempt = ?",
          time, e.text, run.value, e.round, e.attempt);
    case RunEventKind::kRoundEvaluated:
      if (e.values.contains("test")) return absl::OkStatus();  // the final one closes no round
      return db.Execute("UPDATE rounds SET closed = ? WHERE run = ? AND round = ?", time, run.value,
                        e.round);
    case RunEventKind::kEnded:
      return EndRun(run, e);
    case RunEventKind::kPublished:
      return db.Execute("UPDATE runs SET published = ? WHERE run = ?", e.text, run.value);
    default:
      return absl::OkStatus();
  }
}

// Attempts that were open when the coordinator ended, and that it could not go on with.
absl::Status Ledger::Impl::CloseCutOffAttempts(const RunId& run, std::int64_t time) {
  constexpr std::string_view kWhy = "the coordinator was restarted";
  RETURN_IF_ERROR(
      db.Execute("UPDATE contributions SET state = ?, reason = ? WHERE run = ? AND state IN (?, ?)",
                 ContributionState::kLost, kWhy, run.value, ContributionState::kAsked,
                 ContributionState::kReceived));
  return db.Execute("UPDATE attempts SET closed = ?, failure = ? WHERE run = ? AND closed IS NULL",
                    time, kWhy, run.value);
}

absl::Status Ledger::Impl::EndRun(const RunId& run, const wire::RunEvent& ended) {
  return db.Execute("UPDATE runs SET ended = ?, outcome = ?, failed = ? WHERE run = ?",
                    ToMicros(ended.time), ended.text, ValueOf(ended, "failed").value_or(0) != 0,
                    run.value);
}

absl::Status Ledger::Impl::LoseOpenContributions(const AttemptKey& key, std::string_view reason) {
  return db.Execute(
      "UPDATE contributions SET state = ?, reason = ? WHERE run = ? AND round = ? AND "
      "attempt = ? AND state IN (?, ?)",
      ContributionState::kLost, reason, key.run.value, key.round, key.attempt,
      ContributionState::kAsked, ContributionState::kReceived);
}

absl::StatusOr<std::vector<wire::RunEvent>> Ledger::Events(const RunId& run, std::uint64_t after,
                                                           std::size_t limit) {
  ASSIGN_OR_RETURN(auto row,
                   impl_->db.Prepare("SELECT sequence, time, kind, round, attempt, site, text, "
                                     "\"values\" FROM events WHERE run = ? AND sequence > ? "
                                     "ORDER BY sequence LIMIT ?"));
  constexpr std::uint64_t kLargest = std::numeric_limits<std::int64_t>::max();
  row.Bind(run.value, std::min(after, kLargest), std::min<std::uint64_t>(limit, kLargest));
  std::vector<wire::RunEvent> events;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return events;
    wire::RunEvent event;
    event.sequence = static_cast<std::uint64_t>(row.Int(0));
    event.time = FromMicros(row.Int(1));
    event.kind = static_cast<RunEventKind>(row.Int(2));
    event.round = static_cast<std::uint32_t>(row.Int(3));
    event.attempt = static_cast<std::uint32_t>(row.Int(4));
    event.site = SiteId(row.Text(5));
    event.text = row.Text(6);
    const auto values = nlohmann::json::parse(row.Text(7), nullptr, false);
    if (!values.is_object())
      return absl::DataLossError("the ledger holds an event that is damaged");
    for (const auto& [name, value] : values.items()) {
      if (value.is_number()) event.values[name] = value.get<double>();
    }
    events.push_back(std::move(event));
  }
}

}  // namespace consilium::coordinator
