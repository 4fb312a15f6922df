#pragma once

// What a result takes over from the image that it is about. A result goes back to the archive that
// the image came from, so patient and study are the image's own, byte by byte: nothing here may be
// shown, logged or sent anywhere else.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "datasets/dicom/data_set.h"
#include "datasets/refusal.h"
#include "datasets/volumes/geometry.h"

namespace consilium::datasets::results {

// A text element as the file has it, in the file's character set.
struct CopiedElement {
  std::uint32_t tag = 0;
  std::string value;
};

// Whether a result may take over this element.
bool IsTakenOver(std::uint32_t tag);

struct SourceImage {
  std::string sop_class_uid, sop_instance_uid, series_instance_uid, study_instance_uid;
  std::string modality;
  std::uint32_t rows = 0, columns = 0, frames = 1;
  int instance_number = 1;
  bool lossy = false;                     // it was compressed with loss at some time (0028,2110)
  std::string lossy_ratio, lossy_method;  // as the file says them; empty: it does not
  std::string patient_orientation;
  double slice_thickness_mm = 0;  // 0: not said
  // Of an image with one frame that says where it lies in the patient: one slice.
  std::optional<volumes::Grid> plane;
  std::string frame_of_reference, position_reference_indicator;
  // The patient and general study modules (PS3.3 C.7.1.1, C.7.2.1, C.7.2.2) and the character set.
  std::vector<CopiedElement> patient_and_study;
};

// kMissingSopInstanceUid without the UIDs that a reference needs; kNoPixelData for what is no
// image.
OrRefused<SourceImage> ReadSourceImage(const dicom::DataSet& data_set);
OrRefused<SourceImage> ReadSourceImage(const fs::path& path);

// One frame of an image that a plane of a result was made from.
struct FrameReference {
  std::string sop_class_uid, sop_instance_uid;
  std::uint32_t frame = 0;  // from 1; 0: the image has one frame
};
// `frame` counts from 0.
FrameReference ReferenceTo(const SourceImage& image, std::uint32_t frame = 0);

}  // namespace consilium::datasets::results
