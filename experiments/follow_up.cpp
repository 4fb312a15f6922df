#include "experiments/follow_up.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/base/text_table.h"
#include "datasets/followup/phantom_course.h"
#include "experiments/archive_session.h"
#include "experiments/federation.h"

namespace consilium::experiments {
namespace {

namespace followup = datasets::followup;
using nlohmann::json;

constexpr char kPatient[] = "followed-1", kTitle[] = "CONSILIUM";
constexpr auto kLimit = std::chrono::minutes(10);
// Voxels are up to 1.5 mm wide, and slices 4 mm apart.
constexpr double kDiameterTolerance_mm = 2;

class Session {
 public:
  explicit Session(const FollowUpOptions& options)
      : options_(options),
        folder_("follow-up", options.out, "logs", kLimit),
        out_(folder_.out()),
        course_(followup::ThreeScans(kPatient)) {}

  absl::StatusOr<FollowUpSession> Run() {
    RETURN_IF_ERROR(folder_.TakeFolder(options_.fresh));
    Say("== Starting the archive (Orthanc), on loopback");
    ASSIGN_OR_RETURN(Orthanc orthanc, Orthanc::Start(out_ / "orthanc", {kTitle}));
    Say("== Drawing three scans of one patient, with lesions outlined");
    RETURN_IF_ERROR(followup::WriteCourse(course_, options_.seed, out_ / "drawn"));
    RETURN_IF_ERROR(Push(orthanc));
    RETURN_IF_ERROR(Pull(orthanc));
    RETURN_IF_ERROR(Follow(orthanc));
    RETURN_IF_ERROR(LookIntoArchive(orthanc));
    return session_;
  }

 private:
  std::vector<std::string> ToArchive(const Orthanc& orthanc, std::vector<std::string> words) const {
    for (const std::string& word :
         {std::string("--archive"), orthanc.dicom_address(), std::string("--called"),
          std::string(Orthanc::kTitle), std::string("--calling"), std::string(kTitle)}) {
      words.push_back(word);
    }
    return words;
  }

  absl::Status Push(const Orthanc& orthanc) {
    Say("== Pushing them into the archive (C-STORE)");
    ASSIGN_OR_RETURN(const std::string answer,
                     folder_.Call("consilium-dataset",
                                  ToArchive(orthanc, {"send", out_ / "drawn", "--json"}), "push"));
    const auto sent = json::parse(answer, nullptr, /*allow_exceptions=*/false);
    session_.pushed = sent.is_object() ? sent.value("sent", 0u) : 0;
    Say(StrCat("   ", session_.pushed, " instances"));
    return absl::OkStatus();
  }

  absl::Status Pull(const Orthanc& orthanc) {
    Say("== Pulling the patient's studies by query (C-FIND, C-GET)");
    const fs::path list = out_ / "patients";
    RETURN_IF_ERROR(WriteFileDurably(list, StrCat(kPatient, "\n")));
    ASSIGN_OR_RETURN(
        const std::string answer,
        folder_.Call("consilium-dataset",
                     ToArchive(orthanc, {"pull", "--patients", list, "--out", out_ / "pulled"}),
                     "pull"));
    Say(StrCat("   ", answer.substr(0, answer.find_last_not_of('\n') + 1)));
    return absl::OkStatus();
  }

  std::vector<std::string> FollowArguments() const {
    return {"follow",     kPatient,
            "--data",     out_ / "pulled",
            "--out",      out_ / "follow-ups",
            "--html",     out_ / "follow-up.html",
            "--markdown", out_ / "follow-up.md",
            "--send"};
  }

  absl::Status Follow(const Orthanc& orthanc) {
    Say("== Following: registration, lesions, course; the report goes to the archive (C-STORE)");
    ASSIGN_OR_RETURN(session_.table, folder_.Call("consilium-site",
                                                  ToArchive(orthanc, FollowArguments()), "follow"));
    RETURN_IF_ERROR(WriteFileDurably(out_ / "follow-up.txt", session_.table));
    Say("== The same once more: the same figures, as JSON");
    std::vector<std::string> again = FollowArguments();
    again.push_back("--json");
    ASSIGN_OR_RETURN(
        const std::string answer,
        folder_.Call("consilium-site", ToArchive(orthanc, std::move(again)), "follow-again"));
    RETURN_IF_ERROR(WriteFileDurably(out_ / "follow-up.json", answer));
    const auto report = json::parse(answer, nullptr, /*allow_exceptions=*/false);
    if (!report.is_object() || report["patients"].size() != 1) {
      return absl::InternalError("consilium-site follow printed no JSON of one patient");
    }
    return Compare(report["patients"][0]);
  }

  // What was found against what was drawn. Lesions are numbered by size, as they are drawn.
  absl::Status Compare(const json& patient) {
    session_.seconds_registering = patient.value("seconds_registering", 0.0);
    const json& lesions = patient["lesions"];
    std::size_t drawn = 0, found = 0;
    for (std::size_t scan = 0; scan < course_.scans.size(); ++scan) {
      drawn += course_.scans[scan].lesions.size();
      for (const followup::PhantomLesion& lesion : course_.scans[scan].lesions) {
        const auto track = static_cast<std::size_t>(lesion.number) - 1;
        if (track >= lesions.size()) continue;
        const json& parts = lesions[track]["time_points"][scan]["parts"];
        if (parts.size() != 1) continue;
        ++found;
        const double error = std::abs(parts[0].value("longest_mm", 0.0) - lesion.diameter_mm);
        session_.largest_diameter_error_mm = std::max(session_.largest_diameter_error_mm, error);
      }
    }
    if (found == drawn && session_.largest_diameter_error_mm <= kDiameterTolerance_mm) {
      return absl::OkStatus();
    }
    return absl::DataLossError(absl::StrFormat(
        "%d of %d drawn lesions were found in their tracks; diameters differ by up to %.1f mm",
        found, drawn, session_.largest_diameter_error_mm));
  }

  absl::Status LookIntoArchive(const Orthanc& orthanc) {
    ASSIGN_OR_RETURN(const std::vector<ArchivedSeries> all, orthanc.ListSeries());
    std::uint64_t reports = 0;
    for (const ArchivedSeries& series : all) {
      if (series.modality != "SR") continue;
      reports += series.instances;
      session_.reports.push_back(series);
    }
    if (reports == 1) return absl::OkStatus();
    return absl::DataLossError(
        StrCat("the archive holds ", reports, " reports, where one was to be"));
  }

  const FollowUpOptions& options_;
  const ArchiveSession folder_;
  const fs::path out_;
  const followup::PhantomCourse course_;
  FollowUpSession session_;
};

}  // namespace

absl::StatusOr<FollowUpSession> RunFollowUp(const FollowUpOptions& options) {
  return Session(options).Run();
}

std::string Summary(const FollowUpSession& session, const fs::path& out) {
  TextTable table({"modality", "series description", "instances"});
  for (const ArchivedSeries& series : session.reports) {
    table.AddRow({series.modality, series.description, StrCat(series.instances)});
  }
  return StrCat("\n", session.table, "\nReports in the archive, by its own list (REST)\n\n",
                table.ToString(), "\n",
                absl::StrFormat(
                    "%d instances were pushed; both later scans were registered in %.1f s; "
                    "diameters differ from the drawn ones by up to %.1f mm.\n",
                    session.pushed, session.seconds_registering, session.largest_diameter_error_mm),
                "Page       ", (out / "follow-up.html").string(), "\nReport     ",
                (out / "follow-ups").string(), "\n");
}

}  // namespace consilium::experiments
