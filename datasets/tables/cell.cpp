#include "datasets/tables/cell.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "common/plan/plan.h"

namespace consilium::datasets::tables {
namespace {

constexpr std::string_view kBlanks = " \t\r\n\f\v";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// "1,5", "1.234,5", "1,234.5": digits with one comma or more among them.
bool HasComma(std::string_view cell) {
  return cell.find(',') != cell.npos && std::any_of(cell.begin(), cell.end(), IsDigit) &&
         cell.find_first_not_of("+-0123456789.,eE") == cell.npos;
}

}  // namespace

std::string_view Trimmed(std::string_view cell) {
  const std::size_t first = cell.find_first_not_of(kBlanks);
  if (first == cell.npos) return {};
  return cell.substr(first, cell.find_last_not_of(kBlanks) - first + 1);
}

Number ParseNumber(std::string_view cell) {
  if (plan::IsMissing(cell)) return {};
  std::string_view digits = cell;
  if (digits.size() > 1 && digits[0] == '+' && digits[1] != '-') digits.remove_prefix(1);
  double value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stopped, error] = std::from_chars(digits.data(), end, value);
  if (error == std::errc() && stopped == end && std::isfinite(value)) return {value, {}};
  if (HasComma(cell)) return {{}, "has a comma: write decimals with a point and no separators"};
  return {{}, "is no number"};
}

}  // namespace consilium::datasets::tables
