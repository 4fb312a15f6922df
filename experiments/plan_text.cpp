#include "experiments/plan_text.h"

#include <cctype>
#include <sstream>

#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/plan/plan.h"

namespace consilium::experiments {
namespace {

std::string Trimmed(const std::string& line) {
  const std::size_t begin = line.find_first_not_of(" \t\r");
  if (begin == std::string::npos) return "";
  return line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1);
}

// Sets `key` of `table`, which may be absent, as may the key.
std::string SetValue(const std::string& toml, const std::string& table, const std::string& key,
                     const std::string& value) {
  const std::string assignment = key + " = " + value;
  std::istringstream lines(toml);
  std::string result, line;
  bool inside = false, done = false;
  while (std::getline(lines, line)) {
    const std::string text = Trimmed(line);
    if (text.starts_with('[')) inside = text.starts_with("[" + table + "]");
    const std::size_t equals = text.find('=');
    if (inside && !done && equals != std::string::npos && Trimmed(text.substr(0, equals)) == key) {
      const std::size_t comment = line.find('#');
      line = assignment + (comment == std::string::npos ? "" : "  " + line.substr(comment));
      done = true;
    }
    result += line + "\n";
  }
  if (done) return result;
  const std::size_t header = result.find("[" + table + "]");
  if (header == std::string::npos) return result + "\n[" + table + "]\n" + assignment + "\n";
  return result.insert(result.find('\n', header) + 1, assignment + "\n");
}

}  // namespace

absl::StatusOr<std::string> OverridePlan(const std::string& toml, const PlanOverrides& overrides) {
  std::string text = toml;
  if (overrides.rounds) text = SetValue(text, "stop", "rounds", StrCat(*overrides.rounds));
  if (overrides.seed) text = SetValue(text, "plan", "seed", StrCat(*overrides.seed));
  if (overrides.updates) {
    text = SetValue(text, "aggregation", "updates", StrCat("\"", Name(*overrides.updates), "\""));
  }
  if (overrides.personal) {
    text = SetValue(text, "personalisation", "method",
                    StrCat("\"", plan::Name(*overrides.personal), "\""));
  }
  ASSIGN_OR_RETURN(const plan::Plan plan, plan::ParsePlan(text));
  const bool set = (!overrides.rounds || plan.stop.rounds == *overrides.rounds) &&
                   (!overrides.seed || plan.seed == *overrides.seed) &&
                   (!overrides.updates || plan.aggregation.updates == *overrides.updates) &&
                   (!overrides.personal || plan.personalisation.method == *overrides.personal);
  if (!set) {
    return absl::InvalidArgumentError(
        "the plan's [stop] rounds, [plan] seed, [aggregation] updates or [personalisation] method "
        "could not be replaced; write them on lines of their own");
  }
  return text;
}

absl::StatusOr<std::string> NameFrom(const std::string& text) {
  std::string name;
  for (const char c : text) {
    const char lower = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const bool allowed = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');
    if (allowed) {
      name += lower;
    } else if (!name.empty() && name.back() != '-') {
      name += '-';
    }
  }
  name = name.substr(0, 60);
  while (!name.empty() && name.back() == '-') name.pop_back();
  if (name.empty())
    return absl::InvalidArgumentError(StrCat("no site's name can be made of \"", text, "\""));
  RETURN_IF_ERROR(CheckName("site", name));
  return name;
}

}  // namespace consilium::experiments
