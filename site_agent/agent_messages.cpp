// What an agent does at each of the coordinator's messages.

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "site_agent/agent.h"
#include "site_agent/log_follower.h"

namespace consilium::site_agent {
namespace {

secagg::Purpose PurposeOf(wire::EvaluationSplit split) {
  return split == wire::EvaluationSplit::kTest ? secagg::Purpose::kTest
                                               : secagg::Purpose::kValidation;
}

// How the coordinator knows the work of a session: an evaluation is one whatever its attempts.
AttemptKey TaskKeyOf(const secagg::SessionKey& session) {
  AttemptKey key = session.attempt;
  if (session.purpose != secagg::Purpose::kTraining) key.attempt = 0;
  return key;
}

std::string RefusalsText(const std::map<std::string, std::uint64_t>& refusals) {
  std::string text;
  for (const auto& [reason, files] : refusals) StrAppend(&text, " ", reason, " ", files);
  return text;
}

}  // namespace

// ---- trust

absl::Status Agent::On(const wire::Welcome&) {
  return absl::InternalError("the coordinator sent a second welcome");
}

absl::Status Agent::On(const wire::RosterFile& file) {
  const std::lock_guard lock(roster_mutex_);
  const std::uint64_t before = roster_.current().roster.version;
  if (const absl::Status advanced = roster_.Advance(file.file); !advanced.ok()) {
    Log(LogLevel::kError, "roster_refused", {{"reason", ToStd(advanced.message())}});
    return absl::UnauthenticatedError(
        StrCat("the coordinator's roster is refused: ", advanced.message()));
  }
  const std::uint64_t version = roster_.current().roster.version;
  if (version != before) Log(LogLevel::kInfo, "roster_pinned", {{"version", version}});
  return absl::OkStatus();
}

absl::Status Agent::On(const wire::LogExtension& extension) {
  ASSIGN_OR_RETURN(const wire::LogSignature signature,
                   Countersign(state_, extension, identity_.federation, identity_.signing));
  const Departure departure{
      clock_.Now(), channel_.Address(),         "signature over the audit log's head",
      AttemptKey{}, signature.signature.size(), crypto::Sha256(ByteView(signature.signature))};
  RETURN_IF_ERROR(state_.RecordDeparture(departure));
  Tell(signature);
  return absl::OkStatus();
}

// ---- invitations

absl::Status Agent::On(const wire::Invite& invite) {
  std::optional<wire::InviteAnswer> answer;
  {
    const std::lock_guard lock(consents_mutex_);
    ASSIGN_OR_RETURN(answer, consents_.Answer(invite, Roster().roster));
  }
  if (answer) return Reply(*answer);
  Log(LogLevel::kWarning, "operator_asked",
      {{"run", invite.run.value}, {"next", StrCat("consilium-site approve ", invite.run.value)}});
  return absl::OkStatus();
}

absl::Status Agent::Reply(const wire::InviteAnswer& answer) {
  Log(LogLevel::kInfo, answer.accepted ? "invitation_accepted" : "invitation_declined",
      {{"run", answer.run.value},
       {"patients", answer.train_patients},
       {"examples", answer.train_examples},
       {"reason", answer.reason}});
  const std::string sent =
      StrCat(answer.accepted ? "accepted " : "declined ", answer.reason, " ", answer.train_patients,
             " ", answer.train_examples, " ", answer.refused_files, RefusalsText(answer.refusals));
  const Departure departure{clock_.Now(),
                            channel_.Address(),
                            "answer to an invitation",
                            AttemptKey{answer.run, 0, 0},
                            sent.size(),
                            crypto::Sha256(std::string_view(sent))};
  RETURN_IF_ERROR(state_.RecordDeparture(departure));
  Tell(answer);
  return absl::OkStatus();
}

// ---- secure sessions

absl::StatusOr<secagg::SiteView> Agent::ViewFor(const secagg::SessionKey& session) const {
  ASSIGN_OR_RETURN(const Agreement agreement, FindAgreement(state_, session.attempt.run));
  const plan::Plan& plan = agreement.plan;
  const std::uint32_t minimum = session.purpose == secagg::Purpose::kTest
                                    ? plan.gate.minimum_sites
                                    : plan.cohort.minimum_sites;
  const identity::SignedRoster roster = Roster();
  return secagg::SiteView{.self = site_,
                          .sites = roster.roster.SiteKeys(),
                          .roster = roster.hash,
                          .minimum_cohort = std::max({agreement.policy.minimum_cohort, minimum,
                                                      std::uint32_t{secagg::kFewestSites}})};
}

double Agent::WeightFor(const Agreement& agreement) const {
  double weight = 1;
  if (agreement.plan.aggregation.weight == plan::WeightRule::kExamples) {
    weight = static_cast<double>(agreement.run.train_examples);
  } else if (agreement.plan.aggregation.weight == plan::WeightRule::kPatients) {
    weight = static_cast<double>(agreement.run.train_patients);
  }
  const identity::SignedRoster roster = Roster();
  const identity::RosterEntry* self = roster.roster.Find(site_.value);
  const double cap = self == nullptr ? 0 : self->weight_cap;
  return cap > 0 ? std::min(weight, cap) : weight;
}

absl::Status Agent::OpenSession(const std::optional<secagg::SessionConfig>& config,
                                const secagg::SessionKey& key, const ModelId& model) {
  ASSIGN_OR_RETURN(const Agreement agreement, FindAgreement(state_, key.attempt.run));
  const bool masked = agreement.plan.aggregation.updates == plan::Updates::kMasked;
  if (masked != config.has_value()) {
    return absl::PermissionDeniedError(
        masked ? "the plan says masked updates, and the coordinator asks for one that it could read"
               : "the plan says sealed updates, and the coordinator asks for a masked one");
  }
  if (!masked) return absl::OkStatus();
  ASSIGN_OR_RETURN(const wire::SecureAnswer advertisement,
                   sessions_.Open(*config, {key, model, agreement.plan, WeightFor(agreement)}));
  return Reply(advertisement);
}

absl::Status Agent::Reply(const wire::SecureAnswer& answer) {
  const AnswerText text = Describe(answer);
  const Departure departure{clock_.Now(),      channel_.Address(),
                            text.what,         answer.session.attempt,
                            text.bytes.size(), crypto::Sha256(ByteView(text.bytes))};
  RETURN_IF_ERROR(state_.RecordDeparture(departure));
  Tell(answer);
  return absl::OkStatus();
}

absl::Status Agent::RefuseSession(const secagg::SessionKey& key, const absl::Status& why) {
  const std::string reason(ToStd(why.message()));
  Log(LogLevel::kWarning, "secure_session_refused",
      {{"session", key.ToString()}, {"reason", reason}});
  queue_.Cancel([&](const Task& task) { return SessionOf(task) == key; });
  sessions_.Refuse(key, reason);
  if (key.purpose == secagg::Purpose::kTraining) {
    RETURN_IF_ERROR(state_.CloseTask(key.attempt, TaskState::kFailed, reason, clock_.Now()));
  }
  Tell(wire::TaskFailed{TaskKeyOf(key), reason});
  return absl::OkStatus();
}

absl::Status Agent::On(const wire::SecureNotice& notice) {
  const secagg::SessionKey& key = notice.session;
  // The operator's word holds until the last moment.
  const absl::Status agreed = FindAgreement(state_, key.attempt.run).status();
  if (!agreed.ok()) return RefuseSession(key, agreed);
  const auto answer = sessions_.On(notice);
  if (absl::IsCancelled(answer.status())) {
    Log(LogLevel::kInfo, "secure_notice_late", {{"session", key.ToString()}});
    return absl::OkStatus();
  }
  if (!answer.ok()) return RefuseSession(key, answer.status());
  if (std::holds_alternative<wire::SecureNotice::Shares>(notice.notice)) {
    queue_.TakeMasks(key, clock_.Now());
    Changed();
  }
  return *answer ? Reply(**answer) : absl::OkStatus();
}

// ---- tasks

absl::Status Agent::On(const wire::MakeInitialModel& request) {
  RETURN_IF_ERROR(state_.CloseOlderTasks(request.key, clock_.Now()));
  Enqueue(request);
  return absl::OkStatus();
}

absl::Status Agent::On(const wire::TrainRequest& request) {
  const secagg::SessionKey session{request.key, secagg::Purpose::kTraining};
  // A newer attempt makes the older ones of its run pointless, and so it does their sessions.
  queue_.Cancel([&](const Task& task) {
    const auto key = AttemptOf(task);
    if (key) return key->run == request.key.run && *key < request.key;
    return SessionOf(task) && RunOf(task) == request.key.run;
  });
  const absl::Status opened = OpenSession(request.secure, session, request.base_model);
  if (absl::IsCancelled(opened)) return absl::OkStatus();  // a request that came late
  if (!opened.ok()) return RefuseSession(session, opened);
  RETURN_IF_ERROR(state_.CloseOlderTasks(request.key, clock_.Now()));
  Enqueue(request);
  return absl::OkStatus();
}

absl::Status Agent::On(const wire::EvaluateRequest& request) {
  secagg::SessionKey session{{request.run, request.round, 0}, PurposeOf(request.split)};
  if (request.secure) session.attempt.attempt = request.secure->key.attempt.attempt;
  if (request.secure) {
    queue_.Cancel([&](const Task& task) {
      const auto key = SessionOf(task);
      return key && key->attempt.run == request.run && key != session;
    });
  }
  const absl::Status opened = OpenSession(request.secure, session, request.model);
  if (absl::IsCancelled(opened)) return absl::OkStatus();
  if (!opened.ok()) return RefuseSession(session, opened);
  Enqueue(request);
  return absl::OkStatus();
}

absl::Status Agent::On(const wire::DescribeRequest& request) {
  const AttemptKey& attempt = request.secure.key.attempt;
  const secagg::SessionKey session{{request.run, request.round, attempt.attempt},
                                   request.secure.key.purpose == secagg::Purpose::kPreparation
                                       ? secagg::Purpose::kPreparation
                                       : secagg::Purpose::kDescription};
  queue_.Cancel([&](const Task& task) {
    const auto key = SessionOf(task);
    return key && key->attempt.run == request.run && key != session;
  });
  const auto open = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const Agreement agreement, FindAgreement(state_, request.run));
    return OpenSession(request.secure, session, wire::QuestionOf(agreement.plan));
  };
  const absl::Status opened = open();
  if (absl::IsCancelled(opened)) return absl::OkStatus();
  if (!opened.ok()) return RefuseSession(session, opened);
  Enqueue(request);
  return absl::OkStatus();
}

absl::Status Agent::On(const wire::AttemptClosed& closed) {
  queue_.Cancel([&](const Task& task) { return AttemptOf(task) == closed.key; });
  sessions_.Close({closed.key, secagg::Purpose::kTraining}, "the attempt is closed");
  Log(LogLevel::kInfo, closed.counted ? "contribution_counted" : "contribution_not_counted",
      {{"attempt", closed.key.ToString()}, {"reason", closed.reason}});
  return state_.CloseTask(closed.key, closed.counted ? TaskState::kCounted : TaskState::kNotCounted,
                          closed.reason, clock_.Now());
}

absl::Status Agent::On(const wire::RunEnded& ended) {
  queue_.Cancel([&](const Task& task) {
    return RunOf(task) == ended.run && !std::holds_alternative<FetchPublished>(task);
  });
  sessions_.CloseRun(ended.run);
  RETURN_IF_ERROR(state_.RecordRunEnded(ended, clock_.Now()));
  Log(LogLevel::kInfo, "run_ended", {{"run", ended.run.value}, {"outcome", ended.outcome}});
  if (ended.published_model) Enqueue(FetchPublished{ended.run, *ended.published_model});
  {
    const std::lock_guard lock(mutex_);
    run_ended_ = true;
  }
  Changed();
  return absl::OkStatus();
}

}  // namespace consilium::site_agent
