#include "datasets/results/result_object.h"

#include "common/base/text.h"
#include "datasets/dicom/writer.h"

namespace consilium::datasets::results {
namespace {

// Behind the series of scanners and workstations.
constexpr int kFirstSeriesNumber = 9900;

}  // namespace

ResultName NameOf(ResultKind kind, const ModelId& model, const SourceImage& image) {
  const int number = static_cast<int>(kind);
  const std::string prefix = StrCat("result ", number, " of model ", model.Hex(), " on ");
  return {
      .sop_instance_uid = dicom::MakeUid(StrCat(prefix, "image ", image.sop_instance_uid)),
      .series_instance_uid = dicom::MakeUid(StrCat(prefix, "series ", image.series_instance_uid)),
      .series_number = kFirstSeriesNumber + number,
      .instance_number = image.instance_number};
}

}  // namespace consilium::datasets::results
