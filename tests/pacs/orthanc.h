#pragma once

// A real archive: Debian's Orthanc on loopback, with a temporary folder and ports of its own.

#include <memory>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "tests/common/temporary_folder.h"

namespace consilium::datasets::pacs {

// A port that nobody listens on at the moment.
int FreePort();

struct OrthancOptions {
  // AE title and port of each system that it knows.
  std::vector<std::pair<std::string, int>> known;
  // PEM: DICOM over TLS. Not https, at which Debian 12's Orthanc ends with a segmentation fault.
  fs::path certificate, private_key, authority;
};

class Orthanc {
 public:
  static bool Installed();  // warns when it is not
  explicit Orthanc(const OrthancOptions& options);
  ~Orthanc();

  int dicom_port() const { return dicom_port_; }
  std::string dicomweb() const;                         // the URL of its DICOMweb root
  fs::path Login() const { return folder_ / "login"; }  // USER:PASSWORD
  int Instances() const;
  // Makes it send all that it has to a system it knows. False: it could not.
  bool SendAllTo(const std::string& ae_title) const;
  // What it wrote to its log.
  std::string Log() const;

 private:
  std::string Get(const std::string& path) const;
  const TemporaryFolder folder_;
  const bool tls_;
  int http_port_ = 0, dicom_port_ = 0;
  int process_ = -1;
};

}  // namespace consilium::datasets::pacs
