#include "experiments/orthanc.h"

#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "common/base/random.h"
#include "common/base/status.h"
#include "datasets/pacs/http_client.h"

namespace consilium::experiments {
namespace {

using nlohmann::json;

constexpr char kPlugin[] = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so";
constexpr auto kStartLimit = std::chrono::seconds(60);

std::string Program() {
  for (const char* path : {"/usr/sbin/Orthanc", "/usr/bin/Orthanc"}) {
    if (access(path, X_OK) == 0) return path;
  }
  return "";
}

std::string DrawPassword() {
  SystemRandom random;
  Bytes bytes(16);
  random.Fill(bytes);
  return ToHex(bytes);
}

json Configuration(const fs::path& folder, const std::vector<std::string>& known, int dicom_port,
                   int http_port, const std::string& password) {
  json modalities = json::object();
  for (const std::string& title : known) {
    modalities[title] = {{"AET", title}, {"Host", "127.0.0.1"}, {"Port", 104}};
  }
  return {{"StorageDirectory", (folder / "db").string()},
          {"IndexDirectory", (folder / "db").string()},
          {"Plugins", {kPlugin}},
          {"DicomWeb", {{"Enable", true}, {"Root", "/dicom-web/"}}},
          {"HttpPort", http_port},
          {"RemoteAccessAllowed", false},
          {"DicomPort", dicom_port},
          {"DicomAet", Orthanc::kTitle},
          {"DicomCheckCalledAet", true},
          {"DicomAlwaysAllowEcho", false},
          {"DicomAlwaysAllowStore", false},
          {"DicomModalities", modalities},
          {"AuthenticationEnabled", true},
          {"RegisteredUsers", {{"consilium", password}}},
          {"UnknownSopClassAccepted", false},
          {"SaveJobs", false},
          {"SyncStorageArea", false},
          {"DicomAssociationCloseDelay", 1}};
}

}  // namespace

bool Orthanc::Installed() { return !Program().empty() && access(kPlugin, R_OK) == 0; }

absl::StatusOr<Orthanc> Orthanc::Start(const fs::path& folder,
                                       const std::vector<std::string>& known) {
  if (!Installed()) {
    return absl::NotFoundError(
        "Orthanc is not installed: apt-get install orthanc orthanc-dicomweb");
  }
  ASSIGN_OR_RETURN(const int dicom_port, FreePort());
  ASSIGN_OR_RETURN(int http_port, FreePort());
  for (int i = 0; i < 20 && http_port == dicom_port; ++i) {
    ASSIGN_OR_RETURN(http_port, FreePort());
  }
  const std::string password = DrawPassword();
  RETURN_IF_ERROR(EnsureFolder(folder / "db"));
  RETURN_IF_ERROR(WriteFileDurably(folder / "login", StrCat("consilium:", password, "\n")));
  RETURN_IF_ERROR(
      WriteFileDurably(folder / "orthanc.json",
                       Configuration(folder, known, dicom_port, http_port, password).dump(2)));
  ASSIGN_OR_RETURN(Process process, Process::Start({.program = Program(),
                                                    .arguments = {folder / "orthanc.json"},
                                                    .output = folder / "log",
                                                    .errors = folder / "log"}));
  Orthanc orthanc(folder, dicom_port, http_port, std::move(process));
  const auto until = std::chrono::steady_clock::now() + kStartLimit;
  while (!orthanc.Get("/system").ok()) {
    if (const auto ended = orthanc.process_.Poll()) {
      return absl::InternalError(StrCat("Orthanc ", ended->ToString(), "; its log ends with:\n",
                                        Tail(folder / "log", 10)));
    }
    if (std::chrono::steady_clock::now() > until) {
      return absl::DeadlineExceededError(
          StrCat("Orthanc does not answer; its log ends with:\n", Tail(folder / "log", 10)));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return orthanc;
}

std::string Orthanc::dicom_address() const { return StrCat("127.0.0.1:", dicom_port_); }

std::string Orthanc::dicomweb() const {
  return StrCat("http://127.0.0.1:", http_port_, "/dicom-web");
}

absl::StatusOr<std::string> Orthanc::Get(const std::string& path) const {
  ASSIGN_OR_RETURN(const auto client,
                   datasets::pacs::HttpClient::Open(
                       {.url = StrCat("http://127.0.0.1:", http_port_), .basic_auth = login()},
                       [] { return false; }));
  return client->GetText(path, "application/json", 64 << 20);
}

absl::StatusOr<std::vector<ArchivedSeries>> Orthanc::ListSeries() const {
  ASSIGN_OR_RETURN(const std::string text, Get("/series?expand"));
  const json answer = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_array()) return absl::InternalError("Orthanc's list of series is no list");
  std::vector<ArchivedSeries> list;
  for (const json& series : answer) {
    const json tags = series.value("MainDicomTags", json::object());
    list.push_back({tags.value("Modality", ""), tags.value("SeriesDescription", ""),
                    series.value("Instances", json::array()).size()});
  }
  return list;
}

}  // namespace consilium::experiments
