#include "datasets/results/result_object.h"

#include "common/base/text.h"
#include "datasets/dicom/writer.h"

namespace consilium::datasets::results {
namespace {

// Behind the series of scanners and workstations.
constexpr int kFirstSeriesNumber = 9900;

std::string PrefixOf(ResultKind kind, const ModelId& model) {
  return StrCat("result ", static_cast<int>(kind), " of model ", model.Hex(), " on ");
}

}  // namespace

std::string AlgorithmName(const ModelDescription& model) {
  return model.personal.empty() ? model.name : StrCat(model.name, " (personal)");
}

ResultName NameOf(ResultKind kind, const ModelId& model, const SourceImage& image) {
  const std::string prefix = PrefixOf(kind, model);
  return {
      .sop_instance_uid = dicom::MakeUid(StrCat(prefix, "image ", image.sop_instance_uid)),
      .series_instance_uid = dicom::MakeUid(StrCat(prefix, "series ", image.series_instance_uid)),
      .series_number = kFirstSeriesNumber + static_cast<int>(kind),
      .instance_number = image.instance_number};
}

ResultName NameOf(ResultKind kind, const ModelId& model, const SourceImage& image,
                  const Digest& instances) {
  ResultName name = NameOf(kind, model, image);
  name.sop_instance_uid =
      dicom::MakeUid(StrCat(PrefixOf(kind, model), "instances ", instances.Hex()));
  name.instance_number = 1;
  return name;
}

}  // namespace consilium::datasets::results
