#include "datasets/deidentification/dates.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <optional>

namespace consilium::datasets::deidentification {
namespace {

using std::chrono::day;
using std::chrono::days;
using std::chrono::month;
using std::chrono::sys_days;
using std::chrono::year;
using std::chrono::year_month_day;

bool AllDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](unsigned char c) { return c >= '0' && c <= '9'; });
}

int Int(std::string_view digits) {
  int value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.remove_suffix(1);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  return text;
}

std::optional<year_month_day> Parse(std::string_view text) {
  std::string digits(text);
  if (text.size() == 10 && text[4] == '.' && text[7] == '.') std::erase(digits, '.');
  if (digits.size() != 8 || !AllDigits(digits)) return std::nullopt;
  const std::string_view d = digits;
  const year_month_day date{year{Int(d.substr(0, 4))},
                            month{static_cast<unsigned>(Int(d.substr(4, 2)))},
                            day{static_cast<unsigned>(Int(d.substr(6, 2)))}};
  return date.ok() ? std::optional(date) : std::nullopt;
}

std::string Format(const year_month_day& date) {
  const int y = static_cast<int>(date.year());
  if (y < 0 || y > 9999) return "";
  char text[16];
  std::snprintf(text, sizeof text, "%04d%02u%02u", y, static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()));
  return text;
}

year_month_day Later(const year_month_day& date, int by) { return sys_days{date} + days{by}; }

}  // namespace

std::string ShiftDate(std::string_view date, int by) {
  date = Trim(date);
  if (const auto dash = date.find('-'); dash != std::string_view::npos) {
    const std::string from = ShiftDate(date.substr(0, dash), by);
    const std::string to = ShiftDate(date.substr(dash + 1), by);
    return from.empty() && to.empty() ? "" : from + "-" + to;
  }
  const auto parsed = Parse(date);
  return parsed ? Format(Later(*parsed, by)) : "";
}

std::string ShiftDateTime(std::string_view text, int by) {
  text = Trim(text);
  const std::size_t sign = std::min(text.find_first_of("+-"), text.size());
  const std::string_view zone = text.substr(sign);
  const std::string_view local = text.substr(0, sign);
  const std::size_t known = std::min<std::size_t>(local.size(), 8);  // digits of the date
  if (known < 4 || known % 2 != 0 || !AllDigits(local.substr(0, known))) return "";
  const std::string_view time = local.substr(known);
  if (!time.empty() && !IsTime(time)) return "";
  if (!zone.empty() && (zone.size() != 5 || !AllDigits(zone.substr(1)))) return "";
  const std::string whole =
      std::string(local.substr(0, known)) + std::string("0101").substr(known < 6 ? 0 : 2);
  const auto parsed = Parse(whole.substr(0, 8));
  if (!parsed) return "";
  const std::string shifted = Format(Later(*parsed, by));
  if (shifted.empty()) return "";
  return shifted.substr(0, known) + std::string(time) + std::string(zone);
}

bool IsTime(std::string_view time) {
  time = Trim(time);
  std::string digits(time.substr(0, time.find('.')));
  if (time.size() >= 5 && time[2] == ':') std::erase(digits, ':');
  const std::size_t dot = time.find('.');
  if (dot != std::string_view::npos) {
    const std::string_view fraction = time.substr(dot + 1);
    if (digits.size() != 6 || fraction.size() > 6 || (!fraction.empty() && !AllDigits(fraction))) {
      return false;
    }
  }
  const std::string_view d = digits;
  return AllDigits(d) && d.size() <= 6 && d.size() % 2 == 0 && Int(d.substr(0, 2)) < 24 &&
         (d.size() < 4 || Int(d.substr(2, 2)) < 60) && (d.size() < 6 || Int(d.substr(4, 2)) <= 60);
}

std::string AgeBetween(std::string_view birth_text, std::string_view then_text) {
  const auto birth = Parse(Trim(birth_text));
  const auto then = Parse(Trim(then_text));
  if (!birth || !then || sys_days{*then} < sys_days{*birth}) return "";
  int months = (static_cast<int>(then->year()) - static_cast<int>(birth->year())) * 12 +
               static_cast<int>(static_cast<unsigned>(then->month())) -
               static_cast<int>(static_cast<unsigned>(birth->month()));
  if (then->day() < birth->day()) --months;
  char text[16];
  if (months >= 24) {
    std::snprintf(text, sizeof text, "%03dY", std::min(months / 12, 999));
  } else if (months >= 1) {
    std::snprintf(text, sizeof text, "%03dM", months);
  } else {
    std::snprintf(text, sizeof text, "%03dD",
                  static_cast<int>((sys_days{*then} - sys_days{*birth}).count()));
  }
  return text;
}

std::string CapAge(std::string_view age) {
  age = Trim(age);
  if (age.size() != 4 || !AllDigits(age.substr(0, 3)) ||
      std::string_view("DWMY").find(age[3]) == std::string_view::npos) {
    return "";
  }
  const int count = Int(age.substr(0, 3));
  const bool old = (age[3] == 'Y' && count > 89) || (age[3] == 'M' && count >= 90 * 12);
  return old ? "090Y" : std::string(age);
}

}  // namespace consilium::datasets::deidentification
