#include "datasets/tables/columns.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/base/status.h"

namespace consilium::datasets::tables {
namespace {

// "Chol ", "chol_" and "CHOL" are nearly "chol".
std::string Bare(std::string_view name) {
  std::string bare;
  for (const char c : name) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c))) bare += absl::ascii_tolower(c);
  }
  return bare;
}

class Finder {
 public:
  explicit Finder(const std::vector<std::string>& header) : header_(header) {}

  std::optional<std::size_t> Find(std::string_view name) const {
    const auto found = std::find(header_.begin(), header_.end(), name);
    if (found == header_.end()) return std::nullopt;
    return static_cast<std::size_t>(found - header_.begin());
  }

  std::size_t Need(std::string_view name) {
    if (const auto index = Find(name)) return *index;
    StrAppend(&missing_, missing_.empty() ? "" : ", ", "\"", name, "\"");
    const auto near = std::find_if(header_.begin(), header_.end(), [&](const std::string& other) {
      return Bare(other) == Bare(name);
    });
    if (near != header_.end()) StrAppend(&missing_, " (but \"", *near, "\")");
    return 0;
  }

  absl::Status ToStatus() const {
    if (missing_.empty()) return absl::OkStatus();
    return absl::FailedPreconditionError(
        StrCat("the plan's columns are not all there; missing: ", missing_));
  }

 private:
  const std::vector<std::string>& header_;
  std::string missing_;
};

}  // namespace

absl::StatusOr<CsvTable> ParseTable(std::string_view text) {
  if (text.substr(0, 4096).find('\0') != text.npos) {
    return absl::InvalidArgumentError(
        "this is no UTF-8 text (UTF-16, or a spreadsheet's own format?): export it as CSV in "
        "UTF-8");
  }
  const std::string_view first = text.substr(0, text.find('\n'));
  for (const char separator : {';', '\t', '|'}) {
    if (first.find(',') == first.npos && first.find(separator) != first.npos) {
      return absl::InvalidArgumentError(
          StrCat("line 1: the cells are separated by ",
                 separator == ';'    ? "semicolons"
                 : separator == '\t' ? "tabs"
                                     : "\"|\"",
                 ": export it with commas between the cells and points in the numbers"));
    }
  }
  ASSIGN_OR_RETURN(CsvTable table, ParseCsv(text));
  return table;
}

absl::StatusOr<Places> FindColumns(const std::vector<std::string>& header, const plan::Plan& plan,
                                   Use use) {
  Finder finder(header);
  Places places;
  places.patient = finder.Need(kPatientColumn);
  if (use == Use::kLearning) places.split = finder.Find(kSplitColumn);
  if (plan.data.source == plan::Source::kAudio) places.file = finder.Need(kFileColumn);
  // Beside images, labels.csv has the target.
  if (use == Use::kLearning && plan.data.source != plan::Source::kDicom) {
    for (const std::string& name : plan.target.Columns()) {
      places.target.push_back(finder.Need(name));
    }
  }
  for (const plan::Column& column : plan.table.columns) {
    places.inputs.push_back(finder.Need(column.name));
  }
  RETURN_IF_ERROR(finder.ToStatus());
  return places;
}

}  // namespace consilium::datasets::tables
