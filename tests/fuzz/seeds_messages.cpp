#include "common/model/safetensors.h"
#include "common/wire/consilium.pb.h"
#include "tests/fuzz/proto_round_trip.h"
#include "tests/fuzz/secure_scene.h"
#include "tests/fuzz/seeds.h"

namespace consilium::fuzz {
namespace {

const RunId kRun("chest-0001");
const AttemptKey kKey{kRun, 1, 1};

template <class Proto, class Message>
std::string AsProto(const Message& message) {
  Proto proto;
  wire::ToProto(message, &proto);
  FUZZ_EXPECT(wire::FromProto(proto).ok());
  return Serialized(proto);
}
std::string FromSiteBytes(const wire::FromSite& message) { return AsProto<v1::FromSite>(message); }
std::string ToSiteBytes(const wire::ToSite& message) { return AsProto<v1::ToSite>(message); }

void SeedFromSite() {
  metrics::BinarySums sums;
  for (int i = 0; i < 40; ++i) sums.Add(0.025 * i, i % 2 == 0);
  sums.patients = 30;
  const wire::FromSite messages[] = {
      wire::Hello{"0.2.0", 2},
      wire::InviteAnswer{kRun, true, "", 9, 12, 1},
      wire::TaskProgress{kKey, "training", 3, 10, 0.5},
      wire::TaskFailed{kKey, "no memory"},
      wire::EvaluationReport{kRun, 1, ModelId{}, wire::EvaluationSplit::kTest, sums, 1.5},
      wire::LogSignature{7, Digest{}, {}},
  };
  for (const wire::FromSite& message : messages) {
    Seed("from_site", StrCat("message-", message.index()), FromSiteBytes(message));
  }
}

void SeedToSite() {
  const SecureScene& scene = SecureScene::Played();
  wire::LogExtension extension;
  for (std::uint64_t i = 1; i <= 3; ++i) {
    extension.entries.push_back({i, Time{}, "ada", "submit", "chest-0001", "{}"});
  }
  wire::Invite invite{.run = kRun, .plan_toml = "[plan]\nname = \"chest\"\n", .researcher = "ada"};
  wire::EvaluateRequest evaluate{.run = kRun, .round = 1, .seconds_left = 60};
  evaluate.last_published.emplace();
  wire::TrainRequest train{.key = kKey, .seed = 7, .seconds_left = 60, .secure = scene.config};
  train.secure->key.attempt = kKey;
  secagg::SessionConfig describe = scene.config;
  describe.key = {kKey, secagg::Purpose::kDescription};
  const wire::ToSite messages[] = {
      wire::Welcome{"0.2.0", 2, "lung-network", SiteId("north"), {1}},
      invite,
      wire::MakeInitialModel{{kRun, 0, 1}},
      train,
      evaluate,
      wire::AttemptClosed{kKey, false, "too late"},
      wire::RunEnded{kRun, "published", ModelId{}},
      wire::RosterFile{"{}"},
      scene.notices[0],
      extension,
      wire::DescribeRequest{kRun, 1, 60, describe},
  };
  for (const wire::ToSite& message : messages) {
    Seed("to_site", StrCat("message-", message.index()), ToSiteBytes(message));
  }
}

void SeedSecureSession() {
  const SecureScene& scene = SecureScene::Played();
  for (std::size_t i = 0; i < scene.notices.size(); ++i) {
    const std::string notice = ToSiteBytes(scene.notices[i]);
    Seed("site_session", StrCat("step-", i), std::string(1, static_cast<char>(i)) + notice);
  }
  const auto seed = [&](int step, auto answer) {
    const std::string bytes =
        FromSiteBytes(wire::SecureAnswer{scene.config.key, std::move(answer)});
    Seed("coordinator_session", StrCat("step-", step),
         std::string(1, static_cast<char>(step)) + bytes);
    Seed("from_site", StrCat("secure-", step), bytes);
  };
  seed(0, scene.advertisements.at(kAlpha));
  seed(1, scene.shares.at(kAlpha));
  seed(2, wire::MaskedSums{{1, 2}, scene.proofs.at(kAlpha).signature});
  seed(3, scene.agreements.at(kAlpha));
  seed(4, scene.answers.at(kAlpha));
}

void SeedUpload() {
  const auto seed = [](std::string_view name, const wire::UploadHeader& header) {
    v1::UploadChunk chunk;
    wire::ToProto(header, chunk.mutable_header());
    chunk.set_segment("values");
    FUZZ_EXPECT(wire::FromProto(chunk.header()).ok());
    Seed("upload", name, Serialized(chunk));
  };
  wire::UploadHeader header{.key = kKey, .plaintext_size = 400, .weight = 9};
  seed("update", header);
  header.kind = wire::ContributionKind::kMaskedUpdate;
  header.masked_sums = {1, 2};
  seed("masked", header);
  header = {.key = {kRun, 0, 1}, .kind = wire::ContributionKind::kInitialModel};
  header.plaintext_size = 4;
  header.weight = 1;
  header.layout_header = WriteSafetensorsHeader({{"w", {1}}});
  seed("initial", header);
}

void SeedEvents() {
  std::string all;
  for (int kind = 1; kind <= 26; ++kind) {
    wire::RunEvent event{.sequence = static_cast<std::uint64_t>(kind)};
    event.kind = static_cast<wire::RunEventKind>(kind);
    event.round = 1, event.attempt = 1;
    event.site = SiteId("north");
    event.text = kind == 24 ? "unmask" : "text";
    event.values = {{"sites", 3}, {"auroc", 0.9}, {"contributions", 3}, {"survivors", 3}};
    const std::string bytes = AsProto<v1::RunEvent>(event);
    all += static_cast<char>(bytes.size() & 0xff);
    all += static_cast<char>(bytes.size() >> 8);
    all += bytes;
  }
  Seed("run_event", "all-kinds", all);
}

}  // namespace

void SeedMessages() {
  SeedFromSite();
  SeedToSite();
  SeedSecureSession();
  SeedUpload();
  SeedEvents();
}

}  // namespace consilium::fuzz
