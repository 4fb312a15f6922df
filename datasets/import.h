#pragma once

// Research sets come as PNG, JPEG or NIfTI files with a table of labels and perhaps masks; this
// makes DICOM images, SEG objects and labels.csv of them.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/progress.h"

namespace consilium::datasets {

// One plane as it stood in an image file.
struct Plane {
  std::uint32_t rows = 0, columns = 0;
  // Pixel by pixel, row by row: whole numbers from 0 for PNG and JPEG; any for NIfTI.
  std::vector<float> values;
  int bits = 8;  // 8 or 16 for PNG and JPEG; 0: real numbers, to be scaled
  double row_spacing_mm = 0, column_spacing_mm = 0;  // 0: not known
  int samples = 1;                                   // of a pixel, side by side; 3: colour
};

struct PlaneChoice {
  int channel = -1;     // of a colour image, from 0; -1: its luminance (ITU-R BT.601)
  int slice = -1;       // of a volume, along its third axis from 0; -1: the middle one
  bool colour = false;  // all three channels, 8 bits each, of PNG or JPEG
};

// Reads .png, .jpg, .jpeg, .nii or .nii.gz, by the file's name. kInvalidArgument for what is
// damaged, too large (more than 128 megapixels) or another format.
absl::StatusOr<Plane> ReadPlane(const fs::path& path, const PlaneChoice& choice);

// How a volume is cut into slices.
enum class SlicePlane { kAsItLies, kAxial, kCoronal, kSagittal };

struct ImportFilter {
  std::string column, value;
};

struct ImportOptions {
  fs::path from;             // the images' folder
  fs::path table;            // CSV; one row an image
  std::string image_column;  // path below `from`
  std::string label_column;
  std::string patient_column;         // empty: every image is a patient of its own
  std::vector<ImportFilter> filters;  // only rows where every column has its value
  double label_threshold = 0;         // with has_threshold: the label is 1 above it
  bool has_threshold = false;         // else the label column holds 0 and 1, or, with
  bool label_words = false;           // this, words, which become the labels as they are
  std::string target = "label";       // column of the new labels.csv
  std::string modality;               // MR CT CR DX MG US OP
  PlaneChoice plane;
  // The images are NIfTI volumes, each of which becomes a whole series, cut along the patient's
  // axis that is nearest to the plane's normal. Then label_column may be empty (no labels.csv).
  bool volumes = false;
  SlicePlane slices = SlicePlane::kAsItLies;  // in the planes of the file's first two axes
  double spacing_mm = 0;  // of pixels, where the image's file does not say it; 0: not known
  // The mask's path below `from`, PNG or NIfTI of the image's size; a row without one has no SEG
  // object. Empty: no masks.
  std::string mask_column;
  // Labels of the masks' segments. One: where a mask is not 0. Several: where it is 1, 2 ...
  std::vector<std::string> segments;
  fs::path out;
  unsigned threads = 0;
};

struct ImportReport {
  std::uint64_t images = 0, patients = 0, positives = 0;
  std::uint64_t masks = 0;          // SEG objects
  std::uint64_t without_label = 0;  // rows with an empty label are left out
  // Of volumes: rows whose image is not there, which are left out, and whose mask is not there.
  std::uint64_t without_image = 0, without_mask = 0;
};

// Writes OUT/PATIENT/N.dcm, of masks OUT/PATIENT/N-mask.dcm, and OUT/labels.csv, keyed by SOP
// instance UID; of volumes OUT/PATIENT/N/0001.dcm ..., and labels keyed by series instance UID.
// Colour images of MR, CT, CR, DX and MG, whose image classes are grey, become Secondary Captures
// (PS3.3 A.8) of the same modality. A mask becomes a SEG object that references its image and has
// each of the segments, an empty one too, drawn by hand (MANUAL). UIDs come of the patient and the
// image's path, and dates of objects are fixed, so the same import gives the same files.
// kInvalidArgument names the line of the table and the value; kAlreadyExists when OUT holds
// something already.
absl::StatusOr<ImportReport> ImportImages(const ImportOptions& options, Progress& progress);

}  // namespace consilium::datasets
