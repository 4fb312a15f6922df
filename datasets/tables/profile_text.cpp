// A profile as people and programs read it.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/text.h"
#include "common/base/text_table.h"
#include "common/metrics/binary_metrics.h"
#include "datasets/tables/cell.h"
#include "datasets/tables/profile.h"

namespace consilium::datasets::tables {
namespace {

using metrics::kSmallCount;
constexpr std::size_t kMostShown = 6;  // values in a line

bool IsNumeric(const ColumnProfile& column) {
  return column.look == ColumnLook::kNumber ||
         (column.look == ColumnLook::kCategory && column.maximum > column.minimum);
}

std::string Rounded(double value) { return absl::StrFormat("%.6g", value); }

// What a file holds must not drive the terminal.
std::string Printable(std::string_view text) {
  std::string printable(text);
  for (char& c : printable) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = '?';
  }
  return printable;
}

std::string Values(const ColumnProfile& column) {
  if (column.look == ColumnLook::kText) return "many different texts";
  std::string text;
  for (std::size_t i = 0; i < std::min(column.values.size(), kMostShown); ++i) {
    StrAppend(&text, i > 0 ? ", " : "", Printable(column.values[i].value), " (",
              column.values[i].rows, ")");
  }
  if (column.values.size() > kMostShown) {
    StrAppend(&text, ", and ", column.values.size() - kMostShown, " more");
  }
  if (column.faults > 0) {
    StrAppend(&text, column.faults, " cells cannot be read: line ", column.fault_line, " ",
              column.fault);
  }
  return text;
}

// A TOML literal string may hold anything but its own quote.
std::string Quoted(std::string_view text) {
  return text.find('\'') == text.npos ? StrCat("'", text, "'") : StrCat("\"", text, "\"");
}

// As the plan's rule for names and values.
bool CanBeNamed(std::string_view text) {
  return !text.empty() && text.size() <= 127 && std::all_of(text.begin(), text.end(), [](char c) {
    return c >= ' ' && c <= '~' && c != '"' && c != '\\';
  });
}

// The values that may be told, in an order that says nothing of how frequent they are.
std::vector<std::string> CommonValues(const ColumnProfile& column) {
  std::vector<std::string> values;
  for (const ValueCount& value : column.values) {
    if (value.rows >= kSmallCount && CanBeNamed(value.value)) values.push_back(value.value);
  }
  std::sort(values.begin(), values.end(), [](const std::string& a, const std::string& b) {
    const Number x = ParseNumber(a), y = ParseNumber(b);
    return x.value && y.value ? *x.value < *y.value : a < b;
  });
  return values;
}

std::string SuggestedCategory(const ColumnProfile& column) {
  const std::vector<std::string> values = CommonValues(column);
  if (values.size() < 2) {
    return StrCat("# ", column.name, ": fewer than two values that ", kSmallCount,
                  " rows or more have\n");
  }
  const auto quoted = [](std::string* out, const std::string& value) { *out += Quoted(value); };
  std::string text =
      StrCat("[[table.columns]]\nname = ", Quoted(column.name), "\nkind = \"category\"\nvalues = [",
             absl::StrJoin(values, ", ", quoted), "]");
  const std::size_t left_out = column.values.size() - values.size();
  if (left_out > 0) {
    StrAppend(&text, "  # ", left_out, left_out == 1 ? " rarer value is" : " rarer values are",
              " left out");
  }
  return text + "\n";
}

PlausibleRange RangeOf(const ColumnProfile& column) {
  const bool flag = column.minimum == 0 && column.maximum == 1 && column.distinct == 2;
  return flag ? PlausibleRange{} : RoundedOutward(column.minimum, column.maximum);
}

std::string SuggestedNumber(const ColumnProfile& column) {
  if (column.present < kSmallCount) {
    return StrCat("# ", column.name, ": fewer than ", kSmallCount, " values\n");
  }
  const PlausibleRange range = RangeOf(column);
  return StrCat("[[table.columns]]\nname = ", Quoted(column.name),
                "\nminimum = ", Rounded(range.minimum), "\nmaximum = ", Rounded(range.maximum),
                "\n");
}

nlohmann::ordered_json ToJson(const ColumnProfile& column) {
  nlohmann::ordered_json json = {{"name", column.name},
                                 {"kind", Name(column.look)},
                                 {"present", column.present},
                                 {"missing", column.missing}};
  if (column.faults > 0) {
    json["unreadable"] = {
        {"cells", column.faults}, {"first_line", column.fault_line}, {"why", column.fault}};
  }
  if (column.look == ColumnLook::kNumber && column.present >= kSmallCount) {
    const PlausibleRange range = RangeOf(column);
    json["minimum"] = range.minimum;
    json["maximum"] = range.maximum;
  }
  for (const ValueCount& value : column.values) {
    if (value.rows >= kSmallCount) json["values"][value.value] = value.rows;
  }
  return json;
}

}  // namespace

std::string SuggestedColumns(const TableProfile& profile,
                             const std::vector<std::string>& leave_out) {
  std::string text;
  for (const ColumnProfile& column : profile.columns) {
    if (std::find(leave_out.begin(), leave_out.end(), column.name) != leave_out.end()) continue;
    if (column.look == ColumnLook::kPatient || column.look == ColumnLook::kSplit) continue;
    if (!CanBeNamed(column.name)) {
      StrAppend(&text, "# a column's name has letters that a plan cannot name: rename it\n");
    } else if (column.look == ColumnLook::kNumber) {
      text += SuggestedNumber(column);
    } else if (column.look == ColumnLook::kCategory) {
      text += SuggestedCategory(column);
    } else {
      StrAppend(&text, "# ", Printable(column.name), ": ",
                column.look == ColumnLook::kEmpty ? "no value at all" : "many different texts",
                "\n");
    }
  }
  return text;
}

std::string ToText(const TableProfile& profile) {
  std::string text = StrCat(profile.rows, " rows");
  if (profile.has_patients) {
    StrAppend(&text, " of ", profile.patients, " patients");
    if (profile.rows_without_patient > 0) {
      StrAppend(&text, "; ", profile.rows_without_patient, " rows without a patient_id");
    }
  } else {
    text +=
        "; there is NO column \"patient_id\", which is needed: rows of one patient must stay "
        "together";
  }
  TextTable table(
      {"column", "kind", "present", "missing", "smallest", "median", "largest", "values (rows)"});
  for (const ColumnProfile& column : profile.columns) {
    const bool numeric = IsNumeric(column);
    table.AddRow({Printable(column.name), std::string(Name(column.look)), StrCat(column.present),
                  StrCat(column.missing), numeric ? Rounded(column.minimum) : "-",
                  numeric ? Rounded(column.median) : "-", numeric ? Rounded(column.maximum) : "-",
                  Values(column)});
  }
  return StrCat(text, "\n\n", table.ToString());
}

std::string ToJson(const TableProfile& profile, std::string_view suggested) {
  nlohmann::ordered_json json = {{"rows", profile.rows},
                                 {"patients", profile.patients},
                                 {"has_patient_id", profile.has_patients},
                                 {"rows_without_patient_id", profile.rows_without_patient},
                                 {"columns", nlohmann::ordered_json::array()}};
  for (const ColumnProfile& column : profile.columns) json["columns"].push_back(ToJson(column));
  json["suggested"] = suggested;
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace consilium::datasets::tables
