#include "common/wire/convert.h"

#include <grpcpp/support/status.h>

#include <cmath>
#include <cstring>

#include "common/base/overloaded.h"
#include "common/base/status.h"
#include "common/wire/consilium.pb.h"
#include "common/wire/convert_fields.h"
#include "common/wire/refusal.h"

namespace consilium::wire {

constexpr int kMostRefusalReasons = 64;

absl::Status Malformed(std::string_view field, std::string_view why) {
  return absl::InvalidArgumentError(StrCat("malformed message: ", field, " ", why));
}

absl::StatusOr<std::string> Text(const std::string& text, std::string_view field,
                                 std::size_t limit) {
  if (text.size() > limit) return Malformed(field, StrCat("has more than ", limit, " characters"));
  return text;
}

absl::StatusOr<double> Finite(double value, std::string_view field) {
  if (!std::isfinite(value) || value < 0)
    return Malformed(field, "is not a finite number from 0 up");
  return value;
}

absl::StatusOr<RunId> RunFromProto(const std::string& run) {
  RETURN_IF_ERROR(CheckName("run", run));
  return RunId(run);
}

absl::StatusOr<SiteId> SiteFromProto(const std::string& site) {
  RETURN_IF_ERROR(CheckName("site", site));
  return SiteId(site);
}

void ToProto(const AttemptKey& key, v1::AttemptKey* proto) {
  proto->set_run(key.run.value);
  proto->set_round(key.round);
  proto->set_attempt(key.attempt);
}

absl::StatusOr<AttemptKey> TaskKeyFromProto(const v1::AttemptKey& proto) {
  AttemptKey key;
  ASSIGN_OR_RETURN(key.run, RunFromProto(proto.run()));
  key.round = proto.round();
  key.attempt = proto.attempt();
  return key;
}

absl::StatusOr<AttemptKey> FromProto(const v1::AttemptKey& proto) {
  ASSIGN_OR_RETURN(AttemptKey key, TaskKeyFromProto(proto));
  if (key.attempt == 0) return Malformed("attempt", "is 0; attempts count from 1");
  return key;
}

namespace {

void ToProto(const metrics::BinarySums& sums, v1::BinarySums* proto) {
  proto->mutable_positives()->Assign(sums.positives.begin(), sums.positives.end());
  proto->mutable_negatives()->Assign(sums.negatives.begin(), sums.negatives.end());
  proto->set_squared_error(sums.squared_error);
  proto->set_log_loss(sums.log_loss);
  proto->mutable_calibration_count()->Assign(sums.calibration_count.begin(),
                                             sums.calibration_count.end());
  proto->mutable_calibration_positives()->Assign(sums.calibration_positives.begin(),
                                                 sums.calibration_positives.end());
  proto->mutable_calibration_score()->Assign(sums.calibration_score.begin(),
                                             sums.calibration_score.end());
  proto->set_patients(sums.patients);
}

absl::StatusOr<metrics::BinarySums> FromProto(const v1::BinarySums& proto) {
  if (proto.positives_size() != metrics::kScoreBins ||
      proto.negatives_size() != metrics::kScoreBins) {
    return Malformed("score histogram", StrCat("does not have ", metrics::kScoreBins, " bins"));
  }
  if (proto.calibration_count_size() != metrics::kCalibrationBins ||
      proto.calibration_positives_size() != metrics::kCalibrationBins ||
      proto.calibration_score_size() != metrics::kCalibrationBins) {
    return Malformed("calibration", StrCat("does not have ", metrics::kCalibrationBins, " bins"));
  }
  metrics::BinarySums sums;
  sums.positives.assign(proto.positives().begin(), proto.positives().end());
  sums.negatives.assign(proto.negatives().begin(), proto.negatives().end());
  sums.squared_error = proto.squared_error();
  sums.log_loss = proto.log_loss();
  for (int i = 0; i < metrics::kCalibrationBins; ++i) {
    sums.calibration_count[i] = proto.calibration_count(i);
    sums.calibration_positives[i] = proto.calibration_positives(i);
    sums.calibration_score[i] = proto.calibration_score(i);
  }
  sums.patients = proto.patients();
  RETURN_IF_ERROR(metrics::Check(sums));
  return sums;
}

void ToProto(const metrics::TaskSums& sums, v1::TaskSums* proto) {
  const TaskShape shape = sums.shape();
  proto->set_task(static_cast<std::uint32_t>(shape.task));
  proto->set_classes(shape.classes);
  const std::vector<std::uint64_t> ring = metrics::ToRing(sums);
  proto->mutable_ring()->Assign(ring.begin(), ring.end());
}

absl::StatusOr<metrics::TaskSums> FromProto(const v1::TaskSums& proto) {
  if (proto.task() == 0 || proto.task() > static_cast<std::uint32_t>(Task::kDetection)) {
    return Malformed("task", "is not known, or is the binary one, whose sums come otherwise");
  }
  const TaskShape shape{static_cast<Task>(proto.task()), proto.classes()};
  RETURN_IF_ERROR(metrics::Check(shape));
  const std::vector<std::uint64_t> ring(proto.ring().begin(), proto.ring().end());
  return metrics::TaskSumsFromRing(ring, shape);
}

v1::Split ToProto(EvaluationSplit split) { return static_cast<v1::Split>(split); }

absl::StatusOr<EvaluationSplit> FromProto(v1::Split split) {
  if (split != v1::SPLIT_VALIDATION && split != v1::SPLIT_TEST)
    return Malformed("split", "is not known");
  return static_cast<EvaluationSplit>(split);
}

}  // namespace

std::string ToProtoBytes(const Digest& digest) { return ToProtoBytes(ByteView(digest.bytes)); }

absl::StatusOr<Digest> DigestFromProto(const std::string& bytes, std::string_view field) {
  Digest digest;
  ASSIGN_OR_RETURN(digest.bytes, ArrayFromProto<32>(bytes, field));
  return digest;
}

// ---- from a site

void ToProto(const FromSite& message, v1::FromSite* proto) {
  proto->Clear();  // the caller may use one message for many
  std::visit(Overloaded{
                 [&](const Hello& m) {
                   auto* p = proto->mutable_hello();
                   p->set_program_version(m.program_version);
                   p->set_protocol_version(m.protocol_version);
                   for (const RunId& run : m.open_runs) p->add_open_runs(run.value);
                 },
                 [&](const InviteAnswer& m) {
                   auto* p = proto->mutable_invite_answer();
                   p->set_run(m.run.value);
                   p->set_accepted(m.accepted);
                   p->set_reason(m.reason);
                   p->set_train_patients(m.train_patients);
                   p->set_train_examples(m.train_examples);
                   p->set_refused_files(m.refused_files);
                   p->mutable_refusals()->insert(m.refusals.begin(), m.refusals.end());
                 },
                 [&](const Trained& m) {
                   auto* p = proto->mutable_trained();
                   ToProto(m.key, p->mutable_key());
                   p->set_patients(m.patients);
                   p->set_examples(m.examples);
                   p->set_seconds(m.seconds);
                   p->set_before(m.before);
                 },
                 [&](const TaskProgress& m) {
                   auto* p = proto->mutable_task_progress();
                   ToProto(m.key, p->mutable_key());
                   p->set_step(m.step);
                   p->set_done(m.done);
                   p->set_total(m.total);
                   p->set_loss(m.loss);
                 },
                 [&](const TaskFailed& m) {
                   auto* p = proto->mutable_task_failed();
                   ToProto(m.key, p->mutable_key());
                   p->set_reason(m.reason);
                 },
                 [&](const EvaluationReport& m) {
                   auto* p = proto->mutable_evaluation_report();
                   p->set_run(m.run.value);
                   p->set_round(m.round);
                   p->set_model(ToProtoBytes(m.model));
                   p->set_split(ToProto(m.split));
                   if (m.sums.task() == Task::kBinary) {
                     ToProto(m.sums.binary(), p->mutable_sums());
                   } else {
                     ToProto(m.sums, p->mutable_task_sums());
                   }
                   p->set_seconds(m.seconds);
                 },
                 [&](const SecureAnswer& m) { ToProto(m, proto->mutable_secure_answer()); },
                 [&](const LogSignature& m) {
                   auto* p = proto->mutable_log_signature();
                   p->set_number(m.number);
                   p->set_head(ToProtoBytes(m.head));
                   p->set_signature(ToProtoBytes(ByteView(m.signature)));
                 },
             },
             message);
}

absl::StatusOr<FromSite> FromProto(const v1::FromSite& proto) {
  switch (proto.message_case()) {
    case v1::FromSite::kHello: {
      Hello m;
      ASSIGN_OR_RETURN(m.program_version, Text(proto.hello().program_version(), "program_version"));
      m.protocol_version = proto.hello().protocol_version();
      if (static_cast<std::size_t>(proto.hello().open_runs_size()) > kMostOpenRuns) {
        return Malformed("open_runs", "names more runs than it may");
      }
      for (const std::string& name : proto.hello().open_runs()) {
        ASSIGN_OR_RETURN(m.open_runs.emplace_back(), RunFromProto(name));
      }
      return m;
    }
    case v1::FromSite::kInviteAnswer: {
      const auto& p = proto.invite_answer();
      InviteAnswer m;
      ASSIGN_OR_RETURN(m.run, RunFromProto(p.run()));
      m.accepted = p.accepted();
      ASSIGN_OR_RETURN(m.reason, Text(p.reason(), "reason"));
      m.train_patients = p.train_patients();
      m.train_examples = p.train_examples();
      m.refused_files = p.refused_files();
      if (p.refusals().size() > kMostRefusalReasons) {
        return Malformed("refusals", "has more reasons than there can be");
      }
      for (const auto& [reason, files] : p.refusals()) {
        ASSIGN_OR_RETURN(std::string word, Text(reason, "reason"));
        m.refusals.emplace(std::move(word), files);
      }
      return m;
    }
    case v1::FromSite::kTrained: {
      const auto& p = proto.trained();
      Trained m;
      ASSIGN_OR_RETURN(m.key, TaskKeyFromProto(p.key()));
      m.patients = p.patients();
      m.examples = p.examples();
      ASSIGN_OR_RETURN(m.seconds, Finite(p.seconds(), "seconds"));
      m.before = p.before();
      return m;
    }
    case v1::FromSite::kTaskProgress: {
      const auto& p = proto.task_progress();
      TaskProgress m;
      ASSIGN_OR_RETURN(m.key, TaskKeyFromProto(p.key()));
      ASSIGN_OR_RETURN(m.step, Text(p.step(), "step"));
      m.done = p.done();
      m.total = p.total();
      m.loss = p.loss();
      return m;
    }
    case v1::FromSite::kTaskFailed: {
      TaskFailed m;
      ASSIGN_OR_RETURN(m.key, TaskKeyFromProto(proto.task_failed().key()));
      ASSIGN_OR_RETURN(m.reason, Text(proto.task_failed().reason(), "reason"));
      return m;
    }
    case v1::FromSite::kEvaluationReport: {
      const auto& p = proto.evaluation_report();
      EvaluationReport m;
      ASSIGN_OR_RETURN(m.run, RunFromProto(p.run()));
      m.round = p.round();
      ASSIGN_OR_RETURN(m.model, DigestFromProto(p.model(), "model"));
      ASSIGN_OR_RETURN(m.split, FromProto(p.split()));
      if (p.has_task_sums()) {
        ASSIGN_OR_RETURN(m.sums, FromProto(p.task_sums()));
      } else {
        ASSIGN_OR_RETURN(m.sums, FromProto(p.sums()));
      }
      ASSIGN_OR_RETURN(m.seconds, Finite(p.seconds(), "seconds"));
      return m;
    }
    case v1::FromSite::kSecureAnswer:
      return SecureAnswerFromProto(proto.secure_answer());
    case v1::FromSite::kLogSignature: {
      const auto& p = proto.log_signature();
      LogSignature m;
      m.number = p.number();
      ASSIGN_OR_RETURN(m.head, DigestFromProto(p.head(), "head"));
      ASSIGN_OR_RETURN(m.signature, ArrayFromProto<64>(p.signature(), "signature"));
      return m;
    }
    case v1::FromSite::MESSAGE_NOT_SET:
      break;
  }
  return Malformed("message from a site", "is of a kind this version does not know");
}

// ---- to a site

void ToProto(const ToSite& message, v1::ToSite* proto) {
  proto->Clear();  // the caller may use one message for many
  std::visit(Overloaded{
                 [&](const Welcome& m) {
                   auto* p = proto->mutable_welcome();
                   p->set_program_version(m.program_version);
                   p->set_protocol_version(m.protocol_version);
                   p->set_federation(m.federation);
                   p->set_site(m.site.value);
                   p->set_sealing_key(ToProtoBytes(ByteView(m.sealing_key)));
                 },
                 [&](const Invite& m) {
                   auto* p = proto->mutable_invite();
                   p->set_run(m.run.value);
                   p->set_plan_toml(m.plan_toml);
                   p->set_researcher(m.researcher);
                   p->set_nonce(ToProtoBytes(ByteView(m.nonce)));
                   p->set_signature(ToProtoBytes(ByteView(m.signature)));
                 },
                 [&](const MakeInitialModel& m) {
                   ToProto(m.key, proto->mutable_make_initial_model()->mutable_key());
                 },
                 [&](const TrainRequest& m) {
                   auto* p = proto->mutable_train();
                   ToProto(m.key, p->mutable_key());
                   p->set_base_model(ToProtoBytes(m.base_model));
                   p->set_seed(m.seed);
                   p->set_seconds_left(m.seconds_left);
                   if (m.secure) ToProto(*m.secure, p->mutable_secure());
                 },
                 [&](const EvaluateRequest& m) {
                   auto* p = proto->mutable_evaluate();
                   p->set_run(m.run.value);
                   p->set_round(m.round);
                   p->set_model(ToProtoBytes(m.model));
                   p->set_split(ToProto(m.split));
                   p->set_seconds_left(m.seconds_left);
                   if (m.secure) ToProto(*m.secure, p->mutable_secure());
                   if (m.last_published) p->set_last_published(ToProtoBytes(*m.last_published));
                 },
                 [&](const AttemptClosed& m) {
                   auto* p = proto->mutable_attempt_closed();
                   ToProto(m.key, p->mutable_key());
                   p->set_counted(m.counted);
                   p->set_reason(m.reason);
                 },
                 [&](const RunEnded& m) {
                   auto* p = proto->mutable_run_ended();
                   p->set_run(m.run.value);
                   p->set_outcome(m.outcome);
                   if (m.published_model) p->set_published_model(ToProtoBytes(*m.published_model));
                 },
                 [&](const RosterFile& m) { proto->mutable_roster()->set_file(m.file); },
                 [&](const SecureNotice& m) { ToProto(m, proto->mutable_secure_notice()); },
                 [&](const LogExtension& m) { ToProto(m, proto->mutable_log_extension()); },
                 [&](const DescribeRequest& m) {
                   auto* p = proto->mutable_describe();
                   p->set_run(m.run.value);
                   p->set_round(m.round);
                   p->set_seconds_left(m.seconds_left);
                   ToProto(m.secure, p->mutable_secure());
                 },
             },
             message);
}

absl::StatusOr<ToSite> FromProto(const v1::ToSite& proto) {
  switch (proto.message_case()) {
    case v1::ToSite::kWelcome: {
      const auto& p = proto.welcome();
      Welcome m;
      ASSIGN_OR_RETURN(m.program_version, Text(p.program_version(), "program_version"));
      m.protocol_version = p.protocol_version();
      ASSIGN_OR_RETURN(m.federation, Text(p.federation(), "federation"));
      RETURN_IF_ERROR(CheckName("site", p.site()));
      ASSIGN_OR_RETURN(m.site, SiteFromProto(p.site()));
      ASSIGN_OR_RETURN(m.sealing_key, ArrayFromProto<32>(p.sealing_key(), "sealing_key"));
      return m;
    }
    case v1::ToSite::kInvite: {
      Invite m;
      ASSIGN_OR_RETURN(m.run, RunFromProto(proto.invite().run()));
      ASSIGN_OR_RETURN(m.plan_toml, Text(proto.invite().plan_toml(), "plan_toml", kLongestPlan));
      ASSIGN_OR_RETURN(m.researcher, Text(proto.invite().researcher(), "researcher"));
      ASSIGN_OR_RETURN(m.nonce, ArrayFromProto<16>(proto.invite().nonce(), "nonce"));
      ASSIGN_OR_RETURN(m.signature, ArrayFromProto<64>(proto.invite().signature(), "signature"));
      return m;
    }
    case v1::ToSite::kMakeInitialModel: {
      MakeInitialModel m;
      ASSIGN_OR_RETURN(m.key, FromProto(proto.make_initial_model().key()));
      return m;
    }
    case v1::ToSite::kTrain: {
      const auto& p = proto.train();
      TrainRequest m;
      ASSIGN_OR_RETURN(m.key, FromProto(p.key()));
      ASSIGN_OR_RETURN(m.base_model, DigestFromProto(p.base_model(), "base_model"));
      m.seed = p.seed();
      ASSIGN_OR_RETURN(m.seconds_left, Finite(p.seconds_left(), "seconds_left"));
      if (p.has_secure()) {
        ASSIGN_OR_RETURN(m.secure, SessionConfigFromProto(p.secure()));
      }
      return m;
    }
    case v1::ToSite::kEvaluate: {
      const auto& p = proto.evaluate();
      EvaluateRequest m;
      ASSIGN_OR_RETURN(m.run, RunFromProto(p.run()));
      m.round = p.round();
      ASSIGN_OR_RETURN(m.model, DigestFromProto(p.model(), "model"));
      ASSIGN_OR_RETURN(m.split, FromProto(p.split()));
      ASSIGN_OR_RETURN(m.seconds_left, Finite(p.seconds_left(), "seconds_left"));
      if (p.has_secure()) {
        ASSIGN_OR_RETURN(m.secure, SessionConfigFromProto(p.secure()));
      }
      if (!p.last_published().empty()) {
        ASSIGN_OR_RETURN(m.last_published, DigestFromProto(p.last_published(), "last_published"));
      }
      return m;
    }
    case v1::ToSite::kDescribe: {
      const auto& p = proto.describe();
      DescribeRequest m;
      ASSIGN_OR_RETURN(m.run, RunFromProto(p.run()));
      m.round = p.round();
      ASSIGN_OR_RETURN(m.seconds_left, Finite(p.seconds_left(), "seconds_left"));
      ASSIGN_OR_RETURN(m.secure, SessionConfigFromProto(p.secure()));
      return m;
    }
    case v1::ToSite::kAttemptClosed: {
      const auto& p = proto.attempt_closed();
      AttemptClosed m;
      ASSIGN_OR_RETURN(m.key, FromProto(p.key()));
      m.counted = p.counted();
      ASSIGN_OR_RETURN(m.reason, Text(p.reason(), "reason"));
      return m;
    }
    case v1::ToSite::kRunEnded: {
      const auto& p = proto.run_ended();
      RunEnded m;
      ASSIGN_OR_RETURN(m.run, RunFromProto(p.run()));
      ASSIGN_OR_RETURN(m.outcome, Text(p.outcome(), "outcome"));
      if (!p.published_model().empty()) {
        ASSIGN_OR_RETURN(m.published_model,
                         DigestFromProto(p.published_model(), "published_model"));
      }
      return m;
    }
    case v1::ToSite::kRoster: {
      ASSIGN_OR_RETURN(std::string file, Text(proto.roster().file(), "roster", kLongestRoster));
      return RosterFile{std::move(file)};
    }
    case v1::ToSite::kSecureNotice:
      return SecureNoticeFromProto(proto.secure_notice());
    case v1::ToSite::kLogExtension:
      return LogExtensionFromProto(proto.log_extension());
    case v1::ToSite::MESSAGE_NOT_SET:
      break;
  }
  return Malformed("message from the coordinator",
                   "is of a kind this version does not know; upgrade this program");
}

// ---- uploads and events

void ToProto(const UploadHeader& header, v1::UploadHeader* proto) {
  proto->Clear();  // the caller may use one message for many
  ToProto(header.key, proto->mutable_key());
  proto->set_kind(static_cast<v1::ContributionKind>(header.kind));
  proto->set_base_model(ToProtoBytes(header.base_model));
  proto->set_plaintext_size(header.plaintext_size);
  proto->set_weight(header.weight);
  proto->set_envelope_header(ToProtoBytes(ByteView(header.envelope_header)));
  proto->set_first_segment(header.first_segment);
  proto->set_loss(header.loss);
  proto->set_train_seconds(header.train_seconds);
  proto->set_layout_header(header.layout_header);
  if (header.kind != ContributionKind::kMaskedUpdate) return;
  proto->set_masked_sums(SumsToProto(header.masked_sums));
  proto->set_sha256(ToProtoBytes(header.proof.sha256));
  proto->set_signature(ToProtoBytes(ByteView(header.proof.signature)));
}

absl::StatusOr<UploadHeader> FromProto(const v1::UploadHeader& proto) {
  UploadHeader header;
  ASSIGN_OR_RETURN(header.key, FromProto(proto.key()));
  if (proto.kind() < v1::CONTRIBUTION_UPDATE || proto.kind() > v1::CONTRIBUTION_MASKED_UPDATE) {
    return Malformed("kind of contribution", "is not known");
  }
  header.kind = static_cast<ContributionKind>(proto.kind());
  ASSIGN_OR_RETURN(header.base_model, DigestFromProto(proto.base_model(), "base_model"));
  header.plaintext_size = proto.plaintext_size();
  if (header.plaintext_size == 0 || header.plaintext_size % 4 != 0) {
    return Malformed("plaintext_size",
                     StrCat("is ", header.plaintext_size, ", not a multiple of 4 above 0"));
  }
  ASSIGN_OR_RETURN(header.weight, Finite(proto.weight(), "weight"));
  ASSIGN_OR_RETURN(header.envelope_header,
                   ArrayFromProto<32>(proto.envelope_header(), "envelope_header"));
  header.first_segment = proto.first_segment();
  header.loss = std::isfinite(proto.loss()) ? proto.loss() : 0;
  ASSIGN_OR_RETURN(header.train_seconds, Finite(proto.train_seconds(), "train_seconds"));
  ASSIGN_OR_RETURN(header.layout_header, Text(proto.layout_header(), "layout_header", 16 << 20));
  if (header.kind == ContributionKind::kMaskedUpdate) {
    ASSIGN_OR_RETURN(header.masked_sums, SumsFromProto(proto.masked_sums()));
    ASSIGN_OR_RETURN(header.proof.sha256, DigestFromProto(proto.sha256(), "sha256"));
    ASSIGN_OR_RETURN(header.proof.signature, ArrayFromProto<64>(proto.signature(), "signature"));
  }
  return header;
}

void ToProto(const RunEvent& event, v1::RunEvent* proto) {
  proto->Clear();  // the caller may use one message for many
  proto->set_sequence(event.sequence);
  proto->set_time_us(event.time.time_since_epoch().count());
  proto->set_kind(static_cast<int>(event.kind));
  proto->set_round(event.round);
  proto->set_attempt(event.attempt);
  proto->set_site(event.site.value);
  proto->set_text(event.text);
  for (const auto& [key, value] : event.values) (*proto->mutable_values())[key] = value;
}

absl::StatusOr<RunEvent> FromProto(const v1::RunEvent& proto) {
  if (proto.kind() < static_cast<int>(RunEventKind::kSubmitted) ||
      proto.kind() > static_cast<int>(RunEventKind::kPrepared)) {
    return Malformed("event kind", "is not known; upgrade this program");
  }
  RunEvent event;
  event.sequence = proto.sequence();
  event.time = Time(Duration(proto.time_us()));
  event.kind = static_cast<RunEventKind>(proto.kind());
  event.round = proto.round();
  event.attempt = proto.attempt();
  if (!proto.site().empty()) {
    ASSIGN_OR_RETURN(event.site, SiteFromProto(proto.site()));
  }
  event.text = proto.text();
  event.values.insert(proto.values().begin(), proto.values().end());
  return event;
}

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      std::string(Name(RefusalOf(status))));
}

absl::Status FromGrpc(const grpc::Status& status) {
  return Because(
      absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message()),
      RefusalNamed(status.error_details()));
}

}  // namespace consilium::wire
