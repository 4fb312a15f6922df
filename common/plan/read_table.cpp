#include <algorithm>
#include <set>

#include "common/plan/readers.h"

namespace consilium::plan {
namespace {

constexpr double kFarthest = 1e12;  // of a plausible value

// NAME of NAME.csv, which must be the name of a file in the data folder and no other's.
bool IsTableName(std::string_view name) {
  return !name.empty() && name.size() <= 63 && Comparable(name) != "labels" &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_';
         });
}

// What a column means beside an input; nothing when it is free to be one.
std::string_view OtherMeaning(const std::string& name, const Target& target) {
  if (name == "patient_id") return "says who the patient is";
  if (name == "split") return "says what a row is for";
  const std::vector<std::string> taught = target.Columns();
  if (std::find(taught.begin(), taught.end(), name) != taught.end()) {
    return "is what is to be predicted: as an input it would give the answer away";
  }
  return {};
}

void ReadRange(Section& s, Column& column) {
  for (const char* key : {"minimum", "maximum"}) {
    double& end = key == std::string_view("minimum") ? column.minimum : column.maximum;
    Set(end, s.Real(key, -kFarthest, kFarthest));
    if (!s.Has(key)) {
      s.Missing(key,
                StrCat("a number needs its plausible range (column \"", Shown(column.name), "\")"));
    }
  }
  if (!s.Has("minimum") || !s.Has("maximum") || column.minimum < column.maximum) return;
  s.Refuse("minimum", StrCat("is not below maximum, which is ", column.maximum, " (column \"",
                             Shown(column.name), "\")"));
}

void ReadValues(Section& s, Column& column) {
  const auto values = s.Texts("values");
  const std::string of = StrCat(" (column \"", Shown(column.name), "\")");
  if (!values) {
    if (!s.Has("values")) s.Missing("values", StrCat("a category needs a list of its values", of));
    return;
  }
  column.values = *values;
  if (values->size() < 2) {
    s.Refuse("values", StrCat("lists ", values->size(), ": a category has 2 or more", of));
  } else if (values->size() > kMostInputs) {
    s.Refuse("values", StrCat("lists ", values->size(), ": at most ", kMostInputs, of));
    return;
  }
  std::set<std::string> seen;
  for (const std::string& value : *values) {
    if (IsMissing(value)) {
      s.Refuse("values", StrCat("holds \"", Shown(value),
                                "\", which stands for a value that is missing", of));
    } else if (!IsInputName(value)) {
      s.Refuse("values",
               StrCat("holds \"", Shown(value), "\", which is not allowed: ", kInputNameRule, of));
    } else if (!seen.insert(Comparable(value)).second) {
      s.Refuse("values", StrCat("holds \"", value,
                                "\" twice: capital and small letters, and 1 "
                                "and 1.0, count as the same",
                                of));
    }
  }
}

Column ReadColumn(Section s, const Target& target, std::set<std::string>& seen) {
  Column column;
  if (const auto name = s.Text("name")) {
    column.name = *name;
    if (!IsInputName(*name)) {
      s.Refuse("name", StrCat("is not allowed: ", kInputNameRule));
    } else if (const std::string_view meaning = OtherMeaning(*name, target); !meaning.empty()) {
      s.Refuse("name", StrCat("cannot be an input: the column ", meaning));
    } else if (!seen.insert(*name).second) {
      s.Refuse("name", "comes twice");
    }
  } else if (!s.Has("name")) {
    s.Missing("name", "the column's name in the header of the table");
  }
  const auto kind = s.Choice("kind", {ColumnKind::kNumber, ColumnKind::kCategory});
  Set(column.kind, kind);
  if (!kind && s.Has("kind")) return column;  // what the other keys must be depends on it
  if (column.kind == ColumnKind::kNumber) {
    ReadRange(s, column);
    s.RefuseIfThere({"values"}, "only a column of kind \"category\" lists its values");
  } else {
    ReadValues(s, column);
    s.RefuseIfThere({"minimum", "maximum"}, "only a column of kind \"number\" has a range");
  }
  s.Finish();
  return column;
}

}  // namespace

void ReadTable(Section s, const Target& target, Table& table) {
  if (const auto name = s.Text("name")) {
    table.name = *name;
    if (!IsTableName(*name)) {
      s.Refuse("name",
               "is not allowed: 1 to 63 of letters, digits, - and _ (the file is NAME.csv in the "
               "site's data folder), and not \"labels\"");
    }
  } else if (!s.Has("name")) {
    s.Missing("name", "NAME of the file NAME.csv in each site's data folder");
  }
  Set(table.missing_indicators, s.Flag("missing_indicators"));
  std::set<std::string> seen;
  for (Section& column : s.Tables("columns")) {
    table.columns.push_back(ReadColumn(std::move(column), target, seen));
  }
  if (table.columns.empty() && !s.Has("columns")) {
    s.Missing("columns", "describe each input in a [[table.columns]]");
  } else if (table.columns.empty() || table.Inputs() > kMostInputs) {
    s.Refuse("columns", StrCat("make ", table.Inputs(), " inputs of the network: 1 to ",
                               kMostInputs, " are allowed"));
  }
  s.Finish();
}

}  // namespace consilium::plan
