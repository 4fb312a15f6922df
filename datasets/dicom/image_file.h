#pragma once

// One DICOM image file, opened once, whose frames are read one at a time: memory is needed for one
// frame, however many there are. The structure of the file is read by code of ours that allocates
// nothing on the word of a length field; decoders see only compressed frames whose claimed size has
// been checked. Refusals as in refusal.h; no function throws.

#include <cstdint>
#include <optional>
#include <vector>

#include "datasets/dicom/colour.h"
#include "datasets/dicom/data_set.h"
#include "datasets/dicom/frame_description.h"
#include "datasets/dicom/frame_table.h"
#include "datasets/dicom/overlay.h"
#include "datasets/dicom/stored_frame.h"
#include "datasets/image.h"

namespace consilium::datasets::dicom {

// Move-only in spirit: copies share the open file. One thread at a time.
class ImageFile {
 public:
  // After every check that can be made without decoding: grey or colour frames of 1 to 32 bits (or
  // of floating point), a transfer syntax that can be read, and pixel data that is all there. What
  // the header says of patient and instance is not judged.
  static OrRefused<ImageFile> Open(const fs::path& path);
  static OrRefused<ImageFile> Open(File file);
  static OrRefused<ImageFile> Open(DataSet data_set);

  const Header& header() const { return header_; }
  const DataSet& data_set() const { return data_set_; }  // for other attributes
  std::uint32_t frame_count() const { return header_.frames; }

  // `frame` counts from 0 and is below frame_count().
  OrRefused<StoredFrame> ReadStored(std::uint32_t frame);
  // The frame in modality units: rescale or modality LUT applied, with its first window or VOI LUT,
  // spacing and padding. Colour becomes luminance.
  OrRefused<Image> ReadModality(std::uint32_t frame);
  // kColourImage when it is grey, or of more than 16 bits a sample.
  OrRefused<RgbFrame> ReadRgb(std::uint32_t frame);
  OrRefused<std::vector<Overlay>> ReadOverlays(std::uint32_t frame);
  OrRefused<FrameDescription> Describe(std::uint32_t frame);

 private:
  explicit ImageFile(DataSet data_set) : data_set_(std::move(data_set)) {}
  std::optional<Refused> CheckPixels();
  OrRefused<Bytes> ReadRaw(std::uint32_t frame);     // as decoders or the file give it
  OrRefused<Bytes> ReadNative(std::uint32_t frame);  // of uncompressed pixel data
  bool native() const;
  OrRefused<RgbFrame> ToRgbFrame(const StoredFrame& frame) const;
  std::vector<bool> PaddingOf(const StoredFrame& frame) const;

  DataSet data_set_;
  Header header_;
  std::optional<FrameTable> table_;                   // of encapsulated frames
  std::optional<FunctionalGroups> groups_;            // when first asked for
  std::optional<std::pair<double, double>> padding_;  // stored values of this range are padding
};

// What the header says of the image's pixels, checked.
OrRefused<Header> ReadImageHeader(const DataSet& data_set);

}  // namespace consilium::datasets::dicom
