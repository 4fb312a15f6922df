#include "datasets/results/secondary_capture_writer.h"

#include "common/base/status.h"
#include "common/base/text.h"
#include "datasets/dicom/library.h"
#include "datasets/results/object_writer.h"
// DCMTK's configuration comes before its other headers.
#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmdata/dctk.h"

namespace consilium::datasets::results {

absl::Status WriteSecondaryCapture(const fs::path& path, const SourceImage& source,
                                   const ModelDescription& model, const ResultName& name,
                                   const Picture& picture, const std::vector<FrameReference>& shown,
                                   Time now) {
  if (picture.rows == 0 || picture.columns == 0 || picture.rows > 65535 ||
      picture.columns > 65535 ||
      picture.rgb.size() != std::size_t{picture.rows} * picture.columns * 3) {
    return absl::InvalidArgumentError(StrCat("a picture of ", picture.columns, "x", picture.rows,
                                             " pixels with ", picture.rgb.size(), " bytes"));
  }
  dicom::InitialiseLibrary();
  DcmFileFormat file;
  absl::Status status = absl::OkStatus();
  Attributes out(*file.getDataset(), status);
  DescribeResult(out, source, model, name, UID_SecondaryCaptureImageStorage, "OT",
                 StrCat(model.target, " picture"), now);
  out.Text(DCM_Laterality, "");
  out.Text(DCM_ConversionType, "WSD");
  out.Text(DCM_ImageType, "DERIVED\\SECONDARY");
  out.Text(DCM_PatientOrientation, source.patient_orientation);
  out.Text(DCM_BurnedInAnnotation, "YES");
  out.Text(
      DCM_DerivationDescription,
      Plain(StrCat("What model ", NameAndVersion(model),
                   " says, drawn over the image, window applied, scaled, with burned-in text. ",
                   std::string_view(kResearchUse)),
            1024));
  out.Text(DCM_ImageComments, kResearchUse);
  for (const FrameReference& frame : shown) {
    Attributes item = out.Reference(DCM_SourceImageSequence, frame);
    item.PutCode(DCM_PurposeOfReferenceCodeSequence,
                 {"121322", "DCM", "Source image for image processing operation"});
    item.Text(DCM_SpatialLocationsPreserved, "NO");
  }
  DescribeLoss(out, source);
  out.Number(DCM_SamplesPerPixel, 3);
  out.Text(DCM_PhotometricInterpretation, "RGB");
  out.Number(DCM_PlanarConfiguration, 0);
  out.Number(DCM_Rows, picture.rows);
  out.Number(DCM_Columns, picture.columns);
  out.Number(DCM_BitsAllocated, 8);
  out.Number(DCM_BitsStored, 8);
  out.Number(DCM_HighBit, 7);
  out.Number(DCM_PixelRepresentation, 0);
  out.Samples(picture.rgb);
  return WriteObject(path, file, status);
}

}  // namespace consilium::datasets::results
