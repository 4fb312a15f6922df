// What the images of a whole federation are, asked of real processes: it is what the sites' own
// programs say, added up, without what few patients are in.

#include <signal.h>

#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "experiments/federation.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/experiments/real_processes.h"

namespace consilium::experiments {
namespace {

using nlohmann::json;

const std::vector<std::string> kSites = {"north", "south", "east"};
constexpr int kSmallest = 10;

std::string Dataset(const fs::path& logs, std::vector<std::string> arguments,
                    const std::string& name) {
  const auto printed = RunProgram({.program = Programs() / "consilium-dataset",
                                   .arguments = std::move(arguments),
                                   .logs = logs,
                                   .name = name});
  RequireOk(printed.status());
  return *printed;
}

Federation Founded(const fs::path& folder) {
  auto created = Federation::Create(Programs(), folder, Federation::Keys::kBare);
  RequireOk(created.status());
  RequireOk(created->StartCoordinator());
  RequireOk(created->EnrolResearcher("ada"));
  return *std::move(created);
}

struct Count {
  std::uint64_t patients = 0, images = 0;
};
using Counts = std::map<std::string, std::map<std::string, Count>>;  // table -> row

void AddUp(const json& own, Counts& sum) {
  for (const auto& [table, content] : own.at("tables").items()) {
    for (const json& row : content.at("rows")) {
      Count& count = sum[table][row.at("row")];
      count.patients += row.at("patients").get<std::uint64_t>();
      count.images += row.at("images").get<std::uint64_t>();
    }
  }
}

// Each row that is shown is the sum, and each that is not has few patients or hides one that has.
void CheckShown(const json& shown, const Counts& sum) {
  for (const auto& [table, rows] : sum) {
    CAPTURE(table);
    std::uint64_t hidden_rows = 0, hidden_patients = 0;
    for (const json& row : shown.at("tables").at(table).at("rows")) {
      const Count& expected = rows.at(row.at("row"));
      CAPTURE(row.dump(), expected.patients, expected.images);
      if (row.contains("suppressed")) {
        CHECK(expected.patients > 0);
        ++hidden_rows;
        hidden_patients += expected.patients;
        continue;
      }
      CHECK((expected.patients == 0 || expected.patients >= kSmallest));
      CHECK(row.at("patients") == expected.patients);
      CHECK(row.at("images") == expected.images);
    }
    CHECK(hidden_rows != 1);
    if (hidden_rows > 0) CHECK(hidden_patients >= kSmallest);
  }
}

TEST_CASE("a federation's description is the sum of its sites' own, up to what is suppressed") {
  const TemporaryFolder folder;
  const fs::path logs = folder / "logs";
  Federation federation = Founded(folder / "federation");
  std::map<std::string, std::string> hospitals = {
      {"north", "north"}, {"south", "south"}, {"east", "east"}, {"west", "north"}};
  for (const auto& [site, hospital] : hospitals) {
    // A few of the south's only, so that its modality has few patients.
    Dataset(logs,
            {"synthesize", "--hospital", hospital, "--patients", site == "south" ? "6" : "24",
             "--out", folder / site},
            "synthesize-" + site);
    RequireOk(federation.EnrolSite(site));
    if (site == "west") {
      RequireOk(WriteFileDurably(federation.SiteState(site) / "policy.toml", "describe = false\n"));
    }
    RequireOk(federation.StartSite(site, {"--data", folder / site}));
  }
  for (const auto& [site, hospital] : hospitals) RequireOk(federation.AwaitSite(site));

  const auto answer = federation.Researcher({"federation", "describe", "--target", "opacity",
                                             "--json", "--html", (folder / "page.html").string()},
                                            "describe");
  RequireOk(answer.status());
  const json described = json::parse(*answer);
  CHECK(described.at("sites") == json({"east", "north", "south"}));
  for (const json& participant : described.at("participants")) {
    const bool west = participant.at("site") == "west";
    CHECK(participant.at("answer") == (west ? "declined" : "accepted"));
    if (west) CHECK_THAT(participant.at("reason").get<std::string>(), ContainsText("policy"));
  }
  CHECK(ReadTextFile(folder / "page.html")->find("Not counted: west") != std::string::npos);

  // The same again, from the ledger, without asking any site.
  federation.StopSites();
  const auto later = federation.Researcher(
      {"federation", "describe", "--json", "--run", described.at("run")}, "describe-again");
  RequireOk(later.status());
  CHECK(json::parse(*later) == described);

  Counts sum;
  std::uint64_t patients = 0, images = 0, read = 0;
  std::vector<double> mass(64);
  for (const std::string& site : kSites) {
    const json own = json::parse(Dataset(
        logs, {"describe", "--state", federation.SiteState(site), "--target", "opacity", "--json"},
        "describe-" + site));
    AddUp(own, sum);
    patients += own.at("total").at("patients").get<std::uint64_t>();
    images += own.at("total").at("images").get<std::uint64_t>();
    if (!own.at("intensities").contains("DX")) continue;
    const json& dx = own.at("intensities").at("DX");
    read += dx.at("images").get<std::uint64_t>();
    for (std::size_t bin = 0; bin < mass.size(); ++bin) {
      mass[bin] += dx.at("shares")[bin].get<double>() * dx.at("images").get<double>();
    }
  }
  const json& shown = described.at("shown");
  CHECK(patients == 54);
  CHECK(shown.at("total").at("patients") == patients);
  CHECK(shown.at("total").at("images") == images);
  CheckShown(shown, sum);
  // The south's radiographs are CR, of six patients, and so is everything that tells of them.
  for (const json& row : shown.at("tables").at("modality").at("rows")) {
    if (row.at("row") == "CR") CHECK(row.contains("suppressed"));
    if (row.at("row") == "DX") CHECK(row.contains("suppressed"));  // or CR would be the rest
  }
  CHECK_FALSE(shown.at("intensities").contains("CR"));
  CHECK_FALSE(shown.at("intensities").contains("DX"));
  CHECK(read == 48);
}

TEST_CASE("sites that are killed while they describe are left out, or the run says why it cannot") {
  const TemporaryFolder folder;
  Federation federation = Founded(folder / "federation");
  for (int i = 0; i < 4; ++i) {
    const std::string name = "site-" + std::to_string(i);
    RequireOk(federation.EnrolSite(name));
    RequireOk(federation.StartSite(name, {"--parameters", "100"}, "consilium-bench-agent"));
  }
  for (int i = 0; i < 4; ++i) RequireOk(federation.AwaitSite("site-" + std::to_string(i)));
  const fs::path plan = folder / "plan.toml";
  RequireOk(WriteFileDurably(
      plan,
      std::string_view("[plan]\nname = \"who\"\n[describe]\n[cohort]\nabsence_grace_s = 1\n")));
  const auto submitted = federation.Researcher({"run", "submit", plan, "--json"}, "submit");
  RequireOk(submitted.status());
  const std::string run = json::parse(*submitted).at("run");
  federation.site("site-3").Signal(SIGKILL);
  federation.KillCoordinator();
  RequireOk(federation.StartCoordinator());
  Command watch = federation.ResearcherCommand({"run", "watch", run});
  watch.output = watch.errors = folder / "watch";
  Process watching = *Process::Start(watch);
  const auto ended = watching.Wait(std::chrono::minutes(2));
  RequireOk(ended.status());
  INFO(Tail(folder / "watch", 40));
  CHECK(ended->ok());
  CHECK_THAT(Tail(folder / "watch", 40), ContainsText("sites together"));
}

}  // namespace
}  // namespace consilium::experiments
