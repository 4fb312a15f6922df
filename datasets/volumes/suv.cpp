#include "datasets/volumes/suv.h"

#include <chrono>
#include <cmath>
#include <numbers>

#include "common/base/text.h"

namespace consilium::datasets::volumes {
namespace {

constexpr double kDaySeconds = 86400;

Refused No(std::string why) { return {Refusal::kNoSuvFactor, std::move(why)}; }

// The number in `count` digits of `text` from `at`; -1 when they are not all digits.
int Digits(const std::string& text, std::size_t at, std::size_t count) {
  if (text.size() < at + count) return -1;
  int number = 0;
  for (std::size_t i = at; i < at + count; ++i) {
    if (text[i] < '0' || text[i] > '9') return -1;
    number = number * 10 + (text[i] - '0');
  }
  return number;
}

// Days since 1970.
std::optional<double> Days(const std::string& date) {
  using namespace std::chrono;
  const int y = Digits(date, 0, 4), m = Digits(date, 4, 2), d = Digits(date, 6, 2);
  if (y < 0 || m < 0 || d < 0) return std::nullopt;
  const year_month_day day{year{y}, month{static_cast<unsigned>(m)},
                           std::chrono::day{static_cast<unsigned>(d)}};
  if (!day.ok()) return std::nullopt;
  return static_cast<double>(sys_days(day).time_since_epoch().count());
}

// Seconds since midnight. Minutes and seconds may be left out (PS3.5 section 6.2, TM).
std::optional<double> Seconds(const std::string& time) {
  const int hours = Digits(time, 0, 2);
  const int minutes = time.size() >= 4 ? Digits(time, 2, 2) : 0;
  const int seconds = time.size() >= 6 ? Digits(time, 4, 2) : 0;
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59 || seconds < 0 || seconds > 60) {
    return std::nullopt;
  }
  double fraction = 0;
  if (time.size() > 7 && time[6] == '.') {
    double place = 0.1;
    for (std::size_t i = 7; i < time.size() && time[i] >= '0' && time[i] <= '9'; ++i, place /= 10) {
      fraction += (time[i] - '0') * place;
    }
  }
  return hours * 3600.0 + minutes * 60.0 + seconds + fraction;
}

struct Moment {
  std::optional<double> day;  // not known when only the time of day is
  double second = 0;
};

std::optional<Moment> ToMoment(const std::string& date, const std::string& time) {
  const auto second = Seconds(time);
  if (!second) return std::nullopt;
  return Moment{Days(date), *second};
}

// From one moment to the next; of times of day alone, the one that is less than a day later: an
// injection before midnight and a scan after it.
double SecondsBetween(const Moment& from, const Moment& to) {
  if (from.day && to.day) return (*to.day - *from.day) * kDaySeconds + to.second - from.second;
  const double seconds = to.second - from.second;
  return seconds < 0 ? seconds + kDaySeconds : seconds;
}

// The moment to which the values are decay-corrected with START. The series' own time, unless it is
// after the acquisition, as of a series that was processed later; then from the acquisition: its
// average count rate falls at the frame reference time (QIBA).
OrRefused<Moment> ScanStart(const PetHeader& header) {
  const auto series = ToMoment(header.series_date, header.series_time);
  const auto acquisition = ToMoment(header.acquisition_date, header.acquisition_time);
  if (!acquisition) return No("no acquisition time, to check the series time against");
  if (series && series->day.has_value() == acquisition->day.has_value()) {
    const double later = (acquisition->day.value_or(0) - series->day.value_or(0)) * kDaySeconds +
                         acquisition->second - series->second;
    if (later >= 0) return *series;
  }
  if (!header.frame_reference_time_ms || !header.frame_duration_ms ||
      *header.frame_duration_ms <= 0) {
    return No(
        "the series time is after the acquisition, and without frame reference time and "
        "duration the start of the scan is not known");
  }
  const double decay = std::numbers::ln2 / *header.half_life_s;
  const double in_frame = decay * *header.frame_duration_ms / 1000;
  const double average_at = std::log(in_frame / -std::expm1(-in_frame)) / decay;
  Moment start = *acquisition;
  start.second += average_at - *header.frame_reference_time_ms / 1000;
  return start;
}

std::optional<Moment> Injection(const PetHeader& header) {
  if (header.injection_date_time.size() >= 10) {
    auto moment =
        ToMoment(header.injection_date_time.substr(0, 8), header.injection_date_time.substr(8));
    if (moment && moment->day) return moment;
  }
  return ToMoment("", header.injection_time);
}

bool Positive(const std::optional<double>& value) {
  return value && std::isfinite(*value) && *value > 0;
}

// For values in Bq/ml.
OrRefused<double> FactorOfActivity(const PetHeader& header) {
  const auto corrected = [&](std::string_view what) {
    return ("\\" + header.corrected_image + "\\").find("\\" + std::string(what) + "\\") !=
           std::string::npos;
  };
  if (!corrected("ATTN")) return No("the image is not corrected for attenuation");
  if (!corrected("DECY")) return No("the image is not corrected for decay");
  if (!Positive(header.weight_kg) || *header.weight_kg > 1000) {
    return No("no patient's weight, or an impossible one");
  }
  if (!Positive(header.injected_dose_bq)) return No("no injected dose");
  if (*header.injected_dose_bq < 1e4) {
    return No("an injected dose below 10 kBq: probably not in Bq, as DICOM wants it");
  }
  double dose = *header.injected_dose_bq;
  if (header.decay_correction == "START") {
    if (!Positive(header.half_life_s)) return No("no half-life of the nuclide");
    const auto injection = Injection(header);
    if (!injection) return No("no time of injection");
    const OrRefused<Moment> start = ScanStart(header);
    if (!start.ok()) return start.refused();
    const double elapsed = SecondsBetween(*injection, *start);
    if (!(elapsed >= 0 && elapsed <= kDaySeconds)) {
      return No(StrCat("the scan starts ", std::lround(elapsed / 60),
                       " minutes after the injection; 0 to 1440 are possible"));
    }
    dose *= std::exp2(-elapsed / *header.half_life_s);
  } else if (header.decay_correction != "ADMIN") {
    return No("the decay correction is neither START nor ADMIN");
  }
  const double factor = *header.weight_kg * 1000 / dose;
  if (!std::isfinite(factor)) return No("the dose has decayed to nothing");
  return factor;
}

}  // namespace

OrRefused<double> SuvBodyWeightFactor(const PetHeader& header) {
  if (header.units == "GML") {
    if (header.suv_type.empty() || header.suv_type == "BW") return 1.0;
    return No("the values are uptake values, but not by body weight");
  }
  if (header.units == "BQML") return FactorOfActivity(header);
  if (header.units == "CNTS") {
    if (Positive(header.philips_suv_factor)) return *header.philips_suv_factor;
    if (!Positive(header.philips_activity_factor)) {
      return No("the values are counts, without a private scale factor of Philips");
    }
    const OrRefused<double> factor = FactorOfActivity(header);
    if (!factor.ok()) return factor.refused();
    return *header.philips_activity_factor * *factor;
  }
  return No("the units are none of BQML, GML and CNTS");
}

}  // namespace consilium::datasets::volumes
