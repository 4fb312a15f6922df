#pragma once

// A hospital's archive on this machine: Debian's Orthanc, on loopback, with a folder, a password
// and ports of its own.

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "experiments/process.h"

namespace consilium::experiments {

// One series of the archive, as its REST interface tells it.
struct ArchivedSeries {
  std::string modality, description;
  std::uint64_t instances = 0;
};

// One thread (see process.h); the archive ends with it.
class Orthanc {
 public:
  static constexpr char kTitle[] = "ORTHANC";

  // False: Debian's packages orthanc and orthanc-dicomweb are not installed.
  static bool Installed();
  // Starts it in `folder`, which is made. `known`: the AE titles that may ask and send. Plain http:
  // Debian 12's Orthanc ends with a segmentation fault at https. kNotFound when it is not
  // installed.
  static absl::StatusOr<Orthanc> Start(const fs::path& folder,
                                       const std::vector<std::string>& known);

  std::string dicom_address() const;                    // "127.0.0.1:11112"
  std::string dicomweb() const;                         // the URL of its DICOMweb root
  fs::path login() const { return folder_ / "login"; }  // USER:PASSWORD

  absl::StatusOr<std::vector<ArchivedSeries>> ListSeries() const;

 private:
  Orthanc(fs::path folder, int dicom_port, int http_port, Process process)
      : folder_(std::move(folder)),
        dicom_port_(dicom_port),
        http_port_(http_port),
        process_(std::move(process)) {}
  absl::StatusOr<std::string> Get(const std::string& path) const;

  fs::path folder_;
  int dicom_port_, http_port_;
  Process process_;
};

}  // namespace consilium::experiments
