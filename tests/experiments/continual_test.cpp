// A federation over time, with real processes: it publishes a model, patients come, each site looks
// whether they are like those before, and a second run goes on from what was published.

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "common/crypto/keys.h"
#include "common/model/safetensors.h"
#include "datasets/catalog.h"
#include "experiments/federation.h"
#include "experiments/results.h"
#include "experiments/run_history.h"
#include "experiments/studies/image_study.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/experiments/real_processes.h"

namespace consilium::experiments {
namespace {

using nlohmann::json;

const std::vector<std::string> kSites = {"north", "south", "east"};
constexpr int kPatients = 60, kNewPatients = 30;

constexpr char kPlan[] = R"(
[plan]
name = "opacity"
[target]
name = "opacity"
[data]
modalities = ["DX", "CR"]
minimum_patients = 20
validation_fraction = 0.2
test_fraction = 0.25
[preprocessing]
image_size = 32
intensity = "percentile"
standardize = true
[training]
local_epochs = 5
batch_size = 8
optimizer = "adamw"
learning_rate = 5e-3
augmentation = "none"
class_weighting = true
[cohort]
minimum_sites = 3
[gate]
minimum_auroc = 0.0
[model]
norm = "group"
)";

class Consortium {
 public:
  explicit Consortium(const fs::path& folder) : folder_(folder), logs_(folder / "logs") {
    auto created = Federation::Create(Programs(), folder_ / "federation", Federation::Keys::kBare);
    RequireOk(created.status());
    federation_.emplace(*std::move(created));
    RequireOk(federation_->StartCoordinator());
    RequireOk(federation_->EnrolResearcher("ada"));
    for (const std::string& site : kSites) {
      Draw({"--hospital", site}, "first", kPatients, DataOf(site));
      RequireOk(federation_->EnrolSite(site));
      // The same split at every run of this test.
      RequireOk(crypto::SavePrivateKey(
          datasets::Catalog::KeyFile(federation_->SiteState(site) / "catalog.db"), "pseudonym",
          PseudonymKey("continual", site, 1)));
    }
  }

  // Patients that nobody saw before come to a site, by the scanner of these options.
  void NewPatients(const std::string& site, const std::vector<std::string>& scanner) {
    const fs::path incoming = folder_ / "incoming";
    Draw(scanner, "later", kNewPatients, incoming);
    const std::string labels = *ReadTextFile(DataOf(site) / "labels.csv");
    const std::string more = *ReadTextFile(incoming / "labels.csv");
    RequireOk(
        WriteFileDurably(DataOf(site) / "labels.csv", labels + more.substr(more.find('\n') + 1)));
    RequireOk(Remove(incoming / "labels.csv"));
    fs::rename(incoming, DataOf(site) / "later");
  }

  // The run as the researcher sees it when it has ended. `model`: more of the plan's [model].
  json Train(const std::string& model, int rounds) {
    for (const std::string& site : kSites) {
      RequireOk(federation_->StartSite(site, {"--data", DataOf(site), "--threads", "1"}));
    }
    for (const std::string& site : kSites) RequireOk(federation_->AwaitSite(site));
    const fs::path plan = folder_ / "plan.toml";
    RequireOk(WriteFileDurably(plan, StrCat(kPlan, model, "[stop]\nrounds = ", rounds, "\n")));
    const std::string id = Ask({"run", "submit", plan, "--json"}).at("run");
    RequireOk(federation_->Researcher({"run", "watch", id}, "watch").status());
    const json run = Ask({"run", "show", id, "--json"});
    federation_->StopSites();
    REQUIRE(run.at("published").is_string());
    return run;
  }

  // The published model's file, with its signed record beside it; it verifies.
  fs::path Fetch(const json& run) {
    const std::string model = run.at("published");
    const fs::path file = folder_ / (model.substr(0, 8) + ".safetensors");
    RequireOk(federation_->Researcher({"model", "fetch", model, "--out", file}, "fetch").status());
    RequireOk(federation_->Researcher({"model", "verify", file}, "verify").status());
    return file;
  }

  json Drift(const std::string& site, const fs::path& model) {
    const auto printed =
        RunProgram({.program = Programs() / "consilium-site",
                    .arguments = {"drift", model, "--state", federation_->SiteState(site), "--data",
                                  DataOf(site), "--threads", "1", "--json"},
                    .logs = logs_,
                    .name = "drift-" + site});
    RequireOk(printed.status());
    return json::parse(*printed);
  }

 private:
  fs::path DataOf(const std::string& site) const { return folder_ / site; }

  json Ask(std::vector<std::string> question) {
    const auto answer = federation_->Researcher(std::move(question), "ask");
    RequireOk(answer.status());
    return json::parse(*answer);
  }

  void Draw(const std::vector<std::string>& scanner, const std::string& name, int patients,
            const fs::path& out) {
    std::vector<std::string> arguments = {"synthesize",
                                          "--name",
                                          name,
                                          "--patients",
                                          std::to_string(patients),
                                          "--positive-fraction",
                                          "0.5",
                                          "--seed",
                                          std::to_string(++drawn_),
                                          "--out",
                                          out};
    arguments.insert(arguments.end(), scanner.begin(), scanner.end());
    RequireOk(RunProgram({.program = Programs() / "consilium-dataset",
                          .arguments = std::move(arguments),
                          .logs = logs_,
                          .name = "synthesize"})
                  .status());
  }

  const fs::path folder_, logs_;
  std::optional<Federation> federation_;
  int drawn_ = 0;
};

// Of the pooled validation patients after the first round.
double FirstEvaluation(const json& run) {
  const auto events = EventsFromJson(run.at("events").dump());
  RequireOk(events.status());
  const RunHistory history = ReadHistory(*events);
  REQUIRE(!history.rounds.empty());
  REQUIRE(history.rounds.front().pooled_validation.has_value());
  return history.rounds.front().pooled_validation->value;
}

bool MadeAFirstModel(const json& run) {
  for (const json& event : run.at("events")) {
    if (event.at("name") == "aggregated" && event.at("round") == 0) return true;
  }
  return false;
}

// The cosine between two models' weights: 1 of the same, about 0 of two that were drawn.
double Alike(const fs::path& first, const fs::path& second) {
  const ModelState a = *LoadSafetensors(first), b = *LoadSafetensors(second);
  const auto product = [](const ModelState& x, const ModelState& y) {
    return std::inner_product(x.values().begin(), x.values().end(), y.values().begin(), 0.0);
  };
  return product(a, b) / std::sqrt(product(a, a) * product(b, b));
}

TEST_CASE("patients come, drift tells where a round is due, and a run goes on from the published") {
  const TemporaryFolder folder;
  Consortium consortium(folder.path());
  const json first = consortium.Train("", 7);
  CHECK(MadeAFirstModel(first));
  const fs::path published = consortium.Fetch(first);

  // Files are dated by the second; what came in the second of the publication is not new.
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  consortium.NewPatients("north", {"--hospital", "north"});
  consortium.NewPatients("south", {"--exposure", "0.3", "--noise", "0.2", "--gamma", "2"});
  const json north = consortium.Drift("north", published);
  CHECK(north.at("new_patients") == kNewPatients);
  CHECK(north.at("due") == false);
  const json south = consortium.Drift("south", published);
  CHECK(south.at("new_patients") == kNewPatients);
  CHECK(south.at("due") == true);
  CHECK_THAT(south.at("why").get<std::string>(), ContainsText("median brightness"));
  const json east = consortium.Drift("east", published);
  CHECK(east.at("new_patients") == 0);
  CHECK(east.at("due").is_null());

  const json second = consortium.Train("initial = \"published\"\n", 1);
  CHECK_THAT(second.at("plan").at("toml").get<std::string>(),
             ContainsText(first.at("published").get<std::string>()));
  CHECK_FALSE(MadeAFirstModel(second));
  CHECK(FirstEvaluation(second) > FirstEvaluation(first) + 0.1);
  const fs::path renewed = consortium.Fetch(second);
  CHECK(renewed != published);
  CHECK(Alike(published, renewed) > 0.9);
}

}  // namespace
}  // namespace consilium::experiments
