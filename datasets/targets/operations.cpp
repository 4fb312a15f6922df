#include "datasets/targets/operations.h"

#include "datasets/dicom/library.h"
#include "datasets/targets/image_mask.h"
#include "datasets/targets/target_message.h"

namespace consilium::datasets::targets {
namespace {

OrRefused<Bytes> SummariseSegmentation(ByteView, std::vector<File> files) {
  const auto read = Segmentation::Open(std::move(files.at(0)));
  if (!read.ok()) return read.refused();
  return Encode(SegmentationSummary{read->kind(), read->segments(), read->referenced_series(),
                                    read->frame_of_reference(), read->referenced_instances()});
}

OrRefused<Bytes> MaskOfSegment(ByteView arguments, std::vector<File> files) {
  const auto request = DecodeMaskRequest(arguments);
  if (!request) return Refused{Refusal::kUnreadable, "the pool asks for what is not known"};
  auto read = Segmentation::Open(std::move(files.at(0)));
  if (!read.ok()) return read.refused();
  auto mask = read->ReadMask(request->number, request->grid, request->frame_of_reference,
                             request->threshold);
  if (!mask.ok()) return mask.refused();
  return std::move(mask->voxels);
}

OrRefused<Bytes> MaskOfImage(ByteView arguments, std::vector<File> files) {
  const auto request = DecodePlacedMaskRequest(arguments);
  if (!request) return Refused{Refusal::kUnreadable, "the pool asks for what is not known"};
  auto image = dicom::ImageFile::Open(std::move(files.at(0)));
  if (!image.ok()) return image.refused();
  std::vector<Outlines> outlines;
  for (std::size_t i = 1; i < files.size(); ++i) {
    auto one = Outlines::Open(std::move(files[i]));
    if (!one.ok()) return one.refused();
    outlines.push_back(*std::move(one));
  }
  const auto mask = ReadPlacedMask(*image, outlines, request->structures, request->preprocessing);
  if (!mask.ok()) return mask.refused();
  return Encode(*mask);
}

OrRefused<Bytes> SummariseStructureSet(ByteView, std::vector<File> files) {
  const auto read = StructureSet::Open(std::move(files.at(0)));
  if (!read.ok()) return read.refused();
  return Encode(StructureSetSummary{read->regions(), read->referenced_series()});
}

OrRefused<Bytes> MaskOfRegion(ByteView arguments, std::vector<File> files) {
  const auto request = DecodeMaskRequest(arguments);
  if (!request) return Refused{Refusal::kUnreadable, "the pool asks for what is not known"};
  const auto read = StructureSet::Open(std::move(files.at(0)));
  if (!read.ok()) return read.refused();
  auto mask =
      read->ReadMask(static_cast<int>(request->number), request->grid, request->frame_of_reference);
  if (!mask.ok()) return mask.refused();
  return std::move(mask->voxels);
}

OrRefused<Bytes> SummariseOutlines(ByteView, std::vector<File> files) {
  const auto read = Outlines::Open(std::move(files.at(0)));
  if (!read.ok()) return read.refused();
  return Encode(OutlinesSummary{read->structures(), read->referenced_instances()});
}

OrRefused<Bytes> MaskOfOutline(ByteView arguments, std::vector<File> files) {
  const auto request = DecodeMaskRequest(arguments);
  if (!request) return Refused{Refusal::kUnreadable, "the pool asks for what is not known"};
  auto read = Outlines::Open(std::move(files.at(0)));
  if (!read.ok()) return read.refused();
  auto mask = read->ReadMask(request->number, request->grid, request->frame_of_reference);
  if (!mask.ok()) return mask.refused();
  return std::move(mask->voxels);
}

OrRefused<Bytes> WholeReport(ByteView, std::vector<File> files) {
  const auto report = ReadReport(std::move(files.at(0)));
  if (!report.ok()) return report.refused();
  return Encode(*report);
}

}  // namespace

void AddOperations(worker::Operations& operations) {
  operations.Add(kReadSegmentation, SummariseSegmentation, dicom::InitialiseLibrary);
  operations.Add(kReadSegment, MaskOfSegment);
  operations.Add(kReadPlacedMask, MaskOfImage);
  operations.Add(kReadStructureSet, SummariseStructureSet);
  operations.Add(kReadRegion, MaskOfRegion);
  operations.Add(kReadOutlines, SummariseOutlines, dicom::InitialiseLibrary);
  operations.Add(kReadOutline, MaskOfOutline);
  operations.Add(kReadReport, WholeReport);
}

}  // namespace consilium::datasets::targets
