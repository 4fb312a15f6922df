#pragma once

// Instances of hospitals that do not exist, and what tells them apart.

#include <map>
#include <string>

#include "common/base/file.h"
#include "datasets/dicom/writer.h"

namespace consilium::datasets::pacs {

struct TestInstance {
  std::string patient = "P1", accession = "A1", date = "20240110", modality = "CT";
  std::string study = "2.25.1", series = "2.25.11", instance = "2.25.111";
  std::string study_description = "CT THORAX", series_description = "AXIAL 1 mm";
  int number = 1;
};

// A data set of 32x32 pixels in implicit VR little endian: with what an archive is searched for.
Bytes DataSetOf(const TestInstance& instance);
// The same as a file.
void WriteInstance(const fs::path& path, const TestInstance& instance);
// A phantom of 64x64 pixels as our own writer writes it.
void WritePhantom(const fs::path& path, dicom::TransferSyntax syntax, int number);

// Of all DICOM files below a folder: SOP instance UID to the SHA-256 of the stored pixels, and to
// the transfer syntax.
std::map<std::string, std::string> PixelHashes(const fs::path& folder);
std::map<std::string, std::string> TransferSyntaxes(const fs::path& folder);
// Files below a folder, hidden ones left out.
std::vector<fs::path> FilesBelow(const fs::path& folder);

inline const std::string kCtClass = "1.2.840.10008.5.1.4.1.1.2";

}  // namespace consilium::datasets::pacs
