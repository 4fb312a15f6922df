#include "site_agent/consents.h"

#include <utility>

#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "site_agent/approvals.h"

namespace consilium::site_agent {
namespace {

absl::Status CheckData(const plan::Plan& plan, const datasets::SplitCounts& train) {
  if (train.patients < plan.data.minimum_patients) {
    return absl::FailedPreconditionError(StrCat("fewer training patients (", train.patients,
                                                ") than the plan asks (",
                                                plan.data.minimum_patients, ")"));
  }
  if (train.examples == 0) {
    return absl::FailedPreconditionError("no training example fits the plan");
  }
  const bool binary = plan.target.task == Task::kBinary && plan.training.class_weighting;
  if (binary && (train.positives == 0 || train.positives == train.examples)) {
    return absl::FailedPreconditionError(StrCat("only one class of \"", plan.target.name,
                                                "\" among the training examples (",
                                                train.positives == 0 ? "no 1" : "no 0", ")"));
  }
  if (plan.target.task == Task::kSurvival && train.positives == 0) {
    return absl::FailedPreconditionError(
        StrCat("no event (\"", plan.target.event,
               "\" is never 1) among the training examples, and survival is learned from events"));
  }
  return absl::OkStatus();
}

absl::Status RefusedByOperator() {
  return absl::PermissionDeniedError("the site's operator has refused the run");
}

}  // namespace

absl::Status CheckSubmission(const wire::Invite& invite, const identity::Roster& roster) {
  const identity::RosterEntry* researcher = roster.Find(invite.researcher);
  if (researcher == nullptr || researcher->role != identity::Role::kResearcher) {
    return absl::PermissionDeniedError(StrCat("the plan is said to be of \"", invite.researcher,
                                              "\", who is no researcher in this site's roster"));
  }
  const Bytes text = wire::PlanText(roster.federation, invite.researcher, invite.nonce,
                                    crypto::Sha256(std::string_view(invite.plan_toml)));
  if (!crypto::VerifySignature(researcher->signing_key, text, invite.signature).ok()) {
    return absl::PermissionDeniedError(
        StrCat("the plan is not signed by researcher \"", invite.researcher,
               "\" as it is: it was changed, or signed for another federation"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Agreement> FindAgreement(SiteState& state, const RunId& run) {
  ASSIGN_OR_RETURN(auto record, state.FindRun(run));
  if (!record || record->consent != Consent::kAccepted) {
    return absl::FailedPreconditionError("this site has not accepted the run");
  }
  Agreement agreement{.run = *std::move(record)};
  ASSIGN_OR_RETURN(agreement.plan, state.PlanOf(agreement.run));
  ASSIGN_OR_RETURN(agreement.policy, LoadPolicy(state.folder().Policy()));
  RETURN_IF_ERROR(agreement.policy.Check(agreement.plan, agreement.run.researcher));
  ASSIGN_OR_RETURN(const Approval approval,
                   ReadApproval(state.folder().Approvals(), run,
                                crypto::Sha256(std::string_view(agreement.run.plan_toml))));
  if (approval == Approval::kRefused) return RefusedByOperator();
  if (agreement.policy.decide == DecideBy::kAsk && approval != Approval::kApproved) {
    return absl::PermissionDeniedError("the site's operator has not approved the run");
  }
  return agreement;
}

absl::StatusOr<DataOffer> Consents::Offer(const wire::Invite& invite, bool* ask) {
  ASSIGN_OR_RETURN(const plan::Plan plan, plan::ParsePlan(invite.plan_toml));
  ASSIGN_OR_RETURN(const Policy policy, LoadPolicy(state_.folder().Policy()));
  RETURN_IF_ERROR(policy.Check(plan, invite.researcher));
  ASSIGN_OR_RETURN(const Approval approval,
                   ReadApproval(state_.folder().Approvals(), invite.run,
                                crypto::Sha256(std::string_view(invite.plan_toml))));
  if (approval == Approval::kRefused) return RefusedByOperator();
  *ask = policy.decide == DecideBy::kAsk && approval == Approval::kNone;
  if (plan.describe) return DataOffer{};  // what it has, it says in the sum
  ASSIGN_OR_RETURN(const DataOffer offer, data_.Count(plan));
  RETURN_IF_ERROR(CheckData(plan, offer.train));
  return offer;
}

Consents::Judgement Consents::Judge(const wire::Invite& invite) {
  bool ask = false;
  const absl::StatusOr<DataOffer> offer = Offer(invite, &ask);
  Judgement judgement{.answer = {.run = invite.run, .accepted = offer.ok()}};
  if (!offer.ok()) {
    judgement.answer.reason = ToStd(offer.status().message());
    return judgement;
  }
  judgement.consent = ask ? Consent::kWaiting : Consent::kAccepted;
  judgement.answer.train_patients = offer->train.patients;
  judgement.answer.train_examples = offer->train.examples;
  judgement.answer.refused_files = offer->refused_files;
  judgement.answer.refusals = offer->refusals;
  return judgement;
}

absl::StatusOr<std::optional<wire::InviteAnswer>> Consents::Answer(const wire::Invite& invite,
                                                                   const identity::Roster& roster) {
  absl::Status entitled = CheckSubmission(invite, roster);
  if (entitled.ok()) {
    entitled = state_.BindPlan(invite, crypto::Sha256(std::string_view(invite.plan_toml)));
  }
  if (!entitled.ok() && !absl::IsPermissionDenied(entitled)) return entitled;  // a full disk
  if (!entitled.ok()) {
    wire::InviteAnswer declined{invite.run, false, std::string(ToStd(entitled.message()))};
    ASSIGN_OR_RETURN(const auto known, state_.FindRun(invite.run));
    if (!known) {
      RETURN_IF_ERROR(state_.RecordInvite(invite, Consent::kDeclined, declined, clock_.Now()));
    }
    return declined;
  }
  const Judgement judgement = Judge(invite);
  RETURN_IF_ERROR(state_.RecordInvite(invite, judgement.consent, judgement.answer, clock_.Now()));
  if (judgement.consent == Consent::kWaiting) return std::nullopt;
  return judgement.answer;
}

absl::StatusOr<std::vector<wire::InviteAnswer>> Consents::Decided() {
  ASSIGN_OR_RETURN(const auto runs, state_.Runs());
  std::vector<wire::InviteAnswer> answers;
  for (const RunRecord& run : runs) {
    if (run.consent != Consent::kWaiting || !run.outcome.empty()) continue;
    wire::Invite invite{.run = run.run, .plan_toml = run.plan_toml, .researcher = run.researcher};
    const Judgement judgement = Judge(invite);
    if (judgement.consent == Consent::kWaiting) continue;
    RETURN_IF_ERROR(state_.RecordInvite(invite, judgement.consent, judgement.answer, clock_.Now()));
    answers.push_back(judgement.answer);
  }
  return answers;
}

}  // namespace consilium::site_agent
