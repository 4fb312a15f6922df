#pragma once

// The messages of consilium.proto as plain types. convert.h turns one into the other and checks
// everything that came from outside.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/crypto/keys.h"
#include "common/metrics/task_sums.h"
#include "common/plan/plan.h"
#include "common/secagg/messages.h"

namespace consilium::wire {

// ---- from a site to the coordinator, over its standing connection

struct Hello {  // the first message
  std::string program_version;
  int protocol_version = 0;
  // That the site has not heard the end of: it may have been away. The newest ones, kMostOpenRuns
  // at most.
  std::vector<RunId> open_runs;
};
inline constexpr std::size_t kMostOpenRuns = 100;

struct InviteAnswer {
  RunId run;
  bool accepted = false;
  std::string reason;  // why not, for people: no patient's data
  std::uint64_t train_patients = 0, train_examples = 0, refused_files = 0;
  // Of the refused files, how many for which reason (datasets::Name(Refusal)).
  std::map<std::string, std::uint64_t> refusals;
};

// The site has what it learned in this attempt on its disk, newly or from before; it is not
// uploaded yet.
struct Trained {
  AttemptKey key;
  std::uint64_t patients = 0, examples = 0;
  double seconds = 0;
  bool before = false;  // by an earlier attempt or connection: nothing was trained again
};

// Of an attempt, or (attempt 0) of the evaluation of a round.
struct TaskProgress {
  AttemptKey key;
  std::string step;
  std::uint64_t done = 0, total = 0;
  double loss = 0;
};

struct TaskFailed {  // the site cannot deliver in this attempt, or (attempt 0) in this evaluation
  AttemptKey key;
  std::string reason;
};

enum class EvaluationSplit { kValidation = 1, kTest = 2 };

struct EvaluationReport {
  RunId run;
  std::uint32_t round = 0;
  ModelId model;
  EvaluationSplit split = EvaluationSplit::kValidation;
  metrics::TaskSums sums = metrics::TaskSums();  // of the plan's task
  double seconds = 0;
};

// ---- secure aggregation (common/secagg/messages.h)

// The masked sums of an evaluation, with the site's signature over their hash.
struct MaskedSums {
  std::vector<std::uint64_t> sums;
  crypto::Signature signature{};
};

// A site's answer to a step of a session. An update's upload (step 2 of a training session) is an
// Upload call instead.
struct SecureAnswer {
  secagg::SessionKey session;
  std::variant<secagg::Advertisement, std::vector<secagg::SealedShare>, MaskedSums,
               crypto::Signature, secagg::UnmaskAnswer>
      answer;
};

// What the coordinator tells the sites of a session when a step is closed. Sent again when a site
// comes back.
struct SecureNotice {
  struct Members {  // U1, begins step 1
    std::vector<secagg::Advertisement> members;
  };
  struct Shares {  // the others' shares for this site: its senders and the site are U2, begins step
                   // 2
    std::vector<secagg::SealedShare> shares;
  };
  struct Survivors {  // U3, begins step 3
    std::set<SiteId> sites;
  };
  struct Signatures {  // over U3, begins step 4
    std::map<SiteId, crypto::Signature> signatures;
  };
  secagg::SessionKey session;
  std::variant<Members, Shares, Survivors, Signatures> notice;
};

// ---- the audit log: a chain of entries, each hashed with the head before it

struct LogEntry {
  std::uint64_t number = 0;  // from 1
  Time time{};
  std::string actor;    // a member's name, "operator" or "coordinator"
  std::string action;   // "admit", "revoke", "submit", "aggregate", "publish" ...
  std::string subject;  // a member, run or model
  std::string details;  // compact JSON; may be empty
  bool operator==(const LogEntry&) const = default;
};
// head' = SHA-256("consilium log entry v1", head, number, time in microseconds, actor, action,
// subject, details), each field length-prefixed. The head before the first entry is 32 zero bytes.
Digest ExtendedBy(const Digest& head, const LogEntry& entry);
// What a site countersigns: the log of this federation up to entry `number` has this head.
Bytes LogHeadText(std::string_view federation, std::uint64_t number, const Digest& head);

struct LogSignature {  // from a site
  std::uint64_t number = 0;
  Digest head;
  crypto::Signature signature{};
};
// To a site: what came after the head that it signed last (or, the first time, after `previous`).
struct LogExtension {
  Digest previous;
  std::vector<LogEntry> entries;
};

using FromSite = std::variant<Hello, InviteAnswer, TaskProgress, TaskFailed, EvaluationReport,
                              SecureAnswer, LogSignature, Trained>;

// ---- from the coordinator to a site

// Drawn by the researcher for each submission: one signature is good for one run.
using PlanNonce = std::array<std::uint8_t, 16>;
// What a researcher signs: "consilium plan v1", federation, researcher, nonce, SHA-256 of the TOML;
// length-prefixed.
Bytes PlanText(std::string_view federation, std::string_view researcher, const PlanNonce& nonce,
               const PlanHash& plan);

struct Welcome {
  std::string program_version;
  int protocol_version = 0;
  std::string federation;
  SiteId site;                                 // who the certificate says you are
  std::array<std::uint8_t, 32> sealing_key{};  // X25519
};

struct Invite {
  RunId run;
  std::string plan_toml;
  std::string researcher;
  PlanNonce nonce{};
  crypto::Signature signature{};  // the researcher's, over PlanText
};

// Round 0: make the plan's first model from its seed and upload it.
struct MakeInitialModel {
  AttemptKey key;
};

struct TrainRequest {
  AttemptKey key;
  ModelId base_model;
  std::uint64_t seed = 0;                       // of this round; the site mixes its own name in
  double seconds_left = 0;                      // until the round's deadline
  std::optional<secagg::SessionConfig> secure;  // absent: the update is sealed, as the plan says
};

struct EvaluateRequest {
  RunId run;
  std::uint32_t round = 0;
  ModelId model;
  EvaluationSplit split = EvaluationSplit::kValidation;
  double seconds_left = 0;
  std::optional<secagg::SessionConfig> secure;  // absent: a plain EvaluationReport is the answer
  // With gate.maximum_site_drop: the site compares itself, see site_agent/evaluation_sums.h.
  std::optional<ModelId> last_published;
};

// Of a run whose plan has [describe]: add what this site's images are (metrics/description.h) to a
// sum. Of one whose plan has a [table]: add what its training rows are on average
// (metrics/preparation.h). Always masked; the session's purpose says which.
struct DescribeRequest {
  RunId run;
  std::uint32_t round = 0;
  double seconds_left = 0;
  secagg::SessionConfig secure;
};
// What is asked then, as the `model` of its sessions: SHA-256 of the layout of the counts and the
// target, or of the table's columns and of what chooses the rows. Two sites that do not mean the
// same are in no session together.
Digest QuestionOf(const plan::Plan& plan);

// What became of the site's contribution. Until this arrives the site keeps its update.
struct AttemptClosed {
  AttemptKey key;
  bool counted = false;
  std::string reason;  // when not counted
};

struct RunEnded {
  RunId run;
  std::string outcome;
  std::optional<ModelId> published_model;
};

struct RosterFile {  // a newer roster, before anything that needs it
  std::string file;
};

using ToSite =
    std::variant<Welcome, Invite, MakeInitialModel, TrainRequest, EvaluateRequest, AttemptClosed,
                 RunEnded, RosterFile, SecureNotice, LogExtension, DescribeRequest>;

// ---- uploads

enum class ContributionKind { kUpdate = 1, kInitialModel = 2, kMaskedUpdate = 3 };

// Of an update's session: loss of the last local epoch and training seconds, each times the site's
// share of the cohort's weight, in fixed point (base/fixed_point.h).
inline constexpr std::uint32_t kUpdateSums = 2;

// Binds an upload: crypto::Envelope's context is EnvelopeContext(site, header).
// kUpdate: the plaintext is the delta, float32 little-endian, in the base model's layout.
// kInitialModel: the plaintext is the values, in the layout of `layout_header`
// (WriteSafetensorsHeader).
// kMaskedUpdate: no envelope; plaintext_size is 4 bytes a masked value, sent in pieces of
// crypto::kSegmentBytes.
struct UploadHeader {
  AttemptKey key;
  ContributionKind kind = ContributionKind::kUpdate;
  ModelId base_model;                // zero for an initial model
  std::uint64_t plaintext_size = 0;  // bytes: 4 a parameter
  double weight = 0;
  std::array<std::uint8_t, 32> envelope_header{};
  std::uint32_t first_segment = 0;  // where this call begins
  double loss = 0;                  // mean of the last local epoch
  double train_seconds = 0;
  std::string layout_header;
  // kMaskedUpdate: then loss and train_seconds stay 0 (they travel in the masked sums).
  std::vector<std::uint64_t> masked_sums;  // kUpdateSums
  secagg::UploadProof proof;
};

// Length-prefixed fields: version, site, run, round, attempt, kind, base model, plaintext size,
// weight, layout header.
Bytes EnvelopeContext(const SiteId& site, const UploadHeader& header);

// ---- what happened in a run, in order: shown to researchers as a tree, kept in the ledger

enum class RunEventKind {
  kSubmitted = 1,  // text: plan name
  kSiteInvited = 2,
  kSiteAccepted = 3,  // values: patients, examples, refused_files
  kSiteDeclined = 4,  // text: why
  kWaiting = 5,       // text: for what, on whom, until when
  kRoundOpened = 6,   // values: sites, parameters; travelling, where not all of them travel
  kTaskSent = 7,
  kProgress = 8,           // text: step; values: done, total, loss. Not kept in the ledger
  kUpdateReceived = 9,     // values: loss, train_seconds, upload_seconds, bytes, weight
  kContributionLost = 10,  // text: why
  kAggregated = 11,        // text: candidate; values: contributions, seconds
  kSiteEvaluated =
      12,  // values: auroc, auroc_low, auroc_high, positives, negatives, patients, seconds;
           // suppressed = 1 and no counts when a class has fewer than metrics::kSmallCount
  kRoundEvaluated = 13,  // pooled: the same, and best = 1 when it is the best so far
  kRoundFailed = 14,     // text: why; another attempt may follow
  kStopping = 15,        // text: which stop condition
  kFinalEvaluation =
      16,  // text: model. The kSiteEvaluated that follow are on the test sets (values: test = 1)
  kGatePassed = 17,  // text: each condition with its value
  kGateFailed = 18,
  kPublished = 19,  // text: model
  kEnded = 20,      // text: outcome; values: published 0/1, failed 0/1, seconds
  kSiteConnected = 21,
  kSiteDisconnected = 22,
  kRestarted = 23,  // the coordinator came back and goes on
  // A step of a secure session is closed. text: "advertise", "share", "upload", "agree" or
  // "unmask"; values: sites (that did it), asked, threshold, seconds, evaluation 0/1, and with
  // "unmask": survivors, recovered (lost sites whose masks were taken out)
  kSecureStep = 24,
  kTrained = 25,  // values: patients, examples, seconds; before = 1 when nothing was trained again
  kDescribed = 26,  // values: sites; patients and images when they may be shown
  kPrepared = 27,   // text: the model with the federation's scales; values: sites, columns, seconds
};

struct RunEvent {
  std::uint64_t sequence = 0;  // from 1 in each run
  Time time{};
  RunEventKind kind = RunEventKind::kSubmitted;
  std::uint32_t round = 0, attempt = 0;  // 0 where none
  SiteId site;                           // empty where none
  std::string text;
  std::map<std::string, double> values;
};

}  // namespace consilium::wire
