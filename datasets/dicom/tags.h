#pragma once

#include <cstdint>

#include "datasets/dicom/data_set.h"

// PS3.6: the attributes that the reader of images asks for.
namespace consilium::datasets::dicom::tags {

inline constexpr std::uint32_t kSopClassUid = Tag(0x0008, 0x0016);
inline constexpr std::uint32_t kSopInstanceUid = Tag(0x0008, 0x0018);
inline constexpr std::uint32_t kStudyDate = Tag(0x0008, 0x0020);
inline constexpr std::uint32_t kModality = Tag(0x0008, 0x0060);
inline constexpr std::uint32_t kManufacturer = Tag(0x0008, 0x0070);
inline constexpr std::uint32_t kCodeValue = Tag(0x0008, 0x0100);
inline constexpr std::uint32_t kManufacturerModelName = Tag(0x0008, 0x1090);
inline constexpr std::uint32_t kPatientId = Tag(0x0010, 0x0020);
inline constexpr std::uint32_t kPatientBirthDate = Tag(0x0010, 0x0030);
inline constexpr std::uint32_t kPatientSex = Tag(0x0010, 0x0040);
inline constexpr std::uint32_t kPatientAge = Tag(0x0010, 0x1010);
inline constexpr std::uint32_t kBodyPartExamined = Tag(0x0018, 0x0015);
inline constexpr std::uint32_t kSliceThickness = Tag(0x0018, 0x0050);
inline constexpr std::uint32_t kImagerPixelSpacing = Tag(0x0018, 0x1164);
inline constexpr std::uint32_t kNominalScannedPixelSpacing = Tag(0x0018, 0x2010);
inline constexpr std::uint32_t kViewPosition = Tag(0x0018, 0x5101);
inline constexpr std::uint32_t kStudyInstanceUid = Tag(0x0020, 0x000d);
inline constexpr std::uint32_t kSeriesInstanceUid = Tag(0x0020, 0x000e);
inline constexpr std::uint32_t kImagePositionPatient = Tag(0x0020, 0x0032);
inline constexpr std::uint32_t kImageOrientationPatient = Tag(0x0020, 0x0037);
inline constexpr std::uint32_t kLaterality = Tag(0x0020, 0x0060);
inline constexpr std::uint32_t kImageLaterality = Tag(0x0020, 0x0062);
inline constexpr std::uint32_t kPlanePositionSequence = Tag(0x0020, 0x9113);
inline constexpr std::uint32_t kPlaneOrientationSequence = Tag(0x0020, 0x9116);
inline constexpr std::uint32_t kSamplesPerPixel = Tag(0x0028, 0x0002);
inline constexpr std::uint32_t kPhotometricInterpretation = Tag(0x0028, 0x0004);
inline constexpr std::uint32_t kPlanarConfiguration = Tag(0x0028, 0x0006);
inline constexpr std::uint32_t kNumberOfFrames = Tag(0x0028, 0x0008);
inline constexpr std::uint32_t kRows = Tag(0x0028, 0x0010);
inline constexpr std::uint32_t kColumns = Tag(0x0028, 0x0011);
inline constexpr std::uint32_t kPixelSpacing = Tag(0x0028, 0x0030);
inline constexpr std::uint32_t kBitsAllocated = Tag(0x0028, 0x0100);
inline constexpr std::uint32_t kBitsStored = Tag(0x0028, 0x0101);
inline constexpr std::uint32_t kHighBit = Tag(0x0028, 0x0102);
inline constexpr std::uint32_t kPixelRepresentation = Tag(0x0028, 0x0103);
inline constexpr std::uint32_t kPixelPaddingValue = Tag(0x0028, 0x0120);
inline constexpr std::uint32_t kPixelPaddingRangeLimit = Tag(0x0028, 0x0121);
inline constexpr std::uint32_t kFloatPixelPaddingValue = Tag(0x0028, 0x0122);
inline constexpr std::uint32_t kFloatPixelPaddingRangeLimit = Tag(0x0028, 0x0124);
inline constexpr std::uint32_t kBurnedInAnnotation = Tag(0x0028, 0x0301);
inline constexpr std::uint32_t kWindowCenter = Tag(0x0028, 0x1050);
inline constexpr std::uint32_t kWindowWidth = Tag(0x0028, 0x1051);
inline constexpr std::uint32_t kRescaleIntercept = Tag(0x0028, 0x1052);
inline constexpr std::uint32_t kRescaleSlope = Tag(0x0028, 0x1053);
inline constexpr std::uint32_t kRescaleType = Tag(0x0028, 0x1054);
inline constexpr std::uint32_t kVoiLutFunction = Tag(0x0028, 0x1056);
inline constexpr std::uint32_t kModalityLutSequence = Tag(0x0028, 0x3000);
inline constexpr std::uint32_t kLutDescriptor = Tag(0x0028, 0x3002);
inline constexpr std::uint32_t kLutData = Tag(0x0028, 0x3006);
inline constexpr std::uint32_t kVoiLutSequence = Tag(0x0028, 0x3010);
inline constexpr std::uint32_t kPixelMeasuresSequence = Tag(0x0028, 0x9110);
inline constexpr std::uint32_t kFrameVoiLutSequence = Tag(0x0028, 0x9132);
inline constexpr std::uint32_t kPixelValueTransformationSequence = Tag(0x0028, 0x9145);
inline constexpr std::uint32_t kMeasurementUnitsCodeSequence = Tag(0x0040, 0x08ea);
inline constexpr std::uint32_t kRealWorldValueMappingSequence = Tag(0x0040, 0x9096);
inline constexpr std::uint32_t kRealWorldValueLastValueMapped = Tag(0x0040, 0x9211);
inline constexpr std::uint32_t kRealWorldValueLutData = Tag(0x0040, 0x9212);
inline constexpr std::uint32_t kDoubleFloatRealWorldValueLastValueMapped = Tag(0x0040, 0x9213);
inline constexpr std::uint32_t kDoubleFloatRealWorldValueFirstValueMapped = Tag(0x0040, 0x9214);
inline constexpr std::uint32_t kRealWorldValueFirstValueMapped = Tag(0x0040, 0x9216);
inline constexpr std::uint32_t kRealWorldValueIntercept = Tag(0x0040, 0x9224);
inline constexpr std::uint32_t kRealWorldValueSlope = Tag(0x0040, 0x9225);
inline constexpr std::uint32_t kSharedFunctionalGroupsSequence = Tag(0x5200, 0x9229);
inline constexpr std::uint32_t kPerFrameFunctionalGroupsSequence = Tag(0x5200, 0x9230);

}  // namespace consilium::datasets::dicom::tags
