#include "tests/pacs/orthanc.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <httplib.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "common/base/text.h"
#include "tests/catch.h"

namespace consilium::datasets::pacs {
namespace {

using Json = nlohmann::json;

constexpr char kPlugin[] = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so";

std::string Program() {
  for (const char* path : {"/usr/sbin/Orthanc", "/usr/bin/Orthanc"}) {
    if (access(path, X_OK) == 0) return path;
  }
  return "";
}

}  // namespace

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

bool Orthanc::Installed() {
  if (!Program().empty() && access(kPlugin, R_OK) == 0) return true;
  WARN("skipped: Debian's packages orthanc and orthanc-dicomweb are not installed");
  return false;
}

Orthanc::Orthanc(const OrthancOptions& options)
    : tls_(!options.certificate.empty()), http_port_(FreePort()), dicom_port_(FreePort()) {
  Json known = Json::object();
  for (const auto& [title, port] : options.known) {
    known[title] = {{"AET", title}, {"Host", "127.0.0.1"}, {"Port", port}, {"UseDicomTls", tls_}};
  }
  Json config = {{"StorageDirectory", folder_ / "db"},
                 {"IndexDirectory", folder_ / "db"},
                 {"Plugins", {kPlugin}},
                 {"DicomWeb", {{"Enable", true}, {"Root", "/dicom-web/"}}},
                 {"HttpPort", http_port_},
                 {"DicomPort", dicom_port_},
                 {"DicomAet", "ORTHANC"},
                 {"DicomCheckCalledAet", true},
                 {"DicomAlwaysAllowEcho", false},
                 {"DicomAlwaysAllowStore", false},
                 {"DicomModalities", known},
                 {"AuthenticationEnabled", true},
                 {"RegisteredUsers", {{"tester", "open sesame"}}},
                 {"UnknownSopClassAccepted", false},
                 {"SaveJobs", false},
                 {"SyncStorageArea", false},
                 {"DicomAssociationCloseDelay", 1}};
  if (tls_) {
    config["DicomTlsEnabled"] = true;
    config["DicomTlsCertificate"] = options.certificate;
    config["DicomTlsPrivateKey"] = options.private_key;
    config["DicomTlsTrustedCertificates"] = options.authority;
  }
  const fs::path file = folder_ / "orthanc.json";
  REQUIRE(EnsureFolder(folder_ / "db").ok());
  REQUIRE(WriteFileDurably(file, config.dump(2)).ok());
  REQUIRE(WriteFileDurably(Login(), std::string_view("tester:open sesame\n")).ok());
  process_ = fork();
  if (process_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int log = open((folder_ / "log").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execl(Program().c_str(), "Orthanc", file.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  for (int wait = 0; wait < 1200; ++wait) {
    if (!Get("/system").empty()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  FAIL("Orthanc does not start: " << Log());
}

Orthanc::~Orthanc() {
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
}

std::string Orthanc::dicomweb() const {
  return StrCat("http://127.0.0.1:", http_port_, "/dicom-web");
}

std::string Orthanc::Get(const std::string& path) const {
  httplib::Client client("127.0.0.1", http_port_);
  client.set_basic_auth("tester", "open sesame");
  const auto answer = client.Get(path);
  return answer && answer->status == 200 ? answer->body : "";
}

int Orthanc::Instances() const { return static_cast<int>(Json::parse(Get("/instances")).size()); }

bool Orthanc::SendAllTo(const std::string& ae_title) const {
  httplib::Client client("127.0.0.1", http_port_);
  client.set_basic_auth("tester", "open sesame");
  client.set_read_timeout(30);
  const auto answer = client.Post(StrCat("/modalities/", ae_title, "/store"), Get("/instances"),
                                  "application/json");
  return answer && answer->status == 200;
}

std::string Orthanc::Log() const {
  const auto text = ReadTextFile(folder_ / "log");
  return text.ok() ? *text : "";
}

}  // namespace consilium::datasets::pacs
