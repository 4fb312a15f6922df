#include "datasets/synthetic/phantom.h"

#include <array>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"

namespace consilium::datasets::synthetic {
namespace {

struct KindName {
  PhantomKind kind;
  std::string_view name, finding;
};
constexpr std::array<KindName, 7> kKinds = {{
    {PhantomKind::kCt, "ct", "liver_lesion"},
    {PhantomKind::kMr, "mr", "white_matter_lesion"},
    {PhantomKind::kUltrasound, "us", "cyst"},
    {PhantomKind::kMammography, "mg", "mass"},
    {PhantomKind::kRetina, "op", "haemorrhage"},
    {PhantomKind::kPet, "pt", "uptake"},
    {PhantomKind::kPetCt, "pet-ct", "uptake"},
}};

}  // namespace

absl::StatusOr<PhantomKind> PhantomKindNamed(std::string_view name) {
  for (const KindName& kind : kKinds) {
    if (kind.name == name) return kind.kind;
  }
  return absl::InvalidArgumentError(StrCat("there is no phantom \"", name, "\"; there are ",
                                           absl::StrJoin(PhantomKindNames(), ", ")));
}

std::vector<std::string> PhantomKindNames() {
  std::vector<std::string> names;
  for (const KindName& kind : kKinds) names.emplace_back(kind.name);
  return names;
}

std::string_view Finding(PhantomKind kind) {
  return kKinds[static_cast<std::size_t>(kind)].finding;
}

std::vector<PhantomImage> DrawPhantom(PhantomKind kind, const PhantomPatient& patient,
                                      const Machine& machine, bool burned_in,
                                      SeededRandom& random) {
  switch (kind) {
    case PhantomKind::kCt:
      return DrawBodyCt(patient, machine, random);
    case PhantomKind::kMr:
      return DrawHeadMr(patient, machine, random);
    case PhantomKind::kUltrasound:
      return DrawUltrasound(patient, machine, burned_in, random);
    case PhantomKind::kMammography:
      return DrawMammograms(patient, machine, random);
    case PhantomKind::kRetina:
      return DrawFundus(patient, machine, random);
    case PhantomKind::kPet:
      return DrawBodyPet(patient, machine, false, random);
    case PhantomKind::kPetCt:
      return DrawBodyPet(patient, machine, true, random);
  }
  CONSILIUM_CHECK(false);
}

dicom::NewInstance NewPhantomInstance(std::string_view modality, const PhantomPatient& patient,
                                      const Machine& machine, std::string_view series,
                                      int instance_number) {
  dicom::NewInstance instance;
  instance.modality = std::string(modality);
  instance.patient_id = patient.id;
  instance.study_instance_uid = dicom::MakeUid(StrCat(patient.origin, "/study"));
  instance.series_instance_uid = dicom::MakeUid(StrCat(patient.origin, "/", series));
  instance.sop_instance_uid =
      dicom::MakeUid(StrCat(patient.origin, "/", series, "/", instance_number));
  instance.instance_number = instance_number;
  instance.manufacturer = machine.manufacturer;
  instance.model = machine.model;
  instance.description = StrCat("Synthetic ", modality, " phantom");
  instance.attributes = {
      {"PatientSex", patient.sex},
      {"PatientBirthDate", patient.birth_date},
      {"PatientAge", absl::StrFormat("%03dY", patient.age_years)},
      {"PatientWeight", absl::StrFormat("%.1f", patient.weight_kg)},
      {"StudyDate", patient.study_date},
      {"StudyTime", patient.study_time},
      {"SeriesDate", patient.study_date},
      {"SeriesTime", patient.study_time},
      {"AcquisitionDate", patient.study_date},
      {"AcquisitionTime", patient.study_time},
      {"ContentDate", patient.study_date},
      {"ContentTime", patient.study_time},
  };
  return instance;
}

}  // namespace consilium::datasets::synthetic
