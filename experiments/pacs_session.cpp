#include "experiments/pacs_session.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "common/base/status.h"
#include "common/base/text_table.h"
#include "experiments/archive_session.h"
#include "experiments/federation.h"
#include "experiments/plan_text.h"
#include "experiments/results.h"
#include "experiments/run_history.h"

namespace consilium::experiments {
namespace {

using nlohmann::json;

constexpr const char* kHospitals[] = {"north", "south", "east"};
constexpr std::uint32_t kMammographyPatients = 2;
constexpr auto kLimit = std::chrono::minutes(20);

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  CONSILIUM_CHECK(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

// "NORTH", an AE title.
std::string TitleOf(std::string name) {
  for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

class Session {
 public:
  explicit Session(const PacsSessionOptions& options)
      : options_(options),
        folder_("pacs-session", options.out, "federation/logs", kLimit),
        out_(folder_.out()) {}

  absl::StatusOr<PacsSession> Run() {
    RETURN_IF_ERROR(folder_.TakeFolder(options_.fresh));
    std::vector<std::string> titles;
    for (const char* name : kHospitals) titles.push_back(TitleOf(name));
    Say("== Starting the archive (Orthanc), on loopback");
    ASSIGN_OR_RETURN(Orthanc orthanc, Orthanc::Start(out_ / "orthanc", titles));
    RETURN_IF_ERROR(PushStudies(orthanc));
    RETURN_IF_ERROR(PullSites(orthanc));
    ASSIGN_OR_RETURN(Federation federation,
                     Federation::Create(folder_.programs(), out_ / "federation"));
    RETURN_IF_ERROR(Train(federation));
    RETURN_IF_ERROR(Predict(federation, orthanc));
    RETURN_IF_ERROR(LookIntoArchive(orthanc));
    return session_;
  }

 private:
  // Draws a hospital's studies into OUT/drawn/NAME and sends them to the archive by C-STORE.
  absl::Status Push(const Orthanc& orthanc, const std::string& name,
                    std::vector<std::string> drawing) {
    const fs::path folder = out_ / "drawn" / name;
    std::vector<std::string> draw = {"synthesize", "--out", folder};
    draw.insert(draw.end(), drawing.begin(), drawing.end());
    RETURN_IF_ERROR(folder_.Call("consilium-dataset", draw, StrCat("draw-", name)).status());
    ASSIGN_OR_RETURN(const std::string answer,
                     folder_.Call("consilium-dataset",
                                  {"send", folder, "--archive", orthanc.dicom_address(), "--called",
                                   Orthanc::kTitle, "--calling", "NORTH", "--json"},
                                  StrCat("push-", name)));
    const auto sent = json::parse(answer, nullptr, /*allow_exceptions=*/false);
    const std::uint64_t count = sent.is_object() ? sent.value("sent", 0u) : 0;
    Say(StrCat("   ", name, ": ", count, " images"));
    session_.pushed += count;
    return absl::OkStatus();
  }

  absl::Status PushStudies(const Orthanc& orthanc) {
    Say("== Drawing studies and pushing them into the archive (C-STORE)");
    RETURN_IF_ERROR(EnsureFolder(out_ / "drawn"));
    int seed = 40;
    for (const char* name : kHospitals) {
      RETURN_IF_ERROR(Push(
          orthanc, name,
          {"--hospital", name, "--patients", StrCat(options_.patients), "--seed", StrCat(++seed)}));
    }
    RETURN_IF_ERROR(Push(orthanc, "new-chests",
                         {"--hospital", "north", "--name", "new", "--patients",
                          StrCat(options_.new_patients), "--seed", StrCat(++seed)}));
    return Push(orthanc, "new-mammograms",
                {"--kind", "mg", "--name", "newmg", "--patients", StrCat(kMammographyPatients),
                 "--seed", StrCat(++seed)});
  }

  // The patients of a drawn folder as a list for a query.
  absl::StatusOr<fs::path> PatientList(const std::string& name) const {
    ASSIGN_OR_RETURN(const std::vector<FolderEntry> entries, ListFolder(out_ / "drawn" / name));
    std::string list;
    for (const FolderEntry& entry : entries) {
      if (entry.folder) StrAppend(&list, entry.path.filename().string(), "\n");
    }
    const fs::path file = out_ / "drawn" / StrCat(name, ".patients");
    RETURN_IF_ERROR(WriteFileDurably(file, list));
    return file;
  }

  absl::Status PullSites(const Orthanc& orthanc) {
    Say("== Each site pulls its own studies by query (C-FIND, C-GET)");
    for (const char* name : kHospitals) {
      ASSIGN_OR_RETURN(const fs::path patients, PatientList(name));
      const fs::path folder = out_ / "sites" / name;
      ASSIGN_OR_RETURN(
          const std::string answer,
          folder_.Call("consilium-dataset",
                       {"pull", "--archive", orthanc.dicom_address(), "--called", Orthanc::kTitle,
                        "--calling", TitleOf(name), "--patients", patients, "--out", folder},
                       StrCat("pull-", name)));
      Say(StrCat("   ", name, ": ", answer.substr(0, answer.find_last_not_of('\n') + 1)));
      // What is known of the patients does not come from the archive.
      ASSIGN_OR_RETURN(const std::string labels,
                       ReadTextFile(out_ / "drawn" / name / "labels.csv"));
      RETURN_IF_ERROR(WriteFileDurably(folder / "labels.csv", labels));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Plan() const {
    std::string plan = kQuickstartPlan;
    if (options_.small) {
      plan = Replaced(plan, "image_size = 64", "image_size = 32");
      plan = Replaced(plan, "local_epochs = 3", "local_epochs = 1");
      plan = Replaced(plan, "minimum_patients = 20", "minimum_patients = 5");
      plan = Replaced(plan, "minimum_auroc = 0.7", "minimum_auroc = 0.0");
    }
    return OverridePlan(plan, {.rounds = options_.rounds});
  }

  absl::Status Train(Federation& federation) {
    Say("== Training together (secure aggregation), and publishing");
    RETURN_IF_ERROR(federation.StartCoordinator());
    for (const char* name : kHospitals) RETURN_IF_ERROR(federation.EnrolSite(name));
    RETURN_IF_ERROR(federation.EnrolResearcher("researcher"));
    for (const char* name : kHospitals) {
      RETURN_IF_ERROR(
          federation.StartSite(name, {"--data", out_ / "sites" / name, "--threads", "1"}));
    }
    for (const char* name : kHospitals) RETURN_IF_ERROR(federation.AwaitSite(name));
    ASSIGN_OR_RETURN(const std::string plan, Plan());
    RETURN_IF_ERROR(WriteFileDurably(out_ / "plan.toml", plan));
    ASSIGN_OR_RETURN(const std::string run, federation.SubmitRun(out_ / "plan.toml"));
    const fs::path watched = federation.logs() / "watch.out";
    ASSIGN_OR_RETURN(const ExitState state, federation.WatchRun(run, watched));
    if (!state.ok()) {
      return absl::AbortedError(StrCat("run ", run, " did not end well:\n", Tail(watched, 10)));
    }
    ASSIGN_OR_RETURN(const std::string shown, federation.ShowRun(run));
    ASSIGN_OR_RETURN(const auto events, EventsOfRun(shown));
    const RunHistory history = ReadHistory(events);
    if (!history.published) {
      return absl::AbortedError(StrCat(
          "the release gate did not let the model through (more --patients or --rounds make a "
          "better one):\n",
          Tail(watched, 4)));
    }
    session_.model_id = history.final_model;
    return FetchPublished(federation);
  }

  // The agent fetches what was published by itself; the researcher has its signed record.
  absl::Status FetchPublished(Federation& federation) {
    const fs::path fetched =
        federation.SiteState("north") / "published" / StrCat(session_.model_id, ".safetensors");
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!Exists(fetched)) {
      RETURN_IF_ERROR(federation.CheckAllRun());
      if (std::chrono::steady_clock::now() > until) {
        return absl::DeadlineExceededError("site north did not fetch the published model");
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    RETURN_IF_ERROR(
        federation
            .Researcher({"model", "fetch", session_.model_id, "--out", out_ / "model.safetensors"},
                        "fetch")
            .status());
    Say(StrCat("   published: model ", session_.model_id.substr(0, 12)));
    federation.StopSites();
    return absl::OkStatus();
  }

  std::vector<std::string> PredictArguments(const Federation& federation) const {
    return {"predict",
            "--state",
            federation.SiteState("north"),
            "--model",
            session_.model_id,
            "--record",
            out_ / "model.record.json",
            "--data",
            out_ / "new",
            "--out",
            out_ / "results",
            "--activation",
            "--send",
            "--json"};
  }

  absl::Status Predict(const Federation& federation, const Orthanc& orthanc) {
    Say("== The published model, verified again at site north, on new studies from the archive");
    ASSIGN_OR_RETURN(const fs::path chests, PatientList("new-chests"));
    ASSIGN_OR_RETURN(const fs::path mammograms, PatientList("new-mammograms"));
    ASSIGN_OR_RETURN(const std::string first, ReadTextFile(chests));
    ASSIGN_OR_RETURN(const std::string second, ReadTextFile(mammograms));
    RETURN_IF_ERROR(WriteFileDurably(out_ / "new.patients", StrCat(first, second)));
    std::vector<std::string> pull = PredictArguments(federation);
    for (const std::string& word :
         {std::string("--archive"), orthanc.dicom_address(), std::string("--called"),
          std::string(Orthanc::kTitle), std::string("--calling"), std::string("NORTH"),
          std::string("--pull"), std::string("--patients"), (out_ / "new.patients").string()}) {
      pull.push_back(word);
    }
    ASSIGN_OR_RETURN(const std::string answer,
                     folder_.Call("consilium-site", pull, "predict", federation.Environment()));
    RETURN_IF_ERROR(WriteFileDurably(out_ / "predictions.json", answer));
    const auto report = json::parse(answer, nullptr, /*allow_exceptions=*/false);
    if (!report.is_object()) return absl::InternalError("predict printed no JSON");
    session_.scored = report.value("scored", 0u);
    for (const auto& [reason, count] : report["refused"].items()) {
      session_.refused += count.get<std::uint64_t>();
      Say(StrCat("   refused, not scored: ", count.get<std::uint64_t>(), " (", reason, ")"));
    }
    session_.sent = report["sent"].value("sent", 0u);
    Say(StrCat("   scored ", session_.scored, ", sent ", session_.sent, " results back (C-STORE)"));

    Say("== The same once more, by STOW-RS: nothing is scored twice; what is sent is the same");
    std::vector<std::string> again = PredictArguments(federation);
    for (const std::string& word : {std::string("--archive"), orthanc.dicomweb(),
                                    std::string("--basic-auth"), orthanc.login().string()}) {
      again.push_back(word);
    }
    ASSIGN_OR_RETURN(
        const std::string repeated,
        folder_.Call("consilium-site", again, "predict-again", federation.Environment()));
    const auto second_report = json::parse(repeated, nullptr, /*allow_exceptions=*/false);
    if (!second_report.is_object() || second_report.value("scored", 1u) != 0) {
      return absl::InternalError("images were scored a second time");
    }
    session_.sent_again = second_report["sent"].value("sent", 0u);
    return absl::OkStatus();
  }

  absl::Status LookIntoArchive(const Orthanc& orthanc) {
    ASSIGN_OR_RETURN(const std::vector<ArchivedSeries> series, orthanc.ListSeries());
    std::map<std::string, std::uint64_t> by_modality;
    for (const ArchivedSeries& one : series) {
      if (one.modality != "SEG" && one.modality != "SR" && one.modality != "OT") continue;
      by_modality[one.modality] += one.instances;
      session_.results.push_back(one);
    }
    for (const char* modality : {"SEG", "SR", "OT"}) {
      if (by_modality[modality] == session_.scored && session_.scored > 0) continue;
      return absl::DataLossError(StrCat("the archive holds ", by_modality[modality], " ", modality,
                                        " objects for ", session_.scored, " scored images"));
    }
    return absl::OkStatus();
  }

  const PacsSessionOptions& options_;
  const ArchiveSession folder_;
  const fs::path out_;
  PacsSession session_;
};

}  // namespace

absl::StatusOr<PacsSession> RunPacsSession(const PacsSessionOptions& options) {
  return Session(options).Run();
}

std::string Summary(const PacsSession& session, const fs::path& out) {
  std::map<std::pair<std::string, std::string>, std::pair<std::uint64_t, std::uint64_t>> kinds;
  for (const ArchivedSeries& series : session.results) {
    auto& [count, instances] = kinds[{series.modality, series.description}];
    ++count;
    instances += series.instances;
  }
  TextTable table({"modality", "series description", "series", "instances"});
  for (const auto& [kind, counts] : kinds) {
    table.AddRow({kind.first, kind.second, StrCat(counts.first), StrCat(counts.second)});
  }
  return StrCat("\nResults in the archive, by its own list (REST)\n\n", table.ToString(), "\n",
                session.pushed, " images were pushed, ", session.scored, " new ones scored, ",
                session.refused, " refused, ", session.sent, " results sent; a second call scored ",
                "none and added none.\nScores     ", (out / "predictions.json").string(),
                "\nResults    ", (out / "results").string(), "\n");
}

}  // namespace consilium::experiments
