// No identifier of a patient leaves the images: hospitals whose files hold them in every place, the
// real programs on these files, and a search of every byte that was written and sent.

#include <cstdio>
#include <nlohmann/json.hpp>

#include "common/base/text.h"
#include "experiments/federation.h"
#include "experiments/plan_text.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/experiments/real_processes.h"
#include "tests/identifiers/identifier_scan.h"
#include "tests/identifiers/planted_hospital.h"
#include "tests/identifiers/sent_messages.h"

namespace consilium::identifiers {
namespace {

using experiments::Federation;
using experiments::Programs;
using experiments::RequireOk;
using std::chrono::minutes;

void CheckNothingFound(const std::vector<PlaceScan>& scans) {
  const std::string table = ToTable(scans);
  std::puts(table.c_str());
  for (const PlaceScan& scan : scans) {
    INFO(table);
    CHECK(scan.findings.empty());
  }
}

// What a program printed, kept as FOLDER/NAME.out and .log.
std::string RunDataset(const std::vector<std::string>& arguments, const fs::path& said,
                       const std::string& name) {
  RequireOk(EnsureFolder(said));
  const auto printed = experiments::RunProgram({.program = Programs() / "consilium-dataset",
                                                .arguments = arguments,
                                                .logs = said,
                                                .name = name},
                                               minutes(5));
  RequireOk(printed.status());
  return *printed;
}

// A plan that a test has time for, and that asks for all a plan can ask of an image.
std::string SmallPlan(const fs::path& folder) {
  std::string plan = experiments::kQuickstartPlan;
  const auto set = [&](const std::string& from, const std::string& to) {
    REQUIRE(plan.find(from) != std::string::npos);
    plan.replace(plan.find(from), from.size(), to);
  };
  set("image_size = 64", "image_size = 16");
  set("local_epochs = 3", "local_epochs = 1");
  set("minimum_patients = 20", "minimum_patients = 5\nviews = [\"PA\"]\nminimum_age = 18");
  set("[preprocessing]",
      "[deidentification]\nretain = [\"patient_characteristics\"]\n\n[preprocessing]");
  set("minimum_auroc = 0.7", "minimum_auroc = 0.0");
  set("rounds = 14", "rounds = 1");
  RequireOk(WriteFileDurably(folder / "plan.toml", plan));
  return folder / "plan.toml";
}

}  // namespace

TEST_CASE("The scan finds an identifier that was planted in a log, whatever its form") {
  const TemporaryFolder folder;
  const std::string padding(5000, 'x');
  const auto found_in = [&](const std::string& planted) {
    RequireOk(WriteFileDurably(folder / "a.log", padding + planted + padding));
    const PlaceScan scan = ScanFiles("log", folder.path());
    CHECK(scan.files == 1);
    CHECK(scan.bytes == 2 * padding.size() + planted.size());
    return scan.findings.empty() ? "" : scan.findings.front().form;
  };
  CHECK(found_in("") == "");
  CHECK(found_in("patient ZQXVJKNAME^FIRST") == "text");
  CHECK(found_in("patient zqxvjkname") == "text");
  CHECK(found_in("born 19470313.") == "text");
  CHECK(found_in("1.2.276.0.4711.9090.1.17") == "text");
  CHECK(found_in(std::string("Z\0Q\0X\0V\0J\0K\0", 12)) == "UTF-16LE");
  CHECK(found_in(std::string("\0Z\0Q\0X\0V\0J\0K", 12)) == "UTF-16BE");
  CHECK(found_in("%5A%51%58%56%4a%4B") == "percent-encoded");
  CHECK(found_in("5a515856 4a4b") == "");
  CHECK(found_in("5a5158564A4B") == "hexadecimal");
  for (const char* base64 : {"WlFYVkpLTkFNRQ==", "eFpRWFZKS05BTUU=", "eHhaUVhWSktOQU1F"}) {
    CHECK(found_in(base64) == "base64");  // of "ZQXVJKNAME", "xZQXVJKNAME", "xxZQXVJKNAME"
  }
  const std::string table = ToTable({ScanText("a log", "ZQXVJKNAME")});
  CHECK_THAT(table, ContainsText("a log: : text: ZQXVJKNAME"));
  RequireOk(WriteFileDurably(folder / "ZQXVJKNAME.log", "x"));
  CHECK(ScanFiles("names", folder.path()).findings.size() == 2);  // of the file before, too
}

TEST_CASE("The planted files hold their identifiers, each in its place") {
  const TemporaryFolder folder;
  const fs::path images = DrawPlantedHospital(folder.path(), 3, 1);
  std::string all;
  for (const auto& entry : fs::recursive_directory_iterator(images)) {
    if (entry.is_regular_file()) all += *ReadTextFile(entry.path());
  }
  for (const char* place :
       {"NAME^FIRST", "ID-", "ACCESSION", "REFERRING", "INSTITUTION", "COMMENTS", "PRIVATE",
        "CREATOR", "IDOFITEM", "ORIGINAL^NAME", "METAINFO", "AETITLE", "PREAMBLE", "TRAILING",
        "OVERLAY", "STRANGER", "NOTES"}) {
    INFO(place);
    CHECK(all.find(StrCat(kMark, place)) != std::string::npos);
  }
  for (const std::string_view text : {kBirthDate, kStudyDate, kTelephone, kUidRoot}) {
    CHECK(all.find(text) != std::string::npos);
  }
}

TEST_CASE("index, describe and deidentify write no identifier") {
  const TemporaryFolder folder;
  const fs::path images = DrawPlantedHospital(folder.path(), 40, 1);
  const fs::path state = folder / "state", said = folder / "said", out = folder / "out";
  const std::string text = RunDataset({"index", images, "--state", state}, said, "index");
  CHECK_THAT(text, ContainsText("images of 40 patients accepted"));
  RunDataset({"index", images, "--state", state}, said, "index-again");
  // With the refused files' names, which the operator asks for at his own terminal. What is said of
  // them beside their names is scanned.
  const std::string json =
      RunDataset({"index", images, "--state", state, "--json"}, folder / "terminal", "json");
  nlohmann::json report = nlohmann::json::parse(json);
  REQUIRE(report.at("refused").size() >= 6);
  CHECK_FALSE(FindIdentifiers(json, "").empty());
  for (nlohmann::json& refused : report.at("refused")) refused.erase("file");

  RunDataset({"describe", "--state", state, "--target", "opacity", "--html",
              folder / "said" / "page.html"},
             said, "describe");
  RunDataset({"describe", "--state", state, "--target", "opacity", "--json"}, said,
             "describe-json");
  RunDataset({"deidentify", images, out, "--key", state / "pseudonym.key"}, said, "deidentify");
  RunDataset({"deidentify", images, folder / "more", "--key", state / "pseudonym.key",
              "--retain-modified-dates", "--retain-patient-characteristics", "--clean-descriptors"},
             said, "deidentify-more");
  CheckNothingFound({ScanFiles("catalog", state / "catalog.db"), ScanFiles("state folder", state),
                     ScanFiles("printed and logged", said),
                     ScanText("index --json, but for file names", report.dump()),
                     ScanFiles("de-identified files", out),
                     ScanFiles("with options", folder / "more")});
}

TEST_CASE("index --policy leaves out of the catalog what the site does not retain") {
  const TemporaryFolder folder;
  const fs::path images = DrawPlantedHospital(folder.path(), 3, 1), said = folder / "said";
  const auto index = [&](const std::string& state, const std::string& policy) {
    RequireOk(WriteFileDurably(folder / "policy.toml", policy));
    RunDataset({"index", images, "--state", folder / state, "--policy", folder / "policy.toml"},
               said, state);
    return *ReadTextFile(folder / state / "catalog.db");
  };
  const std::string maker = "Consilium Phantoms";
  CHECK(index("wide", "enabled = true\n").find(maker) != std::string::npos);
  CHECK(index("narrow", "[deidentification]\nretain = []\n").find(maker) == std::string::npos);
  RequireOk(WriteFileDurably(folder / "policy.toml", "[deidentification]\nfaces = \"clean\"\n"));
  const auto refused =
      experiments::RunProgram({.program = Programs() / "consilium-dataset",
                               .arguments = {"index", images, "--state", folder / "wide",
                                             "--policy", folder / "policy.toml"},
                               .logs = said,
                               .name = "clean"});
  CHECK(absl::IsInvalidArgument(refused.status()));
  CHECK_THAT(std::string(ToStd(refused.status().message())), ContainsText("line 2"));
}

TEST_CASE("A federation of real processes stores and sends no identifier") {
  const TemporaryFolder folder;
  auto created = Federation::Create(Programs(), folder / "federation", Federation::Keys::kBare);
  RequireOk(created.status());
  Federation& federation = *created;
  RequireOk(EnsureFolder(folder / "temporary"));
  RequireOk(federation.StartCoordinator());
  RequireOk(federation.EnrolResearcher("researcher"));
  std::uint64_t seed = 10;
  for (const char* name : {"north", "south", "east"}) {
    const fs::path own = folder / name;
    RequireOk(EnsureFolder(own));
    const fs::path images = DrawPlantedHospital(own, 50, ++seed);
    RequireOk(federation.EnrolSite(name));
    auto environment = RecordingEnvironment();
    environment["TMPDIR"] = folder / "temporary";
    federation.SetEnvironment(name, environment);
    RequireOk(federation.StartSite(name, {"--data", images}));
    RequireOk(federation.AwaitSite(name));
  }
  const auto submitted =
      federation.Researcher({"run", "submit", SmallPlan(folder.path()), "--json"}, "submit");
  RequireOk(submitted.status());
  const std::string run = nlohmann::json::parse(*submitted).at("run");
  const auto watched = federation.Researcher({"run", "watch", run}, "watch");
  RequireOk(watched.status());
  CHECK_THAT(*watched, ContainsText("published"));
  RequireOk(federation.Researcher({"run", "show", run, "--json"}, "show").status());
  RequireOk(federation
                .Researcher({"federation", "describe", "--target", "opacity", "--html",
                             (folder / "page.html").string()},
                            "describe")
                .status());
  for (const char* name : {"north", "south", "east"}) {
    for (const char* command : {"status", "outbox"}) {
      const auto printed =
          experiments::RunProgram({.program = Programs() / "consilium-site",
                                   .arguments = {command, "--state", federation.SiteState(name)},
                                   .logs = federation.logs(),
                                   .name = StrCat(command, "-", name)});
      RequireOk(printed.status());
      CHECK_FALSE(printed->empty());
    }
  }
  RequireOk(WriteFileDurably(folder / "temporary" / "there", "so that it is scanned"));

  std::vector<PlaceScan> scans;
  for (const char* name : {"north", "south", "east"}) {
    const fs::path state = federation.SiteState(name),
                   log = federation.logs() / StrCat("site-", name, ".log");
    const std::string sent = SentAccordingTo(log);
    // That this is what was sent: the counts of what a site refuses, which it tells.
    for (const char* word : {"burned-in-annotation", "not-for-training", "missing-label"}) {
      INFO(word);
      CHECK(sent.find(word) != std::string::npos);
    }
    CHECK(sent.size() > 50'000);  // the masked update
    scans.push_back(ScanText(StrCat(name, ": sent"), sent));
    scans.push_back(ScanFiles(StrCat(name, ": log, with all traffic"), log));
    scans.push_back(ScanFiles(StrCat(name, ": catalog"), state / "catalog.db"));
    scans.push_back(ScanFiles(StrCat(name, ": cache"), state / "cache"));
    scans.push_back(ScanFiles(StrCat(name, ": state folder"), state));
  }
  scans.push_back(ScanFiles("coordinator: state folder", federation.CoordinatorState()));
  scans.push_back(ScanFiles("researcher: state folder", federation.ResearcherState()));
  scans.push_back(ScanFiles("all logs and outputs", federation.logs()));
  scans.push_back(ScanFiles("federation describe: page", folder / "page.html"));
  scans.push_back(ScanFiles("temporary files", folder / "temporary"));
  CheckNothingFound(scans);

  // The same scan of the same place, with one identifier more in it.
  const fs::path log = federation.logs() / "coordinator.log";
  std::string logged = *ReadTextFile(log);
  logged.insert(logged.size() / 2, "ZQXVJKNAME");
  RequireOk(WriteFileDurably(log, logged));
  const PlaceScan planted = ScanFiles("all logs and outputs", federation.logs());
  REQUIRE(planted.findings.size() == 1);
  CHECK(planted.findings[0].file == "coordinator.log");
}

}  // namespace consilium::identifiers
