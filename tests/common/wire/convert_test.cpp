#include "common/wire/convert.h"

#include <grpcpp/support/status.h>

#include "common/base/random.h"
#include "common/wire/consilium.pb.h"
#include "tests/catch.h"

namespace consilium::wire {
namespace {

Digest SomeDigest(std::uint8_t first) {
  Digest digest;
  digest.bytes.fill(0x5a);
  digest.bytes[0] = first;
  return digest;
}

metrics::BinarySums SomeSums() {
  metrics::BinarySums sums;
  for (int i = 0; i < 40; ++i) sums.Add(0.02 * i, i % 3 == 0);
  sums.patients = 12;
  return sums;
}

template <class Message>
Message RoundTrip(const Message& message) {
  if constexpr (std::is_constructible_v<FromSite, Message>) {
    v1::FromSite proto;
    ToProto(FromSite(message), &proto);
    const auto back = FromProto(proto);
    REQUIRE(back.ok());
    return std::get<Message>(*back);
  } else {
    v1::ToSite proto;
    ToProto(ToSite(message), &proto);
    const auto back = FromProto(proto);
    REQUIRE(back.ok());
    return std::get<Message>(*back);
  }
}

TEST_CASE("Every message of a site comes back as it was sent") {
  CHECK(RoundTrip(Hello{"0.1.0", 1}).protocol_version == 1);

  const auto answer = RoundTrip(InviteAnswer{RunId("chest-0001"), true, "", 120, 340, 3});
  CHECK(answer.run == RunId("chest-0001"));
  CHECK(answer.accepted);
  CHECK(answer.train_patients == 120);
  CHECK(answer.train_examples == 340);
  CHECK(answer.refused_files == 3);

  const AttemptKey key{RunId("chest-0001"), 3, 2};
  CHECK(RoundTrip(TaskFailed{key, "disk full"}).key == key);
  CHECK(RoundTrip(TaskProgress{key, "epoch 1", 4, 9, 0.5}).total == 9);

  EvaluationReport report{RunId("chest-0001"),    3,          SomeDigest(9),
                          EvaluationSplit::kTest, SomeSums(), 1.5};
  const auto back = RoundTrip(report);
  CHECK(back.sums == report.sums);
  CHECK(back.model == report.model);
  CHECK(back.split == EvaluationSplit::kTest);
}

EvaluationReport ReportOf(const metrics::TaskSums& sums) {
  return {RunId("chest-0001"), 3, SomeDigest(9), EvaluationSplit::kTest, sums, 1.5};
}

TEST_CASE("An evaluation of every task comes back as it was sent") {
  metrics::MulticlassSums classes(3);
  for (std::uint32_t i = 0; i < 30; ++i) {
    const float score = 0.3f + 0.02f * static_cast<float>(i);
    classes.Add(std::vector<float>{score, (1 - score) / 2, (1 - score) / 2}, i % 3);
  }
  classes.patients = 30;
  metrics::MultilabelSums labels(2);
  labels.labels = {SomeSums(), SomeSums()};
  labels.patients = 12;
  metrics::SegmentationSums outlines(2);
  const std::vector<metrics::PatientOverlap> overlaps = {
      {.intersection = 50, .predicted = 80, .truth = 90, .voxel_ml = 0.5, .hd95_mm = 3.0}, {}};
  outlines.Add(overlaps, 4);
  std::vector<metrics::Survivor> patients;
  for (int i = 0; i < 20; ++i) patients.push_back({10.0 * i + 1, i % 2 == 0, 0.1 * (10 - i)});
  for (const metrics::TaskSums& sums :
       {metrics::TaskSums(classes), metrics::TaskSums(labels), metrics::TaskSums(outlines),
        metrics::TaskSums(metrics::SurvivalSums::Of(patients))}) {
    const EvaluationReport back = RoundTrip(ReportOf(sums));
    CHECK(back.sums.shape() == sums.shape());
    // Reals come back as the ring holds them.
    CHECK(metrics::ToRing(back.sums) == metrics::ToRing(sums));
  }
}

TEST_CASE("A binary evaluation is said as it always was") {
  v1::FromSite proto;
  ToProto(FromSite(ReportOf(SomeSums())), &proto);
  CHECK(proto.evaluation_report().has_sums());
  CHECK_FALSE(proto.evaluation_report().has_task_sums());
}

TEST_CASE("Sums of a task that are not of its shape are refused") {
  metrics::SegmentationSums outlines(1);
  const metrics::PatientOverlap overlap{.intersection = 5, .predicted = 8, .truth = 9};
  outlines.Add(std::span(&overlap, 1), 1);
  v1::FromSite proto;
  ToProto(FromSite(ReportOf(outlines)), &proto);
  v1::TaskSums* sums = proto.mutable_evaluation_report()->mutable_task_sums();
  SECTION("an unknown task") { sums->set_task(77); }
  SECTION("the binary one, whose sums come otherwise") { sums->set_task(0); }
  SECTION("another task") { sums->set_task(static_cast<std::uint32_t>(Task::kSurvival)); }
  SECTION("more classes than it has numbers") { sums->set_classes(2); }
  SECTION("no class") { sums->set_classes(0); }
  SECTION("more classes than there can be") { sums->set_classes(4'000'000'000u); }
  SECTION("a number less") { sums->mutable_ring()->RemoveLast(); }
  SECTION("impossible counts") { sums->set_ring(0, std::uint64_t{1} << 60); }
  CHECK(FromProto(proto).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("Every message to a site comes back as it was sent") {
  Welcome welcome{"0.1.0", 1, "heart", SiteId("north"), {}};
  welcome.sealing_key[7] = 42;
  CHECK(RoundTrip(welcome).sealing_key == welcome.sealing_key);
  CHECK(RoundTrip(Invite{RunId("a"), "[plan]\n"}).plan_toml == "[plan]\n");
  const AttemptKey key{RunId("a"), 0, 1};
  CHECK(RoundTrip(MakeInitialModel{key}).key == key);
  const auto train = RoundTrip(TrainRequest{key, SomeDigest(3), ~0ull, 12.5});
  CHECK(train.seed == ~0ull);
  CHECK(train.base_model == SomeDigest(3));
  CHECK(RoundTrip(EvaluateRequest{RunId("a"), 4, SomeDigest(1), EvaluationSplit::kValidation, 3})
            .round == 4);
  CHECK(RoundTrip(AttemptClosed{key, false, "late"}).reason == "late");
  CHECK(RoundTrip(RunEnded{RunId("a"), "published", SomeDigest(2)}).published_model ==
        SomeDigest(2));
  CHECK_FALSE(RoundTrip(RunEnded{RunId("a"), "failed", std::nullopt}).published_model.has_value());
}

TEST_CASE("An upload's envelope is bound to each field of its header") {
  UploadHeader header;
  header.key = {RunId("a"), 1, 1};
  header.base_model = SomeDigest(1);
  header.plaintext_size = 400;
  header.weight = 80;
  const Bytes context = EnvelopeContext(SiteId("north"), header);
  CHECK(EnvelopeContext(SiteId("south"), header) != context);
  const auto changed = [&](auto change) {
    UploadHeader other = header;
    change(other);
    return EnvelopeContext(SiteId("north"), other) != context;
  };
  CHECK(changed([](UploadHeader& h) { h.key.run = RunId("b"); }));
  CHECK(changed([](UploadHeader& h) { h.key.round = 2; }));
  CHECK(changed([](UploadHeader& h) { h.key.attempt = 2; }));
  CHECK(changed([](UploadHeader& h) { h.kind = ContributionKind::kInitialModel; }));
  CHECK(changed([](UploadHeader& h) { h.base_model = SomeDigest(2); }));
  CHECK(changed([](UploadHeader& h) { h.plaintext_size = 404; }));
  CHECK(changed([](UploadHeader& h) { h.weight = 81; }));
  CHECK(changed([](UploadHeader& h) { h.layout_header = "x"; }));
  CHECK_FALSE(changed([](UploadHeader& h) { h.first_segment = 5; }));
}

TEST_CASE("Malformed messages are refused with the field's name") {
  v1::FromSite empty;
  CHECK(FromProto(empty).status().code() == absl::StatusCode::kInvalidArgument);

  v1::FromSite report;
  ToProto(FromSite(EvaluationReport{RunId("a"), 1, SomeDigest(1), EvaluationSplit::kTest,
                                    SomeSums(), 0}),
          &report);
  SECTION("a histogram too short") {
    report.mutable_evaluation_report()->mutable_sums()->mutable_positives()->RemoveLast();
    CHECK_THAT(std::string(FromProto(report).status().message()), ContainsText("histogram"));
  }
  SECTION("a model id of the wrong length") {
    report.mutable_evaluation_report()->set_model("short");
    CHECK_THAT(std::string(FromProto(report).status().message()),
               ContainsText("model has 5 bytes"));
  }
  SECTION("a sum that is not a number") {
    report.mutable_evaluation_report()->mutable_sums()->set_log_loss(
        std::numeric_limits<double>::quiet_NaN());
    CHECK_FALSE(FromProto(report).ok());
  }
  SECTION("a run name with a path in it") {
    report.mutable_evaluation_report()->set_run("../../etc");
    CHECK_FALSE(FromProto(report).ok());
  }
  SECTION("a text without end") {
    v1::FromSite failed;
    failed.mutable_task_failed()->mutable_key()->set_run("a");
    failed.mutable_task_failed()->mutable_key()->set_attempt(1);
    failed.mutable_task_failed()->set_reason(std::string(100000, 'x'));
    CHECK_FALSE(FromProto(failed).ok());
  }
}

TEST_CASE("Random bytes are never taken for a message, and never crash the reader") {
  const std::uint64_t seed = 20261122;
  INFO("seed " << seed);
  SeededRandom random(seed);
  v1::FromSite good;
  ToProto(FromSite(EvaluationReport{RunId("a"), 1, SomeDigest(1), EvaluationSplit::kTest,
                                    SomeSums(), 0}),
          &good);
  const std::string bytes = good.SerializeAsString();
  for (int i = 0; i < 2000; ++i) {
    std::string changed = bytes;
    for (std::uint64_t n = random.Below(8) + 1; n > 0; --n) {
      changed[random.Below(changed.size())] = static_cast<char>(random.Below(256));
    }
    changed.resize(random.Below(changed.size() + 1));
    v1::FromSite proto;
    if (proto.ParseFromString(changed)) (void)FromProto(proto).ok();
  }
}

TEST_CASE("A run event leaves nothing behind in a message that is used again") {
  RunEvent event{
      1, Time{}, RunEventKind::kSiteEvaluated, 2, 0, SiteId("north"), "small", {{"suppressed", 1}}};
  v1::RunEvent proto;
  ToProto(event, &proto);
  event.text.clear();
  event.values = {{"auroc", 0.9}};
  ToProto(event, &proto);
  const auto back = FromProto(proto);
  REQUIRE(back.ok());
  CHECK(back->values == event.values);
  CHECK(back->text.empty());
  CHECK(back->site == SiteId("north"));
}

TEST_CASE("A status keeps its code and its words over gRPC") {
  const absl::Status status = absl::OutOfRangeError("expected segment 7");
  CHECK(FromGrpc(ToGrpc(status)) == status);
  CHECK(FromGrpc(grpc::Status::OK).ok());
}

}  // namespace
}  // namespace consilium::wire
