#include "datasets/volumes/pet_header.h"

#include "common/base/text.h"

namespace consilium::datasets::volumes {
namespace {

using dicom::DataSet;
using dicom::Tag;

std::string Joined(const std::vector<std::string>& values) {
  std::string joined;
  for (const std::string& value : values) StrAppend(&joined, value, "\\");
  return joined;
}

// The private elements of Philips's PET (7053,xxyy), behind whichever block they reserved.
std::optional<double> PhilipsFactor(const DataSet& data_set, std::uint16_t element) {
  for (std::uint16_t block = 0x10; block <= 0xff; ++block) {
    if (data_set.Text(Tag(0x7053, block)) != "Philips PET Private Group") continue;
    return data_set.Number(Tag(0x7053, static_cast<std::uint16_t>(block << 8 | element)));
  }
  return std::nullopt;
}

}  // namespace

PetHeader ReadPetHeader(const DataSet& data_set) {
  PetHeader pet;
  pet.units = data_set.Text(Tag(0x0054, 0x1001));
  pet.suv_type = data_set.Text(Tag(0x0054, 0x1006));
  pet.corrected_image = Joined(data_set.Texts(Tag(0x0028, 0x0051)));
  pet.decay_correction = data_set.Text(Tag(0x0054, 0x1102));
  pet.weight_kg = data_set.Number(Tag(0x0010, 0x1030));
  const DataSet pharmaceutical = data_set.FirstItem(Tag(0x0054, 0x0016));
  pet.injected_dose_bq = pharmaceutical.Number(Tag(0x0018, 0x1074));
  pet.half_life_s = pharmaceutical.Number(Tag(0x0018, 0x1075));
  pet.injection_time = pharmaceutical.Text(Tag(0x0018, 0x1072));
  pet.injection_date_time = pharmaceutical.Text(Tag(0x0018, 0x1078));
  pet.series_date = data_set.Text(Tag(0x0008, 0x0021));
  pet.series_time = data_set.Text(Tag(0x0008, 0x0031));
  pet.acquisition_date = data_set.Text(Tag(0x0008, 0x0022));
  pet.acquisition_time = data_set.Text(Tag(0x0008, 0x0032));
  pet.frame_reference_time_ms = data_set.Number(Tag(0x0054, 0x1300));
  pet.frame_duration_ms = data_set.Number(Tag(0x0018, 0x1242));
  pet.philips_suv_factor = PhilipsFactor(data_set, 0x00);
  pet.philips_activity_factor = PhilipsFactor(data_set, 0x09);
  return pet;
}

}  // namespace consilium::datasets::volumes
