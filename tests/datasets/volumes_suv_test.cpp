#include <cmath>

#include "datasets/volumes/suv.h"
#include "tests/catch.h"

namespace consilium::datasets::volumes {
namespace {

// FDG, 350 MBq into 70 kg, scanned an hour later.
PetHeader Fdg() {
  PetHeader header;
  header.units = "BQML";
  header.corrected_image = "NORM\\DTIM\\ATTN\\SCAT\\DECY\\RAN";
  header.decay_correction = "START";
  header.weight_kg = 70;
  header.injected_dose_bq = 350e6;
  header.half_life_s = 6586.2;
  header.injection_time = "101500.00";
  header.series_date = header.acquisition_date = "20240229";
  header.series_time = "111500";
  header.acquisition_time = "111500.000";
  return header;
}

double Factor(const PetHeader& header) {
  const auto factor = SuvBodyWeightFactor(header);
  INFO((factor.ok() ? std::string() : factor.refused().detail));
  REQUIRE(factor.ok());
  return *factor;
}

std::string WhyNot(const PetHeader& header) {
  const auto factor = SuvBodyWeightFactor(header);
  REQUIRE_FALSE(factor.ok());
  CHECK(factor.refused().reason == Refusal::kNoSuvFactor);
  return factor.refused().detail;
}

constexpr double kHourLeft = 0.68462;  // 2^(-3600 / 6586.2)

TEST_CASE("Bq/ml corrected to the start of the scan: the dose decays until then") {
  CHECK(Factor(Fdg()) == Approx(70e3 / (350e6 * kHourLeft)).epsilon(1e-4));
}

TEST_CASE("Bq/ml corrected to the administration: the dose is taken as it was injected") {
  PetHeader header = Fdg();
  header.decay_correction = "ADMIN";
  header.injection_time = "";
  CHECK(Factor(header) == Approx(2e-4));
}

TEST_CASE("an injection before midnight and a scan after it are an hour apart") {
  PetHeader header = Fdg();
  header.injection_time = "233000";
  header.series_time = header.acquisition_time = "003000";
  CHECK(Factor(header) == Approx(70e3 / (350e6 * kHourLeft)).epsilon(1e-4));
  header.injection_date_time = "20240228233000.000000";
  CHECK(Factor(header) == Approx(70e3 / (350e6 * kHourLeft)).epsilon(1e-4));
}

TEST_CASE("a series that was made after the acquisition counts from the acquisition") {
  PetHeader header = Fdg();
  header.series_time = "150000";
  CHECK_THAT(WhyNot(header), ContainsText("frame reference time"));
  // The first bed position: the average count rate of its 2 minutes falls just before their middle.
  header.frame_duration_ms = 120000;
  header.frame_reference_time_ms = 59900;
  CHECK(Factor(header) == Approx(70e3 / (350e6 * kHourLeft)).epsilon(1e-4));
}

TEST_CASE("later bed positions count from the series, which began before them") {
  PetHeader header = Fdg();
  header.acquisition_time = "112800";
  CHECK(Factor(header) == Approx(70e3 / (350e6 * kHourLeft)).epsilon(1e-4));
}

TEST_CASE("g/ml are uptake values already, if by body weight") {
  PetHeader header;
  header.units = "GML";
  CHECK(Factor(header) == 1);
  header.suv_type = "BW";
  CHECK(Factor(header) == 1);
  header.suv_type = "LBM";
  CHECK_THAT(WhyNot(header), ContainsText("not by body weight"));
}

TEST_CASE("Philips's counts take its private factor") {
  PetHeader header = Fdg();
  header.units = "CNTS";
  CHECK_THAT(WhyNot(header), ContainsText("without a private scale factor"));
  header.philips_activity_factor = 2.5;
  CHECK(Factor(header) == Approx(2.5 * 70e3 / (350e6 * kHourLeft)).epsilon(1e-4));
  header.philips_suv_factor = 0.000442;
  CHECK(Factor(header) == 0.000442);
  header.philips_suv_factor = 0;
  CHECK(Factor(header) != 0);
}

TEST_CASE("each missing or impossible value is named") {
  const auto without = [](auto change) {
    PetHeader header = Fdg();
    change(header);
    return WhyNot(header);
  };
  CHECK_THAT(without([](auto& h) { h.units = "PROPCPS"; }), ContainsText("units"));
  CHECK_THAT(without([](auto& h) { h.corrected_image = "DECY"; }), ContainsText("attenuation"));
  CHECK_THAT(without([](auto& h) { h.corrected_image = "ATTN"; }), ContainsText("for decay"));
  CHECK_THAT(without([](auto& h) { h.decay_correction = "NONE"; }), ContainsText("neither START"));
  CHECK_THAT(without([](auto& h) { h.weight_kg.reset(); }), ContainsText("weight"));
  CHECK_THAT(without([](auto& h) { h.weight_kg = 0; }), ContainsText("weight"));
  CHECK_THAT(without([](auto& h) { h.injected_dose_bq = 0; }), ContainsText("dose"));
  CHECK_THAT(without([](auto& h) { h.injected_dose_bq = 350; }), ContainsText("not in Bq"));
  CHECK_THAT(without([](auto& h) { h.half_life_s = std::nan(""); }), ContainsText("half-life"));
  CHECK_THAT(without([](auto& h) { h.half_life_s = 1; }), ContainsText("decayed to nothing"));
  CHECK_THAT(without([](auto& h) { h.injection_time = "noon"; }), ContainsText("injection"));
  CHECK_THAT(without([](auto& h) { h.acquisition_time = ""; }), ContainsText("acquisition time"));
  CHECK_THAT(without([](auto& h) { h.injection_date_time = "20240227101500"; }),
             ContainsText("2940 minutes"));
}

}  // namespace
}  // namespace consilium::datasets::volumes
