#pragma once

// Standardised uptake values by body weight, after the vendor-neutral pseudo-code of the QIBA
// FDG-PET/CT profile. Pure and thread-safe.

#include <optional>
#include <string>

#include "datasets/refusal.h"

namespace consilium::datasets::volumes {

// What the header of a PET image says. Dates are "YYYYMMDD", times "HHMMSS.FFFFFF" (PS3.5 6.2),
// date-times both in one, as the file has them.
struct PetHeader {
  std::string units;                       // (0054,1001): BQML, GML, CNTS ...
  std::string suv_type;                    // (0054,1006), of GML; empty means BW
  std::string corrected_image;             // (0028,0051), its values with backslashes between
  std::string decay_correction;            // (0054,1102): START, ADMIN, NONE
  std::optional<double> weight_kg;         // (0010,1030)
  std::optional<double> injected_dose_bq;  // (0018,1074)
  std::optional<double> half_life_s;       // (0018,1075)
  std::string injection_time;              // (0018,1072)
  std::string injection_date_time;         // (0018,1078); wins over the time alone
  std::string series_date, series_time;    // (0008,0021), (0008,0031)
  std::string acquisition_date, acquisition_time;  // (0008,0022), (0008,0032): of the earliest
  std::optional<double> frame_reference_time_ms;   // (0054,1300) of the same image
  std::optional<double> frame_duration_ms;         // (0018,1242) of the same image
  std::optional<double> philips_suv_factor;        // (7053,xx00) of "Philips PET Private Group"
  std::optional<double> philips_activity_factor;   // (7053,xx09): to Bq/ml
};

// What to multiply modality values (after rescale) by, so that they are SUV by body weight in g/ml.
// kNoSuvFactor says which value is missing or impossible.
OrRefused<double> SuvBodyWeightFactor(const PetHeader& header);

}  // namespace consilium::datasets::volumes
