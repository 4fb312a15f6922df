#include "datasets/results/content.h"

#include <array>

#include "common/base/text.h"
#include "common/base/version.h"
#include "datasets/dicom/writer.h"
// DCMTK's configuration comes before its other headers.
#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmdata/dctk.h"

namespace consilium::datasets::results {
namespace {

// PS3.16 CID 29, of the modalities that Consilium reads.
constexpr std::array<std::array<std::string_view, 2>, 9> kModalities = {{
    {"CR", "Computed Radiography"},
    {"DX", "Digital Radiography"},
    {"CT", "Computed Tomography"},
    {"MR", "Magnetic Resonance"},
    {"MG", "Mammography"},
    {"US", "Ultrasound"},
    {"OP", "Ophthalmic Photography"},
    {"PT", "Positron emission tomography"},
    {"XA", "X-Ray Angiography"},
}};

}  // namespace

Code DicomCode(std::string_view value, std::string_view meaning) {
  return {std::string(value), "DCM", std::string(meaning)};
}

Code ModalityCode(std::string_view modality) {
  for (const auto& [value, meaning] : kModalities) {
    if (value == modality) return DicomCode(value, meaning);
  }
  return DicomCode("OT", "Other Modality");
}

Content Content::AddContainer(const Code& name, int template_id) {
  Content item = Add(kContains, "CONTAINER", &name);
  item.attributes_.Text(DCM_ContinuityOfContent, "SEPARATE");
  if (template_id != 0) item.UseTemplate(template_id);
  return item;
}

Content Content::AddCode(const char* relation, const Code& name, const Code& value) {
  Content item = Add(relation, "CODE", &name);
  item.attributes_.PutCode(DCM_ConceptCodeSequence, value);
  return item;
}

void Content::AddText(const char* relation, const Code& name, std::string_view value) {
  Add(relation, "TEXT", &name).attributes_.Text(DCM_TextValue, Plain(value, 1024));
}

void Content::AddUid(const char* relation, const Code& name, const std::string& uid) {
  Add(relation, "UIDREF", &name).attributes_.Text(DCM_UID, uid);
}

Content Content::AddNumber(const char* relation, const Code& name, double value, const Code& unit) {
  Content item = Add(relation, "NUM", &name);
  Attributes measured = item.attributes_.Item(DCM_MeasuredValueSequence);
  measured.Decimals(DCM_NumericValue, {value});
  measured.PutCode(DCM_MeasurementUnitsCodeSequence, unit);
  return item;
}

Content Content::AddImage(const char* relation, const Code* name, const FrameReference& image,
                          std::uint32_t segment) {
  Content item = Add(relation, "IMAGE", name);
  Attributes reference = item.attributes_.Reference(DCM_ReferencedSOPSequence, image);
  if (segment != 0) reference.Number(DCM_ReferencedSegmentNumber, segment);
  return item;
}

void Content::AddLine(const char* relation, const std::vector<float>& points,
                      const FrameReference& image, const Code& name) {
  Content item = Add(relation, "SCOORD", name.empty() ? nullptr : &name);
  item.attributes_.Text(DCM_GraphicType, "POLYLINE");
  item.attributes_.Floats(DCM_GraphicData, points);
  item.AddImage(kSelectedFrom, nullptr, image);
}

void Content::UseTemplate(int id) {
  Attributes item = attributes_.Item(DCM_ContentTemplateSequence);
  item.Text(DCM_MappingResource, "DCMR");
  item.Text(DCM_TemplateIdentifier, StrCat(id));
}

Content Content::Add(const char* relation, const char* type, const Code* name) {
  Attributes item = attributes_.Item(DCM_ContentSequence);
  item.Text(DCM_RelationshipType, relation);
  item.Text(DCM_ValueType, type);
  if (name != nullptr) item.PutCode(DCM_ConceptNameCodeSequence, *name);
  return Content(item);
}

void AddObserver(Content& root, const ModelDescription& model) {
  const bool is_model = model.id != ModelId();
  const std::string name = is_model ? NameAndVersion(model) : Plain(model.name);
  root.AddCode(kObservedIn, DicomCode("121005", "Observer Type"), DicomCode("121007", "Device"));
  root.AddUid(
      kObservedIn, DicomCode("121012", "Device Observer UID"),
      dicom::MakeUid(is_model ? StrCat("model ", model.id.Hex())
                              : StrCat("program ", model.name, " ", std::string_view(kVersion))));
  root.AddText(kObservedIn, DicomCode("121013", "Device Observer Name"), name);
  root.AddText(kObservedIn, DicomCode("121014", "Device Observer Manufacturer"), "Consilium");
  root.AddText(kObservedIn, DicomCode("121015", "Device Observer Model Name"), model.name);
  if (is_model) {
    root.AddText(kObservedIn, DicomCode("121016", "Device Observer Serial Number"), model.id.Hex());
  }
}

}  // namespace consilium::datasets::results
